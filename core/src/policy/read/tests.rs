use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::policy::schema::json_schema;

const KITCHEN_SINK: &str = include_str!("kitchen-sink.toml");

/// Splits a text at its `§`: the text without it, and the line and column where it stood.
pub(crate) fn marked(text: &str) -> (String, usize, usize) {
    let at = text.find('§').expect("the text has a mark");
    let before = &text[..at];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (text.replacen('§', "", 1), line, column)
}

/// One error: a text whose `§` is its place, its path, and parts of its message and of its help.
pub(crate) type Row<'a> = (&'a str, &'a str, &'a str, &'a str);

/// Reads each text and compares its one error.
pub(crate) fn assert_errors(rows: &[Row<'_>]) {
    for (text, path, message, help) in rows {
        let (text, line, column) = marked(text);
        let errors = read(&text).expect_err(&text);
        let error = errors.iter().next().expect("there is at least one error");
        assert_eq!(errors.len(), 1, "{text}\n{errors}");
        assert_eq!((error.path(), error.line(), error.column()), (*path, line, column), "{text}\n{error}");
        assert!(error.message().contains(message), "{text}\n{error}");
        assert!(error.help().unwrap_or_default().contains(help), "{text}\n{error}");
        assert_eq!(help.is_empty(), error.help().is_none(), "help for\n{text}\n{error}");
    }
}

#[test]
fn the_structure_is_checked_with_place_and_advice() {
    assert_errors(&[
        ("§nme = \"x\"\n", "nme", "unknown key `nme`", "did you mean `name`?"),
        ("[limits]\n§max-url = 1\n", "limits.max-url", "unknown key", "`max-url-bytes`"),
        (
            "[geo]\n§zzzzzzzz = 1\n",
            "geo.zzzzzzzz",
            "unknown key",
            "there are: `body`, `default`, `rules`, `source`, `status`",
        ),
        ("name = §5\n", "name", "expected a text, found an integer", ""),
        ("name = §1.5\n", "name", "expected a text, found a number", ""),
        ("name = §true\n", "name", "expected a text, found true or false", ""),
        ("name = §[\"x\"]\n", "name", "expected a text, found a list", ""),
        ("name = §2026-01-15\n", "name", "expected a text, found a date or time", ""),
        ("§[name]\n", "name", "expected a text, found a table", ""),
        ("[fallback]\nstale = §\"no\"\n", "fallback.stale", "expected true or false, found a text", ""),
        ("[bots]\nrules = §3\n", "bots.rules", "expected a table, found an integer", ""),
        ("routes = §\"x\"\n", "routes", "expected a list, found a text", ""),
        (
            "[limits]\nmax-url-bytes = §true\n",
            "limits.max-url-bytes",
            "expected an integer or a text, found true or false",
            "",
        ),
        ("[limits]\nmax-url-bytes = §-1\n", "limits.max-url-bytes", "-1 is out of range", ""),
        ("[geo]\nstatus = §70000\n", "geo.status", "70000 is out of range: it must be from 0 to 65535", ""),
        (
            "[geo]\ndefault = §\"blok\"\n",
            "geo.default",
            "`blok` is not possible here",
            "did you mean `block`?",
        ),
        ("[geo]\ndefault = §\"no\"\n", "geo.default", "`no` is not possible", "there are: `allow`, `block`"),
        (
            "[bots.rules]\n§scrapper = \"block\"\n",
            "bots.rules.scrapper",
            "unknown key",
            "did you mean `scraper`?",
        ),
        (
            "[bots.rules]\nscraper = §{ status = 403 }\n",
            "bots.rules.scraper",
            "the key `action` is missing",
            "",
        ),
        (
            "[backends.a]\nurl = \"http://a.test\"\ncoordinates = §[1.0]\n",
            "backends.a.coordinates",
            "expected 2 values, found 1",
            "",
        ),
        (
            "[backends.a]\nurl = \"http://a.test\"\nrequest-headers = { X = { §en = \"X\" } }\n",
            "backends.a.request-headers.X.en",
            "unknown key `en`",
            "did you mean `env`?",
        ),
        (
            "[[routes]]\npath = \"/\"\nrespond = {}\n[[routes]]\npath = \"/b\"\nrespond = { §stats = 200 }\n",
            "routes[1].respond.stats",
            "unknown key `stats`",
            "did you mean `status`?",
        ),
        (
            "[[routes]]\npath = \"/\"\nrespond = {}\nmethods = [\"GET\", §5]\n",
            "routes[0].methods[1]",
            "expected a text, found an integer",
            "",
        ),
    ]);
}

#[test]
fn a_text_that_is_no_toml_has_its_syntax_errors_alone() {
    for (text, line) in
        [("name = \n", 1), ("a = 1\nname = \"x\nb = 2\n", 2), ("[a\n", 1), ("a = 1\na = 2\n", 2)]
    {
        let errors = read(text).expect_err(text);
        let error = errors.iter().next().expect("there is at least one error");
        assert_eq!((error.path(), error.line()), ("", line), "{text}\n{error}");
        assert!(!error.message().is_empty() && !error.message().contains('\n'), "one line: {error}");
    }
}

#[test]
fn places_count_characters_whatever_the_line_ends() {
    let rows = [
        ("# é\r\nname = \"é\"\r\n§nme = 1\r\n", "nme"),
        ("geo = { body = \"ééé\", §stats = 1 }\n", "geo.stats"),
        ("geo = {\tbody = \"日本\",\t§stats = 1 }", "geo.stats"),
        ("\u{feff}§nme = 1\n", "nme"),
    ];
    for (text, path) in rows {
        let (text, line, column) = marked(text);
        let errors = read(&text).expect_err(&text);
        let error = errors.iter().next().expect("there is at least one error");
        assert_eq!((error.path(), error.line(), error.column()), (path, line, column), "{text:?}");
        assert!(
            text[error.span()].starts_with(path.rsplit('.').next().unwrap_or(path)),
            "{text:?}: {error:?}"
        );
    }
}

#[test]
fn every_path_of_a_policy_has_its_place() {
    let rows = [
        ("[§backends.us]\nurl = \"http://a.test\"\n", "backends"),
        ("[backends.§us]\nurl = \"http://a.test\"\n", "backends.us"),
        ("[backends.us]\nurl = §\"http://a.test\"\n", "backends.us.url"),
        ("[backends.us]\nurl = [\"http://a.test\", §\"http://b.test\"]\n", "backends.us.url[1]"),
        ("[backends.us]\nurl = §\"http://a.test\"\n", "backends.us.url[1]"),
        ("[backends.\"a.b\"]\nurl = §\"http://a.test\"\n", "backends.\"a.b\".url"),
        ("[bots.rules]\n§scraper = { action = \"block\" }\n", "bots.rules.scraper"),
        ("[bots.rules]\nscraper = §\"block\"\n", "bots.rules.scraper"),
        ("[[routes]]\npath = \"/\"\n[[routes]]\n§cache = { edge = \"1h\" }\n", "routes[1].cache"),
        ("[[routes]]\npath = \"/\"\n[[routes]]\ncache = { edge = §\"1h\" }\n", "routes[1].cache.edge"),
        ("§# nothing\n", "routes[1]"),
    ];
    for (text, path) in rows {
        let (text, line, column) = marked(text);
        assert_eq!(place(&text, path), (line, column), "{path} in\n{text}");
    }
}

#[test]
fn ten_mistakes_are_ten_errors_in_the_order_of_their_places() {
    let text = r#"
nme = "shop"
[backends.us]
url = "ftp://us.example"
timeout = "5 seconds"
[geo]
unknown = "maybe"
[[geo.rules]]
action = "block"
countries = ["UK"]
[[routes]]
path = "users"
backend = "us"
[[routes]]
path = "/a"
backend = "su"
[[routes]]
path = "/b"
redirect = { to = "/x", status = 200 }
[experiments.hero]
variations = [{ name = "a", weight = 0 }, { name = "b", weight = 0 }]
[headers.response.set]
Content-Length = "5"
"#;
    let errors = read(text).expect_err("there are ten");
    let places: Vec<_> = errors.iter().map(|error| (error.line(), error.path())).collect();
    let expected = [
        (2, "nme"),
        (4, "backends.us.url"),
        (5, "backends.us.timeout"),
        (7, "geo.unknown"),
        (10, "geo.rules[0].countries[0]"),
        (12, "routes[0].path"),
        (16, "routes[1].backend"),
        (19, "routes[2].redirect.status"),
        (21, "experiments.hero.variations"),
        (23, "headers.response.set.Content-Length"),
    ];
    assert_eq!(places, expected, "{errors}");
}

#[test]
fn what_follows_from_an_error_of_structure_is_not_told_again() {
    let text = "[[routes]]\npth = \"/\"\nrespond = {}\n";
    let errors = read(text).expect_err("the path is misspelt");
    let paths: Vec<_> = errors.iter().map(PolicyError::path).collect();
    assert_eq!(paths, ["routes[0].pth"], "not also that the route has no path: {errors}");
}

#[test]
fn the_kitchen_sink_is_accepted_and_has_every_key() {
    let policy = read(KITCHEN_SINK).map_err(|errors| errors.to_string()).expect("every value is valid");
    assert_eq!((policy.routes.len(), policy.experiments.len(), policy.backends.len()), (6, 2, 2));
    let schema = json_schema();
    let definitions = schema["$defs"].as_object().expect("the schema has definitions");
    let tables = definitions.iter().map(|(name, part)| (name.as_str(), part)).chain([("", &schema)]);
    for (name, part) in tables {
        for key in part["properties"].as_object().into_iter().flatten().map(|(key, _)| key) {
            let is_there = |before: &str| KITCHEN_SINK.contains(&format!("{before}{key} = "));
            let is_table =
                KITCHEN_SINK.contains(&format!("{key}]")) || KITCHEN_SINK.contains(&format!("[{key}."));
            assert!(is_there("\n") || is_there(" ") || is_there("{") || is_table, "{name}.{key} is missing");
        }
    }
}

#[test]
fn the_storefront_is_accepted() {
    let text = include_str!("../../../../examples/storefront/edge.toml");
    let policy = read(text).map_err(|errors| errors.to_string()).expect("the storefront is valid");
    assert_eq!((policy.name.as_str(), policy.routes.len()), ("storefront", 5));
}

#[test]
fn a_checked_policy_survives_serialisation() {
    let policy = read(KITCHEN_SINK).expect("every value is valid");
    let json = serde_json::to_value(&policy).expect("a checked policy can be written");
    let back: Policy = serde_json::from_value(json).expect("and read");
    assert_eq!(back, policy);
}

fn assert_within(text: &str) -> Result<(), TestCaseError> {
    if let Err(errors) = read(text) {
        for error in &errors {
            let span = error.span();
            prop_assert!(span.start <= span.end && span.end <= text.len(), "{} is outside the text", error);
            prop_assert!(error.line() >= 1 && error.column() >= 1, "{}", error);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_text_makes_the_reader_panic(text in "[\\[\\]{}=\"'.,#a-z0-9 \n\r\té§-]{0,80}") {
        assert_within(&text)?;
    }

    #[test]
    fn no_change_to_a_policy_makes_the_reader_panic(
        from in any::<prop::sample::Index>(),
        length in 0_usize..40,
        insert in "[\\[\\]{}=\"'.,#a-z0-9 \né-]{0,12}",
    ) {
        let mut bytes: Vec<char> = KITCHEN_SINK.chars().collect();
        let at = from.index(bytes.len());
        let end = (at + length).min(bytes.len());
        bytes.splice(at..end, insert.chars());
        assert_within(&bytes.into_iter().collect::<String>())?;
    }

    #[test]
    fn every_value_can_be_replaced_by_any_other(
        key in any::<prop::sample::Index>(),
        value in prop_oneof![
            Just("\"\""), Just("0"), Just("-1"), Just("1e300"), Just("nan"), Just("[]"), Just("{}"), Just("true"),
            Just("\"{\""), Just("\"\\u0000\""), Just("[[]]"), Just("99999999999"), Just("\"é\""), Just("\"*\""),
        ],
    ) {
        let lines: Vec<&str> = KITCHEN_SINK.lines().collect();
        let with_value: Vec<usize> = (0..lines.len()).filter(|at| lines[*at].contains(" = ")).collect();
        let at = with_value[key.index(with_value.len())];
        let name = lines[at].split(" = ").next().unwrap_or_default();
        let changed = format!("{name} = {value}");
        let text: Vec<&str> = lines.iter().enumerate().map(|(n, line)| if n == at { changed.as_str() } else { line }).collect();
        assert_within(&text.join("\n"))?;
    }
}

#[test]
fn the_schema_names_what_it_describes() {
    let schema = json_schema();
    assert_eq!(schema["title"], Value::from("Selvedge edge policy"));
    let described = |part: &Value| {
        let properties = part["properties"].as_object().into_iter().flatten();
        properties
            .filter(|(_, property)| !property["description"].is_string())
            .map(|(key, _)| key.clone())
            .collect()
    };
    let bare: Vec<String> = described(&schema);
    assert_eq!(bare, Vec::<String>::new(), "an editor shows each key's description");
}
