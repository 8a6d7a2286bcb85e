//! Wasm modules: crates of a few lines around Selvedge's own and the project's handlers, built by cargo.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use selvedge_core::policy::blob;

use super::source::{Sources, quote};
use crate::cli::DIM;

/// The target of modules for JavaScript hosts.
const WASM: &str = "wasm32-unknown-unknown";

/// How `wasm-opt` makes the module smaller. It has to be told what Rust's compiler makes use of: the module says nothing about itself.
///
/// Engines compile a function whole when it first runs, so that one that many others were put into makes the first request wait for
/// code that it does not need.
const OPTIMISATION: [&str; 9] = [
    "-Os",
    "--one-caller-inline-max-function-size",
    "20",
    "--enable-bulk-memory",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

/// Who drives the policy's module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// A JavaScript host that runs a whole request.
    JavaScript,
    /// Node.js on Lambda@Edge, which runs a request trigger by trigger.
    LambdaEdge,
}

/// Builds the policy's module and returns its bytes.
pub(crate) fn policy(sources: &Sources, host: Host) -> anyhow::Result<Vec<u8>> {
    let (dependency, call) = handlers(sources, "");
    let (name, adapter, hot) = match host {
        Host::JavaScript => ("module", "js", ""),
        Host::LambdaEdge => ("edge", "lambda-edge", include_str!("../../templates/module/hot.toml")),
    };
    let manifest = include_str!("../../templates/module/manifest.toml")
        .replace("{{name}}", name)
        .replace("{{adapter}}", adapter)
        .replace("{{selvedge}}", &sources.selvedge.dependency(adapter))
        .replace("{{handlers}}\n", &dependency)
        .replace("{{hot}}\n", hot);
    let code = include_str!("../../templates/module/lib.rs")
        .replace("{{adapter}}", &adapter.replace('-', "_"))
        .replace("{{handlers}}", &call);
    let generated = Generated { name, manifest, file: "lib.rs", code };
    optimise(&generated.build(&sources.lock, &sources.target)?)
}

/// The dependency on the crate of the handlers, when there is one, and the function that gives them.
pub(crate) fn handlers(sources: &Sources, none: &str) -> (String, String) {
    let Some(handlers) = &sources.handlers else { return (String::new(), none.to_owned()) };
    let dependency = format!(
        "{} = {{ package = {}, path = {} }}\n",
        handlers.library,
        quote(&handlers.package),
        quote(&handlers.folder.to_string_lossy())
    );
    (dependency, format!("{}::handlers", handlers.library))
}

/// Builds the module of what is stateful on Cloudflare; returns it and the JavaScript around it, as names and contents.
pub(crate) fn state(sources: &Sources) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let source = super::source::source()?;
    let dependency = format!("{{ path = {} }}", quote(&source.join("adapters/cloudflare").to_string_lossy()));
    let generated = Generated {
        name: "state",
        manifest: include_str!("../../templates/state/manifest.toml").replace("{{cloudflare}}", &dependency),
        file: "lib.rs",
        code: include_str!("../../templates/state/lib.rs").to_owned(),
    };
    let wasm = generated.build(&source.join("Cargo.lock"), &sources.target)?;
    let mut bindings = wasm_bindgen_cli_support::Bindgen::new();
    let mut output =
        bindings.input_path(&wasm).out_name("state").typescript(false).web(true)?.generate_output()?;
    let mut code = output.js().to_owned();
    let mut files = Vec::new();
    // JavaScript that a crate brings along lies in folders of its own; a Worker's files lie side by side.
    for (folder, snippets) in output.snippets() {
        for (number, snippet) in snippets.iter().enumerate() {
            let name = format!("state_{}.js", files.len());
            code = code.replace(&format!("./snippets/{folder}/inline{number}.js"), &format!("./{name}"));
            files.push((name, snippet.clone().into_bytes()));
        }
    }
    files.push(("state.js".to_owned(), code.into_bytes()));
    files.push(("state_bg.wasm".to_owned(), output.wasm_mut().emit_wasm()));
    Ok(files)
}

/// A crate of a few lines that is written where it is built.
pub(crate) struct Generated {
    pub(crate) name: &'static str,
    pub(crate) manifest: String,
    /// Name of the file with the code.
    pub(crate) file: &'static str,
    pub(crate) code: String,
}

impl Generated {
    /// Builds it and returns where the module is.
    fn build(&self, pinned: &Path, target: &Path) -> anyhow::Result<PathBuf> {
        compile(&self.write(pinned, target)?, target)?;
        Ok(target.join(WASM).join(format!("release/selvedge_{}.wasm", self.name)))
    }

    /// Writes it and returns its folder.
    pub(crate) fn write(&self, pinned: &Path, target: &Path) -> anyhow::Result<PathBuf> {
        let folder = target.join(self.name);
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        write_if_changed(&folder.join("Cargo.toml"), &self.manifest)?;
        write_if_changed(&folder.join(self.file), &self.code)?;
        let lock = folder.join("Cargo.lock");
        if pinned.is_file() && is_older(&lock, pinned) {
            std::fs::copy(pinned, &lock).with_context(|| format!("cannot write {}", lock.display()))?;
        }
        Ok(folder)
    }
}

/// A file that stays as it is keeps its time, so that cargo has nothing to do.
fn write_if_changed(path: &Path, text: &str) -> anyhow::Result<()> {
    if std::fs::read_to_string(path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn is_older(file: &Path, than: &Path) -> bool {
    let time = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok();
    time(file) < time(than)
}

fn compile(folder: &Path, target: &Path) -> anyhow::Result<()> {
    let status = Command::new(cargo())
        .args(["rustc", "--release", "--target", WASM, "--manifest-path"])
        .arg(folder.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        // The driver sets the stack back after a trap, so that requests under way can go on.
        .args(["--", "-Clink-arg=--export=__stack_pointer"])
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .stdin(Stdio::null())
        .status()
        .context("cannot run cargo; install Rust with rustup, from https://rustup.rs")?;
    if !status.success() {
        bail!("the module does not compile; if its target is missing: rustup target add {WASM}");
    }
    Ok(())
}

fn optimise(wasm: &Path) -> anyhow::Result<Vec<u8>> {
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let Some(program) = wasm_opt() else {
        anstream::eprintln!(
            "{DIM}wasm-opt is not on PATH: the module is as the compiler made it (npm install -g binaryen brings it){DIM:#}"
        );
        return read(wasm);
    };
    let (folder, name) = (wasm.parent().unwrap_or(Path::new("")), wasm.file_stem().unwrap_or_default());
    // The module is the same for many policies, and the program takes longer than the rest of a build.
    let prefix = format!("{}.opt-", name.to_string_lossy());
    let made_of = [read(wasm)?, OPTIMISATION.concat().into_bytes()].concat();
    let kept = folder.join(format!("{prefix}{:016x}.wasm", blob::fingerprint(&made_of)));
    if let Ok(content) = std::fs::read(&kept) {
        return Ok(content);
    }
    remove_older(folder, &prefix)?;
    // Two builds may run at once.
    let optimised = wasm.with_extension(format!("wip-{}.wasm", std::process::id()));
    let status = Command::new(&program)
        .args(OPTIMISATION)
        .arg(wasm)
        .arg("-o")
        .arg(&optimised)
        .status()
        .with_context(|| format!("cannot run {}", program.display()))?;
    if !status.success() {
        bail!("{} failed on {}", program.display(), wasm.display());
    }
    let content = read(&optimised)?;
    std::fs::rename(&optimised, &kept).with_context(|| format!("cannot write {}", kept.display()))?;
    Ok(content)
}

/// Removes what was made of a module before it changed.
fn remove_older(folder: &Path, prefix: &str) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries.filter_map(Result::ok) {
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            // Another build may have been faster.
            let _ = std::fs::remove_file(entry.path());
        }
    }
    Ok(())
}

/// `$WASM_OPT_BIN`, the one on PATH, or the one that this program's own tools brought.
fn wasm_opt() -> Option<PathBuf> {
    let named = std::env::var_os("WASM_OPT_BIN").filter(|name| !name.is_empty()).map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join("wasm-opt"));
    let own = super::source::source().ok().map(|source| source.join("deploy/node_modules/.bin/wasm-opt"));
    named.or_else(|| on_path.chain(own).find(|program| program.is_file()))
}

/// The cargo that runs this program, or the one on PATH.
pub(crate) fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
