//! How far an import is, for people: a bar on a terminal, a line every few seconds elsewhere (logs of CI, cron).

use std::cell::Cell;
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::position::Position;
use crate::failure::Failure;
use crate::plural::plural;

const QUIET_INTERVAL: Duration = Duration::from_secs(10);

/// Shows progress on standard error.
pub(super) struct Progress {
    bar: ProgressBar,
    total_bytes: u64,
    last_line: Cell<Instant>,
}

impl Progress {
    /// By the bytes of a file, compressed or not.
    pub(super) fn of(file: &Path) -> Result<Self, Failure> {
        let total_bytes = std::fs::metadata(file)
            .map_err(|error| Failure::new(format!("{} cannot be read: {error}", file.display())))?
            .len();
        let bar = ProgressBar::with_draw_target(Some(total_bytes), ProgressDrawTarget::stderr());
        bar.set_style(style("{bar:32} {percent:>3} %  {msg}  {elapsed} (left: {eta})"));
        Ok(Self { bar, total_bytes, last_line: Cell::new(Instant::now()) })
    }

    pub(super) fn show(&self, read_bytes: u64, position: &Position) {
        let Position { accepted_rows, rejected_rows, .. } = position;
        let rejected = if *rejected_rows > 0 { format!(", {rejected_rows} rejected") } else { String::new() };
        let rows = plural(*accepted_rows, "row") + &rejected;
        if !self.bar.is_hidden() {
            self.bar.set_position(read_bytes);
            self.bar.set_message(rows);
        } else if self.last_line.get().elapsed() >= QUIET_INTERVAL {
            self.last_line.set(Instant::now());
            eprintln!("{rows}, {} % of the file", read_bytes * 100 / self.total_bytes.max(1));
        }
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// A spinner for the time in which the numbers are rebuilt; a line where there is no terminal.
pub(super) fn waiting() -> ProgressBar {
    let spinner = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    spinner.set_style(style("{spinner} {msg}  {elapsed}"));
    const WAITING: &str = "waiting for the rows to be stored and the numbers to be rebuilt";
    match spinner.is_hidden() {
        true => eprintln!("{WAITING}"),
        false => spinner.enable_steady_tick(Duration::from_millis(150)),
    }
    spinner.set_message(WAITING);
    spinner
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
