//! Routes: what they match, how they are cached, and whether they can match at all.

use std::time::Duration;

use super::{Checker, Scope};
use crate::cache::key::{KeyFact, KeyRule};
use crate::cache::rule::{AuthorizationRule, CacheRule, ClientDirectives, SetCookieRule, Storing};
use crate::policy::raw::{self, QueryKey, QueryKeyword};
use crate::policy::report::join;
use crate::route::shadow::shadowed_by;
use crate::route::{Action, HostPattern, PathPattern, PatternError, Route};
use crate::target::QuerySelection;
use crate::template::{Template, Variable};

/// Longest lifetime; no cache keeps anything that long.
pub(super) const MAX_LIFETIME: Duration = Duration::from_secs(3650 * 24 * 60 * 60);

impl Checker<'_> {
    pub(super) fn routes(&mut self, routes: &[raw::Route], experiments: &[&str]) -> Vec<Route> {
        self.bound("routes", routes.len());
        let mut checked = Vec::new();
        let mut places = Vec::new();
        for (at, raw) in routes.iter().enumerate() {
            if let Some(route) = self.route(&format!("routes[{at}]"), raw, experiments) {
                checked.push(route);
                places.push(at);
            }
        }
        self.duplicate_names(&checked, &places);
        self.shadowed(&checked, &places);
        checked
    }

    fn route(&mut self, path: &str, raw: &raw::Route, experiments: &[&str]) -> Option<Route> {
        let pattern = self.route_path(path, raw.path.as_deref());
        let captures: Vec<&str> = pattern.iter().flat_map(PathPattern::captures).collect();
        let scope = Scope { captures: &captures, experiments };
        let name = raw.name.as_ref().or(raw.path.as_ref()).cloned().unwrap_or_default();
        let hosts = self.hosts(path, raw);
        let methods = self.methods(&join(path, "methods"), &raw.methods);
        let extensions = self.extensions(path, &raw.extensions);
        let when = self.conditions(&join(path, "when"), &raw.when);
        let action = self.action(path, raw, scope);
        let (cache, key, tags) = self.caching(path, raw, action.as_ref(), scope);
        let headers = self.headers(&join(path, "headers"), &raw.headers, scope);
        let cors = raw.cors.as_ref().and_then(|cors| self.cors(&join(path, "cors"), cors));
        let (path, action) = (pattern.clone()?, action?);
        Some(Route { name, hosts, path, methods, extensions, when, action, cache, key, tags, headers, cors })
    }

    fn route_path(&mut self, path: &str, text: Option<&str>) -> Option<PathPattern> {
        let Some(text) = text else {
            let help = "add `path = \"/\"`; `/{*rest}` matches every path";
            self.report.error_with_help(path, "a route needs a `path`", help);
            return None;
        };
        let path = join(path, "path");
        self.path_pattern(&path, text).inspect(|pattern| {
            for name in
                pattern.captures().filter(|name| Variable::reserved_names().any(|reserved| reserved == *name))
            {
                let message = format!("`{{{name}}}` is a variable of its own and cannot name a capture");
                self.report.error_with_help(
                    &path,
                    message,
                    format!("choose another name, such as `{{the-{name}}}`"),
                );
            }
        })
    }

    /// Reads a path pattern.
    pub(super) fn path_pattern(&mut self, path: &str, text: &str) -> Option<PathPattern> {
        match PathPattern::parse(text) {
            Ok(pattern) => Some(pattern),
            Err(error) => {
                let (message, help) = explain(error);
                self.report.error_with_help(path, format!("`{text}` is not a path: {message}"), help);
                None
            }
        }
    }

    fn hosts(&mut self, path: &str, raw: &raw::Route) -> Vec<HostPattern> {
        let Some(texts) = &raw.host else { return Vec::new() };
        let mut hosts = Vec::new();
        for (at, text) in texts.as_slice().iter().enumerate() {
            let host = HostPattern::parse(text);
            if host.is_none() {
                let path = join(path, "host");
                let path =
                    if matches!(texts, raw::OneOrMany::Many(_)) { format!("{path}[{at}]") } else { path };
                let help = "write a host without scheme, port or path, such as `shop.example.com` or `*.example.com`";
                self.report.error_with_help(path, format!("`{text}` is not a host"), help);
            }
            hosts.extend(host);
        }
        hosts
    }

    fn extensions(&mut self, path: &str, extensions: &[String]) -> Vec<String> {
        let path = join(path, "extensions");
        for (at, extension) in extensions.iter().enumerate() {
            if extension.is_empty() || extension.contains(['.', '/']) {
                let message = format!("`{extension}` is not a file extension");
                self.report.error_with_help(
                    format!("{path}[{at}]"),
                    message,
                    "write it without the dot: `jpg`",
                );
            }
        }
        extensions.iter().map(|extension| extension.to_ascii_lowercase()).collect()
    }

    fn caching(
        &mut self,
        path: &str,
        raw: &raw::Route,
        action: Option<&Action>,
        scope: Scope<'_>,
    ) -> (CacheRule, KeyRule, Vec<Template>) {
        let Some(cache) = &raw.cache else { return Default::default() };
        let path = join(path, "cache");
        if action.is_some_and(|action| !matches!(action, Action::Proxy { .. })) {
            let help = "drop `cache`, or send the route to a `backend`";
            self.report.error_with_help(&path, "only responses of a backend are cached", help);
        }
        let mut rule = self.cache_rule(&path, cache);
        let harmless = self.field_names(&join(&path, "key.harmless-headers"), &cache.key.harmless_headers);
        rule.harmless = harmless.iter().map(|name| name.as_str().to_owned()).collect();
        let key = self.key_rule(&join(&path, "key"), &cache.key);
        let tags_path = join(&path, "tags");
        let tags = cache.tags.iter().enumerate();
        let tags =
            tags.filter_map(|(at, tag)| self.template(&format!("{tags_path}[{at}]"), tag, scope)).collect();
        (rule, key, tags)
    }

    fn cache_rule(&mut self, path: &str, raw: &raw::CacheRule) -> CacheRule {
        let mut lifetime = |key: &str, text: Option<&String>| {
            text.and_then(|text| self.duration(&join(path, key), text, Duration::ZERO, MAX_LIFETIME))
        };
        let edge = lifetime("edge", raw.edge.as_ref());
        let negative = lifetime("negative", raw.negative.as_ref());
        let browser = lifetime("browser", raw.browser.as_ref());
        let stale_while_revalidate = lifetime("stale-while-revalidate", raw.stale_while_revalidate.as_ref());
        let stale_if_error = lifetime("stale-if-error", raw.stale_if_error.as_ref());
        let never = raw.store == Some(false);
        let edge_keys = [
            ("edge", edge),
            ("negative", negative),
            ("stale-while-revalidate", stale_while_revalidate),
            ("stale-if-error", stale_if_error),
        ];
        for (key, _) in edge_keys.iter().filter(|(_, value)| never && value.is_some()) {
            self.report.error(join(path, key), format!("`{key}` has no effect where `store = false`"));
        }
        CacheRule {
            store: if never { Storing::Never } else { Storing::Store },
            edge,
            negative,
            heuristic: raw.heuristic,
            browser,
            stale_while_revalidate,
            stale_if_error,
            set_cookie: match raw.set_cookie {
                Some(raw::SetCookie::Strip) => SetCookieRule::Strip,
                Some(raw::SetCookie::Keep) => SetCookieRule::Keep,
                Some(raw::SetCookie::Refuse) | None => SetCookieRule::Refuse,
            },
            authorization: match raw.authorization {
                Some(raw::Authorization::Store) => AuthorizationRule::Store,
                Some(raw::Authorization::Refuse) | None => AuthorizationRule::Refuse,
            },
            client: match raw.client_directives {
                Some(raw::ClientDirectives::Obey) => ClientDirectives::Obey,
                Some(raw::ClientDirectives::Ignore) | None => ClientDirectives::Ignore,
            },
            harmless: Vec::new(),
        }
    }

    fn key_rule(&mut self, path: &str, raw: &raw::CacheKey) -> KeyRule {
        for (at, name) in raw.cookies.iter().enumerate() {
            self.cookie_name(&format!("{}[{at}]", join(path, "cookies")), name);
        }
        let headers = self.field_names(&join(path, "headers"), &raw.headers);
        KeyRule {
            query: match &raw.query {
                Some(QueryKey::Keyword(QueryKeyword::All)) | None => QuerySelection::All,
                Some(QueryKey::Keyword(QueryKeyword::None)) => QuerySelection::None,
                Some(QueryKey::Names(names)) => QuerySelection::Only(names.clone()),
            },
            headers: headers.iter().map(|name| name.as_str().to_owned()).collect(),
            cookies: raw.cookies.clone(),
            facts: raw.facts.iter().map(|fact| key_fact(*fact)).collect(),
            is_shown: raw.show,
        }
    }

    fn duplicate_names(&mut self, routes: &[Route], places: &[usize]) {
        for (at, route) in routes.iter().enumerate() {
            let is_named = |other: &&Route| other.name == route.name && other.name != other.path.as_str();
            if let Some(first) = routes[..at].iter().position(|other| is_named(&other)) {
                let message = format!("route name `{}` is taken by routes[{}]", route.name, places[first]);
                self.report.error(format!("routes[{}].name", places[at]), message);
            }
        }
    }

    fn shadowed(&mut self, routes: &[Route], places: &[usize]) {
        for at in 0..routes.len() {
            if let Some(other) = shadowed_by(routes, at) {
                let other = format!("routes[{}] (`{}`)", places[other], routes[other].name);
                let message = format!("this route can never match: {other} takes every request first");
                let help = "remove one of the two, or give this one more conditions";
                self.report.error_with_help(format!("routes[{}]", places[at]), message, help);
            }
        }
    }
}

fn key_fact(fact: raw::KeyFact) -> KeyFact {
    match fact {
        raw::KeyFact::Country => KeyFact::Country,
        raw::KeyFact::Continent => KeyFact::Continent,
        raw::KeyFact::Region => KeyFact::Region,
        raw::KeyFact::City => KeyFact::City,
        raw::KeyFact::Device => KeyFact::Device,
        raw::KeyFact::Bot => KeyFact::Bot,
    }
}

fn explain(error: PatternError) -> (&'static str, &'static str) {
    match error {
        PatternError::NoLeadingSlash => ("it does not start with `/`", "write it like `/users/{id}`"),
        PatternError::PartialSegment => {
            ("a capture is a whole segment", "write `/{file}` and use `extensions` or `when` to narrow it")
        }
        PatternError::BadCaptureName => {
            ("a capture's name is missing or odd", "use letters, digits, `_` and `-`: `{id}` or `{*rest}`")
        }
        PatternError::DuplicateCapture => ("two captures have the same name", "give each its own name"),
        PatternError::CatchAllNotLast => {
            ("something follows the catch-all", "`{*rest}` can only stand at the end")
        }
        PatternError::BadLiteral => (
            "it holds something that no request's path can have here",
            "leave out `..`, `?`, `#`, `%2F` and backslashes",
        ),
    }
}
