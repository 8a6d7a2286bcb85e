//! The loop that Rust hosts share: perform effects, feed results back.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Response;

use crate::body::Body;
use crate::effect::{Effect, EffectId, EffectResult, Issued};
use crate::exchange::{Depart, Exchange, Input, Respond, Rest, Settle, Step};
use crate::job::Settlement;
use crate::reason::Summary;
use crate::stage::Departure;
use crate::time::Timestamp;
use crate::transaction::Transaction;

/// What a Rust platform fills in.
pub trait Host {
    /// Reads the platform's clock.
    fn now(&self) -> Timestamp;

    /// Starts an effect and returns the future of its result.
    ///
    /// The call itself happens in the order in which the core asked, and always
    /// before the response that the effect comes with is returned by [`drive`]. An effect is cancelled by dropping the future;
    /// [`Effect::Cancel`] never comes here.
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

/// Runs an exchange of a request until its response is decided.
///
/// # Panics
/// When the exchange is that of a job.
pub async fn drive<H: Host>(host: H, exchange: Exchange) -> Driven<H> {
    let mut driver = Driver { host, exchange, running: Vec::new(), rest: Rest::Pending };
    match driver.run().await {
        Outcome::Response(respond) => {
            let Respond { response, summary, effects, rest } = *respond;
            let after = driver.go_on(effects, rest);
            Driven { response, summary, after }
        }
        Outcome::Settled(_) | Outcome::Departed(_) => unreachable!("a request is answered"),
    }
}

/// Runs an exchange of [a job](Exchange::of_job) to its end and says what becomes of the job.
///
/// # Panics
/// When the exchange is that of a request.
pub async fn settle<H: Host>(host: H, exchange: Exchange) -> Settlement {
    let mut driver = Driver { host, exchange, running: Vec::new(), rest: Rest::Pending };
    match driver.run().await {
        Outcome::Settled(Settle { settlement, effects, rest }) => {
            if let Some(driver) = driver.go_on(effects, rest) {
                driver.finish().await;
            }
            settlement
        }
        Outcome::Response(_) | Outcome::Departed(_) => unreachable!("a job is settled"),
    }
}

/// Runs an exchange of [the second stage](Exchange::departing) to its end and says how the request departs.
///
/// # Panics
/// When the exchange is another one.
pub async fn depart<H: Host>(host: H, exchange: Exchange) -> (Departure, Transaction) {
    let mut driver = Driver { host, exchange, running: Vec::new(), rest: Rest::Pending };
    match driver.run().await {
        Outcome::Departed(depart) => {
            let Depart { departure, transaction, effects, rest } = *depart;
            if let Some(driver) = driver.go_on(effects, rest) {
                driver.finish().await;
            }
            (departure, transaction)
        }
        Outcome::Response(_) | Outcome::Settled(_) => unreachable!("a request departs"),
    }
}

/// What an exchange comes to.
enum Outcome {
    Response(Box<Respond>),
    Settled(Settle),
    Departed(Box<Depart>),
}

impl<H: Host> Driver<H> {
    async fn run(&mut self) -> Outcome {
        let mut input = Input::Begin;
        loop {
            let now = self.host.now();
            match self.exchange.poll(input, now) {
                Step::Effects(issued) => self.start(issued),
                Step::Respond(respond) => return Outcome::Response(respond),
                Step::Settle(settle) => return Outcome::Settled(settle),
                Step::Depart(depart) => return Outcome::Departed(depart),
                Step::Done => unreachable!("an exchange responds before it is done"),
            }
            input = self.next_result().await;
        }
    }

    /// Starts the last effects; `None` when nothing is left to wait for.
    fn go_on(mut self, effects: Vec<Issued>, rest: Rest) -> Option<Self> {
        self.start(effects);
        self.rest = rest;
        (!self.running.is_empty()).then_some(self)
    }

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
                Step::Respond(_) | Step::Settle(_) | Step::Depart(_) => {
                    unreachable!("an exchange responds once")
                }
            }
        }
    }

    fn start(&mut self, issued: Vec<Issued>) {
        for Issued { id, effect, .. } in issued {
            if let Effect::Cancel { id } = effect {
                self.running.retain(|(running, _)| *running != id);
            } else {
                self.running.push((id, self.host.perform(effect)));
            }
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
