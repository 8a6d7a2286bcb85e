//! The loop that Rust hosts share: perform effects, feed results back.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Response;

use crate::body::Body;
use crate::effect::{Effect, EffectId, EffectResult, Issued};
use crate::exchange::{Exchange, Input, Rest, Step};
use crate::reason::Summary;
use crate::time::Timestamp;

/// What a Rust platform fills in.
pub trait Host {
    /// Reads the platform's clock.
    fn now(&self) -> Timestamp;

    /// Starts an effect and returns the future of its result.
    ///
    /// The call itself happens in the order in which the core asked, and always
    /// before the response that the effect comes with is returned by [`drive`].
    fn perform(&self, effect: Effect) -> Performing;
}

/// The future of one effect's result.
pub type Performing = Pin<Box<dyn Future<Output = EffectResult>>>;

/// A response, and the work that outlives it.
#[must_use = "the response is not sent and the rest is not run until the host does so"]
pub struct Driven<H> {
    /// The response to the client.
    pub response: Response<Body>,
    /// What came of the request, for metrics and logs.
    pub summary: Summary,
    /// Work to finish after the response, if there is any.
    pub after: Option<Driver<H>>,
}

/// An exchange with its host and the effects under way.
pub struct Driver<H> {
    host: H,
    exchange: Exchange,
    running: Vec<(EffectId, Performing)>,
    rest: Rest,
}

/// Runs an exchange until its response is decided.
pub async fn drive<H: Host>(host: H, exchange: Exchange) -> Driven<H> {
    let mut driver = Driver { host, exchange, running: Vec::new(), rest: Rest::Pending };
    let mut input = Input::Begin;
    loop {
        let now = driver.host.now();
        match driver.exchange.poll(input, now) {
            Step::Effects(issued) => driver.start(issued),
            Step::Respond(respond) => {
                driver.start(respond.effects);
                driver.rest = respond.rest;
                let after = (!driver.running.is_empty()).then_some(driver);
                return Driven { response: respond.response, summary: respond.summary, after };
            }
            Step::Done => unreachable!("an exchange responds before it is done"),
        }
        input = driver.next_result().await;
    }
}

impl<H: Host> Driver<H> {
    /// Runs what is left after the response.
    pub async fn finish(mut self) {
        while !self.running.is_empty() {
            let input = self.next_result().await;
            if self.rest == Rest::Nothing {
                continue;
            }
            let now = self.host.now();
            match self.exchange.poll(input, now) {
                Step::Effects(issued) => self.start(issued),
                Step::Done => self.rest = Rest::Nothing,
                Step::Respond(_) => unreachable!("an exchange responds once"),
            }
        }
    }

    fn start(&mut self, issued: Vec<Issued>) {
        for Issued { id, effect, .. } in issued {
            self.running.push((id, self.host.perform(effect)));
        }
    }

    /// Waits for whichever effect is done first.
    async fn next_result(&mut self) -> Input {
        poll_fn(|cx| self.poll_running(cx)).await
    }

    fn poll_running(&mut self, cx: &mut Context<'_>) -> Poll<Input> {
        for at in 0..self.running.len() {
            let (id, future) = &mut self.running[at];
            if let Poll::Ready(result) = future.as_mut().poll(cx) {
                let id = *id;
                drop(self.running.swap_remove(at));
                return Poll::Ready(Input::Completed { id, result });
            }
        }
        Poll::Pending
    }
}

#[cfg(all(test, feature = "policy-file"))]
mod tests;
