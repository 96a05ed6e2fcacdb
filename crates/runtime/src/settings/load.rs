//! From `rungs.toml` and the environment to [`Settings`]. The environment wins; everything that is wrong in either is
//! told at once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use checked_toml::{Document, Problem, Table, did_you_mean};

use super::keys::{self, Key, Place};
use super::read::{Raw, Wrong};
use super::{Settings, secrets};

/// Pairs of numbers of which the first must not be larger than the second.
const NO_LARGER: [[(&str, &str); 2]; 4] = [
    [("collector", "max_event"), ("collector", "max_body")],
    [("collector", "max_body"), ("collector", "max_expanded")],
    [("collector", "max_body"), ("collector", "max_in_flight")],
    [("aggregator", "minute_history"), ("aggregator", "hour_history")],
];

impl Settings {
    /// Reads the file, if there is one, and the environment's variables `RUNGS_SECTION__KEY`; other variables are left
    /// alone. `env` is usually [`environment`](super::environment).
    ///
    /// # Errors
    /// Everything that is wrong: the file's problems by line, then the environment's by name, which stand in
    /// [`Problem::file`].
    pub fn load(
        path: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Vec<Problem>> {
        let mut loader = Loader::new();
        if let Some(path) = path {
            loader.load_file(path);
        }
        loader.load_environment(env.collect());
        loader.compare();
        match loader.problems.is_empty() {
            true => Ok(loader.settings),
            false => Err(loader.problems),
        }
    }
}

struct Loader {
    keys: Vec<Key>,
    settings: Settings,
    problems: Vec<Problem>,
    /// Where a value came from: file and line, or variable and 0.
    sources: BTreeMap<(&'static str, &'static str), (String, usize)>,
}

impl Loader {
    fn new() -> Self {
        let (settings, problems, sources) = Default::default();
        Self { keys: keys::all(), settings, problems, sources }
    }

    fn load_file(&mut self, path: &Path) {
        let name = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => self.load_text(&name, &text, path.parent().unwrap_or(Path::new("."))),
            Err(error) => {
                let message = format!("the settings cannot be read: {error}");
                let hint = "without --settings the defaults are used".to_owned();
                self.problems.push(Problem { file: name, line: 0, message, hint });
            }
        }
    }

    fn load_text(&mut self, name: &str, text: &str, folder: &Path) {
        let document = match Document::parse(name, text) {
            Ok(document) => document,
            Err(problems) => return self.problems.extend(problems),
        };
        let root = document.root();
        let sections: BTreeSet<&'static str> = self.keys.iter().map(|key| key.section).collect();
        for section in sections {
            if let Some(table) = root.table(section) {
                table.describe(format!("[{section}]"));
                self.load_section(name, section, &table, folder);
                table.finish();
            }
        }
        root.finish();
        self.problems.extend(document.into_problems());
    }

    fn load_section(&mut self, file: &str, section: &str, table: &Table<'_>, folder: &Path) {
        for key in self.keys.iter().filter(|key| key.section == section) {
            let wrong = |line: usize, name: &str, Wrong { message, hint }: Wrong| {
                table.report(line, format!("{name} of [{section}] {message}"), hint);
            };
            if let Some(value) = table.value(key.name) {
                self.sources.insert((key.section, key.name), (file.to_owned(), value.line()));
                let put = key.place.put(Raw::File(value), &mut self.settings);
                put.unwrap_or_else(|problem| wrong(value.line(), key.name, problem));
                if let Place::File(field) = &key.place
                    && let Some(file) = field(&mut self.settings)
                {
                    *file = folder.join(&*file);
                }
            }
            let Place::Secret { field, file_key } = &key.place else { continue };
            let Some(path) = table.text(file_key) else { continue };
            if table.contains(key.name) {
                wrong(path.line, file_key, given_twice(key.name));
            }
            match secrets::read_file(folder, path.value) {
                Ok(secret) => *field(&mut self.settings) = Some(secret),
                Err(problem) => wrong(path.line, file_key, problem),
            }
        }
    }

    fn load_environment(&mut self, variables: BTreeMap<String, String>) {
        for (variable, text) in &variables {
            let Some((section, name)) =
                variable.strip_prefix("RUNGS_").and_then(|rest| rest.split_once("__"))
            else {
                continue;
            };
            let (section, name) = (section.to_ascii_lowercase(), name.to_ascii_lowercase());
            if let Err(Wrong { message, hint }) =
                self.put_variable(variable, &section, &name, text, &variables)
            {
                self.problems.push(Problem { file: variable.clone(), line: 0, message, hint });
            }
        }
    }

    fn put_variable(
        &mut self,
        variable: &str,
        section: &str,
        name: &str,
        text: &str,
        variables: &BTreeMap<String, String>,
    ) -> Result<(), Wrong> {
        let in_section = || self.keys.iter().filter(|key| key.section == section);
        if let Some(key) = in_section().find(|key| key.name == name) {
            self.sources.insert((key.section, key.name), (variable.to_owned(), 0));
            return key.place.put(Raw::Environment(text), &mut self.settings);
        }
        for key in in_section() {
            if let Place::Secret { field, file_key } = &key.place
                && *file_key == name
            {
                if variables.contains_key(&key.variable()) {
                    return Err(given_twice(&key.variable()));
                }
                if !text.trim().is_empty() {
                    *field(&mut self.settings) = Some(secrets::read_file(Path::new(""), text.trim())?);
                }
                return Ok(());
            }
        }
        Err(unknown(variable, &self.keys))
    }

    /// Compares what was set; values that were refused still have their defaults and are not blamed again.
    fn compare(&mut self) {
        if !self.problems.is_empty() {
            return;
        }
        for [small, large] in NO_LARGER {
            let (Some((low, low_text)), Some((high, high_text))) = (self.number(small), self.number(large))
            else {
                continue;
            };
            let source = self.sources.get(&small).or_else(|| self.sources.get(&large));
            if let (true, Some((file, line))) = (low > high, source) {
                let message = format!(
                    "{} of [{}] is {low_text}, larger than {} {high_text}",
                    small.1, small.0, large.1
                );
                let hint = format!("raise {} or lower {}", large.1, small.1);
                self.problems.push(Problem { file: file.clone(), line: *line, message, hint });
            }
        }
    }

    fn number(&self, (section, name): (&str, &str)) -> Option<(u64, String)> {
        let key = self.keys.iter().find(|key| key.section == section && key.name == name)?;
        let Place::Number(number) = &key.place else { return None };
        let value = (number.get)(&self.settings);
        Some((value, number.written(value)))
    }
}

impl Key {
    /// The environment variable of the setting.
    pub(super) fn variable(&self) -> String {
        variable(self.section, self.name)
    }
}

pub(super) fn variable(section: &str, name: &str) -> String {
    format!("RUNGS_{}__{}", section.to_ascii_uppercase(), name.to_ascii_uppercase())
}

fn given_twice(other: &str) -> Wrong {
    Wrong { message: format!("is given beside {other}"), hint: "keep one of the two".to_owned() }
}

fn unknown(name: &str, keys: &[Key]) -> Wrong {
    let files = keys.iter().filter_map(|key| match key.place {
        Place::Secret { file_key, .. } => Some(variable(key.section, file_key)),
        _ => None,
    });
    let variables: Vec<String> = keys.iter().map(Key::variable).chain(files).collect();
    let hint = match did_you_mean(name, variables.iter().map(String::as_str)) {
        Some(near) => format!("did you mean {near}?"),
        None => {
            "variables are RUNGS_SECTION__KEY; the reference of settings lists sections and keys".to_owned()
        }
    };
    Wrong { message: "there is no such setting".to_owned(), hint }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
