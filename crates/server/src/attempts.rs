//! Counts attempts that are taken back when they succeed.
//!
//! An attempt counts from before it is looked at, so that a thousand at the same time don't all get
//! by; a limiter that counts failures afterwards would let them.

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokenhouse_core::clock::Timestamp;

const MICROS_PER_MINUTE: i64 = 60_000_000;
const MICROS_PER_SECOND: i64 = 1_000_000;

/// A quota per key and minute, which comes back little by little (GCRA).
#[derive(Debug)]
pub struct Attempts<K> {
    /// Microseconds until one attempt comes back.
    interval: i64,
    /// Microseconds until a whole quota has come back.
    whole: i64,
    /// When the quota of a key is whole again.
    whole_again: Mutex<HashMap<K, i64>>,
}

impl<K: Eq + Hash> Attempts<K> {
    /// As many attempts a minute.
    pub fn new(per_minute: NonZeroU32) -> Self {
        let interval = MICROS_PER_MINUTE / i64::from(per_minute.get());
        let whole = interval * i64::from(per_minute.get());
        Self { interval, whole, whole_again: Mutex::default() }
    }

    /// Counts an attempt, or tells after how many seconds the next one is allowed.
    pub fn count(&self, key: K, now: Timestamp) -> Result<(), u64> {
        let now = now.micros();
        let mut whole_again = self.lock();
        let at = whole_again.entry(key).or_insert(now);
        // The upper bound is for a clock that was set back.
        *at = (*at).clamp(now, now.saturating_add(self.whole));
        let next = at.saturating_add(self.interval);
        let wait = next.saturating_sub(now).saturating_sub(self.whole);
        if wait > 0 {
            return Err(u64::try_from(wait).unwrap_or_default().div_ceil(MICROS_PER_SECOND.unsigned_abs()));
        }
        *at = next;
        Ok(())
    }

    /// Takes an attempt back.
    pub fn take_back(&self, key: &K) {
        if let Some(at) = self.lock().get_mut(key) {
            *at = at.saturating_sub(self.interval);
        }
    }

    /// Forgets the keys whose quota is whole.
    pub fn forget_the_quiet(&self, now: Timestamp) {
        let mut whole_again = self.lock();
        whole_again.retain(|_, at| *at > now.micros());
        whole_again.shrink_to_fit();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, i64>> {
        self.whole_again.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_000_000);

    fn attempts() -> Attempts<u8> {
        Attempts::new(NonZeroU32::new(10).unwrap())
    }

    #[test]
    fn a_quota_is_used_up_and_comes_back_little_by_little() {
        let attempts = attempts();
        assert!((0..10).all(|_| attempts.count(1, NOW).is_ok()));
        assert_eq!(attempts.count(1, NOW), Err(6));
        assert_eq!(attempts.count(2, NOW), Ok(()));
        assert_eq!(attempts.count(1, NOW.plus_seconds(5)), Err(1));
        assert_eq!(attempts.count(1, NOW.plus_seconds(6)), Ok(()));
        assert_eq!(attempts.count(1, NOW.plus_seconds(6)), Err(6));
    }

    #[test]
    fn what_is_taken_back_does_not_count() {
        let attempts = attempts();
        for _ in 0..100 {
            assert_eq!(attempts.count(1, NOW), Ok(()));
            attempts.take_back(&1);
        }
        assert!((0..10).all(|_| attempts.count(1, NOW).is_ok()));
        assert!(attempts.count(1, NOW).is_err());
    }

    #[test]
    fn a_clock_that_is_set_back_locks_nobody_out_for_long() {
        let attempts = attempts();
        assert_eq!(attempts.count(1, NOW.plus_days(1)), Ok(()));
        assert_eq!(attempts.count(1, NOW), Err(6));
        assert_eq!(attempts.count(1, NOW.plus_seconds(6)), Ok(()));
    }

    #[test]
    fn the_quiet_are_forgotten() {
        let attempts = attempts();
        attempts.count(1, NOW).unwrap();
        attempts.count(2, NOW.plus_seconds(60)).unwrap();
        attempts.forget_the_quiet(NOW.plus_seconds(60));
        assert_eq!(attempts.lock().len(), 1);
    }
}
