//! Whose trace a request belongs to: [Trace Context level 1](https://www.w3.org/TR/trace-context-1/).

use http::{HeaderMap, HeaderName, HeaderValue};
use selvedge_core::transaction::Seed;
use selvedge_log::trace::{Parent, TRACEPARENT, parent};

const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Most bytes of `tracestate` that are passed on; a longer one is dropped. The standard asks for at least 512.
const MAX_STATE_BYTES: usize = 1024;
/// Most members of `tracestate`, by the standard's section 3.3.1.1.
const MAX_STATE_MEMBERS: usize = 32;

/// The flag that whoever sent the request may have recorded it.
const SAMPLED: u8 = 1;

/// A request's trace and the edge's own part in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    trace: u128,
    /// The edge's part.
    span: u64,
    /// The client's part.
    parent: Option<u64>,
    flags: u8,
    state: Option<HeaderValue>,
}

impl Trace {
    /// Goes on with a client's trace, or begins one where the client has none that is valid.
    ///
    /// `fresh` draws ids, and `is_recorded` says whether the edge keeps something of a trace that it begins.
    pub(crate) fn of(headers: &HeaderMap, fresh: impl Fn() -> Seed, is_recorded: bool) -> Self {
        let span = fresh_part(fresh());
        match parent(headers) {
            Some(Parent { trace, span: parent, flags }) => {
                Self { trace, span, parent: Some(parent), flags: flags & SAMPLED, state: state(headers) }
            }
            None => {
                let flags = u8::from(is_recorded);
                let trace = u128::from_be_bytes(fresh()).max(1);
                Self { trace, span, parent: None, flags, state: None }
            }
        }
    }

    /// Puts it in the place of what a request says about its trace, unless the policy has said something itself; `part` is the part of
    /// the edge's that the request belongs to.
    pub(crate) fn write(&self, part: u64, headers: &mut HeaderMap) {
        if headers.contains_key(TRACEPARENT) {
            return;
        }
        let parent = format!("00-{}-{part:016x}-{:02x}", self.trace_id(), self.flags);
        let parent = HeaderValue::try_from(parent).expect("digits and hyphens are a header's value");
        headers.insert(TRACEPARENT, parent);
        if let Some(state) = &self.state {
            headers.insert(TRACESTATE, state.clone());
        }
    }

    pub(crate) fn trace_id(&self) -> String {
        format!("{:032x}", self.trace)
    }

    pub(crate) fn span_id(&self) -> String {
        format!("{:016x}", self.span)
    }

    pub(crate) fn trace(&self) -> u128 {
        self.trace
    }

    pub(crate) fn span(&self) -> u64 {
        self.span
    }

    /// The part of whoever sent the request.
    pub(crate) fn parent(&self) -> Option<u64> {
        self.parent
    }

    /// What other parties to the trace have to say.
    pub(crate) fn state(&self) -> Option<String> {
        self.state.as_ref().and_then(|state| state.to_str().ok()).map(str::to_owned)
    }

    /// Whether somebody keeps what happens in it.
    pub(crate) fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }
}

/// Makes the id of a part of what was drawn; one of zeros is none.
pub(crate) fn fresh_part(drawn: Seed) -> u64 {
    let (first, _) = drawn.split_first_chunk().expect("what was drawn is longer than a number");
    u64::from_be_bytes(*first).max(1)
}

/// Removes what a client says about its trace, which the edge says anew to backends.
pub(crate) fn remove(headers: &mut HeaderMap) {
    headers.remove(TRACEPARENT);
    headers.remove(TRACESTATE);
}

/// What other parties to the trace have to say, as one value; `None` where it is too long.
fn state(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut whole = Vec::new();
    for value in headers.get_all(TRACESTATE) {
        if !whole.is_empty() {
            whole.push(b',');
        }
        whole.extend_from_slice(value.as_bytes());
        if whole.len() > MAX_STATE_BYTES {
            return None;
        }
    }
    let members = whole.iter().filter(|byte| **byte == b',').count() + 1;
    let is_passed_on = !whole.is_empty() && members <= MAX_STATE_MEMBERS && whole.is_ascii();
    HeaderValue::try_from(whole).ok().filter(|_| is_passed_on)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRESH: fn() -> Seed = || *b"\x00\x01\x02\x03\x04\x05\x06\x07abcdefgh";
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    fn headers(parents: &[&str], states: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for parent in parents {
            headers.append(TRACEPARENT, parent.parse().unwrap());
        }
        for state in states {
            headers.append(TRACESTATE, state.parse().unwrap());
        }
        headers
    }

    fn written(trace: &Trace) -> HeaderMap {
        let mut headers = HeaderMap::new();
        trace.write(trace.span, &mut headers);
        headers
    }

    #[test]
    fn a_valid_trace_goes_on_with_the_edges_own_span() {
        let rows = [
            (format!("00-{TRACE}-b7ad6b7169203331-01"), "01"),
            (format!("00-{TRACE}-b7ad6b7169203331-00"), "00"),
            (format!("00-{TRACE}-b7ad6b7169203331-ff"), "01"),
            (format!("cc-{TRACE}-b7ad6b7169203331-01"), "01"),
            (format!("cc-{TRACE}-b7ad6b7169203331-01-what-comes-later"), "01"),
        ];
        for (parent, flags) in rows {
            let trace = Trace::of(&headers(&[&parent], &["a=1", "b=2"]), FRESH, false);
            assert_eq!(trace.trace_id(), TRACE, "{parent}");
            let written = written(&trace);
            assert_eq!(written[TRACEPARENT], format!("00-{TRACE}-0001020304050607-{flags}"), "{parent}");
            assert_eq!(written[TRACESTATE], "a=1,b=2", "{parent}");
        }
    }

    #[test]
    fn what_is_not_valid_begins_a_trace_and_loses_its_state() {
        let valid = format!("00-{TRACE}-b7ad6b7169203331-01");
        let rows = [
            vec![],
            vec![valid.clone(), valid.clone()],
            vec![format!("{valid}-more")],
            vec![format!("cc-{TRACE}-b7ad6b7169203331-01.more")],
            vec![format!("ff-{TRACE}-b7ad6b7169203331-01")],
            vec![format!("00-{}-b7ad6b7169203331-01", "0".repeat(32))],
            vec![format!("00-{TRACE}-0000000000000000-01")],
            vec![format!("00-{}-b7ad6b7169203331-01", TRACE.to_uppercase())],
            vec![format!("00-{TRACE}-b7ad6b716920333-011")],
            vec![format!("00-{TRACE}-b7ad6b7169203331-0")],
            vec![format!("00-+{}-b7ad6b7169203331-01", &TRACE[1..])],
            vec![String::new()],
        ];
        for parents in rows {
            let parents: Vec<&str> = parents.iter().map(String::as_str).collect();
            for (is_recorded, flags) in [(true, "01"), (false, "00")] {
                let trace = Trace::of(&headers(&parents, &["a=1"]), FRESH, is_recorded);
                assert_eq!(
                    written(&trace)[TRACEPARENT],
                    format!("00-00010203040506076162636465666768-0001020304050607-{flags}"),
                    "{parents:?}"
                );
                assert_eq!(written(&trace).get(TRACESTATE), None, "{parents:?}");
            }
        }
        let zeros = Trace::of(&HeaderMap::new(), || [0; 16], true);
        assert!(parent(&written(&zeros)).is_some(), "what the edge begins is valid, whatever was drawn");
    }

    #[test]
    fn a_state_that_is_too_long_is_dropped_and_the_trace_goes_on() {
        let valid = format!("00-{TRACE}-b7ad6b7169203331-01");
        let rows = [
            (vec!["a=1,".repeat(31) + "a=1"], true),
            (vec!["a=1,".repeat(32) + "a=1"], false),
            (vec!["a".repeat(512), "b".repeat(511)], true),
            (vec!["a".repeat(512), "b".repeat(512)], false),
            (vec![], false),
        ];
        for (states, is_there) in rows {
            let states: Vec<&str> = states.iter().map(String::as_str).collect();
            let trace = Trace::of(&headers(&[&valid], &states), FRESH, false);
            assert_eq!((trace.trace_id().as_str(), trace.state.is_some()), (TRACE, is_there), "{states:?}");
        }
    }

    #[test]
    fn what_the_policy_says_about_a_trace_stays() {
        let mut headers = headers(&["the policy's"], &[]);
        Trace::of(&HeaderMap::new(), FRESH, true).write(1, &mut headers);
        assert_eq!(headers[TRACEPARENT], "the policy's");
    }
}
