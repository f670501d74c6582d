//! Until when this node may answer checks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokenhouse_core::clock::Uptime;

/// How long a node answers checks after it has asked for the head of the log.
pub const LEASE: Duration = Duration::from_millis(2_500);

/// After how long whoever waits for a node may be sure that its lease has ended: longer than [`LEASE`], so that
/// their clocks may run at different speeds, by a sixth at most. Clocks of real machines differ by less than a
/// thousandth.
pub const ENDED: Duration = Duration::from_secs(3);

/// A lease. Begins as one that has ended.
#[derive(Debug, Default)]
pub struct Lease {
    /// In nanoseconds since the machine was started.
    until: AtomicU64,
}

impl Lease {
    /// Whether checks may be answered at this moment.
    pub fn holds(&self) -> bool {
        self.holds_at(Uptime::now())
    }

    /// What is left of it, in seconds.
    pub fn left(&self) -> f64 {
        let until = Uptime::from_nanos(self.until.load(Ordering::Acquire));
        until.since(Uptime::now()).as_secs_f64()
    }

    /// Lets it run from `asked` on: a moment before the head of the log was asked for that the index shows now.
    pub fn renew(&self, asked: Uptime) {
        self.until.fetch_max(asked.plus(LEASE).nanos(), Ordering::AcqRel);
    }

    /// Ends it.
    pub fn end(&self) {
        self.until.store(0, Ordering::Release);
    }

    fn holds_at(&self, now: Uptime) -> bool {
        now.nanos() < self.until.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Uptime = Uptime::from_nanos(1_000_000_000);

    #[test]
    fn a_lease_runs_from_before_the_question() {
        let lease = Lease::default();
        assert!(!lease.holds_at(Uptime::default()), "nothing was asked yet");
        lease.renew(ASKED);
        let last = Uptime::from_nanos(ASKED.plus(LEASE).nanos() - 1);
        assert!(lease.holds_at(last));
        assert!(!lease.holds_at(ASKED.plus(LEASE)));
    }

    #[test]
    fn an_older_answer_does_not_shorten_it() {
        let lease = Lease::default();
        lease.renew(ASKED.plus(LEASE));
        lease.renew(ASKED);
        assert!(lease.holds_at(ASKED.plus(LEASE)));
    }

    #[test]
    fn it_can_be_ended_early() {
        let lease = Lease::default();
        lease.renew(ASKED);
        lease.end();
        assert!(!lease.holds_at(ASKED));
    }

    #[test]
    fn it_has_ended_for_others_later_than_for_the_node_itself() {
        assert!(ENDED.as_secs_f64() / LEASE.as_secs_f64() > 1.1);
    }
}
