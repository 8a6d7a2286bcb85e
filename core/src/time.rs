//! Time as data: hosts read clocks, the core never does.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// A point in time: milliseconds since 1970-01-01T00:00:00Z.
///
/// # Examples
/// ```
/// use selvedge_core::time::Timestamp;
/// use std::time::Duration;
///
/// let now = Timestamp::from_millis(784_111_777_000);
/// assert_eq!(now.to_http_date(), "Sun, 06 Nov 1994 08:49:37 GMT");
/// assert_eq!((now + Duration::from_secs(2)).saturating_since(now), Duration::from_secs(2));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(u64);

/// The last second that an IMF-fixdate can say: 9999-12-31T23:59:59Z.
const LAST_HTTP_DATE_SECS: u64 = 253_402_300_799;

impl Timestamp {
    /// Makes a timestamp from milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Returns the milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Returns how long ago `earlier` was, or zero when it lies in the future.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Parses an HTTP-date in any of the three forms of
    /// [RFC 9110 section 5.6.7](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7).
    ///
    /// Returns `None` for anything else, and for dates before 1970.
    #[must_use]
    pub fn from_http_date(text: &str) -> Option<Self> {
        let date = httpdate::parse_http_date(text).ok()?;
        let since = date.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(Self(u64::try_from(since.as_millis()).ok()?))
    }

    /// Writes the time as an IMF-fixdate; the year 9999 is the last that fits.
    #[must_use]
    pub fn to_http_date(self) -> String {
        let secs = (self.0 / 1000).min(LAST_HTTP_DATE_SECS);
        httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(secs))
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        let millis = u64::try_from(rhs.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_http_date_form_of_rfc_9110_parses_to_the_same_time() {
        let forms =
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"];
        for form in forms {
            assert_eq!(Timestamp::from_http_date(form), Some(Timestamp(784_111_777_000)), "{form}");
        }
        assert_eq!(Timestamp::from_http_date("yesterday"), None);
    }

    #[test]
    fn far_times_saturate_instead_of_overflowing() {
        let far = Timestamp(u64::MAX) + Duration::MAX;
        assert_eq!(far.as_millis(), u64::MAX, "addition saturates");
        assert_eq!(far.to_http_date(), "Fri, 31 Dec 9999 23:59:59 GMT", "the last date that has four digits");
        assert_eq!(Timestamp(0).saturating_since(far), Duration::ZERO);
    }
}
