use super::*;
use crate::policy::behaviours::MAX_BEHAVIOURS;
use crate::policy::distribution::{Attached, FAILOVER_HEADER, is_secondary};

const BACKEND: &str = "[backends.a]\nurl = \"https://a.example\"\n";
const PROXY: &str = "[[routes]]\npath = \"/\"\nbackend = \"a\"\n";
const PAGE: &str = "[[routes]]\npath = \"/\"\nrespond = { status = 200, body = \"hi\" }\n";
const PLACE: &str = "[[routes]]\npath = \"/\"\nrespond = { status = 200, body = \"{country}\" }\n";
const HANDLE: &str = "[[routes]]\npath = \"/\"\nhandler = \"echo\"\n";

fn of(policy: &str, geography: Geography) -> Distribution {
    let policy = read(policy).unwrap_or_else(|errors| panic!("{policy}: {errors}"));
    Distribution::of(&policy, geography)
}

#[test]
fn a_policy_has_the_triggers_that_it_needs() {
    use Trigger::{OriginRequest, OriginResponse, ViewerRequest, ViewerResponse};
    let rows: [(&str, Geography, &[Trigger]); 5] = [
        (PAGE, Geography::Platform, &[ViewerRequest]),
        (PLACE, Geography::Platform, &[ViewerRequest, OriginRequest, ViewerResponse]),
        (PLACE, Geography::Database, &[ViewerRequest]),
        (HANDLE, Geography::Database, &[ViewerRequest, OriginRequest, ViewerResponse]),
        (&format!("{BACKEND}{PROXY}"), Geography::Platform, &Trigger::ALL),
    ];
    for (policy, geography, triggers) in rows {
        let distribution = of(policy, geography);
        let attached: Vec<_> = distribution.triggers.iter().map(|attached| attached.trigger).collect();
        assert_eq!(attached, triggers, "{policy}");
        for trigger in [OriginResponse, ViewerResponse] {
            assert_eq!(distribution.has(trigger), triggers.contains(&trigger), "{policy}");
        }
        assert!(distribution.https_only);
    }
}

#[test]
fn only_handlers_are_shown_bodies_and_only_behind_the_cache() {
    let shown = |policy: &str| {
        let triggers = of(policy, Geography::Platform).triggers;
        triggers.into_iter().filter(|attached| attached.include_body).collect::<Vec<_>>()
    };
    assert_eq!(shown(HANDLE), [Attached { trigger: Trigger::OriginRequest, include_body: true }]);
    assert_eq!(shown(&format!("{BACKEND}{PROXY}")), []);
}

#[test]
fn the_cache_tells_apart_what_decisions_read_and_the_backend_is_told_the_rest() {
    let tells = "[headers.request]\nset = { X-A = \"{asn} {country} {city}\" }\n";
    let blocks = "[[geo.rules]]\naction = \"block\"\ncountries = [\"CN\"]\n";
    let policy = format!("{BACKEND}{PROXY}{tells}{blocks}");
    let distribution = of(&policy, Geography::Platform);
    assert_eq!(distribution.cache_key_headers, ["selvedge-key", "cloudfront-viewer-country"]);
    let further = ["cloudfront-viewer-city", "cloudfront-viewer-asn", "cloudfront-forwarded-proto"];
    assert_eq!(distribution.origin_request_headers, further);
    let distribution = of(&policy, Geography::Database);
    assert_eq!(distribution.cache_key_headers, ["selvedge-key"], "the database tells before the cache");
    assert!(
        distribution.origin_request_headers.iter().all(|name| !name.contains("city")),
        "{distribution:?}"
    );
}

#[test]
fn a_policy_fails_over_where_there_is_something_else_to_try_or_to_say() {
    let two = "[backends.a]\nurl = [\"https://a.example\", \"https://b.example\"]\n";
    let other = "[backends.a]\nurl = \"https://a.example\"\nfailover = [\"b\"]\n\
        [backends.b]\nurl = \"https://b.example\"\n";
    let rows = [
        (BACKEND.to_owned(), "", false),
        (two.to_owned(), "", true),
        (other.to_owned(), "", true),
        (BACKEND.to_owned(), "[fallback]\npage = { status = 503, body = \"sorry\" }\n", true),
        (BACKEND.to_owned(), "[fallback]\nbackend = \"a\"\n", true),
        (BACKEND.to_owned(), "[fallback]\nnot-found = { status = 404, body = \"lost\" }\n", false),
    ];
    for (backends, fallback, expected) in rows {
        for (methods, expected) in [("[\"GET\", \"HEAD\"]", expected), ("[\"GET\", \"POST\"]", false)] {
            let policy = format!("{backends}{PROXY}methods = {methods}\n{fallback}");
            let distribution = of(&policy, Geography::Platform);
            assert_eq!(distribution.fails_over(), expected, "{policy}");
            let origins = if expected { Origins::Group } else { Origins::Primary };
            assert_eq!(distribution.origins_of("/"), origins, "{policy}");
            assert_eq!(distribution.origins_of("/elsewhere"), Origins::Primary, "{policy}");
        }
    }
}

#[test]
fn a_distribution_takes_so_many_behaviours() {
    let routes = (0..=MAX_BEHAVIOURS)
        .map(|at| format!("[[routes]]\npath = \"/{at}\"\nmethods = [\"GET\"]\nbackend = \"a\"\n"));
    let page = "[fallback]\npage = { status = 503, body = \"sorry\" }\n";
    let distribution = of(&format!("{BACKEND}{}{page}", routes.collect::<String>()), Geography::Platform);
    assert_eq!(distribution.behaviours.len(), MAX_BEHAVIOURS);
    assert_eq!(distribution.origins_of(&format!("/{MAX_BEHAVIOURS}")), Origins::Primary, "it is left out");
}

#[test]
fn the_second_origin_is_known_by_its_header_and_its_value() {
    assert!(is_secondary(&secondary()));
    assert!(!is_secondary(&primary()));
    let Origin::Custom(mut named) = primary() else { panic!("it is a custom one") };
    named.custom_headers.insert(FAILOVER_HEADER.0, "another");
    assert!(!is_secondary(&Origin::Custom(named)));
}
