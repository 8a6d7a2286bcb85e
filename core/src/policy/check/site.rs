//! The parts of a policy that hold for the whole site.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Checker;
use super::routes::MAX_LIFETIME;
use crate::bot::rules::{BotAction, BotPolicy, RateLimit};
use crate::fallback::{Fallback, Maintenance, Network, Page, StaleAnswers};
use crate::geo::places::Places;
use crate::geo::rules::{GeoAction, GeoPolicy, GeoRule, Refusal};
use crate::limits::Limits;
use crate::policy::raw::{self, BotRule, BotRuleTable};
use crate::policy::report::join;
use crate::route::HostPattern;
use crate::target::EncodedSlashes;

const MAX_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

impl Checker<'_> {
    pub(super) fn geo(&mut self, raw: &raw::Geo) -> GeoPolicy {
        let status = self.status("geo.status", raw.status, 403, 400);
        let site = Refusal { status, body: raw.body.clone().unwrap_or_else(|| "Forbidden".to_owned()) };
        let action = |action: Option<raw::GeoAction>| match action {
            Some(raw::GeoAction::Block) => GeoAction::Block(site.clone()),
            Some(raw::GeoAction::Allow) | None => GeoAction::Allow,
        };
        let indexed = raw.rules.iter().enumerate();
        GeoPolicy {
            rules: indexed
                .map(|(at, rule)| self.geo_rule(&format!("geo.rules[{at}]"), rule, &site))
                .collect(),
            default: action(raw.default),
            unknown: action(raw.unknown),
            source: raw.source.unwrap_or_default(),
        }
    }

    fn geo_rule(&mut self, path: &str, raw: &raw::GeoRule, site: &Refusal) -> GeoRule {
        let countries = self.countries(&join(path, "countries"), &raw.countries);
        let countries = self.add_groups(countries, &join(path, "groups"), &raw.groups);
        if raw.countries.is_empty() && raw.groups.is_empty() {
            self.report.error_with_help(path, "this rule names no place", "add `countries` or `groups`");
        }
        let status = self.status(&join(path, "status"), raw.status, site.status, 400);
        let refusal = Refusal { status, body: raw.body.clone().unwrap_or_else(|| site.body.clone()) };
        let action = match raw.action {
            Some(raw::GeoAction::Block) => GeoAction::Block(refusal),
            Some(raw::GeoAction::Allow) => GeoAction::Allow,
            None => {
                self.report.error_with_help(
                    path,
                    "this rule does nothing",
                    "add `action = \"block\"` or `action = \"allow\"`",
                );
                GeoAction::Allow
            }
        };
        GeoRule { places: Places::new(countries, Vec::new()), action }
    }

    pub(super) fn bots(&mut self, raw: &raw::Bots) -> BotPolicy {
        let mut rules = BTreeMap::new();
        for (category, rule) in &raw.rules {
            let path = join("bots.rules", category.as_str());
            rules.extend(self.bot_rule(&path, rule).map(|action| (*category, action)));
        }
        let tag = raw.tag_header.as_ref().and_then(|name| self.settable_header("bots.tag-header", name));
        BotPolicy { rules, tag_header: tag.unwrap_or(BotPolicy::default().tag_header) }
    }

    fn bot_rule(&mut self, path: &str, rule: &BotRule) -> Option<BotAction> {
        let table = match rule {
            BotRule::Table(table) => table.clone(),
            BotRule::Action(action) => {
                BotRuleTable { action: *action, status: None, body: None, requests: None, per: None }
            }
        };
        let refuses = matches!(table.action, raw::BotAction::Block | raw::BotAction::Limit);
        let limits = matches!(table.action, raw::BotAction::Limit);
        let idle = [
            ("status", table.status.is_some() && !refuses),
            ("body", table.body.is_some() && !refuses),
            ("requests", table.requests.is_some() && !limits),
            ("per", table.per.is_some() && !limits),
        ];
        for (key, _) in idle.iter().filter(|(_, is_idle)| *is_idle) {
            self.report.error(join(path, key), format!("`{key}` has no effect with this action"));
        }
        let (status, body) = if limits { (429, "Too many requests") } else { (403, "Forbidden") };
        let status = self.status(&join(path, "status"), table.status, status, 400);
        let refusal = Refusal { status, body: table.body.clone().unwrap_or_else(|| body.to_owned()) };
        match table.action {
            raw::BotAction::Allow => Some(BotAction::Allow),
            raw::BotAction::Tag => Some(BotAction::Tag),
            raw::BotAction::Block => Some(BotAction::Block(refusal)),
            raw::BotAction::Limit => self.rate_limit(path, &table, refusal).map(BotAction::Limit),
        }
    }

    fn rate_limit(&mut self, path: &str, table: &BotRuleTable, refusal: Refusal) -> Option<RateLimit> {
        let (Some(requests), Some(per)) = (table.requests, &table.per) else {
            let help = "add `requests = 60` and `per = \"1m\"`";
            self.report.error_with_help(path, "a limit needs `requests` and `per`", help);
            return None;
        };
        let window = self.duration(&join(path, "per"), per, Duration::from_secs(1), MAX_WINDOW)?;
        if window.subsec_millis() != 0 {
            self.report.error(join(path, "per"), "a window is a number of whole seconds");
        }
        Some(RateLimit { requests, window, refusal })
    }

    pub(super) fn limits(&mut self, raw: &raw::Limits) -> Limits {
        let default = Limits::default();
        let mut size = |key: &str, size: Option<&raw::Size>, default: u64| {
            size.and_then(|size| self.size(&join("limits", key), size)).unwrap_or(default)
        };
        let max_header_bytes =
            size("max-header-bytes", raw.max_header_bytes.as_ref(), default.max_header_bytes);
        let max_url_bytes = size("max-url-bytes", raw.max_url_bytes.as_ref(), default.max_url_bytes);
        let max_body_bytes = size("max-body-bytes", raw.max_body_bytes.as_ref(), default.max_body_bytes);
        let max_store_bytes = size("max-store-bytes", raw.max_store_bytes.as_ref(), default.max_store_bytes);
        let methods = match &raw.methods {
            None => default.methods,
            Some(methods) => self.methods("limits.methods", methods),
        };
        if methods.is_empty() {
            self.report.error("limits.methods", "without methods every request is refused");
        }
        let encoded_slashes = match raw.encoded_slashes {
            Some(raw::EncodedSlashes::Keep) => EncodedSlashes::Keep,
            Some(raw::EncodedSlashes::Reject) | None => EncodedSlashes::Reject,
        };
        let (least, most) = (Duration::from_millis(10), Duration::from_secs(600));
        let deadline = raw.deadline.as_ref();
        let deadline = deadline.and_then(|text| self.duration("limits.deadline", text, least, most));
        Limits {
            max_header_bytes,
            max_url_bytes,
            max_body_bytes,
            max_store_bytes,
            methods,
            encoded_slashes,
            deadline,
        }
    }

    pub(super) fn fallback(&mut self, raw: &raw::Fallback) -> Fallback {
        let default = Fallback::default();
        let backend = raw.backend.as_ref().and_then(|name| self.backend("fallback.backend", name));
        let page = raw.page.as_ref().map(|page| self.page("fallback.page", page, 503, "Service unavailable"));
        let not_found =
            raw.not_found.as_ref().map(|page| self.page("fallback.not-found", page, 404, "Not found"));
        Fallback {
            stale: if raw.stale == Some(false) { StaleAnswers::Refuse } else { StaleAnswers::Allow },
            backend,
            page,
            not_found: not_found.unwrap_or(default.not_found),
        }
    }

    fn page(&mut self, path: &str, raw: &raw::Page, status: u16, body: &str) -> Page {
        Page {
            status: self.status(&join(path, "status"), raw.status, status, 200),
            body: raw.body.clone().unwrap_or_else(|| body.to_owned()),
            content_type: self.content_type(&join(path, "content-type"), raw.content_type.as_ref()),
        }
    }

    pub(super) fn maintenance(&mut self, raw: &raw::Maintenance) -> Option<Maintenance> {
        let page =
            raw::Page { status: raw.status, body: raw.body.clone(), content_type: raw.content_type.clone() };
        let page = self.page("maintenance", &page, 503, "Down for maintenance");
        let retry_after = raw.retry_after.as_ref().and_then(|text| {
            self.duration("maintenance.retry-after", text, Duration::from_secs(1), MAX_LIFETIME)
        });
        let mut allow = Vec::new();
        for (at, text) in raw.allow.iter().enumerate() {
            let network = Network::parse(text);
            if network.is_none() {
                let message = format!("`{text}` is not an address or a network");
                self.report.error_with_help(
                    format!("maintenance.allow[{at}]"),
                    message,
                    "write it like `203.0.113.9` or `203.0.113.0/24`",
                );
            }
            allow.extend(network);
        }
        raw.enabled.then_some(Maintenance { page, retry_after, allow })
    }

    pub(super) fn redirect_hosts(&mut self, raw: &raw::Redirects) -> Vec<String> {
        for (at, host) in raw.allowed_hosts.iter().enumerate() {
            if !matches!(HostPattern::parse(host), Some(HostPattern::Exact(_))) {
                let message = format!("`{host}` is not a host");
                self.report.error_with_help(
                    format!("redirects.allowed-hosts[{at}]"),
                    message,
                    "name each host in full, such as `shop.example.com`",
                );
            }
        }
        raw.allowed_hosts.iter().map(|host| host.to_ascii_lowercase()).collect()
    }
}
