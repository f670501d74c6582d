//! Counters and gauges in the Prometheus text format.

use std::sync::OnceLock;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokenhouse_core::verdict::{Reason, Scope};

use crate::feed::Feed;

/// Who asked for a check.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Checkpoint {
    /// Our own API.
    Api,
    /// `/forward-auth`
    ForwardAuth,
    /// `/oauth/introspect`
    Introspection,
    /// The gateway.
    Gateway,
    /// The SCIM endpoints.
    Scim,
}

impl Checkpoint {
    const ALL: [Self; 5] = [Self::Api, Self::ForwardAuth, Self::Introspection, Self::Gateway, Self::Scim];

    /// What a token is wanted for there.
    pub const fn scope(self) -> Scope {
        match self {
            Self::Api | Self::ForwardAuth | Self::Gateway => Scope::Api,
            Self::Introspection => Scope::Any,
            Self::Scim => Scope::Scim,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::ForwardAuth => "forward_auth",
            Self::Introspection => "introspection",
            Self::Gateway => "gateway",
            Self::Scim => "scim",
        }
    }
}

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
            registry,
        };
        metrics.registered()
    }
}

impl Metrics {
    fn registered(mut self) -> Self {
        let Self { registry, answers, tokens, applied, pending_uses, feed_failures, passwords, .. } =
            &mut self;
        registry.register("http_answers", "Answers given, by status", answers.clone());
        registry.register("tokens", "Tokens in the index", tokens.clone());
        registry.register("applied_change", "Number of the newest change in the index", applied.clone());
        registry.register("pending_uses", "Last uses not yet written", pending_uses.clone());
        registry.register("feed_failures", "Failed attempts to follow the log", feed_failures.clone());
        registry.register("passwords", "Passwords hashed or verified", passwords.clone());
        self
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

    /// Counts passwords that are hashed or verified.
    pub fn passwords(&self) -> Counter {
        self.passwords.clone()
    }

    /// The Prometheus text format, with the gauges as they are now.
    pub fn text(&self, feed: &Feed) -> String {
        self.tokens.set(i64::try_from(feed.index().len()).unwrap_or(i64::MAX));
        self.applied.set(feed.applied());
        self.pending_uses.set(i64::try_from(feed.index().unsaved()).unwrap_or(i64::MAX));
        let mut text = String::new();
        // Writing to a string can't fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
