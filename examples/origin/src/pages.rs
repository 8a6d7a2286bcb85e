//! Pages.

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::Response;

use crate::Origin;
use crate::conditional::{Resource, respond};
use crate::problem::Problem;

/// Variations of the hero: name, heading.
const HEROES: [(&str, &str); 3] =
    [("control", "Woven once"), ("bold", "WOVEN ONCE. WORN FOREVER."), ("calm", "Cloth that takes its time")];

/// Widths of the hero's files, in pixels.
const HERO_WIDTHS: [u32; 3] = [320, 640, 1280];

pub(crate) async fn home(headers: HeaderMap) -> Response {
    let asked = headers.get("x-hero").and_then(|hero| hero.to_str().ok()).unwrap_or_default();
    let (hero, heading) = HEROES.iter().find(|(name, _)| *name == asked).unwrap_or(&HEROES[0]);
    let body = format!(
        "<section class=\"hero\" data-hero=\"{hero}\"><h1>{heading}</h1><picture>{}{}\
         <img src=\"/static/hero.jpg\" width=\"480\" height=\"270\" alt=\"Woven cloth\"></picture></section>",
        source("avif"),
        source("webp"),
    );
    let mut response = html("Storefront", "home pages", &body, &headers);
    response.headers_mut().insert(header::VARY, header::HeaderValue::from_static("X-Hero"));
    response
}

/// The hero in a format, in every width that there is.
fn source(format: &str) -> String {
    let widths = HERO_WIDTHS.map(|width| format!("/static/hero-{width}.{format} {width}w")).join(", ");
    format!("<source type=\"image/{format}\" srcset=\"{widths}\" sizes=\"480px\">")
}

pub(crate) async fn about(headers: HeaderMap) -> Response {
    html(
        "About",
        "about pages",
        "<h1>About</h1><p>A selvedge is the self-finished edge of a cloth.</p>",
        &headers,
    )
}

pub(crate) async fn products(State(origin): State<Origin>, headers: HeaderMap) -> Result<Response, Problem> {
    let products = origin.shop().database.price_list().await?;
    let items: String = products.iter().map(|(name, price_cents)| item(name, *price_cents)).collect();
    let body = format!("<h1>Products</h1><ul>{items}</ul>");
    Ok(html("Products", "products pages", &body, &headers))
}

fn item(name: &str, price_cents: i64) -> String {
    format!("<li>{} — {}.{:02} €</li>", escape(name), price_cents / 100, price_cents % 100)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn html(title: &str, tags: &'static str, body: &str, headers: &HeaderMap) -> Response {
    let page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><link rel=\"stylesheet\" href=\"/static/site.css\">\
         </head><body><header><nav><a href=\"/\">Home</a><a href=\"/products\">Products</a><a href=\"/about\">About</a>\
         </nav></header><main>{body}</main><footer>The reference origin</footer></body></html>\n"
    );
    let resource = Resource {
        content_type: "text/html; charset=utf-8",
        cache_control: "public, max-age=30",
        tags,
        modified: None,
    };
    respond(&resource, page.into_bytes().into(), headers)
}
