use std::collections::BTreeSet;
use std::sync::LazyLock;

use http::header::USER_AGENT;
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use regex::bytes::Regex;

use super::{BotCategory, Classifier, Evidence, Heuristic, MAX_USER_AGENT_BYTES};
use crate::facts::Facts;

const CRAWLERS: &str = include_str!("../../data/crawlers.tsv");
const OVERLAY: &str = include_str!("../../data/crawlers-overlay.tsv");
const EXAMPLES: &str = include_str!("../../data/crawler-examples.tsv");

static CLASSIFIER: LazyLock<Classifier> = LazyLock::new(Classifier::new);

/// Current browsers on every kind of device, among them rare ones whose words resemble crawlers'.
const BROWSERS: [&str; 22] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36 Edg/138.0.0.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36 OPR/122.0.0.0",
    "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/138.0.7204.119 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) GSA/376.0.772599843 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 [FBAN/FBIOS;FBAV/400.0.0.0]",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Linux; Android 15; CPH2557 Build/AP3A.240617.008; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/138.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0",
    "Mozilla/5.0 (Linux; Android 13; SM-X906B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 9; KFMAWI) AppleWebKit/537.36 (KHTML, like Gecko) Silk/120.4.1 like Chrome/120.0.6099.230 Safari/537.36",
    "Mozilla/5.0 (SMART-TV; Linux; Tizen 7.0) AppleWebKit/537.36 (KHTML, like Gecko) 94.0.4606.31/7.0 TV Safari/537.36",
    "Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/108.0.5359.211 Safari/537.36 WebAppManager",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; Xbox; Xbox One) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36 Edge/44.18363.8131",
];

fn rows(file: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    let lines = file.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split('\t').collect())
}

fn overlay(action: &str) -> Vec<Vec<&'static str>> {
    rows(OVERLAY).filter(|row| row[0] == action).collect()
}

fn is_dropped(name: &str) -> bool {
    overlay("drop").iter().any(|row| row[2] == name)
}

#[test]
fn every_published_example_is_found() {
    let examples: Vec<_> = rows(EXAMPLES).filter(|row| !is_dropped(row[0])).collect();
    assert!(examples.len() > 2_000, "the examples must be there for this test to mean something");
    for row in examples {
        assert!(
            CLASSIFIER.classify_user_agent(row[1].as_bytes()).is_some(),
            "{row:?} is a published crawler"
        );
    }
}

#[test]
fn the_forms_match_what_upstreams_regular_expressions_match() {
    let additions: BTreeSet<_> = overlay("add").iter().map(|row| row[2]).collect();
    let names = rows(CRAWLERS).map(|row| row[1]).filter(|name| !is_dropped(name));
    let judges: Vec<_> = names.map(|name| (name, Regex::new(name).unwrap())).collect();
    for user_agent in rows(EXAMPLES).map(|row| row[1]).chain(BROWSERS).chain(NEAR_MISSES) {
        let bytes = user_agent.as_bytes();
        let expected: BTreeSet<_> =
            judges.iter().filter(|(_, judge)| judge.is_match(bytes)).map(|(name, _)| *name).collect();
        let ours: BTreeSet<_> = CLASSIFIER.matching(bytes).difference(&additions).copied().collect();
        assert_eq!(ours, expected, "both must say the same of {user_agent:?}");
    }
}

/// User agents on either side of an anchor, a gap or a class.
const NEAR_MISSES: [&str; 22] = [
    "curl/8.5.0",
    "not curl/8.5.0",
    "AdsBot-Google",
    "AdsBot-Google (+http://www.google.com/adsbot.html)",
    "AdsBot-Google-Other",
    "AdsBot-Google-Other AdsBot-Google",
    "sentry/1.0",
    "x sentry/1.0",
    "xsentry/1.0",
    "SSL Labs",
    "SSL Labs 1",
    "BlogTraffic/1.25 Feed-Fetcher",
    "BlogTraffic/1. Feed-Fetcher",
    "BlogTraffic/12.5 Feed-Fetcher",
    "Spider then spider.com",
    "spider.com then Spider",
    "Spiderspider.com",
    "ContextualBot outcomes.net outcomes.net",
    "CurrentRSS Reader",
    "wget WGet Wget",
    "SemrushBot",
    "sistrix Crawler SISTRIX crawler",
];

#[test]
fn the_overlay_only_says_what_it_may() {
    let upstream: BTreeSet<_> = rows(CRAWLERS).map(|row| row[1]).collect();
    for row in rows(OVERLAY) {
        let is_upstream = upstream.contains(row[2]);
        match row[0] {
            "add" => assert!(!is_upstream, "{row:?} is in upstream's list by now: move it instead"),
            "move" | "drop" => assert!(is_upstream, "{row:?} changes a pattern that upstream no longer has"),
            other => panic!("{other:?} is no action of the overlay"),
        }
    }
}

#[test]
fn every_addition_of_the_overlay_is_found_under_its_category() {
    for row in overlay("add") {
        let forms = if row.len() > 3 { &row[3..] } else { &row[2..] };
        for form in forms {
            let user_agent = form.trim_matches(['^', '$']).replace('\\', "");
            let found = CLASSIFIER.classify_user_agent(user_agent.as_bytes()).map(|(category, _)| category);
            assert_eq!(found, BotCategory::new(row[1]), "{user_agent:?} must be what the overlay says");
        }
    }
}

#[test]
fn browsers_are_not_taken_for_bots() {
    for user_agent in BROWSERS {
        assert_eq!(CLASSIFIER.classify_user_agent(user_agent.as_bytes()), None, "people use {user_agent}");
    }
}

#[test]
fn the_most_severe_name_decides_and_then_the_first_in_the_list() {
    struct Case {
        user_agent: &'static [u8],
        expected: Option<(BotCategory, &'static str)>,
    }
    let cases = [
        Case { user_agent: b"Googlebot/2.1 sqlmap/1.7", expected: Some((BotCategory::Scraper, "sqlmap")) },
        Case { user_agent: b"sqlmap/1.7 Googlebot/2.1", expected: Some((BotCategory::Scraper, "sqlmap")) },
        Case {
            user_agent: b"bingbot/2.0 Googlebot/2.1",
            expected: Some((BotCategory::SearchEngine, r"Googlebot\/")),
        },
        Case { user_agent: b"curl/8 bingbot/2.0", expected: Some((BotCategory::SearchEngine, "bingbot")) },
        Case { user_agent: b"GPTBot/1.0 bingbot/2.0", expected: Some((BotCategory::AiCrawler, "GPTBot")) },
        Case { user_agent: b"curl/8.5.0", expected: Some((BotCategory::HttpLibrary, "^curl")) },
        Case { user_agent: b"\xff\xfe sqlmap \x80", expected: Some((BotCategory::Scraper, "sqlmap")) },
        Case {
            user_agent: b"Scrapy/2.11 (+https://scrapy.org)",
            expected: Some((BotCategory::Scraper, "Scrapy")),
        },
        Case {
            user_agent: b"Let's Encrypt validation server",
            expected: Some((BotCategory::Security, "Let's Encrypt")),
        },
        Case { user_agent: b"GOOGLEBOT/2.1", expected: None },
        Case { user_agent: b"", expected: None },
    ];
    for Case { user_agent, expected } in cases {
        let shown = String::from_utf8_lossy(user_agent);
        assert_eq!(CLASSIFIER.classify_user_agent(user_agent), expected, "severity decides about {shown:?}");
    }
}

#[test]
fn only_the_beginning_of_a_user_agent_is_looked_at() {
    let at =
        |padding: usize, name: &str| CLASSIFIER.classify_user_agent((" ".repeat(padding) + name).as_bytes());
    assert!(at(MAX_USER_AGENT_BYTES - 6, "sqlmap").is_some(), "it ends just inside");
    assert_eq!(at(MAX_USER_AGENT_BYTES - 5, "sqlmap"), None, "its last byte is outside");
    assert!(at(MAX_USER_AGENT_BYTES - 8, "SSL Labs").is_some(), "the user agent ends where the window does");
    assert_eq!(
        at(MAX_USER_AGENT_BYTES - 8, "SSL Labs and more"),
        None,
        "the end of the window is not the end"
    );
}

#[test]
fn headers_and_the_platform_are_weighed_in_order() {
    const BROWSER: (&str, &str) = ("user-agent", BROWSERS[0]);
    const ACCEPTS: (&str, &str) = ("accept", "*/*");
    const HEADLESS: (&str, &str) = ("sec-ch-ua", "\"HeadlessChrome\";v=\"138\", \"Not)A;Brand\";v=\"8\"");
    struct Case {
        why: &'static str,
        headers: &'static [(&'static str, &'static str)],
        score: Option<u8>,
        verified: Option<bool>,
        expected: (Option<BotCategory>, Evidence),
    }
    const NOBODY: (Option<BotCategory>, Evidence) = (None, Evidence::None);
    const PLATFORM: (Option<BotCategory>, Evidence) = (Some(BotCategory::Unknown), Evidence::Platform);
    const fn sign(heuristic: Heuristic) -> (Option<BotCategory>, Evidence) {
        (Some(heuristic.category()), Evidence::Heuristic(heuristic))
    }
    const LANGUAGE: (&str, &str) = ("accept-language", "de");
    const CURL: (&str, &str) = ("user-agent", "curl/8");
    const CURL_VERDICT: (Option<BotCategory>, Evidence) =
        (Some(BotCategory::HttpLibrary), Evidence::Pattern("^curl"));
    #[rustfmt::skip]
    let cases = [
        Case { why: "a browser sends these", headers: &[BROWSER, ACCEPTS, LANGUAGE], score: None, verified: None, expected: NOBODY },
        Case { why: "one browser header suffices", headers: &[BROWSER, ACCEPTS, ("accept-encoding", "gzip")], score: None, verified: None, expected: NOBODY },
        Case { why: "fetch metadata suffices", headers: &[BROWSER, ACCEPTS, ("sec-fetch-mode", "cors")], score: None, verified: None, expected: NOBODY },
        Case { why: "nobody hides the user agent", headers: &[ACCEPTS, LANGUAGE], score: None, verified: None, expected: sign(Heuristic::NoUserAgent) },
        Case { why: "blanks say nothing", headers: &[("user-agent", " \t"), ACCEPTS], score: Some(99), verified: None, expected: sign(Heuristic::NoUserAgent) },
        Case { why: "a browser always accepts something", headers: &[BROWSER, LANGUAGE], score: None, verified: None, expected: sign(Heuristic::NoAccept) },
        Case { why: "an app may accept nothing", headers: &[("user-agent", "Shop/3 CFNetwork/1494")], score: None, verified: None, expected: NOBODY },
        Case { why: "only the name is a browser's", headers: &[BROWSER, ACCEPTS], score: None, verified: None, expected: sign(Heuristic::BrowserWithoutBrowserHeaders) },
        Case { why: "old browsers sent less", headers: &[("user-agent", "Mozilla/5.0 (X11) Firefox/3.6"), ACCEPTS], score: None, verified: None, expected: NOBODY },
        Case { why: "a handshake has no Accept", headers: &[BROWSER, ("upgrade", "websocket")], score: None, verified: None, expected: NOBODY },
        Case { why: "a report has no Accept", headers: &[BROWSER, ("content-type", "application/reports+json")], score: None, verified: None, expected: NOBODY },
        Case { why: "the hint contradicts the user agent", headers: &[BROWSER, ACCEPTS, LANGUAGE, HEADLESS], score: Some(99), verified: None, expected: sign(Heuristic::HeadlessClientHint) },
        Case { why: "a name says more than a score", headers: &[CURL], score: Some(99), verified: Some(false), expected: CURL_VERDICT },
        Case { why: "the worst of several lines counts", headers: &[BROWSER, CURL], score: None, verified: None, expected: CURL_VERDICT },
        Case { why: "the platform verified it", headers: &[BROWSER, ACCEPTS, LANGUAGE], score: Some(99), verified: Some(true), expected: PLATFORM },
        Case { why: "29 is likely automated", headers: &[BROWSER, ACCEPTS, LANGUAGE], score: Some(29), verified: None, expected: PLATFORM },
        Case { why: "30 is likely human, and outweighs what headers lack", headers: &[BROWSER], score: Some(30), verified: Some(false), expected: NOBODY },
        Case { why: "0 is no score", headers: &[BROWSER, ACCEPTS, LANGUAGE], score: Some(0), verified: None, expected: NOBODY },
    ];
    for Case { why, headers, score, verified, expected } in cases {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let facts = Facts { bot_score: score, is_verified_bot: verified, ..Facts::default() };
        let verdict = CLASSIFIER.classify(&map, &facts);
        assert_eq!((verdict.category(), verdict.evidence()), expected, "{why}: {headers:?}");
    }
}

#[test]
fn names_are_stable_and_read_back() {
    for category in BotCategory::ALL {
        assert_eq!(BotCategory::new(category.as_str()), Some(category), "policies and logs hold the name");
    }
    let severities: BTreeSet<_> = BotCategory::ALL.map(BotCategory::severity).into();
    assert_eq!(severities.len(), BotCategory::ALL.len(), "no two categories are equally severe");
    assert_eq!(BotCategory::new("Scraper"), None, "names are kebab-case");
    assert_eq!(
        Evidence::Heuristic(Heuristic::NoAccept).to_string(),
        "heuristic no-accept",
        "logs hold the text"
    );
}

proptest! {
    #[test]
    fn any_bytes_are_a_bot_exactly_when_a_pattern_matches(user_agent in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        let found = CLASSIFIER.classify_user_agent(&user_agent);
        prop_assert_eq!(found.is_some(), !CLASSIFIER.matching(&user_agent).is_empty());
    }

    #[test]
    fn a_name_between_other_words_is_found(
        before in "[ -~]{0,80}", after in "[ -~]{0,80}",
    ) {
        let user_agent = format!("{before}sqlmap{after}");
        let found = CLASSIFIER.classify_user_agent(user_agent.as_bytes());
        prop_assert_eq!(found.map(|(category, _)| category), Some(BotCategory::Scraper));
    }

    #[test]
    fn a_verdict_on_any_bytes_has_evidence_exactly_when_it_has_a_category(value in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            headers.append(USER_AGENT, value);
        }
        let verdict = CLASSIFIER.classify(&headers, &Facts::default());
        prop_assert_eq!(verdict.category().is_none(), verdict.evidence() == Evidence::None);
    }
}
