//! Failed attempts with tokens, by address, in memory: there may be very many.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::index::Use;

use crate::limits::subscriber;

/// Lists of addresses, each with a lock of its own.
const LISTS: usize = 16;

/// Times that are kept at most in each list. Beyond that everything is forgotten that isn't within the window, and then
/// all: whoever fills it is told of by other addresses.
const MOST: usize = 16_384;

/// Addresses that are waiting to be told of at most in each list; more are not told.
const MOST_REACHED: usize = 64;

/// Counts failed attempts.
#[derive(Debug)]
pub struct Failures {
    limit: usize,
    /// In microseconds.
    window: i64,
    lists: [Mutex<List>; LISTS],
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct List {
    times: HashMap<IpAddr, VecDeque<i64>>,
    /// All times together.
    count: usize,
    reached: Vec<Reached>,
}

/// An address has reached the limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reached {
    /// The address, or that of its network.
    pub address: IpAddr,
    /// When.
    pub at: Timestamp,
}

impl Failures {
    /// Tells of every address with so many within the window.
    pub fn new(limit: NonZeroU16, window: Duration) -> Self {
        Self {
            limit: limit.get().into(),
            window: i64::try_from(window.as_micros()).unwrap_or(i64::MAX),
            lists: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
        }
    }

    /// An attempt from there has failed.
    pub fn failed(&self, used: Use) {
        let address = subscriber(used.ip);
        let (now, oldest) = (used.at.micros(), used.at.micros().saturating_sub(self.window));
        let mut list = self.list(address);
        if list.count >= MOST {
            list.forget(oldest);
        }
        let list = &mut *list;
        let times = list.times.entry(address).or_default();
        let before = times.len();
        times.retain(|time| *time > oldest);
        times.push_back(now);
        let count = times.len();
        list.count = list.count + count - before;
        if count >= self.limit {
            list.times.remove(&address);
            list.count -= count;
            list.note(Reached { address, at: used.at });
        }
    }

    /// The addresses that have reached the limit since this was asked last.
    pub fn take(&self) -> Vec<Reached> {
        self.lists.iter().flat_map(|list| std::mem::take(&mut lock(list).reached)).collect()
    }

    /// Takes back what could not be told.
    pub fn keep(&self, reached: &[Reached]) {
        for reached in reached {
            self.list(reached.address).note(*reached);
        }
    }

    /// Forgets what has left the window.
    pub fn forget_the_quiet(&self, now: Timestamp) {
        let oldest = now.micros().saturating_sub(self.window);
        for list in &self.lists {
            let mut list = lock(list);
            list.times.retain(|_, times| times.back().is_some_and(|time| *time > oldest));
            list.count = list.times.values().map(VecDeque::len).sum();
        }
    }

    fn list(&self, address: IpAddr) -> MutexGuard<'_, List> {
        let number = self.hasher.hash_one(address) % LISTS as u64;
        lock(&self.lists[usize::try_from(number).unwrap_or_default()])
    }
}

impl List {
    fn note(&mut self, reached: Reached) {
        if self.reached.len() < MOST_REACHED {
            self.reached.push(reached);
        }
    }

    /// Makes room.
    fn forget(&mut self, oldest: i64) {
        self.times.retain(|_, times| times.back().is_some_and(|time| *time > oldest));
        self.count = self.times.values().map(VecDeque::len).sum();
        if self.count >= MOST {
            self.times.clear();
            self.count = 0;
        }
    }
}

fn lock(list: &Mutex<List>) -> MutexGuard<'_, List> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures(limit: u16) -> Failures {
        Failures::new(NonZeroU16::new(limit).unwrap(), Duration::from_secs(600))
    }

    fn fail(failures: &Failures, ip: [u8; 4], seconds: i64) {
        failures.failed(Use { at: Timestamp::from_seconds(seconds), ip: ip.into() });
    }

    #[test]
    fn so_many_within_the_window_count_and_no_fewer() {
        let failures = failures(3);
        for (seconds, reached) in [(0, 0), (1, 0), (600, 0), (601, 0), (602, 1), (603, 0), (604, 0), (605, 1)]
        {
            fail(&failures, [10, 0, 0, 1], seconds);
            fail(&failures, [10, 0, 0, 2], 10_000 * seconds);
            assert_eq!(failures.take().len(), reached, "{seconds}");
        }
    }

    #[test]
    fn memory_is_bounded_and_the_quiet_are_forgotten() {
        let failures = failures(1_000);
        let kept = |failures: &Failures| failures.lists.iter().map(|list| lock(list).count).sum::<usize>();
        for number in 0..u32::try_from(2 * LISTS * MOST).unwrap() {
            let ip = IpAddr::V4(number.into());
            failures.failed(Use { at: Timestamp::from_seconds(1), ip });
        }
        assert!((1..=LISTS * MOST).contains(&kept(&failures)), "{}", kept(&failures));
        failures.forget_the_quiet(Timestamp::from_seconds(602));
        assert_eq!(kept(&failures), 0);
    }

    #[test]
    fn what_is_to_be_told_is_bounded_too() {
        let failures = failures(1);
        for number in 0..10_000_u32 {
            failures.failed(Use { at: Timestamp::from_seconds(1), ip: IpAddr::V4(number.into()) });
        }
        assert!(
            failures.lists.iter().all(|list| lock(list).times.is_empty()),
            "who is told of isn't counted"
        );
        let reached = failures.take();
        assert_eq!(reached.len(), LISTS * MOST_REACHED);
        for _ in 0..3 {
            failures.keep(&reached);
        }
        assert_eq!(failures.take().len(), LISTS * MOST_REACHED);
    }
}
