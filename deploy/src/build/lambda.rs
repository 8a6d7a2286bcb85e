//! What `cargo lambda` deploys: the binary, the compiled policy beside it, and both in a zip.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use selvedge_core::backend::Backend;
use selvedge_core::policy::{Policy, blob};
use zip::write::SimpleFileOptions;

use super::module::{Generated, cargo, handlers};
use super::{Project, Written, cloudflare, empty_folder, source, write};
use crate::cli::Architecture;

/// What Lambda runs.
pub(crate) const BOOTSTRAP: &str = "bootstrap";

/// What the function reads as it starts.
pub(crate) const POLICY: &str = "policy.bin";

/// Both, as consoles and other tools take them.
const ZIP: &str = "function.zip";

/// The crate that is made around Selvedge's own and the project's handlers.
const CRATE: &str = "function";

/// Longest time that Lambda gives a function
/// (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>).
pub(crate) const MAX_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// Time for all but waiting for backends.
const OWN_TIME: Duration = Duration::from_secs(5);

/// What compiles the function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    /// `cargo build`, for this machine.
    Cargo,
    /// `cargo lambda build --release`, for Lambda's.
    CargoLambda(Architecture),
}

/// Writes everything into a folder.
pub(crate) fn build(
    project: &Project,
    out: &Path,
    architecture: Architecture,
) -> anyhow::Result<Vec<Written>> {
    require_cargo_lambda()?;
    let program = compile(project, Tool::CargoLambda(architecture))?;
    let program = std::fs::read(&program).with_context(|| format!("cannot read {}", program.display()))?;
    let policy = blob::encode(&project.policy);
    empty_folder(out, POLICY)?;
    let mut written = vec![write(out, BOOTSTRAP, &program)?];
    make_executable(&out.join(BOOTSTRAP))?;
    written.push(write(out, POLICY, &policy)?);
    written.push(write(out, ZIP, &zip(&program, &policy)?)?);
    Ok(written)
}

/// Compiles the function and returns where its binary is.
pub(crate) fn compile(project: &Project, tool: Tool) -> anyhow::Result<PathBuf> {
    let sources = source::find(project)?;
    let (dependency, call) = handlers(&sources, "|builder| builder");
    let manifest = include_str!("../../templates/lambda/manifest.toml");
    let generated = Generated {
        name: CRATE,
        manifest: manifest
            .replace("{{lambda}}", &sources.selvedge.dependency("lambda"))
            .replace("{{handlers}}\n", &dependency),
        file: "main.rs",
        code: include_str!("../../templates/lambda/main.rs").replace("{{handlers}}", &call),
    };
    let folder = generated.write(&sources.lock, &sources.target)?;
    let mut command = Command::new(cargo());
    let program = match tool {
        Tool::Cargo => {
            command.arg("build");
            sources.target.join("debug/selvedge-function")
        }
        Tool::CargoLambda(architecture) => {
            let lambda = sources.target.join(format!("lambda-{}", architecture.name()));
            command.args(["lambda", "build", "--release", architecture.flag(), "--lambda-dir"]).arg(&lambda);
            lambda.join("selvedge-function/bootstrap")
        }
    };
    let status = command
        .arg("--manifest-path")
        .arg(folder.join("Cargo.toml"))
        // `cargo lambda build` hands `--target-dir` on to commands that do not know it.
        .env("CARGO_TARGET_DIR", &sources.target)
        .stdin(Stdio::null())
        .status()
        .context("cannot run cargo; install Rust with rustup, from https://rustup.rs")?;
    if !status.success() {
        bail!("the function does not compile; what the compiler said is above");
    }
    Ok(program)
}

/// The crate that a build made, whose manifest `cargo lambda deploy` asks for.
pub(crate) fn manifest(project: &Project) -> anyhow::Result<PathBuf> {
    Ok(source::find(project)?.target.join(CRATE).join("Cargo.toml"))
}

/// Says how to install `cargo lambda` where it is not.
fn require_cargo_lambda() -> anyhow::Result<()> {
    let mut command = Command::new(cargo());
    command.args(["lambda", "--version"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if command.status().is_ok_and(|status| status.success()) {
        return Ok(());
    }
    bail!(
        "cargo-lambda is not installed; install it with `pip install cargo-lambda ziglang`, or with \
         `cargo install cargo-lambda` and Zig from https://ziglang.org"
    )
}

/// The function's name: letters, digits, hyphens, at most 63 of the 64 that Lambda takes.
pub(crate) fn function_name(policy: &Policy) -> String {
    cloudflare::worker_name(&policy.name)
}

/// The function's timeout: as long as any backend and those that it fails over to may take together.
pub(crate) fn timeout(policy: &Policy) -> Duration {
    policy.backends.iter().map(|backend| time_of(policy, backend)).max().unwrap_or(OWN_TIME).min(MAX_TIMEOUT)
}

/// How long a backend and those that it fails over to may take, and the function itself.
pub(crate) fn time_of(policy: &Policy, backend: &Backend) -> Duration {
    let all = std::iter::once(backend).chain(backend.failover.iter().map(|id| policy.backend(*id)));
    let waits = all.map(|backend| backend.timeout * u32::try_from(backend.urls.len()).unwrap_or(u32::MAX));
    waits.sum::<Duration>() + OWN_TIME
}

/// The same files give the same bytes: nothing in it tells when it was made.
fn zip(program: &[u8], policy: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().last_modified_time(zip::DateTime::default());
    zip.start_file(BOOTSTRAP, options.unix_permissions(0o755))?;
    zip.write_all(program)?;
    zip.start_file(POLICY, options.unix_permissions(0o644))?;
    zip.write_all(policy)?;
    Ok(zip.finish()?.into_inner())
}

#[cfg(unix)]
fn make_executable(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} executable", path.display()))
}

#[cfg(not(unix))]
fn make_executable(_: &Path) -> anyhow::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use selvedge_core::policy::read::read;

    use super::*;

    #[test]
    fn a_function_may_take_as_long_as_its_backends_together() {
        let rows = [
            ("", 5),
            ("[backends.a]\nurl = \"http://a.test\"\ntimeout = \"20s\"", 25),
            (
                "[backends.a]\nurl = [\"http://a.test\", \"http://b.test\"]\ntimeout = \"20s\"\nfailover = [\"c\"]\n\
                 [backends.c]\nurl = \"http://c.test\"\ntimeout = \"7s\"",
                52,
            ),
            (
                "[backends.a]\nurl = [\"http://a.test\", \"http://b.test\", \"http://c.test\"]\ntimeout = \"5m\"",
                900,
            ),
        ];
        for (text, seconds) in rows {
            let policy = read(text).unwrap_or_else(|errors| panic!("{text}: {errors}"));
            assert_eq!(timeout(&policy), Duration::from_secs(seconds), "{text}");
        }
    }

    #[test]
    fn the_zip_holds_both_files_and_is_the_same_each_time() {
        let bytes = zip(b"program", b"policy").unwrap();
        assert_eq!(bytes, zip(b"program", b"policy").unwrap());
        let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
        let modes: Vec<_> = (0..archive.len())
            .map(|at| {
                let file = archive.by_index(at).unwrap();
                (file.name().unwrap().into_owned(), file.unix_mode().map(|mode| mode & 0o777))
            })
            .collect();
        assert_eq!(modes, [(BOOTSTRAP.to_owned(), Some(0o755)), (POLICY.to_owned(), Some(0o644))]);
    }
}
