//! The life of one request in CloudFront: viewer-request, cache, origin, viewer-response.

use std::rc::Rc;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use selvedge_cloudfront::event::{Request, Trigger};
use selvedge_core::body::Body;
use selvedge_core::facts::Facts;
use selvedge_core::host::Host as _;
use selvedge_core::reason::{Reason, Summary};

use super::Deployment;
use super::cache::{Head, Key, State, Stored};
use super::failure::Failure;
use super::origin::Fetched;
use super::request::{self, Carried, Wire};
use super::response;
use super::trigger::Asked;
use crate::body::Bodies;
use crate::effects::EdgeHost;
use crate::store::memory::MAX_STORED_BODY_BYTES;
use crate::tee::Storing;

/// One request.
#[derive(Clone)]
pub(super) struct Exchange {
    pub(super) host: EdgeHost,
    pub(super) deployment: Arc<Deployment>,
    pub(super) facts: Facts,
    /// The request's ID in events, headers and logs.
    pub(super) id: String,
}

/// A response and where it is from.
struct Answer {
    response: Response<Body>,
    x_cache: &'static str,
    reason: Reason,
    cache: Option<Reason>,
}

impl Exchange {
    pub(super) fn new(host: &EdgeHost, deployment: Arc<Deployment>, facts: Facts) -> Self {
        let mut id = [0; 40];
        getrandom::fill(&mut id).expect("the operating system gives randomness once it is up");
        Self { host: host.clone(), deployment, facts, id: URL_SAFE.encode(id) }
    }

    /// Answers a client.
    pub(super) async fn run(self, request: http::Request<Body>) -> (Response<Body>, Summary) {
        let answer = self.answer(request).await.unwrap_or_else(Answer::from);
        let Answer { mut response, x_cache, reason, cache } = answer;
        response::sign(response.headers_mut(), x_cache, &self.id);
        let mut summary = Summary::of(reason);
        summary.cache = cache;
        (response, summary)
    }

    async fn answer(&self, request: http::Request<Body>) -> Result<Answer, Failure> {
        let (mut carried, wire) = request::take(request, &self.deployment.distribution, &self.facts)?;
        if self.deployment.distribution.https_only && self.facts.is_https != Some(true) {
            return Ok(to_https(&carried.head));
        }
        if let Some(attached) = self.deployment.attached(Trigger::ViewerRequest) {
            match self.ask(&attached, carried).await? {
                Asked::Request(changed) => carried = *changed,
                Asked::Response(response) => {
                    let x_cache = "LambdaGeneratedResponse from cloudfront";
                    return Ok(Answer { response, x_cache, reason: Reason::RouteResponded, cache: None });
                }
            }
        }
        let viewer = carried.head.clone();
        let mut answer = self.look_up(carried, wire).await?;
        // "CloudFront does not invoke Lambda functions for viewer response events if the origin returns 400 or higher":
        // https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/edge-function-restrictions-all.html
        let status = answer.response.status();
        if status.as_u16() < 400 && status != StatusCode::SWITCHING_PROTOCOLS {
            answer.response = self.show(Trigger::ViewerResponse, viewer, answer.response).await?;
        }
        Ok(answer)
    }

    /// Answers from the cache where it can.
    async fn look_up(&self, carried: Carried, wire: Wire) -> Result<Answer, Failure> {
        let key = Key::of(&carried.head, &self.deployment.distribution, &self.facts);
        let Some(key) = key.filter(|_| !wire.is_web_socket) else {
            return Ok(Answer::missed(self.ask_origins(carried, wire, None).await?));
        };
        let (stored, now) = (self.deployment.responses.get(&key), self.host.now());
        match stored.as_ref().map(|stored| (stored, stored.head.state(now))) {
            Some((stored, State::Fresh)) => Ok(self.hit(stored, &carried.head)),
            Some((stored, State::StaleWhileRevalidate)) => {
                let answer = self.hit(stored, &carried.head);
                self.revalidate_later(carried.head, wire, key, Arc::clone(stored));
                Ok(answer)
            }
            Some((_, State::StaleIfError | State::Stale)) | None => {
                self.fetch(carried, wire, &key, stored.as_deref()).await
            }
        }
    }

    /// Fetches what the cache does not have, and keeps what may be kept.
    async fn fetch(
        &self,
        carried: Carried,
        wire: Wire,
        key: &Key,
        stored: Option<&Stored>,
    ) -> Result<Answer, Failure> {
        let head = carried.head.clone();
        let fetched = self.ask_origins(carried, wire, stored).await;
        let has_failed = match &fetched {
            Ok(fetched) => !fetched.is_generated() && fetched.response.status().is_server_error(),
            Err(failure) => failure.origin.is_some(),
        };
        if let Some(stored) =
            stored.filter(|stored| has_failed && stored.head.state(self.host.now()) != State::Stale)
        {
            return Ok(self.hit(stored, &head));
        }
        let mut fetched = fetched?;
        if let Some(stored) = stored.filter(|_| fetched.confirms_stored()) {
            return Ok(self.refresh(stored, &fetched.response, key, &head));
        }
        self.keep(key, &mut fetched.response);
        Ok(Answer::missed(fetched))
    }

    /// Keeps a response for later requests, if it may be kept. A body that streams is kept by its reader.
    fn keep(&self, key: &Key, response: &mut Response<Body>) {
        let Some(head) = Head::of(response, self.host.now()) else { return };
        let (responses, key) = (self.deployment.responses.clone(), key.clone());
        match response.body() {
            Body::Empty => responses.put(&key, head, Bytes::new()),
            Body::Bytes(bytes) if bytes.len() as u64 <= MAX_STORED_BODY_BYTES => {
                responses.put(&key, head, bytes.clone());
            }
            Body::Bytes(_) => {}
            Body::Host(body) => {
                let store = Arc::clone(&self.host.worker.shared.store);
                let put = Box::new(move |body| responses.put(&key, head, body));
                self.host.bodies.store(*body, Storing { store, put, disk: None, turn: None });
            }
        }
    }

    /// Answers with a stored response that the origin has confirmed.
    fn refresh(
        &self,
        stored: &Stored,
        confirmation: &Response<Body>,
        key: &Key,
        request: &Request,
    ) -> Answer {
        let mut response = Response::new(Body::Empty);
        *response.status_mut() = stored.head.status;
        *response.headers_mut() = stored.head.refreshed(confirmation.headers());
        let now = self.host.now();
        let Some(head) = Head::of(&response, now) else {
            *response.body_mut() = Body::from(stored.body.clone());
            return Answer::cached(response, "RefreshHit from cloudfront");
        };
        let refreshed = Stored { head: head.clone(), body: stored.body.clone() };
        self.deployment.responses.put(key, head, stored.body.clone());
        Answer::cached(refreshed.answer(request, now), "RefreshHit from cloudfront")
    }

    /// Fetches a response anew behind the answer; its body is read here, as no client does.
    fn revalidate_later(&self, head: Request, wire: Wire, key: Key, stored: Arc<Stored>) {
        let Some(revalidating) = self.deployment.responses.revalidate(&key) else { return };
        let worker = Rc::clone(&self.host.worker);
        let bodies = Rc::new(Bodies::default());
        let host = EdgeHost::new(Rc::clone(&worker), Rc::clone(&bodies));
        let behind = Self { host, ..self.clone() };
        worker.run_later(async move {
            let carried = Carried { head, body: Body::Empty };
            if let Err(failure) = behind.fetch(carried, wire, &key, Some(&stored)).await {
                tracing::debug!(?failure, "a stored response was not revalidated");
            }
            bodies.read_unread_stores().await;
            drop(revalidating);
        });
    }

    fn hit(&self, stored: &Stored, request: &Request) -> Answer {
        Answer::cached(stored.answer(request, self.host.now()), "Hit from cloudfront")
    }
}

impl Answer {
    fn cached(response: Response<Body>, x_cache: &'static str) -> Self {
        Self { response, x_cache, reason: Reason::CacheHit, cache: Some(Reason::CacheHit) }
    }

    fn missed(fetched: Fetched) -> Self {
        let is_error = fetched.response.status().as_u16() >= 400;
        let (x_cache, reason) = match fetched.is_generated() {
            true => ("LambdaGeneratedResponse from cloudfront", Reason::RouteResponded),
            false if is_error => ("Error from cloudfront", Reason::BackendResponded),
            false => ("Miss from cloudfront", Reason::BackendResponded),
        };
        Self { response: fetched.response, x_cache, reason, cache: None }
    }
}

impl From<Failure> for Answer {
    fn from(failure: Failure) -> Self {
        let reason = failure.origin.map_or(Reason::BackendResponded, Reason::BackendFailed);
        let x_cache = failure.x_cache;
        Self { response: failure.into_response(), x_cache, reason, cache: None }
    }
}

/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/using-https-viewers-to-cloudfront.html>
fn to_https(request: &Request) -> Answer {
    let host = request.headers.first("host").unwrap_or_default();
    let query =
        if request.querystring.is_empty() { String::new() } else { format!("?{}", request.querystring) };
    let mut response = Response::new(Body::Empty);
    let is_safe = [Method::GET, Method::HEAD].iter().any(|method| request.method == method.as_str());
    *response.status_mut() =
        if is_safe { StatusCode::MOVED_PERMANENTLY } else { StatusCode::TEMPORARY_REDIRECT };
    if let Ok(location) = HeaderValue::try_from(format!("https://{host}{}{query}", request.uri)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Answer { response, x_cache: "Redirect from cloudfront", reason: Reason::RouteRedirected, cache: None }
}
