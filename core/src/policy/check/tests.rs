//! Every error of meaning: a text with `§` at its place, its path, and parts of its message and advice.

mod jobs;
mod routes;

use crate::policy::read::tests::{Row, assert_errors};

#[test]
fn backends() {
    let url = |text: &'static str, why: &'static str| {
        (text, "backends.b.url", why, "write it like `https://api.example.com`")
    };
    assert_errors(&[
        ("[backends.§b]\n", "backends.b", "a backend needs a `url`", "add `url = "),
        ("[backends.§b]\nurl = []\n", "backends.b", "a backend needs a `url`", "add `url = "),
        url("[backends.b]\nurl = §\"ftp://b.test\"\n", "it must start with `http://`"),
        url("[backends.b]\nurl = §\"b.test\"\n", "it must start with `http://`"),
        url("[backends.b]\nurl = §\"http://\"\n", "it cannot be parsed"),
        url("[backends.b]\nurl = §\"http://me:secret@b.test\"\n", "names and passwords do not belong"),
        url("[backends.b]\nurl = §\"http://b.test/?x=1\"\n", "it has a query"),
        url("[backends.b]\nurl = §\"http://b.test/#x\"\n", "it has a fragment"),
        (
            "[backends.b]\nurl = [\"http://b.test\", §\"b\"]\n",
            "backends.b.url[1]",
            "`b` is not a backend's URL",
            "write it like",
        ),
        (
            "[backends.b]\nurl = \"http://b.test\"\ntimeout = §\"5 s\"\n",
            "backends.b.timeout",
            "`5 s` is not a duration",
            "`500ms`, `30s`, `10m`, `1h` or `7d`",
        ),
        (
            "[backends.b]\nurl = \"http://b.test\"\ntimeout = §\"1h\"\n",
            "backends.b.timeout",
            "it must be from 1ms to 5m",
            "",
        ),
        (
            "[backends.b]\nurl = \"http://b.test\"\ntimeout = §\"0s\"\n",
            "backends.b.timeout",
            "it must be from 1ms to 5m",
            "",
        ),
        (
            "[backends.b]\nurl = \"http://b.test\"\ncoordinates = §[150.0, 8.0]\n",
            "backends.b.coordinates",
            "out of range",
            "latitude (-90 to 90)",
        ),
        (
            "[backends.b]\nurl = \"http://b.test\"\nfailover = [§\"b\"]\n",
            "backends.b.failover[0]",
            "a backend cannot stand in for itself",
            "",
        ),
        (
            "[backends.backup]\nurl = \"http://c.test\"\n[backends.b]\nurl = \"http://b.test\"\nfailover = [§\"backp\"]\n",
            "backends.b.failover[0]",
            "backend `backp` does not exist",
            "did you mean `backup`?",
        ),
        (
            "[backends.b]\nurl = \"http://b.test\"\nrequest-headers = { \"X Y\" = §\"1\" }\n",
            "backends.b.request-headers.\"X Y\"",
            "`X Y` is not a header name",
            "letters, digits",
        ),
        (
            "[backends.b]\nurl = \"http://b.test\"\nrequest-headers = { Host = §\"c.test\" }\n",
            "backends.b.request-headers.Host",
            "belongs to the connection",
            "",
        ),
        (
            "[backends.b]\nurl = \"http://b.test\"\nrequest-headers = { X = §\"a\\nb\" }\n",
            "backends.b.request-headers.X",
            "cannot hold line breaks",
            "",
        ),
        (
            "[backends.b]\nurl = \"http://b.test\"\nrequest-headers = { X = { env = §\"Bearer 5ecret\" } }\n",
            "backends.b.request-headers.X.env",
            "not the name of an environment variable",
            "name the variable, not its value",
        ),
    ]);
}

#[test]
fn places_and_bots() {
    assert_errors(&[
        ("[groups]\neu = §[\"DE\"]\n", "groups.eu", "group `eu` is built in", "choose another name"),
        ("[groups]\nmine = §[]\n", "groups.mine", "group `mine` has no countries", ""),
        ("[groups]\nmine = [§\"QQ\"]\n", "groups.mine[0]", "`QQ` is not a country code", ""),
        ("[geo]\nstatus = §200\n", "geo.status", "it must be from 400 to 599", ""),
        (
            "§[[geo.rules]]\naction = \"block\"\n",
            "geo.rules[0]",
            "names no place",
            "add `countries` or `groups`",
        ),
        (
            "§[[geo.rules]]\ncountries = [\"CN\"]\n",
            "geo.rules[0]",
            "does nothing",
            "add `action = \"block\"`",
        ),
        (
            "[bots.rules]\nseo = { action = \"allow\", body = §\"x\" }\n",
            "bots.rules.seo.body",
            "`body` has no effect with this action",
            "",
        ),
        (
            "[bots.rules]\nseo = { action = \"block\", requests = §5 }\n",
            "bots.rules.seo.requests",
            "`requests` has no effect with this action",
            "",
        ),
        (
            "[bots.rules]\n§seo = { action = \"limit\", requests = 5 }\n",
            "bots.rules.seo",
            "a limit needs `requests` and `per`",
            "add `requests = 60`",
        ),
        ("[bots.rules]\nseo = §\"limit\"\n", "bots.rules.seo", "a limit needs `requests` and `per`", "add"),
        (
            "[bots.rules]\nseo = { action = \"limit\", requests = 5, per = §\"1500ms\" }\n",
            "bots.rules.seo.per",
            "a window is a number of whole seconds",
            "",
        ),
        (
            "[bots.rules]\nseo = { action = \"limit\", requests = 5, per = §\"2d\" }\n",
            "bots.rules.seo.per",
            "it must be from 1s to 1d",
            "",
        ),
        ("[bots]\ntag-header = §\"Via\"\n", "bots.tag-header", "belongs to the connection", ""),
    ]);
}

#[test]
fn experiments() {
    let two = "variations = [{ name = \"a\" }, { name = \"b\" }]\n";
    let with_two = |text: &str| text.replace("TWO\n", two);
    let rows = [
        (
            "[experiments.x]\ncoverage = §1.5\nTWO\n",
            "experiments.x.coverage",
            "coverage 1.5 is not from 0 to 1",
            "",
        ),
        ("[experiments.x]\nhash-version = §3\nTWO\n", "experiments.x.hash-version", "use 1 or 2", ""),
        (
            "[experiments.x]\nidentity-cookie = \"a\"\nidentity-header = §\"b\"\nTWO\n",
            "experiments.x.identity-header",
            "by a cookie or by a header, not by both",
            "",
        ),
        (
            "[experiments.x]\nidentity-cookie = §\"a b\"\nTWO\n",
            "experiments.x.identity-cookie",
            "is not a cookie name",
            "",
        ),
        (
            "[experiments.x]\nnamespace = { id = \"n\", range = §[0.5, 0.5] }\nTWO\n",
            "experiments.x.namespace.range",
            "is not a range within 0 to 1",
            "",
        ),
        (
            "[experiments.x]\npaths = §\"home\"\nTWO\n",
            "experiments.x.paths",
            "does not start with `/`",
            "write it like",
        ),
        (
            "[experiments.x]\npaths = [\"/\", §\"x\"]\nTWO\n",
            "experiments.x.paths[1]",
            "does not start with `/`",
            "write",
        ),
        (
            "[experiments.x]\nsticky = { max-age = §\"500d\" }\nTWO\n",
            "experiments.x.sticky.max-age",
            "it must be from 1s to 400d",
            "",
        ),
        (
            "[experiments.x]\nsticky = { cookie = §\"a,b\" }\nTWO\n",
            "experiments.x.sticky.cookie",
            "is not a cookie name",
            "",
        ),
        (
            "[experiments.x]\nvariations = §[{ name = \"a\" }]\n",
            "experiments.x.variations",
            "at least two variations",
            "",
        ),
        (
            "[experiments.x]\nvariations = [{ name = \"a\" }, { name = §\"a\" }]\n",
            "experiments.x.variations[1].name",
            "variation name `a` is taken",
            "",
        ),
        (
            "[experiments.x]\nvariations = [{ name = \"a\" }, §{ weight = 1 }]\n",
            "experiments.x.variations[1]",
            "a variation needs a `name`",
            "ends up in cookies",
        ),
        (
            "[experiments.x]\nvariations = [{ name = \"a\", weight = §-1 }, { name = \"b\", weight = 2 }]\n",
            "experiments.x.variations[0].weight",
            "weight -1 is not a number from 0 up",
            "",
        ),
        (
            "[experiments.x]\nvariations = §[{ name = \"a\", weight = 0 }, { name = \"b\", weight = 0 }]\n",
            "experiments.x.variations",
            "the weights sum to nothing",
            "at least one variation a weight",
        ),
        (
            "[experiments.x]\nvariations = [{ name = \"a\" }, { name = \"b\", backend = §\"none\" }]\n",
            "experiments.x.variations[1].backend",
            "backend `none` does not exist",
            "there are none",
        ),
        (
            "[experiments.x]\nvariations = [{ name = \"a\" }, { name = \"b\", response-headers = { Host = §\"b\" } }]\n",
            "experiments.x.variations[1].response-headers.Host",
            "belongs to the connection",
            "",
        ),
        (
            "[experiments.w]\nsticky = { cookie = \"c\" }\nTWO\n[experiments.x]\nsticky = { cookie = §\"c\" }\nTWO\n",
            "experiments.x.sticky.cookie",
            "cookie `c` already keeps the variation of experiment `w`",
            "",
        ),
    ];
    let texts = rows.map(|(text, ..)| with_two(text));
    let rows: Vec<Row<'_>> = rows
        .iter()
        .zip(&texts)
        .map(|((_, path, message, help), text)| (text.as_str(), *path, *message, *help))
        .collect();
    assert_errors(&rows);
}

#[test]
fn headers_and_cross_origin_access() {
    assert_errors(&[
        (
            "[headers.response]\nset = { Connection = §\"close\" }\n",
            "headers.response.set.Connection",
            "belongs to the connection",
            "",
        ),
        (
            "[headers.request]\nremove = [§\"X Y\"]\n",
            "headers.request.remove[0]",
            "is not a header name",
            "letters",
        ),
        (
            "[headers.request]\nappend = { X = §\"{nothing.here}\" }\n",
            "headers.request.append.X",
            "no variable `{nothing.here}` here",
            "`{header.NAME}`",
        ),
        (
            "[headers.response]\nset = { X = §\"a\\rb\" }\n",
            "headers.response.set.X",
            "cannot hold line breaks",
            "",
        ),
        ("[§cors]\n", "cors", "cross-origin access needs `origins`", "add `origins = "),
        (
            "[cors]\norigins = §\"app.example.com\"\n",
            "cors.origins",
            "is not an origin",
            "write a scheme and a host",
        ),
        (
            "[cors]\norigins = [\"https://a.example\", §\"https://a.example/path\"]\n",
            "cors.origins[1]",
            "is not an origin",
            "write a scheme",
        ),
        (
            "[cors]\norigins = \"*\"\ncredentials = §true\n",
            "cors.credentials",
            "would let any site act as the visitor",
            "name the origins",
        ),
        (
            "[cors]\norigins = \"*\"\nmethods = [§\"put\"]\n",
            "cors.methods[0]",
            "not in upper case",
            "write `PUT`",
        ),
        ("[cors]\norigins = \"*\"\nexpose = [§\"\"]\n", "cors.expose[0]", "is not a header name", "letters"),
        ("[cors]\norigins = \"*\"\nmax-age = §\"2d\"\n", "cors.max-age", "it must be from 0s to 1d", ""),
    ]);
}

#[test]
fn limits_fallback_and_the_rest() {
    assert_errors(&[
        ("[limits]\nmax-url-bytes = §\"8 KB\"\n", "limits.max-url-bytes", "this is not a size", "`64KiB`"),
        ("[limits]\nmax-body-bytes = §0\n", "limits.max-body-bytes", "would refuse every request", ""),
        ("[limits]\nmethods = §[]\n", "limits.methods", "without methods every request is refused", ""),
        (
            "[fallback]\nbackend = §\"b\"\n",
            "fallback.backend",
            "backend `b` does not exist",
            "there are none",
        ),
        ("[fallback]\npage = { status = §100 }\n", "fallback.page.status", "it must be from 200 to 599", ""),
        (
            "[fallback]\nnot-found = { content-type = §\"x\" }\n",
            "fallback.not-found.content-type",
            "is not a media type",
            "write a type",
        ),
        (
            "[maintenance]\nallow = [\"203.0.113.9\", §\"203.0.113.0/33\"]\n",
            "maintenance.allow[1]",
            "not an address or a network",
            "`203.0.113.0/24`",
        ),
        (
            "[maintenance]\nretry-after = §\"0s\"\n",
            "maintenance.retry-after",
            "it must be from 1s to 3650d",
            "",
        ),
        (
            "[redirects]\nallowed-hosts = [§\"*.example.com\"]\n",
            "redirects.allowed-hosts[0]",
            "is not a host",
            "name each host in full",
        ),
    ]);
}
