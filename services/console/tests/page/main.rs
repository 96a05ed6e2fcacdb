//! The live page in headless Chromium, with made-up numbers: every state on a desktop and on a phone, in light and dark, by
//! keyboard, under its strict policy, and how much it weighs. `RUNGS_SCREENSHOTS=FOLDER` keeps what was seen.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, dead_code)]

mod awake;
#[path = "../../../rungs/tests/program/browser.rs"]
mod browser;
#[path = "../api/fake.rs"]
mod fake;
mod keyboard;
mod ladder;
mod lists;
mod looks;
#[path = "../api/running.rs"]
mod running;
mod trends;
mod weight;

impl running::Running {
    /// The page with all its parts drawn.
    fn whole_page(&self, chromium: std::path::PathBuf) -> browser::Page {
        let address = format!("{}/?window=7d&breakdown=channel&arriving=open", self.url);
        let mut page = browser::Page::open(chromium, &address);
        page.until("document.querySelectorAll('.trend .line').length", &5.into());
        page
    }
}
