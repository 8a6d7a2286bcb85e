//! Compiles `edge.toml` into `dist/policy.bin`, for the `spin.toml` of this folder.

use anyhow::{Context as _, anyhow};
use selvedge_core::policy::{blob, read::read};

fn main() -> anyhow::Result<()> {
    let text = std::fs::read_to_string("edge.toml").context("cannot read edge.toml")?;
    let policy = read(&text).map_err(|errors| anyhow!("{errors}"))?;
    std::fs::create_dir_all("dist").context("cannot make dist")?;
    std::fs::write("dist/policy.bin", blob::encode(&policy)).context("cannot write dist/policy.bin")
}
