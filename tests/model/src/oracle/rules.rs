//! May a response be stored, and for how long is it good?

use super::shelf::{Entry, selecting};
use crate::Millis;
use crate::message::{AgeField, Ask, Directive, Expiry, Head, Method, Route, Wish, modified_at};

/// How a response came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) sent: Millis,
    pub(super) arrived: Millis,
    /// The method of its request.
    pub(super) method: Method,
}

const SECOND: Millis = 1000;
const DAY: Millis = 24 * 60 * 60 * SECOND;
/// What an `Age` that cannot be read counts as.
const UNKNOWN_AGE: Millis = (1 << 31) * SECOND;

/// The origin's directives for this cache.
#[derive(Debug, Default)]
struct Control {
    max_age: Option<u64>,
    s_maxage: Option<u64>,
    stale_while_revalidate: Option<u64>,
    stale_if_error: Option<u64>,
    seen: Vec<Directive>,
    is_targeted: bool,
}

impl Control {
    /// RFC 9213 section 2.2: a targeted field stands in place of `Cache-Control`.
    fn of(head: &Head) -> Self {
        match (&head.cdn, &head.control) {
            // RFC 9651 section 4.2.2: of members with the same key the last one counts.
            (Some(targeted), _) => {
                let read = targeted.iter().fold(Self::default(), |all, one| all.with(*one, |_, new| new));
                Self { is_targeted: true, ..read }
            }
            // RFC 9111 section 4.2.1: the most restrictive one may count, and does here.
            (None, Some(control)) => control.iter().fold(Self::default(), |all, one| {
                all.with(*one, |old, new| old.map_or(new, |old| new.min(old)))
            }),
            (None, None) => Self::default(),
        }
    }

    fn with(mut self, directive: Directive, choose: fn(Option<u64>, u64) -> u64) -> Self {
        let slot = match directive {
            Directive::MaxAge(seconds) => Some((&mut self.max_age, seconds)),
            Directive::SMaxAge(seconds) => Some((&mut self.s_maxage, seconds)),
            Directive::StaleWhileRevalidate(seconds) => Some((&mut self.stale_while_revalidate, seconds)),
            Directive::StaleIfError(seconds) => Some((&mut self.stale_if_error, seconds)),
            Directive::NoStore
            | Directive::NoCache
            | Directive::NoCacheNote
            | Directive::Private
            | Directive::PrivateCookie
            | Directive::Public
            | Directive::MustRevalidate
            | Directive::ProxyRevalidate
            | Directive::MustUnderstand => None,
        };
        if let Some((slot, seconds)) = slot {
            *slot = Some(choose(slot.map(|old| old), seconds));
        }
        self.seen.push(directive);
        self
    }

    fn has(&self, directive: Directive) -> bool {
        self.seen.contains(&directive)
    }

    /// RFC 9111 section 4.2.4; `s-maxage` implies `proxy-revalidate`, section 5.2.2.10.
    fn forbids_stale(&self) -> bool {
        self.has(Directive::MustRevalidate)
            || self.has(Directive::ProxyRevalidate)
            || self.has(Directive::NoCache)
            || self.s_maxage.is_some()
    }
}

/// Lifetimes, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Lifetimes {
    fresh: Millis,
    stale_while_revalidate: Millis,
    stale_if_error: Millis,
    is_by_origin: bool,
}

/// Makes the stored form of a response that may be stored, RFC 9111 section 3. Its body is the caller's.
pub(super) fn may_store(ask: &Ask, head: &Head, arrival: Arrival) -> Option<Entry> {
    let control = Control::of(head);
    let has_validator = head.tag.is_some() || head.modified.is_some();
    let is_allowed = control.has(Directive::Public)
        || control.has(Directive::MustRevalidate)
        || control.s_maxage.is_some();
    let vary = head.vary.unwrap_or_default();
    let may = is_considered(ask, head, &control, arrival)
        && !is_forbidden(head, &control)
        && (!control.has(Directive::NoCache) || has_validator)
        && (!ask.is_authorized || is_allowed)
        && (!head.cookie || control.has(Directive::PrivateCookie))
        && !vary.star
        // Nothing tells apart what such a header may have changed.
        && !ask.is_odd;
    let lifetimes = lifetimes(ask.page.route, head, &control, arrival.arrived).filter(|_| may)?;
    let useful = lifetimes.fresh + lifetimes.stale_while_revalidate.max(lifetimes.stale_if_error);
    let entry = stored(ask, head, arrival, &control, lifetimes);
    ((useful > 0 || has_validator) && entry.keep_until > arrival.arrived).then_some(entry)
}

/// Whether the origin wants a response that could be stored kept by nobody, or by its client alone.
pub(super) fn must_not_be_kept(ask: &Ask, head: &Head, arrival: Arrival) -> bool {
    let control = Control::of(head);
    is_considered(ask, head, &control, arrival) && is_forbidden(head, &control)
}

fn is_considered(ask: &Ask, head: &Head, control: &Control, arrival: Arrival) -> bool {
    let has_status = match head.status {
        304 | 412 | 416 => false,
        status => is_understood(status) || !control.has(Directive::MustUnderstand),
    };
    arrival.method == Method::Get && !ask.control.contains(&Wish::NoStore) && has_status
}

/// RFC 9111 section 5.2.2.3: `must-understand` takes `no-store` back for caches that know the status.
fn is_forbidden(head: &Head, control: &Control) -> bool {
    let is_no_store = control.has(Directive::NoStore)
        && !(control.has(Directive::MustUnderstand) && is_understood(head.status));
    is_no_store || control.has(Directive::Private)
}

fn is_understood(status: u16) -> bool {
    matches!(status, 200 | 206 | 301 | 302 | 404 | 500 | 503)
}

/// The response as it answers when it must not be kept.
pub(super) fn unstored(ask: &Ask, head: &Head, arrival: Arrival) -> Entry {
    let lifetimes = Lifetimes { fresh: 0, stale_while_revalidate: 0, stale_if_error: 0, is_by_origin: false };
    stored(ask, head, arrival, &Control::of(head), lifetimes)
}

fn stored(ask: &Ask, head: &Head, arrival: Arrival, control: &Control, lifetimes: Lifetimes) -> Entry {
    let Arrival { sent, arrived, .. } = arrival;
    let age_on_arrival = age_on_arrival(head, arrival);
    let date = head.date.map_or(arrived, |second| second * SECOND);
    let useful = lifetimes.fresh + lifetimes.stale_while_revalidate.max(lifetimes.stale_if_error);
    let has_validator = head.tag.is_some() || head.modified.is_some();
    let keep = useful.saturating_sub(age_on_arrival) + if has_validator { DAY } else { 0 };
    let mut head = head.clone();
    // RFC 9110 section 6.6.1.
    head.date.get_or_insert(arrived / SECOND);
    head.age = None;
    head.cookie = false;
    if control.has(Directive::NoCacheNote) && !control.has(Directive::NoCache) {
        head.note = None;
    }
    Entry {
        selected_by: selecting(head.vary.unwrap_or_default(), ask),
        head,
        body: String::new(),
        sent,
        arrived,
        date,
        age_on_arrival,
        fresh: lifetimes.fresh,
        stale_while_revalidate: lifetimes.stale_while_revalidate,
        stale_if_error: lifetimes.stale_if_error,
        may_be_stale: !control.forbids_stale(),
        is_by_origin: lifetimes.is_by_origin,
        keep_until: arrived + keep,
    }
}

/// RFC 9111 section 4.2.3: `corrected_initial_age`.
fn age_on_arrival(head: &Head, arrival: Arrival) -> Millis {
    let delay = arrival.arrived.saturating_sub(arrival.sent);
    let age = match head.age {
        Some(AgeField::Of(seconds)) => seconds * SECOND,
        Some(AgeField::Unreadable) => UNKNOWN_AGE,
        None => 0,
    };
    let apparent = head.date.map_or(0, |second| (arrival.arrived / SECOND).saturating_sub(second) * SECOND);
    apparent.max(age + delay)
}

/// The documented order: targeted field, `Surrogate-Control`, policy, `Cache-Control`, `Expires`, a guess.
fn lifetimes(route: Route, head: &Head, control: &Control, arrived: Millis) -> Option<Lifetimes> {
    let is_plain = matches!(head.status, 200 | 206 | 301);
    let (edge, windows) = match route {
        Route::Ruled if is_plain => (Some(30), [Some(20), Some(40)]),
        Route::Ruled if matches!(head.status, 404 | 500 | 503) => (Some(10), [None; 2]),
        Route::Ruled | Route::Plain | Route::Obey | Route::Guess => (None, [None; 2]),
    };
    let own_windows = [control.stale_while_revalidate, control.stale_if_error];
    let window = |at: usize| {
        let (first, second) =
            if control.is_targeted { (own_windows[at], windows[at]) } else { (windows[at], own_windows[at]) };
        if control.forbids_stale() { 0 } else { first.or(second).unwrap_or(0) * SECOND }
    };
    let own = control.s_maxage.or(control.max_age);
    let by_policy = edge.map(|seconds| (seconds * SECOND, false));
    let explicit = if control.has(Directive::NoCache) {
        Some((0, false))
    } else if control.is_targeted {
        own.map(|seconds| (seconds * SECOND, true)).or(by_policy)
    } else {
        (head.surrogate.map(|seconds| (seconds * SECOND, true)))
            .or(by_policy)
            .or(own.map(|seconds| (seconds * SECOND, true)))
            .or(expires(head, arrived).map(|lifetime| (lifetime, true)))
    };
    let guess = || {
        let may_guess = control.has(Directive::Public) || matches!(head.status, 200 | 206 | 301 | 404);
        let modified = head.modified.filter(|_| may_guess && route == Route::Guess)?;
        let date = head.date.map_or(arrived, |second| second * SECOND);
        Some((date.saturating_sub(modified_at(modified) * SECOND) / 10, false))
    };
    let (fresh, is_by_origin) = explicit.or_else(guess)?;
    Some(Lifetimes { fresh, stale_while_revalidate: window(0), stale_if_error: window(1), is_by_origin })
}

/// RFC 9111 section 5.3.
fn expires(head: &Head, arrived: Millis) -> Option<Millis> {
    let date = head.date.map_or(arrived, |second| second * SECOND);
    Some(match head.expires? {
        Expiry::At(second) => (second * SECOND).saturating_sub(date),
        Expiry::Unreadable => 0,
    })
}

/// RFC 9111 section 3.2: fields of the confirming response take the place of the stored ones, but for those about the stored bytes.
pub(super) fn updated(stored: &Head, confirming: &Head) -> Head {
    Head {
        status: stored.status,
        control: confirming.control.clone().or_else(|| stored.control.clone()),
        cdn: confirming.cdn.clone().or_else(|| stored.cdn.clone()),
        surrogate: confirming.surrogate.or(stored.surrogate),
        expires: confirming.expires.or(stored.expires),
        // RFC 9110 section 6.6.1: without one it is of the time of its arrival.
        date: confirming.date,
        age: confirming.age,
        tag: stored.tag,
        modified: confirming.modified.or(stored.modified),
        vary: confirming.vary.or(stored.vary),
        cookie: confirming.cookie,
        tags: confirming.tags.clone().or_else(|| stored.tags.clone()),
        groups: confirming.groups.clone().or_else(|| stored.groups.clone()),
        length: stored.length,
        part: stored.part,
        serial: confirming.serial.or(stored.serial),
        note: confirming.note.or(stored.note),
        location: stored.location,
        content_location: stored.content_location,
        invalidates: stored.invalidates.clone(),
    }
}
