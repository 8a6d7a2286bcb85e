//! CloudFront's rules about what a function may return.
//!
//! CloudFront answers 502 for a result that breaks one of them. [`check`] finds that out before, and [`enforce`]
//! repairs a result where its meaning survives. Both look at what the function changed: a function that returns the
//! request or response it got breaks no rule, whatever CloudFront put into it.
//!
//! Each [`Rule`] links AWS's page that has it. What AWS leaves open is decided so that a result which passes here
//! passes there:
//! - a KB is 1,024 bytes and a MB 1,024 KB (see [`limits`]);
//! - a generated response is as big as its body as the function wrote it, with the base64 if it is that, and for each
//!   header its name, its value and four bytes for what HTTP writes around them;
//! - a generated response of a request trigger may have none of the trigger's read-only headers: it would add them.
//!
//! ```
//! use selvedge_cloudfront::event::{Cf, Outcome, Request, Response, Trigger};
//! use selvedge_cloudfront::rules::{Rule, check, enforce};
//!
//! let cf = Cf { request: Request { method: "GET".into(), uri: "/".into(), ..Request::default() }, ..Cf::default() };
//! let mut response = Response::new(200);
//! response.headers.append("Connection", "close");
//! let outcome = Outcome::Response(response);
//!
//! let found = check(&cf, Trigger::ViewerRequest, &outcome);
//! assert_eq!((found[0].rule, found[0].header.as_deref()), (Rule::DisallowedHeader, Some("connection")));
//!
//! let enforced = enforce(&cf, Trigger::ViewerRequest, outcome);
//! assert_eq!(enforced.repaired, found);
//! assert!(enforced.left.is_empty());
//! assert_eq!(enforced.outcome, Outcome::Response(Response::new(200)));
//! ```

mod enforce;
mod headers;
pub mod limits;
mod origin;
mod request;
mod response;
mod rule;
#[cfg(test)]
mod tests;

pub use enforce::{Enforced, enforce};
pub use headers::{DISALLOWED, DISALLOWED_PREFIXES, is_disallowed, read_only};
pub use rule::Rule;

use std::fmt;

use crate::event::{Cf, Headers, Outcome, Trigger};

/// A rule that a result breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// The name of the header that breaks it, in lower case, where it is a header.
    pub header: Option<String>,
    /// What is wrong, with the value and the limit. Of header values, URIs and bodies, which may be secret, it has
    /// no more than lengths and single characters; read-only headers are shown, shortened.
    pub message: String,
}

impl Violation {
    fn new(rule: Rule, message: String) -> Self {
        Self { rule, header: None, message }
    }

    fn of_header(rule: Rule, name: &str, message: String) -> Self {
        Self { rule, header: Some(name.to_owned()), message }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}, {}]", self.message, self.rule, self.rule.url())
    }
}

/// Finds the rules that the result of a function breaks, given the event that the function got.
///
/// An empty list means that CloudFront takes the result. The trigger is the one that the function is attached to,
/// since old sample events do not name it.
#[must_use]
pub fn check(cf: &Cf, trigger: Trigger, outcome: &Outcome) -> Vec<Violation> {
    let mut found = Vec::new();
    match outcome {
        Outcome::Request(request) if trigger.is_request() => request::check(cf, trigger, request, &mut found),
        Outcome::Request(_) => {
            let message =
                format!("the result at {trigger} is a request, and has to be a response with a `status`");
            found.push(Violation::new(Rule::ResponseExpected, message));
        }
        Outcome::Response(response) => response::check(cf, trigger, response, &mut found),
    }
    found
}

/// The headers that a result is compared with; `None` for a response that the function made itself.
fn headers_before<'a>(cf: &'a Cf, trigger: Trigger, outcome: &Outcome) -> Option<&'a Headers> {
    match outcome {
        Outcome::Request(_) => Some(&cf.request.headers),
        Outcome::Response(_) => response_before(cf, trigger).map(|response| &response.headers),
    }
}

/// The response that the function got; `None` where it makes one itself.
fn response_before(cf: &Cf, trigger: Trigger) -> Option<&crate::event::Response> {
    cf.response.as_ref().filter(|_| !trigger.is_request())
}

/// The first character of a text that `refuse` names, with the byte where it stands, for a message.
fn first_refused(text: &str, refuse: impl Fn(char) -> bool) -> Option<String> {
    let (at, found) = text.char_indices().find(|(_, found)| refuse(*found))?;
    Some(format!("{found:?} at byte {at}"))
}
