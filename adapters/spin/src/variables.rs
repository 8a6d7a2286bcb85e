//! Names of the variables by which a deployment changes backends and gives secrets.
//!
//! The component that reads them and the `spin.toml` that declares them both ask here. A name is one that
//! [Spin takes](https://spinframework.dev/variables#adding-variables-to-your-applications): lower-case letters and digits
//! in words with one `_` between them, a letter first.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use http::Uri;
use selvedge_core::policy::Policy;

/// The share of requests that have a line in the log, from 0 to 1; without it nothing is written of requests.
pub const ACCESS_LOG: &str = "selvedge_access_log";

/// The variables of a policy; no two have the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variables {
    secrets: Vec<(String, String)>,
    backends: Vec<Vec<String>>,
}

/// A variable whose value is no origin; the value is not shown, since a password may stand in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadOrigin {
    variable: String,
}

impl Variables {
    /// Names every variable of a policy; the same policy always has the same names, and none is [`ACCESS_LOG`].
    ///
    /// A secret has the name that the policy reads it by, a backend `backend_` and its own name, in lower case and with
    /// `_` for what is no letter and no digit. Further URLs of a backend, and names that are taken, end in a number.
    #[must_use]
    pub fn of(policy: &Policy) -> Self {
        let mut names = Names::default();
        names.free(ACCESS_LOG.to_owned());
        let secrets = policy.secrets().into_iter();
        let secrets = secrets.map(|name| (name.to_owned(), names.free(secret_name(name)))).collect();
        let backends = policy.backends.iter().map(|backend| {
            let base = join("backend", &words(&backend.name));
            let of_url = |at: usize| if at == 0 { base.clone() } else { format!("{base}_{}", at + 1) };
            (0..backend.urls.len()).map(|at| names.free(of_url(at))).collect()
        });
        let backends = backends.collect();
        Self { secrets, backends }
    }

    /// Returns the secrets: the name in the policy and the name of the variable.
    pub fn secrets(&self) -> impl Iterator<Item = (&str, &str)> {
        self.secrets.iter().map(|(name, variable)| (name.as_str(), variable.as_str()))
    }

    /// Returns the variable of a secret; `None` for a name that the policy does not read.
    #[must_use]
    pub fn secret(&self, name: &str) -> Option<&str> {
        self.secrets().find(|(known, _)| *known == name).map(|(_, variable)| variable)
    }

    /// Returns the variables of every backend's URLs, both in the order of the policy.
    pub fn backends(&self) -> impl Iterator<Item = &[String]> {
        self.backends.iter().map(Vec::as_slice)
    }

    /// Lets the origins that a deployment has chosen take the place of the policy's; one that is not set or empty changes
    /// nothing, and paths stay.
    ///
    /// # Errors
    /// [`BadOrigin`] names the first variable that holds something else.
    pub fn choose_backends(
        &self,
        policy: &mut Policy,
        read: impl Fn(&str) -> Option<String>,
    ) -> Result<(), BadOrigin> {
        for (backend, variables) in policy.backends.iter_mut().zip(&self.backends) {
            for (url, variable) in backend.urls.iter_mut().zip(variables) {
                let Some(chosen) = read(variable).filter(|chosen| !chosen.is_empty()) else { continue };
                *url = with_origin(url, &chosen).ok_or_else(|| BadOrigin { variable: variable.clone() })?;
            }
        }
        Ok(())
    }
}

/// Returns a URL's scheme, host and port, as `allowed_outbound_hosts` has them; `None` when it is no URL.
///
/// Spin compares hosts [byte by byte](https://spinframework.dev/http-outbound#granting-http-permissions-to-components)
/// with those of URLs, which are lower case, and takes the end of an IPv6 address for a port where none follows.
#[must_use]
pub fn origin(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
    let host = authority.host().to_ascii_lowercase();
    let default = match (scheme, host.starts_with('[')) {
        ("http", true) => ":80",
        ("https", true) => ":443",
        _ => "",
    };
    let port = authority.port_u16().map_or_else(|| default.to_owned(), |port| format!(":{port}"));
    Some(format!("{scheme}://{host}{port}"))
}

/// A URL with another origin; `None` when that is not one: scheme, host and maybe a port, and nothing else.
fn with_origin(url: &str, chosen: &str) -> Option<String> {
    let uri: Uri = chosen.parse().ok()?;
    let is_origin = matches!(uri.scheme_str(), Some("http" | "https"))
        && uri.authority().is_some_and(|authority| !authority.host().is_empty())
        && !chosen.contains(['@', '?', '#'])
        && matches!(uri.path(), "" | "/");
    let path = url.parse::<Uri>().ok()?.path().trim_end_matches('/').to_owned();
    is_origin.then(|| origin(chosen)).flatten().map(|origin| origin + &path)
}

/// Names that are taken, and the number that each was last given.
#[derive(Default)]
struct Names {
    taken: BTreeSet<String>,
    numbers: BTreeMap<String, usize>,
}

impl Names {
    /// Takes a name, with the next free number behind it when it is taken.
    fn free(&mut self, name: String) -> String {
        let mut free = name.clone();
        while !self.taken.insert(free.clone()) {
            let number = self.numbers.entry(name.clone()).or_insert(1);
            *number += 1;
            free = format!("{name}_{number}");
        }
        free
    }
}

fn secret_name(name: &str) -> String {
    let words = words(name);
    if words.starts_with(|c: char| c.is_ascii_lowercase()) { words } else { join("secret", &words) }
}

/// The letters and digits of a name in lower case, with one `_` for whatever stands between them.
fn words(name: &str) -> String {
    let parts = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    parts.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("_")
}

fn join(first: &str, rest: &str) -> String {
    if rest.is_empty() { first.to_owned() } else { format!("{first}_{rest}") }
}

impl fmt::Display for BadOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { variable } = self;
        write!(
            f,
            "the variable `{variable}` is no origin; write scheme, host and port alone, such as \
             `https://api.example.com` or `http://127.0.0.1:8788`"
        )
    }
}

impl std::error::Error for BadOrigin {}

#[cfg(test)]
mod tests {
    use selvedge_core::policy::read::read;

    use super::*;

    fn policy(text: &str) -> Policy {
        read(text).unwrap_or_else(|errors| panic!("{text}: {errors}"))
    }

    fn all(variables: &Variables) -> Vec<&str> {
        let secrets = variables.secrets().map(|(_, variable)| variable);
        secrets.chain(variables.backends().flatten().map(String::as_str)).collect()
    }

    /// What Spin asks of a name: its `Key` and its `LowerSnakeId`.
    fn is_taken_by_spin(name: &str) -> bool {
        let is_word = |word: &str| {
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        name.starts_with(|c: char| c.is_ascii_lowercase()) && name.split('_').all(is_word)
    }

    #[test]
    fn every_variable_has_a_name_of_its_own_that_spin_takes() {
        let text = "[backends.shop]\nurl = [\"http://a.test\", \"http://b.test\", \"http://c.test\"]\n\
                    request-headers = { A = { env = \"EU_TOKEN\" }, B = { env = \"eu__token_\" }, C = { env = \"_1\" } }\n\
                    [backends.shop-2]\nurl = \"http://d.test\"\n[backends.SHOP]\nurl = \"http://e.test\"\n\
                    [backends.\"käse & co\"]\nurl = \"http://f.test\"\n[backends.\"ü\"]\nurl = \"http://g.test\"\n\
                    request-headers = { A = { env = \"BACKEND_SHOP\" } }";
        let variables = Variables::of(&policy(text));
        assert_eq!(
            all(&variables),
            [
                "backend_shop", // of the secret `BACKEND_SHOP`
                "eu_token",
                "secret_1",
                "eu_token_2",
                "backend_shop_2", // of the backend `SHOP`, which stands first
                "backend_k_se_co",
                "backend_shop_3",
                "backend_shop_2_2",
                "backend_shop_3_2",
                "backend_shop_2_3",
                "backend",
            ]
        );
        assert!(all(&variables).iter().all(|name| is_taken_by_spin(name)), "{variables:?}");
        assert_eq!(variables.secret("EU_TOKEN"), Some("eu_token"));
        assert_eq!(variables.secret("eu__token_"), Some("eu_token_2"));
        assert_eq!(variables.secret("EU"), None, "the policy does not read it");
    }

    #[test]
    fn an_origin_is_what_spin_compares() {
        for (url, expected) in [
            ("https://API.example.com/v1", Some("https://api.example.com")),
            ("http://127.0.0.1:8788", Some("http://127.0.0.1:8788")),
            ("http://[::1]/a", Some("http://[::1]:80")),
            ("https://[::1]", Some("https://[::1]:443")),
            ("https://[::1]:8443", Some("https://[::1]:8443")),
            ("/v1", None),
        ] {
            assert_eq!(origin(url).as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn a_deployment_chooses_origins_and_paths_stay() {
        let mut policy = policy(
            "[backends.a]\nurl = [\"https://a.test/v1\", \"https://b.test\"]\n[backends.c]\nurl = \"http://c.test\"",
        );
        let chosen =
            [("backend_a", "http://[::1]:8080/"), ("backend_a_2", ""), ("backend_c", "HTTPS://New.example")];
        let read = |name: &str| chosen.iter().find(|(known, _)| *known == name).map(|(_, v)| (*v).to_owned());
        Variables::of(&policy).choose_backends(&mut policy, read).expect("they are origins");
        assert_eq!(policy.backends[0].urls, ["http://[::1]:8080/v1", "https://b.test"]);
        assert_eq!(policy.backends[1].urls, ["https://new.example"]);
    }

    #[test]
    fn what_is_no_origin_is_refused_by_name_and_not_shown() {
        let original = policy("[backends.a]\nurl = \"https://a.test/v1\"");
        for value in [
            "a.test",
            "ftp://a.test",
            "https://u:p@a.test",
            "https://a.test/v2",
            "https://a.test?q",
            "https://",
            "https://a.test#f",
            "https://a test",
            "*://*:*",
            "/",
            " ",
        ] {
            let mut policy = original.clone();
            let chosen = Variables::of(&policy).choose_backends(&mut policy, |_| Some(value.to_owned()));
            let message = chosen.expect_err(value).to_string();
            assert!(message.contains("`backend_a`") && !message.contains("u:p"), "{message}");
            assert_eq!(policy, original, "{value}");
        }
    }
}
