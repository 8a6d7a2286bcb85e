//! Runs an edge of one thread with a cache until its standard input ends, for measurements: `cache-edge POLICY [FOLDER]`.
//!
//! With a folder, long bodies are stored in it. It prints where the edge listens.

use std::io::{Read as _, stdin};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use selvedge_bench::engine;
use selvedge_emulator::{Emulator, EmulatorConfig, EngineHandle, PolicyInfo};

/// That of `selvedge`.
#[cfg(unix)]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Room for a body of 1 GiB, which may take half of it at most.
const FOLDER_BYTES: u64 = 4 << 30;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let policy = arguments.next().context("the policy is the first argument")?;
    let policy = std::fs::read_to_string(policy)?;
    let info = PolicyInfo { name: "bench".to_owned(), hash: String::new() };
    let config = EmulatorConfig {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        threads: Some(1),
        cache_dir: arguments.next().map(PathBuf::from),
        cache_dir_bytes: FOLDER_BYTES,
        ..EmulatorConfig::default()
    };
    let edge = Emulator::bind(config, EngineHandle::new(Arc::new(engine(&policy)), info))?;
    anstream::println!("{}", edge.local_addr());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(edge.run(async {
        // A panic there ends the edge as the end of its input does.
        let _ = tokio::task::spawn_blocking(|| stdin().read_to_end(&mut Vec::new())).await;
    }))
}
