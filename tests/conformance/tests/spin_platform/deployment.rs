//! What a deployment sets, and what it gets wrong.

use std::fs;
use std::path::Path;

use selvedge_conformance::Observed;

use super::app::App;
use super::client::{send, text};

const POLICY: &str = r#"
[backends.a]
url = "http://BACKEND"
request-headers = { X-Token = { env = "CONFORMANCE_TOKEN" } }

[[routes]]
path = "/{*rest}"
backend = "a"
cache = { store = false }

[fallback]
page = { status = 503, body = "sorry" }
"#;

/// Does something to the mounted policy.
type Spoil = fn(&Path);

#[test]
fn a_variable_gives_a_secret_and_moves_a_backend() {
    let app = App::with(&POLICY.replace("BACKEND", "nowhere.test"), |config| {
        config.variables.insert("conformance_token".to_owned(), "s3".to_owned());
        config.variables.insert("backend_a".to_owned(), format!("http://{}", super::backend::shared()));
    });
    assert_eq!(text(&send(app.address(), "GET", "/secret/x", &[])), "s3");
}

#[test]
fn a_variable_that_is_no_url_lets_nothing_through() {
    let app = App::with(POLICY, |config| {
        config.variables.insert("backend_a".to_owned(), "ftp://elsewhere.test".to_owned());
    });
    assert_eq!(send(app.address(), "GET", "/secret/x", &[]).status, 500);
    assert!(app.log().contains("backend_a"), "{}", app.log());
}

#[test]
fn a_backend_that_is_not_allowed_is_answered_for_by_the_policy() {
    let app = App::start(&POLICY.replace("BACKEND", "elsewhere.test"));
    let answer = send(app.address(), "GET", "/x", &[]);
    assert_eq!((answer.status, text(&answer)), (503, "sorry"));
    assert!(app.log().contains("allowed_outbound_hosts"), "the log says what to do: {}", app.log());
}

#[test]
fn without_a_policy_every_request_is_answered_with_500() {
    let spoiled: [(&str, Spoil); 3] = [
        ("missing", |file| fs::remove_file(file).unwrap()),
        ("not a compiled policy", |file| fs::write(file, "name = \"shop\"").unwrap()),
        ("cut short", |file| {
            let bytes = fs::read(file).unwrap();
            fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
        }),
    ];
    for (what, spoil) in spoiled {
        let app = App::with(POLICY, |config| {
            spoil(&config.folder.join("policy.bin"));
            if !config.folder.join("policy.bin").exists() {
                let manifest = fs::read_to_string(config.folder.join("spin.toml")).unwrap();
                let files = "files = [{ source = \"policy.bin\", destination = \"/policy.bin\" }]\n";
                fs::write(config.folder.join("spin.toml"), manifest.replace(files, "")).unwrap();
            }
        });
        for _ in 0..2 {
            assert_eq!(send(app.address(), "GET", "/x", &[]).status, 500, "{what}");
        }
        assert!(app.log().contains("/policy.bin"), "{what}: {}", app.log());
    }
}

const PLACES: &str = r#"
[geo]
source = "database"
UNKNOWN

[[geo.rules]]
action = "block"
countries = ["CN"]

[[routes]]
path = "/"
respond = { body = "in {country}" }
"#;

/// An application with this database, or one that is named and not there.
fn app_with_places(unknown: &str, database: Option<&[u8]>) -> App {
    App::with(&PLACES.replace("UNKNOWN", unknown), |config| {
        let Some(database) = database else { return };
        fs::write(config.folder.join("geo.mmdb"), database).unwrap();
        let manifest = fs::read_to_string(config.folder.join("spin.toml")).unwrap();
        let files = "files = [{ source = \"geo.mmdb\", destination = \"/geo.mmdb\" }, ";
        fs::write(config.folder.join("spin.toml"), manifest.replace("files = [", files)).unwrap();
    })
}

fn places() -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/storefront/geoip");
    let files = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let database = files.into_iter().find(|path| path.extension().is_some_and(|end| end == "mmdb"));
    fs::read(database.unwrap()).unwrap()
}

/// What somebody at an address gets.
fn from(app: &App, address: &str) -> Observed {
    send(app.address(), "GET", "/", &[("selvedge-client-addr", address), ("true-client-ip", "223.5.5.5")])
}

#[test]
fn a_database_that_is_mounted_tells_places() {
    let app = app_with_places("", Some(&places()));
    assert_eq!(text(&from(&app, "8.8.8.8")), "in US", "the address is Spin's, since no front is named");
    assert_eq!(from(&app, "223.5.5.5").status, 403);
}

#[test]
fn without_a_database_that_can_be_read_places_are_unknown_and_the_log_says_so_once() {
    let rows = [("", 200), ("unknown = \"block\"", 403)];
    for (what, database) in [("missing", None), ("damaged", Some(&b"nothing"[..]))] {
        for (unknown, status) in rows {
            let app = app_with_places(unknown, database);
            for address in ["8.8.8.8", "223.5.5.5"] {
                assert_eq!(from(&app, address).status, status, "{what} {unknown}: {}", app.log());
            }
            let log = app.log();
            let told = log.lines().filter(|line| line.contains("WARN") && line.contains("/geo.mmdb"));
            assert_eq!(told.count(), 1, "{what}: {log}");
        }
    }
}

#[test]
fn a_place_that_cannot_be_read_is_unknown_and_the_log_says_so_once() {
    let mut database = places();
    let metadata = b"\xab\xcd\xefMaxMind.com";
    let at = database.windows(metadata.len()).rposition(|window| window == metadata).unwrap();
    // The records are torn out, all but the first byte.
    let key = b"country_code";
    let first = database.windows(key.len()).position(|window| window == key).unwrap();
    database.drain(first..at);
    let app = app_with_places("", Some(&database));
    for _ in 0..2 {
        assert_eq!(from(&app, "8.8.8.8").status, 200);
    }
    let log = app.log();
    let told = log.lines().filter(|line| line.contains("WARN") && line.contains("is unknown"));
    assert_eq!(told.count(), 1, "{log}");
}
