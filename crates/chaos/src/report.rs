//! What a run was like: a table for people, JSON for machines.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use crate::fault::Kind;
use crate::history::{Events, Verdict, Violation};

/// How finely the time is measured in which some node refused.
const SLICE: Duration = Duration::from_millis(100);

/// How much around a violation is shown.
const AROUND: Duration = Duration::from_secs(2);

/// So many violations are shown with what happened around them.
const SHOWN: usize = 3;

/// How long something took, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Latency {
    p50: f64,
    p99: f64,
    max: f64,
}

/// What was the matter, and what it was like; what began in that time counts.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    kind: Kind,
    times: usize,
    seconds: f64,
    pub(crate) accepted: usize,
    pub(crate) refused: usize,
    pub(crate) unavailable: usize,
    unanswered: usize,
    /// For how long some node answered 503, in seconds.
    refusing: f64,
    revokes: usize,
    revoke_ms: Latency,
}

impl Row {
    fn of(kind: Kind, events: &Events, end: Duration) -> Self {
        let checks: Vec<_> =
            events.checks.iter().filter(|check| events.kind_at(check.began) == kind).collect();
        let count = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
        let unavailable = checks.iter().filter(|check| check.verdict == Verdict::Unavailable);
        let slices: BTreeSet<_> =
            unavailable.map(|check| check.ended.as_millis() / SLICE.as_millis()).collect();
        let revokes = events.revokes.iter().filter(|revoke| events.kind_at(revoke.began) == kind);
        let took: Vec<_> = revokes.map(|revoke| revoke.ended.saturating_sub(revoke.began)).collect();
        let ends = events.periods.iter().skip(1).map(|period| period.began).chain([end]);
        let periods: Vec<_> =
            events.periods.iter().zip(ends).filter(|(period, _)| period.kind == kind).collect();
        let time: Duration = periods.iter().map(|(period, end)| end.saturating_sub(period.began)).sum();
        Self {
            kind,
            times: periods.len(),
            seconds: time.as_secs_f64(),
            accepted: count(Verdict::Accepted),
            refused: count(Verdict::Refused),
            unavailable: count(Verdict::Unavailable),
            unanswered: count(Verdict::Unanswered),
            refusing: SLICE.as_secs_f64() * f64::from(u32::try_from(slices.len()).unwrap_or(u32::MAX)),
            revokes: took.len(),
            revoke_ms: Latency::of(took),
        }
    }

    /// Checks that were answered.
    pub(crate) const fn checks(&self) -> usize {
        self.accepted + self.refused + self.unavailable
    }

    fn cells(&self) -> [String; 12] {
        let Latency { p50, p99, max } = self.revoke_ms;
        [
            self.kind.to_string(),
            self.times.to_string(),
            format!("{:.1}", self.seconds),
            self.checks().to_string(),
            self.accepted.to_string(),
            self.refused.to_string(),
            self.unavailable.to_string(),
            self.unanswered.to_string(),
            format!("{:.1}", self.refusing),
            self.revokes.to_string(),
            format!("{p50:.0} / {p99:.0}"),
            format!("{max:.0}"),
        ]
    }
}

impl Latency {
    /// Percentiles are those of the nearest rank.
    fn of(mut took: Vec<Duration>) -> Self {
        took.sort_unstable();
        let rank = |percent: usize| (took.len() * percent).div_ceil(100).saturating_sub(1);
        let millis = |rank: usize| took.get(rank).map_or(0.0, |took| took.as_secs_f64() * 1_000.0);
        Self { p50: millis(rank(50)), p99: millis(rank(99)), max: millis(rank(100)) }
    }
}

const HEAD: [&str; 12] = [
    "what was the matter",
    "times",
    "for s",
    "checks",
    "accepted",
    "refused",
    "503",
    "no answer",
    "503 for s",
    "revokes",
    "p50 / p99 ms",
    "max ms",
];

/// One row for each kind of fault that there was.
pub(crate) fn rows(events: &Events, end: Duration) -> Vec<Row> {
    let kinds: BTreeSet<_> = events.periods.iter().map(|period| period.kind).collect();
    kinds.into_iter().map(|kind| Row::of(kind, events, end)).collect()
}

/// The table as Markdown.
pub(crate) fn table(rows: &[Row]) -> String {
    let cells = rows.iter().map(Row::cells);
    let lines = [HEAD.map(str::to_owned), HEAD.map(|_| "---".to_owned())].into_iter().chain(cells);
    lines.map(|cells| format!("| {} |", cells.join(" | "))).collect::<Vec<_>>().join("\n")
}

/// The first violations, each with what happened to that token around it.
pub(crate) fn around(violations: &[Violation], events: &Events) -> String {
    let shown = violations.iter().take(SHOWN).map(|violation| {
        let Violation { revoke, check } = violation;
        let near = events
            .checks
            .iter()
            .filter(|other| other.token == check.token && other.began.abs_diff(check.began) < AROUND);
        let mut lines: BTreeMap<_, _> =
            near.map(|check| ((check.began, check.node), format!("{check:?}"))).collect();
        lines.insert((revoke.ended, revoke.node), format!("{revoke:?}"));
        let lines: Vec<_> = lines.into_values().collect();
        let late = check.began.saturating_sub(revoke.ended);
        let kind = events.kind_at(check.began);
        format!("accepted {late:?} after the acknowledgement ({kind}):\n  {}\n", lines.join("\n  "))
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Check, Period, Revoke};

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        let took = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(Latency::of(took), Latency { p50: 100.0, p99: 198.0, max: 200.0 });
        assert_eq!(Latency::of(Vec::new()), Latency::default());
    }

    #[test]
    fn what_began_in_a_period_counts_there() {
        let at = Duration::from_millis;
        let period = |kind, began| Period { kind, began: at(began) };
        let check =
            |began, verdict| Check { token: 1, node: 0, began: at(began), ended: at(began + 1), verdict };
        let events = Events {
            periods: vec![period(Kind::Nothing, 0), period(Kind::Cut, 1_000), period(Kind::Nothing, 3_000)],
            checks: vec![
                check(999, Verdict::Accepted),
                check(1_000, Verdict::Unavailable),
                check(1_050, Verdict::Unavailable),
                check(1_150, Verdict::Unavailable),
                check(2_999, Verdict::Refused),
                check(3_000, Verdict::Unanswered),
            ],
            revokes: vec![Revoke { token: 2, node: 0, began: at(2_000), ended: at(3_500), attempts: 2 }],
        };
        let rows = rows(&events, at(4_000));
        let cells: Vec<_> = rows.iter().map(|row| row.cells().join(" ")).collect();
        assert_eq!(
            cells,
            [
                "nothing 2 2.0 1 1 0 0 1 0.0 0 0 / 0 0",
                "connections cut 1 2.0 4 0 1 3 0 0.2 1 1500 / 1500 1500",
            ]
        );
    }
}
