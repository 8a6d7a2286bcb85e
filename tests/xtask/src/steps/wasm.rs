//! The core on `wasm32-unknown-unknown`: its tests run there, and it imports nothing.
//!
//! The target has no arguments, output or exit code, yet the standard test
//! harness works on it: the module's `main` runs every test in turn and returns,
//! or traps at the first that panics. `wasm_test_runner.mjs` calls it in Node and
//! reads the test's name from the trap's stack. So the tests run on the very
//! target that is shipped, where reading a clock panics, which WASI would hide.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use wasmparser::{Parser, Payload};

use crate::command::Cmd;
use crate::runner::Ran;
use crate::steps::toolchain::WASM_TARGET;
use crate::workspace::Workspace;

const CORE: &str = "selvedge-core";
const RUNNER: &str = "tests/xtask/src/steps/wasm_test_runner.mjs";

/// Lets property tests draw their seed from the runner: a symbol without a definition becomes an import.
const RUSTFLAGS: &str = r#"["--cfg", "getrandom_backend=\"custom\"", "-Clink-arg=--allow-undefined"]"#;

/// Runs the core's tests in Node.
///
/// How many tests there are is asked of the native build, since the module cannot say it. A test marked
/// `#[should_panic]` is among them, but the harness passes it over where a panic cannot be caught.
pub(crate) fn test(workspace: &Workspace) -> Result<Ran> {
    let runner = workspace.root.join(RUNNER);
    let runner = serde_json::to_string(&["node", &runner.to_string_lossy()])?;
    cargo(workspace, "test")
        .args(["--lib", "--tests", "--config"])
        .arg(format!("target.{WASM_TARGET}.runner={runner}"))
        .run()?;
    let list = ["test", "--quiet", "--package", CORE, "--all-features", "--lib", "--tests", "--", "--list"];
    let count = count_tests(&Cmd::cargo(workspace, list).read()?);
    if count == 0 {
        bail!("{CORE} has no tests");
    }
    anstream::println!("{WASM_TARGET} passed; the core has {count} tests");
    Ok(Ran::Passed)
}

/// Builds the core as a module that keeps all of its code, and looks at what it imports.
pub(crate) fn imports(workspace: &Workspace) -> Result<Ran> {
    let module = workspace.target_directory.join(WASM_TARGET).join("debug/selvedge_core.wasm");
    forget(&module)?;
    cargo(workspace, "rustc")
        .args(["--lib", "--crate-type=cdylib", "--", "-Clink-dead-code", "-Clink-arg=--no-gc-sections"])
        .run()?;
    let module = fs::read(&module).with_context(|| format!("cannot read {}", module.display()))?;
    let Contents { imports, functions } = inspect(&module)?;
    if !imports.is_empty() {
        bail!("{CORE} asks its host for {}", imports.join(", "));
    }
    if functions == 0 {
        bail!("the module of {CORE} has no code, so nothing was checked");
    }
    anstream::println!("{functions} functions, no import");
    Ok(Ran::Passed)
}

fn cargo(workspace: &Workspace, subcommand: &str) -> Cmd {
    Cmd::cargo(workspace, [subcommand, "--package", CORE, "--all-features", "--target", WASM_TARGET])
        .arg("--config")
        .arg(format!("target.{WASM_TARGET}.rustflags={RUSTFLAGS}"))
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
}

fn forget(module: &Path) -> Result<()> {
    match fs::remove_file(module) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", module.display()))
        }
        _ => Ok(()),
    }
}

fn count_tests(list: &str) -> usize {
    list.lines().filter(|line| line.ends_with(": test")).count()
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Contents {
    /// What the host must give, as `module.name`.
    imports: Vec<String>,
    /// How many functions the module itself defines.
    functions: u32,
}

fn inspect(module: &[u8]) -> Result<Contents> {
    let mut contents = Contents::default();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload.context("the module is not WebAssembly")?;
        if let Payload::ImportSection(section) = payload {
            for import in section.into_imports() {
                let import = import?;
                contents.imports.push(format!("{}.{}", import.module, import.name));
            }
        } else if let Payload::FunctionSection(section) = payload {
            contents.functions = section.count();
        }
    }
    Ok(contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[u8] = b"\0asm\x01\0\0\0";
    /// One type, `() -> ()`.
    const TYPES: &[u8] = b"\x01\x04\x01\x60\0\0";
    /// The function `env.now` of type 0.
    const IMPORTS: &[u8] = b"\x02\x0b\x01\x03env\x03now\0\0";
    /// One function of type 0.
    const FUNCTIONS: &[u8] = b"\x03\x02\x01\0";
    /// The body of one function that does nothing.
    const CODE: &[u8] = b"\x0a\x04\x01\x02\0\x0b";

    #[test]
    fn an_import_is_named_with_its_module() {
        let contents =
            inspect(&[HEADER, TYPES, IMPORTS, FUNCTIONS, CODE].concat()).expect("it is WebAssembly");
        assert_eq!(contents, Contents { imports: vec!["env.now".to_owned()], functions: 1 });
    }

    #[test]
    fn a_module_on_its_own_has_no_import() {
        let contents = inspect(&[HEADER, TYPES, FUNCTIONS, CODE].concat()).expect("it is WebAssembly");
        assert_eq!(contents, Contents { imports: vec![], functions: 1 });
    }

    #[test]
    fn something_else_is_an_error_and_not_a_module_without_imports() {
        assert!(inspect(b"#!/bin/sh").is_err(), "it has no WebAssembly header");
    }

    /// Assembles a test module: `main`, exported, takes two numbers and its body is `main`.
    fn test_module(main: &[u8]) -> Vec<u8> {
        let types = b"\x01\x07\x01\x60\x02\x7f\x7f\x01\x7f";
        let exports = b"\x07\x08\x01\x04main\0\0";
        let sizes = [main.len() + 4, main.len() + 2].map(|size| u8::try_from(size).expect("it is short"));
        let code = [&[0x0a, sizes[0], 1, sizes[1], 0], main, &[0x0b]].concat();
        [HEADER, types, FUNCTIONS, exports, &code].concat()
    }

    #[test]
    fn the_runner_tells_a_module_that_returns_from_one_that_traps_or_imports() {
        let cases: [(&str, Vec<u8>, Option<&str>); 4] = [
            ("returns 0", test_module(&[0x41, 0]), None),
            ("returns 1", test_module(&[0x41, 1]), Some("the test harness returned 1")),
            ("traps", test_module(&[0]), Some("unreachable")),
            ("imports", [HEADER, TYPES, IMPORTS].concat(), Some("it imports env.now")),
        ];
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        for (name, module, expected) in cases {
            let path = folder.path().join("module.wasm");
            fs::write(&path, module).expect("files can be written");
            let runner = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/steps/wasm_test_runner.mjs");
            let error = Cmd::new("node").arg(runner).arg(path).read().err().map(|error| format!("{error:#}"));
            let is_as_expected = match (&error, expected) {
                (Some(error), Some(expected)) => error.contains(expected),
                (error, expected) => error.is_none() == expected.is_none(),
            };
            assert!(is_as_expected, "a module that {name} gave {error:?}");
        }
    }

    #[test]
    fn only_tests_are_counted_in_a_list() {
        let list = "body::tests::a: test\ntime::tests::b: test\nbench: benchmark\n\n2 tests, 1 benchmark\n";
        assert_eq!(count_tests(list), 2);
    }
}
