//! What the platform knows about the client.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// What the platform knows about the client, from its own trusted channel.
///
/// Every field is optional: `None` means that this platform cannot know it for
/// this request, and each rule says what it does then. Nothing here is ever
/// taken from a header that a client could have written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Facts {
    /// Address of the client, as the platform's network saw it.
    pub client_ip: Option<IpAddr>,
    /// Country of the client.
    pub country: Option<CountryCode>,
    /// Continent of the client; derived from the country when the platform does not say.
    pub continent: Option<Continent>,
    /// First-level subdivision: an ISO 3166-2 code without the country, such as `CA`.
    pub region: Option<String>,
    /// City name, in the platform's spelling.
    pub city: Option<String>,
    /// Estimated position of the client.
    pub coordinates: Option<Coordinates>,
    /// IANA time zone, such as `Europe/Berlin`.
    pub time_zone: Option<String>,
    /// Number of the client's autonomous system.
    pub asn: Option<u32>,
    /// Protocol between client and edge, such as `HTTP/2`.
    pub protocol: Option<String>,
    /// TLS version between client and edge, such as `TLSv1.3`.
    pub tls_version: Option<String>,
    /// Whether the client reached the edge over TLS.
    pub is_https: Option<bool>,
    /// The platform's own bot score, from 1 (bot) to 99 (human).
    pub bot_score: Option<u8>,
    /// Whether the platform verified that the client is a known crawler.
    pub is_verified_bot: Option<bool>,
}

/// One value of [`Facts`], in the order in which [`wire`](crate::wire) lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Fact {
    /// [`Facts::client_ip`].
    ClientIp,
    /// [`Facts::country`].
    Country,
    /// [`Facts::continent`].
    Continent,
    /// [`Facts::region`].
    Region,
    /// [`Facts::city`].
    City,
    /// The latitude of [`Facts::coordinates`].
    Latitude,
    /// The longitude of [`Facts::coordinates`].
    Longitude,
    /// [`Facts::time_zone`].
    TimeZone,
    /// [`Facts::asn`].
    Asn,
    /// [`Facts::protocol`].
    Protocol,
    /// [`Facts::tls_version`].
    TlsVersion,
    /// [`Facts::is_https`].
    IsHttps,
    /// [`Facts::bot_score`].
    BotScore,
    /// [`Facts::is_verified_bot`].
    IsVerifiedBot,
}

/// Some of the facts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FactSet(u16);

/// A country: an ISO 3166-1 alpha-2 code, or `XK` for Kosovo.
///
/// # Examples
/// ```
/// use selvedge_core::facts::CountryCode;
///
/// assert_eq!(CountryCode::new("de").map(|c| c.to_string()), Some("DE".to_owned()));
/// assert_eq!(CountryCode::new("EU"), None, "the EU is a group, not a country");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CountryCode([u8; 2]);

/// A continent by its two-letter code, as geolocation databases use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Continent {
    /// `AF`
    Africa,
    /// `AN`
    Antarctica,
    /// `AS`
    Asia,
    /// `EU`
    Europe,
    /// `NA`
    NorthAmerica,
    /// `OC`
    Oceania,
    /// `SA`
    SouthAmerica,
}

/// A position on Earth in degrees.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Coordinates {
    /// Degrees north, from -90 to 90.
    pub latitude: f64,
    /// Degrees east, from -180 to 180.
    pub longitude: f64,
}

impl FactSet {
    /// Makes a set.
    #[must_use]
    pub fn of(facts: &[Fact]) -> Self {
        let mut set = Self::default();
        facts.iter().for_each(|fact| set.insert(*fact));
        set
    }

    /// Adds a fact.
    pub fn insert(&mut self, fact: Fact) {
        self.0 |= 1 << fact as u8;
    }

    /// Returns what is in either set.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns whether a fact is in the set.
    #[must_use]
    pub const fn has(self, fact: Fact) -> bool {
        self.0 >> fact as u8 & 1 == 1
    }

    /// Returns the set as a number: the first fact is its lowest bit.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }
}

impl CountryCode {
    /// Reads a code in either case; `None` when no country has it.
    #[must_use]
    pub fn new(code: &str) -> Option<Self> {
        let bytes: [u8; 2] = code.as_bytes().try_into().ok()?;
        let code = Self(bytes.map(|b| b.to_ascii_uppercase()));
        crate::geo::country::continent_of(code).map(|_| code)
    }

    /// Makes a code from two upper-case letters without asking whether a country has it.
    pub(crate) const fn from_ascii(code: [u8; 2]) -> Self {
        Self(code)
    }

    /// Returns the code as two upper-case letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("only ASCII letters are ever stored")
    }
}

impl fmt::Display for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Continent {
    /// Every continent, by code.
    pub const ALL: [Self; 7] = [
        Self::Africa,
        Self::Antarctica,
        Self::Asia,
        Self::Europe,
        Self::NorthAmerica,
        Self::Oceania,
        Self::SouthAmerica,
    ];

    /// Reads a two-letter code in either case.
    #[must_use]
    pub fn new(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.as_str().eq_ignore_ascii_case(code))
    }

    /// Returns the two-letter code.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Africa => "AF",
            Self::Antarctica => "AN",
            Self::Asia => "AS",
            Self::Europe => "EU",
            Self::NorthAmerica => "NA",
            Self::Oceania => "OC",
            Self::SouthAmerica => "SA",
        }
    }
}

impl Coordinates {
    /// Makes a position; `None` when a value is out of range or not a number.
    #[must_use]
    pub fn new(latitude: f64, longitude: f64) -> Option<Self> {
        let in_range = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
        in_range.then_some(Self { latitude, longitude })
    }
}

impl Facts {
    /// Returns the continent: the platform's word, else the one of the country.
    #[must_use]
    pub fn continent(&self) -> Option<Continent> {
        self.continent.or_else(|| self.country.and_then(crate::geo::country::continent_of))
    }
}
