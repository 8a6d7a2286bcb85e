//! What the client's cache, and any cache on the way there, is told.

use std::time::Duration;

use http::header::{self, HeaderMap, HeaderValue};

use super::control::{CacheControl, FieldScope, MAX_DELTA_SECONDS};
use super::directive::{Directive, directives};
use super::rule::{CacheRule, Storing};
use super::stored::age_value;

/// Fields that are addressed to this edge and end here.
///
/// [RFC 9213 section 3](https://www.rfc-editor.org/rfc/rfc9213#section-3) leaves it to a CDN
/// whether it passes `CDN-Cache-Control` on.
const CONSUMED: [&str; 5] =
    ["selvedge-cdn-cache-control", "cdn-cache-control", "surrogate-control", "surrogate-key", "cache-tag"];

/// Rewrites the caching fields of a response for the client, and removes those that were for the edge.
///
/// `response` is what the client gets, `Age` included, hit or miss. Without
/// [`CacheRule::browser`], or where the origin says `no-store` or `no-cache`,
/// `Cache-Control` and `Expires` pass as they came. With it:
/// - `max-age` becomes the rule's lifetime plus `Age`, so that the browser may keep the response that long
///   from now on, however long it was stored here;
/// - `s-maxage` and `Expires` go;
/// - `private` stays, and comes where the response sets a cookie, where the rule forbids storing, and where
///   the request has `Authorization` and the response is not `public`; otherwise the response is `public`;
/// - every other directive stays.
///
/// DIFFERENCE: [RFC 9111 section 5.2](https://www.rfc-editor.org/rfc/rfc9111#section-5.2) has proxies pass
/// directives on. The edge is the origin owner's gateway and changes what the policy tells it to.
///
/// # Examples
/// ```
/// use http::HeaderMap;
/// use selvedge_core::cache::{client::tell_client, rule::CacheRule};
/// use std::time::Duration;
///
/// let rule = CacheRule { browser: Some(Duration::from_secs(600)), ..CacheRule::default() };
/// let mut response = HeaderMap::new();
/// response.insert("cache-control", "s-maxage=3600, immutable".parse().unwrap());
/// tell_client(&mut response, &HeaderMap::new(), &rule);
/// assert_eq!(response["cache-control"], "public, max-age=600, immutable");
/// ```
pub fn tell_client(response: &mut HeaderMap, request: &HeaderMap, rule: &CacheRule) {
    remove_consumed(response);
    let Some(browser) = rule.browser else { return };
    let control = CacheControl::parse(response);
    if control.no_store || control.no_cache != FieldScope::Absent {
        return;
    }
    let audience = audience(response, request, rule, &control);
    let lifetime = max_age(browser, response);
    rewrite(response, &[audience, &lifetime], &["public", "private", "max-age", "s-maxage"]);
    response.remove(header::EXPIRES);
}

/// Marks a response as one client's own, as it must be once the edge adds a cookie to a shared one.
///
/// `public` and `s-maxage` go, `private` comes, and no field for other caches is left.
/// Never loosens: `no-store` and a shorter lifetime stay.
pub fn make_private(response: &mut HeaderMap) {
    remove_consumed(response);
    rewrite(response, &["private"], &["public", "private", "s-maxage"]);
}

fn remove_consumed(response: &mut HeaderMap) {
    // Most responses have none: to see that costs less than to ask for each.
    if response.keys().any(|name| CONSUMED.contains(&name.as_str())) {
        CONSUMED.iter().for_each(|name| drop(response.remove(*name)));
    }
}

fn audience(
    response: &HeaderMap,
    request: &HeaderMap,
    rule: &CacheRule,
    control: &CacheControl,
) -> &'static str {
    let is_private = control.private != FieldScope::Absent
        || rule.store == Storing::Never
        || response.contains_key(header::SET_COOKIE)
        || (request.contains_key(header::AUTHORIZATION) && !control.public);
    if is_private { "private" } else { "public" }
}

fn max_age(browser: Duration, response: &HeaderMap) -> String {
    let lifetime = browser.saturating_add(age_value(response)).as_secs();
    format!("max-age={}", lifetime.min(MAX_DELTA_SECONDS))
}

/// Writes one `Cache-Control` line: `first`, then the directives that are there but for the `replaced` ones.
fn rewrite(response: &mut HeaderMap, first: &[&str], replaced: &[&str]) {
    let mut line = first.join(", ").into_bytes();
    let is_kept = |directive: &Directive<'_>| !replaced.iter().any(|name| directive.is(name));
    for directive in directives(response, &header::CACHE_CONTROL).filter(is_kept) {
        line.extend_from_slice(b", ");
        line.extend_from_slice(directive.raw);
    }
    let value = HeaderValue::from_bytes(&line).expect("pieces of field values make a field value");
    response.insert(header::CACHE_CONTROL, value);
}

#[cfg(test)]
mod tests;
