//! Queues and schedules.

use std::collections::BTreeMap;
use std::time::Duration;

use http::uri::PathAndQuery;

use super::Checker;
use crate::job::cron::{Cron, CronError};
use crate::job::{JobTarget, Queue, QueueStore, Schedule};
use crate::policy::raw;
use crate::policy::report::join;

const DEFAULT_ATTEMPTS: u32 = 10;
const MAX_ATTEMPTS: u32 = 100;
const DEFAULT_RETRY_DELAY: Duration = Duration::from_secs(10);
const MAX_FIRST_DELAY: Duration = Duration::from_secs(60 * 60);

/// Longest name of a queue; Cloudflare Queues and SQS take no more than 63 and 80.
const MAX_NAME_BYTES: usize = 63;

/// The keys that say who does a job.
struct Target<'a> {
    backend: Option<&'a String>,
    path: Option<&'a String>,
    handler: Option<&'a String>,
}

impl Checker<'_> {
    pub(super) fn queues(&mut self, queues: &BTreeMap<String, raw::Queue>) -> Vec<Queue> {
        self.bound("queues", queues.len());
        queues.iter().filter_map(|(name, raw)| self.queue(name, raw)).collect()
    }

    fn queue(&mut self, name: &str, raw: &raw::Queue) -> Option<Queue> {
        let path = join("queues", name);
        self.job_name(&path, "queue", name);
        let attempts = raw.attempts.unwrap_or(DEFAULT_ATTEMPTS);
        if !(1..=MAX_ATTEMPTS).contains(&attempts) {
            let message = format!("{attempts} attempts are out of range: from 1 to {MAX_ATTEMPTS}");
            self.report.error(join(&path, "attempts"), message);
        }
        let retry_delay = raw.retry_delay.as_ref().and_then(|text| {
            self.duration(&join(&path, "retry-delay"), text, Duration::from_secs(1), MAX_FIRST_DELAY)
        });
        let (backend, handler) = (raw.backend.as_ref(), raw.handler.as_ref());
        let target = self.job_target(&path, &Target { backend, path: raw.path.as_ref(), handler })?;
        let store = match raw.store {
            Some(raw::QueueStore::Platform) => QueueStore::Platform,
            Some(raw::QueueStore::Edge) | None => QueueStore::Edge,
        };
        let retry_delay = retry_delay.unwrap_or(DEFAULT_RETRY_DELAY);
        Some(Queue { name: name.to_owned(), target, attempts, retry_delay, store })
    }

    pub(super) fn schedules(&mut self, schedules: &BTreeMap<String, raw::Schedule>) -> Vec<Schedule> {
        self.bound("schedules", schedules.len());
        schedules.iter().filter_map(|(name, raw)| self.schedule(name, raw)).collect()
    }

    fn schedule(&mut self, name: &str, raw: &raw::Schedule) -> Option<Schedule> {
        let path = join("schedules", name);
        self.job_name(&path, "schedule", name);
        let cron = self.cron(&path, raw.cron.as_deref());
        let (backend, handler) = (raw.backend.as_ref(), raw.handler.as_ref());
        let target = self.job_target(&path, &Target { backend, path: raw.path.as_ref(), handler });
        Some(Schedule { name: name.to_owned(), cron: cron?, target: target? })
    }

    /// Names go into headers, and into names on platforms.
    fn job_name(&mut self, path: &str, what: &str, name: &str) {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_name = !name.is_empty()
            && name.len() <= MAX_NAME_BYTES
            && name.bytes().all(is_plain)
            && !name.starts_with('-')
            && !name.ends_with('-');
        if !is_name {
            let help = format!("use at most {MAX_NAME_BYTES} lower-case letters, digits and hyphens within");
            self.report.error_with_help(path, format!("`{name}` cannot name a {what}"), help);
        }
    }

    fn cron(&mut self, path: &str, text: Option<&str>) -> Option<Cron> {
        let Some(text) = text else {
            let help =
                "add `cron = \"30 3 * * *\"`: minute, hour, day of the month, month, day of the week, in UTC";
            self.report.error_with_help(path, "a schedule needs a `cron`", help);
            return None;
        };
        text.parse().map_err(|error: CronError| self.bad_cron(&join(path, "cron"), text, &error)).ok()
    }

    fn bad_cron(&mut self, path: &str, text: &str, error: &CronError) {
        let help = match error {
            CronError::BothDays => {
                "write two schedules: platforms disagree on whether one or both days must fit"
            }
            CronError::FieldCount(_) | CronError::Field { .. } | CronError::Never => {
                "write minute, hour, day of the month, month and day of the week, such as `30 3 * * MON-FRI`"
            }
        };
        self.report.error_with_help(path, format!("`{text}` is not a cron expression: {error}"), help);
    }

    fn job_target(&mut self, path: &str, target: &Target<'_>) -> Option<JobTarget> {
        match (target.backend, target.handler) {
            (Some(name), None) => {
                let backend = self.backend(&join(path, "backend"), name);
                let path = self.job_path(&join(path, "path"), target.path.map_or("/", String::as_str));
                Some(JobTarget::Backend { backend: backend?, path: path? })
            }
            (None, Some(handler)) => {
                if target.path.is_some() {
                    self.report.error(join(path, "path"), "only a backend has a `path`");
                }
                Some(JobTarget::Handler(handler.clone()))
            }
            (Some(_), Some(_)) => {
                self.report.error(path, "either a `backend` or a `handler` does the work, not both");
                None
            }
            (None, None) => {
                let help = "add `backend = \"NAME\"` and a `path`, or `handler = \"NAME\"`";
                self.report.error_with_help(path, "nobody does the work", help);
                None
            }
        }
    }

    fn job_path(&mut self, path: &str, text: &str) -> Option<String> {
        let is_path =
            text.starts_with('/') && text.parse::<PathAndQuery>().is_ok_and(|parsed| parsed.as_str() == text);
        if !is_path {
            let help = "write it like `/jobs/orders`";
            self.report.error_with_help(path, format!("`{text}` is not a path"), help);
        }
        is_path.then(|| text.to_owned())
    }
}
