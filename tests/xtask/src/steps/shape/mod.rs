//! The shape of the source: short files, short functions, no leftover markers.

mod source;

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};

use crate::runner::Ran;
use crate::steps::walk;
use crate::workspace::Workspace;

const MAX_FILE_LINES: usize = 600;
const MAX_FUNCTION_LINES: usize = 60;
const SOURCES: [&str; 5] = ["rs", "mjs", "js", "ts", "sh"];
/// Words that a person leaves behind and means to come back to; spelled apart, since this file is checked too.
const MARKERS: [&str; 4] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("todo", "!"), concat!("unimple", "mented!")];

/// Checks every source file of the repository.
pub(crate) fn run(workspace: &Workspace) -> Result<Ran> {
    let mut faults = Vec::new();
    let mut checked = 0;
    for path in walk::files(&workspace.root)? {
        let extension = path.extension().and_then(|extension| extension.to_str());
        if extension.is_some_and(|extension| SOURCES.contains(&extension)) {
            let bytes = fs::read(workspace.root.join(&path))?;
            faults.extend(faults_of(&path, &String::from_utf8_lossy(&bytes)));
            checked += 1;
        }
    }
    if !faults.is_empty() {
        bail!("{} faults of shape:\n  {}", faults.len(), faults.join("\n  "));
    }
    anstream::println!("{checked} source files have the right shape");
    Ok(Ran::Passed)
}

fn faults_of(path: &Path, text: &str) -> Vec<String> {
    let at = |line: usize, fault: String| format!("{}:{line}: {fault}", path.display());
    let mut faults: Vec<_> =
        markers(text).map(|(line, marker)| at(line, format!("leftover `{marker}`"))).collect();
    if is_test(path) {
        return faults;
    }
    let is_rust = path.extension().is_some_and(|extension| extension == "rs");
    let lines = if is_rust { source::without_tests(text).lines } else { text.lines().count() };
    if lines > MAX_FILE_LINES {
        faults.push(at(1, format!("{lines} lines without tests, at most {MAX_FILE_LINES}")));
    }
    let functions = if is_rust { source::functions(text) } else { Vec::new() };
    let long = functions.into_iter().filter(|function| function.lines > MAX_FUNCTION_LINES);
    let fault = |f: source::Function| {
        at(f.line, format!("fn {} has {} lines, at most {MAX_FUNCTION_LINES}", f.name, f.lines))
    };
    faults.extend(long.map(fault));
    faults
}

/// Returns each marker with the number of its line.
fn markers(text: &str) -> impl Iterator<Item = (usize, &'static str)> {
    let found = |line: &str, marker: &str| {
        line.match_indices(marker).any(|(at, _)| stands_alone(line, at, marker.len()))
    };
    text.lines().enumerate().flat_map(move |(index, line)| {
        MARKERS.into_iter().filter(move |marker| found(line, marker)).map(move |marker| (index + 1, marker))
    })
}

fn stands_alone(line: &str, at: usize, len: usize) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let before = line[..at].chars().next_back();
    let after = line[at + len..].chars().next();
    !before.is_some_and(is_word) && (line[..at + len].ends_with('!') || !after.is_some_and(is_word))
}

/// Returns whether a file holds nothing but tests: `tests.rs`, or below a package's `tests` folder.
fn is_test(path: &Path) -> bool {
    let mut parents = path.parent().into_iter().flat_map(Path::components);
    let is_top = parents.next().is_none();
    let below_tests = !is_top && parents.any(|component| component.as_os_str() == "tests");
    below_tests || path.file_name().is_some_and(|name| name == "tests.rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function_of(lines: usize) -> String {
        format!("fn long() {{\n{}}}\n", "    step();\n".repeat(lines - 2))
    }

    #[test]
    fn the_limits_are_the_longest_that_pass() {
        let path = Path::new("core/src/a.rs");
        assert_eq!(faults_of(path, &function_of(60)), Vec::<String>::new());
        assert_eq!(faults_of(path, &function_of(61)), ["core/src/a.rs:1: fn long has 61 lines, at most 60"]);
        assert_eq!(faults_of(path, &"const A: u8 = 1;\n".repeat(600)), Vec::<String>::new());
        let long = faults_of(path, &"const A: u8 = 1;\n".repeat(601));
        assert_eq!(long, ["core/src/a.rs:1: 601 lines without tests, at most 600"]);
    }

    #[test]
    fn tests_may_be_long_wherever_they_are() {
        let long = function_of(700);
        for path in ["core/src/cache/tests.rs", "core/tests/laws.rs", "tests/conformance/tests/core.rs"] {
            assert_eq!(faults_of(Path::new(path), &long), Vec::<String>::new(), "{path} holds tests only");
        }
        let module = format!("#[cfg(test)]\nmod tests {{\n{long}}}\n");
        assert_eq!(faults_of(Path::new("core/src/a.rs"), &module), Vec::<String>::new());
        let path = Path::new("tests/bench/src/lib.rs");
        assert_eq!(faults_of(path, &long).len(), 2, "the top folder `tests` holds crates like any other");
    }

    #[test]
    fn markers_are_found_in_code_and_comments_but_not_inside_words() {
        let [todo, fixme, todo_macro, _] = MARKERS;
        let cases = [
            (format!("// {todo}: later"), Some(todo)),
            (format!("x(); // {fixme}"), Some(fixme)),
            (format!("    {todo_macro}(\"later\")"), Some(todo_macro)),
            (format!("const {todo}IST: u8 = 1;"), None),
            (format!("MY_{todo}"), None),
            ("to do".to_owned(), None),
        ];
        for (line, expected) in cases {
            let found: Vec<_> = markers(&line).collect();
            assert_eq!(found, expected.map(|marker| (1, marker)).into_iter().collect::<Vec<_>>(), "{line}");
        }
    }

    #[test]
    fn javascript_is_held_to_the_length_of_files() {
        let text = "call();\n".repeat(601);
        assert_eq!(faults_of(Path::new("adapters/js/driver.mjs"), &text).len(), 1);
    }
}
