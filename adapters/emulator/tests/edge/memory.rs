//! How much memory a long body takes on its way through the store.

use std::fs;
use std::process::Command;

use http::Request;
use http_body_util::BodyExt as _;
use selvedge_emulator::EmulatorConfig;

use crate::support::{Edge, Origin, connect, empty, policy, with_host};

/// Tells this program that it is the process that is measured.
const MEASURED: &str = "SELVEDGE_TEST_MEASURED";
const FILM_BYTES: u64 = 256 * 1024 * 1024;
/// Most bytes that hyper hands over at once.
const MAX_CHUNK_BYTES: usize = 1024 * 1024;
/// What a miss and a hit of a film may take beside what the process took before.
const MAX_MORE_BYTES: u64 = 32 * 1024 * 1024;

#[test]
fn a_film_streams_through_the_store_within_a_few_megabytes() {
    let test = std::env::current_exe().unwrap();
    let measured = Command::new(test)
        .args(["--exact", "memory::the_process_that_is_measured", "--nocapture"])
        .env(MEASURED, "yes")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&measured.stdout);
    assert!(measured.status.success(), "{said}{}", String::from_utf8_lossy(&measured.stderr));
    assert!(said.contains("measured"), "the test of this name has run: {said}");
}

/// Does nothing unless the test above starts it.
#[tokio::test]
async fn the_process_that_is_measured() {
    if std::env::var_os(MEASURED).is_none() {
        return;
    }
    let (origin, dir) = (Origin::start().await, tempfile::tempdir().unwrap());
    let config = EmulatorConfig { cache_dir: Some(dir.path().to_owned()), ..EmulatorConfig::default() };
    let edge = Edge::start_with(policy(origin.address), config).await;
    for _ in 0..2 {
        assert_eq!(stream(&edge, "/static/zeros/1000000").await, 1_000_000);
    }
    let before = peak_bytes();
    for what in ["miss", "hit"] {
        assert_eq!(stream(&edge, &format!("/static/zeros/{FILM_BYTES}")).await, FILM_BYTES);
        let more = peak_bytes() - before;
        println!("measured after a {what}: {} KiB more than {} KiB", more / 1024, before / 1024);
        assert!(more < MAX_MORE_BYTES, "{more} bytes");
    }
    let requests = origin.requests.load(std::sync::atomic::Ordering::SeqCst);
    assert_eq!(requests, 2, "the second of each was a hit");
}

/// Reads a response of zeros and forgets it; returns its length.
async fn stream(edge: &Edge, path: &str) -> u64 {
    let request = with_host(Request::get(path).body(empty()).unwrap());
    let mut body = connect(edge.address).await.send_request(request).await.unwrap().into_body();
    let (mut length, zeros) = (0, vec![0; MAX_CHUNK_BYTES]);
    while let Some(frame) = body.frame().await {
        let chunk = frame.unwrap().into_data().unwrap();
        length += chunk.len() as u64;
        assert!(chunk == zeros[..chunk.len()], "nothing but zeros");
    }
    length
}

/// The most memory that this process has had.
fn peak_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}
