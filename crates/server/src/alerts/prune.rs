//! Removes alerts that are old, and what is kept for the sake of alerts and can't matter any more. In small pieces, so
//! that nobody waits.

use std::sync::Arc;

use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::TokenId;
use tokenhouse_store::{Error, alerts, networks};

use crate::app::App;

/// What is removed in one transaction.
const BATCH: i64 = 500;

/// Removes whatever is old.
pub async fn work(app: Arc<App>) {
    if let Err(error) = prune(&app, BATCH).await {
        tracing::warn!(%error, "old alerts could not be removed; trying again tomorrow");
    }
}

/// Removes whatever is old, so much in one transaction.
pub async fn prune(app: &App, batch: i64) -> Result<(), Error> {
    let config = &app.config.alerts;
    let now = app.clock.now();
    let before = now.plus_days(-i64::from(config.keep_days.get()));
    while alerts::remove_old(&app.store, before, batch).await? > 0 {}
    // Nothing is told again after a longer time than this, and steps before an expiry are nearer.
    let window = i64::try_from(config.failure_window.as_micros()).unwrap_or(i64::MAX);
    let before = before.min(Timestamp::from_micros(now.micros().saturating_sub(window)));
    while alerts::forget_told(&app.store, before, batch).await? > 0 {}
    let mut after = Some(TokenId(0));
    while let Some(token) = after {
        after = networks::forget_deleted(&app.store, token, batch).await?;
    }
    Ok(())
}
