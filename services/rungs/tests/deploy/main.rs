//! What Rungs is deployed by: docker-compose.yml, the Dockerfile, k8s/. No container runs here; instead every file is
//! read by the libraries that Docker and Kubernetes use themselves (`scripts/deploy-check`, fetched and built once by
//! `scripts/fetch-deploy-tools.sh`), held against schemas and rules, and against what the program knows: each argument,
//! variable, port and path in a container's description. What the compose file describes is also started, as processes
//! of their own with the arguments, environment, order and health checks that stand in it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../program/mod.rs"]
mod program;

#[allow(dead_code)] // the tests of faults use the rest
#[path = "../production/part.rs"]
mod part;

mod compose;
mod composed;
mod container;
mod image;
mod kubernetes;
mod monitoring;
mod network;
mod references;
mod running;
mod tools;

/// Fails with all of `problems`, if there are any.
fn none(problems: Vec<String>) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}
