//! How long the machine stands still while it is busy.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::super::report::{Measured, Row};

const SPINNING: Duration = Duration::from_secs(5);
/// What a core does for its system takes less.
const STOP: Duration = Duration::from_micros(200);

/// Has two threads do nothing but look at the clock, and tells how much of the time they could not.
pub(super) fn row() -> Result<Row> {
    let spinning: Vec<_> = (0..2).map(|_| thread::spawn(stops)).collect();
    let mut stopped = Vec::new();
    for spinning in spinning {
        stopped.extend(spinning.join().map_err(|_| anyhow!("a thread that looks at the clock has failed"))?);
    }
    let (count, longest) = (stopped.len(), stopped.iter().max().copied().unwrap_or_default());
    let value = 100.0 * stopped.iter().sum::<Duration>().as_secs_f64() / (2.0 * SPINNING.as_secs_f64());
    Ok(Row {
        what: format!(
            "The time for which this machine's cores stand still, both busy, by {STOP:?} and more at once"
        ),
        target: "-",
        measured: Measured::Told {
            value,
            unit: "%",
            detail: format!("{count} stops in {SPINNING:?}, the longest {longest:.1?}"),
        },
    })
}

fn stops() -> Vec<Duration> {
    let began = Instant::now();
    let mut last = began;
    let mut stops = Vec::new();
    while last - began < SPINNING {
        let now = Instant::now();
        if now - last >= STOP {
            stops.push(now - last);
        }
        last = now;
    }
    stops
}
