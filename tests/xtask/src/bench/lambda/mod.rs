//! The storefront's function on Lambda, beside one that greets.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::load::median;
use super::machine;
use super::report::{Chapter, Measured, Row};
use crate::command::Cmd;
use crate::steps::python;
use crate::workspace::Workspace;

const TITLE: &str = "Lambda";

const ABOUT: &str = "The function of `selvedge build --target lambda` with the storefront, and a hello with lambda_http 1.x, both built by cargo-lambda \
     with the same profile: one process each behind the emulator's runtime API, in turns, the same event of a function URL behind \
     CloudFront again and again, one after the other. An event's time is that from handing it over to its result, with all of the \
     runtime API's. Medians of an event and of all rounds. Written by `cargo xtask bench lambda`.";

/// Pins cargo-lambda.
const REQUIREMENTS: &str = include_str!("../../../../../adapters/lambda/requirements.txt");

const HELLO: &str = "tests/bench/peers/lambda-http-hello";

/// What one kind of event took.
#[derive(Debug, Deserialize)]
struct Times {
    name: String,
    /// Microseconds of the edge and of the hello.
    rounds: Vec<[f64; 2]>,
}

/// Measures everything that is told about the function for Lambda.
pub(super) fn measure(workspace: &Workspace) -> Result<Chapter> {
    let machine = machine::describe();
    let chapter = |rows| Chapter { title: TITLE, about: ABOUT.to_owned(), machine, rows };
    let Some(programs) = programs()? else {
        let reason = "cargo-lambda is not installed: `cargo xtask install` brings it".to_owned();
        let what = "The storefront on Lambda".to_owned();
        return Ok(chapter(vec![Row { what, target: "-", measured: Measured::Skipped(reason) }]));
    };
    let folder = tempfile::tempdir()?;
    let functions = [folder.path().join("edge"), folder.path().join("hello")];
    prepare(workspace, &programs, &functions)?;
    let sizes = [bytes_of(&functions[0])?, bytes_of(&functions[1])?];
    let mut rows = vec![size_row(sizes)];
    let printed = Cmd::cargo(workspace, ["run", "--release", "--quiet", "--package", "selvedge-bench"])
        .args(["--bin", "lambda-invocations", "--"])
        .args(functions)
        .read()?;
    let times: Vec<Times> = serde_json::from_str(&printed).context("cannot read what was measured")?;
    rows.extend(times.iter().map(time_row));
    Ok(chapter(rows))
}

/// Where cargo-lambda is; `None` where it is not.
fn programs() -> Result<Option<PathBuf>> {
    let folder = python::environment(REQUIREMENTS).context("the requirements pin nothing")?.join("bin");
    Ok(folder.join("cargo-lambda").is_file().then_some(folder))
}

/// Builds both functions as one would deploy them.
fn prepare(workspace: &Workspace, programs: &Path, [edge, hello]: &[PathBuf; 2]) -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path =
        std::env::join_paths(std::iter::once(programs.to_owned()).chain(std::env::split_paths(&path)))?;
    let root = &workspace.root;
    Cmd::new(workspace.target_directory.join("release/selvedge").into_os_string())
        .args(["build", "--target", "lambda", "--policy", "examples/storefront/edge.toml", "--out"])
        .arg(edge)
        .env("PATH", &path)
        .dir(root)
        .run()?;
    let built = workspace.target_directory.join("lambda-http-hello");
    Cmd::new("cargo")
        .args(["lambda", "build", "--release", "--locked", "--lambda-dir"])
        .arg(&built)
        .env("PATH", &path)
        // `cargo lambda build` hands `--target-dir` on to commands that do not know it.
        .env("CARGO_TARGET_DIR", &built)
        .dir(&root.join(HELLO))
        .run()?;
    fs::create_dir_all(hello)?;
    fs::copy(built.join("lambda-http-hello/bootstrap"), hello.join("bootstrap"))?;
    Ok(())
}

fn bytes_of(folder: &Path) -> Result<u64> {
    let path = folder.join("bootstrap");
    Ok(fs::metadata(&path).with_context(|| path.display().to_string())?.len())
}

fn size_row(sizes: [u64; 2]) -> Row {
    #[expect(clippy::cast_precision_loss, reason = "a size in MiB is shown with two digits")]
    let [edge, hello] = sizes.map(|bytes| bytes as f64 / (1024.0 * 1024.0));
    Row {
        what: format!("`bootstrap`, stripped (the hello's: {hello:.2} MiB)"),
        target: "at most 8 MiB",
        measured: Measured::AtMost { bound: 8.0, value: edge, unit: "MiB" },
    }
}

fn time_row(Times { name, rounds }: &Times) -> Row {
    let [edge, hello] = [0, 1].map(|at| median(rounds.iter().map(|round| round[at]).collect()));
    Row {
        what: format!("{name}: a warm invocation beside the hello ({edge:.0} against {hello:.0} µs)"),
        target: "at most 1.2 times",
        measured: Measured::AtMost { bound: 1.2, value: edge / hello, unit: "times" },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_compares_the_medians_of_all_rounds() {
        let printed = r#"{ "name": "redirect", "rounds": [[110.0, 100.0], [900.0, 90.0], [100.0, 700.0]] }"#;
        let row = time_row(&serde_json::from_str(printed).expect("it is what is printed"));
        assert_eq!(row.what, "redirect: a warm invocation beside the hello (110 against 100 µs)");
        assert_eq!((row.measured.to_string().as_str(), row.measured.is_missed()), ("1.10 times", false));
    }

    #[test]
    fn only_the_edges_size_has_a_bound() {
        let mebibyte = 1024 * 1024;
        let rows = [([8 * mebibyte, 9 * mebibyte], false), ([8 * mebibyte + 1, mebibyte], true)];
        for (sizes, is_missed) in rows {
            assert_eq!(size_row(sizes).measured.is_missed(), is_missed, "{sizes:?}");
        }
    }
}
