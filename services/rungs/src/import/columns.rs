//! Which column of a file becomes what. Columns of a CSV file are those of its first line, columns of NDJSON are keys,
//! and dots reach into objects.

/// The columns that an import reads; all others are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Columns {
    /// Identifies a visitor.
    pub(crate) visitor: String,
    /// The event's name.
    pub(crate) event: String,
    /// When it happened.
    pub(crate) time: String,
    /// Property and column.
    pub(crate) properties: Vec<(String, String)>,
}

impl Columns {
    /// Every column that is read, properties last.
    pub(super) fn all(&self) -> impl Iterator<Item = &str> {
        let required = [self.visitor.as_str(), self.event.as_str(), self.time.as_str()];
        required.into_iter().chain(self.properties.iter().map(|(_, column)| column.as_str()))
    }
}
