//! Sequences of steps, as strategies that shrink.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::Millis;
use crate::message::{
    AgeField, Ask, Condition, Directive, Method, Page, RangeAsk, Route, Tag, Validator, Vary, Wish,
};
use crate::origin::{Change, Conditions, Outage, Spec};

/// A sequence and what it runs on.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whether the host lets requests wait for one another.
    pub collapses: bool,
    /// Whether bodies stay with the host.
    pub has_handles: bool,
    /// What happens.
    pub steps: Vec<Step>,
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub enum Step {
    /// A client asks; perhaps something is purged while the answer is on its way.
    Ask(Box<Ask>, Option<Order>),
    /// Time passes.
    Wait(Millis),
    /// The origin answers otherwise from now on.
    Spec(Page, Box<Spec>),
    /// A page changes.
    Change(Page),
    /// The origin fails, or works again.
    Outage(Option<Outage>),
    /// The operator purges.
    Purge(Order),
}

/// A purge.
#[derive(Clone, Debug)]
pub struct Order {
    /// Of what.
    pub aim: Aim,
    /// Whether it makes stale only.
    pub is_soft: bool,
}

/// What a purge is about.
#[derive(Clone, Copy, Debug)]
pub enum Aim {
    /// A page.
    Page(Page),
    /// All pages of a route.
    Route(Route),
    /// A surrogate tag.
    Tag(u8),
    /// A cache group.
    Group(u8),
    /// Everything.
    Everything,
}

/// How often what a plan is about happens.
#[derive(Clone, Copy, Debug)]
struct Odds {
    /// That a client wants a part.
    range: f64,
    /// That it wants it of one response alone.
    if_range: f64,
    /// That the origin has parts.
    parts: f64,
    /// That a response has a tag, and that the tag is weak.
    tag: f64,
    weak: f64,
}

/// Of everything something.
const ANYTHING: Odds = Odds { range: 0.25, if_range: 0.25, parts: 0.7, tag: 0.6, weak: 0.3 };
/// Parts that can be put together.
const PARTS: Odds = Odds { range: 0.95, if_range: 0.05, parts: 0.95, tag: 0.95, weak: 0.05 };

/// Plans of at most `most` steps, about the pages of one route.
pub fn plans(most: usize) -> impl Strategy<Value = Plan> {
    let route = prop_oneof![Just(Route::Plain), Just(Route::Ruled), Just(Route::Obey), Just(Route::Guess)];
    let odds = prop_oneof![3 => Just(ANYTHING), 1 => Just(PARTS)];
    let steps = (route, odds).prop_flat_map(move |(route, odds)| {
        let first =
            (page(route), spec(route, odds)).prop_map(|(page, spec)| Step::Spec(page, Box::new(spec)));
        (first, vec(step(route, odds), 1..most)).prop_map(|(first, rest)| [vec![first], rest].concat())
    });
    (any::<bool>(), any::<bool>(), steps).prop_map(|(collapses, has_handles, steps)| Plan {
        collapses,
        has_handles,
        steps,
    })
}

fn step(route: Route, odds: Odds) -> impl Strategy<Value = Step> {
    let during = option::weighted(0.06, order(route));
    let wait = prop_oneof![
        4 => (0..4_u64).prop_map(|seconds| seconds * 1000),
        6 => (1..14_u64).prop_map(|steps| steps * 5000 - 1),
        2 => 0..90_000_u64,
        1 => Just(86_400_000_u64),
    ];
    prop_oneof![
        12 => (ask(route, odds), during).prop_map(|(ask, during)| Step::Ask(Box::new(ask), during)),
        6 => wait.prop_map(Step::Wait),
        4 => (page(route), spec(route, odds)).prop_map(|(page, spec)| Step::Spec(page, Box::new(spec))),
        2 => page(route).prop_map(Step::Change),
        2 => option::weighted(0.6, outage()).prop_map(Step::Outage),
        1 => order(route).prop_map(Step::Purge),
    ]
}

fn page(route: Route) -> impl Strategy<Value = Page> {
    prop_oneof![4 => Just(0_u8), 1 => Just(1)].prop_map(move |number| Page { route, number })
}

fn order(route: Route) -> impl Strategy<Value = Order> {
    let aim = prop_oneof![
        page(route).prop_map(Aim::Page),
        Just(Aim::Route(route)),
        (0..2_u8).prop_map(Aim::Tag),
        (0..2_u8).prop_map(Aim::Group),
        Just(Aim::Everything),
    ];
    (aim, any::<bool>()).prop_map(|(aim, is_soft)| Order { aim, is_soft })
}

fn outage() -> impl Strategy<Value = Outage> {
    prop_oneof![
        Just(Outage::Status(500)),
        Just(Outage::Status(503)),
        Just(Outage::Disconnect),
        Just(Outage::Timeout)
    ]
}

fn tag() -> impl Strategy<Value = Tag> {
    (0..3_u32, prop::bool::weighted(0.3)).prop_map(|(version, is_weak)| Tag { version, status: 200, is_weak })
}

fn ask(route: Route, odds: Odds) -> impl Strategy<Value = Ask> {
    let method = prop_oneof![
        30 => Just(Method::Get),
        5 => Just(Method::Head),
        2 => Just(Method::Post),
        1 => Just(Method::Put),
        1 => Just(Method::Delete),
    ];
    let condition = prop_oneof![
        16 => Just(Condition::Absent),
        3 => vec(tag(), 1..3).prop_map(Condition::Tags),
        1 => Just(Condition::AnyTag),
        2 => (0..3_u32).prop_map(Condition::Since),
        1 => Just(Condition::Match),
    ];
    let who = (option::of(0..2_u8), option::weighted(0.3, 0..2_u8), flag(0.04), flag(0.08));
    let wishes = prop_oneof![6 => Just(Vec::new()), 3 => vec(wish(), 1..3)];
    (page(route), method, who, condition, range(odds), (wishes, flag(0.03))).prop_map(
        |(page, method, who, condition, (range, if_range), (control, is_pragma))| {
            let (language, origin, is_odd, is_authorized) = who;
            let range = range.filter(|_| method == Method::Get);
            let if_range = if_range.filter(|_| range.is_some());
            Ask {
                page,
                method,
                language,
                origin,
                is_odd,
                is_authorized,
                condition,
                range,
                if_range,
                control,
                is_pragma,
            }
        },
    )
}

fn flag(probability: f64) -> impl Strategy<Value = bool> {
    prop::bool::weighted(probability)
}

fn range(odds: Odds) -> impl Strategy<Value = (Option<RangeAsk>, Option<Validator>)> {
    let range = prop_oneof![
        4 => (0..30_u64, option::of(0..8_u64)).prop_map(|(first, more)| RangeAsk::From(first, more.map(|m| first + m))),
        // Parts that touch, as clients ask for one after the other.
        6 => (0..4_u64).prop_map(|part| RangeAsk::From(part * 5, Some(part * 5 + 4))),
        2 => (0..30_u64).prop_map(RangeAsk::Suffix),
        1 => Just(RangeAsk::Several),
    ];
    let if_range = prop_oneof![tag().prop_map(Validator::Tag), (0..3_u32).prop_map(Validator::Modified)];
    (option::weighted(odds.range, range), option::weighted(odds.if_range, if_range))
}

fn wish() -> impl Strategy<Value = Wish> {
    prop_oneof![
        2 => Just(Wish::NoCache),
        1 => Just(Wish::NoStore),
        2 => (0..40_u64).prop_map(Wish::MaxAge),
        2 => (0..40_u64).prop_map(Wish::MinFresh),
        2 => option::of(0..60_u64).prop_map(Wish::MaxStale),
        1 => Just(Wish::OnlyIfCached),
    ]
}

fn directive() -> impl Strategy<Value = Directive> {
    prop_oneof![
        12 => seconds().prop_map(Directive::MaxAge),
        3 => seconds().prop_map(Directive::SMaxAge),
        4 => seconds().prop_map(Directive::StaleWhileRevalidate),
        4 => seconds().prop_map(Directive::StaleIfError),
        1 => Just(Directive::NoStore),
        2 => Just(Directive::NoCache),
        1 => Just(Directive::NoCacheNote),
        1 => Just(Directive::Private),
        1 => Just(Directive::PrivateCookie),
        2 => Just(Directive::Public),
        2 => Just(Directive::MustRevalidate),
        1 => Just(Directive::ProxyRevalidate),
        1 => Just(Directive::MustUnderstand),
    ]
}

fn seconds() -> impl Strategy<Value = u64> {
    (0..12_u64).prop_map(|steps| steps * 5)
}

fn spec(route: Route, odds: Odds) -> impl Strategy<Value = Spec> {
    let status = prop_oneof![
        20 => Just(200_u16),
        1 => Just(301),
        1 => Just(302),
        2 => Just(404),
        1 => Just(418),
        1 => Just(503),
    ];
    let lifetime = (
        vec(directive(), 0..4),
        prop_oneof![6 => Just(Vec::new()), 1 => vec(plain_directive(), 1..3)],
        option::weighted(0.08, seconds()),
        option::weighted(0.15, option::weighted(0.9, seconds())),
    );
    let time =
        (option::weighted(0.9, prop_oneof![4 => Just(0), 1 => 0..20_u64]), option::weighted(0.15, age()));
    let validators = (option::weighted(odds.tag, flag(odds.weak)), flag(0.5));
    let about = (vary(), flag(0.06), vec(0..2_u8, 0..2), vec(0..2_u8, 0..2));
    let delay = prop_oneof![4 => Just(0_u64), 1 => Just(1000), 1 => 1..3000_u64];
    let conditions = prop_oneof![
        6 => Just(Conditions::Honest),
        1 => Just(Conditions::Ignored),
        1 => Just(Conditions::Lying),
    ];
    let manner = (delay, conditions, flag(odds.parts), change(route));
    (status, lifetime, time, validators, about, manner).prop_map(
        |(status, lifetime, (date, age), (tag, is_dated), about, manner)| {
            let (control, cdn, surrogate, expires) = lifetime;
            let (vary, cookie, tags, groups) = about;
            let (delay, conditions, has_ranges, change) = manner;
            Spec {
                status,
                control,
                cdn,
                surrogate,
                expires,
                date,
                age,
                tag,
                is_dated,
                vary,
                cookie,
                tags,
                groups,
                delay,
                conditions,
                has_ranges,
                change,
            }
        },
    )
}

/// A directive that a structured field can say too, each kind at most once by its weight.
fn plain_directive() -> impl Strategy<Value = Directive> {
    prop_oneof![
        4 => seconds().prop_map(Directive::MaxAge),
        1 => Just(Directive::NoStore),
        1 => Just(Directive::NoCache),
        1 => Just(Directive::MustRevalidate),
        1 => Just(Directive::StaleWhileRevalidate(20)),
        1 => Just(Directive::StaleIfError(30)),
    ]
}

fn age() -> impl Strategy<Value = AgeField> {
    prop_oneof![6 => (0..20_u64).prop_map(AgeField::Of), 1 => Just(AgeField::Unreadable)]
}

fn vary() -> impl Strategy<Value = Vary> {
    (flag(0.3), flag(0.12), flag(0.03)).prop_map(|(language, origin, star)| Vary { language, origin, star })
}

fn change(route: Route) -> impl Strategy<Value = Change> {
    let status = prop_oneof![4 => Just(200_u16), 1 => Just(204), 1 => Just(303), 1 => Just(404)];
    let named = || option::weighted(0.3, page(route));
    (status, named(), named(), vec(0..2_u8, 0..2)).prop_map(|(status, location, content_location, groups)| {
        Change { status, location, content_location, groups }
    })
}
