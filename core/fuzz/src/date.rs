//! HTTP dates.

use selvedge_core::time::Timestamp;

/// Checks that a date that is read and written is read as the same, on a whole second.
///
/// # Panics
/// When it is not.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some(time) = Timestamp::from_http_date(text) else { return };
    let written = time.to_http_date();
    assert_eq!(Timestamp::from_http_date(&written), Some(time), "{text} {written}");
    assert_eq!(time.as_millis() % 1000, 0, "a date has whole seconds: {text}");
    assert!(written.ends_with(" GMT") && written.is_ascii(), "RFC 9110 section 5.6.7: {written}");
}
