//! Mistakes in a plan or in settings, printed as a compiler prints them: file and line, what is wrong, the line itself,
//! what to do. `rungs check`, `rungs plan apply` and the file watcher of `rungs up` use it.

use std::fmt::Write as _;

use checked_toml::Problem;

use crate::plural::plural;

/// All problems as text, each with its line of `text`, and a last line that counts them.
pub(crate) fn render(problems: &[Problem], text: &str) -> String {
    list(problems, text) + &plural(problems.len() as u64, "mistake")
}

/// All problems as text, each with its line of `text`.
pub(crate) fn list(problems: &[Problem], text: &str) -> String {
    let mut rendered = String::new();
    for problem in problems {
        let _ = one(&mut rendered, problem, text);
    }
    rendered
}

fn one(to: &mut String, problem: &Problem, text: &str) -> std::fmt::Result {
    let Problem { file, line, message, hint } = problem;
    let source = line.checked_sub(1).and_then(|index| text.lines().nth(index));
    match line {
        0 => writeln!(to, "{file}: error: {message}")?,
        _ => writeln!(to, "{file}:{line}: error: {message}")?,
    }
    if let Some(source) = source.filter(|source| !source.trim().is_empty()) {
        writeln!(to, "  {line:>4} | {}", source.trim_end())?;
    }
    let mut hint_lines = hint.lines();
    if let Some(first) = hint_lines.next() {
        writeln!(to, "  hint: {first}")?;
    }
    hint_lines.try_for_each(|more| writeln!(to, "        {more}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_shows_its_line_and_the_hint() {
        let problem = Problem {
            file: "plan.toml".into(),
            line: 2,
            message: "unknown key `evnt`".into(),
            hint: "did you mean `event`?".into(),
        };
        let rendered = render(&[problem], "id = \"view\"\nevnt = \"seen\"\n");
        assert_eq!(
            rendered,
            "plan.toml:2: error: unknown key `evnt`\n     2 | evnt = \"seen\"\n  hint: did you mean `event`?\n1 mistake"
        );
    }

    #[test]
    fn a_problem_of_the_whole_file_shows_no_line() {
        let problem = |message: &str| Problem {
            file: "plan.toml".into(),
            line: 0,
            message: message.into(),
            hint: String::new(),
        };
        let rendered = render(&[problem("empty"), problem("cannot be read")], "");
        assert_eq!(rendered, "plan.toml: error: empty\nplan.toml: error: cannot be read\n2 mistakes");
    }
}
