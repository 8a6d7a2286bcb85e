//! The origin's side of a request: origin-request, the origins of the group, origin-response.

use http::{Response, StatusCode};
use selvedge_cloudfront::event::{CustomOrigin, Origin, Request, Trigger};
use selvedge_cloudfront::policy::behaviours::Origins;
use selvedge_cloudfront::policy::distribution::FAILOVER_STATUSES;
use selvedge_core::body::Body;
use selvedge_core::headers::hop_by_hop;

use super::cache::Stored;
use super::exchange::Exchange;
use super::failure::Failure;
use super::request::{self, Carried, Wire};
use super::trigger::Asked;

/// A response that the cache did not have.
pub(super) struct Fetched {
    pub(super) response: Response<Body>,
    /// What the origin was asked; `None` when the function at origin-request made the response.
    asked: Option<Request>,
    /// Whether the cache asked if what it has is still the response.
    is_conditional: bool,
}

impl Fetched {
    pub(super) fn is_generated(&self) -> bool {
        self.asked.is_none()
    }

    /// Whether the origin says that what the cache has is still the response.
    pub(super) fn confirms_stored(&self) -> bool {
        self.is_conditional && self.response.status() == StatusCode::NOT_MODIFIED
    }
}

impl Exchange {
    /// Gets a response from the origin, or from the other one of its group when that fails, and shows it to the function.
    ///
    /// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/high_availability_origin_failover.html>
    pub(super) async fn ask_origins(
        &self,
        carried: Carried,
        wire: Wire,
        stored: Option<&Stored>,
    ) -> Result<Fetched, Failure> {
        let again = (wire.origins == Origins::Group).then(|| carried.clone());
        let first = self.ask_origin(carried, wire, stored, request::primary()).await;
        let mut fetched = match again {
            // Whether origin-response runs for the response that is given up is not documented; here it does not.
            Some(again) if is_failed(&first) => {
                self.ask_origin(again, wire, stored, request::secondary()).await?
            }
            Some(_) | None => first?,
        };
        // "The function doesn't run when the response is generated from a function at origin-request":
        // https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-cloudfront-trigger-events.html
        if let Some(asked) = &fetched.asked
            && fetched.response.status() != StatusCode::SWITCHING_PROTOCOLS
        {
            fetched.response = self.show(Trigger::OriginResponse, asked.clone(), fetched.response).await?;
        }
        Ok(fetched)
    }

    async fn ask_origin(
        &self,
        mut carried: Carried,
        wire: Wire,
        stored: Option<&Stored>,
        origin: CustomOrigin,
    ) -> Result<Fetched, Failure> {
        carried.approach_origin(&self.deployment.distribution, &self.facts, wire);
        let mut is_conditional = false;
        for (key, value) in stored.into_iter().flat_map(|stored| stored.head.validators()) {
            carried.head.headers.insert(key, value);
            is_conditional = true;
        }
        carried.head.origin = Some(Origin::Custom(origin));
        if let Some(attached) = self.deployment.attached(Trigger::OriginRequest) {
            match self.ask(&attached, carried).await? {
                Asked::Request(changed) => carried = *changed,
                Asked::Response(response) => {
                    return Ok(Fetched { response, asked: None, is_conditional: false });
                }
            }
        }
        let asked = carried.head.clone();
        let fetch = carried.into_fetch(wire, &self.id);
        let fetch = fetch.map_err(|text| Failure::result(Trigger::OriginRequest, &[text]))?;
        let url = fetch.request.uri().to_string();
        let mut response = self.host.fetch(fetch).await.map_err(|error| Failure::origin(&url, error))?;
        hop_by_hop::strip_response(response.headers_mut());
        Ok(Fetched { response, asked: Some(asked), is_conditional })
    }
}

/// What the origin group's criteria call a failure.
fn is_failed(fetched: &Result<Fetched, Failure>) -> bool {
    match fetched {
        Ok(fetched) => {
            !fetched.is_generated() && FAILOVER_STATUSES.contains(&fetched.response.status().as_u16())
        }
        Err(failure) => failure.origin.is_some(),
    }
}
