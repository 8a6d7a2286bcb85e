use std::collections::BTreeSet;

use selvedge_core::policy::read::read;
use toml::{Table, Value};

use super::*;

fn policy(text: &str) -> Policy {
    read(text).unwrap_or_else(|errors| panic!("{text}: {errors}"))
}

fn parsed(text: &str, has_places: bool) -> Table {
    let manifest = manifest(&policy(text), has_places);
    manifest.parse().unwrap_or_else(|error| panic!("{manifest}: {error}"))
}

/// A key of a table of the manifest that Spin knows, and what it holds.
type Key = (&'static str, fn(&Value) -> bool);

/// Refuses what Spin refuses: other keys than those that it knows, other types, and keys that are missing.
///
/// The tables are those of the [manifest reference](https://spinframework.dev/manifest-reference), of which Spin takes
/// no unknown key; of the keys that it has, those stand here that a build writes.
fn assert_keys(what: &str, table: &Table, required: &[Key], optional: &[Key]) {
    for (name, is_right) in required {
        assert!(table.get(*name).is_some_and(is_right), "{what} has no such {name}: {table}");
    }
    let known: BTreeSet<_> = required.iter().chain(optional).map(|(name, _)| *name).collect();
    for (name, value) in table {
        assert!(known.contains(name.as_str()), "{what} has {name}: {table}");
        let right = required.iter().chain(optional).filter(|(known, _)| known == name);
        assert!(right.into_iter().all(|(_, is_right)| is_right(value)), "{what}.{name} is {value}");
    }
}

fn is_strings(value: &Value) -> bool {
    value.as_array().is_some_and(|list| list.iter().all(Value::is_str))
}

/// Asserts that Spin takes a manifest, and returns the values that variables have without a deployment's own.
fn assert_is_a_manifest(manifest: &Table) -> Table {
    assert_keys(
        "the manifest",
        manifest,
        &[
            ("spin_manifest_version", |value| value.as_integer() == Some(2)),
            ("application", Value::is_table),
            ("trigger", Value::is_table),
            ("component", Value::is_table),
        ],
        &[("variables", Value::is_table)],
    );
    let application = manifest["application"].as_table().unwrap();
    assert_keys("application", application, &[("name", Value::is_str)], &[("version", Value::is_str)]);
    let triggers = manifest["trigger"]["http"].as_array().unwrap();
    let [trigger] = triggers.as_slice() else { panic!("one trigger: {triggers:?}") };
    let trigger_keys: [Key; 2] = [
        ("route", |value| value.as_str() == Some("/...")),
        ("component", |value| value.as_str() == Some("edge")),
    ];
    assert_keys("trigger", trigger.as_table().unwrap(), &trigger_keys, &[]);
    let edge = manifest["component"]["edge"].as_table().unwrap();
    assert_keys(
        "component",
        edge,
        &[
            ("source", |value| value.as_str() == Some("edge.wasm")),
            ("files", Value::is_array),
            ("allowed_outbound_hosts", is_strings),
        ],
        &[("key_value_stores", is_strings), ("variables", Value::is_table)],
    );
    for file in edge["files"].as_array().unwrap() {
        let keys: [Key; 2] = [
            ("source", Value::is_str),
            ("destination", |value| value.as_str().is_some_and(|path| path.starts_with('/'))),
        ];
        assert_keys("a file", file.as_table().unwrap(), &keys, &[]);
    }
    assert_variables(manifest.get("variables"), edge.get("variables"))
}

/// Each variable is either required or has a default, and the component has all of them by the same name.
fn assert_variables(declared: Option<&Value>, own: Option<&Value>) -> Table {
    let empty = Table::new();
    let [declared, own] =
        [declared, own].map(|table| table.map_or(&empty, |table| table.as_table().unwrap()));
    assert_eq!(declared.keys().collect::<BTreeSet<_>>(), own.keys().collect::<BTreeSet<_>>());
    let mut defaults = Table::new();
    for (name, variable) in declared {
        let variable = variable.as_table().unwrap();
        let is_true: fn(&Value) -> bool = |value| value.as_bool() == Some(true);
        match variable.get("default") {
            Some(default) => {
                assert_keys(name, variable, &[("default", Value::is_str)], &[]);
                defaults.insert(name.clone(), default.clone());
            }
            None => assert_keys(name, variable, &[("required", is_true), ("secret", is_true)], &[]),
        }
        assert_eq!(own[name].as_str(), Some(format!("{{{{ {name} }}}}").as_str()));
    }
    defaults
}

/// The hosts that are allowed once the variables' defaults stand for them.
fn allowed(manifest: &Table, defaults: &Table) -> Vec<String> {
    let entries = manifest["component"]["edge"]["allowed_outbound_hosts"].as_array().unwrap();
    let resolve = |entry: &Value| {
        let name = entry.as_str()?.strip_prefix("{{ ")?.strip_suffix(" }}")?;
        defaults[name].as_str().map(str::to_owned)
    };
    entries.iter().map(|entry| resolve(entry).unwrap_or_else(|| panic!("{entry} is no variable"))).collect()
}

/// Whether [Spin takes](https://spinframework.dev/http-outbound#granting-http-permissions-to-components) a host that is
/// allowed: scheme, host and port, and no path.
fn is_allowed_host(entry: &str) -> bool {
    entry.split_once("://").is_some_and(|(scheme, rest)| {
        matches!(scheme, "http" | "https")
            && !rest.is_empty()
            && !rest.contains(['/', '@', '*', '{'])
            && rest == rest.to_ascii_lowercase()
            // Spin takes what follows the last colon for a port.
            && rest.rsplit_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_ok())
    })
}

#[test]
fn spin_takes_the_manifest_of_every_kind_of_policy() {
    let rows: [(&str, &[&str]); 5] = [
        ("", &[]),
        ("name = \"Käse \\\" & co\"\n[[routes]]\npath = \"/\"\nhandler = \"a\"", &[]),
        ("[backends.a]\nurl = \"https://API.example.com/v1\"", &["https://api.example.com"]),
        (
            "[backends.a]\nurl = [\"http://[::1]/a\", \"http://10.0.0.1:8080\"]\n[backends.b-c]\nurl = \"https://[::1]\"",
            &["http://[::1]:80", "http://10.0.0.1:8080", "https://[::1]:443"],
        ),
        (
            "[backends.a]\nurl = \"http://a.test\"\nrequest-headers = { A = { env = \"EU_TOKEN\" }, B = \"b\" }",
            &["http://a.test"],
        ),
    ];
    for (text, hosts) in rows {
        let manifest = parsed(text, false);
        let defaults = assert_is_a_manifest(&manifest);
        let allowed = allowed(&manifest, &defaults);
        assert_eq!(allowed, hosts, "{text}");
        assert!(allowed.iter().all(|entry| is_allowed_host(entry)), "{allowed:?}");
    }
}

#[test]
fn a_manifest_asks_for_what_the_policy_needs_and_no_more() {
    let text = "name = \"My Shop\"\n[backends.eu]\nurl = [\"https://eu.example/v1\", \"https://eu2.example\"]\n\
                request-headers = { Authorization = { env = \"EU_TOKEN\" } }\n\
                [[routes]]\npath = \"/\"\nbackend = \"eu\"\n";
    assert_eq!(
        manifest(&policy(text), true),
        "# Made by `selvedge build --target spin`; changes are written over.\n\
         spin_manifest_version = 2\n\
         \n\
         [application]\n\
         name = \"my-shop\"\n\
         version = \"0.1.0\"\n\
         \n\
         # Give or change them at deployment, with `--variable NAME=VALUE`.\n\
         [variables]\n\
         eu_token = { required = true, secret = true }\n\
         backend_eu = { default = \"https://eu.example\" }\n\
         backend_eu_2 = { default = \"https://eu2.example\" }\n\
         selvedge_access_log = { default = \"\" }\n\
         \n\
         [[trigger.http]]\n\
         route = \"/...\"\n\
         component = \"edge\"\n\
         \n\
         [component.edge]\n\
         source = \"edge.wasm\"\n\
         files = [{ source = \"policy.bin\", destination = \"/policy.bin\" }, \
         { source = \"geo.mmdb\", destination = \"/geo.mmdb\" }]\n\
         allowed_outbound_hosts = [\"{{ backend_eu }}\", \"{{ backend_eu_2 }}\"]\n\
         key_value_stores = [\"default\"]\n\
         \n\
         [component.edge.variables]\n\
         eu_token = \"{{ eu_token }}\"\n\
         backend_eu = \"{{ backend_eu }}\"\n\
         backend_eu_2 = \"{{ backend_eu_2 }}\"\n\
         selvedge_access_log = \"{{ selvedge_access_log }}\"\n"
    );
    let bare = parsed("[[routes]]\npath = \"/\"\nrespond = {}", false);
    let edge = bare["component"]["edge"].as_table().unwrap();
    assert_eq!(edge["files"].as_array().unwrap().len(), 1, "the policy alone is mounted");
    assert_eq!(edge["allowed_outbound_hosts"].as_array().unwrap().len(), 0, "nothing may be asked");
    assert!(!edge.contains_key("key_value_stores"), "{bare}");
    let variables: Vec<_> = bare["variables"].as_table().unwrap().keys().collect();
    assert_eq!(variables, ["selvedge_access_log"]);
}

#[test]
fn the_store_is_asked_for_by_policies_that_keep_something() {
    let route = |rest: &str| {
        format!("[backends.a]\nurl = \"http://a.test\"\n[[routes]]\npath = \"/\"\nbackend = \"a\"\n{rest}")
    };
    for (text, expected) in [
        ("[[routes]]\npath = \"/\"\nrespond = {}".to_owned(), false),
        ("[[routes]]\npath = \"/\"\nhandler = \"a\"".to_owned(), true),
        (route(""), true),
        (route("cache = { store = false }"), false),
        (route("methods = [\"POST\"]"), false),
        (route("methods = [\"POST\", \"HEAD\"]"), true),
    ] {
        let manifest = parsed(&text, false);
        let stores = manifest["component"]["edge"].get("key_value_stores").and_then(Value::as_array);
        assert_eq!(stores.map(Vec::as_slice) == Some(&[Value::from("default")]), expected, "{text}");
    }
}
