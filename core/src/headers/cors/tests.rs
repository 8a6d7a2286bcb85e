use super::*;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

fn origins(patterns: &[&str]) -> Origins {
    Origins::List(patterns.iter().map(|pattern| OriginPattern::parse(pattern).unwrap()).collect())
}

fn names(names: &[&str]) -> Vec<FieldName> {
    names.iter().map(|name| FieldName::new(name).unwrap()).collect()
}

fn shop() -> Cors {
    Cors::new(CorsSettings {
        origins: origins(&["https://app.example.com", "https://*.dev.example.com"]),
        methods: vec!["GET".to_owned(), "PUT".to_owned()],
        headers: AllowedHeaders::List(names(&["Content-Type", "Authorization"])),
        expose: names(&["etag", "x-total"]),
        credentials: true,
        max_age: Some(Duration::from_secs(600)),
    })
    .unwrap()
}

fn public() -> Cors {
    let settings =
        CorsSettings { origins: Origins::Any, headers: AllowedHeaders::Any, ..CorsSettings::default() };
    Cors::new(settings).unwrap()
}

#[test]
fn a_pattern_covers_its_origins_and_no_look_alikes() {
    struct Row {
        pattern: &'static str,
        covered: &'static [&'static str],
        refused: &'static [&'static str],
    }
    let rows = [
        Row {
            pattern: "https://*.example.com",
            covered: &["https://a.example.com", "https://a.b.example.com", "https://x-1.example.com"],
            refused: &[
                "https://example.com",
                "https://.example.com",
                "https://a..example.com",
                "https://evilexample.com",
                "https://example.com.evil.org",
                "https://a.example.com.evil.org",
                "https://evil.org/.example.com",
                "https://evil.org#.example.com",
                "https://evil.org:1.example.com",
                "https://u@a.example.com",
                "https://a.example.com:8443",
                "https://a.example.com/",
                "http://a.example.com",
                "null",
                "",
            ],
        },
        Row {
            pattern: "https://*.example.com:8443",
            covered: &["https://a.example.com:8443"],
            refused: &["https://a.example.com", "https://a.example.com:84430"],
        },
        Row {
            pattern: "HTTPS://App.Example.com:443",
            covered: &["https://app.example.com"],
            refused: &[
                "https://app.example.com:443",
                "https://app.example.com.evil.org",
                "http://app.example.com",
            ],
        },
        Row {
            pattern: "http://localhost:3000",
            covered: &["http://localhost:3000"],
            refused: &["http://localhost"],
        },
        Row { pattern: "http://[::1]:3000", covered: &["http://[::1]:3000"], refused: &["http://[::1]"] },
        Row { pattern: "null", covered: &["null"], refused: &["https://null"] },
    ];
    for Row { pattern, covered, refused } in rows {
        let parsed = OriginPattern::parse(pattern).unwrap();
        assert!(covered.iter().all(|origin| parsed.is_match(origin)), "{pattern} covers {covered:?}");
        for origin in refused {
            assert!(!parsed.is_match(origin), "{pattern} does not cover {origin}");
        }
        assert_eq!(OriginPattern::parse(&parsed.to_string()), Ok(parsed), "{pattern} survives being written");
    }
}

#[test]
fn texts_that_are_no_origin_are_refused() {
    for text in [
        "",
        "*",
        "example.com",
        "https://",
        "https://*",
        "https://*.com",
        "https://*example.com",
        "https://a.*.example.com",
        "https://example.com/",
        "https://example.com/path",
        "https://user@example.com",
        "https://example.com:port",
        "https://example.com:",
        "https://example.com:99999",
        "https://exa mple.com",
        "://example.com",
        "https://[::1",
    ] {
        assert_eq!(OriginPattern::parse(text), Err(CorsError::InvalidOrigin(text.to_owned())), "{text}");
    }
}

#[test]
fn settings_that_would_let_every_site_act_as_the_visitor_are_refused() {
    let settings = CorsSettings { origins: Origins::Any, credentials: true, ..CorsSettings::default() };
    assert_eq!(Cors::new(settings), Err(CorsError::CredentialsForAnyOrigin));
    let settings = CorsSettings { methods: vec!["P T".to_owned()], ..CorsSettings::default() };
    assert_eq!(Cors::new(settings), Err(CorsError::InvalidMethod("P T".to_owned())));
}

#[test]
fn only_an_options_request_with_both_fields_is_a_preflight() {
    let origin = ("origin", "https://app.example.com");
    let method = ("access-control-request-method", "PUT");
    let rows: [(Method, &[(&'static str, &str)]); 4] = [
        (Method::GET, &[origin, method]),
        (Method::OPTIONS, &[origin]),
        (Method::OPTIONS, &[method]),
        (Method::OPTIONS, &[]),
    ];
    for (verb, pairs) in rows {
        assert_eq!(shop().preflight(&verb, &headers(pairs)), Preflight::NotPreflight, "{verb} {pairs:?}");
    }
}

#[test]
fn a_preflight_is_refused_for_the_first_thing_that_is_not_allowed() {
    let ok = ("origin", "https://app.example.com");
    let put = ("access-control-request-method", "PUT");
    let rows: [(&[(&'static str, &str)], CorsRefusal); 8] = [
        (&[("origin", "https://evil.org"), put], CorsRefusal::Origin),
        (&[("origin", "null"), put], CorsRefusal::Origin),
        (&[ok, ok, put], CorsRefusal::Malformed),
        (&[ok, ("access-control-request-method", "DELETE")], CorsRefusal::Method),
        (&[ok, ("access-control-request-method", "put")], CorsRefusal::Method),
        (&[ok, ("access-control-request-method", "P T")], CorsRefusal::Malformed),
        (&[ok, put, ("access-control-request-headers", "content-type,x-other")], CorsRefusal::Header),
        (&[ok, put, ("access-control-request-headers", "a b")], CorsRefusal::Malformed),
    ];
    for (pairs, expected) in rows {
        assert_eq!(
            shop().preflight(&Method::OPTIONS, &headers(pairs)),
            Preflight::Refuse(expected),
            "{pairs:?}"
        );
    }
}

#[test]
fn an_allowed_preflight_says_what_the_browser_needs() {
    let request = headers(&[
        ("origin", "https://app.example.com"),
        ("access-control-request-method", "PUT"),
        ("access-control-request-headers", "authorization,content-type"),
    ]);
    let expected = headers(&[
        ("access-control-allow-origin", "https://app.example.com"),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-methods", "GET, PUT"),
        ("access-control-allow-headers", "authorization, content-type"),
        ("access-control-max-age", "600"),
        ("vary", "origin, access-control-request-method, access-control-request-headers"),
    ]);
    assert_eq!(shop().preflight(&Method::OPTIONS, &request), Preflight::Allow(expected));
}

#[test]
fn a_public_preflight_repeats_requested_headers_because_a_star_leaves_authorization_out() {
    let request = headers(&[
        ("origin", "https://any.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization"),
    ]);
    let Preflight::Allow(response) = public().preflight(&Method::OPTIONS, &request) else {
        panic!("a public resource allows it")
    };
    assert_eq!(response["access-control-allow-origin"], "*");
    assert_eq!(response["access-control-allow-headers"], "authorization");
    assert!(
        !response.contains_key("access-control-allow-credentials"),
        "a star never comes with credentials"
    );
}

#[test]
fn too_many_requested_headers_are_refused() {
    let list = |count: usize| vec!["x-a"; count].join(",");
    for (count, is_allowed) in [(MAX_REQUESTED_HEADERS, true), (MAX_REQUESTED_HEADERS + 1, false)] {
        let text = list(count);
        let request = headers(&[
            ("origin", "https://any.example"),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", &text),
        ]);
        let outcome = public().preflight(&Method::OPTIONS, &request);
        assert_eq!(matches!(outcome, Preflight::Allow(_)), is_allowed, "{count} headers");
    }
}

#[test]
fn responses_vary_by_origin_whenever_origins_are_listed() {
    struct Row {
        origin: Option<&'static str>,
        vary: &'static [&'static str],
        allowed: bool,
        expected_vary: &'static [&'static str],
    }
    let rows = [
        Row { origin: Some("https://app.example.com"), vary: &[], allowed: true, expected_vary: &["origin"] },
        Row {
            origin: Some("https://a.dev.example.com"),
            vary: &[],
            allowed: true,
            expected_vary: &["origin"],
        },
        Row { origin: Some("https://evil.org"), vary: &[], allowed: false, expected_vary: &["origin"] },
        Row { origin: None, vary: &["accept"], allowed: false, expected_vary: &["accept", "origin"] },
        Row { origin: None, vary: &["accept, Origin"], allowed: false, expected_vary: &["accept, Origin"] },
        Row { origin: Some("null"), vary: &["*"], allowed: false, expected_vary: &["*"] },
    ];
    for row in rows {
        let request = headers(&row.origin.map(|origin| ("origin", origin)).into_iter().collect::<Vec<_>>());
        let mut response = headers(&row.vary.iter().map(|value| ("vary", *value)).collect::<Vec<_>>());
        response.insert("access-control-allow-origin", HeaderValue::from_static("*"));
        shop().response_headers(&request, &mut response);
        let allowed = response.get("access-control-allow-origin").map(|value| value.to_str().unwrap());
        assert_eq!(allowed, row.origin.filter(|_| row.allowed), "the policy replaces the backend's word");
        assert_eq!(
            response.contains_key("access-control-allow-credentials"),
            row.allowed,
            "{:?}",
            row.origin
        );
        assert_eq!(response.contains_key("access-control-expose-headers"), row.allowed, "{:?}", row.origin);
        let vary: Vec<_> = response.get_all("vary").iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!(vary, row.expected_vary, "{:?}", row.origin);
    }
}

#[test]
fn a_public_response_is_the_same_for_everybody_and_does_not_vary() {
    for origin in [None, Some("https://any.example")] {
        let request = headers(&origin.map(|origin| ("origin", origin)).into_iter().collect::<Vec<_>>());
        let mut response = HeaderMap::new();
        public().response_headers(&request, &mut response);
        assert_eq!(response, headers(&[("access-control-allow-origin", "*")]), "{origin:?}");
    }
}
