//! Why an outcome is what it is: typed, stable, visible.

use serde::{Deserialize, Serialize};

use crate::effect::FetchError;
use crate::health::Refusal;
use crate::target::TargetRefusal;

/// Why the edge did what it did.
///
/// The codes of [`Reason::code`] are stable: dashboards and tests may rely on
/// them. A reason is shown in `Cache-Status`, by `selvedge explain` and in logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Reason {
    /// The request's target is not one that the edge will interpret.
    TargetRefused(TargetRefusal),
    /// The method is not among the policy's.
    MethodRefused,
    /// The URL is longer than the policy allows.
    UrlTooLong,
    /// The header section is larger than the policy allows.
    HeadersTooLarge,
    /// The body is longer than the policy allows.
    BodyTooLarge,
    /// The site is in maintenance.
    Maintenance,
    /// A rule of `[geo]` blocks the client's place.
    GeoBlocked,
    /// The client's place is unknown and `geo.unknown` blocks.
    GeoUnknownBlocked,
    /// A rule of `[geo]` allows the client's place.
    GeoAllowed,
    /// A rule of `[bots]` blocks the client's category.
    BotBlocked,
    /// The client's category has used up its requests.
    BotLimited,
    /// The client's category is tagged.
    BotTagged,
    /// The client's category is allowed.
    BotAllowed,
    /// The edge answered a CORS preflight.
    CorsPreflight,
    /// The edge refused a CORS preflight.
    CorsRefused,
    /// A route was chosen.
    RouteMatched,
    /// A route redirects.
    RouteRedirected,
    /// A route answers by itself.
    RouteResponded,
    /// No route matches.
    RouteNotFound,
    /// Routes match, but none with this method.
    RouteMethodNotAllowed,
    /// A redirect would have left the allowed hosts.
    RedirectRefused,
    /// A rewrite gave a path that the edge would refuse from a client.
    RewriteRefused,
    /// The visitor's bucket decided the variation.
    ExperimentAssigned,
    /// The visitor's cookie decided the variation.
    ExperimentSticky,
    /// A query parameter decided the variation.
    ExperimentForced,
    /// The experiment leaves bots out.
    ExperimentBotExcluded,
    /// The request is not what the experiment is for.
    ExperimentNotTargeted,
    /// The visitor is outside coverage or namespace.
    ExperimentNotIncluded,
    /// The request has nothing that identifies the visitor.
    ExperimentNoIdentity,
    /// A handler answered.
    HandlerResponded,
    /// A handler returned an error.
    HandlerFailed,
    /// A handler panicked.
    HandlerPanicked,
    /// A backend was chosen.
    BackendChosen,
    /// A backend answered.
    BackendResponded,
    /// A backend gave no response.
    BackendFailed(FetchError),
    /// A backend answered with a status that counts as failure.
    BackendErrorStatus,
    /// A backend was not asked.
    BackendRefused(Refusal),
    /// A fresh stored response answered.
    CacheHit,
    /// A stale stored response answered while it is revalidated.
    CacheStaleWhileRevalidate,
    /// A stale stored response answered because the client asked for one.
    CacheStaleWanted,
    /// A stored response answered, once the backend had confirmed that it still holds.
    CacheRevalidated,
    /// The cache has nothing for this request.
    CacheMiss,
    /// The stored response is too old.
    CacheStale,
    /// The request or its route does not use the cache.
    CacheBypass,
    /// The request wants a stored response or none, and there is none.
    OnlyIfCached,
    /// The response was stored.
    CacheStored,
    /// The response was not stored.
    CacheNotStored(crate::cache::store::NoStoreReason),
    /// A stale stored response answered because the backend failed.
    FallbackStale,
    /// The policy's fallback page answered because the backend failed.
    FallbackPage,
    /// The fallback backend was asked because the backend failed.
    FallbackBackend,
}

impl Reason {
    /// Returns the stable code, such as `geo.blocked`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::TargetRefused(refusal) => refusal.code(),
            Self::MethodRefused => "request.method-refused",
            Self::UrlTooLong => "request.url-too-long",
            Self::HeadersTooLarge => "request.headers-too-large",
            Self::BodyTooLarge => "request.body-too-large",
            Self::Maintenance => "maintenance",
            Self::GeoBlocked => "geo.blocked",
            Self::GeoUnknownBlocked => "geo.unknown-blocked",
            Self::GeoAllowed => "geo.allowed",
            Self::BotBlocked => "bot.blocked",
            Self::BotLimited => "bot.limited",
            Self::BotTagged => "bot.tagged",
            Self::BotAllowed => "bot.allowed",
            Self::CorsPreflight => "cors.preflight",
            Self::CorsRefused => "cors.refused",
            Self::RouteMatched => "route.matched",
            Self::RouteRedirected => "route.redirected",
            Self::RouteResponded => "route.responded",
            Self::RouteNotFound => "route.not-found",
            Self::RouteMethodNotAllowed => "route.method-not-allowed",
            Self::RedirectRefused => "route.redirect-refused",
            Self::RewriteRefused => "route.rewrite-refused",
            Self::ExperimentAssigned => "experiment.assigned",
            Self::ExperimentSticky => "experiment.sticky",
            Self::ExperimentForced => "experiment.forced",
            Self::ExperimentBotExcluded => "experiment.bot-excluded",
            Self::ExperimentNotTargeted => "experiment.not-targeted",
            Self::ExperimentNotIncluded => "experiment.not-included",
            Self::ExperimentNoIdentity => "experiment.no-identity",
            Self::HandlerResponded => "handler.responded",
            Self::HandlerFailed => "handler.failed",
            Self::HandlerPanicked => "handler.panicked",
            Self::BackendChosen => "backend.chosen",
            Self::BackendResponded => "backend.responded",
            Self::BackendFailed(error) => code_of(error),
            Self::BackendErrorStatus => "backend.error-status",
            Self::BackendRefused(refusal) => refusal.code(),
            Self::CacheHit => "cache.hit",
            Self::CacheStaleWhileRevalidate => "cache.stale-while-revalidate",
            Self::CacheStaleWanted => "cache.stale-wanted",
            Self::CacheRevalidated => "cache.revalidated",
            Self::CacheMiss => "cache.miss",
            Self::CacheStale => "cache.stale",
            Self::CacheBypass => "cache.bypass",
            Self::OnlyIfCached => "cache.only-if-cached",
            Self::CacheStored => "cache.stored",
            Self::CacheNotStored(_) => "cache.not-stored",
            Self::FallbackStale => "fallback.stale",
            Self::FallbackPage => "fallback.page",
            Self::FallbackBackend => "fallback.backend",
        }
    }

    /// Whether a backend did not answer, or said that it cannot.
    pub(crate) const fn is_failure(self) -> bool {
        matches!(
            self,
            Self::BackendErrorStatus
                | Self::BackendRefused(_)
                | Self::BackendFailed(
                    FetchError::Connect | FetchError::Timeout | FetchError::Protocol | FetchError::Refused
                )
        )
    }
}

const fn code_of(error: FetchError) -> &'static str {
    match error {
        FetchError::Connect => "backend.connect",
        FetchError::Timeout => "backend.timeout",
        FetchError::Protocol => "backend.protocol",
        FetchError::BodyTooLarge => "request.body-too-large",
        FetchError::ClientBody => "request.body-broken",
        FetchError::ClientTimeout => "request.body-late",
        FetchError::Refused => "backend.refused",
    }
}

/// What came of one request, in short: for status pages, metrics and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Why the response is what it is.
    pub reason: Reason,
    /// What the cache had to do with it; `None` when the request never came that far.
    pub cache: Option<Reason>,
    /// The route that answered.
    pub route: Option<crate::route::RouteId>,
    /// The backend that answered, or failed last.
    pub backend: Option<crate::backend::BackendId>,
    /// The client's bot category.
    pub bot: Option<crate::bot::BotCategory>,
    /// The last reason for which a backend did not answer though something else did: another attempt, another URL or backend, a stale
    /// response or the fallback page.
    pub failed_over: Option<Reason>,
    /// How many requests to backends there were, those of handlers aside.
    pub attempts: u32,
}

impl Summary {
    /// Makes a summary that says no more than the reason.
    #[must_use]
    pub const fn of(reason: Reason) -> Self {
        Self { reason, cache: None, route: None, backend: None, bot: None, failed_over: None, attempts: 0 }
    }
}

/// One decision on the way, for `explain` and tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    /// What was decided.
    pub reason: Reason,
    /// Which part of the policy decided.
    pub rule: Rule,
}

/// A part of the policy, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rule {
    /// No part: the edge's own rules.
    BuiltIn,
    /// A rule of `geo.rules`; `None` for `geo.default` and `geo.unknown`.
    Geo(Option<usize>),
    /// A category in `bots.rules`.
    Bot(crate::bot::BotCategory),
    /// A route.
    Route(crate::route::RouteId),
    /// An experiment, and the place of the variation that the visitor is in.
    Experiment(crate::experiment::ExperimentId, Option<usize>),
    /// A backend.
    Backend(crate::backend::BackendId),
}

impl Rule {
    /// Writes the part of the policy as its path in `edge.toml`, with its name where it has one.
    #[must_use]
    pub fn describe(self, policy: &crate::policy::Policy) -> String {
        match self {
            Self::BuiltIn => String::new(),
            Self::Geo(Some(at)) => format!("geo.rules[{at}]"),
            Self::Geo(None) => "geo".to_owned(),
            Self::Bot(category) => format!("bots.rules.{}", category.as_str()),
            Self::Route(id) => format!("routes[{}] {}", id.0, policy.route(id).name),
            Self::Backend(id) => format!("backends.{}", policy.backend(id).name),
            Self::Experiment(id, variation) => {
                let experiment = policy.experiment(id);
                let variation = variation.map(|at| format!(" = {}", experiment.variations[at].name));
                format!("experiments.{}{}", experiment.name, variation.unwrap_or_default())
            }
        }
    }
}
