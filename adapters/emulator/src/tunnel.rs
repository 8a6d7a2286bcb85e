//! Connections that change to another protocol: from then on their bytes go through as they are.

use std::cell::RefCell;

use http::{HeaderValue, Response, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use selvedge_core::body::Body;
use tokio::task::JoinSet;

/// Most tunnels of one thread; a further one is refused.
const MAX_TUNNELS: usize = 4096;

/// What the two sides of one exchange become when both change the protocol.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    client: RefCell<Option<OnUpgrade>>,
    backend: RefCell<Option<OnUpgrade>>,
}

/// The tunnels of one thread.
#[derive(Debug, Default)]
pub(crate) struct Tunnels(RefCell<JoinSet<()>>);

impl Ends {
    pub(crate) fn keep_client(&self, end: OnUpgrade) {
        self.client.replace(Some(end));
    }

    pub(crate) fn keep_backend(&self, end: OnUpgrade) {
        self.backend.replace(Some(end));
    }
}

impl Tunnels {
    /// Connects both ends when the response says that the protocol changes.
    ///
    /// A backend that changes it though nobody asked breaks HTTP, and the client gets a 502.
    pub(crate) fn open(&self, response: &mut Response<Body>, ends: &Ends) {
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return;
        }
        let (Some(client), Some(backend)) = (ends.client.take(), ends.backend.take()) else {
            return refuse(response, StatusCode::BAD_GATEWAY);
        };
        let mut tunnels = self.0.borrow_mut();
        while tunnels.try_join_next().is_some() {}
        if tunnels.len() >= MAX_TUNNELS {
            return refuse(response, StatusCode::SERVICE_UNAVAILABLE);
        }
        tunnels.spawn_local(connect(client, backend));
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
}

fn refuse(response: &mut Response<Body>, status: StatusCode) {
    *response = Response::new(Body::Empty);
    *response.status_mut() = status;
}

async fn connect(client: OnUpgrade, backend: OnUpgrade) {
    let ends = tokio::try_join!(client, backend);
    let (mut client, mut backend) = match ends {
        Ok((client, backend)) => (TokioIo::new(client), TokioIo::new(backend)),
        Err(error) => return tracing::debug!(%error, "a connection did not change its protocol"),
    };
    if let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut backend).await {
        tracing::debug!(%error, "a tunnel broke off");
    }
}
