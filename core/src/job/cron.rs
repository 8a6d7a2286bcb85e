//! When schedules happen: cron expressions in the form that every platform understands alike.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

const MINUTE: u64 = 60_000;
const DAY_MINUTES: u64 = 24 * 60;
const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// The longest time between two moments that an expression can name: from 29 February 2096 to that of 2104.
const MAX_DAYS_AHEAD: u64 = 8 * 366;

/// A cron expression: minute, hour, day of the month, month and day of the week, in UTC.
///
/// Fields are `*`, numbers, ranges `a-b`, lists and steps `/n`, as in
/// [POSIX crontab](https://pubs.opengroup.org/onlinepubs/9799919799/utilities/crontab.html); months and days of the week
/// also have their English names.
///
/// DIFFERENCE: an expression that restricts both the day of the month and the day of the week is refused, since platforms
/// disagree on whether one of them or both must hold. It is written with names for the days of the week, since they
/// disagree on which number is Sunday's.
///
/// # Examples
/// ```
/// use selvedge_core::job::cron::Cron;
/// use selvedge_core::time::Timestamp;
///
/// let weekdays: Cron = "30 3 * * 1-5".parse().expect("it is an expression");
/// assert_eq!(weekdays.to_string(), "30 3 * * MON,TUE,WED,THU,FRI");
/// let saturday = Timestamp::from_http_date("Sat, 28 Nov 2026 12:00:00 GMT").expect("it is a date");
/// let next = weekdays.next(saturday).expect("there is always a next Monday");
/// assert_eq!(next.to_http_date(), "Mon, 30 Nov 2026 03:30:00 GMT");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cron {
    minutes: Field,
    hours: Field,
    days: Field,
    months: Field,
    weekdays: Field,
}

/// The values of one field as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Field {
    bits: u64,
    is_any: bool,
}

/// What a field can hold.
struct Range {
    name: &'static str,
    least: u64,
    most: u64,
    words: &'static [&'static str],
}

const RANGES: [Range; 5] = [
    Range { name: "minute", least: 0, most: 59, words: &[] },
    Range { name: "hour", least: 0, most: 23, words: &[] },
    Range { name: "day of the month", least: 1, most: 31, words: &[] },
    Range { name: "month", least: 1, most: 12, words: &MONTHS },
    Range { name: "day of the week", least: 0, most: 7, words: &WEEKDAYS },
];

/// Why a text is no cron expression.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CronError {
    /// It does not have five fields.
    FieldCount(usize),
    /// A field cannot be read.
    Field {
        /// What the field is about.
        name: &'static str,
        /// The text.
        text: String,
        /// The least and the largest value that it can have.
        range: (u64, u64),
    },
    /// Both the day of the month and the day of the week are restricted.
    BothDays,
    /// There is no such day, as with 31 February.
    Never,
}

impl Cron {
    /// Returns the first moment after a time.
    ///
    /// `None` only beyond the years that a [`Timestamp`] can say.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let first = after.as_millis() / MINUTE + 1;
        let day = first / DAY_MINUTES;
        (day..=day + MAX_DAYS_AHEAD).filter(|day| self.has_day(*day)).find_map(|day| {
            let minute = self.minute_of_day(first.saturating_sub(day * DAY_MINUTES))?;
            (day * DAY_MINUTES + minute).checked_mul(MINUTE).map(Timestamp::from_millis)
        })
    }

    fn minute_of_day(&self, from: u64) -> Option<u64> {
        (from..DAY_MINUTES).find(|minute| self.hours.has(minute / 60) && self.minutes.has(minute % 60))
    }

    /// Whether a day, counted from 1970-01-01, is one of these.
    fn has_day(&self, day: u64) -> bool {
        let (month, day_of_month) = date(day);
        // 1970-01-01 was a Thursday.
        self.weekdays.has((day + 4) % 7) && self.months.has(month) && self.days.has(day_of_month)
    }
}

impl Field {
    fn has(self, value: u64) -> bool {
        self.bits >> value & 1 == 1
    }

    fn parse(text: &str, range: &Range) -> Option<Self> {
        let mut bits = 0;
        for part in text.split(',') {
            let (span, step) = part.split_once('/').map_or((part, "1"), |(span, step)| (span, step));
            let step = step.parse::<u64>().ok().filter(|step| (1..=range.most).contains(step))?;
            let (first, last) = match span.split_once('-') {
                _ if span == "*" => (range.least, range.most),
                Some((first, last)) => (range.value(first)?, range.value(last)?),
                None if part.contains('/') => (range.value(span)?, range.most),
                None => (range.value(span)?, range.value(span)?),
            };
            if first > last {
                return None;
            }
            for value in (first..=last).step_by(usize::try_from(step).ok()?) {
                bits |= 1 << value;
            }
        }
        Some(Self { bits, is_any: text == "*" })
    }

    fn write(self, f: &mut fmt::Formatter<'_>, words: &[&str]) -> fmt::Result {
        if self.is_any {
            return f.write_str("*");
        }
        let mut separator = "";
        for value in (0..64).filter(|value| self.has(*value)) {
            f.write_str(separator)?;
            match usize::try_from(value).ok().and_then(|at| words.get(at)) {
                Some(word) => f.write_str(word)?,
                None => write!(f, "{value}")?,
            }
            separator = ",";
        }
        Ok(())
    }
}

impl Range {
    fn value(&self, text: &str) -> Option<u64> {
        let named = self.words.iter().position(|word| word.eq_ignore_ascii_case(text));
        let named = named.and_then(|at| u64::try_from(at).ok()).map(|at| at + self.least);
        let digits = || text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok());
        named.or_else(|| digits().flatten()).filter(|value| (self.least..=self.most).contains(value))
    }
}

impl FromStr for Cron {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Self, CronError> {
        let texts: Vec<_> = text.split_ascii_whitespace().collect();
        let [minute, hour, day, month, weekday] = texts[..] else {
            return Err(CronError::FieldCount(texts.len()));
        };
        let field = |text: &str, range: &Range| {
            Field::parse(text, range).ok_or_else(|| CronError::Field {
                name: range.name,
                text: text.to_owned(),
                range: (range.least, range.most),
            })
        };
        let mut weekdays = field(weekday, &RANGES[4])?;
        // POSIX has Sunday as 0, and everybody has it as 7 as well.
        weekdays.bits = (weekdays.bits | weekdays.bits >> 7) & 0x7f;
        let cron = Self {
            minutes: field(minute, &RANGES[0])?,
            hours: field(hour, &RANGES[1])?,
            days: field(day, &RANGES[2])?,
            months: field(month, &RANGES[3])?,
            weekdays,
        };
        if !cron.days.is_any && !cron.weekdays.is_any {
            return Err(CronError::BothDays);
        }
        cron.next(Timestamp::default()).map(|_| cron).ok_or(CronError::Never)
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for field in [self.minutes, self.hours, self.days, self.months] {
            field.write(f, &[])?;
            f.write_str(" ")?;
        }
        self.weekdays.write(f, &WEEKDAYS)
    }
}

impl fmt::Display for CronError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FieldCount(count) => write!(f, "it has {count} fields and needs five"),
            Self::Field { name, text, range: (least, most) } => {
                write!(f, "its {name} `{text}` is not made of numbers from {least} to {most}")
            }
            Self::BothDays => f.write_str("it restricts both the day of the month and the day of the week"),
            Self::Never => f.write_str("there is no such day"),
        }
    }
}

impl std::error::Error for CronError {}

/// Month and day of the month of a day counted from 1970-01-01, by Howard Hinnant's `civil_from_days`
/// (<https://howardhinnant.github.io/date_algorithms.html#civil_from_days>).
fn date(day: u64) -> (u64, u64) {
    let day_of_era = (day + 719_468) % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * shifted + 2) / 5 + 1;
    (if shifted < 10 { shifted + 3 } else { shifted - 9 }, day_of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        Timestamp::from_http_date(text).unwrap()
    }

    #[test]
    fn the_next_moment_is_the_first_that_the_fields_name() {
        let rows = [
            ("* * * * *", "Tue, 24 Nov 2026 21:17:00 GMT", "Tue, 24 Nov 2026 21:18:00 GMT"),
            ("* * * * *", "Tue, 24 Nov 2026 21:17:59 GMT", "Tue, 24 Nov 2026 21:18:00 GMT"),
            ("*/15 * * * *", "Tue, 24 Nov 2026 21:45:00 GMT", "Tue, 24 Nov 2026 22:00:00 GMT"),
            ("5/20 8-9,17 * * *", "Tue, 24 Nov 2026 09:45:00 GMT", "Tue, 24 Nov 2026 17:05:00 GMT"),
            ("0 0 1 * *", "Thu, 31 Dec 2026 23:59:00 GMT", "Fri, 01 Jan 2027 00:00:00 GMT"),
            ("0 0 29 2 *", "Tue, 24 Nov 2026 00:00:00 GMT", "Tue, 29 Feb 2028 00:00:00 GMT"),
            ("0 12 * * 7", "Tue, 24 Nov 2026 00:00:00 GMT", "Sun, 29 Nov 2026 12:00:00 GMT"),
            ("0 12 * * SUN", "Tue, 24 Nov 2026 00:00:00 GMT", "Sun, 29 Nov 2026 12:00:00 GMT"),
            ("0 12 * mar fri-sat", "Tue, 24 Nov 2026 00:00:00 GMT", "Fri, 05 Mar 2027 12:00:00 GMT"),
            ("0 0 29 2 *", "Thu, 01 Mar 2096 00:00:00 GMT", "Fri, 29 Feb 2104 00:00:00 GMT"),
        ];
        for (text, after, expected) in rows {
            let cron: Cron = text.parse().unwrap();
            assert_eq!(cron.next(time(after)).unwrap().to_http_date(), expected, "{text} after {after}");
        }
    }

    #[test]
    fn what_is_written_reads_the_same() {
        let rows = [
            ("*/30 0-2 * * *", "0,30 0,1,2 * * *"),
            ("0 0 1,15 JAN-MAR *", "0 0 1,15 1,2,3 *"),
            ("0 0 * * 0,7,3", "0 0 * * SUN,WED"),
        ];
        for (text, expected) in rows {
            let cron: Cron = text.parse().unwrap();
            assert_eq!(cron.to_string(), expected);
            assert_eq!(expected.parse(), Ok(cron), "{expected}");
        }
    }

    #[test]
    fn what_platforms_disagree_on_or_what_never_happens_is_refused() {
        assert_eq!("0 0 * *".parse::<Cron>(), Err(CronError::FieldCount(4)));
        assert_eq!("0 0 1 * MON".parse::<Cron>(), Err(CronError::BothDays));
        assert_eq!("0 0 31 2 *".parse::<Cron>(), Err(CronError::Never));
        for text in [
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 8",
            "* * * * L",
            "5-1 * * * *",
            "*/0 * * * *",
            "*/60 * * * *",
            ", * * * *",
            "+5 * * * *",
            "* * * JANUARY *",
            "1-2-3 * * * *",
            "@daily * * * *",
        ] {
            assert!(matches!(text.parse::<Cron>(), Err(CronError::Field { .. })), "{text}");
        }
    }
}
