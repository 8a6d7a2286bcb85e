//! What cases in a file cannot say, on Node.js with the bundle as it is deployed: many events at once, crashes, events
//! that are none, and what may not be in logs.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod access_log;
mod backend;
mod crashes;
mod events;
mod functions;
mod hostile;
mod load;
mod logs;
mod places;
