//! The description of the origin in [OpenAPI 3.1](https://spec.openapis.org/oas/v3.1.0).

use axum::http::header;
use axum::response::{IntoResponse as _, Response};

const DESCRIPTION: &str = include_str!("../openapi.json");

pub(crate) async fn show() -> Response {
    let headers =
        [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "public, max-age=300")];
    (headers, DESCRIPTION).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::body::Body;
    use axum::http::{Method, Request, StatusCode};
    use serde_json::Value;
    use tower::ServiceExt as _;

    use crate::{Origin, OriginConfig, routes};

    /// Methods that a path is asked with; `HEAD` and `OPTIONS` follow from the others.
    const METHODS: [Method; 5] = [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::PATCH];

    #[tokio::test]
    async fn the_description_has_every_route_and_no_other() {
        let described: Value = serde_json::from_str(super::DESCRIPTION).expect("JSON");
        let described: BTreeSet<_> = described["paths"]
            .as_object()
            .expect("paths")
            .iter()
            .flat_map(|(path, item)| {
                let methods = item.as_object().expect("an item").keys().filter(|key| *key != "parameters");
                methods.map(move |method| format!("{} {path}", method.to_uppercase()))
            })
            .collect();
        let router = Origin::new(&OriginConfig::default()).await.expect("an origin").router();
        let mut served = BTreeSet::new();
        for (path, _) in routes() {
            for method in METHODS {
                let uri = path.replace("{id}", "99").replace("{name}", "nothing");
                let request =
                    Request::builder().method(&method).uri(uri).body(Body::empty()).expect("a request");
                let Ok(answer) = router.clone().oneshot(request).await;
                if answer.status() != StatusCode::METHOD_NOT_ALLOWED {
                    served.insert(format!("{method} {path}"));
                }
            }
        }
        assert_eq!(described, served);
    }
}
