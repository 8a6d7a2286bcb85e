//! Cache deception: a page that is stored because its URL looks like a file's.
//!
//! Many backends answer `/account/x.css` with the page of `/account`. A client that is made to ask for such a URL has its
//! own page put under a key that anybody can ask for. What decides is the policy or a guess, for the origin gave no
//! lifetime to what it does not know to be a file; so a response of which only they say that it may be stored is not, when its
//! media type is not that of the file.

use http::header::{self, HeaderMap};

use super::lifetime::LifetimeSource;
use crate::target::extension_of;

/// File extensions, and how the media types of such files begin.
const TYPES: [(&str, &[&str]); 30] = [
    ("avif", &["image/"]),
    ("bmp", &["image/"]),
    ("css", &["text/css"]),
    ("csv", &["text/csv", "text/plain"]),
    ("eot", &["application/", "font/"]),
    ("gif", &["image/"]),
    ("gz", &["application/"]),
    ("ico", &["image/"]),
    ("jpeg", &["image/"]),
    ("jpg", &["image/"]),
    ("js", &["text/javascript", "application/javascript", "application/x-javascript"]),
    ("json", &["application/", "text/json"]),
    ("map", &["application/", "text/plain"]),
    ("mjs", &["text/javascript", "application/javascript", "application/x-javascript"]),
    ("mp3", &["audio/"]),
    ("mp4", &["video/", "audio/"]),
    ("ogg", &["audio/", "video/", "application/ogg"]),
    ("otf", &["font/", "application/"]),
    ("pdf", &["application/pdf"]),
    ("png", &["image/"]),
    ("svg", &["image/"]),
    ("tiff", &["image/"]),
    ("ttf", &["font/", "application/"]),
    ("txt", &["text/plain"]),
    ("wasm", &["application/wasm"]),
    ("webm", &["video/", "audio/"]),
    ("webmanifest", &["application/"]),
    ("webp", &["image/"]),
    ("woff", &["font/", "application/"]),
    ("woff2", &["font/", "application/"]),
];

/// Media types of any file that a server does not know better.
const UNKNOWN: [&str; 2] = ["application/octet-stream", "binary/octet-stream"];

/// Returns whether a response must not be stored, since its path is a file's and its media type is not.
///
/// `source` is who gave its lifetime: the origin's own word always counts. A path without one of the known extensions and a response
/// without `Content-Type` deceive nobody.
///
/// # Examples
/// ```
/// use http::{HeaderMap, header::CONTENT_TYPE};
/// use selvedge_core::cache::{deception::is_deceptive, lifetime::LifetimeSource};
///
/// let page = HeaderMap::from_iter([(CONTENT_TYPE, "text/html".parse().unwrap())]);
/// assert!(is_deceptive("/account/x.css", &page, LifetimeSource::Rule));
/// assert!(!is_deceptive("/account/x.css", &page, LifetimeSource::CacheControl));
/// assert!(!is_deceptive("/account", &page, LifetimeSource::Rule));
/// ```
#[must_use]
pub fn is_deceptive(path: &str, response: &HeaderMap, source: LifetimeSource) -> bool {
    match source {
        LifetimeSource::Rule | LifetimeSource::Heuristic | LifetimeSource::Negative => {}
        LifetimeSource::Targeted
        | LifetimeSource::SurrogateControl
        | LifetimeSource::CacheControl
        | LifetimeSource::Expires
        | LifetimeSource::Validation => return false,
    }
    let Some(media_type) = response.get(header::CONTENT_TYPE) else { return false };
    let media_type = media_type.as_bytes().to_ascii_lowercase();
    let begins = |prefix: &&str| media_type.starts_with(prefix.as_bytes());
    let extension = extension_of(path).map(str::to_ascii_lowercase);
    let known = TYPES.iter().find(|(known, _)| Some(*known) == extension.as_deref());
    known.is_some_and(|(_, types)| !types.iter().chain(&UNKNOWN).any(begins))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::tests::headers;

    #[test]
    fn a_page_under_a_files_name_is_deceptive_unless_the_origin_says_to_store_it() {
        let rows = [
            ("/account/x.css", "text/html; charset=utf-8", true),
            ("/account/x.CSS", "Text/HTML", true),
            ("/account/x.js", "application/json", true),
            ("/account/x.css", "text/css", false),
            ("/a/logo.png", "image/webp", false),
            ("/a/logo.png", "application/octet-stream", false),
            ("/account/x.json", "text/html", true),
            ("/account/x.html", "text/html", false),
            ("/account.css/settings", "text/html", false),
            ("/account", "text/html", false),
        ];
        for (path, media_type, expected) in rows {
            let response = headers(&[("content-type", media_type)]);
            for source in [LifetimeSource::Rule, LifetimeSource::Heuristic] {
                assert_eq!(is_deceptive(path, &response, source), expected, "{path} {media_type}");
            }
            assert!(!is_deceptive(path, &response, LifetimeSource::Expires), "the origin's word: {path}");
        }
        assert!(!is_deceptive("/x.css", &HeaderMap::new(), LifetimeSource::Rule), "nothing says what it is");
    }

    #[test]
    fn extensions_are_in_order_and_in_lower_case() {
        assert!(TYPES.is_sorted_by_key(|(extension, _)| *extension));
        assert!(TYPES.iter().all(|(extension, _)| !extension.contains(|c: char| c.is_ascii_uppercase())));
    }
}
