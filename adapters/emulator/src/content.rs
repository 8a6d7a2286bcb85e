//! The content of requests to the edge's own pages, bounded in bytes and in time.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;

use crate::status::text;

/// How long a content may take: who signs it is not known before it is there.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Reads a content of at most `max_bytes`.
///
/// # Errors
/// The answer to one that is longer, that breaks off or that takes too long.
pub(crate) async fn read(body: Incoming, max_bytes: usize) -> Result<Bytes, Response<Bytes>> {
    match tokio::time::timeout(TIMEOUT, Limited::new(body, max_bytes).collect()).await {
        Ok(Ok(content)) => Ok(content.to_bytes()),
        Ok(Err(_)) => Err(text(StatusCode::PAYLOAD_TOO_LARGE, "the content is too long, or broke off\n")),
        Err(_) => Err(text(StatusCode::REQUEST_TIMEOUT, "the content took too long\n")),
    }
}
