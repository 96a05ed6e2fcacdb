//! The tag in headless Chromium, on pages of another origin than the collector's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../../../rungs/tests/program/browser.rs"]
#[allow(dead_code)]
mod browser;
mod consent;
mod delivery;
mod extra;
mod guarded;
mod links;
mod minified;
mod page;
mod site;
mod steps;
#[path = "../http/support.rs"]
#[allow(dead_code)]
mod support;
