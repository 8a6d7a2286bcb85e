//! Requests and responses as data, and how each is written.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// Routes of [`POLICY`](crate::POLICY).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Route {
    /// The origin's headers decide.
    Plain,
    /// The policy gives lifetimes.
    Ruled,
    /// The client's directives count.
    Obey,
    /// Lifetimes may be guessed.
    Guess,
}

/// A page of the site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Page {
    /// Its route.
    pub route: Route,
    /// Its number.
    pub number: u8,
}

/// Methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `DELETE`
    Delete,
}

/// What a client asks for.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The page.
    pub page: Page,
    /// The method.
    pub method: Method,
    /// `Accept-Language`.
    pub language: Option<u8>,
    /// `Origin`.
    pub origin: Option<u8>,
    /// Whether a header is there that nothing tells apart.
    pub is_odd: bool,
    /// Whether `Authorization` is there.
    pub is_authorized: bool,
    /// The precondition.
    pub condition: Condition,
    /// `Range`.
    pub range: Option<RangeAsk>,
    /// `If-Range`.
    pub if_range: Option<Validator>,
    /// `Cache-Control`.
    pub control: Vec<Wish>,
    /// `Pragma: no-cache`.
    pub is_pragma: bool,
}

/// A precondition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// None.
    Absent,
    /// `If-None-Match` with these.
    Tags(Vec<Tag>),
    /// `If-None-Match: *`
    AnyTag,
    /// `If-Modified-Since` the time of a version.
    Since(u32),
    /// `If-Match: *`
    Match,
}

/// An entity tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// The version that it names.
    pub version: u32,
    /// The status of its response.
    pub status: u16,
    /// Whether it is weak.
    pub is_weak: bool,
}

/// What `If-Range` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validator {
    /// A tag.
    Tag(Tag),
    /// The time of a version.
    Modified(u32),
}

/// `Range`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeAsk {
    /// From a byte, perhaps to another.
    From(u64, Option<u64>),
    /// The last bytes.
    Suffix(u64),
    /// Two ranges.
    Several,
}

/// A client's cache directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// `no-cache`
    NoCache,
    /// `no-store`
    NoStore,
    /// `max-age`
    MaxAge(u64),
    /// `min-fresh`
    MinFresh(u64),
    /// `max-stale`
    MaxStale(Option<u64>),
    /// `only-if-cached`
    OnlyIfCached,
}

/// An origin's cache directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directive {
    /// `max-age`
    MaxAge(u64),
    /// `s-maxage`
    SMaxAge(u64),
    /// `no-store`
    NoStore,
    /// `no-cache`
    NoCache,
    /// `no-cache="x-note"`
    NoCacheNote,
    /// `private`
    Private,
    /// `private="set-cookie"`
    PrivateCookie,
    /// `public`
    Public,
    /// `must-revalidate`
    MustRevalidate,
    /// `proxy-revalidate`
    ProxyRevalidate,
    /// `must-understand`
    MustUnderstand,
    /// `stale-while-revalidate`
    StaleWhileRevalidate(u64),
    /// `stale-if-error`
    StaleIfError(u64),
}

/// `Expires`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// At this second.
    At(u64),
    /// `0`
    Unreadable,
}

/// `Age`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgeField {
    /// Of these seconds.
    Of(u64),
    /// No number.
    Unreadable,
}

/// `Vary`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vary {
    /// By `Accept-Language`.
    pub language: bool,
    /// By `Origin`.
    pub origin: bool,
    /// By anything.
    pub star: bool,
}

/// `Content-Range`: first and last byte, and the length of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// These bytes.
    Bytes(u64, u64, u64),
    /// None of so many.
    Nothing(u64),
}

/// A response's head. A field that is `None` is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Status.
    pub status: u16,
    /// `Cache-Control`
    pub control: Option<Vec<Directive>>,
    /// `CDN-Cache-Control`
    pub cdn: Option<Vec<Directive>>,
    /// `Surrogate-Control: max-age`
    pub surrogate: Option<u64>,
    /// `Expires`
    pub expires: Option<Expiry>,
    /// `Date`, in seconds.
    pub date: Option<u64>,
    /// `Age`
    pub age: Option<AgeField>,
    /// `ETag`
    pub tag: Option<Tag>,
    /// `Last-Modified`, as the version that it is of.
    pub modified: Option<u32>,
    /// `Vary`
    pub vary: Option<Vary>,
    /// Whether a cookie is set.
    pub cookie: bool,
    /// `Surrogate-Key`
    pub tags: Option<Vec<u8>>,
    /// `Cache-Groups`
    pub groups: Option<Vec<u8>>,
    /// `Content-Length`
    pub length: Option<u64>,
    /// `Content-Range`
    pub part: Option<Part>,
    /// `X-Serial`: the number of the origin's answer.
    pub serial: Option<u32>,
    /// `X-Note`, likewise.
    pub note: Option<u32>,
    /// `Location`
    pub location: Option<Page>,
    /// `Content-Location`
    pub content_location: Option<Page>,
    /// `Cache-Group-Invalidation`
    pub invalidates: Vec<u8>,
}

impl Page {
    /// The path.
    #[must_use]
    pub fn path(self) -> String {
        let route = match self.route {
            Route::Plain => "plain",
            Route::Ruled => "ruled",
            Route::Obey => "obey",
            Route::Guess => "guess",
        };
        format!("/{route}/{}", self.number)
    }

    /// The page of a path.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        let (route, number) = path.strip_prefix('/')?.split_once('/')?;
        let route = match route {
            "plain" => Route::Plain,
            "ruled" => Route::Ruled,
            "obey" => Route::Obey,
            "guess" => Route::Guess,
            _ => return None,
        };
        Some(Self { route, number: number.parse().ok()? })
    }
}

impl Method {
    /// As HTTP has it.
    #[must_use]
    pub fn http(self) -> http::Method {
        match self {
            Self::Get => http::Method::GET,
            Self::Head => http::Method::HEAD,
            Self::Post => http::Method::POST,
            Self::Put => http::Method::PUT,
            Self::Delete => http::Method::DELETE,
        }
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_safe(self) -> bool {
        matches!(self, Self::Get | Self::Head)
    }
}

impl Tag {
    /// As a field has it.
    #[must_use]
    pub fn text(self) -> String {
        format!("{}\"v{}-{}\"", if self.is_weak { "W/" } else { "" }, self.version, self.status)
    }

    /// Compares without regard to weakness.
    #[must_use]
    pub fn is_weakly(self, other: Self) -> bool {
        (self.version, self.status) == (other.version, other.status)
    }

    /// Compares so that weak ones are the same as none.
    #[must_use]
    pub fn is_strongly(self, other: Self) -> bool {
        !self.is_weak && !other.is_weak && self.is_weakly(other)
    }
}

/// The second in which a version came to be: long before [`START`](crate::START).
#[must_use]
pub fn modified_at(version: u32) -> u64 {
    crate::START / 1000 - 1000 + u64::from(version) * 60
}

/// Writes an HTTP date.
#[must_use]
pub fn date(second: u64) -> String {
    httpdate::fmt_http_date(std::time::UNIX_EPOCH + std::time::Duration::from_secs(second))
}

impl Condition {
    /// `If-None-Match`
    #[must_use]
    pub fn if_none_match(&self) -> Option<String> {
        match self {
            Self::Tags(tags) => Some(tags.iter().map(|tag| tag.text()).collect::<Vec<_>>().join(", ")),
            Self::AnyTag => Some("*".to_owned()),
            Self::Absent | Self::Since(_) | Self::Match => None,
        }
    }

    /// `If-Modified-Since`
    #[must_use]
    pub fn if_modified_since(&self) -> Option<String> {
        match self {
            Self::Since(version) => Some(date(modified_at(*version))),
            Self::Absent | Self::Tags(_) | Self::AnyTag | Self::Match => None,
        }
    }
}

impl RangeAsk {
    /// As a field has it.
    #[must_use]
    pub fn text(self) -> String {
        match self {
            Self::From(first, Some(last)) => format!("bytes={first}-{last}"),
            Self::From(first, None) => format!("bytes={first}-"),
            Self::Suffix(count) => format!("bytes=-{count}"),
            Self::Several => "bytes=0-1,4-5".to_owned(),
        }
    }
}

impl Validator {
    /// As a field has it.
    #[must_use]
    pub fn text(self) -> String {
        match self {
            Self::Tag(tag) => tag.text(),
            Self::Modified(version) => date(modified_at(version)),
        }
    }
}

impl Ask {
    /// The request's headers.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        let flag = |is_set: bool, value: &str| is_set.then(|| value.to_owned());
        let control: Vec<String> = self.control.iter().map(|wish| wish.text()).collect();
        let fields = [
            (header::HOST, Some("shop.test".to_owned())),
            (header::ACCEPT_LANGUAGE, self.language.map(|at| format!("l{at}"))),
            (header::ORIGIN, self.origin.map(|at| format!("https://o{at}.test"))),
            (HeaderName::from_static("x-odd"), flag(self.is_odd, "1")),
            (header::AUTHORIZATION, flag(self.is_authorized, "Bearer x")),
            (header::IF_NONE_MATCH, self.condition.if_none_match()),
            (header::IF_MODIFIED_SINCE, self.condition.if_modified_since()),
            (header::IF_MATCH, flag(self.condition == Condition::Match, "*")),
            (header::RANGE, self.range.map(RangeAsk::text)),
            (header::IF_RANGE, self.if_range.map(Validator::text)),
            (header::CACHE_CONTROL, (!control.is_empty()).then(|| control.join(", "))),
            (header::PRAGMA, flag(self.is_pragma, "no-cache")),
        ];
        written(fields)
    }
}

impl Wish {
    fn text(self) -> String {
        match self {
            Self::NoCache => "no-cache".to_owned(),
            Self::NoStore => "no-store".to_owned(),
            Self::MaxAge(seconds) => format!("max-age={seconds}"),
            Self::MinFresh(seconds) => format!("min-fresh={seconds}"),
            Self::MaxStale(Some(seconds)) => format!("max-stale={seconds}"),
            Self::MaxStale(None) => "max-stale".to_owned(),
            Self::OnlyIfCached => "only-if-cached".to_owned(),
        }
    }
}

impl Directive {
    fn text(self) -> String {
        match self {
            Self::MaxAge(seconds) => format!("max-age={seconds}"),
            Self::SMaxAge(seconds) => format!("s-maxage={seconds}"),
            Self::NoStore => "no-store".to_owned(),
            Self::NoCache => "no-cache".to_owned(),
            Self::NoCacheNote => "no-cache=\"x-note\"".to_owned(),
            Self::Private => "private".to_owned(),
            Self::PrivateCookie => "private=\"set-cookie\"".to_owned(),
            Self::Public => "public".to_owned(),
            Self::MustRevalidate => "must-revalidate".to_owned(),
            Self::ProxyRevalidate => "proxy-revalidate".to_owned(),
            Self::MustUnderstand => "must-understand".to_owned(),
            Self::StaleWhileRevalidate(seconds) => format!("stale-while-revalidate={seconds}"),
            Self::StaleIfError(seconds) => format!("stale-if-error={seconds}"),
        }
    }
}

/// Writes directives; some as lines of a structured field need no other form.
fn directives(directives: &[Directive]) -> String {
    directives.iter().map(|directive| directive.text()).collect::<Vec<_>>().join(", ")
}

fn numbered(letter: char, numbers: &[u8], quote: &str, separator: &str) -> String {
    let names = numbers.iter().map(|number| format!("{quote}{letter}{number}{quote}"));
    names.collect::<Vec<_>>().join(separator)
}

impl Vary {
    fn text(self) -> String {
        let names = [(self.language, "Accept-Language"), (self.origin, "Origin"), (self.star, "*")];
        let names = names.iter().filter(|(is_named, _)| *is_named).map(|(_, name)| *name);
        names.collect::<Vec<_>>().join(", ")
    }
}

impl Part {
    fn text(self) -> String {
        match self {
            Self::Bytes(first, last, complete) => format!("bytes {first}-{last}/{complete}"),
            Self::Nothing(complete) => format!("bytes */{complete}"),
        }
    }
}

impl Head {
    /// The response's headers.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        let groups = |groups: &Vec<u8>| numbered('g', groups, "\"", ", ");
        let fields = [
            (header::CACHE_CONTROL, self.control.as_deref().map(directives)),
            (HeaderName::from_static("cdn-cache-control"), self.cdn.as_deref().map(directives)),
            (HeaderName::from_static("surrogate-control"), self.surrogate.map(|s| format!("max-age={s}"))),
            (header::EXPIRES, self.expires.map(Expiry::text)),
            (header::DATE, self.date.map(date)),
            (header::AGE, self.age.map(AgeField::text)),
            (header::ETAG, self.tag.map(Tag::text)),
            (header::LAST_MODIFIED, self.modified.map(|version| date(modified_at(version)))),
            (header::VARY, self.vary.map(Vary::text)),
            (header::SET_COOKIE, self.cookie.then(|| "a=1".to_owned())),
            (
                HeaderName::from_static("surrogate-key"),
                self.tags.as_ref().map(|tags| numbered('t', tags, "", " ")),
            ),
            (HeaderName::from_static("cache-groups"), self.groups.as_ref().map(groups)),
            (header::CONTENT_LENGTH, self.length.map(|length| length.to_string())),
            (header::CONTENT_RANGE, self.part.map(Part::text)),
            (HeaderName::from_static("x-serial"), self.serial.map(|serial| serial.to_string())),
            (HeaderName::from_static("x-note"), self.note.map(|note| note.to_string())),
            (header::LOCATION, self.location.map(Page::path)),
            (header::CONTENT_LOCATION, self.content_location.map(Page::path)),
            (
                HeaderName::from_static("cache-group-invalidation"),
                (!self.invalidates.is_empty()).then(|| groups(&self.invalidates)),
            ),
        ];
        written(fields)
    }
}

impl Expiry {
    fn text(self) -> String {
        match self {
            Self::At(second) => date(second),
            Self::Unreadable => "0".to_owned(),
        }
    }
}

impl AgeField {
    fn text(self) -> String {
        match self {
            Self::Of(seconds) => seconds.to_string(),
            Self::Unreadable => "soon".to_owned(),
        }
    }
}

fn written<const N: usize>(fields: [(HeaderName, Option<String>); N]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        if let Some(value) = value {
            let value = HeaderValue::from_str(&value).expect("fields are made of ASCII");
            headers.append(name, value);
        }
    }
    headers
}
