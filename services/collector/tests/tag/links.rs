//! A counted link and the page that it leads to are one visitor's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use funnel::plan::Redirect;
use serde_json::json;

use crate::page::{Visit, events, json_of, named};
use crate::support::plan;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_visitor_of_a_link_is_the_visitor_of_the_page() {
    let Some(mut visit) = Visit::start().await else { return };
    let mut next = plan();
    next.sites[1].redirects = vec![Redirect::parse(&format!("{}/landing", visit.site.url)).unwrap()];
    visit.running.plan.send_replace(Some(Arc::new(next)));
    let landing = visit.site.page("/landing", "", &crate::page::tag(&visit.running, ""));
    let link = |visitor: &str| {
        let to: String =
            url::form_urlencoded::byte_serialize(format!("{landing}?a=1&b#c").as_bytes()).collect();
        format!("{}/v1/click?key=wk_blog&event=mail_clicked&anonymousId={visitor}&to={to}", visit.running.url)
    };
    let (first, second) = (link("ann%26%20co"), link("bob"));
    let arrived = format!("location.href == '{landing}?a=1&b#c' && window.rungs?.on");

    // The plan is in force when the link leads on.
    let client = reqwest::Client::new();
    let deadline = Instant::now() + Duration::from_secs(10);
    while client.head(&first).send().await.unwrap().status() != 200 {
        assert!(Instant::now() < deadline, "the plan is not in force");
    }
    visit.page.go(&first);
    visit.page.until(&arrived, &json!(1));
    visit.until_names(&["mail_clicked", "$page"]);
    assert!(events(&visit.running).iter().all(|event| event.visitor_id == "ann& co"));

    // Who is known already stays; the link's id is kept as another of theirs.
    visit.page.go("about:blank");
    visit.page.go(&second);
    visit.page.until(&arrived, &json!(1));
    visit.until("an alias", |running| named(running).len() == 5);
    let all = events(&visit.running);
    let alias = all.iter().find(|event| event.event == "$alias").unwrap();
    assert_eq!(
        (alias.visitor_id.as_str(), json_of(&alias.properties)),
        ("ann& co", json!({"previousId": "bob"}))
    );
    assert_eq!(all.iter().filter(|event| event.visitor_id == "bob").count(), 1);
    visit.assert_no_errors();
}
