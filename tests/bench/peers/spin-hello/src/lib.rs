//! Greets every request.

use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn hello(_: Request) -> impl IntoResponse {
    "Hello!"
}
