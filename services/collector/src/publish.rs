//! Hands a request's events to the log and waits until they are durable: the last step of every request that brings
//! events. Called by `receive`, and by the simulation.
//!
//! Guarantee: `Ok` only when the log acknowledged all of them. An error says that the client must send them again; some
//! may be stored all the same, and their message ids tell the copies.

use std::time::Instant;

use event_log::{Message, PublishError, Publisher};

use crate::outcome::Undecided;

/// How many events were accepted.
pub async fn publish(
    log: &dyn Publisher,
    messages: Vec<Message>,
    open: Undecided<'_>,
) -> Result<u64, PublishError> {
    if messages.is_empty() {
        return Ok(open.published().accept());
    }
    let (started, ack_seconds) = (Instant::now(), &open.metrics().ack_seconds);
    let receipt = match log.publish(messages) {
        Ok(receipt) => receipt,
        Err(error) => {
            open.refuse();
            return Err(error);
        }
    };
    let published = open.published();
    match receipt.await {
        Ok(()) => {
            ack_seconds.observe(started.elapsed().as_secs_f64());
            Ok(published.accept())
        }
        Err(error) => {
            published.refuse();
            Err(error)
        }
    }
}
