//! Waits until a change is in effect on every node.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;
use tokenhouse_core::clock::Uptime;
use tokenhouse_store::nodes::{self, Node};
use tokenhouse_store::{Error, Store};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use utoipa::ToSchema;

use super::lease::ENDED;

/// How often the nodes are looked up, besides listening for them.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How soon the nodes are looked up again after that failed.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// What all other nodes are called where they could not be looked up in time.
const UNKNOWN: &str = "all others";

/// How far nodes are known to have followed the log, by incarnation.
pub type Applied = HashMap<String, i64>;

/// What shows that a change is in effect everywhere.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct Receipt {
    /// Number of the change.
    #[schema(example = 4711)]
    seq: i64,
    /// Every node that there was; one line for all others where they could not be looked up.
    nodes: Vec<Line>,
}

/// How a node was found to have a change in effect.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct Line {
    /// Name of the node.
    #[schema(example = "gate-1:8080")]
    node: String,
    /// Milliseconds after the commit until it was known that its index shows the change.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    acknowledged_after_ms: Option<f64>,
    /// Present and true if it was not heard of: it can't answer checks any more, since its lease has ended.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    lease_ended: bool,
}

impl Receipt {
    /// Of a change that this node alone has to show, and does.
    pub fn of_one(seq: i64, node: &str) -> Self {
        Self { seq, nodes: vec![Line::acknowledged(node, Duration::ZERO)] }
    }

    /// Whether some node was not heard of.
    pub fn is_by_time(&self) -> bool {
        self.nodes.iter().any(|line| line.lease_ended)
    }
}

impl Line {
    fn acknowledged(node: &str, after: Duration) -> Self {
        let micros = u32::try_from(after.as_micros()).unwrap_or(u32::MAX);
        Self {
            node: node.to_owned(),
            acknowledged_after_ms: Some(f64::from(micros) / 1_000.0),
            lease_ended: false,
        }
    }

    fn ended(node: &str) -> Self {
        Self { node: node.to_owned(), acknowledged_after_ms: None, lease_ended: true }
    }
}

/// A change that is waited for.
pub struct Fence<'a> {
    /// Its number.
    pub seq: i64,
    /// A moment when it was committed.
    pub committed: Uptime,
    /// Where the nodes are looked up.
    pub store: &'a Store,
    /// What is heard of the others.
    pub applied: watch::Receiver<Applied>,
}

impl Fence<'_> {
    /// Waits until every node shows the change, or can't answer checks any more; [`ENDED`] after the commit
    /// that is so whatever has happened to the nodes, the network and the database. `own` are incarnation and
    /// name of this node, which shows it already.
    pub async fn wait(mut self, own: (&str, &str)) -> Receipt {
        let mut receipt = Receipt::of_one(self.seq, own.1);
        // Unknown until they were looked up after the commit: who registers later reads the log later still.
        let mut silent = None;
        while !self.left().is_zero() && silent.as_ref().is_none_or(|silent: &Vec<Node>| !silent.is_empty()) {
            let pause = match timeout(self.left(), self.look_up()).await {
                Ok(Ok(mut found)) => {
                    found.retain(|node| node.incarnation != own.0);
                    silent = Some(match silent {
                        None => found,
                        Some(silent) => still_silent(silent, &found, &mut receipt),
                    });
                    LOOK_EVERY
                }
                Ok(Err(_)) | Err(_) => RETRY_AFTER,
            };
            self.listen(pause, silent.as_mut(), &mut receipt).await;
        }
        match silent {
            Some(silent) => receipt.nodes.extend(silent.iter().map(|node| Line::ended(&node.name))),
            None => receipt.nodes.push(Line::ended(UNKNOWN)),
        }
        receipt
    }

    async fn look_up(&self) -> Result<Vec<Node>, Error> {
        Ok(nodes::all(&mut *self.store.read().await?).await?.nodes)
    }

    /// How long it may take.
    fn left(&self) -> Duration {
        self.committed.plus(ENDED).since(Uptime::now())
    }

    /// Takes those away who are heard of, for so long or until none is left.
    async fn listen(&mut self, pause: Duration, silent: Option<&mut Vec<Node>>, receipt: &mut Receipt) {
        let until = Uptime::now().plus(pause.min(self.left()));
        let Some(silent) = silent else { return sleep(pause.min(self.left())).await };
        loop {
            self.note_acknowledged(silent, receipt);
            let changed = timeout(until.since(Uptime::now()), self.applied.changed());
            if silent.is_empty() || changed.await.is_err() {
                return;
            }
        }
    }

    fn note_acknowledged(&mut self, silent: &mut Vec<Node>, receipt: &mut Receipt) {
        let after = Uptime::now().since(self.committed);
        let heard = self.applied.borrow_and_update();
        silent.retain(|node| {
            let heard = heard.get(&node.incarnation).copied().unwrap_or_default();
            let shows = heard.max(node.applied) >= self.seq;
            if shows {
                receipt.nodes.push(Line::acknowledged(&node.name, after));
            }
            !shows
        });
    }
}

/// Those of the silent ones who are still there, as they were found. Whoever has left, or was removed, answers
/// no checks: only then is a row taken away.
fn still_silent(silent: Vec<Node>, found: &[Node], receipt: &mut Receipt) -> Vec<Node> {
    let again = |node: Node| {
        let found = found.iter().find(|found| found.incarnation == node.incarnation);
        if found.is_none() {
            receipt.nodes.push(Line::ended(&node.name));
        }
        found.cloned()
    };
    silent.into_iter().filter_map(again).collect()
}
