//! The requests that are sent, one kind of answer each.

use crate::bench::load::{BROWSER, Head};

/// Different requests of a scenario in which every one is another: more than the edge's driver remembers answers.
const VARIETY: usize = 4_096;

/// One kind of answer.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    path: &'static str,
    agent: Option<&'static str>,
    country: &'static str,
    variety: usize,
}

/// Answered without the origin, and by a Worker that decides nothing too.
pub(super) const NOT_FOUND: Scenario =
    Scenario { name: "not found", path: "/nothing", agent: None, country: "DE", variety: 1 };

/// Answered by the origin.
pub(super) const FROM_THE_ORIGIN: Scenario =
    Scenario { name: "from the origin", path: "/api/user", agent: None, country: "DE", variety: 1 };

pub(super) const SCENARIOS: [Scenario; 6] = [
    Scenario { name: "block by country", path: "/geo", agent: None, country: "CN", variety: 1 },
    Scenario {
        name: "block a scraper",
        path: "/bot",
        agent: Some("Scrapy/2.11 (+https://scrapy.org)"),
        country: "DE",
        variety: 1,
    },
    Scenario { name: "redirect", path: "/go", agent: None, country: "DE", variety: 1 },
    NOT_FOUND,
    Scenario { name: "not found, every request another", variety: VARIETY, ..NOT_FOUND },
    FROM_THE_ORIGIN,
];

impl Scenario {
    pub(super) fn head(&self) -> Head {
        let mut fields: Vec<_> = BROWSER.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        if let Some(agent) = self.agent {
            agent.clone_into(&mut fields[0].1);
        }
        fields.push(("selvedge-cf".to_owned(), format!(r#"{{"country":"{}","asn":3320}}"#, self.country)));
        Head { path: self.path.to_owned(), fields, variety: self.variety }
    }
}
