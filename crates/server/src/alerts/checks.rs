//! Alerts on traces that checks of tokens leave in memory. What can't be told stays there for the next time.

use std::sync::Arc;

use tokenhouse_core::id::TokenId;
use tokenhouse_core::index::Elsewhere;
use tokenhouse_core::network::Network;
use tokenhouse_store::alerts::{Outbox, Routes};
use tokenhouse_store::{Error, Store, networks, tokens};

use super::rules;
use crate::app::App;
use crate::knocks::Knocks;

/// How many tokens are looked at in one transaction.
const BATCH: usize = 50;

/// Looks at what has been noted since the last time.
pub async fn work(app: Arc<App>) {
    if let Err(error) = new_networks(&app).await {
        tracing::warn!(%error, "networks could not be looked up; trying again");
    }
    if let Err(error) = failures(&app).await {
        tracing::warn!(%error, "alerts on failed attempts have to wait; trying again");
    }
}

/// Tokens that were used from a network that they were never used from before.
pub async fn new_networks(app: &App) -> Result<(), Error> {
    let seen = app.feed.index().take_elsewhere();
    let mut batches = seen.chunks(BATCH);
    while let Some(batch) = batches.next() {
        if let Err(error) = look_up(app, batch).await {
            std::iter::once(batch).chain(batches).for_each(|batch| app.feed.index().keep_elsewhere(batch));
            return Err(error);
        }
    }
    Ok(())
}

async fn look_up(app: &App, batch: &[Elsewhere]) -> Result<(), Error> {
    let mut seen: Vec<_> = batch.iter().map(|seen| (seen.token, Network::of(seen.ip).to_string())).collect();
    seen.sort_unstable();
    seen.dedup();
    let mut outbox = Outbox::begin(&app.store, &app.alerts.routes).await?;
    let new = networks::note(&mut outbox, &seen).await?;
    let ids: Vec<TokenId> = new.iter().map(|(token, _)| *token).collect();
    let found = tokens::find_many(&mut outbox, &ids).await?;
    let now = app.clock.now();
    for (id, network) in &new {
        let token = found.iter().find(|token| token.id == *id);
        let seen =
            batch.iter().find(|seen| seen.token == *id && Network::of(seen.ip).to_string() == *network);
        if let (Some(token), Some(seen)) = (token, seen) {
            outbox.tell(&rules::new_network(now, token, network, seen.ip)).await?;
        }
    }
    outbox.commit().await
}

/// Tokens that don't work any more and were tried.
pub(crate) async fn dead_tried(
    store: &Store,
    routes: &Routes,
    tried: &[(TokenId, Knocks)],
) -> Result<(), Error> {
    let ids: Vec<TokenId> = tried.iter().map(|(id, _)| *id).collect();
    let mut found = tokens::find_many(&mut *store.read().await?, &ids).await?;
    found.sort_unstable_by_key(|token| token.id);
    let mut outbox = Outbox::begin(store, routes).await?;
    for token in &found {
        if let Some((_, knocks)) = tried.iter().find(|(id, _)| *id == token.id) {
            outbox.tell(&rules::dead_tried(token, knocks)).await?;
        }
    }
    outbox.commit().await
}

/// Addresses from which too many attempts have failed.
pub async fn failures(app: &App) -> Result<(), Error> {
    let reached = app.alerts.failures.take();
    if reached.is_empty() {
        return Ok(());
    }
    let told = async {
        let mut outbox = Outbox::begin(&app.store, &app.alerts.routes).await?;
        let (limit, window) = (app.config.alerts.failures.get(), app.config.alerts.failure_window);
        for reached in &reached {
            let address = reached.address.to_string();
            let what = ("attempts with tokens", address.as_str());
            outbox.tell(&rules::failed_address(reached.at, what, limit.into(), window)).await?;
        }
        outbox.commit().await
    };
    told.await.inspect_err(|_| app.alerts.failures.keep(&reached))
}
