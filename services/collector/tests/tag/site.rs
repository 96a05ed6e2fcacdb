//! A website with the tag in its pages: its own origin, another than the collector's.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Path to further headers and the page.
type Pages = Arc<Mutex<HashMap<String, (String, String)>>>;

/// Served until the test's process ends.
pub(crate) struct Site {
    /// `http://localhost:PORT`, where the collector is at 127.0.0.1: another site for the browser.
    pub(crate) url: String,
    pages: Pages,
}

impl Site {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://localhost:{}", listener.local_addr().unwrap().port());
        let pages = Pages::default();
        let served = Arc::clone(&pages);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let pages = Arc::clone(&served);
                std::thread::spawn(move || answer(stream, &pages));
            }
        });
        Self { url, pages }
    }

    /// Puts a page at a path and gives back its address. What goes wrong on the page is noted in `errors`.
    pub(crate) fn page(&self, path: &str, headers: &str, body: &str) -> String {
        let html = format!(
            "<!doctype html><meta charset=utf-8><title>Shop</title><script>\
             errors = []; onerror = (message) => {{ errors.push(message) }};\
             addEventListener('unhandledrejection', (event) => errors.push(String(event.reason)));\
             </script>{body}"
        );
        self.pages.lock().unwrap().insert(path.to_owned(), (headers.to_owned(), html));
        format!("{}{path}", self.url)
    }
}

/// One request a connection.
fn answer(mut stream: TcpStream, pages: &Pages) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && head.len() < 16_384 {
        if !matches!(stream.read(&mut byte), Ok(1)) {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head);
    let path = head.split(' ').nth(1).unwrap_or("/").split('?').next().unwrap_or("/");
    let page = pages.lock().unwrap().get(path).cloned();
    let (status, headers, body) = match page {
        Some((headers, body)) => ("200 OK", headers, body),
        None => ("404 Not Found", String::new(), String::new()),
    };
    let length = body.len();
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: text/html\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
}
