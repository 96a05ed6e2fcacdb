//! Turns a worker's replies into an HTTP answer with ClickHouse's headers.
//!
//! An error before the first byte is a status with `X-ClickHouse-Exception-Code`. One after it cannot change the status
//! any more: it is written at the end of the body between `__exception__` lines with the tag that was announced in
//! `X-ClickHouse-Exception-Tag`, and the connection breaks off, so that no client takes the part for the whole.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::{CONTENT_TYPE, RETRY_AFTER};
use bytes::Bytes;
use rand::Rng;
use rand::distr::Alphanumeric;
use tokio::sync::mpsc;

use super::execute::{Head, Reply};
use super::{EmbeddedError, formats, status};

/// Longest answer that is put together before it is sent, so that it carries its length.
const GATHERED_BYTES: usize = 64 * 1024;

/// Between an exception's text and the break of its connection, which throws away what is not yet in the socket.
const FLUSH_PAUSE: Duration = Duration::from_millis(100);

/// The answer to one query, streamed when it is long.
pub(super) async fn answer(mut replies: mpsc::Receiver<Reply>, query_id: &str) -> HttpResponse {
    let head = match replies.recv().await {
        Some(Reply::Head(head)) => head,
        Some(Reply::Failed(error)) => return failure(&error, query_id),
        _ => return failure(&died(), query_id),
    };
    let mut gathered = Vec::new();
    while gathered.len() < GATHERED_BYTES {
        match replies.recv().await {
            Some(Reply::Chunk(chunk)) => gathered.extend_from_slice(&chunk),
            Some(Reply::End) => return success(&head, query_id).body(gathered),
            Some(Reply::Failed(error)) => return failure(&error, query_id),
            _ => return failure(&died(), query_id),
        }
    }
    let tag = random_text(16);
    let mut response = success(&head, query_id);
    response.insert_header(("X-ClickHouse-Exception-Tag", tag.clone()));
    response.streaming(stream(Bytes::from(gathered), replies, tag))
}

/// An error known before anything was sent.
pub(super) fn failure(error: &EmbeddedError, query_id: &str) -> HttpResponse {
    let mut response = HttpResponse::build(status::status_of(error));
    if matches!(error, EmbeddedError::Busy { .. } | EmbeddedError::ShuttingDown) {
        response.insert_header((RETRY_AFTER, "1"));
    }
    response
        .insert_header((CONTENT_TYPE, "text/plain; charset=UTF-8"))
        .insert_header(("X-ClickHouse-Exception-Code", error.code().to_string()))
        .insert_header(("X-ClickHouse-Query-Id", query_id))
        .body(format!("{error}\n"))
}

fn success(head: &Head, query_id: &str) -> actix_web::HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response
        .insert_header((CONTENT_TYPE, formats::media_type(&head.format)))
        .insert_header(("X-ClickHouse-Query-Id", query_id))
        .insert_header(("X-ClickHouse-Format", head.format.as_str()))
        .insert_header(("X-ClickHouse-Timezone", "UTC"))
        .insert_header(("X-ClickHouse-Server-Display-Name", "rungs-embedded"))
        .insert_header(("X-ClickHouse-Summary", summary(head)));
    response
}

/// ClickHouse sends every number as a JSON string.
fn summary(head: &Head) -> String {
    let Head { rows_read, bytes_read, rows_written, bytes_written, elapsed, .. } = head;
    format!(
        r#"{{"read_rows":"{rows_read}","read_bytes":"{bytes_read}","written_rows":"{rows_written}","written_bytes":"{bytes_written}","total_rows_to_read":"0","result_rows":"0","result_bytes":"0","elapsed_ns":"{}"}}"#,
        elapsed.as_nanos()
    )
}

/// Where a streamed answer stands.
enum Stage {
    First(Bytes),
    Following,
    Failed,
    Ended,
}

fn stream(
    first: Bytes,
    replies: mpsc::Receiver<Reply>,
    tag: String,
) -> impl futures_util::Stream<Item = Result<Bytes, EmbeddedError>> {
    futures_util::stream::unfold(
        (Stage::First(first), replies, tag),
        |(stage, mut replies, tag)| async move {
            let (item, next) = match stage {
                Stage::First(bytes) => (Ok(bytes), Stage::Following),
                Stage::Failed => {
                    actix_web::rt::time::sleep(FLUSH_PAUSE).await;
                    (Err(died()), Stage::Ended)
                }
                Stage::Ended => return None,
                Stage::Following => match replies.recv().await {
                    Some(Reply::Chunk(chunk)) => (Ok(chunk), Stage::Following),
                    Some(Reply::End) => return None,
                    Some(Reply::Failed(error)) => (Ok(exception_text(&error, &tag)), Stage::Failed),
                    _ => (Ok(exception_text(&died(), &tag)), Stage::Failed),
                },
            };
            Some((item, (next, replies, tag)))
        },
    )
}

/// The end of a body whose query failed, in the form ClickHouse 25.11 and later write it.
fn exception_text(error: &EmbeddedError, tag: &str) -> Bytes {
    let message = format!("{error}\n");
    let length = message.len();
    format!("\r\n__exception__\r\n{tag}\r\n{message}{length} {tag}\r\n__exception__\r\n").into()
}

fn died() -> EmbeddedError {
    EmbeddedError::engine("Code: 1001. DB::Exception: the query's worker ended before its result")
}

/// Random letters and digits, for query ids and exception tags.
pub(super) fn random_text(length: usize) -> String {
    rand::rng().sample_iter(Alphanumeric).take(length).map(char::from).collect()
}
