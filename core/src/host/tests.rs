use std::cell::RefCell;
use std::future::ready;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use http::{HeaderValue, Request, header};

use super::*;
use crate::effect::FetchError;
use crate::engine::Engine;
use crate::facts::Facts;
use crate::policy::read::read;
use crate::reason::Reason;

const POLICY: &str = r#"
[backends.a]
url = "http://a.test"
[[routes]]
path = "/"
backend = "a"
cache = { edge = "1m" }
"#;

/// Performs everything at once and writes down the order.
#[derive(Clone, Default)]
struct Fake(Rc<RefCell<Vec<&'static str>>>);

impl Host for Fake {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_000_000)
    }

    fn perform(&self, effect: Effect) -> Performing {
        let page = || Ok(Response::new(Body::from("page")));
        let (name, result) = if matches!(effect, Effect::CacheGet { .. }) {
            ("get", EffectResult::CacheGet(None))
        } else if matches!(effect, Effect::Fetch(_)) {
            ("fetch", EffectResult::Fetch(page()))
        } else {
            assert!(matches!(effect, Effect::CachePut(_)), "this policy needs no {effect:?}");
            ("put", EffectResult::CachePut)
        };
        self.0.borrow_mut().push(name);
        Box::pin(ready(result))
    }
}

/// Has an empty store and a backend that takes too long.
struct Failing;

impl Host for Failing {
    fn now(&self) -> Timestamp {
        Timestamp::default()
    }

    fn perform(&self, effect: Effect) -> Performing {
        if matches!(effect, Effect::CacheGet { .. }) {
            return Box::pin(ready(EffectResult::CacheGet(None)));
        }
        assert!(matches!(effect, Effect::Fetch(_)), "a failure stores nothing: {effect:?}");
        Box::pin(ready(EffectResult::Fetch(Err(FetchError::Timeout))))
    }
}

/// Every effect of these hosts is done at once, so nothing ever waits.
fn now_or_never<T>(future: impl Future<Output = T>) -> T {
    let mut future = Box::pin(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("nothing here waits"),
    }
}

fn exchange() -> Exchange {
    let engine = Engine::compile(read(POLICY).expect("the policy is valid")).expect("nothing is missing");
    let mut request = Request::new(Body::Empty);
    request.headers_mut().insert(header::HOST, HeaderValue::from_static("shop.example"));
    Exchange::new(Arc::new(engine), request, Facts::default(), [1; 16])
}

#[test]
fn the_loop_performs_effects_until_the_response_and_the_rest_after_it() {
    let host = Fake::default();
    let driven = now_or_never(drive(host.clone(), exchange()));
    assert_eq!(driven.response.body(), &Body::from("page"));
    assert_eq!(driven.summary.reason, Reason::BackendResponded);
    assert_eq!(*host.0.borrow(), ["get", "fetch", "put"], "storing has begun before the response is sent");
    let after = driven.after.expect("storing is still to be finished");
    now_or_never(after.finish());
    assert_eq!(host.0.borrow().len(), 3, "nothing is performed twice");
}

/// Answers the first of two requests; the other one never ends, and notes when it is dropped.
#[derive(Clone, Default)]
struct HalfDeaf {
    asked: Rc<RefCell<usize>>,
    dropped: Rc<()>,
}

impl Host for HalfDeaf {
    fn now(&self) -> Timestamp {
        Timestamp::default()
    }

    fn perform(&self, effect: Effect) -> Performing {
        assert!(matches!(effect, Effect::Fetch(_) | Effect::Sleep { .. }), "no host sees {effect:?}");
        if matches!(effect, Effect::Sleep { .. }) {
            return Box::pin(ready(EffectResult::Sleep));
        }
        *self.asked.borrow_mut() += 1;
        if *self.asked.borrow() == 1 {
            let dropped = Rc::clone(&self.dropped);
            return Box::pin(async move {
                let _held = dropped;
                std::future::pending().await
            });
        }
        Box::pin(ready(EffectResult::Fetch(Ok(Response::new(Body::from("page"))))))
    }
}

#[test]
fn an_effect_is_cancelled_by_dropping_its_future() {
    let policy = "[backends.a]\nurl = \"http://a.test\"\nhedge = {}\n[[routes]]\npath = \"/\"\nbackend = \"a\"\ncache = { store = false }";
    let engine = Engine::compile(read(policy).expect("the policy is valid")).expect("nothing is missing");
    let mut request = Request::new(Body::Empty);
    request.headers_mut().insert(header::HOST, HeaderValue::from_static("shop.example"));
    let host = HalfDeaf::default();
    let exchange = Exchange::new(Arc::new(engine), request, Facts::default(), [1; 16]);
    let driven = now_or_never(drive(host.clone(), exchange));
    assert_eq!(driven.response.body(), &Body::from("page"), "the second request overtakes the first");
    assert!(driven.after.is_none(), "nothing is left to wait for");
    assert_eq!(Rc::strong_count(&host.dropped), 1, "the first one is gone");
}

#[test]
fn a_failure_leaves_nothing_to_finish() {
    let host = Failing;
    let driven = now_or_never(drive(host, exchange()));
    assert_eq!(driven.response.status(), 504);
    assert!(driven.after.is_none(), "a failure is not stored");
}
