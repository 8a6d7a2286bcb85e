//! `POST /_selvedge/jobs/...`: does a job at once and tells what becomes of it, for whoever tries a policy.

use std::rc::Rc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use selvedge_core::job::{Job, JobSource, MAX_MESSAGE_BYTES};

use super::{run, schedule_job};
use crate::content;
use crate::status::text;
use crate::worker::Worker;

const PREFIX: &str = "/_selvedge/jobs/";

/// A path under `/_selvedge/jobs/`: `queue/NAME`, `queue/NAME/ATTEMPT` or `schedule/NAME`.
pub(crate) fn owns(path: &str) -> bool {
    path.starts_with(PREFIX)
}

/// Does the job; the request's content is the message.
pub(crate) async fn respond(worker: &Rc<Worker>, request: Request<Incoming>) -> Response<Bytes> {
    if request.method() != Method::POST {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "use POST\n");
        response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("POST"));
        return response;
    }
    // Browsers name the page that a POST comes from: no page on the web sets off work on this machine.
    if request.headers().contains_key(header::ORIGIN) {
        return text(StatusCode::FORBIDDEN, "not from a web page\n");
    }
    let (parts, body) = request.into_parts();
    let Some(found) = find(worker, parts.uri.path()) else {
        return text(StatusCode::NOT_FOUND, "the policy has no such queue or schedule\n");
    };
    let message = match content::read(body, MAX_MESSAGE_BYTES).await {
        Ok(message) => message,
        Err(refusal) => return refusal,
    };
    let job = Job { body: message, ..found };
    let settlement = run(worker, job).await;
    text(StatusCode::OK, format!("{settlement}\n"))
}

fn find(worker: &Worker, path: &str) -> Option<Job> {
    let engine = worker.shared.engine.engine();
    let policy = engine.policy();
    let mut parts = path.strip_prefix(PREFIX)?.split('/');
    let (kind, name, attempt) = (parts.next()?, parts.next()?, parts.next());
    if parts.next().is_some() {
        return None;
    }
    let now = worker.shared.config.clock.now();
    match kind {
        "queue" => {
            let source = JobSource::Queue(policy.queue(name)?.name.clone());
            let attempt = attempt.map_or(Some(1), |text| text.parse().ok())?;
            Some(Job { source, id: format!("tried-{}", now.as_millis()), attempt, body: Bytes::new() })
        }
        "schedule" => Some(schedule_job(&policy.schedule(name)?.name, now)),
        _ => None,
    }
}
