//! The live page: its size, its policy, its caching.

use crate::running::Running;

/// The page's files, found by following what the files name.
async fn files(console: &Running) -> Vec<(String, String)> {
    let mut waiting = vec!["/".to_owned()];
    let mut found: Vec<(String, String)> = Vec::new();
    while let Some(path) = waiting.pop() {
        if found.iter().any(|(known, _)| *known == path) {
            continue;
        }
        let response = console.get(&path).await;
        assert_eq!(response.status(), 200, "{path}");
        let text = response.text().await.unwrap();
        let is_own = |part: &&str| part.starts_with("./") || part.starts_with("/assets/");
        let named = text.split('"').filter(is_own);
        for name in named.filter(|part| part.ends_with(".js") || part.ends_with(".css")) {
            waiting.push(format!("/assets/{}", name.rsplit('/').next().unwrap()));
        }
        found.push((path, text));
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_small_and_loads_nothing_from_elsewhere() {
    let console = Running::start(None);
    let files = files(&console).await;
    assert_eq!(files.len(), 17, "index, style and fifteen modules");
    let mut compressed = 0;
    for (path, text) in &files {
        let request = console.client.get(format!("{}{path}", console.url)).header("accept-encoding", "gzip");
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["content-encoding"], "gzip", "{path}");
        compressed += response.bytes().await.unwrap().len();
        for link in text.match_indices("http").map(|(at, _)| &text[at..]) {
            let is_namespace = link.starts_with("http://www.w3.org/2000/svg");
            assert!(is_namespace || !link.starts_with("http://") && !link.starts_with("https://"), "{path}");
        }
    }
    assert!(compressed < 60_000, "{compressed} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_forbids_inline_code_and_the_page_has_none() {
    let console = Running::start(None);
    let response = console.get("/").await;
    let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    let text = response.text().await.unwrap();
    assert!(!text.contains(" style=") && !text.contains(" onclick=") && !text.contains("<style"));
    assert!(text.split("<script").skip(1).all(|script| script.contains("src=\"/assets/")));
    for (path, text) in files(&console).await {
        assert!(!text.contains("innerHTML") && !text.contains("eval("), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_file_is_not_sent_again() {
    let console = Running::start(None);
    let etag = console.get("/assets/app.js").await.headers()["etag"].clone();
    let request = console.client.get(format!("{}/assets/app.js", console.url)).header("if-none-match", etag);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 304);
    assert!(response.bytes().await.unwrap().is_empty());
}
