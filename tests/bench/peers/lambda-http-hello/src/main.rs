//! Greets every request.

use lambda_http::{Body, Error, Request, Response, run, service_fn};

// One thread, as a function of one processor has it and as Selvedge's does.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(service_fn(hello)).await
}

async fn hello(_: Request) -> Result<Response<Body>, Error> {
    Ok(Response::builder().header("content-type", "text/plain").body("Hello!".into())?)
}
