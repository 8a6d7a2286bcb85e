//! The steps of `cargo xtask test`, in the order in which they run: the cheap ones first.

mod cargo;
pub(crate) mod generated;
mod npm;
pub(crate) mod python;
mod rules;
mod shape;
pub(crate) mod toolchain;
mod unused;
mod walk;
mod wasm;

use crate::runner::{Ran, Selection, Step};
use crate::workspace::Workspace;

/// Declares a step.
const fn step(name: &'static str, about: &'static str, run: fn(&Workspace) -> anyhow::Result<Ran>) -> Step {
    Step { name, about, run }
}

const TOOLCHAIN: Step =
    step("toolchain", "rustfmt, clippy, the wasm32 targets and Node are there", toolchain::run);
const NPM: Step = step("npm", "`npm ci` beside each package-lock.json", npm::run);
const PYTHON: Step = step("python", "what each requirements.txt pins", python::run);
const UNUSED_TOOL: Step = step("install-tools", "cargo-machete", unused::install);
const FMT: Step = step("fmt", "every file is formatted", cargo::fmt);

const FULL: [Step; 14] = [
    TOOLCHAIN,
    NPM,
    PYTHON,
    FMT,
    step("shape", "short files and functions, no leftover markers", shape::run),
    step("rules", "what core and adapters may depend on", rules::run),
    step("clippy", "lints of every target, warnings as errors", cargo::clippy),
    step("test", "unit, property and conformance tests", cargo::test),
    step("doctest", "examples in the documentation", cargo::doctest),
    step("wasm-test", "the core's tests on wasm32-unknown-unknown", wasm::test),
    step("wasm-imports", "the core asks its wasm host for nothing", wasm::imports),
    step("doc", "documentation, warnings as errors", cargo::doc),
    step("unused", "no dependency without a use", unused::run),
    step("generated", "generated files are those of this source", generated::run),
];

const QUICK: [Step; 4] = [
    FMT,
    step("clippy-quick", "lints of libraries and binaries, warnings as errors", cargo::clippy_quick),
    step("unit", "unit tests of core and emulator", cargo::unit),
    step("conformance", "conformance cases on the core", cargo::conformance),
];

/// Returns the steps of a selection.
pub(crate) fn of(selection: Selection) -> Vec<Step> {
    match selection {
        Selection::Full => FULL.to_vec(),
        Selection::Quick => QUICK.to_vec(),
    }
}

/// Returns whether the full selection has a step of this name.
pub(crate) fn is_full(name: &str) -> bool {
    FULL.iter().any(|step| step.name == name)
}

/// Returns the steps that install what the others need.
pub(crate) fn install() -> Vec<Step> {
    vec![TOOLCHAIN, NPM, PYTHON, UNUSED_TOOL]
}
