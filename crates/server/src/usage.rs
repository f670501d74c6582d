//! When and from where each token was last used: gathered in memory, written in batches.
//!
//! What has not been written yet is part of every answer ([`Usage::latest`]). A crash loses at most
//! what was gathered since the last flush; a graceful stop flushes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::TokenId;
use tokenhouse_store::{Store, usage};

/// So many parts, each with a lock of its own that is held for a few nanoseconds.
const SHARDS: usize = 64;

/// The most rows that are written in one transaction, so that other writers don't wait long.
const BATCH: usize = 1_000;

type Shard = HashMap<TokenId, Use, foldhash::fast::RandomState>;

/// A token's last use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Use {
    /// When.
    pub at: Timestamp,
    /// From which address.
    pub ip: IpAddr,
}

/// Uses that have not been written yet.
#[derive(Debug)]
pub struct Usage {
    shards: [Mutex<Shard>; SHARDS],
}

impl Default for Usage {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl Usage {
    /// A token was used.
    pub fn note(&self, token: TokenId, used: Use) {
        self.shard(token).insert(token, used);
    }

    /// The last use that has not been written yet.
    pub fn latest(&self, token: TokenId) -> Option<Use> {
        self.shard(token).get(&token).copied()
    }

    /// How many uses wait to be written.
    pub fn pending(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// Writes what has been gathered. What can't be written stays for the next time.
    pub async fn flush(&self, store: &Store) -> Result<(), tokenhouse_store::Error> {
        let gathered: Vec<(TokenId, Use)> = self
            .shards
            .iter()
            .flat_map(|shard| lock(shard).iter().map(|(id, used)| (*id, *used)).collect::<Vec<_>>())
            .collect();
        for batch in gathered.chunks(BATCH) {
            let rows: Vec<_> = batch.iter().map(|(id, used)| (*id, used.at, used.ip)).collect();
            usage::record(store, &rows).await?;
            for (id, written) in batch {
                let mut shard = self.shard(*id);
                if shard.get(id) == Some(written) {
                    shard.remove(id);
                }
            }
        }
        Ok(())
    }

    fn shard(&self, token: TokenId) -> MutexGuard<'_, Shard> {
        let index = usize::try_from(token.0.unsigned_abs() % SHARDS as u64).unwrap_or_default();
        lock(&self.shards[index])
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
