//! Errors of routes.

use super::{Row, assert_errors};
use crate::policy::read::read;

/// Puts a backend `a` before each text, so that routes have somewhere to go.
fn assert_errors_beside_a_backend(rows: &[Row<'_>]) {
    let texts: Vec<String> =
        rows.iter().map(|(text, ..)| format!("[backends.a]\nurl = \"http://a.test\"\n{text}")).collect();
    let rows: Vec<Row<'_>> = rows
        .iter()
        .zip(&texts)
        .map(|((_, path, message, help), text)| (text.as_str(), *path, *message, *help))
        .collect();
    assert_errors(&rows);
}

#[test]
fn what_routes_match() {
    let path =
        |text: &'static str, why: &'static str, help: &'static str| (text, "routes[0].path", why, help);
    assert_errors_beside_a_backend(&[
        (
            "§[[routes]]\nbackend = \"a\"\n",
            "routes[0]",
            "a route needs a `path`",
            "`/{*rest}` matches every path",
        ),
        path(
            "[[routes]]\npath = §\"users\"\nbackend = \"a\"\n",
            "it does not start with `/`",
            "`/users/{id}`",
        ),
        path(
            "[[routes]]\npath = §\"/a{id}\"\nbackend = \"a\"\n",
            "a capture is a whole segment",
            "`extensions`",
        ),
        path("[[routes]]\npath = §\"/{}\"\nbackend = \"a\"\n", "missing or odd", "use letters"),
        path("[[routes]]\npath = §\"/{a b}\"\nbackend = \"a\"\n", "missing or odd", "use letters"),
        path(
            "[[routes]]\npath = §\"/{id}/{id}\"\nbackend = \"a\"\n",
            "two captures have the same name",
            "its own",
        ),
        path(
            "[[routes]]\npath = §\"/{*rest}/x\"\nbackend = \"a\"\n",
            "something follows the catch-all",
            "at the end",
        ),
        path(
            "[[routes]]\npath = §\"/a/../b\"\nbackend = \"a\"\n",
            "no request's path can have",
            "leave out `..`",
        ),
        path(
            "[[routes]]\npath = §\"/a?b=1\"\nbackend = \"a\"\n",
            "no request's path can have",
            "leave out `..`",
        ),
        path(
            "[[routes]]\npath = §\"/{country}\"\nbackend = \"a\"\n",
            "a variable of its own",
            "`{the-country}`",
        ),
        (
            "[[routes]]\npath = \"/\"\nhost = §\"https://x.example\"\nbackend = \"a\"\n",
            "routes[0].host",
            "is not a host",
            "without scheme",
        ),
        (
            "[[routes]]\npath = \"/\"\nhost = [\"x.example\", §\"*.*.example\"]\nbackend = \"a\"\n",
            "routes[0].host[1]",
            "is not a host",
            "without scheme",
        ),
        (
            "[[routes]]\npath = \"/\"\nmethods = [\"GET\", §\"post\"]\nbackend = \"a\"\n",
            "routes[0].methods[1]",
            "not in upper case",
            "write `POST`",
        ),
        (
            "[[routes]]\npath = \"/\"\nmethods = [§\"CONNECT\"]\nbackend = \"a\"\n",
            "routes[0].methods[0]",
            "not a method that an edge can take",
            "",
        ),
        (
            "[[routes]]\npath = \"/\"\nextensions = [§\".jpg\"]\nbackend = \"a\"\n",
            "routes[0].extensions[0]",
            "`.jpg` is not a file extension",
            "write it without the dot",
        ),
        (
            "[[routes]]\npath = \"/\"\nwhen = { countries = [§\"UK\"] }\nbackend = \"a\"\n",
            "routes[0].when.countries[0]",
            "`UK` is not a country code",
            "did you mean `GB` (United Kingdom)?",
        ),
        (
            "[[routes]]\npath = \"/\"\nwhen = { countries = [§\"EU\"] }\nbackend = \"a\"\n",
            "routes[0].when.countries[0]",
            "`EU` is not a country code",
            "`eu` is a group: name it in `groups`",
        ),
        (
            "[[routes]]\npath = \"/\"\nwhen = { countries = [§\"XX\"] }\nbackend = \"a\"\n",
            "routes[0].when.countries[0]",
            "`XX` is not a country code",
            "",
        ),
        (
            "[[routes]]\npath = \"/\"\nwhen = { continents = [§\"EUR\"] }\nbackend = \"a\"\n",
            "routes[0].when.continents[0]",
            "continent `EUR` does not exist",
            "`EU`",
        ),
        (
            "[[routes]]\npath = \"/\"\nwhen = { groups = [§\"shengen\"] }\nbackend = \"a\"\n",
            "routes[0].when.groups[0]",
            "group `shengen` does not exist",
            "did you mean `schengen`?",
        ),
        (
            "[[routes]]\npath = \"/\"\nwhen = { unknown-place = §true }\nbackend = \"a\"\n",
            "routes[0].when.unknown-place",
            "no condition on place to widen",
            "name the places too",
        ),
        (
            "[[routes]]\npath = \"/\"\nwhen = { bots = [§\"serch-engine\"] }\nbackend = \"a\"\n",
            "routes[0].when.bots[0]",
            "bot class `serch-engine` does not exist",
            "did you mean `search-engine`?",
        ),
        (
            "[[routes]]\npath = \"/\"\nwhen = { headers = { \"X Y\" = §\"1\" } }\nbackend = \"a\"\n",
            "routes[0].when.headers.\"X Y\"",
            "is not a header name",
            "letters",
        ),
        (
            "[[routes]]\npath = \"/\"\nwhen = { cookies = { \"a=b\" = §\"1\" } }\nbackend = \"a\"\n",
            "routes[0].when.cookies.\"a=b\"",
            "is not a cookie name",
            "",
        ),
    ]);
}

#[test]
fn routes_that_can_never_match_and_names_that_are_taken() {
    assert_errors_beside_a_backend(&[
        (
            "[[routes]]\nname = \"x\"\npath = \"/a/{id}\"\nbackend = \"a\"\n§[[routes]]\npath = \"/a/{name}\"\nbackend = \"a\"\n",
            "routes[1]",
            "this route can never match: routes[0] (`x`) takes every request first",
            "more conditions",
        ),
        (
            "[[routes]]\npath = \"/a\"\nmethods = [\"GET\"]\nbackend = \"a\"\n§[[routes]]\npath = \"/a\"\nmethods = [\"HEAD\"]\nbackend = \"a\"\n",
            "routes[1]",
            "can never match",
            "remove one of the two",
        ),
        (
            "[[routes]]\nname = \"x\"\npath = \"/a\"\nbackend = \"a\"\n[[routes]]\nname = §\"x\"\npath = \"/b\"\nbackend = \"a\"\n",
            "routes[1].name",
            "route name `x` is taken by routes[0]",
            "",
        ),
    ]);
}

#[test]
fn what_routes_do() {
    assert_errors_beside_a_backend(&[
        (
            "§[[routes]]\npath = \"/\"\n",
            "routes[0]",
            "this route does nothing",
            "add one of `backend`, `redirect`, `respond` and `handler`",
        ),
        (
            "[[routes]]\npath = \"/\"\nbackend = \"a\"\nhandler = §\"x\"\n",
            "routes[0].handler",
            "this one has `backend` and `handler`",
            "split it into two routes",
        ),
        (
            "[[routes]]\npath = \"/\"\nbackend = §\"b\"\n",
            "routes[0].backend",
            "backend `b` does not exist",
            "there are: `a`",
        ),
        (
            "[[routes]]\npath = \"/\"\nredirect = \"/x\"\nrewrite = §\"/y\"\n",
            "routes[0].rewrite",
            "only a request to a backend is rewritten",
            "add a `backend`",
        ),
        (
            "[[routes]]\npath = \"/\"\nbackend = \"a\"\nrewrite = §\"y\"\n",
            "routes[0].rewrite",
            "`y` does not start with `/`",
            "",
        ),
        (
            "[[routes]]\npath = \"/{id}\"\nbackend = \"a\"\nrewrite = §\"/{idd}\"\n",
            "routes[0].rewrite",
            "no variable `{idd}` here",
            "did you mean `{id}`?",
        ),
        (
            "[[routes]]\npath = \"/{id}\"\nbackend = \"a\"\nrewrite = §\"/{id\"\n",
            "routes[0].rewrite",
            "a brace has no counterpart",
            "`{{` and `}}`",
        ),
        (
            "[[routes]]\npath = \"/\"\nrespond = { body = §\"{qqqqqqqqqqqq}\" }\n",
            "routes[0].respond.body",
            "no variable `{qqqqqqqqqqqq}` here",
            "`{query.NAME}`",
        ),
        (
            "[[routes]]\npath = \"/\"\nrespond = { body = §\"{variation.hero}\" }\n",
            "routes[0].respond.body",
            "experiment `hero` does not exist",
            "there are none",
        ),
        (
            "[[routes]]\npath = \"/\"\n§backend = { countries = { US = \"a\" } }\n",
            "routes[0].backend",
            "places that are not named have no backend",
            "add `default`",
        ),
        (
            "[[routes]]\npath = \"/\"\nbackend = { groups = { eurp = §\"a\" }, default = \"a\" }\n",
            "routes[0].backend.groups.eurp",
            "group `eurp` does not exist",
            "did you mean `europe`?",
        ),
        (
            "[[routes]]\npath = \"/\"\nbackend = { default = \"a\", unknown = §\"x\" }\n",
            "routes[0].backend.unknown",
            "backend `x` does not exist",
            "there are: `a`",
        ),
        (
            "[[routes]]\npath = \"/\"\nbackend = { nearest = [§\"a\"] }\n",
            "routes[0].backend.nearest[0]",
            "backend `a` has no coordinates",
            "add `coordinates = [latitude, longitude]` to `backends.a`",
        ),
        (
            "coordinates = [0.0, 0.0]\n[[routes]]\npath = \"/\"\n§backend = { nearest = [\"a\"], default = \"a\" }\n",
            "routes[0].backend",
            "`nearest` chooses by distance alone",
            "or drop `nearest`",
        ),
        (
            "[[routes]]\npath = \"/\"\n§backend = { weights = { a = 1 }, unknown = \"a\" }\n",
            "routes[0].backend",
            "`weights` chooses by nothing else",
            "or drop `weights`",
        ),
        (
            "[[routes]]\npath = \"/\"\nbackend = { §weights = { a = 0 } }\n",
            "routes[0].backend.weights",
            "no backend has a weight",
            "more than 0",
        ),
        (
            "[[routes]]\npath = \"/\"\nbackend = { weights = { a = §1000001 } }\n",
            "routes[0].backend.weights.a",
            "it must be from 0 to 1000000",
            "",
        ),
        (
            "[[routes]]\npath = \"/\"\nredirect = { to = \"/x\", status = §304 }\n",
            "routes[0].redirect.status",
            "use 301, 302, 303, 307 or 308",
            "",
        ),
        (
            "[[routes]]\npath = \"/\"\n§redirect = { countries = { US = \"/us\" } }\n",
            "routes[0].redirect",
            "places that are not named have no target",
            "add `to`",
        ),
        (
            "[[routes]]\npath = \"/\"\nredirect = §\"https://{query.to}/\"\n",
            "routes[0].redirect",
            "not a target that a redirect may lead to",
            "`redirects.allowed-hosts`",
        ),
        (
            "[[routes]]\npath = \"/\"\nredirect = §\"//evil.example/\"\n",
            "routes[0].redirect",
            "not a target that a redirect may lead to",
            "start it with `/`",
        ),
        (
            "[[routes]]\npath = \"/\"\nredirect = §\"/a\\\\b\"\n",
            "routes[0].redirect",
            "browsers read a backslash as a slash",
            "",
        ),
        (
            "[[routes]]\npath = \"/\"\nrespond = { status = §99 }\n",
            "routes[0].respond.status",
            "status 99 is out of range: it must be from 200 to 599",
            "",
        ),
        (
            "[[routes]]\npath = \"/\"\nrespond = { status = 204, body = §\"x\" }\n",
            "routes[0].respond.body",
            "a response of status 204 has no body",
            "",
        ),
        (
            "[[routes]]\npath = \"/\"\nrespond = { content-type = §\"html\" }\n",
            "routes[0].respond.content-type",
            "`html` is not a media type",
            "such as `text/html; charset=utf-8`",
        ),
    ]);
}

#[test]
fn caching() {
    assert_errors_beside_a_backend(&[
        (
            "[[routes]]\npath = \"/\"\nrespond = {}\n§cache = { edge = \"1m\" }\n",
            "routes[0].cache",
            "only responses of a backend are cached",
            "drop `cache`",
        ),
        (
            "[[routes]]\npath = \"/\"\nbackend = \"a\"\ncache = { store = false, edge = §\"1m\" }\n",
            "routes[0].cache.edge",
            "`edge` has no effect where `store = false`",
            "",
        ),
        (
            "[[routes]]\npath = \"/\"\nbackend = \"a\"\ncache = { edge = §\"forever\" }\n",
            "routes[0].cache.edge",
            "`forever` is not a duration",
            "write a whole number",
        ),
        (
            "[[routes]]\npath = \"/\"\nbackend = \"a\"\ncache = { stale-if-error = §\"9999d\" }\n",
            "routes[0].cache.stale-if-error",
            "it must be from 0s to 3650d",
            "",
        ),
        (
            "[[routes]]\npath = \"/\"\nbackend = \"a\"\ncache = { key = { headers = [§\"X Y\"] } }\n",
            "routes[0].cache.key.headers[0]",
            "is not a header name",
            "letters",
        ),
        (
            "[[routes]]\npath = \"/\"\nbackend = \"a\"\ncache = { key = { cookies = [§\"a;b\"] } }\n",
            "routes[0].cache.key.cookies[0]",
            "is not a cookie name",
            "",
        ),
        (
            "[[routes]]\npath = \"/\"\nbackend = \"a\"\ncache = { tags = [\"ok\", §\"{x\"] }\n",
            "routes[0].cache.tags[1]",
            "a brace has no counterpart",
            "`{{`",
        ),
    ]);
}

#[test]
fn routes_that_can_match_are_not_taken_for_shadowed() {
    let pairs = [
        ("path = \"/a\"", "path = \"/b\""),
        ("path = \"/{x}\"", "path = \"/a\""),
        ("path = \"/{*x}\"", "path = \"/{y}\""),
        ("path = \"/a\"", "path = \"/a\"\nhost = \"x.example\""),
        ("path = \"/a\"\nhost = \"x.example\"", "path = \"/a\""),
        ("path = \"/a\"\nhost = \"x.example\"", "path = \"/a\"\nhost = [\"x.example\", \"y.example\"]"),
        ("path = \"/a\"\nmethods = [\"GET\"]", "path = \"/a\""),
        ("path = \"/a\"\nmethods = [\"GET\"]", "path = \"/a\"\nmethods = [\"GET\", \"POST\"]"),
        ("path = \"/{*f}\"\nextensions = [\"jpg\"]", "path = \"/{*f}\""),
        ("path = \"/{*f}\"", "path = \"/{*f}\"\nextensions = [\"jpg\"]"),
        ("path = \"/a\"", "path = \"/a\"\nwhen = { query = { x = \"1\" } }"),
        (
            "path = \"/a\"\nwhen = { query = { x = \"1\" } }",
            "path = \"/a\"\nwhen = { query = { x = \"2\" } }",
        ),
        ("path = \"/a\"\nwhen = { countries = [\"DE\"] }", "path = \"/a\"\nwhen = { groups = [\"eu\"] }"),
        (
            "path = \"/a\"\nwhen = { countries = [\"DE\"] }",
            "path = \"/a\"\nwhen = { countries = [\"DE\"], unknown-place = true }",
        ),
        ("path = \"/a\"\nwhen = { bots = [\"seo\"] }", "path = \"/a\"\nwhen = { bots = [\"any\"] }"),
    ];
    for (first, second) in pairs {
        let text = format!("[[routes]]\n{first}\nrespond = {{}}\n[[routes]]\n{second}\nrespond = {{}}\n");
        assert!(
            read(&text).is_ok(),
            "{text}\n{}",
            read(&text).map_or_else(|e| e.to_string(), |_| String::new())
        );
    }
}

#[test]
fn routes_that_another_covers_are_shadowed() {
    let pairs = [
        ("path = \"/{x}\"", "path = \"/{y}\""),
        ("path = \"/a\"\nhost = [\"x.example\", \"y.example\"]", "path = \"/a\"\nhost = \"x.example\""),
        ("path = \"/a\"\nmethods = [\"GET\", \"POST\"]", "path = \"/a\"\nmethods = [\"POST\"]"),
        ("path = \"/a\"\nwhen = { groups = [\"eu\"] }", "path = \"/a\"\nwhen = { countries = [\"DE\"] }"),
        (
            "path = \"/a\"\nwhen = { query = { x = \"*\" } }",
            "path = \"/a\"\nwhen = { query = { x = \"2\" } }",
        ),
        ("path = \"/a\"\nwhen = { bots = [\"any\"] }", "path = \"/a\"\nwhen = { bots = [\"seo\"] }"),
    ];
    for (first, second) in pairs {
        let text = format!("[[routes]]\n{first}\nrespond = {{}}\n[[routes]]\n{second}\nrespond = {{}}\n");
        let errors = read(&text).expect_err(&text);
        let paths: Vec<_> = errors.iter().map(|error| error.path()).collect();
        assert_eq!(paths, ["routes[1]"], "{text}\n{errors}");
    }
}
