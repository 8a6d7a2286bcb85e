//! Header rules and cross-origin access.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Checker, Scope};
use crate::headers::cors::{AllowedHeaders, Cors, CorsError, CorsSettings, OriginPattern, Origins};
use crate::headers::name::FieldName;
use crate::headers::rules::{HeaderChanges, HeaderRules};
use crate::policy::raw::{self, OneOrMany};
use crate::policy::report::join;
use crate::template::Template;

const MAX_PREFLIGHT_AGE: Duration = Duration::from_secs(24 * 60 * 60);

impl Checker<'_> {
    pub(super) fn headers(&mut self, path: &str, raw: &raw::Headers, scope: Scope<'_>) -> HeaderRules {
        let (request, response) = (join(path, "request"), join(path, "response"));
        HeaderRules {
            request: self.changes(
                &request,
                &raw.request.remove,
                &raw.request.set,
                &raw.request.append,
                scope,
            ),
            response: self.changes(
                &response,
                &raw.response.remove,
                &raw.response.set,
                &raw.response.append,
                scope,
            ),
            presets: raw.response.presets.clone(),
        }
    }

    fn changes(
        &mut self,
        path: &str,
        remove: &[String],
        set: &BTreeMap<String, String>,
        append: &BTreeMap<String, OneOrMany>,
        scope: Scope<'_>,
    ) -> HeaderChanges {
        let removed = join(path, "remove");
        let removals = remove.iter().enumerate();
        let remove = removals
            .filter_map(|(at, name)| self.settable_header(&format!("{removed}[{at}]"), name))
            .collect();
        let set = self.header_templates(&join(path, "set"), set, scope);
        let mut added = Vec::new();
        for (name, values) in append {
            let path = join(&join(path, "append"), name);
            let field = self.settable_header(&path, name);
            for value in values.as_slice() {
                let template = self.header_template(&path, value, scope);
                added.extend(field.clone().zip(template));
            }
        }
        HeaderChanges { remove, set, append: added }
    }

    /// Reads headers whose values are templates.
    pub(super) fn header_templates(
        &mut self,
        path: &str,
        headers: &BTreeMap<String, String>,
        scope: Scope<'_>,
    ) -> Vec<(FieldName, Template)> {
        let mut checked = Vec::new();
        for (name, value) in headers {
            let path = join(path, name);
            let field = self.settable_header(&path, name);
            let template = self.header_template(&path, value, scope);
            checked.extend(field.zip(template));
        }
        checked
    }

    fn header_template(&mut self, path: &str, value: &str, scope: Scope<'_>) -> Option<Template> {
        self.header_value(path, value);
        self.template(path, value, scope)
    }

    pub(super) fn cors(&mut self, path: &str, raw: &raw::Cors) -> Option<Cors> {
        let max_age = raw
            .max_age
            .as_ref()
            .and_then(|text| self.duration(&join(path, "max-age"), text, Duration::ZERO, MAX_PREFLIGHT_AGE));
        let default = || ["GET", "HEAD", "POST"].map(str::to_owned).to_vec();
        let methods = raw
            .methods
            .as_ref()
            .map_or_else(default, |methods| self.methods(&join(path, "methods"), methods));
        let settings = CorsSettings {
            origins: self.origins(path, raw.origins.as_ref())?,
            methods,
            headers: self.allowed_headers(&join(path, "headers"), raw.headers.as_ref()),
            expose: self.field_names(&join(path, "expose"), &raw.expose),
            credentials: raw.credentials,
            max_age,
        };
        match Cors::new(settings) {
            Ok(cors) => Some(cors),
            Err(CorsError::CredentialsForAnyOrigin) => {
                let help = "name the origins, or drop `credentials`";
                let message = "credentials for every origin would let any site act as the visitor";
                self.report.error_with_help(join(path, "credentials"), message, help);
                None
            }
            Err(error) => {
                self.report.error(path, error.to_string());
                None
            }
        }
    }

    fn origins(&mut self, path: &str, origins: Option<&OneOrMany>) -> Option<Origins> {
        let Some(origins) = origins.filter(|origins| !origins.as_slice().is_empty()) else {
            let help = "add `origins = [\"https://app.example.com\"]`";
            self.report.error_with_help(path, "cross-origin access needs `origins`", help);
            return None;
        };
        if origins.as_slice().iter().any(|origin| origin == "*") {
            return Some(Origins::Any);
        }
        let path = join(path, "origins");
        let mut patterns = Vec::new();
        for (at, origin) in origins.as_slice().iter().enumerate() {
            match OriginPattern::parse(origin) {
                Ok(pattern) => patterns.push(pattern),
                Err(_) => {
                    let path = if matches!(origins, OneOrMany::Many(_)) {
                        format!("{path}[{at}]")
                    } else {
                        path.clone()
                    };
                    let help = "write a scheme and a host, such as `https://app.example.com` or `https://*.example.com`";
                    self.report.error_with_help(path, format!("`{origin}` is not an origin"), help);
                }
            }
        }
        Some(Origins::List(patterns))
    }

    fn allowed_headers(&mut self, path: &str, headers: Option<&OneOrMany>) -> AllowedHeaders {
        let names = headers.map(OneOrMany::as_slice).unwrap_or_default();
        if names.iter().any(|name| name == "*") {
            return AllowedHeaders::Any;
        }
        AllowedHeaders::List(self.field_names(path, names))
    }

    /// Reads a list of header names.
    pub(super) fn field_names(&mut self, path: &str, names: &[String]) -> Vec<FieldName> {
        let indexed = names.iter().enumerate();
        indexed.filter_map(|(at, name)| self.header_name(&format!("{path}[{at}]"), name)).collect()
    }
}
