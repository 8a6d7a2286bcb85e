//! The loop between Lambda and the function: one event, one answer.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow, bail};
use http::{HeaderName, HeaderValue, Method, Request, header};
use lambda_runtime::tower::{Layer, Service, service_fn};
use lambda_runtime::{Error, LambdaEvent, LambdaInvocation, Runtime};
use lambda_runtime_api_client::PooledClient;
use lambda_runtime_api_client::body::Body;
use serde::de::IgnoredAny;
use tokio::task::LocalSet;

use crate::answer::{Answer, Answered};
use crate::function::Function;
use crate::settings::variable;

/// Where Lambda listens; its absence means that something else started the program.
const RUNTIME_API: &str = "AWS_LAMBDA_RUNTIME_API";

/// Comes with an event and goes back with its answer, so that an answer that is late is not taken for another's.
const INVOCATION_ID: HeaderName = HeaderName::from_static("lambda-runtime-invocation-id");

const RESPONSE_MODE: HeaderName = HeaderName::from_static("lambda-runtime-function-response-mode");

const ERROR_TYPE: HeaderName = HeaderName::from_static("lambda-runtime-function-error-type");

/// Time that is kept for sending an answer.
const RESERVE: Duration = Duration::from_millis(500);

/// Asks for events and answers them until Lambda ends the process.
pub(crate) fn run(function: Function) -> anyhow::Result<()> {
    if variable(RUNTIME_API).is_none() {
        bail!(
            "{RUNTIME_API} is not set: Lambda starts this program, or `selvedge dev --runtime lambda` and `cargo lambda watch` do"
        );
    }
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let tokio = tokio.context("cannot start a runtime")?;
    LocalSet::new().block_on(&tokio, async {
        // The layer answers every invocation, so that nothing comes to the service within.
        let nothing = service_fn(async |_: LambdaEvent<IgnoredAny>| Ok::<(), Error>(()));
        let runtime = Runtime::new(nothing).layer(Answering(Rc::new(function)));
        runtime.run().await.map_err(|error| anyhow!("{error}"))
    })
}

/// Puts the function in the place of a service.
///
/// `lambda_runtime` sends a response that breaks off as one that is whole, with the error's text at its end, and asks
/// for the next event at once. A layer that answers by itself does neither.
struct Answering(Rc<Function>);

struct Invocations {
    function: Rc<Function>,
    lambda: Arc<PooledClient>,
}

impl<S> Layer<S> for Answering {
    type Service = Invocations;

    fn layer(&self, _: S) -> Invocations {
        let lambda = Arc::new(PooledClient::builder().with_pool_size(1).build());
        Invocations { function: Rc::clone(&self.0), lambda }
    }
}

impl Service<LambdaInvocation> for Invocations {
    type Response = ();
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<(), Error>>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, invocation: LambdaInvocation) -> Self::Future {
        let (function, lambda) = (Rc::clone(&self.function), Arc::clone(&self.lambda));
        Box::pin(serve(function, lambda, invocation))
    }
}

async fn serve(
    function: Rc<Function>,
    lambda: Arc<PooledClient>,
    invocation: LambdaInvocation,
) -> Result<(), Error> {
    let LambdaInvocation { parts, body, context } = invocation;
    let time = context.deadline().duration_since(SystemTime::now()).unwrap_or_default();
    let time = time.saturating_sub(RESERVE);
    // A task, so that a panic ends it and not the process.
    let answering = tokio::task::spawn_local(async move { function.invoke(&body, time).await });
    let Answered { answer, after } = answering.await.unwrap_or_else(|_| {
        let message = "the program panicked; its message is in the log".to_owned();
        Answer::Failure { code: "Selvedge.Panic", message }.into()
    });
    let id = context.request_id;
    let mut request = request(&id, answer)?;
    if let Some(invocation) = parts.headers.get(INVOCATION_ID) {
        request.headers_mut().insert(INVOCATION_ID, invocation.clone());
    }
    // Lambda's own word on an answer, such as one that came too late, changes nothing any more.
    lambda.call(request).await?;
    if let Some(after) = after {
        // What fails here has no client to tell.
        let _ = tokio::task::spawn_local(after.finish()).await;
    }
    Ok(())
}

/// Tells Lambda an answer.
fn request(id: &str, answer: Answer) -> Result<Request<Body>, Error> {
    let outcome = if matches!(answer, Answer::Failure { .. }) { "error" } else { "response" };
    let mut request = Request::new(Body::empty());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = format!("/2018-06-01/runtime/invocation/{id}/{outcome}").parse()?;
    let headers = request.headers_mut();
    let body = match answer {
        Answer::Result(result) => {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            Body::from(result)
        }
        Answer::Stream(stream) => {
            headers.insert(RESPONSE_MODE, HeaderValue::from_static("streaming"));
            let kind = HeaderValue::from_static("application/vnd.awslambda.http-integration-response");
            headers.insert(header::CONTENT_TYPE, kind);
            headers.insert(header::TRAILER, HeaderValue::from_name(crate::stream::ERROR_TYPE));
            headers.append(header::TRAILER, HeaderValue::from_name(crate::stream::ERROR_BODY));
            Body::new(stream)
        }
        Answer::Failure { code, message } => {
            headers.insert(ERROR_TYPE, HeaderValue::from_static(code));
            let error = serde_json::json!({ "errorType": code, "errorMessage": message });
            Body::from(error.to_string())
        }
    };
    *request.body_mut() = body;
    Ok(request)
}
