use proptest::prelude::*;

use super::percent::{canonical_form, decode_form};
use super::*;

fn parse(uri: &str, hosts: &[&str]) -> Result<Target, TargetRefusal> {
    let mut headers = HeaderMap::new();
    for host in hosts {
        headers.append(header::HOST, HeaderValue::from_bytes(host.as_bytes()).unwrap());
    }
    Target::parse(&uri.parse().unwrap(), &headers, EncodedSlashes::Reject)
}

#[test]
fn hosts_and_ports_have_one_spelling() {
    struct Row {
        uri: &'static str,
        host_field: &'static str,
        host: &'static str,
        port: Option<u16>,
    }
    let rows = [
        Row { uri: "/", host_field: "Example.COM", host: "example.com", port: None },
        Row { uri: "/", host_field: "example.com.", host: "example.com", port: None },
        Row { uri: "/", host_field: "example.com:8080", host: "example.com", port: Some(8080) },
        Row { uri: "/", host_field: "example.com.:8080", host: "example.com", port: Some(8080) },
        Row { uri: "/", host_field: "example.com:", host: "example.com", port: None },
        Row { uri: "/", host_field: "127.0.0.1:1", host: "127.0.0.1", port: Some(1) },
        Row { uri: "/", host_field: "[::1]", host: "[::1]", port: None },
        Row { uri: "/", host_field: "[2001:DB8::0:1]:8080", host: "[2001:db8::1]", port: Some(8080) },
        Row { uri: "/", host_field: "under_score.example", host: "under_score.example", port: None },
        Row { uri: "http://a.example/", host_field: "b.example", host: "a.example", port: None },
        Row { uri: "http://a.example:80/", host_field: "b.example:81", host: "a.example", port: None },
        Row { uri: "https://a.example:443/", host_field: "b.example", host: "a.example", port: None },
        Row { uri: "https://a.example:80/", host_field: "b.example", host: "a.example", port: Some(80) },
    ];
    for row in rows {
        let target = parse(row.uri, &[row.host_field]).unwrap();
        assert_eq!((target.host(), target.port()), (row.host, row.port), "{} at {}", row.uri, row.host_field);
    }
}

#[test]
fn requests_whose_host_is_unclear_are_refused() {
    let long_label = format!("{}.example", "a".repeat(64));
    let long_name =
        ["a".repeat(49), "b".repeat(49), "c".repeat(49), "d".repeat(49), "e".repeat(54)].join(".");
    let rows: [(&str, &[&str], TargetRefusal); 26] = [
        ("/", &[], TargetRefusal::MissingHost),
        ("/", &["a.example", "a.example"], TargetRefusal::DuplicateHost),
        ("http://a.example/", &["a.example", "b.example"], TargetRefusal::DuplicateHost),
        ("/", &[""], TargetRefusal::InvalidHost),
        ("/", &["."], TargetRefusal::InvalidHost),
        ("/", &["a..example"], TargetRefusal::InvalidHost),
        ("/", &["a.example.."], TargetRefusal::InvalidHost),
        ("/", &["a.example, b.example"], TargetRefusal::DuplicateHost),
        ("/", &["a.example/x"], TargetRefusal::InvalidHost),
        ("/", &["a example"], TargetRefusal::InvalidHost),
        ("/", &["a%2eexample"], TargetRefusal::InvalidHost),
        ("/", &["\u{e9}.example"], TargetRefusal::InvalidHost),
        ("/", &["[::1"], TargetRefusal::InvalidHost),
        ("/", &["[::1]x:1"], TargetRefusal::InvalidHost),
        ("/", &["[::1%25eth0]"], TargetRefusal::InvalidHost),
        ("/", &["[v1.a]"], TargetRefusal::InvalidHost),
        ("/", &[&long_label], TargetRefusal::InvalidHost),
        ("/", &[&long_name], TargetRefusal::InvalidHost),
        ("http://a.example/", &["b/c"], TargetRefusal::InvalidHost),
        ("/", &["a.example:x"], TargetRefusal::InvalidPort),
        ("/", &["a.example:+1"], TargetRefusal::InvalidPort),
        ("/", &["a.example:65536"], TargetRefusal::InvalidPort),
        ("/", &["::1"], TargetRefusal::InvalidHost),
        ("http://user@a.example/", &[], TargetRefusal::Userinfo),
        ("ftp://a.example/", &[], TargetRefusal::UnsupportedScheme),
        ("a.example:443", &[], TargetRefusal::AuthorityForm),
    ];
    for (uri, hosts, expected) in rows {
        assert_eq!(parse(uri, hosts), Err(expected), "{uri} with host {hosts:?}");
    }
}

#[test]
fn a_target_without_path_asks_for_the_root_and_a_star_stays() {
    let rows = [
        ("http://a.example", "/", None),
        ("http://a.example?q", "/", Some("q")),
        ("/?q=%2f", "/", Some("q=%2f")),
        ("*", "*", None),
    ];
    for (uri, path, query) in rows {
        let target = parse(uri, &["a.example"]).unwrap();
        assert_eq!((target.path(), target.raw_query()), (path, query), "{uri}");
    }
    assert_eq!(parse("/?a=1", &["a.example"]).unwrap().query().value("a").as_deref(), Some("1"));
    assert_eq!(parse("https://a.example", &[]).unwrap().scheme(), Some(Scheme::Https));
    assert_eq!(parse("/../x", &["a.example"]), Err(TargetRefusal::DotSegment), "the path is checked");
}

#[test]
fn paths_have_one_spelling() {
    let rows = [
        ("/", "/"),
        ("", ""),
        ("/a//b/", "/a//b/"),
        ("/%7Ea%2D%2e%5f%41", "/~a-._A"),
        ("/%c3%a9", "/%C3%A9"),
        ("/\u{e9}", "/%C3%A9"),
        ("/%ff", "/%FF"),
        ("/a%20b", "/a%20b"),
        ("/a b\"<>^`{|}[]", "/a%20b%22%3C%3E%5E%60%7B%7C%7D%5B%5D"),
        ("/%3f%23%25%252e", "/%3F%23%25%252e"),
        ("/!$&'()*+,;=:@", "/!$&'()*+,;=:@"),
        ("/...", "/..."),
        ("/..a/.b/c./d..", "/..a/.b/c./d.."),
        ("/a;.", "/a;."),
    ];
    for (raw, expected) in rows {
        assert_eq!(normalise_path(raw, EncodedSlashes::Reject).as_deref(), Ok(expected), "{raw}");
    }
}

#[test]
fn paths_that_hosts_read_differently_are_refused() {
    let rows = [
        ("/..", TargetRefusal::DotSegment),
        ("/.", TargetRefusal::DotSegment),
        ("/a/../b", TargetRefusal::DotSegment),
        ("/a/./b", TargetRefusal::DotSegment),
        ("..", TargetRefusal::DotSegment),
        ("/%2e%2e/b", TargetRefusal::DotSegment),
        ("/.%2E/b", TargetRefusal::DotSegment),
        ("/%2e", TargetRefusal::DotSegment),
        ("/a/..;x=1/b", TargetRefusal::DotSegment),
        ("/a/.;/b", TargetRefusal::DotSegment),
        ("/a%2fb", TargetRefusal::EncodedSlash),
        ("/a%2Fb", TargetRefusal::EncodedSlash),
        ("/a\\b", TargetRefusal::Backslash),
        ("/a%5cb", TargetRefusal::Backslash),
        ("/a%5Cb", TargetRefusal::Backslash),
        ("/a%00", TargetRefusal::ControlCharacter),
        ("/a%0d%0Ab", TargetRefusal::ControlCharacter),
        ("/a%7f", TargetRefusal::ControlCharacter),
        ("/a\tb", TargetRefusal::ControlCharacter),
        ("/a%", TargetRefusal::InvalidEscape),
        ("/a%2", TargetRefusal::InvalidEscape),
        ("/a%zz", TargetRefusal::InvalidEscape),
        ("/a%u0041", TargetRefusal::InvalidEscape),
    ];
    for (raw, expected) in rows {
        assert_eq!(normalise_path(raw, EncodedSlashes::Reject), Err(expected), "{raw}");
    }
}

#[test]
fn a_kept_encoded_slash_separates_nothing_but_hides_no_dots() {
    let rows = [
        ("/a%2fb", Ok("/a%2Fb")),
        ("/a%2f..b", Ok("/a%2F..b")),
        ("/a%2f../b", Err(TargetRefusal::DotSegment)),
        ("/..%2fb", Err(TargetRefusal::DotSegment)),
        ("/a%2f.%2fb", Err(TargetRefusal::DotSegment)),
        ("/a%5cb", Err(TargetRefusal::Backslash)),
    ];
    for (raw, expected) in rows {
        assert_eq!(
            normalise_path(raw, EncodedSlashes::Keep).as_deref(),
            expected.as_ref().map(|p| *p),
            "{raw}"
        );
    }
}

#[test]
fn a_path_that_is_normal_already_is_not_copied() {
    for path in ["/static/a.jpg", "/a%20b/%C3%A9", "/"] {
        let normal = normalise_path(path, EncodedSlashes::Reject);
        assert!(matches!(normal, Ok(Cow::Borrowed(_))), "{path} needs no allocation");
    }
}

#[test]
fn an_extension_is_what_follows_the_last_dot_of_the_last_segment() {
    let rows = [
        ("/a.jpg", Some("jpg")),
        ("/a.tar.gz", Some("gz")),
        ("/v1.2/a", None),
        ("/.htaccess", None),
        ("/a.", None),
        ("/", None),
        ("", None),
    ];
    for (path, expected) in rows {
        assert_eq!(extension_of(path), expected, "{path}");
    }
    assert!(has_extension("/A.JPG", "jpg") && has_extension("/a.jpg", "JPG"), "case does not matter");
    assert!(!has_extension("/a.jpeg", "jpg"), "the whole extension counts");
}

#[test]
fn values_are_decoded_and_found_by_decoded_name() {
    let rows: [(&str, &str, &[&str]); 9] = [
        ("a=1&b=2&a=3", "a", &["1", "3"]),
        ("a", "a", &[""]),
        ("%61=1", "a", &["1"]),
        ("a+b=1", "a b", &["1"]),
        ("a+b=1", "a+b", &[]),
        ("a=%e2%82%ac", "a", &["\u{20ac}"]),
        ("a=%ff", "a", &["\u{fffd}"]),
        ("a=%zz%", "a", &["%zz%"]),
        ("&&=x&a=b=c", "a", &["b=c"]),
    ];
    for (query, name, expected) in rows {
        let values: Vec<_> = Query::new(query).values(name).collect();
        assert_eq!(values, expected, "{name} in {query}");
    }
}

#[test]
fn a_key_holds_the_selected_parameters_in_order() {
    let only = |names: &[&str]| QuerySelection::Only(names.iter().map(|name| (*name).to_owned()).collect());
    let except =
        |names: &[&str]| QuerySelection::Except(names.iter().map(|name| (*name).to_owned()).collect());
    let rows = [
        ("b=2&a=1", QuerySelection::All, "a=1&b=2"),
        ("b&a=2&a=1&a", QuerySelection::All, "a=2&a=1&a&b"),
        ("a=&a", QuerySelection::All, "a=&a"),
        ("a=%41%2f+%zz", QuerySelection::All, "a=A%2F%20%25zz"),
        ("&&", QuerySelection::All, ""),
        ("a=1&utm_source=x&utm_anything&gclid=1&fbclid=2&%67clid=3", QuerySelection::All, "a=1"),
        ("a=1", QuerySelection::None, ""),
        ("c=3&b=2&a=1", only(&["c", "a"]), "a=1&c=3"),
        ("%63=3", only(&["c"]), "c=3"),
        ("gclid=1&a=1", only(&["gclid"]), "gclid=1"),
        ("C=3", only(&["c"]), ""),
        ("a=1&b=2&gclid=1", except(&["b"]), "a=1"),
        ("a+b=1&c", except(&["a b"]), "c"),
    ];
    for (raw, selection, expected) in rows {
        assert_eq!(normalise_query(raw, &selection), expected, "{raw} by {selection:?}");
    }
}

#[test]
fn the_tracking_parameters_are_sorted_and_unique() {
    assert!(TRACKING_PARAMETERS.is_sorted_by(|a, b| a < b), "a reader finds a name by its place");
}

#[test]
fn every_refusal_has_a_code_of_its_own() {
    let all = [
        TargetRefusal::MissingHost,
        TargetRefusal::DuplicateHost,
        TargetRefusal::InvalidHost,
        TargetRefusal::InvalidPort,
        TargetRefusal::Userinfo,
        TargetRefusal::UnsupportedScheme,
        TargetRefusal::AuthorityForm,
        TargetRefusal::DotSegment,
        TargetRefusal::EncodedSlash,
        TargetRefusal::Backslash,
        TargetRefusal::ControlCharacter,
        TargetRefusal::InvalidEscape,
    ];
    let codes: std::collections::BTreeSet<_> = all.iter().map(|refusal| refusal.code()).collect();
    assert_eq!(codes.len(), all.len(), "{codes:?}");
}

proptest! {
    #[test]
    fn normalising_a_path_twice_changes_nothing_more(raw in "(/|%2[ef]|%[0-9a-fA-F]{2}|[a-z.;{é]){0,20}") {
        for slashes in [EncodedSlashes::Reject, EncodedSlashes::Keep] {
            if let Ok(once) = normalise_path(&raw, slashes) {
                let twice = normalise_path(&once, slashes);
                prop_assert_eq!(twice.as_deref(), Ok(&*once));
                let is_dots = |segment: &str| matches!(segment, "." | "..");
                prop_assert!(!once.split('/').any(is_dots), "no dot segment survives in {}", once);
                prop_assert!(once.bytes().all(|b| b.is_ascii_graphic()), "{} can be sent", once);
            }
        }
    }

    #[test]
    fn no_text_makes_a_path_or_a_query_panic(raw in any::<String>()) {
        let _ = normalise_path(&raw, EncodedSlashes::Keep);
        let _ = normalise_query(&raw, &QuerySelection::All);
        let _ = Query::new(&raw).value(&raw);
        let _ = extension_of(&raw);
    }

    #[test]
    fn no_bytes_make_a_target_panic(
        uri in proptest::collection::vec(any::<u8>(), 0..60),
        host in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        if let (Ok(uri), Ok(host)) = (Uri::try_from(uri), HeaderValue::from_bytes(&host)) {
            let headers = HeaderMap::from_iter([(header::HOST, host)]);
            let _ = Target::parse(&uri, &headers, EncodedSlashes::Keep);
        }
    }

    #[test]
    fn no_host_makes_a_target_panic(host in "[\\[\\]:.@a-f0-9%]{0,24}") {
        let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::try_from(host).unwrap())]);
        if let Ok(target) = Target::parse(&Uri::from_static("/"), &headers, EncodedSlashes::Keep) {
            let again = HeaderMap::from_iter([(header::HOST, HeaderValue::from_str(target.host()).unwrap())]);
            let again = Target::parse(&Uri::from_static("/"), &again, EncodedSlashes::Keep).unwrap();
            prop_assert_eq!(again.host(), target.host(), "a normal host stays as it is");
        }
    }

    #[test]
    fn a_query_key_does_not_depend_on_the_order_of_names_and_is_normal(
        pairs in proptest::collection::vec("[ab%+=.~é]{0,4}|utm_x", 0..8),
        by in any::<prop::sample::Index>(),
    ) {
        let key = normalise_query(&pairs.join("&"), &QuerySelection::All);
        prop_assert_eq!(normalise_query(&key, &QuerySelection::All), key.as_str());
        if !pairs.is_empty() {
            let name_of = |pair: &String| canonical_form(pair.split('=').next().unwrap_or_default()).to_string();
            let first = name_of(&pairs[by.index(pairs.len())]);
            let (mut moved, rest): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|pair| name_of(pair) == first);
            moved.extend(rest);
            prop_assert_eq!(normalise_query(&moved.join("&"), &QuerySelection::All), key);
        }
    }

    #[test]
    fn spellings_of_one_text_have_one_form(text in any::<String>()) {
        let form = canonical_form(&text);
        prop_assert_eq!(decode_form(&form), decode_form(&text));
        prop_assert_eq!(canonical_form(&form), &*form);
    }
}
