//! The body of a response that streams: its head, a separator, and its content as it comes.

use std::pin::Pin;
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use hyper::body::{Body as HttpBody, Frame};
use selvedge_core::body::Body;

use crate::body::{Bodies, HostBody};
use crate::observed::Observed;

/// The trailer that names the error that ended a body early.
pub(crate) const ERROR_TYPE: HeaderName = HeaderName::from_static("lambda-runtime-function-error-type");

/// The trailer that describes it.
pub(crate) const ERROR_BODY: HeaderName = HeaderName::from_static("lambda-runtime-function-error-body");

/// What is sent of a response.
#[derive(Debug)]
pub(crate) enum Content {
    /// Nothing.
    Empty,
    /// Bytes in memory.
    Bytes(Bytes),
    /// A body that stays with the host.
    Host(HostBody),
    /// A body that was used before.
    Lost,
}

/// A body for the runtime API.
#[derive(Debug)]
pub(crate) struct Stream {
    prelude: Option<Bytes>,
    content: Content,
    observed: Option<Observed>,
}

impl Content {
    pub(crate) fn of(body: Body, bodies: &Bodies) -> Self {
        match body {
            Body::Empty => Self::Empty,
            Body::Bytes(bytes) => Self::Bytes(bytes),
            Body::Host(handle) => bodies.take(handle).map_or(Self::Lost, Self::Host),
        }
    }
}

impl Stream {
    pub(crate) fn new(prelude: Vec<u8>, content: Content, observed: Option<Observed>) -> Self {
        Self { prelude: Some(prelude.into()), content, observed }
    }

    /// Ends with an error as the
    /// [runtime API](https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming)
    /// wants it, so that nobody takes what was sent for the whole.
    fn break_off(&mut self, message: &str) -> Frame<Bytes> {
        self.content = Content::Empty;
        // The end that comes after the trailers is none of the body's.
        self.observed = None;
        let body = serde_json::json!({ "errorType": "Selvedge.BodyBrokeOff", "errorMessage": message });
        let body = HeaderValue::try_from(BASE64_STANDARD.encode(body.to_string()));
        let mut trailers = HeaderMap::new();
        trailers.insert(ERROR_TYPE, HeaderValue::from_static("Selvedge.BodyBrokeOff"));
        trailers.insert(ERROR_BODY, body.expect("base64 is ASCII"));
        Frame::trailers(trailers)
    }
}

impl HttpBody for Stream {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        if let Some(prelude) = this.prelude.take() {
            return Poll::Ready(Some(Ok(Frame::data(prelude))));
        }
        let frame = match &mut this.content {
            Content::Empty => None,
            Content::Bytes(bytes) => {
                let bytes = std::mem::take(bytes);
                this.content = Content::Empty;
                Some(Frame::data(bytes))
            }
            Content::Lost => Some(this.break_off("the body was used before")),
            Content::Host(body) => match std::task::ready!(Pin::new(body).poll_frame(cx)) {
                // The runtime API has trailers of its own.
                Some(Ok(frame)) => frame.into_data().ok().map(Frame::data),
                Some(Err(error)) => Some(this.break_off(&format!("the backend's body broke off: {error}"))),
                None => None,
            },
        };
        if let Some(observed) = &mut this.observed {
            match &frame {
                Some(frame) => observed.on_content(frame.data_ref().map_or(0, Bytes::len)),
                None => observed.on_end(),
            }
        }
        Poll::Ready(frame.map(Ok))
    }
}
