//! Text in columns: widths from the longest cell, numbers to the right, and cells cut so that lines fit.

use console::{Alignment, measure_text_width, pad_str};

/// Between two columns.
const GAP: &str = "  ";

/// A column: its title and a cell for each row.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) cells: Vec<String>,
    pub(super) alignment: Alignment,
}

impl Column {
    /// The first cell is the title.
    pub(super) fn new(alignment: Alignment, title: &str, cells: impl Iterator<Item = String>) -> Self {
        Self { cells: std::iter::once(title.to_owned()).chain(cells).collect(), alignment }
    }

    pub(super) fn left(title: &str, cells: impl Iterator<Item = String>) -> Self {
        Self::new(Alignment::Left, title, cells)
    }

    pub(super) fn right(title: &str, cells: impl Iterator<Item = String>) -> Self {
        Self::new(Alignment::Right, title, cells)
    }

    /// Characters of its longest cell.
    pub(super) fn width(&self) -> usize {
        self.cells.iter().map(|cell| measure_text_width(cell)).max().unwrap_or_default()
    }
}

/// Characters of a line of these columns.
pub(super) fn line_width(columns: &[Column]) -> usize {
    let gaps = columns.len().saturating_sub(1) * GAP.len();
    columns.iter().map(Column::width).sum::<usize>() + gaps
}

/// As many of the columns, from the left, as a line holds; at least one.
pub(super) fn fitting(mut columns: Vec<Column>, width: usize) -> Vec<Column> {
    while columns.len() > 1 && line_width(&columns) > width {
        columns.pop();
    }
    columns
}

/// The lines, without white space at their ends.
pub(super) fn render(columns: &[Column]) -> String {
    let rows = columns.iter().map(|column| column.cells.len()).max().unwrap_or_default();
    let mut text = String::new();
    for row in 0..rows {
        let cells: Vec<String> = columns.iter().map(|column| padded(column, row)).collect();
        text.push_str(cells.join(GAP).trim_end());
        text.push('\n');
    }
    text
}

fn padded(column: &Column, row: usize) -> String {
    let cell = column.cells.get(row).map(String::as_str).unwrap_or_default();
    pad_str(cell, column.width(), column.alignment, None).into_owned()
}
