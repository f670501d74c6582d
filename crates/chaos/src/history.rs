//! What was asked and answered, and what of it must never be.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::fault::Kind;

/// The number of a token in this run.
pub(crate) type Number = usize;

/// What a node said to a check.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// 200
    Accepted,
    /// 401
    Refused,
    /// 503: it can't tell.
    Unavailable,
    /// Nothing: it was not there, or went away.
    Unanswered,
}

/// A check. Times are since the start of the run, as for all others.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct Check {
    pub(crate) token: Number,
    pub(crate) node: usize,
    pub(crate) began: Duration,
    pub(crate) ended: Duration,
    pub(crate) verdict: Verdict,
}

/// A revoke that was acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct Revoke {
    pub(crate) token: Number,
    /// The node that acknowledged it.
    pub(crate) node: usize,
    /// When it was first asked for, at whatever node.
    pub(crate) began: Duration,
    /// When it was acknowledged.
    pub(crate) ended: Duration,
    /// How many times it was asked for.
    pub(crate) attempts: u32,
}

/// A time with one fault, until all nodes had recovered; or with none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Period {
    pub(crate) kind: Kind,
    pub(crate) began: Duration,
}

/// A check that accepted a token and began after a revoke of that token had been acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct Violation {
    pub(crate) revoke: Revoke,
    pub(crate) check: Check,
}

/// Everything that has happened.
#[derive(Clone, Default, Debug)]
pub(crate) struct Events {
    pub(crate) checks: Vec<Check>,
    pub(crate) revokes: Vec<Revoke>,
    pub(crate) periods: Vec<Period>,
}

impl Events {
    /// What must never be.
    pub(crate) fn violations(&self) -> Vec<Violation> {
        let revokes: HashMap<_, _> = self.revokes.iter().map(|revoke| (revoke.token, *revoke)).collect();
        let accepted = self.checks.iter().filter(|check| check.verdict == Verdict::Accepted);
        let violation = |check: &Check| {
            let revoke = *revokes.get(&check.token).filter(|revoke| check.began > revoke.ended)?;
            Some(Violation { revoke, check: *check })
        };
        accepted.filter_map(violation).collect()
    }

    /// How many checks were answered, in whatever way.
    pub(crate) fn answered(&self) -> usize {
        self.checks.iter().filter(|check| check.verdict != Verdict::Unanswered).count()
    }

    /// In which kind of period a moment lies.
    pub(crate) fn kind_at(&self, moment: Duration) -> Kind {
        let after = self.periods.partition_point(|period| period.began <= moment);
        after.checked_sub(1).map_or(Kind::Nothing, |number| self.periods[number].kind)
    }
}

/// Writes down what happens, by one clock.
#[derive(Debug)]
pub(crate) struct History {
    start: Instant,
    events: Mutex<Events>,
}

impl History {
    /// An empty one, that begins now.
    pub(crate) fn begin() -> Self {
        Self { start: Instant::now(), events: Mutex::default() }
    }

    /// How long it has been going on.
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// What has happened until now; nothing is added while this is held.
    pub(crate) fn events(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that from now on something is the matter.
    pub(crate) fn enter(&self, kind: Kind) {
        let began = self.now();
        self.events().periods.push(Period { kind, began });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    const fn check(token: Number, began: u64, verdict: Verdict) -> Check {
        Check { token, node: 0, began: at(began), ended: at(began + 5), verdict }
    }

    const REVOKE: Revoke = Revoke { token: 1, node: 1, began: at(10), ended: at(20), attempts: 1 };

    fn of(checks: &[Check]) -> Vec<Violation> {
        Events { checks: checks.to_vec(), revokes: vec![REVOKE], periods: Vec::new() }.violations()
    }

    #[test]
    fn an_accept_that_began_after_the_acknowledgement_is_a_violation() {
        let late = check(1, 21, Verdict::Accepted);
        assert_eq!(of(&[late]), [Violation { revoke: REVOKE, check: late }]);
    }

    #[test]
    fn what_began_before_or_at_the_same_time_may_go_either_way() {
        // Whether it ended later does not matter.
        assert!(of(&[check(1, 5, Verdict::Accepted), check(1, 20, Verdict::Accepted)]).is_empty());
    }

    #[test]
    fn only_accepts_of_the_same_token_count() {
        let others = [Verdict::Refused, Verdict::Unavailable, Verdict::Unanswered];
        assert!(of(&others.map(|verdict| check(1, 30, verdict))).is_empty());
        assert!(of(&[check(2, 30, Verdict::Accepted)]).is_empty());
    }

    #[test]
    fn a_moment_belongs_to_the_period_that_it_lies_in() {
        let period = |kind, began| Period { kind, began: at(began) };
        let periods = vec![period(Kind::Cut, 10), period(Kind::Nothing, 20)];
        let events = Events { periods, ..Events::default() };
        let kinds = [5, 10, 19, 20, 99].map(|moment| events.kind_at(at(moment)));
        assert_eq!(kinds, [Kind::Nothing, Kind::Cut, Kind::Cut, Kind::Nothing, Kind::Nothing]);
    }
}
