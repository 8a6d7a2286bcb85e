//! Which paths CloudFront fails over.
//!
//! An [origin group](https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/high_availability_origin_failover.html)
//! fails over `GET`, `HEAD` and `OPTIONS`, and CloudFront takes no other method where one is in use. So a path gets
//! it by a cache behaviour of its own when no route wants another method there.

use std::borrow::Cow;

use selvedge_core::backend::BackendId;
use selvedge_core::policy::Policy;
use selvedge_core::route::{Action, PathPattern, Route, Segment};
use selvedge_core::target::{EncodedSlashes, normalise_path};

/// The most behaviours beside the default one: a distribution has
/// [75](https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-limits.html#limits-web-distributions).
pub const MAX_BEHAVIOURS: usize = 74;

/// Longest path pattern, in characters.
const MAX_PATTERN: usize = 255;

/// What characters a
/// [path pattern](https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/DownloadDistValuesCacheBehavior.html#DownloadDistValuesPathPattern)
/// can hold beside letters, digits and its wildcards; `&` needs an escape and is left out.
const PATTERN_CHARACTERS: &str = "_-.$/~\"'@:+";

/// How a policy wants paths treated, however many of them a distribution can have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Behaviours {
    /// Those beside the default one, which is [`Origins::Primary`], in the order in which CloudFront compares them.
    pub ordered: Vec<Behaviour>,
    /// Routes that want failover where CloudFront cannot give it: their places in the policy, in ascending order.
    pub without: Vec<usize>,
}

/// How CloudFront treats the paths of one pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// The pattern, from the first slash on: `*` stands for any characters, slashes too, and `?` for one.
    pub pattern: String,
    /// Where requests go, and which.
    pub origins: Origins,
}

/// Where a path's requests go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origins {
    /// To one origin, with any method.
    Primary,
    /// To the origin group, with the methods that CloudFront fails over.
    Group,
}

impl Origins {
    /// Returns the methods that CloudFront lets through; it refuses others by itself. These are two of the
    /// [three sets](https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_AllowedMethods.html) that it knows.
    #[must_use]
    pub const fn methods(self) -> &'static [&'static str] {
        match self {
            Self::Primary => &["GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE"],
            Self::Group => &["GET", "HEAD", "OPTIONS"],
        }
    }
}

impl Behaviours {
    /// Returns what a policy needs.
    #[must_use]
    pub fn of(policy: &Policy) -> Self {
        let (safe, others): (Vec<_>, Vec<_>) =
            policy.routes.iter().enumerate().partition(|(_, route)| is_safe(policy, route));
        let others: Vec<_> = others.into_iter().map(|(at, route)| (at, Glob::of(&route.path))).collect();
        let mut found = Self::default();
        let mut grouped = Vec::new();
        for (at, route) in safe.into_iter().filter(|(_, route)| fails_over(policy, route)) {
            let glob = Glob::of(&route.path);
            let shared: Vec<_> =
                others.iter().map(|(_, other)| other).filter(|other| other.meets(&glob)).collect();
            if !glob.is_exact || shared.iter().any(|other| !other.is_exact || other.covers(&glob)) {
                found.without.push(at);
                continue;
            }
            shared.into_iter().for_each(|other| found.add(other, Origins::Primary));
            grouped.push(glob);
        }
        grouped.iter().for_each(|glob| found.add(glob, Origins::Group));
        let unsafe_routes = others.iter().map(|(at, _)| *at);
        found.without.extend(unsafe_routes.filter(|at| fails_over(policy, &policy.routes[*at])));
        found.without.sort_unstable();
        found
    }

    fn add(&mut self, glob: &Glob, origins: Origins) {
        if self.ordered.iter().all(|behaviour| behaviour.pattern != glob.text) {
            self.ordered.push(Behaviour { pattern: glob.text.clone(), origins });
        }
    }
}

/// Returns where a request goes, by the path that the viewer sent: the first pattern that matches it decides.
///
/// What is no path, such as the target of `OPTIONS *`, is none of a pattern's. CloudFront [normalises](https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/DownloadDistValuesCacheBehavior.html#DownloadDistValuesPathPattern)
/// the path before, as RFC 3986 says, and takes repeated slashes for one.
pub(super) fn origins_of(behaviours: &[Behaviour], path: &str) -> Origins {
    if !path.starts_with('/') {
        return Origins::Primary;
    }
    let path = normal(path);
    let is_its = |behaviour: &&Behaviour| is_match(behaviour.pattern.as_bytes(), path.as_bytes());
    behaviours.iter().find(is_its).map_or(Origins::Primary, |behaviour| behaviour.origins)
}

/// The path without dot segments and empty ones. Escapes of a path that the edge refuses stay as they are.
fn normal(path: &str) -> String {
    let path = normalise_path(path, EncodedSlashes::Keep).unwrap_or(Cow::Borrowed(path));
    let mut segments: Vec<&str> = Vec::new();
    let mut is_open = false;
    for segment in path.split('/') {
        is_open = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            name => segments.push(name),
        }
    }
    let end = if is_open && !segments.is_empty() { "/" } else { "" };
    format!("/{}{end}", segments.join("/"))
}

/// Whether a pattern matches a path.
fn is_match(pattern: &[u8], path: &[u8]) -> bool {
    let (mut own, mut at) = (0, 0);
    // What follows the last `*`, and from where in the path it was tried: only the last one can need another try.
    let mut tried: Option<(usize, usize)> = None;
    while let Some(byte) = path.get(at) {
        match pattern.get(own) {
            Some(b'*') => {
                own += 1;
                tried = Some((own, at));
            }
            Some(expected) if *expected == b'?' || expected == byte => {
                own += 1;
                at += 1;
            }
            Some(_) | None => {
                let Some((after, from)) = tried else { return false };
                (own, at) = (after, from + 1);
                tried = Some((own, at));
            }
        }
    }
    pattern[own..].iter().all(|rest| *rest == b'*')
}

fn is_safe(policy: &Policy, route: &Route) -> bool {
    let methods = if route.methods.is_empty() { &policy.limits.methods } else { &route.methods };
    methods.iter().all(|method| Origins::Group.methods().contains(&method.as_str()))
}

/// Whether something else is asked when a backend fails.
fn fails_over(policy: &Policy, route: &Route) -> bool {
    let Action::Proxy { backend, .. } = &route.action else { return false };
    let has_more = |id: &BackendId| {
        let backend = policy.backend(*id);
        backend.urls.len() > 1 || !backend.failover.is_empty()
    };
    let variations = policy.experiments.iter().flat_map(|experiment| &experiment.variations);
    policy.fallback.page.is_some()
        || policy.fallback.backend.is_some()
        || backend.is_draw()
        || backend.backends().iter().any(has_more)
        || variations.filter_map(|variation| variation.backend).any(|id| has_more(&id))
}

/// A path pattern of CloudFront's; `*` stands for any characters, slashes too.
struct Glob {
    text: String,
    /// Whether CloudFront takes it as it is; else it is wider than the route.
    is_exact: bool,
}

impl Glob {
    fn of(path: &PathPattern) -> Self {
        let segment = |segment: &Segment| match segment {
            Segment::Literal(text) => text.clone(),
            Segment::Capture(_) | Segment::CatchAll(_) => "*".to_owned(),
        };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || PATTERN_CHARACTERS.contains(c);
        let has_odd = |segment: &Segment| match segment {
            Segment::Literal(text) => !text.chars().all(is_plain),
            Segment::Capture(_) | Segment::CatchAll(_) => false,
        };
        let segments = path.segments();
        let parts: Vec<_> = segments.iter().map(segment).collect();
        let text = format!("/{}", parts.join("/"));
        let is_exact = !segments.iter().any(has_odd) && text.len() <= MAX_PATTERN;
        let wide: String = text.chars().map(|c| if is_plain(c) || c == '*' { c } else { '*' }).collect();
        Self { text: wide, is_exact }
    }

    /// Whether every path of `other` is one of its own.
    fn covers(&self, other: &Self) -> bool {
        matches(self.text.as_bytes(), other.text.as_bytes(), false)
    }

    /// Whether there is a path of both.
    fn meets(&self, other: &Self) -> bool {
        // Most differ before any wildcard, and this is asked of every two routes whenever a function starts.
        let both = self.text.bytes().zip(other.text.bytes());
        let mut literal = both.take_while(|(own, others)| *own != b'*' && *others != b'*');
        literal.all(|(own, others)| own == others)
            && matches(self.text.as_bytes(), other.text.as_bytes(), true)
    }
}

/// Whether a pattern matches a text; a `*` in the text is any characters when `is_mutual`, else a character that only
/// a `*` matches.
fn matches(pattern: &[u8], text: &[u8], is_mutual: bool) -> bool {
    // `row[j]`: whether what is left of the pattern matches what is left of the text from `j` on.
    let mut row = vec![false; text.len() + 1];
    row[text.len()] = true;
    if is_mutual {
        (0..text.len()).rev().for_each(|j| row[j] = text[j] == b'*' && row[j + 1]);
    }
    for own in pattern.iter().rev() {
        let shorter = row.clone();
        for j in (0..=text.len()).rev() {
            row[j] = match (own, text.get(j)) {
                (b'*', Some(_)) => shorter[j] || row[j + 1],
                (b'*', None) => shorter[j],
                (_, Some(b'*')) if is_mutual => shorter[j] || row[j + 1],
                (own, Some(right)) => own == right && shorter[j + 1],
                (_, None) => false,
            };
        }
    }
    row[0]
}

#[cfg(test)]
mod tests {
    use selvedge_core::policy::read::read;

    use super::*;

    fn behaviours(routes: &[(&str, &str)]) -> (Vec<(String, Origins)>, Vec<usize>) {
        let mut text =
            "[backends.a]\nurl = [\"https://a.example.com\", \"https://b.example.com\"]\n".to_owned();
        for (path, methods) in routes {
            text += &format!("[[routes]]\npath = \"{path}\"\nmethods = [{methods}]\nbackend = \"a\"\n");
        }
        let policy = read(&text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        let Behaviours { ordered, without } = Behaviours::of(&policy);
        (ordered.into_iter().map(|behaviour| (behaviour.pattern, behaviour.origins)).collect(), without)
    }

    #[test]
    fn a_path_fails_over_where_no_route_wants_another_method() {
        type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [(&'a str, Origins)], &'a [usize]);
        let (get, post) = ("\"GET\"", "\"POST\"");
        let rows: [Row<'_>; 7] = [
            ("alone", &[("/", get)], &[("/", Origins::Group)], &[]),
            (
                "captures",
                &[("/a/{b}/c", get), ("/d/{*e}", get)],
                &[("/a/*/c", Origins::Group), ("/d/*", Origins::Group)],
                &[],
            ),
            ("apart", &[("/a", get), ("/b", post)], &[("/a", Origins::Group)], &[1]),
            ("the same path", &[("/a", get), ("/a", post)], &[], &[0, 1]),
            ("within another's", &[("/static/{*f}", get), ("/{*rest}", "\"GET\", \"POST\"")], &[], &[0, 1]),
            (
                "around another's",
                &[("/{*rest}", get), ("/api/{*rest}", post)],
                &[("/api/*", Origins::Primary), ("/*", Origins::Group)],
                &[1],
            ),
            ("characters that CloudFront does not take", &[("/a%20b", get)], &[], &[0]),
        ];
        for (what, routes, ordered, without) in rows {
            let expected: Vec<_> =
                ordered.iter().map(|(pattern, origins)| ((*pattern).to_owned(), *origins)).collect();
            assert_eq!(behaviours(routes), (expected, without.to_vec()), "{what}");
        }
    }

    #[test]
    fn patterns_meet_where_there_is_a_path_of_both() {
        let glob = |text: &str| Glob { text: text.to_owned(), is_exact: true };
        for (one, other, meet, cover) in [
            ("/a", "/a", true, true),
            ("/a", "/b", false, false),
            ("/*", "/a/*", true, true),
            ("/a/*", "/*", true, false),
            ("/a/*/c", "/*/b/c", true, false),
            ("/a/*/c", "/b/*", false, false),
            ("/*/c", "/a/*", true, false),
            ("/a/*", "/a", false, false),
            ("/*b", "/a*", true, false),
            ("/*", "/*", true, true),
        ] {
            assert_eq!(glob(one).meets(&glob(other)), meet, "{one} meets {other}");
            assert_eq!(glob(other).meets(&glob(one)), meet, "{other} meets {one}");
            assert_eq!(glob(one).covers(&glob(other)), cover, "{one} covers {other}");
        }
    }

    #[test]
    fn a_path_has_the_behaviour_of_the_first_pattern_that_matches_it() {
        let group = |pattern: &str| Behaviour { pattern: pattern.to_owned(), origins: Origins::Group };
        let primary = |pattern: &str| Behaviour { origins: Origins::Primary, ..group(pattern) };
        let shop = [primary("/api/*"), group("/*")];
        assert_eq!(origins_of(&shop, "/api/x"), Origins::Primary);
        assert_eq!(origins_of(&shop, "/apis"), Origins::Group);
        let [api, all] = shop;
        assert_eq!(origins_of(&[all, api], "/api/x"), Origins::Group, "the other way round");
        assert_eq!(origins_of(&[group("/a")], "/b"), Origins::Primary, "the default behaviour");
        assert_eq!(origins_of(&[group("/*")], "*"), Origins::Primary, "it is no path");
    }

    #[test]
    fn a_pattern_matches_the_whole_path_with_any_characters_for_its_wildcards() {
        for (pattern, path, expected) in [
            ("/a", "/a", true),
            ("/a", "/A", false),
            ("/a", "/ab", false),
            ("/a", "/", false),
            ("/*", "/", true),
            ("/*", "/a/b", true),
            ("/a/*", "/a", false),
            ("/a/*", "/a/", true),
            ("/*.jpg", "/a/b.jpg.jpg", true),
            ("/*.jpg", "/a.jpg/b", false),
            ("/*/c", "/a/c/b/c", true),
            ("/a?c", "/abc", true),
            ("/a?c", "/a/c", true),
            ("/a?c", "/ac", false),
            ("/a?", "/a", false),
            ("/*b?*d", "/abbxcd", true),
            ("/a*", "/a*b", true),
            ("/%7Euser", "/~user", false),
        ] {
            assert_eq!(is_match(pattern.as_bytes(), path.as_bytes()), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn patterns_are_compared_with_the_one_spelling_of_a_path() {
        for (path, expected) in [
            ("/", "/"),
            ("//", "/"),
            ("/a//b/", "/a/b/"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/../a/b/..", "/a/"),
            ("/%61/%7e%2fb", "/a/~%2Fb"),
            ("/a%", "/a%"),
        ] {
            assert_eq!(normal(path), expected, "{path}");
        }
    }
}
