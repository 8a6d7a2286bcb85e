//! Workers on a workerd of their own.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::bench::edge::free_address;
use crate::bench::load::{self, Head};

const DATE: &str = "2026-10-01";

/// Those that `selvedge build` gives to a Worker.
const FLAGS: &str = "[\"enable_request_signal\"]";

/// A Worker, by the files in the folder of the benchmark.
#[derive(Clone, Copy, Debug)]
pub(super) struct Worker {
    /// What it is called, in messages too.
    pub(super) name: &'static str,
    /// Its modules: a file, or a folder with an `index.mjs`.
    pub(super) code: &'static str,
    /// What its binding `STEPS` says, where it reads one.
    pub(super) steps: Option<&'static str>,
}

impl Worker {
    /// A Worker of one file.
    pub(super) const fn of(name: &'static str, code: &'static str) -> Self {
        Self { name, code, steps: None }
    }

    /// The service in workerd's configuration.
    fn service(&self, folder: &Path) -> Result<String> {
        let Self { name, code, steps } = self;
        let modules: Vec<_> = files(folder, code)?.iter().map(|(name, path)| module(name, path)).collect();
        let bindings = steps.map(|steps| format!("(name = \"STEPS\", text = \"{steps}\")"));
        Ok(format!(
            "(name = \"{name}\", worker = (compatibilityDate = \"{DATE}\", compatibilityFlags = {FLAGS}, globalOutbound = \"origin\", \
             modules = [{}], bindings = [{}]))",
            modules.join(", "),
            bindings.unwrap_or_default()
        ))
    }
}

/// A Worker's modules with their paths, the one that is its entry point first.
fn files(folder: &Path, code: &str) -> Result<Vec<(String, String)>> {
    if folder.join(code).is_file() {
        return Ok(vec![(code.to_owned(), code.to_owned())]);
    }
    let entries = fs::read_dir(folder.join(code)).with_context(|| format!("cannot read {code}"))?;
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names: Vec<String> = names.collect::<Result<_>>()?;
    names.retain(|name| is_module(name));
    names.sort_by_key(|name| (name != "index.mjs", name.clone()));
    ensure!(names.first().is_some_and(|name| name == "index.mjs"), "{code} has no index.mjs");
    Ok(names.into_iter().map(|name| (name.clone(), format!("{code}/{name}"))).collect())
}

fn is_module(name: &str) -> bool {
    [".mjs", ".js", ".wasm", ".bin"].iter().any(|end| name.ends_with(end))
}

fn module(name: &str, path: &str) -> String {
    let kind = match name.rsplit_once('.') {
        Some((_, "wasm")) => "wasm",
        Some((_, "bin")) => "data",
        _ => "esModule",
    };
    format!("(name = \"{name}\", {kind} = embed \"{path}\")")
}

/// Workers on one workerd; they end when dropped.
pub(super) struct Servers {
    _process: Process,
    workers: Vec<(Worker, SocketAddr)>,
}

impl Servers {
    /// Starts them and waits until they listen.
    pub(super) fn start(program: &Path, folder: &Path, workers: &[Worker]) -> Result<Self> {
        let workers: Vec<_> =
            workers.iter().map(|worker| Ok((*worker, free_address()?))).collect::<Result<_>>()?;
        fs::write(folder.join("config.capnp"), config(folder, &workers)?)?;
        let process = Process::start(program, folder, workers.len())?;
        Ok(Self { _process: process, workers })
    }

    /// Sends a request to the first.
    pub(super) fn ask(&self, head: &Head) -> Result<String> {
        head.get(self.workers[0].1)
    }

    /// Loads the first so many of them in turns, and returns the requests a second of each in every round. Those that
    /// answer something else than the first are no peers.
    pub(super) fn rates(&self, what: &str, head: &Head, count: usize) -> Result<Vec<Vec<f64>>> {
        let workers = &self.workers[..count];
        require_same_answers(what, head, workers)?;
        let workers: Vec<_> = workers.iter().map(|(worker, address)| (worker.name, *address)).collect();
        load::rates(what, head, &workers)
    }
}

fn require_same_answers(what: &str, head: &Head, workers: &[(Worker, SocketAddr)]) -> Result<()> {
    for number in [1, head.variety] {
        let head = head.numbered(number);
        let mut first = None;
        for (worker, address) in workers {
            let (name, answer) = (worker.name, head.get(*address)?);
            let (other, expected) = first.get_or_insert_with(|| (name, answer.clone()));
            ensure!(answer == *expected, "{what}: {name} answers\n{answer}\nand {other}\n{expected}");
        }
    }
    Ok(())
}

struct Process {
    child: Child,
}

impl Process {
    fn start(program: &Path, folder: &Path, sockets: usize) -> Result<Self> {
        let mut child = Command::new(PathBuf::from(program))
            .args(["serve", "--control-fd=1", "config.capnp"])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start workerd")?;
        let output = child.stdout.take().context("its output is piped")?;
        let process = Self { child };
        let events = BufReader::new(output).lines().map_while(Result::ok);
        let is_listening = |line: &String| {
            serde_json::from_str::<Value>(line).is_ok_and(|message| message["event"] == "listen")
        };
        if events.filter(is_listening).take(sockets).count() < sockets {
            bail!("workerd did not start; what it said is above");
        }
        Ok(process)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has no state: a child that is gone already needs no ending.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn config(folder: &Path, workers: &[(Worker, SocketAddr)]) -> Result<String> {
    let services: Vec<_> = workers.iter().map(|(worker, _)| worker.service(folder)).collect::<Result<_>>()?;
    let sockets = workers.iter().map(|(Worker { name, .. }, address)| {
        format!(
            "(name = \"{name}\", address = \"{address}\", service = \"{name}\", \
             http = (cfBlobHeader = \"selvedge-cf\"))"
        )
    });
    Ok(include_str!("config.capnp")
        .replace("{{services}}", &services.join(",\n    "))
        .replace("{{sockets}}", &sockets.collect::<Vec<_>>().join(",\n    ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_s_modules_begin_with_its_entry_point() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let dist = folder.path().join("dist");
        fs::create_dir(&dist).expect("folders can be made");
        for name in ["driver.mjs", "index.mjs", "policy.bin", "policy.wasm", "wrangler.toml"] {
            fs::write(dist.join(name), "").expect("files can be written");
        }
        let service = Worker::of("edge", "dist").service(folder.path()).expect("the folder can be read");
        let modules = "modules = [(name = \"index.mjs\", esModule = embed \"dist/index.mjs\"), \
                       (name = \"driver.mjs\", esModule = embed \"dist/driver.mjs\"), \
                       (name = \"policy.bin\", data = embed \"dist/policy.bin\"), \
                       (name = \"policy.wasm\", wasm = embed \"dist/policy.wasm\")], bindings = []";
        assert!(service.contains(modules), "{service}");
    }

    #[test]
    fn a_worker_that_takes_steps_is_told_which() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        fs::write(folder.path().join("steps.mjs"), "").expect("files can be written");
        let worker = Worker { name: "all", code: "steps.mjs", steps: Some("read limit") };
        let service = worker.service(folder.path()).expect("the file can be read");
        assert!(service.contains("bindings = [(name = \"STEPS\", text = \"read limit\")]"), "{service}");
    }
}
