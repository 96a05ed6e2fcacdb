//! What is tried again and what is not, against a server that answers as it is told.

use runtime::Tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::*;

const STORED: &str =
    r#"{"accepted":1,"rejected":[{"index":1,"code":"no_event","message":"it has no name"}]}"#;

/// Answers one request after the other; gives the number of requests that came.
async fn server(answers: &'static [(u16, &'static str)]) -> (String, JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = Tasks::new().spawn("server", async move {
        for (status, body) in answers {
            let (stream, _) = listener.accept().await.unwrap();
            answer(stream, *status, body).await;
        }
        answers.len()
    });
    (url, served)
}

async fn answer(mut stream: TcpStream, status: u16, body: &str) {
    let mut request = Vec::new();
    while !request.ends_with(b"EVENTS") {
        assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0, "{}", String::from_utf8_lossy(&request));
    }
    let length = body.len();
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
}

async fn send(url: &str) -> Result<Sent, Failure> {
    Collector::new(url, "sk", "shop").unwrap().send("import", Bytes::from_static(b"EVENTS")).await
}

#[tokio::test]
async fn what_can_pass_is_tried_again_until_it_is_stored() {
    let (url, served) = server(&[(503, "{}"), (429, "slow down"), (200, "not json"), (200, STORED)]).await;
    let sent = send(&url).await.unwrap();
    assert_eq!((sent.accepted, sent.rejected[0].index), (1, 1));
    assert_eq!(served.await.unwrap(), 4);
}

#[tokio::test]
async fn a_refusal_ends_at_once_with_the_collectors_words() {
    let (url, served) = server(&[(403, r#"{"code":"x","message":"this needs a secret key"}"#)]).await;
    let failure = send(&url).await.unwrap_err();
    assert_eq!(failure.to_string(), "rungs: the collector refused: this needs a secret key (403)");
    served.await.unwrap();
}

#[tokio::test]
async fn an_address_without_a_collector_is_told() {
    let (url, served) = server(&[(404, "nothing here")]).await;
    assert!(send(&url).await.unwrap_err().to_string().contains("is --url the collector's?"));
    served.await.unwrap();
    assert!(Collector::new("https://events.example", "sk", "shop").is_ok());
    let failure = Collector::new("ftp://events.example", "sk", "shop").unwrap_err();
    assert!(failure.to_string().contains("must begin with http:// or https://"), "{failure}");
}

#[test]
fn pauses_grow_and_are_bounded() {
    for failures in 1..60 {
        let pause = pause_after(failures);
        assert!(pause >= FIRST_PAUSE / 2 && pause <= LONGEST_PAUSE, "{failures}: {pause:?}");
    }
}
