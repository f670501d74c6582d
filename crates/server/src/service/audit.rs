//! Reading the audit trail, and making sure that it is whole.

use std::sync::{Mutex, PoisonError};

use tokenhouse_core::audit::{Actor, Broken, Head};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_store::Page;
use tokenhouse_store::audit::{self, AuditFilter, Day, Insights, StoredRecord};

use crate::app::App;
use crate::error::Error;

/// The most users that are offered to choose from.
const OFFERED: i64 = 200;

/// What became of a verification of the whole trail.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verified {
    /// When it ended.
    pub at: Timestamp,
    /// The head of the trail, or the first thing that is wrong with it.
    pub outcome: Result<Head, Broken>,
}

/// The last verification, if there was one since the start.
#[derive(Debug, Default)]
pub struct Verification(Mutex<Option<Verified>>);

impl Verification {
    /// What became of it.
    pub fn last(&self) -> Option<Verified> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A page of records, newest first.
pub async fn page(
    app: &App,
    filter: &AuditFilter,
    limit: i64,
    offset: i64,
) -> Result<Page<StoredRecord>, Error> {
    Ok(audit::page(&mut *app.store.read().await?, filter, limit, offset).await?)
}

/// The next records older than number `before`, newest first, when they are on disk: they are sent while
/// others are read.
pub async fn before(
    app: &App,
    filter: &AuditFilter,
    before: i64,
    limit: i64,
) -> Result<Vec<StoredRecord>, Error> {
    let found = audit::before(&mut *app.store.read().await?, filter, before, limit).await?;
    app.store.settle().await?;
    Ok(found)
}

/// What the records of a window amount to, with a figure for each of its days.
pub async fn insights(app: &App, filter: &AuditFilter) -> Result<Insights, Error> {
    let mut found = audit::insights(&mut *app.store.read().await?, filter).await?;
    if let (Some(from), Some(to)) = (filter.from, filter.to) {
        let days = (0..to.days_since(from)).map(|day| from.plus_days(day));
        let counted = |day: Timestamp| found.days.iter().find(|known| known.start == day).copied();
        let days = days.map(|start| counted(start).unwrap_or(Day { start, user: 0, automated: 0 }));
        found.days = days.collect();
    }
    Ok(found)
}

/// How many users did something.
pub async fn active_users(app: &App, filter: &AuditFilter) -> Result<i64, Error> {
    Ok(audit::active_users(&mut *app.store.read().await?, filter).await?)
}

/// Who did something, to choose from.
pub async fn actors(app: &App, filter: &AuditFilter) -> Result<Vec<Actor>, Error> {
    Ok(audit::actors(&mut *app.store.read().await?, filter, OFFERED).await?)
}

/// Walks the whole trail and keeps what became of it.
pub async fn verify(app: &App) -> Result<Verified, Error> {
    let outcome = audit::verify(&app.store, None).await?;
    if let Err(broken) = &outcome {
        tracing::error!(%broken, "the audit trail is broken");
    }
    let verified = Verified { at: app.clock.now(), outcome };
    *app.verification.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(verified.clone());
    Ok(verified)
}
