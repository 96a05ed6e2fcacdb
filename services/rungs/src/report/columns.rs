//! Text in columns: widths from the longest cell, numbers to the right, in several blocks where one is too wide. Used by what
//! `rungs report`, `rungs check` and `rungs plan history` print.

use console::{Alignment, measure_text_width, pad_str};

/// Between two columns.
const GAP: &str = "  ";

/// A column: its title and a cell for each row.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(super) cells: Vec<String>,
    pub(super) alignment: Alignment,
}

impl Column {
    /// The first cell is the title.
    pub(super) fn new(alignment: Alignment, title: &str, cells: impl Iterator<Item = String>) -> Self {
        Self { cells: std::iter::once(title.to_owned()).chain(cells).collect(), alignment }
    }

    pub(crate) fn left(title: &str, cells: impl Iterator<Item = String>) -> Self {
        Self::new(Alignment::Left, title, cells)
    }

    pub(crate) fn right(title: &str, cells: impl Iterator<Item = String>) -> Self {
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

/// The columns as blocks of lines that hold them all: the first block begins with `first`, the others, where one is not
/// enough, with `again`. A block has one of the columns at least.
pub(super) fn in_blocks(
    first: &[Column],
    again: &Column,
    columns: Vec<Column>,
    width: usize,
) -> Vec<Vec<Column>> {
    let mut blocks = Vec::new();
    let (mut block, mut begins_with) = (first.to_vec(), first.len());
    for column in columns {
        let is_full = line_width(&block) + GAP.len() + column.width() > width;
        if is_full && block.len() > begins_with {
            begins_with = 1;
            blocks.push(std::mem::replace(&mut block, vec![again.clone()]));
        }
        block.push(column);
    }
    blocks.push(block);
    blocks
}

/// Blocks of lines, an empty line between two.
pub(super) fn render_blocks(blocks: &[Vec<Column>]) -> String {
    blocks.iter().map(|block| render(block)).collect::<Vec<_>>().join("\n")
}

/// The lines, without white space at their ends.
pub(crate) fn render(columns: &[Column]) -> String {
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
