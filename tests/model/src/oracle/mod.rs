//! A shared cache, written down as plainly as can be.
//!
//! It remembers heads as data and every purge there was, and works each question out anew.

mod parts;
mod rules;
mod shelf;

use std::collections::BTreeMap;

use selvedge_core::effect::FetchError;

use crate::edge::{Seen, fields};
use crate::message::{
    AgeField, Ask, Condition, Directive, Head, Method, Page, Part, RangeAsk, Route, Tag, Validator, Wish,
};
use crate::origin::{Asked, Origin, Reply};
use crate::plan::{Aim, Order};
use crate::{Millis, START};
use rules::{Arrival, may_store};
use shelf::{Entry, Shelf};

/// The oracle: the cache, and its own copy of the origin behind it.
#[derive(Clone, Debug)]
pub struct Oracle {
    /// The origin.
    pub origin: Origin,
    /// The clock.
    pub now: Millis,
    /// What the origin was asked since it was last looked at.
    pub asked: Vec<Asked>,
    /// What is purged while the next answer is on its way.
    pub during: Option<Order>,
    purges: Vec<(Order, Millis)>,
    invalidated: Vec<(Page, Millis)>,
    wholes: BTreeMap<Page, Shelf>,
    parts: BTreeMap<Page, Shelf>,
}

/// A stored response that was found, as it is at this moment.
#[derive(Clone, Debug)]
struct Found {
    entry: Entry,
    is_part: bool,
}

/// What a stored response is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// It answers, and is fresh for so long or (below zero) has been stale for so long.
    Answers(i64),
    /// It answers and is fetched anew.
    Revalidates(i64),
    /// It is stale.
    Stale,
    /// The client does not want it.
    Unwanted,
}

/// An answer before it is written.
#[derive(Clone, Debug)]
struct Answer {
    head: Head,
    body: String,
}

impl Answer {
    fn plain(status: u16, body: &str) -> Self {
        let control = Some(vec![Directive::NoStore]);
        Self { head: Head { status, control, ..Head::default() }, body: body.to_owned() }
    }
}

impl Oracle {
    /// An empty cache.
    #[must_use]
    pub fn new() -> Self {
        Self {
            origin: Origin::default(),
            now: START,
            asked: Vec::new(),
            during: None,
            purges: Vec::new(),
            invalidated: Vec::new(),
            wholes: BTreeMap::new(),
            parts: BTreeMap::new(),
        }
    }

    /// Notes a purge.
    pub fn purge(&mut self, order: &Order) {
        self.purges.push((order.clone(), self.now));
    }

    /// Says what a client sees.
    pub fn answer(&mut self, ask: &Ask) -> Seen {
        let (answer, cache) = if ask.method.is_safe() && ask.condition != Condition::Match {
            self.cached(ask)
        } else {
            (self.passed_on(ask), "fwd=bypass".to_owned())
        };
        let is_head = ask.method == Method::Head;
        Seen {
            status: answer.head.status,
            fields: fields(&answer.head.headers()),
            body: if is_head { String::new() } else { answer.body },
            cache,
        }
    }

    fn passed_on(&mut self, ask: &Ask) -> Answer {
        let answer = match self.fetch(&own_question(ask, ask.method)) {
            Ok((head, body)) => Answer { head, body },
            Err(error) => return failed(error),
        };
        let head = &answer.head;
        if !ask.method.is_safe() && (200..400).contains(&head.status) {
            let named = [Some(ask.page), head.location, head.content_location];
            for page in named.into_iter().flatten() {
                self.invalidated.push((page, self.now));
                self.wholes.remove(&page);
            }
            for group in head.invalidates.clone() {
                self.purges.push((Order { aim: Aim::Group(group), is_soft: false }, self.now));
            }
            self.store_answered(ask, &answer);
        }
        answer
    }

    /// RFC 9110 section 9.3.3: what a `POST` with its own URL as `Content-Location` brings is what a `GET` would bring, if the origin
    /// itself says for how long.
    fn store_answered(&mut self, ask: &Ask, answer: &Answer) {
        let head = &answer.head;
        if ask.method != Method::Post || head.status != 200 || head.content_location != Some(ask.page) {
            return;
        }
        // It is newer than what its own request invalidates.
        let arrival = Arrival { sent: self.now + 1, arrived: self.now, method: Method::Get };
        if let Some(entry) = may_store(ask, head, arrival).filter(|entry| entry.is_by_origin) {
            self.keep(ask, Entry { body: answer.body.clone(), ..entry });
        }
    }

    fn cached(&mut self, ask: &Ask) -> (Answer, String) {
        let (why, stale) = match self.find(ask) {
            None => ("miss", None),
            Some(found) => {
                let use_of = self.use_of(ask, &found.entry);
                let why = match use_of {
                    Use::Unwanted => "request",
                    Use::Stale => "stale",
                    Use::Answers(ttl) | Use::Revalidates(ttl) => match self.serve(ask, &found.entry) {
                        Some(answer) => {
                            if matches!(use_of, Use::Revalidates(_)) {
                                self.revalidate(ask, &found);
                            }
                            return (answer, format!("hit;ttl={ttl}"));
                        }
                        None => "partial",
                    },
                };
                (why, Some(found))
            }
        };
        let forward = format!("fwd={why}");
        if ask.control.contains(&Wish::OnlyIfCached) {
            return (Answer::plain(504, "Not in the cache"), forward);
        }
        let (answer, is_stored) = self.miss(ask, stale);
        (answer, if is_stored { format!("{forward};stored") } else { forward })
    }

    /// The stored response that a request selects.
    fn find(&self, ask: &Ask) -> Option<Found> {
        let whole = self.find_in(&self.wholes, ask, false);
        let is_usable =
            |found: &Found| matches!(self.use_of(ask, &found.entry), Use::Answers(_) | Use::Revalidates(_));
        if ask.range.is_none() || whole.as_ref().is_some_and(is_usable) {
            return whole;
        }
        self.find_in(&self.parts, ask, true).filter(is_usable).or(whole)
    }

    fn find_in(&self, shelves: &BTreeMap<Page, Shelf>, ask: &Ask, is_part: bool) -> Option<Found> {
        let mut entry = shelves.get(&ask.page)?.get(ask).filter(|entry| self.now < entry.keep_until)?.clone();
        match self.standing(ask.page, &entry) {
            Some(Millis::MAX) => return None,
            Some(time) => entry.fresh = entry.fresh.min(entry.age(time)),
            None => {}
        }
        entry.is_selected_by(ask).then_some(Found { entry, is_part })
    }

    /// When a response was made stale; `MAX` for one that is gone.
    fn standing(&self, page: Page, entry: &Entry) -> Option<Millis> {
        let concerns = |(order, time): &&(Order, Millis)| {
            let is_meant = match order.aim {
                Aim::Page(purged) => purged == page,
                Aim::Route(route) => route == page.route,
                Aim::Tag(tag) => entry.head.tags.iter().flatten().any(|own| *own == tag),
                Aim::Group(group) => entry.head.groups.iter().flatten().any(|own| *own == group),
                Aim::Everything => true,
            };
            is_meant && entry.sent <= *time
        };
        let of_page = self.invalidated.iter().any(|(purged, time)| *purged == page && entry.sent <= *time);
        let orders = self.purges.iter().filter(concerns);
        let times = orders.map(|(order, time)| if order.is_soft { *time } else { Millis::MAX });
        times.chain(of_page.then_some(Millis::MAX)).max()
    }

    fn use_of(&self, ask: &Ask, entry: &Entry) -> Use {
        let age = entry.age(self.now);
        let stale_for = age.saturating_sub(entry.fresh);
        let decided = if age < entry.fresh {
            Use::Answers(whole_seconds(entry.fresh - age))
        } else if stale_for < entry.stale_while_revalidate {
            Use::Revalidates(-whole_seconds(stale_for))
        } else {
            Use::Stale
        };
        if ask.page.route == Route::Obey { wished(ask, entry, decided, age) } else { decided }
    }

    /// Asks the origin, about the stale response where that can be asked.
    fn miss(&mut self, ask: &Ask, stale: Option<Found>) -> (Answer, bool) {
        let subject = stale.clone().filter(|found| can_ask(ask, found));
        let is_whole = ask.method == Method::Get && ask.range.is_none() && ask.page.route == Route::Ruled;
        let question = match &subject {
            Some(found) => question_about(ask, ask.method, &found.entry.head),
            None if is_whole => unconditional(ask, ask.method),
            None => own_question(ask, ask.method),
        };
        let wants_part = ask.method == Method::Get && ask.range.is_some();
        let earlier = wants_part.then(|| self.find_in(&self.parts, ask, true)).flatten();
        let earlier = earlier.map(|found| found.entry);
        let sent = self.now;
        let (head, body) = match self.fetch(&question) {
            Ok((head, body)) if !matches!(head.status, 500 | 502..=504) => (head, body),
            failure => return self.failure(ask, stale.as_ref(), failure, sent),
        };
        if let Some(found) = &subject {
            if head.status == 304 {
                if confirms(&found.entry.head, &head) {
                    return (self.confirmed(ask, found, &head, sent), false);
                }
                return self.ask_again(ask, found);
            }
            if ask.method == Method::Head && head.status == 200 {
                if describes(&found.entry.head, &head) {
                    drop(self.freshen(ask, found, &head, sent));
                } else {
                    self.forget(ask, found);
                }
            }
        }
        let arrival = Arrival { sent, arrived: self.now, method: ask.method };
        let is_stored = match earlier.and_then(|earlier| parts::union(&earlier, ask, (&head, &body), arrival))
        {
            Some(both) => {
                self.keep(ask, both);
                true
            }
            None => self.replace(ask, stale.as_ref(), (&head, &body), sent, ask.method),
        };
        let mut answer = Answer { head, body };
        if (subject.is_some() || is_whole) && has_it(ask, &answer.head, self.now) {
            let age = answer.head.age;
            answer = Answer { head: Head { age, ..not_modified(&answer.head) }, body: String::new() };
        }
        (answer, is_stored)
    }

    /// A 304 about another response than was asked about: the whole is asked for.
    fn ask_again(&mut self, ask: &Ask, stale: &Found) -> (Answer, bool) {
        let sent = self.now;
        match self.fetch(&unconditional(ask, ask.method)) {
            Ok((head, body)) if !matches!(head.status, 500 | 502..=504) => {
                let is_stored = self.replace(ask, Some(stale), (&head, &body), sent, ask.method);
                (Answer { head, body }, is_stored)
            }
            failure => self.failure(ask, Some(stale), failure, sent),
        }
    }

    fn failure(&mut self, ask: &Ask, stale: Option<&Found>, failure: Reply, sent: Millis) -> (Answer, bool) {
        if let Some(found) = stale {
            let age = found.entry.age(self.now);
            let is_allowed = age < found.entry.fresh + found.entry.stale_if_error || age < found.entry.fresh;
            if is_allowed && let Some(answer) = self.serve(ask, &found.entry) {
                return (answer, false);
            }
        }
        match failure {
            Ok((head, body)) => {
                let is_stored = self.arrive(ask, &head, &body, sent, ask.method);
                (Answer { head, body }, is_stored)
            }
            Err(error) => (failed(error), false),
        }
    }

    /// The stored response with the fields of the 304, RFC 9111 sections 3.2 and 4.3.4, whether it may be kept so or not.
    fn confirmed(&mut self, ask: &Ask, found: &Found, head: &Head, sent: Millis) -> Answer {
        let entry = self.freshen(ask, found, head, sent);
        let mut answer = self.serve(ask, &entry).expect("a whole response answers");
        answer.head.cookie = head.cookie;
        answer
    }

    fn freshen(&mut self, ask: &Ask, found: &Found, confirming: &Head, sent: Millis) -> Entry {
        let head = rules::updated(&found.entry.head, confirming);
        let arrival = Arrival { sent, arrived: self.now, method: Method::Get };
        let body = found.entry.body.clone();
        match may_store(ask, &head, arrival) {
            Some(entry) => {
                let entry = Entry { body, ..entry };
                if let Some(shelf) = self.shelves(found.is_part).get_mut(&ask.page) {
                    shelf.replace(ask, entry.clone());
                }
                entry
            }
            None => {
                if rules::must_not_be_kept(ask, &head, arrival) {
                    self.forget(ask, found);
                }
                Entry { body, ..rules::unstored(ask, &head, arrival) }
            }
        }
    }

    fn revalidate(&mut self, ask: &Ask, found: &Found) {
        let ask = &Ask {
            method: Method::Get,
            range: None,
            if_range: None,
            condition: Condition::Absent,
            ..ask.clone()
        };
        let subject = can_ask(ask, found);
        let question = match subject {
            true => question_about(ask, Method::Get, &found.entry.head),
            false => unconditional(ask, Method::Get),
        };
        let sent = self.now;
        let Ok((head, body)) = self.fetch(&question) else { return };
        if matches!(head.status, 500 | 502..=504) {
            return;
        }
        if head.status == 304 {
            if subject
                && confirms(&found.entry.head, &head)
                && self.find_in(&self.wholes, ask, false).is_some()
            {
                drop(self.freshen(ask, found, &head, sent));
            }
            return;
        }
        self.replace(ask, Some(found), (&head, &body), sent, Method::Get);
    }

    /// A response comes in the place of a stale one, which does not outlive an origin that wants nothing kept.
    fn replace(
        &mut self,
        ask: &Ask,
        stale: Option<&Found>,
        new: (&Head, &str),
        sent: Millis,
        method: Method,
    ) -> bool {
        let (head, body) = new;
        let arrival = Arrival { sent, arrived: self.now, method };
        if let Some(found) = stale.filter(|_| (200..300).contains(&head.status))
            && rules::must_not_be_kept(ask, head, arrival)
        {
            self.forget(ask, found);
        }
        self.arrive(ask, head, body, sent, method)
    }

    fn forget(&mut self, ask: &Ask, found: &Found) {
        let shelf = self.shelves(found.is_part).get_mut(&ask.page);
        shelf.into_iter().for_each(|shelf| shelf.remove(ask));
    }

    fn arrive(&mut self, ask: &Ask, head: &Head, body: &str, sent: Millis, method: Method) -> bool {
        let arrival = Arrival { sent, arrived: self.now, method };
        let Some(entry) = may_store(ask, head, arrival) else { return false };
        self.keep(ask, Entry { body: body.to_owned(), ..entry });
        true
    }

    fn keep(&mut self, ask: &Ask, entry: Entry) {
        let shelves = self.shelves(entry.head.status == 206);
        shelves.entry(ask.page).or_default().put(ask, entry);
    }

    fn shelves(&mut self, is_part: bool) -> &mut BTreeMap<Page, Shelf> {
        if is_part { &mut self.parts } else { &mut self.wholes }
    }

    fn fetch(&mut self, question: &Asked) -> Reply {
        let (sent, delay) = (self.now, self.origin.delay(question.page));
        self.asked.push(question.clone());
        let reply = self.origin.reply(question, sent);
        if let Some(order) = self.during.take() {
            self.now = sent + delay / 2;
            self.purge(&order);
        }
        self.now = sent + delay;
        reply
    }

    /// What a stored response answers; `None` when it has not the part that is wanted.
    fn serve(&self, ask: &Ask, entry: &Entry) -> Option<Answer> {
        let age = Some(AgeField::Of((entry.age(self.now) / 1000).min(1 << 31)));
        if has_it(ask, &entry.head, entry.date) {
            return Some(Answer { head: Head { age, ..not_modified(&entry.head) }, body: String::new() });
        }
        let whole = Answer { head: Head { age, ..entry.head.clone() }, body: entry.body.clone() };
        let range = ask.range.filter(|range| *range != RangeAsk::Several && holds_if_range(ask, entry));
        match (range, entry.head.status, entry.head.part) {
            (Some(range), 200, _) => Some(parts::of_whole(whole, range)),
            (Some(range), 206, Some(Part::Bytes(first, last, complete))) => {
                parts::of_part(whole, range, (first, last), complete)
            }
            (_, 206, _) => None,
            _ => Some(whole),
        }
    }
}

impl Default for Oracle {
    fn default() -> Self {
        Self::new()
    }
}

fn whole_seconds(millis: Millis) -> i64 {
    i64::try_from(millis / 1000).unwrap_or(i64::MAX)
}

/// RFC 9111 section 5.2.1, where the policy lets the client's directives count.
fn wished(ask: &Ask, entry: &Entry, decided: Use, age: Millis) -> Use {
    if ask.control.is_empty() {
        return if ask.is_pragma { Use::Unwanted } else { decided };
    }
    let wishes = || ask.control.iter().copied();
    let max_age =
        wishes().filter_map(|wish| if let Wish::MaxAge(s) = wish { Some(s * 1000) } else { None }).min();
    let min_fresh =
        wishes().filter_map(|wish| if let Wish::MinFresh(s) = wish { Some(s * 1000) } else { None }).max();
    let max_stale = wishes()
        .filter_map(
            |wish| {
                if let Wish::MaxStale(s) = wish { Some(s.unwrap_or(1 << 31) * 1000) } else { None }
            },
        )
        .min();
    let is_fresh = age < entry.fresh;
    let stale_for = age.saturating_sub(entry.fresh);
    if ask.control.contains(&Wish::NoCache) || max_age.is_some_and(|most| age > most && max_stale.is_none()) {
        return Use::Unwanted;
    }
    if is_fresh && min_fresh.is_some_and(|least| entry.fresh - age < least) {
        return Use::Unwanted;
    }
    // Sections 5.2.1.1 and 5.2.1.3: who names an age or a freshness wishes nothing stale, unless it says so.
    let names_freshness = max_age.is_some() || min_fresh.is_some();
    if matches!(decided, Use::Revalidates(_)) && names_freshness && max_stale.is_none() {
        return Use::Unwanted;
    }
    let is_wanted_stale = max_stale.is_some_and(|most| stale_for <= most) && entry.may_be_stale;
    if decided == Use::Stale && is_wanted_stale { Use::Answers(-whole_seconds(stale_for)) } else { decided }
}

fn can_ask(ask: &Ask, found: &Found) -> bool {
    let head = &found.entry.head;
    // RFC 9110 section 13.2.1: conditions concern successful responses.
    matches!(head.status, 200..=205) && ask.range.is_none() && (head.tag.is_some() || head.modified.is_some())
}

fn question_about(ask: &Ask, method: Method, stored: &Head) -> Asked {
    Asked {
        if_none_match: stored.tag.map(Tag::text),
        if_modified_since: stored.modified.map(|version| Validator::Modified(version).text()),
        ..unconditional(ask, method)
    }
}

fn unconditional(ask: &Ask, method: Method) -> Asked {
    Asked {
        method,
        page: ask.page,
        if_none_match: None,
        if_modified_since: None,
        range: None,
        if_range: None,
    }
}

fn own_question(ask: &Ask, method: Method) -> Asked {
    Asked {
        if_none_match: ask.condition.if_none_match(),
        if_modified_since: ask.condition.if_modified_since(),
        range: ask.range.map(RangeAsk::text),
        if_range: ask.if_range.map(Validator::text),
        ..unconditional(ask, method)
    }
}

fn failed(error: FetchError) -> Answer {
    if error == FetchError::Timeout {
        Answer::plain(504, "Gateway timeout")
    } else {
        Answer::plain(502, "Bad gateway")
    }
}

/// RFC 9111 section 4.3.4: whether a 304 is about the response that was asked about.
fn confirms(stored: &Head, confirming: &Head) -> bool {
    match (stored.tag, confirming.tag) {
        (Some(old), Some(new)) => new.is_weakly(old),
        (None, Some(new)) if !new.is_weak => {
            confirming.modified.is_some() && stored.modified == confirming.modified
        }
        (Some(_), None) => true,
        (None, _) => match (stored.modified, confirming.modified) {
            (Some(old), Some(new)) => old == new,
            _ => true,
        },
    }
}

/// RFC 9111 section 4.3.5: whether a response to `HEAD` describes the stored response.
fn describes(stored: &Head, head: &Head) -> bool {
    let differs = |old: Option<u64>, new: Option<u64>| old.zip(new).is_some_and(|(old, new)| old != new);
    let tags = stored.tag.zip(head.tag).is_some_and(|(old, new)| old != new);
    let modified = stored.modified.zip(head.modified).is_some_and(|(old, new)| old != new);
    !tags && !modified && !differs(stored.length, head.length)
}

/// RFC 9110 section 13.2.2: whether the client has the response already. Without `Last-Modified` it is as old as `date`.
fn has_it(ask: &Ask, head: &Head, arrived: Millis) -> bool {
    if !(200..300).contains(&head.status) {
        return false;
    }
    match &ask.condition {
        Condition::AnyTag => true,
        Condition::Tags(tags) => head.tag.is_some_and(|tag| tags.iter().any(|listed| listed.is_weakly(tag))),
        Condition::Since(version) => {
            let since = crate::message::modified_at(*version) * 1000;
            let date = head.date.map_or(arrived, |second| second * 1000);
            head.modified.map_or(date, |own| crate::message::modified_at(own) * 1000) <= since
        }
        Condition::Absent | Condition::Match => false,
    }
}

/// RFC 9110 section 15.4.5: what a 304 says.
fn not_modified(head: &Head) -> Head {
    Head {
        status: 304,
        content_location: head.content_location,
        date: head.date,
        tag: head.tag,
        vary: head.vary,
        control: head.control.clone(),
        expires: head.expires,
        modified: head.modified.filter(|_| head.tag.is_none()),
        ..Head::default()
    }
}

/// RFC 9110 section 13.1.5: only a strong tag, or the very date where it is older than the response by a second.
fn holds_if_range(ask: &Ask, entry: &Entry) -> bool {
    match ask.if_range {
        None => true,
        Some(Validator::Tag(asked)) => entry.head.tag.is_some_and(|tag| tag.is_strongly(asked)),
        Some(Validator::Modified(version)) => entry.head.modified == Some(version),
    }
}
