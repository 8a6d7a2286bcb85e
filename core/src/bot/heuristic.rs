//! Signs of a bot in the headers around the user agent.

use http::header::{ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, CONTENT_TYPE, UPGRADE, USER_AGENT};
use http::{HeaderMap, HeaderName};

use super::category::BotCategory;
use super::form::Window;
use super::verdict::{Evidence, Verdict};

/// A sign in the headers that gives a bot away.
///
/// Each is chosen so that no current browser shows it on an ordinary request; a
/// proxy that strips headers could still make a person look like one, so a policy
/// that blocks [`BotCategory::Unknown`] trusts its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Heuristic {
    /// There is no user agent, or only white space. Every browser sends one.
    NoUserAgent,
    /// The client hints name a headless browser, whatever the user agent says.
    HeadlessClientHint,
    /// The user agent is a browser's and there is no `Accept`. Browsers add one to
    /// [every fetch](https://fetch.spec.whatwg.org/#concept-fetch); `WebSocket` handshakes
    /// and requests with content (reports, pings) may lack it and are not judged.
    NoAccept,
    /// The user agent is that of a modern browser and there is neither `Accept-Language` nor
    /// `Accept-Encoding` nor a `Sec-Fetch-*` nor a `Sec-CH-UA` header. A browser that is
    /// set to hide still sends one of them. The same requests as above are not judged.
    BrowserWithoutBrowserHeaders,
}

const SEC_CH_UA: HeaderName = HeaderName::from_static("sec-ch-ua");

const BROWSER_HEADERS: [HeaderName; 6] = [
    ACCEPT_LANGUAGE,
    ACCEPT_ENCODING,
    SEC_CH_UA,
    HeaderName::from_static("sec-fetch-mode"),
    HeaderName::from_static("sec-fetch-site"),
    HeaderName::from_static("sec-fetch-dest"),
];

/// Product tokens of browsers from this version on count as modern.
const MODERN: [(&[u8], u32); 4] = [(b"Chrome/", 50), (b"Firefox/", 50), (b"Version/", 10), (b"CriOS/", 50)];

impl Heuristic {
    /// Returns the kebab-case name, such as `no-user-agent`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoUserAgent => "no-user-agent",
            Self::HeadlessClientHint => "headless-client-hint",
            Self::NoAccept => "no-accept",
            Self::BrowserWithoutBrowserHeaders => "browser-without-browser-headers",
        }
    }

    /// Returns the category that the sign speaks for.
    #[must_use]
    pub const fn category(self) -> BotCategory {
        match self {
            Self::HeadlessClientHint => BotCategory::Automation,
            Self::NoUserAgent | Self::NoAccept | Self::BrowserWithoutBrowserHeaders => BotCategory::Unknown,
        }
    }

    pub(super) const fn verdict(self) -> Verdict {
        Verdict::new(Some(self.category()), Evidence::Heuristic(self))
    }
}

/// Returns whether no user agent says anything.
pub(super) fn is_anonymous(headers: &HeaderMap) -> bool {
    headers.get_all(USER_AGENT).iter().all(|line| line.as_bytes().trim_ascii().is_empty())
}

/// Returns whether the client hints name a headless browser.
pub(super) fn hints_headless(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(SEC_CH_UA);
    lines.iter().any(|line| {
        contains(Window::new(line.as_bytes(), super::MAX_USER_AGENT_BYTES).bytes(), b"HeadlessChrome")
    })
}

/// Returns what is missing beside a browser's user agent.
pub(super) fn missing_from_browser(headers: &HeaderMap) -> Option<Heuristic> {
    let user_agent = headers.get(USER_AGENT)?.as_bytes();
    if !user_agent.starts_with(b"Mozilla/5.0 ")
        || headers.contains_key(UPGRADE)
        || headers.contains_key(CONTENT_TYPE)
    {
        return None;
    }
    if !headers.contains_key(ACCEPT) {
        return Some(Heuristic::NoAccept);
    }
    let is_bare = !BROWSER_HEADERS.iter().any(|name| headers.contains_key(name));
    (is_bare && is_modern(user_agent)).then_some(Heuristic::BrowserWithoutBrowserHeaders)
}

fn is_modern(user_agent: &[u8]) -> bool {
    let window = Window::new(user_agent, super::MAX_USER_AGENT_BYTES).bytes();
    let mut products = window.split(|byte| *byte == b' ');
    products.any(|product| {
        MODERN
            .iter()
            .any(|(name, since)| product.strip_prefix(*name).is_some_and(|version| major(version) >= *since))
    })
}

/// Reads the leading digits of a version, at most four of them; none is 0.
fn major(version: &[u8]) -> u32 {
    let digits = version.iter().take(4).take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + u32::from(digit - b'0'))
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}
