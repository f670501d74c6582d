//! When and from where each token was last used: noted in the index by whoever checks, written from there
//! in batches, and folded into the tokens now and then.
//!
//! What has not been written yet is part of every answer ([`Index::last_use`]). A crash loses at most what
//! was noted since the last flush; a graceful stop flushes.

use tokenhouse_core::index::Index;
use tokenhouse_store::{Error, Store, positions, usage};

use crate::app::App;

/// For how long nobody else does so, if this server doesn't come back.
const CLAIM_SECONDS: i64 = 120;

/// Whose turn it is to fold is kept under this name.
const FOLDING: &str = "uses.folding";

/// The most rows that are written in one transaction, so that other writers don't wait long.
const BATCH: usize = 1_000;

/// Writes what has been noted. What can't be written stays for the next time.
pub async fn flush(index: &Index, store: &Store) -> Result<(), Error> {
    let unsaved = index.take_unsaved();
    let mut batches = unsaved.chunks(BATCH);
    while let Some(batch) = batches.next() {
        let rows: Vec<_> = batch.iter().map(|unsaved| (unsaved.token, unsaved.used)).collect();
        if let Err(error) = usage::record(store, &rows).await {
            std::iter::once(batch).chain(batches).for_each(|batch| index.keep_unsaved(batch));
            return Err(error);
        }
    }
    Ok(())
}

/// Puts what has been written into the tokens themselves, unless another server of the fleet does so. Tells whether
/// everything is there.
pub async fn fold(app: &App) -> Result<bool, Error> {
    let now = app.clock.now();
    let claim = (now, now.plus_seconds(CLAIM_SECONDS));
    let is_ours = positions::claim(&app.store, FOLDING, &app.node, claim, 0).await?.is_some();
    if is_ours {
        usage::fold(&app.store).await?;
    }
    Ok(is_ours)
}
