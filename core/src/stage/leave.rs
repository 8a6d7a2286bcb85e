//! The last stage: a response that leaves the platform's cache for a client.

use http::header::{AGE, HeaderValue, SET_COOKIE};
use http::{Request, Response};

use super::{Learnt, Mark};
use crate::body::Body;
use crate::effect::Record;
use crate::engine::{Answer, Engine};
use crate::facts::Facts;
use crate::pipeline;
use crate::time::Timestamp;
use crate::transaction::Transaction;

impl Engine {
    /// Gives a response its last headers.
    ///
    /// `request` and `facts` are those of [`enter`](Self::enter), and `learnt` is what it learnt; `mark` came with the response.
    #[must_use]
    pub fn leave(
        &self,
        request: Request<Body>,
        facts: Facts,
        learnt: &Learnt,
        mark: &Mark,
        mut response: Response<Body>,
        now: Timestamp,
    ) -> Answer {
        let is_first = mark.seed == learnt.seed;
        let learnt = mark.learnt.as_ref().filter(|_| is_first).unwrap_or(learnt);
        let mut tx = Transaction::resumed(request, with_place(facts, &mark.place), learnt);
        tx.is_admitted = true;
        let _ = self.on_viewer_request(&mut tx, now);
        mark.apply(&mut tx, now);
        let headers = response.headers_mut();
        mark.restore_fields(headers);
        if is_first {
            let cookies = mark.cookies.iter().filter_map(|cookie| HeaderValue::from_bytes(cookie).ok());
            headers.extend(cookies.map(|cookie| (SET_COOKIE, cookie)));
        }
        let records: Vec<Record> = pipeline::exposures(self, &tx).collect();
        // Lifetimes for the client count from now on; the platform tells it the age by itself.
        let age = headers.remove(AGE);
        headers.insert(AGE, HeaderValue::from(mark.age_at(now).as_secs()));
        self.on_viewer_response(&mut tx, &mut response, now);
        response.headers_mut().remove(AGE);
        if let Some(age) = age {
            response.headers_mut().insert(AGE, age);
        }
        Answer { response, summary: tx.summary(), records }
    }
}

/// What a later stage found out about the client's place counts for what is not known here.
fn with_place(facts: Facts, place: &Facts) -> Facts {
    Facts {
        country: facts.country.or(place.country),
        continent: facts.continent.or(place.continent),
        region: facts.region.or_else(|| place.region.clone()),
        city: facts.city.or_else(|| place.city.clone()),
        time_zone: facts.time_zone.or_else(|| place.time_zone.clone()),
        is_https: facts.is_https.or(place.is_https),
        ..facts
    }
}
