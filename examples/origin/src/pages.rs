//! Pages.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use crate::Origin;
use crate::conditional::{Resource, respond};
use crate::resource::Kind;

/// Variations of the hero: name, heading.
const HEROES: [(&str, &str); 3] =
    [("control", "Woven once"), ("bold", "WOVEN ONCE. WORN FOREVER."), ("calm", "Cloth that takes its time")];

pub(crate) async fn home(headers: HeaderMap) -> Response {
    let asked = headers.get("x-hero").and_then(|hero| hero.to_str().ok()).unwrap_or_default();
    let (hero, heading) = HEROES.iter().find(|(name, _)| *name == asked).unwrap_or(&HEROES[0]);
    let body = format!(
        "<section class=\"hero\" data-hero=\"{hero}\"><h1>{heading}</h1>\
         <img src=\"/static/hero.jpg\" width=\"480\" height=\"270\" alt=\"Woven cloth\"></section>"
    );
    let mut response = html("Storefront", &body, &headers);
    response.headers_mut().insert(header::VARY, header::HeaderValue::from_static("X-Hero"));
    response
}

pub(crate) async fn about(headers: HeaderMap) -> Response {
    html("About", "<h1>About</h1><p>A selvedge is the self-finished edge of a cloth.</p>", &headers)
}

pub(crate) async fn products(State(origin): State<Origin>, headers: HeaderMap) -> Response {
    match origin.shop().database.price_list().await {
        Ok(products) => {
            let items: String = products.iter().map(|(name, price_cents)| item(name, *price_cents)).collect();
            let mut page = html("Products", &format!("<h1>Products</h1><ul>{items}</ul>"), &headers);
            let tag = header::HeaderValue::from_static(Kind::Product.all());
            page.headers_mut().insert(header::HeaderName::from_static("surrogate-key"), tag);
            page
        }
        Err(error) => {
            tracing::error!(%error, "the database failed");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn item(name: &str, price_cents: i64) -> String {
    format!("<li>{} — {}.{:02} €</li>", escape(name), price_cents / 100, price_cents % 100)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn html(title: &str, body: &str, headers: &HeaderMap) -> Response {
    let page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><link rel=\"stylesheet\" href=\"/static/site.css\">\
         </head><body><header><nav><a href=\"/\">Home</a><a href=\"/products\">Products</a><a href=\"/about\">About</a>\
         </nav></header><main>{body}</main><footer>The reference origin</footer></body></html>\n"
    );
    let resource = Resource {
        content_type: "text/html; charset=utf-8",
        cache_control: "public, max-age=30",
        modified: None,
    };
    respond(&resource, page.into_bytes().into(), headers)
}
