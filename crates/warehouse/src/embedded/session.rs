//! One worker's connection together with what was last set on it: brings it to a request's database and settings.
//!
//! Over HTTP every request starts from a clean session. Setting and resetting for each would cost two statements a
//! request (0.2 ms each); a service repeats the same settings, so only the difference to the last request is applied.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::engine::{BASE_SETTINGS, Engine};
use super::{Connection, EmbeddedError};

/// A connection that knows its current database and settings.
pub(super) struct Session {
    engine: Arc<Engine>,
    connection: Connection,
    database: String,
    settings: BTreeMap<String, String>,
}

impl Session {
    pub(super) fn new(engine: Arc<Engine>, connection: Connection) -> Self {
        Self { engine, connection, database: "default".to_owned(), settings: BTreeMap::new() }
    }

    /// The connection, with `database` current and exactly `settings` applied over the base ones.
    pub(super) fn prepare(
        &mut self,
        database: &str,
        settings: &BTreeMap<String, String>,
    ) -> Result<&mut Connection, EmbeddedError> {
        if self.database != database {
            self.connection.query(&format!("USE {}", quoted_name(database)), "Null", &[])?;
            self.database = database.to_owned();
        }
        if self.settings != *settings {
            self.apply(settings)?;
        }
        Ok(&mut self.connection)
    }

    fn apply(&mut self, settings: &BTreeMap<String, String>) -> Result<(), EmbeddedError> {
        let reset = self.settings.keys().filter(|name| !settings.contains_key(*name));
        let mut list: Vec<String> = reset.map(|name| format!("{name} = {}", base_value(name))).collect();
        let changed = settings.iter().filter(|(name, value)| self.settings.get(*name) != Some(value));
        list.extend(changed.map(|(name, value)| format!("{name} = {}", quoted_text(value))));
        if let Err(error) = self.connection.query(&format!("SET {}", list.join(", ")), "Null", &[]) {
            // Some of the list may be in force; a fresh connection is the one state that is known.
            self.renew()?;
            return Err(error);
        }
        self.settings = settings.clone();
        Ok(())
    }

    /// Replaces the connection, for statements that leave traces in it (SET, USE, temporary tables).
    pub(super) fn renew(&mut self) -> Result<(), EmbeddedError> {
        self.connection = self.engine.connect()?;
        self.database = "default".to_owned();
        self.settings.clear();
        Ok(())
    }
}

fn base_value(name: &str) -> String {
    let base = BASE_SETTINGS.iter().find(|(base, _)| *base == name);
    base.map_or_else(|| "DEFAULT".to_owned(), |(_, value)| quoted_text(value))
}

/// `name` as a ClickHouse identifier, whatever it holds.
fn quoted_name(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

/// `value` as a ClickHouse string literal.
fn quoted_text(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_cannot_be_left() {
        assert_eq!(quoted_name("a`; DROP"), "`a\\`; DROP`");
        assert_eq!(quoted_text("1' OR \\"), "'1\\' OR \\\\'");
    }
}
