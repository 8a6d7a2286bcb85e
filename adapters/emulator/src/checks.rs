//! Checks of backends: what the edge asks by itself to learn whether they answer.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use selvedge_core::engine::Engine;
use selvedge_core::health::{Fate, Health, Place};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::body::Bodies;
use crate::effects::EdgeHost;
use crate::worker::{Stopped, Worker};

/// How often it is looked whether the policy is another one.
const TICK: Duration = Duration::from_secs(1);

/// Checks every place of the policy in use, each in its own time, until the edge stops.
pub(crate) async fn serve(worker: Rc<Worker>, stopped: Stopped) {
    loop {
        let engine = worker.shared.engine.engine();
        let mut checks = JoinSet::new();
        for (place, rule) in engine.health().checks() {
            checks.spawn_local(repeat(Rc::clone(&worker), Arc::clone(&engine), place, rule.every));
        }
        tokio::select! {
            () = stopped.clone().wait() => return,
            () = replaced(&worker, &engine) => {}
        }
    }
}

/// Waits until the policy is another one.
async fn replaced(worker: &Worker, engine: &Arc<Engine>) {
    while Arc::ptr_eq(&worker.shared.engine.engine(), engine) {
        tokio::time::sleep(TICK).await;
    }
}

async fn repeat(worker: Rc<Worker>, engine: Arc<Engine>, place: Place, every: Duration) {
    let mut next = Instant::now();
    loop {
        let fate = check(&worker, &engine, place).await;
        if engine.health().on_checked(place, fate) {
            let backend = engine.policy().backend(place.0);
            let url = backend.urls[place.1].as_str();
            match fate {
                Fate::Success => tracing::info!(backend = backend.name, url, "a backend answers again"),
                Fate::Failure => tracing::warn!(backend = backend.name, url, "a backend fails its checks"),
            }
        }
        // A check that took longer than the time between two does not make the next ones come at once.
        next = (next + every).max(Instant::now());
        tokio::time::sleep_until(next).await;
    }
}

async fn check(worker: &Rc<Worker>, engine: &Engine, place: Place) -> Fate {
    let Some(fetch) = engine.check(place) else { return Fate::Success };
    let host = EdgeHost::new(Rc::clone(worker), Rc::new(Bodies::default()));
    Health::fate_of_check(host.fetch(fetch).await.map(|response| response.status()))
}
