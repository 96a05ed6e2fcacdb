//! The examples of `docs/coming-from-*.md`, as they stand there, run and their event arrives.

use std::path::Path;

use serde_json::Value;

use crate::clients::{Fetched, KEY, Language};
use crate::collecting::Collecting;

/// The address and the key that the documents use.
const DOCUMENTED: (&str, &str) = ("http://127.0.0.1:8080", "wk_shop_demo");

/// Blocks of `js` and `python` on a page, with the visitor that each one names.
fn blocks(page: &str) -> Vec<(Language, String)> {
    let language = |block: &str| match block.split('\n').next() {
        Some("js") => Some(Language::Node),
        Some("python") => Some(Language::Python),
        _ => None,
    };
    let inside = page.split("```").skip(1).step_by(2);
    inside.filter_map(|block| Some((language(block)?, block.split_once('\n')?.1.to_owned()))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_example_of_the_documents_runs_and_its_event_arrives() {
    let Some(fetched) = Fetched::all() else { return };
    let collecting = Collecting::start().await;
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let pages = std::fs::read_dir(docs).unwrap().map(|entry| entry.unwrap().path());
    let pages = pages.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("coming-from-"));
    let mut running = Vec::new();
    for page in pages {
        let page_name = page.file_stem().unwrap().to_string_lossy().into_owned();
        for (language, text) in blocks(&std::fs::read_to_string(&page).unwrap()) {
            let visitor = format!("visitor-{}", running.len());
            let text = text.replace(DOCUMENTED.0, &collecting.url()).replace(DOCUMENTED.1, KEY);
            let (file, told) = match language {
                Language::Node => (format!("{visitor}.mjs"), "\nconsole.log(0)"),
                Language::Python => (format!("{visitor}.py"), "\nprint(0)"),
            };
            let text = text.replace("\"ann\"", &format!("\"{visitor}\"")) + told;
            running.push((page_name.clone(), visitor, fetched.run(language, &file, &text, &[], &[])));
        }
    }
    assert!(running.len() >= 8, "{} examples only", running.len());
    for (page, visitor, program) in running {
        program.ended_well(&page).await;
        let events = collecting.events();
        let of_visitor: Vec<_> = events.iter().filter(|event| event.visitor_id == visitor).collect();
        assert_eq!(of_visitor.len(), 1, "{page}: {of_visitor:?}");
        let properties: Value = serde_json::from_str(&of_visitor[0].properties).unwrap();
        assert_eq!(
            (of_visitor[0].event.as_str(), &properties["plan"]),
            ("product_view", &Value::from("pro")),
            "{page}"
        );
    }
}
