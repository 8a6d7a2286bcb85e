//! The requests that are sent, one kind of answer each.

use crate::bench::load::{BROWSER, Head};

/// What Akamai adds to a browser's request.
const CLIENT: (&str, &str) = ("True-Client-IP", "203.0.113.9");

/// One kind of answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    path: &'static str,
    agent: Option<&'static str>,
    country: &'static str,
    /// The status that the edge answers with.
    pub(super) status: u16,
    pub(super) source: Source,
}

/// Where an answer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The edge itself.
    Edge,
    /// The origin, each time.
    Origin,
    /// The key-value store, after the first time.
    Store,
}

/// Asked for in many ways by clients that look for something else.
pub(super) const NOT_FOUND: Scenario = Scenario {
    name: "not found",
    path: "/nothing",
    agent: None,
    country: "DE",
    status: 404,
    source: Source::Edge,
};

pub(super) const SCENARIOS: [Scenario; 6] = [
    Scenario { name: "block by country", path: "/geo", country: "CN", status: 403, ..NOT_FOUND },
    Scenario {
        name: "block a scraper",
        path: "/bot",
        agent: Some("Scrapy/2.11 (+https://scrapy.org)"),
        status: 403,
        ..NOT_FOUND
    },
    Scenario { name: "redirect", path: "/go", status: 302, ..NOT_FOUND },
    NOT_FOUND,
    Scenario {
        name: "from the origin, not stored",
        path: "/api/user?id=1",
        status: 200,
        source: Source::Origin,
        ..NOT_FOUND
    },
    Scenario {
        name: "from the key-value store",
        path: "/static/site.css",
        status: 200,
        source: Source::Store,
        ..NOT_FOUND
    },
];

impl Scenario {
    /// The request, with what [EdgeScape](https://techdocs.akamai.com/property-mgr/docs/edgescape) says of its client.
    pub(super) fn head(&self) -> Head {
        let fields = BROWSER.into_iter().chain([CLIENT]);
        let mut fields: Vec<_> = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        if let Some(agent) = self.agent {
            agent.clone_into(&mut fields[0].1);
        }
        let place = format!(
            "country_code={},region_code=BE,city=BERLIN,lat=52.52,long=13.41,asnum=3320",
            self.country
        );
        fields.push(("X-Akamai-EdgeScape".to_owned(), place));
        Head { path: self.path.to_owned(), fields, variety: 1 }
    }
}
