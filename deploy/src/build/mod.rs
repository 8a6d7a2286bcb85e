//! `selvedge build`: what a platform deploys.

pub(crate) mod cloudflare;
pub(crate) mod lambda;
pub(crate) mod lambda_edge;
pub(crate) mod module;
pub(crate) mod source;
pub(crate) mod spin;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use selvedge_core::geo::rules::GeoSource;
use selvedge_core::policy::Policy;
use selvedge_mmdb::GeoDatabase;

use crate::check::{self, Platform};
use crate::cli::{BOLD, Build, GREEN, Target};
use crate::table::Table;

/// A policy that is built, and the project around it.
pub(crate) struct Project {
    /// The checked policy.
    pub(crate) policy: Policy,
    /// The folder of the policy file.
    pub(crate) folder: PathBuf,
    /// A database of places to ship.
    pub(crate) geoip: Option<PathBuf>,
}

/// A file that a build wrote.
pub(crate) struct Written {
    name: String,
    bytes: usize,
    compressed: usize,
}

/// Builds and tells what was written.
pub(crate) fn run(options: &Build) -> anyhow::Result<ExitCode> {
    let Some(project) = Project::open(options)? else { return Ok(ExitCode::from(1)) };
    let out = make(options, &project)?;
    match options.target {
        Target::Cloudflare => anstream::println!(
            "\nNext: {BOLD}selvedge deploy --target cloudflare{BOLD:#}, or `wrangler dev` in {}",
            out.display()
        ),
        Target::Lambda => {
            anstream::println!("\nNext: {BOLD}selvedge deploy --target lambda --dry-run{BOLD:#}")
        }
        Target::LambdaEdge => anstream::println!(
            "\nNext: {BOLD}selvedge deploy --target lambda-edge --bucket NAME --dry-run{BOLD:#}"
        ),
        Target::Spin => anstream::println!(
            "\nNext: {BOLD}selvedge deploy --target spin --dry-run{BOLD:#}, or `spin up` in {}",
            out.display()
        ),
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds, shows the files and returns their folder.
pub(crate) fn make(options: &Build, project: &Project) -> anyhow::Result<PathBuf> {
    if options.arch.is_some() && options.target != Target::Lambda {
        bail!("--arch is for --target lambda: {} runs no native code", options.target.name());
    }
    let out = options.out.clone().unwrap_or_else(|| project.folder.join("dist").join(options.target.name()));
    let written = match options.target {
        Target::Cloudflare => cloudflare::build(project, &out)?,
        Target::Lambda => lambda::build(project, &out, options.arch.unwrap_or_default())?,
        Target::LambdaEdge => lambda_edge::build(project, &out)?,
        Target::Spin => spin::build(project, &out)?,
    };
    anstream::println!("{GREEN}Built{GREEN:#} {}", out.display());
    anstream::print!("{}", sizes(&written));
    Ok(out)
}

impl Project {
    /// Reads a policy for a platform; errors, of the policy or on the platform, are printed and give `None`.
    pub(crate) fn open(options: &Build) -> anyhow::Result<Option<Self>> {
        let file = &options.policy;
        let text = std::fs::read_to_string(file).with_context(|| {
            format!(
                "cannot read {}; name a policy with --policy, or make one with `selvedge new NAME`",
                file.display()
            )
        })?;
        let platform = Platform::new(options.target, options.plan, options.via)?;
        let Some(policy) = check::accept(&file.display().to_string(), &text, Some(platform)) else {
            return Ok(None);
        };
        let file = file.canonicalize().with_context(|| format!("cannot find {}", file.display()))?;
        let folder = file.parent().context("a file is in a folder")?.to_owned();
        Ok(Some(Self { policy, folder, geoip: options.geoip.clone() }))
    }

    /// Whether the policy asks for a database of places.
    pub(crate) fn asks_for_places(&self) -> bool {
        self.policy.geo.source == GeoSource::Database
    }

    /// The content of the database that was named, when it is one.
    pub(crate) fn places(&self) -> anyhow::Result<Option<Vec<u8>>> {
        let Some(path) = &self.geoip else { return Ok(None) };
        let database = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        GeoDatabase::from_bytes(database.clone()).with_context(|| path.display().to_string())?;
        Ok(Some(database))
    }

    /// The handlers that the policy names.
    pub(crate) fn handlers(&self) -> Vec<&str> {
        self.policy.handlers().map(|(_, handler)| handler).collect()
    }
}

/// Writes a file into a folder that is there.
pub(crate) fn write(folder: &Path, name: &str, content: &[u8]) -> anyhow::Result<Written> {
    let path = folder.join(name);
    std::fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Written { name: name.to_owned(), bytes: content.len(), compressed: compressed(content) })
}

/// Makes an empty folder for a build; one that holds other things than a build is left alone.
pub(crate) fn empty_folder(folder: &Path, mark: &str) -> anyhow::Result<()> {
    if folder.exists() {
        let is_ours = folder.join(mark).is_file();
        let mut entries =
            std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
        if !is_ours && entries.next().is_some() {
            bail!("{} holds other files; choose another folder with --out", folder.display());
        }
        std::fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

/// The size under gzip at its best level.
fn compressed(content: &[u8]) -> usize {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let whole = encoder.write_all(content).and_then(|()| encoder.finish());
    whole.expect("writing to memory cannot fail").len()
}

/// The files with their sizes.
fn sizes(written: &[Written]) -> Table {
    let mut table = Table::new(&["FILE", "KIB", "KIB GZIPPED"]);
    for Written { name, bytes, compressed } in written {
        table.row([name.clone(), kib(*bytes), kib(*compressed)]);
    }
    let sum = |size: fn(&Written) -> usize| kib(written.iter().map(size).sum());
    table.row(["total".to_owned(), sum(|file| file.bytes), sum(|file| file.compressed)]);
    table
}

#[expect(clippy::cast_precision_loss, reason = "a size in KiB is shown with one digit")]
fn kib(bytes: usize) -> String {
    format!("{:.1}", bytes as f64 / 1024.0)
}
