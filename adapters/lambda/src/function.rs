//! One function: what each kind of event comes to.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use selvedge_cloudfront::policy::Edge;
use selvedge_core::body::Body;
use selvedge_core::effect::ReadBodyError;
use selvedge_core::engine::Engine;
use selvedge_core::exchange::Exchange;
use selvedge_core::host::{Driven, drive};
use selvedge_core::time::Timestamp;
use selvedge_native::backend::Backends;
use selvedge_native::body::read;
use selvedge_native::random::Seeds;

use crate::answer::{Answer, Answered};
use crate::body::{Bodies, HostBody};
use crate::effects::EdgeHost;
use crate::event::{Event, Front, HttpEvent};
use crate::observed::Observed;
use crate::settings::{Settings, variable};
use crate::sqs::Queues;
use crate::stream::{Content, Stream};
use crate::{cloudfront, facts, jobs, request, response};

/// What all invocations of one process share.
pub(crate) struct Function {
    pub(crate) engine: Arc<Engine>,
    pub(crate) backends: Backends<HostBody>,
    pub(crate) seeds: Seeds,
    pub(crate) queues: Queues,
    pub(crate) clock: fn() -> Timestamp,
    pub(crate) edge: Arc<Edge>,
    settings: Settings,
}

impl Function {
    pub(crate) fn new(
        engine: Arc<Engine>,
        settings: Settings,
        clock: fn() -> Timestamp,
    ) -> anyhow::Result<Self> {
        let queues = Queues::read(engine.policy(), variable);
        let edge = cloudfront::edge(&engine)?;
        Ok(Self { engine, backends: Backends::new(), seeds: Seeds::new(), queues, clock, edge, settings })
    }

    /// Answers one event within a time.
    pub(crate) async fn invoke(self: &Rc<Self>, event: &Bytes, time: Duration) -> Answered {
        match Event::parse(event) {
            Ok(Event::Http(event)) => self.http(*event, time).await,
            Ok(Event::Messages(messages)) => jobs::messages(self, messages, time).await.into(),
            Ok(Event::Schedule(name)) => jobs::schedule(self, name).await.into(),
            Ok(Event::CloudFront) => cloudfront::answer(self, event).await.into(),
            Err(error) => Answer::Failure { code: error.code(), message: error.message().to_owned() }.into(),
        }
    }

    async fn http(self: &Rc<Self>, mut event: HttpEvent, time: Duration) -> Answered {
        let bodies = Rc::new(Bodies::default());
        let keep = |body| bodies.keep(HostBody::Client(Full::new(body)));
        let request = match request::accept(&mut event) {
            Ok(request) => request.map(keep),
            Err(bad) => {
                return Answer::Failure { code: "Selvedge.BadRequest", message: bad.0.to_owned() }.into();
            }
        };
        let facts = facts::of(&event, request.headers(), self.settings.secret.as_ref());
        let id = self.seeds.next();
        let begin = |share| Observed::begin(Arc::clone(&self.engine), share, id, &request, &facts);
        let mut observed = self.settings.access_log.map(begin);
        let host = EdgeHost::new(Rc::clone(self), Rc::clone(&bodies));
        let seen = host.seen();
        let exchange = Exchange::new(Arc::clone(&self.engine), request, facts, id);
        let Driven { response, summary, after } = drive(host, exchange).await;
        if let Some(observed) = &mut observed {
            observed.on_head(&response, summary, &seen);
        }
        let answer = if self.settings.streams && event.front == Front::Version2 {
            let (head, body) = response.into_parts();
            let content = Content::of(body, &bodies);
            Answer::Stream(Box::new(Stream::new(response::prelude(&head), content, observed)))
        } else {
            Answer::Result(self.buffer(event.front, response, &bodies, time, observed).await)
        };
        Answered { answer, after }
    }

    /// Reads the whole body; when that fails, the policy's fallback is what is left to answer.
    async fn buffer(
        &self,
        front: Front,
        response: Response<Body>,
        bodies: &Bodies,
        time: Duration,
        observed: Option<Observed>,
    ) -> Vec<u8> {
        let (head, body) = response.into_parts();
        let most = response::max_bytes(front);
        let body = tokio::time::timeout(time, content(body, bodies, most)).await;
        let body = body.unwrap_or(Err("the backend's body did not end in time"));
        let encoded = body.map(|body| (response::encode(front, &head, &body), body.len()));
        let (result, bytes) = match encoded {
            Ok((result, bytes)) if result.len() <= most => (result, bytes),
            Ok(_) => {
                return self.last_resort(front, "the response is larger than Lambda lets through", observed);
            }
            Err(message) => return self.last_resort(front, message, observed),
        };
        if let Some(mut observed) = observed {
            observed.on_content(bytes);
            observed.on_end();
        }
        result
    }

    fn last_resort(&self, front: Front, message: &str, observed: Option<Observed>) -> Vec<u8> {
        selvedge_log::write_log("ERROR", message);
        let (head, body) = self.engine.last_resort().response.into_parts();
        let content = match body {
            Body::Bytes(bytes) => bytes,
            Body::Empty | Body::Host(_) => Bytes::new(),
        };
        if let Some(mut observed) = observed {
            observed.on_replaced(head.status, content.len());
        }
        response::encode(front, &head, &content)
    }
}

async fn content(body: Body, bodies: &Bodies, most: usize) -> Result<Bytes, &'static str> {
    match Content::of(body, bodies) {
        Content::Empty => Ok(Bytes::new()),
        Content::Bytes(bytes) => Ok(bytes),
        Content::Host(body) => read(body, most).await.map_err(|error| match error {
            ReadBodyError::TooLarge => "the response is larger than Lambda lets through",
            ReadBodyError::Broken | _ => "the backend's body broke off",
        }),
        Content::Lost => Err("the response's body was used before"),
    }
}
