//! Spin's own command, where it is installed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::runtime::process::Process;

/// A `spin up` that listens; it ends when dropped.
#[derive(Debug)]
pub struct SpinUp {
    process: Process,
}

impl SpinUp {
    /// Starts the program on the application in a folder, with values of its variables, and waits until it listens.
    ///
    /// The values are not on the command line, which others on this machine can see.
    ///
    /// # Errors
    /// When it does not start; what it said is on the standard error.
    pub fn start(
        program: &Path,
        folder: &Path,
        variables: &BTreeMap<String, String>,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command.args(["up", "--listen", "127.0.0.1:0", "--from"]).arg(folder.join("spin.toml"));
        let name = |name: &str| format!("SPIN_VARIABLE_{}", name.to_ascii_uppercase());
        command.envs(variables.iter().map(|(variable, value)| (name(variable), value)));
        command.stdin(Stdio::null());
        let (process, mut output) = Process::start_with_output(command, port)?;
        std::thread::Builder::new().name("spin-output".to_owned()).spawn(move || {
            // It ends with the process; a standard error that takes nothing is nobody's loss.
            let _ = std::io::copy(&mut output, &mut std::io::stderr());
        })?;
        Ok(Self { process })
    }

    /// Returns where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.process.address()
    }
}

/// The port in Spin's line `Serving http://127.0.0.1:3000`.
fn port(line: &str) -> Option<u16> {
    let (_, rest) = line.split_once("http://127.0.0.1:")?;
    let digits = rest.find(|letter: char| !letter.is_ascii_digit()).map_or(rest, |end| &rest[..end]);
    digits.parse().ok().filter(|_| line.contains("Serving"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_read_from_what_spin_says_when_it_listens() {
        assert_eq!(port("Serving http://127.0.0.1:4711"), Some(4711));
        assert_eq!(port("\u{1b}[1mServing\u{1b}[0m http://127.0.0.1:4711\u{1b}[0m"), Some(4711));
        assert_eq!(port("  edge: http://127.0.0.1:4711 (wildcard)"), None);
        assert_eq!(port("Logging component stdio to \".spin/logs/\""), None);
    }

    #[cfg(unix)]
    #[test]
    fn variables_are_given_in_the_environment() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("spin");
        let script = "#!/bin/sh\necho \"$*\" \"$SPIN_VARIABLE_BACKEND_SHOP\" > said\n\
                      echo 'Serving http://127.0.0.1:4711'\n";
        std::fs::write(&program, script.replace("said", &folder.path().join("said").display().to_string()))
            .unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let variables = [("backend_shop".to_owned(), "http://b.test".to_owned())].into();
        let up = SpinUp::start(&program, folder.path(), &variables).unwrap();
        assert_eq!(up.address().port(), 4711);
        let said = std::fs::read_to_string(folder.path().join("said")).unwrap();
        let manifest = folder.path().join("spin.toml");
        assert_eq!(
            said.trim(),
            format!("up --listen 127.0.0.1:0 --from {} http://b.test", manifest.display())
        );
    }
}
