//! How often one request can make a Worker ask something else.

use selvedge_core::backend::BackendId;
use selvedge_core::bot::rules::BotAction;
use selvedge_core::cache::rule::Storing;
use selvedge_core::policy::Policy;
use selvedge_core::route::{Action, BackendChoice, Route};

use super::{Finding, PerPlan};
use crate::cli::Plan;

/// The most [subrequests](https://developers.cloudflare.com/workers/platform/limits/#subrequests) of one request.
///
/// Fetches and [calls of the Cache API](https://developers.cloudflare.com/workers/platform/limits/#cache-api-limits)
/// share it. On the paid plan a Durable Object's does too; on the free plan those have 1,000 of their own. The paid
/// plan's number is what a Worker has without asking for more.
const SUBREQUESTS: PerPlan = PerPlan { free: 50, paid: 10_000 };

/// A lookup, and another one for the variant that a `Vary` selects.
const LOOKUPS: usize = 2;

/// What is stored, and the names of the headers that select it.
const PUTS: usize = 2;

/// The worst that one request can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Worst {
    fetches: usize,
    cache_calls: usize,
}

/// Names the routes of which one request can ask for more than the plan has.
///
/// What a handler itself asks for is code and not counted; the fallback behind it is.
pub(super) fn findings(policy: &Policy, plan: Option<Plan>) -> Vec<Finding> {
    let counted = policy.bots.rules.values().any(|action| matches!(action, BotAction::Limit(_)));
    let routes = policy.routes.iter().enumerate();
    routes.filter_map(|(at, route)| finding(at, worst(policy, route)?, usize::from(counted), plan)).collect()
}

fn finding(at: usize, worst: Worst, counts: usize, plan: Option<Plan>) -> Option<Finding> {
    let Worst { fetches, cache_calls } = worst;
    let asked = fetches + cache_calls;
    let beyond = PerPlan { free: asked, paid: asked + counts }.beyond(SUBREQUESTS, plan)?;
    let message = format!(
        "one request can make {} subrequests, {fetches} of them to backends and {cache_calls} to the cache: more than \
         the {} of the {} plan",
        beyond.needed, beyond.limit, beyond.plan
    );
    let help = format!("name fewer URLs in `url`, `failover` and `fallback.backend`{}", beyond.help);
    Some(Finding::new(beyond.severity, format!("routes[{at}]"), message, help))
}

fn worst(policy: &Policy, route: &Route) -> Option<Worst> {
    match &route.action {
        Action::Proxy { backend, .. } => {
            let uses_cache = route.cache.store == Storing::Store
                && (route.takes(&http::Method::GET) || route.takes(&http::Method::HEAD));
            let outcomes = orders(policy, backend).flat_map(|order| outcomes(policy, &order, uses_cache));
            outcomes.max_by_key(|worst| worst.fetches + worst.cache_calls)
        }
        Action::Handle(_) => {
            let fetches = policy.fallback.backend.map_or(0, |id| policy.backend(id).urls.len());
            Some(Worst { fetches, cache_calls: 0 })
        }
        Action::Redirect(_) | Action::Respond(_) => None,
    }
}

/// Every backend that a request of the route can be sent to at first, with those that follow when it fails; a variation's takes the
/// place of the route's.
fn orders(policy: &Policy, choice: &BackendChoice) -> impl Iterator<Item = Vec<BackendId>> {
    let variations = policy.experiments.iter().flat_map(|experiment| &experiment.variations);
    let by_variation = variations.filter_map(|variation| variation.backend).map(|id| (id, Vec::new()));
    let drawn = if choice.is_draw() { choice.backends() } else { Vec::new() };
    let by_route = choice.backends().into_iter().map(move |id| (id, drawn.clone()));
    by_route.chain(by_variation).map(|(first, drawn)| {
        let mut order = vec![first];
        let others = drawn.into_iter().chain(policy.backend(first).failover.iter().copied());
        for other in others {
            if !order.contains(&other) {
                order.push(other);
            }
        }
        order
    })
}

/// The two that ask for most: the last of the backends answers and that is stored, or all of them fail.
fn outcomes(policy: &Policy, order: &[BackendId], uses_cache: bool) -> [Worst; 2] {
    let urls = |id: BackendId| policy.backend(id).urls.len();
    let fetches: usize = order.iter().map(|id| urls(*id)).sum();
    let last = policy.fallback.backend.filter(|id| !order.contains(id)).map_or(0, urls);
    let (lookups, puts) = if uses_cache { (LOOKUPS, PUTS) } else { (0, 0) };
    [Worst { fetches, cache_calls: lookups + puts }, Worst { fetches: fetches + last, cache_calls: lookups }]
}
