//! The origin: what it answers, and what it was asked.

use std::collections::BTreeMap;

use selvedge_core::effect::FetchError;

use crate::Millis;
use crate::message::{
    AgeField, Directive, Expiry, Head, Method, Page, Part, RangeAsk, Tag, Validator, Vary, date, modified_at,
};

/// How a page is answered.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Status of a plain answer.
    pub status: u16,
    /// `Cache-Control`
    pub control: Vec<Directive>,
    /// `CDN-Cache-Control`
    pub cdn: Vec<Directive>,
    /// `Surrogate-Control: max-age`
    pub surrogate: Option<u64>,
    /// `Expires`, in seconds from the answer; the inner `None` is one that cannot be read.
    pub expires: Option<Option<u64>>,
    /// `Date`, in seconds before the answer.
    pub date: Option<u64>,
    /// `Age`
    pub age: Option<AgeField>,
    /// `ETag`, and whether it is weak.
    pub tag: Option<bool>,
    /// Whether `Last-Modified` is there.
    pub is_dated: bool,
    /// `Vary`
    pub vary: Vary,
    /// Whether a cookie is set.
    pub cookie: bool,
    /// `Surrogate-Key`
    pub tags: Vec<u8>,
    /// `Cache-Groups`
    pub groups: Vec<u8>,
    /// How long the answer takes.
    pub delay: Millis,
    /// What conditions count for.
    pub conditions: Conditions,
    /// Whether ranges are answered.
    pub has_ranges: bool,
    /// What an unsafe request is answered with.
    pub change: Change,
}

/// What an unsafe request is answered with.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// Status.
    pub status: u16,
    /// `Location`
    pub location: Option<Page>,
    /// `Content-Location`
    pub content_location: Option<Page>,
    /// `Cache-Group-Invalidation`
    pub groups: Vec<u8>,
}

/// What conditions count for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conditions {
    /// Nothing.
    Ignored,
    /// What they say.
    Honest,
    /// Always 304.
    Lying,
}

/// How an origin fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// With a status and no other field.
    Status(u16),
    /// The connection breaks.
    Disconnect,
    /// Nothing comes in time.
    Timeout,
}

/// One request that the origin was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The method.
    pub method: Method,
    /// The page.
    pub page: Page,
    /// `If-None-Match`
    pub if_none_match: Option<String>,
    /// `If-Modified-Since`
    pub if_modified_since: Option<String>,
    /// `Range`
    pub range: Option<String>,
    /// `If-Range`
    pub if_range: Option<String>,
}

/// An answer.
pub type Reply = Result<(Head, String), FetchError>;

/// The origin.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// How pages are answered.
    pub specs: BTreeMap<Page, Spec>,
    /// Their versions.
    pub versions: BTreeMap<Page, u32>,
    /// What fails.
    pub outage: Option<Outage>,
    /// How often it was asked.
    pub serial: u32,
}

/// What a version of a page says.
#[must_use]
pub fn content(page: Page, version: u32, status: u16) -> String {
    format!(
        "{} v{version} {status} {}",
        page.path(),
        "abcdefghijkl".get(..version as usize % 3).unwrap_or("")
    )
}

impl Spec {
    /// A page that nothing is said about.
    #[must_use]
    pub fn plain() -> Self {
        Self {
            status: 200,
            control: Vec::new(),
            cdn: Vec::new(),
            surrogate: None,
            expires: None,
            date: Some(0),
            age: None,
            tag: None,
            is_dated: false,
            vary: Vary::default(),
            cookie: false,
            tags: Vec::new(),
            groups: Vec::new(),
            delay: 0,
            conditions: Conditions::Honest,
            has_ranges: true,
            change: Change { status: 200, ..Change::default() },
        }
    }
}

impl Origin {
    /// How long an answer about a page takes.
    #[must_use]
    pub fn delay(&self, page: Page) -> Millis {
        self.spec(page).delay
    }

    /// The version of a page.
    #[must_use]
    pub fn version(&self, page: Page) -> u32 {
        self.versions.get(&page).copied().unwrap_or_default()
    }

    fn spec(&self, page: Page) -> Spec {
        self.specs.get(&page).cloned().unwrap_or_else(Spec::plain)
    }

    /// Answers a request that arrives at `now`.
    pub fn reply(&mut self, asked: &Asked, now: Millis) -> Reply {
        self.serial += 1;
        let second = now / 1000;
        match self.outage {
            Some(Outage::Status(status)) => {
                let head = Head { status, date: Some(second), serial: Some(self.serial), ..Head::default() };
                return Ok((head, "out of order".to_owned()));
            }
            Some(Outage::Disconnect) => return Err(FetchError::Protocol),
            Some(Outage::Timeout) => return Err(FetchError::Timeout),
            None => {}
        }
        let spec = self.spec(asked.page);
        let version = self.version(asked.page);
        let mut head = self.head(&spec, version, second);
        if !asked.method.is_safe() {
            head.status = spec.change.status;
            head.location = spec.change.location;
            head.content_location = spec.change.content_location;
            head.invalidates = spec.change.groups;
        }
        Ok(finished(asked, head, version, spec.conditions, spec.has_ranges))
    }

    fn head(&self, spec: &Spec, version: u32, second: u64) -> Head {
        let is_ok = spec.status == 200;
        let some = |list: &Vec<u8>| (!list.is_empty()).then(|| list.clone());
        let directives = |list: &Vec<Directive>| (!list.is_empty()).then(|| list.clone());
        Head {
            status: spec.status,
            control: directives(&spec.control),
            cdn: directives(&spec.cdn),
            surrogate: spec.surrogate,
            expires: spec
                .expires
                .map(|after| after.map_or(Expiry::Unreadable, |after| Expiry::At(second + after))),
            date: spec.date.map(|before| second - before),
            age: spec.age,
            tag: spec.tag.map(|is_weak| Tag { version, status: spec.status, is_weak }),
            modified: (spec.is_dated && is_ok).then_some(version),
            vary: (spec.vary != Vary::default()).then_some(spec.vary),
            cookie: spec.cookie,
            tags: some(&spec.tags),
            groups: some(&spec.groups),
            serial: Some(self.serial),
            note: Some(self.serial),
            ..Head::default()
        }
    }
}

fn finished(
    asked: &Asked,
    mut head: Head,
    version: u32,
    conditions: Conditions,
    has_ranges: bool,
) -> (Head, String) {
    let body = content(asked.page, version, head.status);
    if head.status == 200 && asked.method.is_safe() && is_unchanged(asked, &head, conditions) {
        head.status = 304;
        return (head, String::new());
    }
    let whole = u64::try_from(body.len()).expect("pages are short");
    if head.status == 200
        && asked.method == Method::Get
        && has_ranges
        && let Some(wanted) = part(asked, &head, whole)
    {
        return cut(head, &body, wanted, whole);
    }
    head.length = Some(whole);
    (head, body)
}

fn is_unchanged(asked: &Asked, head: &Head, conditions: Conditions) -> bool {
    let is_conditional = asked.if_none_match.is_some() || asked.if_modified_since.is_some();
    match conditions {
        Conditions::Ignored => false,
        Conditions::Lying => is_conditional,
        Conditions::Honest => match (&asked.if_none_match, &asked.if_modified_since, head.modified) {
            (Some(listed), _, _) => {
                let text = head.tag.map(|tag| Tag { is_weak: false, ..tag }.text());
                listed == "*" || text.is_some_and(|text| listed.contains(&text))
            }
            (None, Some(since), Some(modified)) => {
                (modified..20).any(|later| *since == date(modified_at(later)))
            }
            (None, _, _) => false,
        },
    }
}

/// The first and last byte that are wanted: outer `None` for all, inner for none.
fn part(asked: &Asked, head: &Head, whole: u64) -> Option<Option<(u64, u64)>> {
    let text = asked.range.as_ref()?;
    if let Some(if_range) = &asked.if_range {
        let tag = head.tag.filter(|tag| !tag.is_weak).map(|tag| Validator::Tag(tag).text());
        let modified = head.modified.map(|version| Validator::Modified(version).text());
        if tag.as_ref() != Some(if_range) && modified.as_ref() != Some(if_range) {
            return None;
        }
    }
    let (first, last) = text.strip_prefix("bytes=").filter(|set| !set.contains(','))?.split_once('-')?;
    let range = match (first.parse().ok(), last.parse().ok()) {
        (Some(first), last) => RangeAsk::From(first, last),
        (None, Some(count)) => RangeAsk::Suffix(count),
        (None, None) => return None,
    };
    Some(bytes_of(range, whole))
}

/// The bytes of a range in a body of so many.
#[must_use]
pub fn bytes_of(range: RangeAsk, whole: u64) -> Option<(u64, u64)> {
    match range {
        RangeAsk::From(first, last) if first < whole => {
            Some((first, last.map_or(whole - 1, |last| last.min(whole - 1))))
        }
        RangeAsk::Suffix(count) if count > 0 => Some((whole.saturating_sub(count), whole - 1)),
        RangeAsk::From(..) | RangeAsk::Suffix(_) | RangeAsk::Several => None,
    }
}

/// The bytes of a text.
#[must_use]
pub fn slice(text: &str, first: u64, last: u64) -> String {
    text.bytes()
        .zip(0..)
        .filter(|(_, at): &(u8, u64)| (first..=last).contains(at))
        .map(|(b, _)| char::from(b))
        .collect()
}

fn cut(mut head: Head, body: &str, wanted: Option<(u64, u64)>, whole: u64) -> (Head, String) {
    match wanted {
        Some((first, last)) => {
            head.status = 206;
            head.length = Some(last - first + 1);
            head.part = Some(Part::Bytes(first, last, whole));
            (head, slice(body, first, last))
        }
        None => {
            let part = Some(Part::Nothing(whole));
            let Head { date, serial, .. } = head;
            (Head { status: 416, date, serial, part, length: Some(0), ..Head::default() }, String::new())
        }
    }
}
