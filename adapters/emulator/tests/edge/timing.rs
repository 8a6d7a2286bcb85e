//! `Server-Timing`.

use selvedge_core::policy::Policy;
use selvedge_emulator::EmulatorConfig;

use crate::support::{Edge, Origin, policy};

#[tokio::test]
async fn the_parts_of_a_response_are_told_where_that_was_asked_for() {
    for (by_flag, by_policy) in [(true, false), (false, true), (true, true)] {
        let config = EmulatorConfig { server_timing: by_flag, ..EmulatorConfig::default() };
        let policy = Policy { server_timing: by_policy, ..policy(Origin::start().await.address) };
        assert_tells(&Edge::start_with(policy, config).await).await;
    }
}

async fn assert_tells(edge: &Edge) {
    let rows = [
        ("/static/a", vec!["edge;dur=", "cache;desc=\"cache.miss\"", "origin;dur="]),
        ("/static/a", vec!["edge;dur=", "cache;desc=\"cache.hit\""]),
        ("/address", vec!["edge;dur="]),
    ];
    for (path, expected) in rows {
        let response = edge.get(path).await;
        let timing = response.headers()["server-timing"].to_str().unwrap();
        let parts: Vec<&str> = timing.split(", ").collect();
        assert_eq!(parts.len(), expected.len(), "{timing}");
        for (part, beginning) in parts.iter().zip(&expected) {
            let time = part.strip_prefix(beginning).unwrap_or_else(|| panic!("{timing}: no {beginning}"));
            assert!(!beginning.ends_with('=') || time.parse::<f64>().unwrap() > 0.0, "{timing}");
        }
        let stored: Vec<_> = response.headers().get_all("server-timing").iter().collect();
        assert_eq!(stored.len(), 1, "it is not stored with the response");
    }
}

#[tokio::test]
async fn nobody_is_told_otherwise() {
    let edge = Edge::start(policy(Origin::start().await.address)).await;
    assert_eq!(edge.get("/page").await.headers().get("server-timing"), None);
}
