//! The suite itself: what it holds, its server and its client, both on Node.js.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};
use selvedge_emulator::runtime::cloudfront::program;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::edge::Platform;

/// The suite as npm installed it.
#[derive(Debug)]
pub struct Suite {
    node: PathBuf,
    folder: PathBuf,
    /// The root of the repository.
    root: PathBuf,
}

/// What the suite holds.
#[derive(Debug, Default, Deserialize)]
pub struct Catalogue {
    /// Who made it.
    pub package: Package,
    /// Its tests.
    pub groups: Vec<Group>,
    /// Results of other caches, as it publishes them.
    pub published: Vec<Published>,
}

/// The suite's `package.json`.
#[derive(Debug, Default, Deserialize)]
pub struct Package {
    /// Name on npm.
    pub name: String,
    /// Version.
    pub version: String,
    /// Licence, as an SPDX expression.
    pub license: String,
    /// URL of its public results.
    pub homepage: String,
    /// URL of its repository.
    pub repository: String,
    /// Author.
    pub author: String,
}

/// Tests with a common subject.
#[derive(Debug, Deserialize)]
pub struct Group {
    /// Unique within the suite.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// The tests, in order.
    pub tests: Vec<Test>,
}

/// A test.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Test {
    /// Unique within the suite.
    pub id: String,
    /// The question that it asks, or what it says must hold.
    pub name: String,
    /// What a failure means.
    pub kind: Kind,
    /// Tests that have to pass for this one to mean anything.
    pub depends_on: Vec<String>,
    /// Whether it is for the caches of browsers alone.
    pub browser_only: bool,
}

/// What a test's failure means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The specification is not kept.
    #[default]
    Required,
    /// The cache could have done better.
    Optimal,
    /// Nothing; the test asks how a cache behaves.
    Check,
}

/// Another cache's results.
#[derive(Debug, Deserialize)]
pub struct Published {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `browser`, `rev-proxy` or `cdn`.
    #[serde(rename = "type")]
    pub place: String,
    /// The results.
    pub results: Results,
}

/// What came of tests, by id; a test that did not run is not there.
pub type Results = BTreeMap<String, Raw>;

/// What came of a test, in the suite's words.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Raw {
    /// `true` when it passed.
    Passed(bool),
    /// The kind of error and its message.
    Failed(String, Option<String>),
}

/// What the programs say about tests that are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    /// Nothing.
    Off,
    /// Every request and response, on the standard error.
    On,
}

impl Suite {
    /// Finds the suite and Node.js.
    ///
    /// # Errors
    /// When one is not there; the message says what brings it.
    pub fn find() -> anyhow::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
        let folder = root.join("tests/conformance/http-cache");
        let installed = folder.join("node_modules/http-cache-tests");
        ensure!(
            installed.is_dir(),
            "{} is not there; run `npm ci` in {}",
            installed.display(),
            folder.display()
        );
        Ok(Self { node: program(&root.join("deploy"))?, folder, root })
    }

    /// Returns what the suite holds.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn catalogue(&self) -> anyhow::Result<Catalogue> {
        self.client(&[])
    }

    /// Runs tests on a platform that is started for them: all of them, or those that are named with all that they depend on.
    ///
    /// # Errors
    /// When the platform or a program cannot be started, or there is no such test.
    pub fn run(&self, platform: Platform, tests: &[String], log: Log) -> anyhow::Result<Results> {
        let origin = Origin::start(self, log)?;
        let edge = platform.start(&self.root, origin.address)?;
        let url = format!("http://{}", edge.address());
        self.client(&[&[url], tests].concat())
    }

    fn client<T: DeserializeOwned>(&self, arguments: &[String]) -> anyhow::Result<T> {
        let mut command = Command::new(&self.node);
        command.arg("client.mjs").args(arguments).current_dir(&self.folder);
        let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
        let output = output.context("cannot run Node.js")?;
        ensure!(output.status.success(), "the suite's client failed; what it said is above");
        serde_json::from_slice(&output.stdout).context("the suite's client printed something else")
    }
}

/// The suite's server; it ends when dropped.
struct Origin {
    child: Child,
    address: SocketAddr,
}

impl Origin {
    fn start(suite: &Suite, log: Log) -> anyhow::Result<Self> {
        let mut command = Command::new(&suite.node);
        command.arg("origin.mjs").current_dir(&suite.folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        if log == Log::On {
            command.arg("log");
        }
        let mut child = command.spawn().context("cannot run Node.js")?;
        let output = child.stdout.take().context("the output is piped")?;
        let mut origin = Self { child, address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) };
        let line = BufReader::new(output.take(1024))
            .lines()
            .next()
            .context("the suite's server did not start")??;
        origin.address.set_port(port(&line).with_context(|| format!("the suite's server said {line:?}"))?);
        Ok(origin)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is not left behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The port in the server's first line.
fn port(line: &str) -> Option<u16> {
    line.trim_end_matches('/').rsplit_once(':')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_read_from_the_first_line() {
        assert_eq!(port("Listening on http://[::]:4711/"), Some(4711));
        assert_eq!(port("Listening on http://0.0.0.0:80/"), Some(80));
        assert_eq!(port("Listening"), None);
    }

    #[test]
    fn results_are_read_as_the_suite_prints_them() {
        let text = r#"{"a": true, "b": ["Setup", "retry"], "c": ["TypeError", null]}"#;
        let results: Results = serde_json::from_str(text).unwrap();
        assert_eq!(results["a"], Raw::Passed(true));
        assert_eq!(results["b"], Raw::Failed("Setup".to_owned(), Some("retry".to_owned())));
        assert_eq!(results["c"], Raw::Failed("TypeError".to_owned(), None));
    }
}
