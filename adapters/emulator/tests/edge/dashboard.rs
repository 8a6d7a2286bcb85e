//! The dashboard for Grafana asks for nothing that the edge does not say.

use std::collections::BTreeSet;

use selvedge_emulator::EmulatorConfig;
use serde_json::Value;

use crate::metrics::Scrape;
use crate::support::{Edge, Origin, policy};

const DASHBOARD: &str = include_str!("../../grafana.json");

/// Every expression of the dashboard's panels.
fn expressions() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let targets =
        dashboard["panels"].as_array().unwrap().iter().filter_map(|panel| panel["targets"].as_array());
    targets.flatten().map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
}

/// The words of an expression that a test can judge.
fn words(expression: &str) -> impl Iterator<Item = &str> {
    expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}

/// What an expression groups by and selects by, but for what a scrape adds.
fn labels(expression: &str) -> BTreeSet<&str> {
    let grouped = expression.split("by (").skip(1).filter_map(|rest| rest.split_once(')'));
    let grouped = grouped.flat_map(|(labels, _)| labels.split(", "));
    let selected = expression.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
    let selected =
        selected.flat_map(|(labels, _)| labels.split(',')).filter_map(|pair| pair.split('=').next());
    grouped.chain(selected).map(|label| label.trim_end_matches('~')).filter(|label| *label != "job").collect()
}

#[tokio::test]
async fn every_metric_and_label_of_the_dashboard_is_on_the_page() {
    let dir = tempfile::tempdir().unwrap();
    let config = EmulatorConfig { cache_dir: Some(dir.path().to_owned()), ..EmulatorConfig::default() };
    let mut policy = policy(Origin::start().await.address);
    // What is late is answered all the same.
    policy.fallback.page = Some(policy.fallback.not_found.clone());
    let edge = Edge::start_with(policy, config).await;
    for path in ["/static/a", "/static/a", "/never"] {
        edge.get(path).await;
    }
    let scrape = Scrape::of(&edge).await;
    let names: BTreeSet<&str> = scrape.series.keys().map(|(name, _)| name.as_str()).collect();
    let expressions = expressions();
    assert!(expressions.len() > 20, "the dashboard is read: {expressions:#?}");
    for expression in &expressions {
        let asked: Vec<&str> = words(expression).filter(|word| word.starts_with("selvedge_")).collect();
        assert!(!asked.is_empty(), "{expression} asks for nothing");
        for name in &asked {
            assert!(names.contains(name), "{expression}: the edge has no {name}");
        }
        let known = scrape.series.keys().filter(|(name, _)| asked.contains(&name.as_str()));
        let known: BTreeSet<&str> = known.flat_map(|(_, labels)| labels.keys()).map(String::as_str).collect();
        for label in labels(expression) {
            assert!(known.contains(label), "{expression}: nothing there has {label}");
        }
    }
}

#[tokio::test]
async fn every_metric_of_the_page_is_on_the_dashboard() {
    let edge = Edge::start(policy(Origin::start().await.address)).await;
    let scrape = Scrape::of(&edge).await;
    let shown = expressions();
    for name in scrape.kinds.keys() {
        let series = ["", "_bucket", "_count", "_sum"].map(|suffix| format!("{name}{suffix}"));
        let mut words = shown.iter().flat_map(|expression| words(expression));
        assert!(words.any(|word| series.iter().any(|series| series == word)), "{name} is on no panel");
    }
}
