//! When and from where each token was last used: noted in the index by whoever checks, written from there
//! in batches.
//!
//! What has not been written yet is part of every answer ([`Index::last_use`]). A crash loses at most what
//! was noted since the last flush; a graceful stop flushes.

use tokenhouse_core::index::Index;
use tokenhouse_store::{Error, Store, usage};

/// The most rows that are written in one transaction, so that other writers don't wait long.
const BATCH: usize = 1_000;

/// Writes what has been noted. What can't be written stays for the next time.
pub async fn flush(index: &Index, store: &Store) -> Result<(), Error> {
    let unsaved = index.take_unsaved();
    let mut batches = unsaved.chunks(BATCH);
    while let Some(batch) = batches.next() {
        let rows: Vec<_> = batch.iter().map(|unsaved| (unsaved.token, unsaved.used)).collect();
        match usage::record(store, &rows).await {
            Ok(left) => {
                let left = batch.iter().filter(|unsaved| left.contains(&unsaved.token));
                index.keep_unsaved(&left.copied().collect::<Vec<_>>());
            }
            Err(error) => {
                std::iter::once(batch).chain(batches).for_each(|batch| index.keep_unsaved(batch));
                return Err(error);
            }
        }
    }
    Ok(())
}
