//! Static files, compiled in.

use std::time::{Duration, SystemTime};

use axum::body::Bytes;
use axum::extract::Path;
use axum::http::HeaderMap;
use axum::response::Response;

use crate::api;
use crate::conditional::{Resource, respond};

/// When the assets were made: 2026-11-01T00:00:00Z, in seconds of Unix time.
const MODIFIED_SECS: u64 = 1_793_491_200;

const FILES: [(&str, &str, &[u8]); 12] = [
    ("site.css", "text/css; charset=utf-8", include_bytes!("../assets/site.css")),
    ("hero.jpg", "image/jpeg", include_bytes!("../assets/hero.jpg")),
    ("hero-320.jpg", "image/jpeg", include_bytes!("../assets/hero-320.jpg")),
    ("hero-640.jpg", "image/jpeg", include_bytes!("../assets/hero-640.jpg")),
    ("hero-1280.jpg", "image/jpeg", include_bytes!("../assets/hero-1280.jpg")),
    ("hero-320.webp", "image/webp", include_bytes!("../assets/hero-320.webp")),
    ("hero-640.webp", "image/webp", include_bytes!("../assets/hero-640.webp")),
    ("hero-1280.webp", "image/webp", include_bytes!("../assets/hero-1280.webp")),
    ("hero-320.avif", "image/avif", include_bytes!("../assets/hero-320.avif")),
    ("hero-640.avif", "image/avif", include_bytes!("../assets/hero-640.avif")),
    ("hero-1280.avif", "image/avif", include_bytes!("../assets/hero-1280.avif")),
    ("app.js", "text/javascript; charset=utf-8", include_bytes!("../assets/app.js")),
];

pub(crate) async fn serve(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Some((_, content_type, content)) = FILES.iter().find(|(own, ..)| *own == name) else {
        return api::not_found().await;
    };
    let modified = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(MODIFIED_SECS));
    let resource = Resource { content_type, cache_control: "public, max-age=300", tags: "static", modified };
    respond(&resource, Bytes::from_static(content), &headers)
}
