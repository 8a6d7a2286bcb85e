//! Query strings: lookup, and the form that belongs in a cache key.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::percent::{canonical_form, decode_form, form_octets};

/// Parameters that follow a visitor around and never change a response.
///
/// A trailing `*` stands for any ending. They come from the click identifiers and campaign tags of Google (`utm_*`,
/// `_ga`, `_gl`, `gclid`, `gclsrc`, `dclid`, `gbraid`, `wbraid`, `srsltid`), Meta (`fbclid`, `igsh`, `igshid`), Microsoft
/// (`msclkid`), Mailchimp (`mc_cid`, `mc_eid`), Yandex (`yclid`, `ysclid`), TikTok (`ttclid`), X (`twclid`), LinkedIn
/// (`li_fat_id`), Pinterest (`epik`), Snapchat (`sccid`), Reddit (`rdt_cid`), HubSpot (`_hsenc`, `_hsmi`, `__hstc`,
/// `__hssc`, `__hsfp`, `hsctatracking`), Klaviyo (`_kx`), Marketo (`mkt_tok`), Adobe (`s_kwcid`), Vero (`vero_id`) and
/// Matomo (`mtm_*`).
pub const TRACKING_PARAMETERS: &[&str] = &[
    "__hsfp",
    "__hssc",
    "__hstc",
    "_ga",
    "_gl",
    "_hsenc",
    "_hsmi",
    "_kx",
    "dclid",
    "epik",
    "fbclid",
    "gbraid",
    "gclid",
    "gclsrc",
    "hsctatracking",
    "igsh",
    "igshid",
    "li_fat_id",
    "mc_cid",
    "mc_eid",
    "mkt_tok",
    "msclkid",
    "mtm_*",
    "rdt_cid",
    "s_kwcid",
    "sccid",
    "srsltid",
    "ttclid",
    "twclid",
    "utm_*",
    "vero_id",
    "wbraid",
    "yclid",
    "ysclid",
];

/// A view of a query string as `application/x-www-form-urlencoded` pairs.
///
/// [The URL standard](https://url.spec.whatwg.org/#urlencoded-parsing) says how it is read: `&` separates pairs, `+` is
/// a space, and a percent sign without two hexadecimal digits is itself. Nothing is cut off: work is linear in the
/// query, whose length [`Limits::max_url_bytes`](crate::limits::Limits::max_url_bytes) bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Query<'a>(&'a str);

/// Which parameters belong to a cache key.
///
/// Names are compared after decoding, with case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "policy-file", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum QuerySelection {
    /// Every parameter but [`TRACKING_PARAMETERS`].
    #[default]
    All,
    /// No parameter.
    None,
    /// The named parameters, tracking ones too.
    Only(Vec<String>),
    /// Every parameter but the named ones and [`TRACKING_PARAMETERS`].
    Except(Vec<String>),
}

impl<'a> Query<'a> {
    /// Makes a view of a query string, given without its question mark.
    #[must_use]
    pub const fn new(raw: &'a str) -> Self {
        Self(raw)
    }

    /// Iterates over the pairs as they are written; a pair without `=` has no value, and empty pairs are skipped.
    pub fn raw_pairs(self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
        let pairs = self.0.split('&').filter(|pair| !pair.is_empty());
        pairs.map(|pair| match pair.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (pair, None),
        })
    }

    /// Returns the decoded value of the first parameter with the name; empty when it has none.
    ///
    /// Octets that are not UTF-8 become U+FFFD. The value may hold any character, control characters too.
    ///
    /// # Examples
    /// ```
    /// use selvedge_core::target::Query;
    ///
    /// let query = Query::new("q=a+b%21&q=c&flag");
    /// assert_eq!(query.value("q").as_deref(), Some("a b!"));
    /// assert_eq!(query.value("flag").as_deref(), Some(""));
    /// assert_eq!(query.value("Q"), None);
    /// ```
    #[must_use]
    pub fn value(self, name: &str) -> Option<Cow<'a, str>> {
        self.values(name).next()
    }

    /// Iterates over the decoded values of every parameter with the name, as [`Query::value`] gives the first.
    pub fn values<'n>(self, name: &'n str) -> impl Iterator<Item = Cow<'a, str>> + use<'a, 'n> {
        let pairs = self.raw_pairs().filter(move |(raw, _)| is_spelling_of(raw, name));
        pairs.map(|(_, value)| decode_form(value.unwrap_or_default()))
    }
}

impl QuerySelection {
    fn takes(&self, raw_name: &str) -> bool {
        let is_listed = |names: &[String]| names.iter().any(|name| is_spelling_of(raw_name, name));
        match self {
            Self::All => !is_tracking(raw_name),
            Self::None => false,
            Self::Only(names) => is_listed(names),
            Self::Except(names) => !is_listed(names) && !is_tracking(raw_name),
        }
    }
}

/// Returns the selected parameters in the one spelling and order that belongs in a cache key.
///
/// Pairs are sorted by name, as [`URLSearchParams.sort()`](https://url.spec.whatwg.org/#dom-urlsearchparams-sort) does
/// it: those of one name keep their order, since `a=1&a=2` and `a=2&a=1` can mean different things. Every spelling of
/// a name or value becomes the same, with all but unreserved characters escaped. A pair without `=` stays different
/// from one with an empty value. Normalising twice gives the same as normalising once.
///
/// # Examples
/// ```
/// use selvedge_core::target::{QuerySelection, normalise_query};
///
/// let key = normalise_query("b=%7e&a=1+2&utm_source=mail", &QuerySelection::All);
/// assert_eq!(key, "a=1%202&b=~");
/// ```
#[must_use]
pub fn normalise_query(raw: &str, selection: &QuerySelection) -> String {
    let selected = Query::new(raw).raw_pairs().filter(|(name, _)| selection.takes(name));
    let pairs = selected.map(|(name, value)| (canonical_form(name), value.map(canonical_form)));
    // With their places, no two are the same: a stable sort, which is far more code, is not needed.
    let mut pairs: Vec<_> = pairs.zip(0_usize..).collect();
    pairs.sort_unstable_by(|((one, _), at), ((other, _), then)| one.cmp(other).then(at.cmp(then)));
    let mut out = String::with_capacity(raw.len());
    for ((name, value), _) in &pairs {
        push_pair(&mut out, name, value.as_deref());
    }
    out
}

fn push_pair(out: &mut String, name: &str, value: Option<&str>) {
    if !out.is_empty() {
        out.push('&');
    }
    out.push_str(name);
    if let Some(value) = value {
        out.push('=');
        out.push_str(value);
    }
}

fn is_spelling_of(raw: &str, name: &str) -> bool {
    raw == name && !raw.contains(['%', '+']) || form_octets(raw).eq(name.bytes())
}

fn is_tracking(raw_name: &str) -> bool {
    let name = decode_form(raw_name);
    TRACKING_PARAMETERS.iter().any(|parameter| match parameter.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == *parameter,
    })
}
