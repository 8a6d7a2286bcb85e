//! Routes that can never match, because another always comes first.

use super::Route;

/// Returns the place of a route that takes every request which `routes[at]` could take.
///
/// Only a route with the same path shape can do that: any other that matches as
/// much is less specific and comes later.
#[must_use]
pub fn shadowed_by(routes: &[Route], at: usize) -> Option<usize> {
    let route = &routes[at];
    routes.iter().enumerate().position(|(other, earlier)| {
        let comes_first = (std::cmp::Reverse(earlier.condition_count()), other)
            < (std::cmp::Reverse(route.condition_count()), at);
        other != at && comes_first && covers(earlier, route)
    })
}

fn covers(earlier: &Route, later: &Route) -> bool {
    earlier.path.is_same_shape(&later.path)
        && same_hosts(earlier, later)
        && (earlier.methods.is_empty() || covers_methods(earlier, later))
        && covers_extensions(earlier, later)
        && earlier.when.covers(&later.when)
}

/// A less specific host comes later, so only the very same hosts shadow.
fn same_hosts(earlier: &Route, later: &Route) -> bool {
    if later.hosts.is_empty() {
        return earlier.hosts.is_empty();
    }
    later.hosts.iter().all(|host| earlier.hosts.contains(host))
}

fn covers_methods(earlier: &Route, later: &Route) -> bool {
    let taken = |method: &String| method.parse().is_ok_and(|method| earlier.takes(&method));
    !later.methods.is_empty() && later.methods.iter().all(taken)
}

fn covers_extensions(earlier: &Route, later: &Route) -> bool {
    earlier.extensions.is_empty()
        || !later.extensions.is_empty() && later.extensions.iter().all(|ext| earlier.extensions.contains(ext))
}
