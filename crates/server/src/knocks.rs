//! Dead tokens that are still tried: counted in memory by whoever refuses them, written in batches like last uses.
//!
//! A crash loses at most what was counted since the last flush; a graceful stop flushes.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokenhouse_core::id::TokenId;
use tokenhouse_core::index::Use;
use tokenhouse_core::verdict::{Reason, Refused};
use tokenhouse_store::alerts::Routes;
use tokenhouse_store::{Error, Store, knocks};

pub use tokenhouse_store::knocks::Knocks;

use crate::alerts::checks;

/// How many tokens are written in one transaction.
const BATCH: usize = 1_000;

/// Attempts with dead tokens.
#[derive(Debug, Default)]
pub struct DeadTokens {
    unsaved: Mutex<HashMap<TokenId, Knocks>>,
    /// Held while attempts are on their way from here to the store.
    moving: tokio::sync::Mutex<()>,
}

impl DeadTokens {
    /// A token was refused. Counts if that is because it is dead.
    pub fn refused(&self, refused: &Refused, used: Use) {
        let is_dead = matches!(refused.reason, Reason::Revoked | Reason::Expired | Reason::Deactivated);
        if let Some(subject) = refused.subject.filter(|_| is_dead) {
            add(&mut self.unsaved(), subject.token, Knocks::once(used));
        }
    }

    /// What is known of these tokens; those that were never tried are left out.
    pub async fn of(&self, store: &Store, tokens: &[TokenId]) -> Result<HashMap<TokenId, Knocks>, Error> {
        let _moving = self.moving.lock().await;
        let mut found = knocks::of(&mut *store.read().await?, tokens).await?;
        let unsaved = self.unsaved();
        for token in tokens {
            if let Some(knocks) = unsaved.get(token) {
                add(&mut found, *token, knocks.clone());
            }
        }
        Ok(found)
    }

    /// Writes what has been counted, and tells of it. What can't be written stays for the next time.
    pub async fn flush(&self, store: &Store, routes: &Routes) -> Result<(), Error> {
        let _moving = self.moving.lock().await;
        let all: Vec<_> = std::mem::take(&mut *self.unsaved()).into_iter().collect();
        let mut batches = all.chunks(BATCH);
        while let Some(batch) = batches.next() {
            let written = async {
                // First this: told again, it is told no second time.
                checks::dead_tried(store, routes, batch).await?;
                knocks::record(store, batch).await
            };
            if let Err(error) = written.await {
                let mut unsaved = self.unsaved();
                for (token, knocks) in std::iter::once(batch).chain(batches).flatten() {
                    add(&mut unsaved, *token, knocks.clone());
                }
                return Err(error);
            }
        }
        Ok(())
    }

    fn unsaved(&self) -> MutexGuard<'_, HashMap<TokenId, Knocks>> {
        self.unsaved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn add(all: &mut HashMap<TokenId, Knocks>, token: TokenId, knocks: Knocks) {
    match all.get_mut(&token) {
        Some(known) => known.add(&knocks),
        None => {
            all.insert(token, knocks);
        }
    }
}
