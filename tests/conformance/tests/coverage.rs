//! What the cases cover between them.

use std::collections::BTreeSet;

use selvedge_conformance::case::{Case, load};
use selvedge_conformance::trials::folder;
use selvedge_core::policy::schema::json_schema;
use serde_json::Value;

/// Every reason that a response can have, by its code, but for `backend.busy` and `backend.unhealthy`: the one takes requests at the
/// same time, and the other takes time. Nor do clients here break off or dawdle: `request.body-broken`, `request.body-late`.
const OUTCOMES: [&str; 45] = [
    "backend.circuit-open",
    "backend.connect",
    "backend.error-status",
    "backend.protocol",
    "backend.responded",
    "backend.timeout",
    "bot.blocked",
    "bot.limited",
    "cache.hit",
    "cache.only-if-cached",
    "cache.revalidated",
    "cache.stale-wanted",
    "cache.stale-while-revalidate",
    "cors.preflight",
    "cors.refused",
    "fallback.page",
    "fallback.stale",
    "geo.blocked",
    "geo.unknown-blocked",
    "handler.failed",
    "handler.panicked",
    "handler.responded",
    "maintenance",
    "request.backslash",
    "request.body-too-large",
    "request.control-character",
    "request.dot-segment",
    "request.duplicate-host",
    "request.encoded-slash",
    "request.headers-too-large",
    "request.invalid-escape",
    "request.invalid-host",
    "request.invalid-port",
    "request.method-refused",
    "request.missing-host",
    "request.unsupported-scheme",
    "request.url-too-long",
    "request.userinfo",
    "route.method-not-allowed",
    "route.not-found",
    "route.redirect-refused",
    "route.redirected",
    "route.responded",
    "route.rewrite-refused",
    "request.authority-form",
];

fn cases() -> Vec<Case> {
    load(&folder()).expect("every case can be read")
}

#[test]
fn every_case_has_a_name_of_its_own() {
    let cases = cases();
    let names: BTreeSet<_> = cases.iter().map(|case| &case.name).collect();
    assert_eq!(names.len(), cases.len(), "two cases of one file have the same name");
    assert!(cases.len() >= 120, "{} cases are too few to speak for a platform", cases.len());
}

#[test]
fn every_outcome_occurs() {
    let cases = cases();
    let steps = cases.iter().flat_map(|case| &case.steps);
    let seen: BTreeSet<_> = steps.filter_map(|step| step.expect.reason.as_deref()).collect();
    let expected: BTreeSet<_> = OUTCOMES.into_iter().collect();
    assert_eq!(
        seen.difference(&expected).collect::<Vec<_>>(),
        Vec::<&&str>::new(),
        "reasons that no response has"
    );
    assert_eq!(
        expected.difference(&seen).collect::<Vec<_>>(),
        Vec::<&&str>::new(),
        "reasons that no case expects"
    );
}

#[test]
fn every_key_of_a_policy_occurs() {
    let schema = json_schema();
    let mut used = BTreeSet::new();
    for case in cases() {
        let policy: Value = toml::from_str(&case.policy).unwrap();
        mark(&schema, &schema, "policy", &policy, &mut used);
    }
    let mut known = BTreeSet::new();
    let root = [("policy", &schema)].into_iter();
    let definitions = schema["$defs"].as_object().unwrap().iter().map(|(name, part)| (name.as_str(), part));
    for (name, part) in root.chain(definitions) {
        for key in part["properties"].as_object().into_iter().flatten().map(|(key, _)| key) {
            known.insert(format!("{name}.{key}"));
        }
    }
    assert!(known.len() > 80, "the schema has {} keys", known.len());
    assert_eq!(known.difference(&used).collect::<Vec<_>>(), Vec::<&String>::new(), "keys that no case uses");
}

/// Notes every key of `value` that `part` of the schema knows, as the name of its definition and its own.
fn mark(schema: &Value, part: &Value, name: &str, value: &Value, used: &mut BTreeSet<String>) {
    if let Some(reference) = part["$ref"].as_str() {
        let name = reference.trim_start_matches("#/$defs/");
        return mark(schema, &schema["$defs"][name], name, value, used);
    }
    for choice in ["anyOf", "oneOf"].iter().filter_map(|key| part[key].as_array()).flatten() {
        mark(schema, choice, name, value, used);
    }
    for (key, inner) in value.as_object().into_iter().flatten() {
        if let Some(known) = part["properties"].get(key) {
            used.insert(format!("{name}.{key}"));
            mark(schema, known, name, inner, used);
        } else if part["additionalProperties"].is_object() {
            mark(schema, &part["additionalProperties"], name, inner, used);
        }
    }
    for item in value.as_array().into_iter().flatten() {
        mark(schema, &part["items"], name, item, used);
    }
}
