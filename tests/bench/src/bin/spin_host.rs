//! Runs a Spin application until its standard input ends, for measurements: `spin-host FOLDER [--fresh] [--variable NAME=VALUE]..`
//!
//! With `--fresh` each request has an instance of its own. It prints where the application listens, and then its component's output.

use std::io::{Read as _, stdin};
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use selvedge_emulator::runtime::spin::{Reuse, SpinApp, SpinConfig};

fn main() -> anyhow::Result<()> {
    let application = SpinApp::start(config(std::env::args().skip(1))?)?;
    anstream::println!("{}", application.address());
    stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn config(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<SpinConfig> {
    let folder = arguments.next().context("the application's folder is the first argument")?;
    let mut config = SpinConfig::new(PathBuf::from(folder));
    while let Some(flag) = arguments.next() {
        match flag.as_str() {
            "--fresh" => config.reuse = Reuse { requests: 1, ..config.reuse },
            "--variable" => {
                let pair = arguments.next().context("`--variable` is without its NAME=VALUE")?;
                let (name, value) = pair.split_once('=').context("`--variable` is without a `=`")?;
                config.variables.insert(name.to_owned(), value.to_owned());
            }
            _ => bail!("`{flag}` is not known"),
        }
    }
    Ok(config)
}
