//! What kind of device a client is.
//!
//! Meant for choosing a layout, so a wrong guess must be harmless: anyone can claim to be any device.

use std::fmt;

use http::header::USER_AGENT;
use http::{HeaderMap, HeaderName};
use serde::{Deserialize, Serialize};

/// How much of a user agent is looked at.
const MAX_USER_AGENT_BYTES: usize = 1024;

const SEC_CH_UA_MOBILE: HeaderName = HeaderName::from_static("sec-ch-ua-mobile");
const SEC_CH_UA_PLATFORM: HeaderName = HeaderName::from_static("sec-ch-ua-platform");

/// A kind of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "policy-file", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum DeviceClass {
    /// A desktop or laptop computer.
    Desktop,
    /// A phone.
    Mobile,
    /// A tablet or an e-reader.
    Tablet,
    /// A television, a set-top box or a game console.
    Tv,
    /// Nothing tells.
    Unknown,
}

impl DeviceClass {
    /// Every class, in the order of declaration.
    pub const ALL: [Self; 5] = [Self::Desktop, Self::Mobile, Self::Tablet, Self::Tv, Self::Unknown];

    /// Reads a kebab-case name, such as `mobile`; `None` for any other text.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == name)
    }

    /// Returns the kebab-case name, such as `mobile`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Desktop => "desktop",
            Self::Mobile => "mobile",
            Self::Tablet => "tablet",
            Self::Tv => "tv",
            Self::Unknown => "unknown",
        }
    }

    /// Classifies a client by its client hints and the words of its user agent.
    ///
    /// The first of these that says something decides:
    /// 1. words of televisions and consoles (`SmartTV`, `HbbTV`, `CrKey`, `AFTS`, `Xbox`, ...),
    ///    which hints can't express;
    /// 2. [`Sec-CH-UA-Mobile`](https://wicg.github.io/ua-client-hints/#sec-ch-ua-mobile): `?1` is
    ///    a phone; `?0` is a tablet when `Sec-CH-UA-Platform` is Android and a desktop when it is a desktop system;
    /// 3. words of tablets (`iPad`, `Tablet`, `Kindle`), then of phones (`Mobile`, `iPhone`, ...);
    /// 4. `Android` alone is a tablet, since Android phones add `Mobile`;
    /// 5. words of desktop systems (`Windows`, `Macintosh`, `X11`, `CrOS`, `Linux`).
    ///
    /// An iPad asking for desktop sites, as it does by default, calls itself a Macintosh and is taken for a
    /// desktop. Only the first kilobyte of the user agent is looked at.
    #[must_use]
    pub fn classify(headers: &HeaderMap) -> Self {
        let user_agent = headers.get(USER_AGENT).map_or(&b""[..], |line| line.as_bytes());
        let words = Words::read(&user_agent[..user_agent.len().min(MAX_USER_AGENT_BYTES)]);
        if words.tv {
            return Self::Tv;
        }
        hinted(headers).unwrap_or_else(|| words.class())
    }
}

impl fmt::Display for DeviceClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn hinted(headers: &HeaderMap) -> Option<DeviceClass> {
    let platform = headers.get(SEC_CH_UA_PLATFORM).map_or(&b""[..], |line| line.as_bytes());
    match (headers.get(SEC_CH_UA_MOBILE)?.as_bytes(), platform) {
        (b"?1", _) => Some(DeviceClass::Mobile),
        (b"?0", b"\"Android\"") => Some(DeviceClass::Tablet),
        (b"?0", b"\"Windows\"" | b"\"macOS\"" | b"\"Linux\"" | b"\"Chrome OS\"" | b"\"Chromium OS\"") => {
            Some(DeviceClass::Desktop)
        }
        _ => None,
    }
}

/// Which telling words a user agent has.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "a set of found words, never an outcome")]
struct Words {
    tv: bool,
    tablet: bool,
    /// `PC` after `Tablet` is a desktop computer with a pen.
    pc: bool,
    mobile: bool,
    android: bool,
    desktop: bool,
}

impl Words {
    /// Reads a user agent once, word by word.
    fn read(user_agent: &[u8]) -> Self {
        let mut words = Self::default();
        for word in user_agent.split(|byte| matches!(byte, b' ' | b';' | b'(' | b')' | b'/' | b',')) {
            words.note(word);
        }
        words
    }

    fn note(&mut self, word: &[u8]) {
        match word {
            b"TV" | b"SmartTV" | b"SMART-TV" | b"Smart-TV" | b"HbbTV" | b"GoogleTV" | b"AndroidTV"
            | b"BRAVIA" | b"CrKey" | b"Roku" | b"Web0S" | b"VIDAA" | b"Viera" | b"Xbox" | b"PlayStation"
            | b"PLAYSTATION" => {
                self.tv = true;
            }
            b"iPad" | b"Tablet" | b"Kindle" | b"PlayBook" => self.tablet = true,
            b"PC" => self.pc = true,
            b"Mobile" | b"Mobi" | b"iPhone" | b"iPod" | b"IEMobile" | b"Phone" | b"BlackBerry" | b"BB10"
            | b"KAIOS" | b"Mini" | b"J2ME" => self.mobile = true,
            b"Android" => self.android = true,
            b"Windows" | b"Macintosh" | b"X11" | b"CrOS" | b"Linux" => self.desktop = true,
            _ => self.tv |= is_tv_model(word),
        }
    }

    const fn class(&self) -> DeviceClass {
        match self {
            Self { tablet: true, pc: false, .. } => DeviceClass::Tablet,
            Self { mobile: true, .. } => DeviceClass::Mobile,
            Self { android: true, .. } => DeviceClass::Tablet,
            Self { desktop: true, .. } => DeviceClass::Desktop,
            _ => DeviceClass::Unknown,
        }
    }
}

/// Returns whether a word is an Apple TV, a Fire TV model (`AFTS`, `AFTMM`) or LG's `NetCast.TV-2013`.
fn is_tv_model(word: &[u8]) -> bool {
    word.starts_with(b"AppleTV")
        || word.starts_with(b"NetCast.TV")
        || (word.starts_with(b"AFT") && word.len() <= 8 && word.iter().all(u8::is_ascii_uppercase))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn class(user_agent: &'static str, mobile: &'static str, platform: &'static str) -> DeviceClass {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [(USER_AGENT, user_agent), (SEC_CH_UA_MOBILE, mobile), (SEC_CH_UA_PLATFORM, platform)]
        {
            if !value.is_empty() {
                headers.insert(name, HeaderValue::from_static(value));
            }
        }
        DeviceClass::classify(&headers)
    }

    #[test]
    fn user_agents_tell_the_device() {
        use DeviceClass::{Desktop, Mobile, Tablet, Tv, Unknown};
        let cases = [
            (Desktop, "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"),
            (Desktop, "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Tablet PC 2.0)"),
            (Desktop, "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/18.5 Safari/605.1.15"),
            (Desktop, "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) Chrome/138.0.0.0 Safari/537.36"),
            (Mobile, "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) Mobile/15E148 Safari/604.1"),
            (Mobile, "Mozilla/5.0 (Linux; Android 10; K) Chrome/138.0.0.0 Mobile Safari/537.36"),
            (Mobile, "Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0"),
            (Mobile, "Opera/9.80 (Android; Opera Mini/36.2/119.132; U; en) Presto/2.12.423"),
            (Tablet, "Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) Version/17.5 Mobile/15E148 Safari/604.1"),
            (Tablet, "Mozilla/5.0 (Android 13; Tablet; rv:140.0) Gecko/140.0 Firefox/140.0"),
            (Tablet, "Mozilla/5.0 (Linux; Android 13; SM-X906B) Chrome/138.0.0.0 Safari/537.36"),
            (Tv, "Mozilla/5.0 (SMART-TV; Linux; Tizen 7.0) 94.0.4606.31/7.0 TV Safari/537.36"),
            (Tv, "Mozilla/5.0 (Web0S; Linux/SmartTV) Chrome/108.0.5359.211 Safari/537.36"),
            (
                Tv,
                "Mozilla/5.0 (Linux; Android 9; AFTMM Build/PS7633) Silk/120.4.1 like Chrome/120 Safari/537.36",
            ),
            (Tv, "AppleTV11,1/11.1"),
            (Tv, "Mozilla/5.0 (PlayStation; PlayStation 5/2.26) Version/13.0 Safari/605.1.15"),
            (Unknown, "curl/8.5.0"),
            (Unknown, ""),
        ];
        for (expected, user_agent) in cases {
            assert_eq!(class(user_agent, "", ""), expected, "the words of {user_agent} say so");
        }
    }

    #[test]
    fn hints_outweigh_words_except_those_of_televisions() {
        const PHONE: &str = "Mozilla/5.0 (Linux; Android 10; K) Chrome/138.0.0.0 Mobile Safari/537.36";
        const TV: &str = "Mozilla/5.0 (Linux; Android 9; AFTMM) Chrome/138.0.0.0 Safari/537.36";
        assert_eq!(class("", "?1", ""), DeviceClass::Mobile, "the hint alone suffices");
        assert_eq!(
            class(PHONE, "?0", "\"Android\""),
            DeviceClass::Tablet,
            "Android without mobile is a tablet"
        );
        assert_eq!(
            class(PHONE, "?0", "\"Linux\""),
            DeviceClass::Desktop,
            "the user asked for the desktop site"
        );
        assert_eq!(
            class(PHONE, "?0", "\"Fuchsia\""),
            DeviceClass::Mobile,
            "an unknown platform leaves it to the words"
        );
        assert_eq!(class(PHONE, "yes", ""), DeviceClass::Mobile, "a malformed hint is no hint");
        assert_eq!(class(TV, "?0", "\"Android\""), DeviceClass::Tv, "no hint means television");
    }

    #[test]
    fn names_are_stable_and_read_back() {
        for class in DeviceClass::ALL {
            assert_eq!(DeviceClass::new(class.as_str()), Some(class), "policies and logs hold the name");
        }
        assert_eq!(DeviceClass::new("TV"), None, "names are kebab-case");
    }

    proptest! {
        #[test]
        fn any_header_has_a_class(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                headers.insert(USER_AGENT, value.clone());
                headers.insert(SEC_CH_UA_MOBILE, value);
            }
            let class = DeviceClass::classify(&headers);
            prop_assert_eq!(class, DeviceClass::classify(&headers), "the same request, the same class");
        }
    }
}
