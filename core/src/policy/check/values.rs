//! Single values with a grammar of their own.

use std::time::Duration;

use http::{HeaderValue, Method};

use super::{Checker, Scope};
use crate::facts::{Continent, CountryCode};
use crate::geo::country;
use crate::geo::group::{CountrySet, builtin};
use crate::headers::name::FieldName;
use crate::policy::raw::Size;
use crate::policy::report::nearest;
use crate::template::{Template, TemplateError, Variable};

/// Units of durations, in milliseconds.
const DURATION_UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Units of sizes, in bytes; the longest suffix first, because `B` ends them all.
const SIZE_UNITS: [(&str, u64); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1)];

/// Fields that belong to the connection or to HTTP itself: no policy writes them.
const UNSETTABLE: [&str; 13] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

impl Checker<'_> {
    /// Reads a duration such as `"90s"` that lies in a range.
    pub(super) fn duration(
        &mut self,
        path: &str,
        text: &str,
        least: Duration,
        most: Duration,
    ) -> Option<Duration> {
        let Some(duration) = number_with_unit(text, &DURATION_UNITS).map(Duration::from_millis) else {
            let help = "write a whole number and a unit: `500ms`, `30s`, `10m`, `1h` or `7d`";
            self.report.error_with_help(path, format!("`{text}` is not a duration"), help);
            return None;
        };
        if duration < least || duration > most {
            let range = format!("from {} to {}", shown(least), shown(most));
            self.report.error(path, format!("`{text}` is out of range: it must be {range}"));
            return None;
        }
        Some(duration)
    }

    /// Reads a size in bytes that is above zero.
    pub(super) fn size(&mut self, path: &str, size: &Size) -> Option<u64> {
        let bytes = match size {
            Size::Bytes(bytes) => Some(*bytes),
            Size::Text(text) => number_with_unit(text, &SIZE_UNITS),
        };
        if bytes.is_none() {
            let help =
                "write bytes as an integer, or a whole number and a unit: `512B`, `64KiB`, `10MiB` or `1GiB`";
            self.report.error_with_help(path, "this is not a size", help);
        }
        if bytes == Some(0) {
            self.report.error(path, "a limit of zero would refuse every request");
        }
        bytes
    }

    /// Checks a status against a range.
    pub(super) fn status(&mut self, path: &str, status: Option<u16>, default: u16, least: u16) -> u16 {
        let status = status.unwrap_or(default);
        if !(least..=599).contains(&status) {
            self.report
                .error(path, format!("status {status} is out of range: it must be from {least} to 599"));
        }
        status
    }

    /// Reads the name of a header that a policy may write.
    pub(super) fn settable_header(&mut self, path: &str, name: &str) -> Option<FieldName> {
        let field = self.header_name(path, name)?;
        if UNSETTABLE.contains(&field.as_str()) {
            let message = format!("header `{name}` belongs to the connection: the edge writes it itself");
            self.report.error(path, message);
            return None;
        }
        Some(field)
    }

    /// Reads a header name.
    pub(super) fn header_name(&mut self, path: &str, name: &str) -> Option<FieldName> {
        let field = FieldName::new(name);
        if field.is_none() {
            let help = "header names are made of letters, digits and `!#$%&'*+-.^_`|~`";
            self.report.error_with_help(path, format!("`{name}` is not a header name"), help);
        }
        field
    }

    /// Checks that a text can be a header value.
    pub(super) fn header_value(&mut self, path: &str, text: &str) {
        if HeaderValue::from_str(text).is_err() {
            self.report.error(path, "a header value cannot hold line breaks or control characters");
        }
    }

    /// Reads a media type, which becomes a header value.
    pub(super) fn content_type(&mut self, path: &str, text: Option<&String>) -> String {
        let text = text.map_or(crate::fallback::TEXT_PLAIN, String::as_str);
        self.header_value(path, text);
        if !text.contains('/') {
            let help = "write a type and a subtype, such as `text/html; charset=utf-8`";
            self.report.error_with_help(path, format!("`{text}` is not a media type"), help);
        }
        text.to_owned()
    }

    /// Reads methods: tokens in upper case.
    pub(super) fn methods(&mut self, path: &str, methods: &[String]) -> Vec<String> {
        for (at, method) in methods.iter().enumerate() {
            let path = format!("{path}[{at}]");
            let upper = method.to_ascii_uppercase();
            if Method::from_bytes(method.as_bytes()).is_err() || method == "CONNECT" {
                self.report.error(path, format!("`{method}` is not a method that an edge can take"));
            } else if *method != upper {
                let help = format!("methods are case-sensitive: write `{upper}`");
                self.report.error_with_help(path, format!("method `{method}` is not in upper case"), help);
            }
        }
        methods.to_vec()
    }

    /// Reads country codes.
    pub(super) fn countries(&mut self, path: &str, codes: &[String]) -> CountrySet {
        let indexed = codes.iter().enumerate();
        indexed.filter_map(|(at, code)| self.country(&format!("{path}[{at}]"), code)).collect()
    }

    /// Reads one country code.
    pub(super) fn country(&mut self, path: &str, code: &str) -> Option<CountryCode> {
        let country = CountryCode::new(code);
        if country.is_none() {
            let message = format!("`{code}` is not a country code");
            let help = country_help(code);
            match help {
                Some(help) => self.report.error_with_help(path, message, help),
                None => self.report.error(path, message),
            }
        }
        country
    }

    /// Reads continent codes.
    pub(super) fn continents(&mut self, path: &str, codes: &[String]) -> Vec<Continent> {
        let known = Continent::ALL.map(Continent::as_str);
        let mut continents = Vec::new();
        for (at, code) in codes.iter().enumerate() {
            match Continent::new(code) {
                Some(continent) => continents.push(continent),
                None => self.report.unknown(format!("{path}[{at}]"), "continent", code, known),
            }
        }
        continents
    }

    /// Reads a template.
    pub(super) fn template(&mut self, path: &str, text: &str, scope: Scope<'_>) -> Option<Template> {
        let template = match Template::parse(text, scope.captures) {
            Ok(template) => template,
            Err(TemplateError::UnbalancedBrace) => {
                let help = "a variable is written `{name}`; `{{` and `}}` stand for braces themselves";
                self.report.error_with_help(path, "a brace has no counterpart", help);
                return None;
            }
            Err(TemplateError::UnknownVariable { name }) => {
                let mut known: Vec<&str> = scope.captures.to_vec();
                for name in Variable::reserved_names() {
                    known.push(name);
                }
                let help = nearest(&name, &known).map_or_else(
                    || "there are captures of the path, facts such as `{country}`, `{query.NAME}`, `{cookie.NAME}`, `{header.NAME}` and `{variation.NAME}`".to_owned(),
                    |near| format!("did you mean `{{{near}}}`?"),
                );
                self.report.error_with_help(path, format!("there is no variable `{{{name}}}` here"), help);
                return None;
            }
        };
        for variable in template.variables() {
            if let Variable::Variation(name) = variable
                && !scope.experiments.contains(&name.as_str())
            {
                self.report.unknown(path, "experiment", name, scope.experiments.iter().copied());
            }
        }
        Some(template)
    }

    /// Checks the name of a cookie: a token, as RFC 6265 section 4.1.1 wants it.
    pub(super) fn cookie_name(&mut self, path: &str, name: &str) {
        if FieldName::new(name).is_none() {
            self.report.error(path, format!("`{name}` is not a cookie name"));
        }
    }
}

fn country_help(code: &str) -> Option<String> {
    let group = code.to_ascii_lowercase();
    if builtin(&group).is_some() {
        return Some(format!("`{group}` is a group: name it in `groups`"));
    }
    let country = country::find_by_name(code)?;
    Some(format!("did you mean `{country}` ({})?", country::name_of(country)?))
}

fn number_with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// Writes a duration in its largest whole unit.
fn shown(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let unit = DURATION_UNITS.iter().rev().find(|(_, factor)| millis >= *factor && millis % factor == 0);
    unit.map_or_else(|| "0s".to_owned(), |(name, factor)| format!("{}{name}", millis / factor))
}
