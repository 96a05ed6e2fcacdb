//! Reads TOML written by people and reports **every** mistake in it, each with its line and what to do about it.
//!
//! A reader asks a [`Table`] for what it expects (`table.text("id")`); a wrong type is recorded in the [`Document`]
//! and the getter answers `None`, so that reading goes on. [`Table::finish`] records keys that nobody asked for.
//! At the end [`Document::into_problems`] tells whether the file is good. The tracking plan and the settings are read
//! with it.
//!
//! ```
//! let document = checked_toml::Document::parse("pets.toml", "name = 'Rex'\nlegs = 'four'\nagee = 3\n").unwrap();
//! let pet = document.root();
//! assert_eq!(pet.text("name").map(|name| name.value), Some("Rex"));
//! assert!(pet.integer("legs").is_none());
//! pet.integer("age");
//! pet.finish();
//! let problems: Vec<_> = document.into_problems().iter().map(|problem| problem.to_string()).collect();
//! assert_eq!(problems, [
//!     "pets.toml:2: legs must be a whole number, not text",
//!     "pets.toml:3: unknown key `agee` (hint: did you mean `age`?)",
//! ]);
//! ```

mod document;
pub mod number_text;
mod problem;
mod suggest;
mod syntax;
mod table;
pub mod units;
mod value;

pub use document::Document;
pub use problem::Problem;
pub use suggest::{did_you_mean, misspelt};
pub use table::Table;
pub use value::{Located, Value};
