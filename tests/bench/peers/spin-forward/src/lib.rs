//! Hands every request to the backend that a variable names, and its response back.

use spin_sdk::http::{IntoResponse, Request, Uri, send};
use spin_sdk::{http_service, variables};

#[http_service]
async fn forward(request: Request) -> anyhow::Result<impl IntoResponse> {
    let backend = variables::get("backend").await?;
    let (mut parts, body) = request.into_parts();
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    parts.uri = format!("{backend}{target}").parse::<Uri>()?;
    Ok(send(Request::from_parts(parts, body)).await?)
}
