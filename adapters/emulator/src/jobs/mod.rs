//! Jobs: messages of queues that are due, and the times of schedules.

pub(crate) mod page;
pub(crate) mod queues;

use std::rc::Rc;
use std::time::Duration;

use selvedge_core::exchange::Exchange;
use selvedge_core::host::settle;
use selvedge_core::job::{Job, JobSource, Settlement};
use selvedge_core::time::Timestamp;
use tokio::task::JoinSet;

use crate::body::Bodies;
use crate::effects::EdgeHost;
use crate::worker::{AfterResponse, Stopped, Worker};
use queues::LEASE;

/// Most jobs at once.
const MAX_RUNNING: usize = 16;

/// Longest sleep: an edited policy may have other schedules.
const TICK: Duration = Duration::from_secs(1);

/// Runs one job to its end.
pub(crate) async fn run(worker: &Rc<Worker>, job: Job) -> Settlement {
    let host = EdgeHost::new(Rc::clone(worker), Rc::new(Bodies::default()));
    let exchange = Exchange::of_job(worker.shared.engine.engine(), job, worker.seeds.next(), None);
    settle(host, exchange).await
}

/// Runs what is due until the edge stops, then what has begun.
pub(crate) async fn serve(worker: Rc<Worker>, stopped: Stopped) {
    let mut running = JoinSet::new();
    let mut looked_at = worker.shared.config.clock.now();
    loop {
        let now = worker.shared.config.clock.now();
        for job in scheduled(&worker, looked_at, now) {
            let (worker, under_way) = (Rc::clone(&worker), AfterResponse::begin(Rc::clone(&worker)));
            running.spawn_local(async move {
                run(&worker, job).await;
                drop(under_way);
            });
        }
        looked_at = looked_at.max(now);
        start_due(&worker, now, &mut running);
        tokio::select! {
            () = stopped.clone().wait() => break,
            () = worker.shared.queues.changed() => {}
            () = tokio::time::sleep(pause(&worker, now)) => {}
            Some(_) = running.join_next() => {}
        }
    }
    while running.join_next().await.is_some() {}
}

fn start_due(worker: &Rc<Worker>, now: Timestamp, running: &mut JoinSet<()>) {
    while running.len() < MAX_RUNNING {
        // Before it is taken: what is neither due nor under way is done.
        let under_way = AfterResponse::begin(Rc::clone(worker));
        let Some(job) = worker.shared.queues.take(now) else { return };
        let worker = Rc::clone(worker);
        running.spawn_local(async move {
            let (source, id) = (job.source.clone(), job.id.clone());
            // One that is still under way by then comes back, and makes room for others.
            let Ok(settlement) = tokio::time::timeout(LEASE, run(&worker, job)).await else { return };
            worker.shared.queues.settle(&source, &id, settlement, worker.shared.config.clock.now());
            drop(under_way);
        });
    }
}

/// The jobs of every schedule whose time has come since the last look.
fn scheduled(worker: &Worker, since: Timestamp, now: Timestamp) -> Vec<Job> {
    let engine = worker.shared.engine.engine();
    let schedules = engine.policy().schedules.iter();
    let due = schedules.filter_map(|schedule| {
        let time = schedule.cron.next(since).filter(|time| *time <= now)?;
        Some(schedule_job(&schedule.name, time))
    });
    due.collect()
}

/// The job of a schedule's time.
pub(crate) fn schedule_job(name: &str, time: Timestamp) -> Job {
    let id = time.as_millis().to_string();
    Job { source: JobSource::Schedule(name.to_owned()), id, attempt: 1, body: bytes::Bytes::new() }
}

fn pause(worker: &Worker, now: Timestamp) -> Duration {
    let due = worker.shared.queues.next_due().map(|due| due.saturating_since(now));
    // What is due and was not taken waits for a place, which a job that ends makes.
    due.filter(|pause| !pause.is_zero()).map_or(TICK, |pause| pause.min(TICK))
}
