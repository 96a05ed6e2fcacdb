//! The console over HTTP, with made-up numbers: shapes, refusals, streams, who may read, and the page's files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod answers;
mod contrast;
mod fake;
mod following;
mod page;
mod running;
mod streams;
