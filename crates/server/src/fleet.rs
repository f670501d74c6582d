//! Several servers on one PostgreSQL, each answering checks from its own memory, and still: once a revoke has
//! been answered, no check that starts later is answered by the old state on any of them.
//!
//! - **Lease.** A node answers checks only for [`lease::LEASE`] after it has asked for the head of the log, and
//!   only once its index shows everything up to that head. The time counts from before the question, by a
//!   clock that goes on while the process is stopped. So whatever was committed before the question is shown,
//!   and a node that can't ask, refuses.
//! - **Fence.** Whoever takes access away waits, after the commit, until every registered node is known to show
//!   the change or [`lease::ENDED`] has passed: then each node has asked since, or refuses.
//! - **Registration.** A node registers before it asks for the first time. Whoever doesn't find it after a
//!   commit knows that it will ask after that commit.
//!
//! Clocks are only used to measure how long something took; nobody's time of day matters. The model in
//! `crates/model` checks this, and that it fails where a step is left out.

pub mod fence;
pub mod lease;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use tokenhouse_core::audit::Head;
use tokenhouse_core::clock::{Clock, Uptime};
use tokenhouse_core::random::{NoRandomness, Random};
use tokenhouse_store::nodes::{Membership, News, Renewal};
use tokenhouse_store::{Error as StoreError, Store, nodes};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use self::fence::{Applied, Fence, Receipt};
use self::lease::{ENDED, Lease};
use crate::feed::Feed;
use crate::metrics::Metrics;

/// How often a node asks for the head of the log. Several times within a lease, so that a lost question
/// doesn't end it.
const RENEW_EVERY: Duration = Duration::from_millis(500);

/// How long to wait before listening again after that failed; doubles up to a second.
const LISTEN_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Why a node can't be part of its fleet, or not any more.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// Another one is called the same.
    #[error("another server of this store is called {0}; give each a name of its own in fleet.node")]
    NameTaken(String),
    /// The clocks of this machine and of the database differ.
    #[error(
        "the clocks of this machine and of PostgreSQL differ by {differ} s, more than fleet.max_clock_skew; set them right"
    )]
    ClockSkew {
        /// By how many seconds.
        differ: u64,
    },
    /// The log of changes is not the one that was followed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// This server's part in the fleet of its store.
#[derive(Debug)]
pub struct Fleet {
    name: String,
    incarnation: String,
    max_clock_skew: Duration,
    store: Store,
    lease: Lease,
    /// What was heard of the others.
    applied: watch::Sender<Applied>,
    /// The newest change that is known to be in effect everywhere.
    fenced: AtomicI64,
    /// Newest change in the log when it was last asked for.
    head: AtomicI64,
    /// How often this node has registered or renewed.
    renewals: AtomicI64,
    /// Something was committed.
    wake: Notify,
    lost: AtomicBool,
}

impl Fleet {
    /// A node of this name that has not joined yet.
    pub fn new(
        store: Store,
        name: String,
        max_clock_skew: Duration,
        random: &Random,
    ) -> Result<Self, NoRandomness> {
        Ok(Self {
            name,
            incarnation: random.text::<16>()?,
            max_clock_skew,
            store,
            lease: Lease::default(),
            applied: watch::Sender::new(HashMap::new()),
            fenced: AtomicI64::new(0),
            head: AtomicI64::new(0),
            renewals: AtomicI64::new(0),
            wake: Notify::new(),
            lost: AtomicBool::new(false),
        })
    }

    /// Until when checks may be answered.
    pub const fn lease(&self) -> &Lease {
        &self.lease
    }

    /// How many changes the log was ahead of `applied` when it was last asked.
    pub fn behind(&self, applied: i64) -> i64 {
        (self.head.load(Ordering::Acquire) - applied).max(0)
    }

    /// Registers this node and gets its first lease. Returns when checks may be answered.
    ///
    /// # Errors
    /// [`FleetError::NameTaken`] if another node lives under this name; one that was killed is waited for
    /// until its lease has ended.
    pub async fn join(&self, feed: &Feed, clock: &Clock) -> Result<(), FleetError> {
        let mut membership = self.membership();
        self.register(&mut membership, feed).await?;
        let joined = self.renew(&mut membership, feed, clock).await;
        if joined.is_err() {
            self.leave().await;
        }
        joined
    }

    /// Keeps the lease, follows the log when something is heard, and tells the others. Ends only with
    /// [`StoreError::HistoryLost`]: then nothing that this node knows can be relied on, so checks are refused
    /// from then on, and it has to be started again.
    pub async fn run(&self, feed: &Feed, clock: &Clock, metrics: &Metrics) -> StoreError {
        let lost = tokio::select! {
            lost = self.keep_lease(feed, clock, metrics) => lost,
            lost = self.follow(feed, metrics) => lost,
            never = self.listen() => match never {},
        };
        self.lease.end();
        self.lost.store(true, Ordering::Release);
        lost
    }

    /// Whether the log was found not to be the one that was followed.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// Answers no checks any more, and tells the others so. Nobody waits for this node then.
    pub async fn leave(&self) {
        self.lease.end();
        if let Err(error) = self.membership().leave().await {
            tracing::warn!(%error, "could not leave the fleet; others wait for this node until its lease has ended");
        }
    }

    /// Waits until a change is in effect on every node. `committed` is a moment when it was committed; this
    /// node's own index shows it already.
    pub async fn fence(&self, seq: i64, committed: Uptime, metrics: &Metrics) -> Receipt {
        if cfg!(feature = "unfenced") {
            return Receipt::of_one(seq, &self.name);
        }
        let started = Uptime::now();
        let fence = Fence { seq, committed, store: &self.store, applied: self.applied.subscribe() };
        let receipt = fence.wait((&self.incarnation, &self.name)).await;
        self.fenced.fetch_max(seq, Ordering::AcqRel);
        metrics.fence(Uptime::now().since(started), receipt.is_by_time());
        receipt
    }

    /// Whether a change is known to be in effect on every node.
    pub fn is_fenced(&self, seq: i64) -> bool {
        self.fenced.load(Ordering::Acquire) >= seq
    }

    /// A number that no registration and no renewal has had.
    fn next_renewal(&self) -> i64 {
        self.renewals.fetch_add(1, Ordering::AcqRel) + 1
    }

    fn membership(&self) -> Membership {
        self.store.membership(&self.incarnation, &self.name)
    }

    async fn register(&self, membership: &mut Membership, feed: &Feed) -> Result<(), FleetError> {
        if membership.register(feed.applied(), self.next_renewal()).await? {
            return Ok(());
        }
        let Some((incarnation, renewals)) = membership.namesake().await? else {
            return Err(FleetError::NameTaken(self.name.clone()));
        };
        tracing::info!(
            node = self.name,
            "a node of this name was there before; waiting until its lease has ended"
        );
        sleep(ENDED).await;
        membership.forget(&incarnation, renewals).await?;
        let is_free = membership.register(feed.applied(), self.next_renewal()).await?;
        if is_free { Ok(()) } else { Err(FleetError::NameTaken(self.name.clone())) }
    }

    async fn renew(&self, membership: &mut Membership, feed: &Feed, clock: &Clock) -> Result<(), FleetError> {
        let before = feed.applied_head().await;
        let mut asked = Uptime::now();
        let mut renewal = membership.renew(before, self.next_renewal()).await?;
        if renewal.is_none() {
            // Somebody took this node for dead.
            self.register(membership, feed).await?;
            asked = Uptime::now();
            renewal = membership.renew(before, self.next_renewal()).await?;
        }
        let renewal = renewal.ok_or(StoreError::NotFound)?;
        self.check(before, renewal, clock)?;
        self.head.fetch_max(renewal.head.seq, Ordering::AcqRel);
        feed.follow(renewal.head.seq).await?;
        self.lease.renew(asked);
        Ok(())
    }

    fn check(&self, before: Head, renewal: Renewal, clock: &Clock) -> Result<(), FleetError> {
        let is_older = renewal.head.seq < before.seq;
        if is_older || (renewal.head.seq == before.seq && renewal.head.hash != before.hash) {
            return Err(StoreError::HistoryLost.into());
        }
        let differ = Duration::from_micros(clock.now().micros().abs_diff(renewal.now.micros()));
        if differ > self.max_clock_skew {
            return Err(FleetError::ClockSkew { differ: differ.as_secs() });
        }
        Ok(())
    }

    /// Renews again and again. Ends when the log is not the one that was followed.
    async fn keep_lease(&self, feed: &Feed, clock: &Clock, metrics: &Metrics) -> StoreError {
        let mut membership = self.membership();
        let mut neighbours = Neighbours::default();
        loop {
            match self.renew(&mut membership, feed, clock).await {
                Ok(()) => {}
                Err(FleetError::Store(lost @ StoreError::HistoryLost)) => return lost,
                Err(error) => {
                    metrics.feed_failure();
                    tracing::warn!(%error, "the lease could not be renewed; trying again");
                    // Who answers no checks needn't be waited for. The next renewal registers again.
                    if !self.lease.holds()
                        && let Err(error) = membership.leave().await
                    {
                        tracing::debug!(%error, "this node could not be taken off the list");
                    }
                }
            }
            if let Err(error) = self.forget_the_dead(&mut membership, &mut neighbours).await {
                tracing::debug!(%error, "the other nodes could not be looked up");
            }
            sleep(RENEW_EVERY).await;
        }
    }

    /// Removes nodes that have not renewed for as long as a lease can last, so that nobody waits for them.
    async fn forget_the_dead(
        &self,
        membership: &mut Membership,
        neighbours: &mut Neighbours,
    ) -> Result<(), StoreError> {
        let read = async { nodes::all(&mut *self.store.read().await?).await };
        let found = timeout(RENEW_EVERY, read).await.map_err(|_| StoreError::too_slow())??.nodes;
        self.applied.send_if_modified(|applied| {
            applied.retain(|incarnation, _| found.iter().any(|node| node.incarnation == *incarnation));
            false
        });
        let now = Uptime::now();
        neighbours.retain(|incarnation, _| found.iter().any(|node| node.incarnation == *incarnation));
        for node in found.iter().filter(|node| node.incarnation != self.incarnation) {
            let seen = neighbours.entry(node.incarnation.clone()).or_insert((node.renewals, now));
            if seen.0 != node.renewals {
                *seen = (node.renewals, now);
            } else if now.since(seen.1) >= ENDED {
                membership.forget(&node.incarnation, node.renewals).await?;
            }
        }
        Ok(())
    }

    /// Follows the log whenever something was committed, and tells who waits.
    async fn follow(&self, feed: &Feed, metrics: &Metrics) -> StoreError {
        let mut membership = self.membership();
        let mut acknowledged = 0;
        loop {
            self.wake.notified().await;
            match feed.follow_all().await {
                Ok(()) => {}
                Err(lost @ StoreError::HistoryLost) => return lost,
                Err(error) => {
                    metrics.feed_failure();
                    tracing::warn!(%error, "the log of changes could not be followed; trying again");
                    continue;
                }
            }
            let (narrowed, _) = feed.narrowed();
            if narrowed > acknowledged {
                match membership.acknowledge(feed.applied_head().await).await {
                    Ok(()) => acknowledged = narrowed,
                    Err(error) => tracing::warn!(%error, "a change could not be acknowledged"),
                }
            }
        }
    }

    /// Listens. What can't be heard is found by the renewals, only later.
    async fn listen(&self) -> std::convert::Infallible {
        let mut pause = LISTEN_AGAIN_AFTER;
        loop {
            let mut listener = match self.store.listen().await {
                Ok(listener) => listener,
                Err(error) => {
                    tracing::warn!(%error, "can't listen for changes; trying again");
                    sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(1));
                    continue;
                }
            };
            pause = LISTEN_AGAIN_AFTER;
            // Whatever was said before.
            self.wake.notify_one();
            loop {
                match listener.hear().await {
                    Ok(News::Changes) => self.wake.notify_one(),
                    Ok(News::Applied(incarnation, seq)) => self.applied.send_modify(|applied| {
                        let known = applied.entry(incarnation).or_default();
                        *known = seq.max(*known);
                    }),
                    Err(error) => {
                        tracing::warn!(%error, "can't hear of changes any more; listening again");
                        break;
                    }
                }
            }
        }
    }
}

/// How often each node has renewed, and since when it is known to have no more often.
type Neighbours = HashMap<String, (i64, Uptime)>;
