//! The routes as a tree of path segments under each host.

use std::collections::BTreeMap;

use http::Method;

use super::condition::Subject;
use super::{HostPattern, Route, RouteId, Segment};
use crate::target::{Target, extension_of};

/// Finds the most specific route; its cost grows with the depth of the path, not with the number of routes.
#[derive(Debug, Default)]
pub(crate) struct Router {
    exact: BTreeMap<String, Node>,
    /// Longest suffix first.
    below: Vec<(HostPattern, Node)>,
    any: Node,
}

#[derive(Debug, Default)]
struct Node {
    literals: BTreeMap<String, Node>,
    capture: Option<Box<Node>>,
    /// Routes that end here, most conditions first.
    routes: Vec<RouteId>,
    /// Routes whose catch-all starts here, most conditions first.
    catch_alls: Vec<RouteId>,
}

/// What the router says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// This route takes the request; the ranges of the path that it captures, in order.
    Route(RouteId, Captures),
    /// Routes match, but only with these methods.
    MethodNotAllowed(Vec<String>),
    /// No route matches.
    Nothing,
}

/// The ranges of the path that a route's captures took, in order.
pub(crate) type Captures = Vec<std::ops::Range<usize>>;

struct Search<'a> {
    routes: &'a [Route],
    method: &'a Method,
    path: &'a str,
    subject: Subject<'a>,
    captures: Captures,
    allowed: Vec<String>,
    by_place: &'a mut bool,
}

impl Router {
    /// Builds the tree; routes are named by their place in `routes`.
    pub(crate) fn new(routes: &[Route]) -> Self {
        let most = routes.iter().map(Route::condition_count).max().unwrap_or_default();
        // Those with more conditions come first, and else those that stand first.
        let with = |count| (0..routes.len()).filter(move |at| routes[*at].condition_count() == count);
        let mut router = Self::default();
        for at in (0..=most).rev().flat_map(with) {
            let id = RouteId(u16::try_from(at).expect("the checker bounds the number of routes"));
            let route = &routes[at];
            if route.hosts.is_empty() {
                router.any.insert(route.path.segments(), id);
            }
            for host in &route.hosts {
                router.tree_of(host).insert(route.path.segments(), id);
            }
        }
        router
    }

    fn tree_of(&mut self, host: &HostPattern) -> &mut Node {
        if let HostPattern::Exact(name) = host {
            return self.exact.entry(name.clone()).or_default();
        }
        let at = self.below.iter().position(|(known, _)| known == host).unwrap_or_else(|| {
            let length = |host: &HostPattern| host.to_string().len();
            let at = self.below.partition_point(|(known, _)| length(known) >= length(host));
            self.below.insert(at, (host.clone(), Node::default()));
            at
        });
        &mut self.below[at].1
    }

    /// Finds the route for a request; `by_place` becomes true where the client's place was looked at.
    pub(crate) fn find(
        &self,
        routes: &[Route],
        method: &Method,
        target: &Target,
        subject: Subject<'_>,
        by_place: &mut bool,
    ) -> Found {
        let path = target.path();
        let mut search =
            Search { routes, method, path, subject, captures: Vec::new(), allowed: Vec::new(), by_place };
        let exact = self.exact.get(target.host());
        let below = self.below.iter().filter(|(host, _)| host.is_match(target.host())).map(|(_, node)| node);
        for tree in exact.into_iter().chain(below).chain([&self.any]) {
            if let Some(id) = search.walk(tree, 1) {
                return Found::Route(id, search.captures);
            }
        }
        if search.allowed.is_empty() { Found::Nothing } else { Found::MethodNotAllowed(search.allowed) }
    }
}

impl Node {
    fn insert(&mut self, segments: &[Segment], id: RouteId) {
        match segments {
            [] => self.routes.push(id),
            [Segment::CatchAll(_), ..] => self.catch_alls.push(id),
            [Segment::Literal(text), rest @ ..] => {
                self.literals.entry(text.clone()).or_default().insert(rest, id)
            }
            [Segment::Capture(_), rest @ ..] => self.capture.get_or_insert_default().insert(rest, id),
        }
    }
}

impl Search<'_> {
    /// Looks below `node` for the segment that starts at byte `from`; past the path's end when all are used.
    fn walk(&mut self, node: &Node, from: usize) -> Option<RouteId> {
        if from > self.path.len() {
            return self.first_match(&node.routes);
        }
        let end = self.path[from..].find('/').map_or(self.path.len(), |at| from + at);
        if let Some(child) = node.literals.get(&self.path[from..end])
            && let Some(id) = self.walk(child, end + 1)
        {
            return Some(id);
        }
        if let Some(child) = node.capture.as_deref().filter(|_| end > from)
            && let Some(id) = self.captured(from..end, |search| search.walk(child, end + 1))
        {
            return Some(id);
        }
        if node.catch_alls.is_empty() {
            return None;
        }
        self.captured(from..self.path.len(), |search| search.first_match(&node.catch_alls))
    }

    /// Runs `next` with one more capture, which stays only when it finds a route.
    fn captured(
        &mut self,
        range: std::ops::Range<usize>,
        next: impl FnOnce(&mut Self) -> Option<RouteId>,
    ) -> Option<RouteId> {
        let depth = self.captures.len();
        self.captures.push(range);
        let found = next(self);
        if found.is_none() {
            self.captures.truncate(depth);
        }
        found
    }

    fn first_match(&mut self, candidates: &[RouteId]) -> Option<RouteId> {
        for id in candidates {
            let route = &self.routes[usize::from(id.0)];
            *self.by_place |= route.when.place.is_some();
            if !self.holds(route) {
                continue;
            }
            if route.takes(self.method) {
                return Some(*id);
            }
            self.allow(route);
        }
        None
    }

    fn holds(&self, route: &Route) -> bool {
        let extension = || extension_of(self.path);
        let has_extension = |own: &String| extension().is_some_and(|ext| own.eq_ignore_ascii_case(ext));
        (route.extensions.is_empty() || route.extensions.iter().any(has_extension))
            && route.when.hold(self.subject)
    }

    fn allow(&mut self, route: &Route) {
        for method in &route.methods {
            let implied = (method == "GET").then(|| "HEAD".to_owned());
            for method in [Some(method.clone()), implied].into_iter().flatten() {
                if !self.allowed.contains(&method) {
                    self.allowed.push(method);
                }
            }
        }
    }
}
