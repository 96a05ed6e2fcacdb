//! Command lines: every one in a document is understood by the program, and `docs/cli.md` has every command and flag.

use std::process::Command;

use crate::{docs, none, tree};

/// (exit code, what it printed).
fn rungs(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_rungs")).args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
}

/// The commands that help lists, deep: `up`, `plan apply`, …
fn listed(parent: &[&str]) -> Vec<String> {
    let (_, help) = rungs(&[parent, &["--help"]].concat());
    let Some((_, rest)) = help.split_once("\nCommands:\n") else { return Vec::new() };
    let lines = rest.lines().take_while(|line| !line.is_empty());
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let mut found = Vec::new();
    for name in names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help") {
        let path = [parent, &[name]].concat();
        let below = listed(&path);
        if below.is_empty() {
            found.push(path.join(" "));
        }
        found.extend(below);
    }
    found
}

/// The long flags of a command, without `--help` and `--version`.
fn flags(command: &str) -> Vec<String> {
    let arguments: Vec<&str> = command.split(' ').chain(["--help"]).collect();
    let (code, help) = rungs(&arguments);
    assert_eq!(code, 0, "rungs {command} --help: {help}");
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with("--"));
    lines.map(|line| line.split([' ', '=']).next().unwrap().to_owned()).collect()
}

#[test]
fn every_command_has_a_section_with_its_flags() {
    let cli = docs::doc("docs/cli.md");
    let mut problems = Vec::new();
    for command in listed(&[]).into_iter().chain(["demo-visitors".to_owned()]) {
        let heading = format!("## `rungs {command}`");
        if !cli.text.lines().any(|line| line == heading) {
            problems.push(format!("docs/cli.md has no section {heading}"));
            continue;
        }
        let told: Vec<String> = cli
            .first_cells(&heading)
            .iter()
            .filter_map(|cell| Some(cell.split(' ').next()?.to_owned()))
            .collect();
        let told: Vec<String> = told.into_iter().filter(|cell| cell.starts_with("--")).collect();
        let known = flags(&command);
        problems.extend(
            known.iter().filter(|f| !told.contains(f)).map(|f| format!("rungs {command} {f}: not told")),
        );
        problems.extend(
            told.iter().filter(|f| !known.contains(f)).map(|f| format!("rungs {command} has no {f}")),
        );
    }
    none(problems);
}

#[test]
fn every_command_line_in_a_document_is_understood() {
    let mut problems = Vec::new();
    for doc in docs::all() {
        let blocks = doc.blocks().into_iter().filter(|block| block.language == "sh").map(|block| block.text);
        let lines = blocks.flat_map(|text| {
            text.replace("\\\n", " ").lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>()
        });
        for line in lines.chain(doc.spans()) {
            for arguments in command_lines(&line) {
                let mut with_help: Vec<&str> = arguments.iter().map(String::as_str).collect();
                if with_help.first() != Some(&"help") {
                    with_help.push("--help");
                }
                let (code, text) = rungs(&with_help);
                if code != 0 {
                    problems.push(format!("{}: rungs {}\n{text}", doc.path, arguments.join(" ")));
                }
            }
        }
    }
    none(problems);
}

#[test]
fn every_make_target_is_told_and_every_told_one_exists() {
    let makefile = tree::read("Makefile");
    let is_target =
        |line: &&str| line.starts_with(|first: char| first.is_ascii_lowercase()) && line.contains(" ## ");
    let targets = makefile.lines().filter(is_target);
    let targets: Vec<&str> = targets.filter_map(|line| line.split(':').next()).collect();
    let mut problems = Vec::new();
    let contributing = docs::doc("CONTRIBUTING.md");
    let told = |target: &&&str| contributing.has_span(&format!("make {target}"));
    problems.extend(
        targets.iter().filter(|target| !told(target)).map(|target| format!("make {target}: not told")),
    );
    for doc in docs::all() {
        for span in doc.spans() {
            let Some(target) = span.strip_prefix("make ").and_then(|rest| rest.split(' ').next()) else {
                continue;
            };
            if !targets.contains(&target) {
                problems.push(format!("{}: there is no `make {target}`", doc.path));
            }
        }
    }
    none(problems);
}

/// The arguments of the calls of `rungs` in a line; `apply|show` are two calls. What follows a pipe, a redirection or a
/// comment is not part of it.
fn command_lines(line: &str) -> Vec<Vec<String>> {
    let mut words = words_of(line).into_iter().peekable();
    while words
        .next_if(|word| word.split_once('=').is_some_and(|(name, _)| name.starts_with("RUNGS_")))
        .is_some()
    {}
    if !words.next().is_some_and(|word| word == "rungs" || word == "target/release/rungs") {
        return Vec::new();
    }
    let ends = |word: &String| ["|", ">", "&", "#", "&&", "\\"].contains(&word.as_str());
    let arguments: Vec<String> = words.take_while(|word| !ends(word)).collect();
    let Some(at) = arguments.iter().position(|word| word.contains('|')) else { return vec![arguments] };
    let with = |one: &str| {
        let mut with = arguments.clone();
        with[at] = one.to_owned();
        with
    };
    arguments[at].split('|').map(with).collect()
}

/// Words as a shell cuts them, with quotes.
fn words_of(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for letter in line.chars() {
        match (quote, letter) {
            (None, '\'' | '"') => quote = Some(letter),
            (Some(open), _) if open == letter => quote = None,
            (None, ' ') => words.push(std::mem::take(&mut word)),
            _ => word.push(letter),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}
