//! What routes do.

use std::collections::BTreeMap;

use super::{Checker, Scope};
use crate::backend::BackendId;
use crate::facts::CountryCode;
use crate::geo::by_place::ByPlace;
use crate::geo::group::CountrySet;
use crate::policy::raw::{self, BackendByPlace, Redirect as RawRedirect, RedirectTarget};
use crate::policy::report::join;
use crate::route::{Action, BackendChoice, FixedResponse, Redirect, Weighted};
use crate::template::{Template, Variable};

/// Largest weight of a backend.
const MAX_WEIGHT: u32 = 1_000_000;

impl Checker<'_> {
    /// Reads the one action of a route.
    pub(super) fn action(&mut self, path: &str, raw: &raw::Route, scope: Scope<'_>) -> Option<Action> {
        let actions = [
            ("backend", raw.backend.is_some()),
            ("redirect", raw.redirect.is_some()),
            ("respond", raw.respond.is_some()),
            ("handler", raw.handler.is_some()),
        ];
        let given: Vec<_> = actions.iter().filter(|(_, is_given)| *is_given).map(|(name, _)| *name).collect();
        if let [first, second, ..] = given.as_slice() {
            let message = format!("a route does one thing, and this one has `{first}` and `{second}`");
            self.report.error_with_help(join(path, second), message, "split it into two routes");
        }
        if raw.rewrite.is_some() && raw.backend.is_none() {
            let help = "add a `backend` that the rewritten request goes to";
            self.report.error_with_help(
                join(path, "rewrite"),
                "only a request to a backend is rewritten",
                help,
            );
        }
        let rewrite = raw.rewrite.as_ref().and_then(|text| self.rewrite(&join(path, "rewrite"), text, scope));
        if let Some(choice) = &raw.backend {
            let backend = self.backend_choice(&join(path, "backend"), choice)?;
            return Some(Action::Proxy { backend, rewrite });
        }
        if let Some(redirect) = &raw.redirect {
            return self.redirect(&join(path, "redirect"), redirect, scope).map(Action::Redirect);
        }
        if let Some(respond) = &raw.respond {
            return self.respond(&join(path, "respond"), respond, scope).map(Action::Respond);
        }
        if let Some(handler) = &raw.handler {
            return Some(Action::Handle(handler.clone()));
        }
        let help = "add one of `backend`, `redirect`, `respond` and `handler`";
        self.report.error_with_help(path, "this route does nothing", help);
        None
    }

    /// Reads the template of a rewritten path.
    pub(super) fn rewrite(&mut self, path: &str, text: &str, scope: Scope<'_>) -> Option<Template> {
        let template = self.template(path, text, scope)?;
        let starts_with_path =
            matches!(template.variables().next(), Some(Variable::Path)) && text.starts_with("{path}");
        if !(template.literal_prefix().starts_with('/') || starts_with_path) {
            self.report.error(path, format!("`{text}` does not start with `/`"));
        }
        Some(template)
    }

    fn backend_choice(&mut self, path: &str, choice: &raw::BackendChoice) -> Option<BackendChoice> {
        match choice {
            raw::BackendChoice::Name(name) => self.backend(path, name).map(BackendChoice::One),
            raw::BackendChoice::Table(table) if !table.weights.is_empty() => self.weighted(path, table),
            raw::BackendChoice::Table(table) if table.nearest.is_empty() => {
                self.backend_by_place(path, table).map(BackendChoice::ByPlace)
            }
            raw::BackendChoice::Table(table) => self.nearest(path, table),
        }
    }

    fn backend_by_place(&mut self, path: &str, table: &BackendByPlace) -> Option<ByPlace<BackendId>> {
        let named = |checker: &mut Self, path: &str, name: &String| checker.backend(path, name);
        let countries = self.by_country(path, &table.countries, named);
        let groups = self.by_group(path, &table.groups, named);
        let Some(name) = &table.default else {
            let help = "add `default`, the backend for every other place";
            self.report.error_with_help(path, "places that are not named have no backend", help);
            return None;
        };
        let default = self.backend(&join(path, "default"), name)?;
        let unknown = table.unknown.as_ref().and_then(|name| self.backend(&join(path, "unknown"), name));
        Some(ByPlace::new(countries, groups, default, unknown.unwrap_or(default)))
    }

    fn weighted(&mut self, path: &str, table: &BackendByPlace) -> Option<BackendChoice> {
        let BackendByPlace { countries, groups, default, nearest, unknown, weights } = table;
        let is_alone = countries.is_empty()
            && groups.is_empty()
            && nearest.is_empty()
            && default.is_none()
            && unknown.is_none();
        if !is_alone {
            let help = "drop the other keys, or drop `weights`";
            self.report.error_with_help(path, "`weights` chooses by nothing else", help);
        }
        let path = join(path, "weights");
        let mut candidates = Vec::new();
        for (name, weight) in weights {
            let path = join(&path, name);
            let weight = self.count(&path, Some(*weight), 0..=MAX_WEIGHT);
            candidates.extend(self.backend(&path, name).zip(weight));
        }
        if weights.values().all(|weight| *weight == 0) {
            self.report.error_with_help(&path, "no backend has a weight", "give one of them more than 0");
        }
        Weighted::new(candidates).map(BackendChoice::Weighted)
    }

    fn nearest(&mut self, path: &str, table: &BackendByPlace) -> Option<BackendChoice> {
        let is_mixed = !table.countries.is_empty() || !table.groups.is_empty() || table.default.is_some();
        if is_mixed {
            let message = "`nearest` chooses by distance alone";
            self.report.error_with_help(
                path,
                message,
                "drop `countries`, `groups` and `default`, or drop `nearest`",
            );
        }
        let list = join(path, "nearest");
        let mut candidates = Vec::new();
        for (at, name) in table.nearest.iter().enumerate() {
            let path = format!("{list}[{at}]");
            if let Some(id) = self.backend(&path, name) {
                self.needs_coordinates(&path, name);
                candidates.push(id);
            }
        }
        let unknown = table.unknown.as_ref().and_then(|name| self.backend(&join(path, "unknown"), name));
        let unknown = unknown.or_else(|| candidates.first().copied())?;
        Some(BackendChoice::Nearest { candidates, unknown })
    }

    fn needs_coordinates(&mut self, path: &str, name: &str) {
        if !self.located.contains(name) {
            let help = format!("add `coordinates = [latitude, longitude]` to `{}`", join("backends", name));
            self.report.error_with_help(path, format!("backend `{name}` has no coordinates"), help);
        }
    }

    fn by_country<T, V>(
        &mut self,
        path: &str,
        values: &BTreeMap<String, V>,
        mut read: impl FnMut(&mut Self, &str, &V) -> Option<T>,
    ) -> Vec<(CountryCode, T)> {
        let path = join(path, "countries");
        let mut checked = Vec::new();
        for (code, value) in values {
            let path = join(&path, code);
            let country = self.country(&path, code);
            checked.extend(country.zip(read(self, &path, value)));
        }
        checked
    }

    /// The smallest group comes first, so that `schengen` wins over `europe`.
    fn by_group<T, V>(
        &mut self,
        path: &str,
        values: &BTreeMap<String, V>,
        mut read: impl FnMut(&mut Self, &str, &V) -> Option<T>,
    ) -> Vec<(CountrySet, T)> {
        let path = join(path, "groups");
        let mut checked = Vec::new();
        for (name, value) in values {
            let path = join(&path, name);
            let group = self.group(&path, name);
            checked.extend(group.zip(read(self, &path, value)));
        }
        checked.sort_by_key(|(group, _)| group.len());
        checked
    }

    fn redirect(&mut self, path: &str, raw: &RawRedirect, scope: Scope<'_>) -> Option<Redirect> {
        let table = match raw {
            RawRedirect::Target(to) => {
                let target = self.redirect_target(path, to, scope)?;
                return Some(Redirect {
                    status: 302,
                    target: ByPlace::everywhere(target),
                    keep_query: false,
                });
            }
            RawRedirect::Table(table) => table,
        };
        let status = table.status.unwrap_or(302);
        if !matches!(status, 301 | 302 | 303 | 307 | 308) {
            let message = format!("status {status} is not a redirect's: use 301, 302, 303, 307 or 308");
            self.report.error(join(path, "status"), message);
        }
        let target = self.redirect_by_place(path, table, scope)?;
        Some(Redirect { status, target, keep_query: table.keep_query })
    }

    fn redirect_by_place(
        &mut self,
        path: &str,
        table: &RedirectTarget,
        scope: Scope<'_>,
    ) -> Option<ByPlace<Template>> {
        let read = |checker: &mut Self, path: &str, text: &String| checker.redirect_target(path, text, scope);
        let countries = self.by_country(path, &table.countries, read);
        let groups = self.by_group(path, &table.groups, read);
        let Some(to) = &table.to else {
            let help = "add `to`, the target for every other place";
            self.report.error_with_help(path, "places that are not named have no target", help);
            return None;
        };
        let default = self.redirect_target(&join(path, "to"), to, scope)?;
        let unknown =
            table.unknown.as_ref().and_then(|text| self.redirect_target(&join(path, "unknown"), text, scope));
        let unknown = unknown.unwrap_or_else(|| default.clone());
        Some(ByPlace::new(countries, groups, default, unknown))
    }

    /// Reads a target whose host no request can choose.
    fn redirect_target(&mut self, path: &str, text: &str, scope: Scope<'_>) -> Option<Template> {
        let template = self.template(path, text, scope)?;
        let prefix = template.literal_prefix();
        let is_local = prefix.starts_with('/') && !prefix.starts_with("//");
        let host = prefix.strip_prefix("https://").or_else(|| prefix.strip_prefix("http://"));
        let may_choose =
            self.lists_redirect_hosts || matches!(template.variables().next(), Some(Variable::Host));
        let is_listed_host = host == Some("") && may_choose;
        let names_host = host.is_some_and(|host| !host.is_empty() && !host.starts_with(['/', ':']));
        if !(is_local || names_host || is_listed_host || text.starts_with("{path}")) {
            let help = "start it with `/`, `https://` and a host, or `https://{host}`; a host from the request must be in `redirects.allowed-hosts`";
            self.report.error_with_help(
                path,
                format!("`{text}` is not a target that a redirect may lead to"),
                help,
            );
        }
        if text.contains('\\') {
            self.report
                .error(path, "browsers read a backslash as a slash: a redirect's target cannot hold one");
        }
        Some(template)
    }

    fn respond(&mut self, path: &str, raw: &raw::Respond, scope: Scope<'_>) -> Option<FixedResponse> {
        let status = self.status(&join(path, "status"), raw.status, 200, 200);
        let body = raw.body.as_deref().unwrap_or_default();
        let forbids_body = matches!(status, 204 | 205 | 304);
        if forbids_body && !body.is_empty() {
            self.report.error(join(path, "body"), format!("a response of status {status} has no body"));
        }
        let body = self.template(&join(path, "body"), body, scope)?;
        let content_type = self.content_type(&join(path, "content-type"), raw.content_type.as_ref());
        Some(FixedResponse { status, body, content_type })
    }
}
