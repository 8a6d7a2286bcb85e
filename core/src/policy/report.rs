//! Errors of a policy on their way from the checks to whoever wrote it.

/// Collects errors by the path of what they are about.
#[derive(Debug, Default)]
pub(crate) struct Report {
    findings: Vec<Finding>,
}

/// One error, before its place in the file is known.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Path of the value, such as `routes[2].backend`; keys that are no bare TOML keys are quoted.
    pub(crate) path: String,
    /// What is wrong with it.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) help: Option<String>,
}

impl Report {
    /// Adds an error.
    pub(crate) fn error(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.findings.push(Finding { path: path.into(), message: message.into(), help: None });
    }

    /// Adds an error with advice.
    pub(crate) fn error_with_help(
        &mut self,
        path: impl Into<String>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.findings.push(Finding { path: path.into(), message: message.into(), help: Some(help.into()) });
    }

    /// Adds an error about a name that nothing has, with the nearest of the names that there are.
    pub(crate) fn unknown<'a>(
        &mut self,
        path: impl Into<String>,
        what: &str,
        name: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) {
        let known: Vec<_> = known.into_iter().collect();
        let help =
            nearest(name, &known).map(|near| format!("did you mean `{near}`?")).or_else(|| list(&known));
        self.findings.push(Finding {
            path: path.into(),
            message: format!("{what} `{name}` does not exist"),
            help,
        });
    }

    /// Returns the errors in the order in which they were found.
    pub(crate) fn into_findings(self) -> Vec<Finding> {
        self.findings
    }
}

/// Writes `path.key`, with quotes around a key that needs them.
pub(crate) fn join(path: &str, key: &str) -> String {
    let is_bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let key = if is_bare { key.to_owned() } else { format!("{key:?}") };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// Returns the known name nearest to a misspelt one, when it is near enough to be what was meant.
pub(crate) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |known: &&str| strsim::damerau_levenshtein(&name.to_lowercase(), &known.to_lowercase());
    let is_near =
        |(distance, known): &(usize, &str)| *distance * 3 <= known.chars().count().max(name.chars().count());
    let near = known.iter().map(|known| (distance(known), *known)).filter(is_near);
    near.min_by_key(|(distance, _)| *distance).map(|(_, known)| known)
}

/// Names to choose from, when they are few.
fn list(known: &[&str]) -> Option<String> {
    const FEW: usize = 12;
    let names = || known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match known.len() {
        0 => Some("there are none".to_owned()),
        1..=FEW => Some(format!("there are: {}", names())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_near_name_is_suggested() {
        let known = ["global", "eu", "us", "europe"];
        let rows = [
            ("globl", Some("global")),
            ("Global", Some("global")),
            ("ue", None),
            ("asia", None),
            ("eurp", Some("europe")),
            ("", None),
        ];
        for (name, expected) in rows {
            assert_eq!(nearest(name, &known), expected, "{name}");
        }
    }

    #[test]
    fn keys_are_quoted_where_toml_asks_for_it() {
        assert_eq!(join("headers.request.set", "X-A"), "headers.request.set.X-A");
        assert_eq!(join("", "name"), "name");
        assert_eq!(join("routes[0].when.query", "a b"), "routes[0].when.query.\"a b\"");
    }
}
