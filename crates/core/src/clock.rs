//! Time, passed in everywhere so that tests can turn it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_HOUR: i64 = 3_600;
const SECONDS_PER_DAY: i64 = 86_400;

/// An instant: microseconds since 1970-01-01T00:00:00Z. Written as RFC 3339 in UTC with `Z`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The instant that lies this many microseconds after the Unix epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// The instant that lies this many seconds after the Unix epoch.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(MICROS_PER_SECOND))
    }

    /// Reads RFC 3339 (`2026-01-15T10:30:00Z`); `None` if it is anything else.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|at| Self(at.as_microsecond()))
    }

    /// Midnight UTC at the start of a `YYYY-MM-DD` day; `None` if there is no such day from the year
    /// 1 on: before that there are no RFC 3339 times.
    pub fn parse_day(text: &str) -> Option<Self> {
        let day = jiff::civil::Date::strptime("%Y-%m-%d", text).ok().filter(|day| day.year() > 0)?;
        let midnight = day.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        Some(Self(midnight.timestamp().as_microsecond()))
    }

    /// Microseconds since the Unix epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(MICROS_PER_SECOND)
    }

    /// The same instant without its fraction of a second.
    #[must_use]
    pub const fn whole_second(self) -> Self {
        Self::from_seconds(self.seconds())
    }

    /// The start of this instant's hour.
    #[must_use]
    pub const fn start_of_hour(self) -> Self {
        Self::from_seconds(self.seconds().div_euclid(SECONDS_PER_HOUR) * SECONDS_PER_HOUR)
    }

    /// Midnight UTC at the start of this instant's day.
    #[must_use]
    pub const fn start_of_day(self) -> Self {
        Self::from_seconds(self.seconds().div_euclid(SECONDS_PER_DAY) * SECONDS_PER_DAY)
    }

    /// This many days (of 86,400 s) later, or earlier if negative.
    #[must_use]
    pub const fn plus_days(self, days: i64) -> Self {
        self.plus_seconds(days.saturating_mul(SECONDS_PER_DAY))
    }

    /// This many seconds later, or earlier if negative.
    #[must_use]
    pub const fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(MICROS_PER_SECOND)))
    }

    /// This many hours later, or earlier if negative.
    #[must_use]
    pub const fn plus_hours(self, hours: i64) -> Self {
        self.plus_seconds(hours.saturating_mul(SECONDS_PER_HOUR))
    }

    /// Whole days from `earlier` to this instant, rounded down.
    pub const fn days_since(self, earlier: Self) -> i64 {
        (self.0.saturating_sub(earlier.0)).div_euclid(SECONDS_PER_DAY * MICROS_PER_SECOND)
    }

    /// The quarter of the year as `YYYY-Qn`, in UTC.
    pub fn quarter(self) -> String {
        let day = self.day();
        let month: u32 = day.get(5..7).and_then(|month| month.parse().ok()).unwrap_or(1);
        format!("{}-Q{}", day.get(..4).unwrap_or_default(), (month - 1) / 3 + 1)
    }

    /// The day as `YYYY-MM-DD`, in UTC.
    pub fn day(self) -> String {
        self.to_string().chars().take(10).collect()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(at) => write!(f, "{at}"),
            Err(_) => f.write_str("out of range"),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not an RFC 3339 time"))
    }
}

/// Tells the time: the system's, or one that a test turns by hand.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Turned(Arc<AtomicI64>),
}

impl Clock {
    /// The clock of the machine.
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still at `start` until [`Clock::turn_to`]. Clones share the hand.
    pub fn turned(start: Timestamp) -> Self {
        Self(Source::Turned(Arc::new(AtomicI64::new(start.micros()))))
    }

    /// The present instant.
    #[allow(clippy::disallowed_methods, reason = "the one place that asks the machine for the time")]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => {
                let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                Timestamp(since.map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX)))
            }
            Source::Turned(hand) => Timestamp(hand.load(Ordering::SeqCst)),
        }
    }

    /// Sets a turned clock; the system's clock can't be set and stays as it is.
    pub fn turn_to(&self, at: Timestamp) {
        if let Source::Turned(hand) = &self.0 {
            hand.store(at.micros(), Ordering::SeqCst);
        }
    }
}

/// How long this machine has been running, with the time that it was suspended (`CLOCK_BOOTTIME`). Goes on
/// while a process is stopped, and nobody can set it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Uptime(u64);

impl Uptime {
    /// As of now.
    pub fn now() -> Self {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let part = |part: i64| u64::try_from(part).unwrap_or_default();
        Self(part(time.tv_sec).saturating_mul(1_000_000_000).saturating_add(part(time.tv_nsec)))
    }

    /// The one that is this many nanoseconds after the machine was started.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the machine was started.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// This much later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How much later it is than `earlier`; nothing if it is earlier.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_written_in_utc_with_z() {
        assert_eq!(Timestamp::from_seconds(1_768_473_000).to_string(), "2026-01-15T10:30:00Z");
        assert_eq!(Timestamp::from_micros(1_768_473_000_500_000).to_string(), "2026-01-15T10:30:00.5Z");
        assert_eq!(Timestamp::from_seconds(1_768_473_000).day(), "2026-01-15");
    }

    #[test]
    fn a_day_is_read_strictly() {
        let day = Timestamp::parse_day("2026-01-15");
        assert_eq!(day.map(|d| d.to_string()).as_deref(), Some("2026-01-15T00:00:00Z"));
        for bad in
            ["2026-02-30", "2026-1-5T", "yesterday", "", "2026-01-15T00:00:00Z", "-9999-01-05", "0000-01-01"]
        {
            assert_eq!(Timestamp::parse_day(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_turned_clock_moves_only_by_hand() {
        let clock = Clock::turned(Timestamp::from_seconds(100));
        let clone = clock.clone();
        assert_eq!(clock.now(), Timestamp::from_seconds(100));
        clone.turn_to(Timestamp::from_seconds(200));
        assert_eq!(clock.now(), Timestamp::from_seconds(200));
    }

    #[test]
    fn days_are_counted_down() {
        let start = Timestamp::from_seconds(0);
        assert_eq!(start.plus_days(3).days_since(start), 3);
        assert_eq!(Timestamp::from_micros(86_399_999_999).days_since(start), 0);
        assert_eq!(Timestamp::from_seconds(90_000).start_of_day(), Timestamp::from_seconds(86_400));
        assert_eq!(Timestamp::from_seconds(90_001).start_of_hour(), Timestamp::from_seconds(90_000));
        assert_eq!(Timestamp::from_seconds(-1).start_of_hour().plus_hours(1), Timestamp::from_seconds(0));
    }
}
