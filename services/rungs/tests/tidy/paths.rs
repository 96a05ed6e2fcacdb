//! Files and folders: what a document links to or names exists, and what there is to know is linked.

use crate::{docs, none, tree};

#[test]
fn every_link_leads_somewhere() {
    let mut problems = Vec::new();
    for doc in docs::all() {
        let folder = doc.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for target in doc.text.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next()) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            if target.contains("://") {
                continue;
            }
            let path = if file.is_empty() { doc.path.clone() } else { format!("{folder}/{file}") };
            let path = path.trim_start_matches('/');
            if !tree::exists(path) {
                problems.push(format!("{}: {target} does not exist", doc.path));
            } else if !anchor.is_empty() && !anchors(path).contains(&anchor.to_owned()) {
                problems.push(format!("{}: {target} has no such heading", doc.path));
            }
        }
    }
    none(problems);
}

fn anchors(path: &str) -> Vec<String> {
    let text = tree::read(path);
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-"))
        // Renderers leave punctuation out.
        .map(|anchor| anchor.replace(|letter: char| !letter.is_alphanumeric() && !"-_".contains(letter), ""))
        .collect()
}

#[test]
fn every_path_that_a_document_names_exists() {
    let top: Vec<String> = std::fs::read_dir(tree::root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    // Made by a build or a run.
    let made = ["target/", "data/", ".cache"];
    let mut problems = Vec::new();
    for doc in docs::all() {
        for span in doc.spans() {
            let is_path = span.split('/').next().is_some_and(|first| top.iter().any(|name| name == first));
            if is_path
                && !span.contains(' ')
                && !tree::exists(&span)
                && !made.iter().any(|made| span.starts_with(made))
            {
                problems.push(format!("{}: {span} does not exist", doc.path));
            }
        }
    }
    none(problems);
}

#[test]
fn every_part_of_the_project_is_in_the_code_map() {
    let map = docs::doc("ARCHITECTURE.md").section("## Code map");
    let mut problems = Vec::new();
    for (path, _) in tree::files(&["Cargo.toml"]) {
        let Some(folder) = path.strip_suffix("/Cargo.toml") else { continue };
        if !map.contains(&format!("**`{folder}`**")) {
            problems.push(format!("ARCHITECTURE.md says nothing of {folder}"));
        }
    }
    none(problems);
}

#[test]
fn every_document_can_be_found_from_the_readme() {
    let readme = docs::doc("README.md").text;
    let observability = docs::doc("docs/observability.md").text;
    // A runbook is found by its alert, or from the page about alerts.
    let linked = |path: &str| match path.strip_prefix("docs/") {
        Some(page) if page.starts_with("runbooks/") => observability.contains(&format!("]({page})")),
        _ => readme.contains(&format!("]({path})")),
    };
    let docs = docs::all().into_iter().filter(|doc| doc.path != "README.md");
    none(docs.filter(|doc| !linked(&doc.path)).map(|doc| format!("{} is not linked", doc.path)).collect())
}
