//! Ready-made sets of security response headers.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use super::rules::set_if_absent;
use crate::facts::Facts;

/// A ready-made set of response headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "policy-file", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Preset {
    /// The [`SECURITY`] headers.
    Security,
}

/// A header of a preset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresetHeader {
    /// Name.
    pub name: HeaderName,
    /// Value.
    pub value: HeaderValue,
    /// What it is good for.
    pub why: &'static str,
}

/// How the client reached the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Over TLS, or nobody knows.
    Secure,
    /// In plain text.
    Plain,
}

/// The headers of [`Preset::Security`].
///
/// They follow the [OWASP Secure Headers Project](https://owasp.org/www-project-secure-headers/), where that breaks no
/// ordinary site: `Strict-Transport-Security` leaves subdomains alone, since a policy speaks for its own host only, and
/// `Referrer-Policy` is the browsers' own default, stated for those that have another. There is no
/// `Content-Security-Policy`: no value fits two sites.
pub static SECURITY: [PresetHeader; 6] = [
    // https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Strict-Transport-Security
    PresetHeader {
        name: header::STRICT_TRANSPORT_SECURITY,
        value: HeaderValue::from_static("max-age=31536000"),
        why: "browsers use TLS for this host for a year, whatever a link says",
    },
    // https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/X-Content-Type-Options
    PresetHeader {
        name: header::X_CONTENT_TYPE_OPTIONS,
        value: HeaderValue::from_static("nosniff"),
        why: "browsers never take an upload for a script because of its content",
    },
    // https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Referrer-Policy
    PresetHeader {
        name: header::REFERRER_POLICY,
        value: HeaderValue::from_static("strict-origin-when-cross-origin"),
        why: "other sites learn the host that a visitor came from, not the path",
    },
    // https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/X-Frame-Options
    PresetHeader {
        name: header::X_FRAME_OPTIONS,
        value: HeaderValue::from_static("DENY"),
        why: "no page can frame this one to steal clicks",
    },
    // https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Permissions-Policy
    PresetHeader {
        name: HeaderName::from_static("permissions-policy"),
        value: HeaderValue::from_static("camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
        why: "scripts, injected ones too, cannot ask for devices",
    },
    // https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Cross-Origin-Opener-Policy
    PresetHeader {
        name: HeaderName::from_static("cross-origin-opener-policy"),
        value: HeaderValue::from_static("same-origin"),
        why: "a page of another site that opens this one gets no handle on it",
    },
];

impl Preset {
    /// Every preset.
    pub const ALL: [Self; 1] = [Self::Security];

    /// Returns the name that a policy uses, in kebab case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Security => "security",
        }
    }

    /// Returns the headers of the set.
    #[must_use]
    pub fn headers(self) -> &'static [PresetHeader] {
        match self {
            Self::Security => &SECURITY,
        }
    }

    /// Adds the headers that the response does not have yet.
    ///
    /// `Strict-Transport-Security` is left out of a response in plain text, as
    /// [RFC 6797 section 7.2](https://www.rfc-editor.org/rfc/rfc6797#section-7.2) asks.
    pub fn apply(self, response: &mut HeaderMap, transport: Transport) {
        for PresetHeader { name, value, .. } in self.headers() {
            if transport == Transport::Plain && *name == header::STRICT_TRANSPORT_SECURITY {
                continue;
            }
            set_if_absent(response, name.clone(), value.clone());
        }
    }
}

impl Transport {
    /// Returns what the facts say; a platform that cannot know counts as secure, since browsers ignore
    /// `Strict-Transport-Security` in plain text.
    #[must_use]
    pub fn of(facts: &Facts) -> Self {
        if facts.is_https == Some(false) { Self::Plain } else { Self::Secure }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_security_preset_adds_each_header_that_is_absent() {
        let mut response = HeaderMap::new();
        response.insert("x-frame-options", HeaderValue::from_static("SAMEORIGIN"));
        Preset::Security.apply(&mut response, Transport::Secure);
        for PresetHeader { name, .. } in &SECURITY {
            assert!(response.contains_key(name), "{name} is set");
        }
        assert_eq!(response["x-frame-options"], "SAMEORIGIN", "the backend's own value stays");
        assert_eq!(response.len(), SECURITY.len(), "nothing is doubled");
        assert_eq!(response["x-content-type-options"], "nosniff", "the only value the Fetch standard knows");
    }

    #[test]
    fn strict_transport_security_is_never_sent_in_plain_text() {
        let rows = [(Some(false), false), (Some(true), true), (None, true)];
        for (is_https, is_sent) in rows {
            let mut response = HeaderMap::new();
            let facts = Facts { is_https, ..Facts::default() };
            Preset::Security.apply(&mut response, Transport::of(&facts));
            assert_eq!(
                response.contains_key(header::STRICT_TRANSPORT_SECURITY),
                is_sent,
                "is_https: {is_https:?}"
            );
        }
    }
}
