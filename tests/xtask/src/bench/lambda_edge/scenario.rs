//! The events that are sent, one kind of answer each.

use serde_json::{Map, Value, json};

/// A browser's headers; each scenario changes some of them. The ones that tell visitors apart come with each event.
const BROWSER: [(&str, &str); 10] = [
    ("Host", "shop.example.com"),
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("Accept-Language", "en-US,en;q=0.5"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Upgrade-Insecure-Requests", "1"),
    ("Sec-Fetch-Dest", "document"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Site", "none"),
    ("Priority", "u=0, i"),
];

/// One kind of answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    uri: &'static str,
    agent: Option<&'static str>,
    /// The country that CloudFront tells behind the cache, where the event there is the one that is measured.
    behind: Option<&'static str>,
    /// Whether the policy blocks a country, which nothing comes before: with such a rule the door can answer nobody.
    pub(super) blocks_a_country: bool,
}

/// Answered alike by every policy with routes.
pub(super) const NOT_FOUND: Scenario =
    Scenario { blocks_a_country: false, ..at_the_door("viewer-request, not found", "/nothing") };

const SCRAPER: Scenario = Scenario {
    agent: Some("Scrapy/2.11 (+https://scrapy.org)"),
    blocks_a_country: false,
    ..at_the_door("viewer-request, block a scraper", "/api/user")
};

pub(super) const SCENARIOS: [Scenario; 8] = [
    at_the_door("viewer-request, a page that is forwarded", "/"),
    at_the_door("viewer-request, a static file that is forwarded", "/static/site.css"),
    at_the_door("viewer-request, a redirect by country that is forwarded", "/go"),
    SCRAPER,
    NOT_FOUND,
    behind_the_cache("origin-request, a redirect by country", at_the_door("", "/go")),
    behind_the_cache("origin-request, block a scraper", SCRAPER),
    behind_the_cache("origin-request, not found", NOT_FOUND),
];

const fn at_the_door(name: &'static str, uri: &'static str) -> Scenario {
    Scenario { name, uri, agent: None, behind: None, blocks_a_country: true }
}

const fn behind_the_cache(name: &'static str, scenario: Scenario) -> Scenario {
    Scenario { name, behind: Some("DE"), blocks_a_country: true, ..scenario }
}

impl Scenario {
    /// Whether the event is one of viewer-request, which is what the targets are about.
    pub(super) fn is_at_the_door(&self) -> bool {
        self.behind.is_none()
    }

    /// What the process is told, for so many events from a number on.
    pub(super) fn told(&self, number: usize, count: usize) -> Value {
        json!({ "event": self.event(), "behind": self.behind.map(behind), "number": number, "count": count })
    }

    /// The event in the form of
    /// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-event-structure.html>.
    fn event(&self) -> Value {
        let fields = BROWSER.map(|(key, value)| match (key, self.agent) {
            ("User-Agent", Some(agent)) => field(key, agent),
            _ => field(key, value),
        });
        json!({ "Records": [{ "cf": {
            "config": {
                "distributionDomainName": "d111111abcdef8.cloudfront.net",
                "distributionId": "EDFDVBD6EXAMPLE",
                "eventType": "viewer-request",
            },
            "request": {
                "headers": Value::Object(fields.into_iter().collect::<Map<_, _>>()),
                "method": "GET",
                "querystring": "",
                "uri": self.uri,
            },
        } }] })
    }
}

/// What CloudFront adds to a request behind the cache.
fn behind(country: &str) -> Value {
    let fields = [
        ("CloudFront-Viewer-Country", country),
        ("CloudFront-Forwarded-Proto", "https"),
        ("Via", "2.0 2afae0d44e2540f472c0635ab62c232b.cloudfront.net (CloudFront)"),
    ];
    json!({
        "headers": Value::Object(fields.map(|(key, value)| field(key, value)).into_iter().collect::<Map<_, _>>()),
        "origin": { "custom": {
            "customHeaders": {},
            "domainName": "origin.test",
            "keepaliveTimeout": 5,
            "path": "",
            "port": 443,
            "protocol": "https",
            "readTimeout": 5,
            "sslProtocols": ["TLSv1.2"],
        } },
    })
}

fn field(key: &str, value: &str) -> (String, Value) {
    (key.to_ascii_lowercase(), json!([{ "key": key, "value": value }]))
}
