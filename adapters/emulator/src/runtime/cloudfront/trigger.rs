//! The function at each trigger: what it is told, and what becomes of what it says.

use bytes::Bytes;
use http::Response;
use selvedge_cloudfront::event::{
    BodyAction, Cf, Config, Encoding, Extra, Outcome, Request, RequestBody, Response as EventResponse,
    Trigger,
};
use selvedge_cloudfront::policy::distribution::Attached;
use selvedge_cloudfront::rules::limits;
use selvedge_core::body::Body;

use super::exchange::Exchange;
use super::failure::Failure;
use super::request::Carried;
use super::{function, response};

/// The distribution's ID, in its events.
const DISTRIBUTION_ID: &str = "ELOCALSELVEDGE";
/// The distribution's own name.
const DISTRIBUTION_DOMAIN: &str = "dlocalselvedge.cloudfront.net";

/// What a function made of a request.
pub(super) enum Asked {
    Request(Box<Carried>),
    Response(Response<Body>),
}

impl Exchange {
    /// Asks the function about a request.
    pub(super) async fn ask(&self, attached: &Attached, mut carried: Carried) -> Result<Asked, Failure> {
        let trigger = attached.trigger;
        if attached.include_body {
            carried.head.body = Some(self.include_body(trigger, &mut carried.body).await?);
        }
        match self.call(trigger, carried.head, None).await? {
            Outcome::Response(given) => {
                let response = response::from_event(&given, Body::Empty);
                Ok(Asked::Response(response.map_err(|text| Failure::result(trigger, &[text]))?))
            }
            Outcome::Request(mut head) => {
                let mut body = carried.body;
                if let Some(given) = head.body.take().filter(|body| body.action == BodyAction::Replace) {
                    let bytes =
                        given.decode().map_err(|error| Failure::result(trigger, &[error.to_string()]))?;
                    body = Body::from(Bytes::from(bytes));
                    // The client library writes the length of what it sends.
                    head.headers.remove("content-length");
                }
                Ok(Asked::Request(Box::new(Carried { head: *head, body })))
            }
        }
    }

    /// Shows a response to the function, where the trigger has one.
    pub(super) async fn show(
        &self,
        trigger: Trigger,
        request: Request,
        response: Response<Body>,
    ) -> Result<Response<Body>, Failure> {
        if self.deployment.attached(trigger).is_none() {
            return Ok(response);
        }
        let event = response::to_event(&response);
        match self.call(trigger, request, Some(event)).await? {
            Outcome::Response(given) => {
                let changed = response::from_event(&given, response.into_body());
                changed.map_err(|text| Failure::result(trigger, &[text]))
            }
            Outcome::Request(_) => {
                let text = "the result is a request where a response is due".to_owned();
                Err(Failure::result(trigger, &[text]))
            }
        }
    }

    async fn call(
        &self,
        trigger: Trigger,
        request: Request,
        response: Option<EventResponse>,
    ) -> Result<Outcome, Failure> {
        let config = Config {
            distribution_domain_name: DISTRIBUTION_DOMAIN.to_owned(),
            distribution_id: DISTRIBUTION_ID.to_owned(),
            event_type: Some(trigger),
            request_id: self.id.clone(),
            extra: Extra::new(),
        };
        let cf = Cf { config, request, response, extra: Extra::new() };
        function::call(&self.host, &self.deployment, trigger, cf).await
    }

    /// Reads the beginning of a request's body for an event; the whole of it still goes on.
    async fn include_body(&self, trigger: Trigger, body: &mut Body) -> Result<RequestBody, Failure> {
        // "40 KB" and "1 MB", as of a body that replaces it:
        // https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-include-body-access.html
        let limit = limits::max_body_bytes(trigger, Encoding::Text);
        let (bytes, is_truncated) = self.peek(body, limit).await?;
        let mut included = RequestBody::replace(&bytes);
        included.action = BodyAction::ReadOnly;
        included.input_truncated = is_truncated;
        Ok(included)
    }

    async fn peek(&self, body: &mut Body, limit: usize) -> Result<(Bytes, bool), Failure> {
        let handle = match body {
            Body::Empty => return Ok((Bytes::new(), false)),
            Body::Bytes(bytes) => return Ok((bytes.slice(..bytes.len().min(limit)), bytes.len() > limit)),
            Body::Host(handle) => *handle,
        };
        let broken = || Failure::refused(http::StatusCode::BAD_REQUEST, "The request's body broke off.\n");
        let beginning = self.host.bodies.take(handle).ok_or_else(broken)?.peek(limit).await;
        let beginning = beginning.map_err(|_| broken())?;
        let is_truncated = beginning.whole.is_some();
        *body = match beginning.whole {
            Some(whole) => self.host.bodies.keep(whole),
            None => Body::from(beginning.bytes.clone()),
        };
        Ok((beginning.bytes, is_truncated))
    }
}
