//! An origin-request event that waits for effects.

use std::fmt;
use std::sync::Arc;

use selvedge_core::exchange::{Depart, Rest, Step};
use selvedge_core::phase::Storing;
use selvedge_core::stage::Departure;

use super::distribution::STATE_HEADER;
use super::{
    Cf, Edge, Exchange, Finished, HandedOver, Input, Issued, Outcome, Returned, Seed, Timestamp, Transaction,
    Trigger, message,
};

/// An event under way.
pub struct Running {
    edge: Arc<Edge>,
    cf: Cf,
    seed: Seed,
    exchange: Exchange,
}

/// What an event under way comes to next.
#[derive(Debug)]
pub enum Progress {
    /// Perform these effects, then poll with each result.
    Effects(Vec<Issued>),
    /// The event is done; the effects are to be performed before the function returns, since nothing runs after it.
    Done {
        /// What came of it.
        finished: Box<Finished>,
        /// The last effects.
        effects: Vec<Issued>,
        /// Whether their results are wanted.
        rest: Rest,
    },
}

impl Running {
    pub(super) fn new(edge: Arc<Edge>, cf: Cf, seed: Seed, exchange: Exchange) -> Self {
        Self { edge, cf, seed, exchange }
    }

    /// Takes one input and says what to do next.
    ///
    /// # Panics
    /// When it is polled after it was done and its last effects were performed.
    pub fn poll(&mut self, input: Input, now: Timestamp) -> Progress {
        match self.exchange.poll(input, now) {
            Step::Effects(effects) => Progress::Effects(effects),
            Step::Depart(depart) => {
                let Depart { departure, transaction, effects, rest } = *depart;
                let result = self.depart(departure, transaction, now);
                let finished = self.edge.finish(&self.cf, Trigger::OriginRequest, result);
                Progress::Done { finished: Box::new(finished), effects, rest }
            }
            Step::Respond(_) | Step::Settle(_) | Step::Done => unreachable!("a departure ends once"),
        }
    }

    /// Runs the event natively.
    #[must_use]
    pub fn into_parts(self) -> (Departing, Exchange) {
        let Self { edge, cf, seed, exchange } = self;
        (Departing { edge, cf, seed }, exchange)
    }

    fn depart(&self, departure: Departure, mut tx: Transaction, now: Timestamp) -> Returned {
        conclude(&self.edge, &self.cf, self.seed, departure, &mut tx, now)
    }
}

/// An event whose exchange runs elsewhere, as [`selvedge_core::host::depart`] runs it.
pub struct Departing {
    edge: Arc<Edge>,
    cf: Cf,
    seed: Seed,
}

impl Departing {
    /// Says what the function returns.
    #[must_use]
    pub fn finish(self, departure: Departure, mut tx: Transaction, now: Timestamp) -> Finished {
        let result = conclude(&self.edge, &self.cf, self.seed, departure, &mut tx, now);
        self.edge.finish(&self.cf, Trigger::OriginRequest, result)
    }
}

fn conclude(
    edge: &Edge,
    cf: &Cf,
    seed: Seed,
    departure: Departure,
    tx: &mut Transaction,
    now: Timestamp,
) -> Returned {
    match departure {
        Departure::Fetch(fetch) => {
            let mut request = cf.request.clone();
            message::send(&mut request, &fetch.request, fetch.timeout, |name| edge.tells(name));
            if let Some(passage) = edge.passage(tx, &request, seed) {
                request.headers.insert(STATE_HEADER, passage);
            }
            Returned::of(Outcome::Request(Box::new(request)))
        }
        Departure::Respond(response) => {
            let handed = edge.engine().hand_over(tx, response, Storing::Bypass, now);
            let HandedOver { response, mark, summary, records } = handed;
            let mut response = message::generated(response);
            edge.attach(&mut response.headers, mark.as_ref(), seed);
            let summary = mark.is_none().then_some(summary);
            Returned { outcome: Outcome::Response(response), summary, records }
        }
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("config", &self.cf.config).finish_non_exhaustive()
    }
}
