//! A request on its way to a backend, as it is counted.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http::StatusCode;
use selvedge_core::effect::FetchError;

use crate::worker::Worker;

/// One request to a backend. Dropping it before its end counts it as given up.
#[derive(Debug)]
pub(crate) struct Fetching {
    worker: Rc<Worker>,
    backend: Arc<str>,
    asked: Instant,
    is_over: bool,
}

impl Fetching {
    pub(crate) fn begin(worker: Rc<Worker>, backend: Arc<str>) -> Self {
        worker.stats().counts().count_fetch(&backend);
        Self { worker, backend, asked: Instant::now(), is_over: false }
    }

    /// Counts what came of it, and after what time.
    pub(crate) fn end(mut self, result: Result<StatusCode, FetchError>) {
        self.is_over = true;
        self.worker.stats().count_fetched(&self.backend, result, self.asked.elapsed());
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        if !self.is_over {
            self.worker.stats().counts().count_given_up(&self.backend);
        }
    }
}
