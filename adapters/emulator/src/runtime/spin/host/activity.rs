//! Which instances are at work, for whoever waits until none is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// How many instances of an application are at work.
#[derive(Clone, Debug)]
pub(super) struct Activity(Arc<watch::Sender<usize>>);

/// Whether one instance is.
#[derive(Debug)]
pub(super) struct Busy {
    activity: Activity,
    is_busy: AtomicBool,
}

impl Default for Activity {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl Activity {
    pub(super) fn instance(&self) -> Busy {
        Busy { activity: self.clone(), is_busy: AtomicBool::new(false) }
    }

    pub(super) async fn settled(&self) {
        let waited = self.0.subscribe().wait_for(|count| *count == 0).await.map(drop);
        waited.expect("this holds the other end");
    }
}

impl Busy {
    pub(super) fn begin(&self) {
        if !self.is_busy.swap(true, Ordering::Relaxed) {
            self.activity.0.send_modify(|count| *count += 1);
        }
    }

    pub(super) fn end(&self) {
        if self.is_busy.swap(false, Ordering::Relaxed) {
            self.activity.0.send_modify(|count| *count -= 1);
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.end();
    }
}
