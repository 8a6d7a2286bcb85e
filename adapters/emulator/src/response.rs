//! From the core's response to bytes on a socket.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use selvedge_core::body::Body;

use crate::body::{Bodies, HostBody, StreamError};
use crate::observed::Observed;
use crate::pace::{Flow, Pace};
use crate::worker::InFlight;

/// A response's body; the request is in flight until it is dropped.
#[derive(Debug)]
pub(crate) struct Outgoing {
    content: Content,
    observed: Option<Observed>,
    /// Where the connection does not end by itself when its client takes nothing.
    flow: Option<Flow>,
    _in_flight: InFlight,
}

#[derive(Debug)]
enum Content {
    Empty,
    Bytes(Bytes),
    Host(HostBody),
    /// The core answered with a body that was used before; the response breaks off.
    Lost,
}

/// Why a response breaks off.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// The body that is passed on broke off.
    Broken(StreamError),
    /// The body was used before.
    Lost,
}

/// Makes the response that is sent.
pub(crate) fn send(
    response: Response<Body>,
    bodies: &Bodies,
    mut observed: Observed,
    in_flight: InFlight,
) -> Response<Outgoing> {
    let (mut parts, body) = response.into_parts();
    parts.extensions.clear();
    let content = match body {
        Body::Empty => Content::Empty,
        Body::Bytes(bytes) => Content::Bytes(bytes),
        Body::Host(handle) => bodies.take(handle).map_or(Content::Lost, Content::Host),
    };
    if *observed.method() == Method::HEAD || parts.status == StatusCode::NOT_MODIFIED {
        observed.on_end();
    }
    Response::from_parts(
        parts,
        Outgoing { content, observed: Some(observed), flow: None, _in_flight: in_flight },
    )
}

/// Makes a response of the emulator's own.
pub(crate) fn send_bytes(response: Response<Bytes>, in_flight: InFlight) -> Response<Outgoing> {
    response.map(|bytes| Outgoing {
        content: Content::Bytes(bytes),
        observed: None,
        flow: None,
        _in_flight: in_flight,
    })
}

impl Outgoing {
    /// Counts it among the bodies of its connection, unless there is nothing of it.
    pub(crate) fn flow(&mut self, pace: &Rc<Pace>) {
        if !self.content.is_end_stream() {
            self.flow = Some(Flow::begin(Rc::clone(pace)));
        }
    }

    /// Takes note of what goes to the client, or of why nothing more does.
    fn observe(&mut self, frame: Option<&Result<Frame<Bytes>, BodyError>>) {
        let Some(observed) = &mut self.observed else { return };
        match frame {
            Some(Ok(frame)) => observed.on_content(frame.data_ref().map_or(0, Bytes::len)),
            Some(Err(_)) => observed.on_break(),
            None => observed.on_end(),
        }
    }
}

/// Who sends a body of announced length need not ask for its end.
impl Drop for Outgoing {
    fn drop(&mut self) {
        if self.content.is_end_stream() {
            self.observe(None);
        }
    }
}

impl Content {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self {
            Self::Empty => Poll::Ready(None),
            Self::Bytes(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Self::Host(body) => {
                Pin::new(body).poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(BodyError::Broken)))
            }
            Self::Lost => Poll::Ready(Some(Err(BodyError::Lost))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Host(body) => body.is_end_stream(),
            Self::Lost => false,
        }
    }
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let frame = this.content.poll_frame(cx);
        if let Some(flow) = &mut this.flow {
            flow.on_room(frame.is_ready());
        }
        if let Poll::Ready(frame) = &frame {
            this.observe(frame.as_ref());
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Empty => SizeHint::with_exact(0),
            Content::Bytes(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Host(body) => body.size_hint(),
            Content::Lost => SizeHint::default(),
        }
    }
}

impl std::fmt::Display for BodyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Broken(error) => write!(f, "the response's body broke off: {error}"),
            Self::Lost => f.write_str("the response's body was used before"),
        }
    }
}

impl std::error::Error for BodyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Broken(error) => Some(error),
            Self::Lost => None,
        }
    }
}
