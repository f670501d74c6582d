//! An instant as a page shows it: a phrase relative to now, and the exact time one hover away.

use jiff::tz::TimeZone;
use tokenhouse_core::clock::Timestamp;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Days in an average month and year of the Gregorian calendar.
const MONTH: f64 = 30.436_875;
const YEAR: f64 = 365.242_5;

/// Up to this many days are told in days, more in months.
const LONGEST_IN_DAYS: i64 = 99;

/// An expiry that is nearer than this is told in red, in seconds.
const SOON: i64 = 7 * DAY;

/// An instant, seen from another one. All texts are in UTC; `local-time.js` makes them local.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment {
    at: Timestamp,
    now: Timestamp,
}

impl Moment {
    /// `at`, seen from `now`.
    pub const fn new(at: Timestamp, now: Timestamp) -> Self {
        Self { at, now }
    }

    /// For the attribute `datetime`: RFC 3339 in UTC, whole seconds.
    pub fn datetime(self) -> String {
        self.at.whole_second().to_string()
    }

    /// `in 29 days`, `3 minutes ago`. Rounded down, so that it never promises more time than there is.
    pub fn phrase(self) -> String {
        let seconds = self.at.seconds().saturating_sub(self.now.seconds());
        let distance = seconds.saturating_abs();
        if distance < MINUTE {
            return if seconds > 0 { "in less than a minute" } else { "just now" }.to_owned();
        }
        let span = span(distance);
        if seconds > 0 { format!("in {span}") } else { format!("{span} ago") }
    }

    /// `19 Dec 2026`.
    pub fn day(self) -> String {
        self.written("%-d %b %Y")
    }

    /// `19 Dec`, where the year is told elsewhere.
    pub fn short_day(self) -> String {
        self.written("%-d %b")
    }

    /// `Saturday, 19 December 2026`.
    pub fn weekday(self) -> String {
        self.written("%A, %-d %B %Y")
    }

    /// `19 Dec 2026, 14:32`.
    pub fn minute(self) -> String {
        self.written("%-d %b %Y, %H:%M")
    }

    /// `14:32`.
    pub fn hour(self) -> String {
        self.written("%H:%M")
    }

    /// `14:32:05`.
    pub fn time(self) -> String {
        self.written("%H:%M:%S")
    }

    /// `19 December 2026 at 14:32:05 (UTC)`.
    pub fn exact(self) -> String {
        self.written("%-d %B %Y at %H:%M:%S (UTC)")
    }

    /// `Saturday, 19 December 2026 at 14:32 (UTC)`.
    pub fn sentence(self) -> String {
        self.written("%A, %-d %B %Y at %H:%M (UTC)")
    }

    /// Whether it lies ahead by less than seven days.
    pub fn is_soon(self) -> bool {
        let ahead = self.at.seconds().saturating_sub(self.now.seconds());
        (1..SOON).contains(&ahead)
    }

    /// Whether it lies back by less than a day.
    pub fn is_within_a_day(self) -> bool {
        (0..DAY).contains(&self.now.seconds().saturating_sub(self.at.seconds()))
    }

    /// Whether it is over.
    pub fn is_past(self) -> bool {
        self.at <= self.now
    }

    fn written(self, format: &str) -> String {
        // Every instant the store holds has a date; one beyond the year 9999 has none.
        jiff::Timestamp::from_microsecond(self.at.micros()).map_or_else(
            |_| "out of range".to_owned(),
            |at| at.to_zoned(TimeZone::UTC).strftime(format).to_string(),
        )
    }
}

/// A distance of at least a minute, in the largest unit that still says something.
fn span(seconds: i64) -> String {
    let counted = |count: i64, one: &str, many: &str| super::text::plural(count.unsigned_abs(), one, many);
    let days = seconds / DAY;
    if seconds < HOUR {
        counted(seconds / MINUTE, "minute", "minutes")
    } else if seconds < DAY {
        counted(seconds / HOUR, "hour", "hours")
    } else if days <= LONGEST_IN_DAYS {
        counted(days, "day", "days")
    } else {
        months_or_years(days, counted)
    }
}

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "days of a few centuries")]
fn months_or_years(days: i64, counted: impl Fn(i64, &str, &str) -> String) -> String {
    let (months, years) = ((days as f64 / MONTH) as i64, (days as f64 / YEAR) as i64);
    if years == 0 { counted(months, "month", "months") } else { counted(years, "year", "years") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_768_473_000);

    fn after(seconds: i64) -> Moment {
        Moment::new(NOW.plus_seconds(seconds), NOW)
    }

    #[test]
    fn a_phrase_is_in_the_largest_unit_that_says_something() {
        for (seconds, ahead, ago) in [
            (59, "in less than a minute", "just now"),
            (60, "in 1 minute", "1 minute ago"),
            (3 * MINUTE + 59, "in 3 minutes", "3 minutes ago"),
            (HOUR - 1, "in 59 minutes", "59 minutes ago"),
            (HOUR, "in 1 hour", "1 hour ago"),
            (DAY - 1, "in 23 hours", "23 hours ago"),
            (DAY, "in 1 day", "1 day ago"),
            (30 * DAY - 1, "in 29 days", "29 days ago"),
            (99 * DAY, "in 99 days", "99 days ago"),
            (100 * DAY, "in 3 months", "3 months ago"),
            (364 * DAY, "in 11 months", "11 months ago"),
            (366 * DAY, "in 1 year", "1 year ago"),
            (800 * DAY, "in 2 years", "2 years ago"),
        ] {
            assert_eq!(after(seconds).phrase(), ahead);
            assert_eq!(after(-seconds).phrase(), ago);
        }
        assert_eq!(after(0).phrase(), "just now");
    }

    #[test]
    fn soon_is_less_than_seven_days_ahead() {
        for (seconds, soon) in [(-1, false), (0, false), (1, true), (SOON - 1, true), (SOON, false)] {
            assert_eq!(after(seconds).is_soon(), soon, "{seconds}");
        }
        assert!(after(0).is_past() && !after(1).is_past());
    }

    #[test]
    fn exact_texts_are_in_utc() {
        let moment = Moment::new(Timestamp::from_micros(1_768_473_005_999_999), NOW);
        assert_eq!(moment.datetime(), "2026-01-15T10:30:05Z");
        assert_eq!(moment.day(), "15 Jan 2026");
        assert_eq!(moment.short_day(), "15 Jan");
        assert_eq!(moment.weekday(), "Thursday, 15 January 2026");
        assert_eq!(moment.minute(), "15 Jan 2026, 10:30");
        assert_eq!(moment.time(), "10:30:05");
        assert_eq!(moment.exact(), "15 January 2026 at 10:30:05 (UTC)");
        assert_eq!(moment.sentence(), "Thursday, 15 January 2026 at 10:30 (UTC)");
    }

    #[test]
    fn no_instant_is_too_far() {
        for micros in [i64::MIN, i64::MAX] {
            let far = Moment::new(Timestamp::from_micros(micros), NOW);
            assert!(!far.phrase().is_empty() && !far.exact().is_empty());
        }
    }
}
