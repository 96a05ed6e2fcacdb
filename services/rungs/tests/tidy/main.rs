//! Nothing lags: what the docs name is in the code, what the code has is in the docs, and the code keeps the rules of
//! CONTRIBUTING.md. A file a subject; each failure lists everything that is wrong at once.
//!
//! Tables of settings and metrics are generated: `UPDATE_DOCS=1 cargo test -p rungs --test tidy` writes them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod commands;
mod docs;
mod generated;
mod metrics;
mod names;
mod paths;
mod plan;
mod routes;
mod settings;
mod sources;
mod tables;
mod tree;

/// Fails with all of `problems`, if there are any.
fn none(problems: Vec<String>) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}
