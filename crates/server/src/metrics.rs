//! Counters and gauges in the Prometheus text format.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tokenhouse_core::verdict::{Checkpoint, Reason};
use tokenhouse_requests::Log;

use crate::export::Export;
use crate::feed::Feed;
use crate::fleet::Fleet;

/// What a check can come to: accepted, or one of the reasons.
const OUTCOMES: [Option<Reason>; 8] = [
    None,
    Some(Reason::Malformed),
    Some(Reason::Unknown),
    Some(Reason::Expired),
    Some(Reason::Revoked),
    Some(Reason::Deactivated),
    Some(Reason::Forbidden),
    Some(Reason::ScimOnly),
];

/// An HTTP status is less than this.
const STATUSES: usize = 1000;

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct CheckLabels {
    at: &'static str,
    outcome: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct ExportLabels {
    export: String,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct WorkLabels {
    work: String,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct AnswerLabels {
    status: u16,
}

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// One ready counter for each checkpoint and outcome, so that counting is one addition.
    checks: [[Counter; OUTCOMES.len()]; Checkpoint::ALL.len()],
    answers: Family<AnswerLabels, Counter>,
    /// The counters of `answers` by status, taken out of the family when they are first needed.
    answers_by_status: Vec<OnceLock<Counter>>,
    tokens: Gauge,
    applied: Gauge,
    pending_uses: Gauge,
    feed_failures: Counter,
    passwords: Counter,
    stale_checks: Counter,
    behind: Gauge,
    lease_left: Gauge<f64, AtomicU64>,
    fence_waits: Histogram,
    fences_by_time: Counter,
    exports_behind: Family<ExportLabels, Gauge>,
    unwritten_requests: Gauge,
    lost_requests: Counter,
    waits_for_log: Counter,
    damaged_segments: Gauge,
    rounds: Family<WorkLabels, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("tokenhouse");
        let checks = Family::<CheckLabels, Counter>::default();
        let ready = Checkpoint::ALL.map(|at| {
            OUTCOMES.map(|outcome| {
                let outcome = outcome.map_or("ok", Reason::as_str);
                checks.get_or_create(&CheckLabels { at: at.as_str(), outcome }).clone()
            })
        });
        registry.register("checks", "Tokens checked, by place and outcome", checks);
        let metrics = Self {
            checks: ready,
            answers: Family::default(),
            answers_by_status: vec![OnceLock::new(); STATUSES],
            tokens: Gauge::default(),
            applied: Gauge::default(),
            pending_uses: Gauge::default(),
            feed_failures: Counter::default(),
            passwords: Counter::default(),
            stale_checks: Counter::default(),
            behind: Gauge::default(),
            lease_left: Gauge::default(),
            fence_waits: Histogram::new(exponential_buckets(0.001, 2.0, 13)),
            fences_by_time: Counter::default(),
            exports_behind: Family::default(),
            unwritten_requests: Gauge::default(),
            lost_requests: Counter::default(),
            waits_for_log: Counter::default(),
            damaged_segments: Gauge::default(),
            rounds: Family::default(),
            registry,
        };
        metrics.registered()
    }
}

impl Metrics {
    fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        registry.register("http_answers", "Answers given, by status", self.answers.clone());
        registry.register("tokens", "Tokens in the index", self.tokens.clone());
        registry.register("applied_change", "Number of the newest change in the index", self.applied.clone());
        registry.register("pending_uses", "Last uses not yet written", self.pending_uses.clone());
        registry.register("feed_failures", "Failed attempts to follow the log", self.feed_failures.clone());
        registry.register("stale_checks", "Checks refused for want of a lease", self.stale_checks.clone());
        registry.register("behind", "Changes that the index doesn't show yet", self.behind.clone());
        registry.register("lease_seconds", "What is left of the lease", self.lease_left.clone());
        registry.register(
            "fence_seconds",
            "Time until a change was in effect on every node",
            self.fence_waits.clone(),
        );
        registry.register(
            "fences_by_time",
            "Changes in effect only because a lease had ended",
            self.fences_by_time.clone(),
        );
        registry.register(
            "audit_export_behind",
            "Audit records that an export has not sent yet",
            self.exports_behind.clone(),
        );
        registry.register(
            "request_log_trouble",
            "1 while requests can't be recorded",
            self.unwritten_requests.clone(),
        );
        registry.register(
            "request_log_lost",
            "Requests that could not be recorded and went on",
            self.lost_requests.clone(),
        );
        registry.register(
            "request_log_waits",
            "Requests that had to wait until they could be recorded",
            self.waits_for_log.clone(),
        );
        registry.register(
            "request_log_damaged",
            "Segments of the log of requests that were damaged and are kept aside",
            self.damaged_segments.clone(),
        );
        registry.register("background_rounds", "Rounds of work in the background", self.rounds.clone());
        registry.register("passwords", "Passwords hashed or verified", self.passwords.clone());
        self
    }

    /// Counts a check that was not answered for want of a lease.
    pub fn stale_check(&self) {
        self.stale_checks.inc();
    }

    /// Notes how long it took until a change was in effect on every node, and whether it was so only because
    /// a lease had ended.
    pub fn fence(&self, waited: Duration, by_time: bool) {
        self.fence_waits.observe(waited.as_secs_f64());
        if by_time {
            self.fences_by_time.inc();
        }
    }

    /// Counts a check; `None` is accepted.
    pub fn check(&self, at: Checkpoint, outcome: Option<Reason>) {
        if let Some(column) = OUTCOMES.iter().position(|known| *known == outcome) {
            self.checks[at as usize][column].inc();
        }
    }

    /// Counts an answer.
    pub fn answer(&self, status: u16) {
        if let Some(counter) = self.answers_by_status.get(usize::from(status)) {
            counter.get_or_init(|| self.answers.get_or_create(&AnswerLabels { status }).clone()).inc();
        }
    }

    /// Counts a failure to follow the log.
    pub fn feed_failure(&self) {
        self.feed_failures.inc();
    }

    /// Counts the rounds of some work in the background.
    pub fn rounds(&self, work: String) -> Counter {
        self.rounds.get_or_create(&WorkLabels { work }).clone()
    }

    /// Counts passwords that are hashed or verified.
    pub fn passwords(&self) -> Counter {
        self.passwords.clone()
    }

    /// The Prometheus text format, with the gauges as they are now.
    pub fn text(&self, feed: &Feed, fleet: Option<&Fleet>, log: Option<&Log>, exports: &[Export]) -> String {
        for export in exports {
            let labels = ExportLabels { export: export.name().to_owned() };
            self.exports_behind.get_or_create(&labels).set(export.behind());
        }
        if let Some(log) = log.map(Log::state) {
            self.unwritten_requests.set(log.trouble.is_some().into());
            self.lost_requests.inner().store(log.lost, Ordering::Relaxed);
            self.waits_for_log.inner().store(log.waits, Ordering::Relaxed);
            self.damaged_segments.set(i64::try_from(log.damaged).unwrap_or(i64::MAX));
        }
        if let Some(fleet) = fleet {
            self.behind.set(fleet.behind(feed.applied()));
            self.lease_left.set(fleet.lease().left());
        }
        self.tokens.set(i64::try_from(feed.index().len()).unwrap_or(i64::MAX));
        self.applied.set(feed.applied());
        self.pending_uses.set(i64::try_from(feed.index().unsaved()).unwrap_or(i64::MAX));
        let mut text = String::new();
        // Writing to a string can't fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
