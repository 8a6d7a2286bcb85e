//! The key that seals what one trigger tells the next.
//!
//! It stays the same from build to build: while a new version is rolled out, a request can go through the old
//! version at one trigger and through the new one at the next.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Takes the place of the file, for machines that keep none.
const VARIABLE: &str = "SELVEDGE_EDGE_KEY";

/// Bytes of the key.
const LENGTH: usize = 32;

/// Returns a project's key in base64url, after making one where there is none.
pub(super) fn of(project: &Path) -> anyhow::Result<String> {
    if let Some(key) = std::env::var(VARIABLE).ok().filter(|key| !key.is_empty()) {
        return checked(&key, VARIABLE);
    }
    let folder = project.join(".selvedge");
    let path = folder.join("lambda-edge.key");
    if !path.exists() {
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let ignore = folder.join(".gitignore");
        fs::write(&ignore, "*\n").with_context(|| format!("cannot write {}", ignore.display()))?;
        make(&path)?;
    }
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    checked(&text, &path.display().to_string())
}

/// Closes a folder with secrets to everybody but its owner, where the system knows owners.
pub(super) fn let_nobody_else_in(folder: &Path) -> anyhow::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
            .with_context(|| format!("cannot close {} to others", folder.display()))?;
    }
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// Writes a new key; one that another build writes at the same time stays.
fn make(path: &Path) -> anyhow::Result<()> {
    let mut key = [0; LENGTH];
    getrandom::fill(&mut key).context("the system gives no random bytes")?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        opened => opened.and_then(|mut file| file.write_all(URL_SAFE_NO_PAD.encode(key).as_bytes())),
    }
    .with_context(|| format!("cannot write {}", path.display()))
}

/// The error names the place and not the value.
fn checked(text: &str, place: &str) -> anyhow::Result<String> {
    let text = text.trim();
    if URL_SAFE_NO_PAD.decode(text).is_ok_and(|key| key.len() == LENGTH) {
        return Ok(text.to_owned());
    }
    bail!("{place} does not hold {LENGTH} bytes in base64url; without it the next build makes a new key")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_can_read_it() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let key = of(folder.path()).expect("a key can be made");
        assert_eq!(URL_SAFE_NO_PAD.decode(&key).map(|key| key.len()), Ok(LENGTH));
        assert_eq!(of(folder.path()).expect("it is there"), key, "the next build has the same");
        let own = folder.path().join(".selvedge");
        assert_eq!(fs::read_to_string(own.join(".gitignore")).expect("it is there"), "*\n");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(own.join("lambda-edge.key")).expect("it is there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let other = tempfile::tempdir().expect("a temporary folder can be made");
        assert_ne!(of(other.path()).expect("a key can be made"), key, "each project has its own");
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_shown() {
        for text in ["", "c2hvcnQ", "not base64!", &URL_SAFE_NO_PAD.encode([7; 33])] {
            let error = checked(text, "the file").expect_err(text).to_string();
            assert!(error.starts_with("the file does not hold 32 bytes"), "{error}");
            assert!(text.is_empty() || !error.contains(text), "{error}");
        }
    }
}
