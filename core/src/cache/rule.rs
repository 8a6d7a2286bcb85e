//! What the policy of a route says about caching.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The caching rule of a route, checked. The default has no opinion: the origin's headers decide.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct CacheRule {
    /// Whether the edge may store responses at all.
    pub store: Storing,
    /// Freshness lifetime at the edge, in place of the one in `Cache-Control` and `Expires`.
    ///
    /// It concerns responses of status 200, 203, 204, 206, 300, 301 and 308 that
    /// may be stored; redirects that may change and errors are stored only when the
    /// origin itself gives them a lifetime.
    pub edge: Option<Duration>,
    /// Freshness lifetime of error responses at the edge, in place of the origin's own.
    ///
    /// It concerns those of status 404, 405, 410, 414, 451, 500, 501, 502, 503 and 504 that may be stored.
    pub negative: Option<Duration>,
    /// Whether a response without a lifetime may be given one by heuristics,
    /// [RFC 9111 section 4.2.2](https://www.rfc-editor.org/rfc/rfc9111#section-4.2.2).
    pub heuristic: bool,
    /// Freshness lifetime in the browser, counted from when it gets the response.
    pub browser: Option<Duration>,
    /// How long after its lifetime a response may answer while it is fetched anew.
    ///
    /// Without effect on responses whose directives forbid it (`must-revalidate`,
    /// `proxy-revalidate`, `s-maxage`). The same goes for `stale_if_error`.
    pub stale_while_revalidate: Option<Duration>,
    /// How long after its lifetime a response may answer when the backend fails.
    pub stale_if_error: Option<Duration>,
    /// What becomes of responses with `Set-Cookie`.
    pub set_cookie: SetCookieRule,
    /// What becomes of responses to requests with `Authorization`.
    pub authorization: AuthorizationRule,
    /// What a client's own cache directives count for.
    pub client: ClientDirectives,
    /// Request headers that change no response although they are not of the key, lower case; beside those that are known to be harmless.
    pub harmless: Vec<String>,
}

/// What the cache directives of a request count for, but for `no-store` and `only-if-cached`, which always count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientDirectives {
    /// Nothing.
    ///
    /// DIFFERENCE: [RFC 9111 section 5.2.1](https://www.rfc-editor.org/rfc/rfc9111#section-5.2.1) makes them advice, and an
    /// edge that took it would let any client send all its requests to the origin.
    #[default]
    Ignore,
    /// `no-cache`, `max-age`, `min-fresh` and `max-stale` are obeyed, and `Pragma: no-cache` where there is no `Cache-Control`.
    Obey,
}

/// Whether the edge stores responses of a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Storing {
    /// It stores those that may be stored and have a lifetime.
    #[default]
    Store,
    /// It stores none.
    Never,
}

/// What becomes of responses with `Set-Cookie`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SetCookieRule {
    /// They are not stored.
    #[default]
    Refuse,
    /// They are stored without it; the client whose request brought them still gets it.
    Strip,
    /// They are stored with it, and whoever is served from the store gets it too.
    ///
    /// [RFC 9111 section 7.3](https://www.rfc-editor.org/rfc/rfc9111#section-7.3) allows it; it is for cookies that are everybody's.
    Keep,
}

/// What becomes of responses to requests with `Authorization`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuthorizationRule {
    /// They are stored only when the response allows it by `public`, `must-revalidate` or `s-maxage`,
    /// [RFC 9111 section 3.5](https://www.rfc-editor.org/rfc/rfc9111#section-3.5).
    #[default]
    Refuse,
    /// They are stored like any other.
    ///
    /// DIFFERENCE: section 3.5 leaves this word to the response. The policy speaks for
    /// the same owner, for origins that check a token they share with every client.
    Store,
}
