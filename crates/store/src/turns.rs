//! The one connection that writes. Whoever has the turn has it; the others wait in line.
//!
//! It lies in no pool: one would ask the connection after each turn whether it is still there, and the next turn would
//! wait for that.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::any::AnyConnectOptions;
use tokenhouse_core::audit::Head;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, OwnedMappedMutexGuard, OwnedMutexGuard};
use tokio::time::timeout;

use crate::dialect::Dialect;
use crate::store::SILENCE;
use crate::{Connection, Error};

/// Gives out turns to write. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Turns {
    slot: Arc<Mutex<Slot>>,
    dialect: Dialect,
    options: AnyConnectOptions,
    patience: Duration,
}

#[derive(Debug, Default)]
struct Slot {
    kept: Option<Kept>,
    closed: bool,
}

#[derive(Debug)]
struct Kept {
    connection: Connection,
    /// No transaction has begun that hasn't ended.
    clean: bool,
    /// The head of the audit trail, where nobody else can have moved it.
    head: Option<Head>,
}

/// A write transaction. Dropped, it is rolled back.
#[derive(Debug)]
pub(crate) struct Turn {
    kept: OwnedMappedMutexGuard<Slot, Kept>,
    turns: Turns,
}

impl Turns {
    /// Turns on a connection of its own; whoever waits longer than `patience` for one gets none.
    pub(crate) fn new(dialect: Dialect, options: &AnyConnectOptions, patience: Duration) -> Self {
        Self { slot: Arc::default(), dialect, options: options.clone(), patience }
    }

    /// Waits for a turn and begins a transaction, and until no other process is in one with changes.
    pub(crate) async fn begin(&self) -> Result<Turn, Error> {
        self.begin_with(self.dialect.lock_writers()).await
    }

    /// Waits for a turn and begins a transaction without changes, which have numbers.
    pub(crate) async fn begin_unnumbered(&self) -> Result<Turn, Error> {
        self.begin_with(None).await
    }

    async fn begin_with(&self, lock: Option<&'static str>) -> Result<Turn, Error> {
        let begun = timeout(self.patience, async {
            let mut slot = Arc::clone(&self.slot).lock_owned().await;
            self.prepare(&mut slot).await?;
            let kept = OwnedMutexGuard::try_map(slot, |slot| slot.kept.as_mut());
            let mut turn = Turn { kept: kept.map_err(|_| sqlx::Error::PoolClosed)?, turns: self.clone() };
            // From here on until it is known to have ended.
            turn.kept.clean = false;
            sqlx::query(self.dialect.begin_write()).execute(&mut *turn).await?;
            // A statement of its own: if it fails, the transaction is there to be rolled back.
            if let Some(lock) = lock {
                sqlx::query(lock).execute(&mut *turn).await?;
            }
            Ok(turn)
        });
        begun.await.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map_err(Error::from)
    }

    /// The connection, outside any transaction, to set the database up.
    pub(crate) async fn set_up<T>(
        &self,
        set_up: impl AsyncFnOnce(&mut Connection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut slot = self.slot.lock().await;
        self.prepare(&mut slot).await?;
        let kept = slot.kept.as_mut().ok_or(sqlx::Error::PoolClosed)?;
        set_up(&mut kept.connection).await
    }

    /// Closes the connection when the present turn has ended. There is none afterwards.
    pub(crate) async fn close(&self) {
        let mut slot = self.slot.lock().await;
        slot.closed = true;
        if let Some(kept) = slot.kept.take() {
            // If that fails, it is gone all the same.
            let _ = kept.connection.close().await;
        }
    }

    /// Makes sure that there is a connection without a transaction: what a turn has left is rolled back, and
    /// where that fails, as where SQLite has done so by itself because the disk is full, another connection is made.
    async fn prepare(&self, slot: &mut Slot) -> Result<(), sqlx::Error> {
        if slot.closed {
            return Err(sqlx::Error::PoolClosed);
        }
        if let Some(kept) = &mut slot.kept {
            let is_fit = if kept.clean {
                !self.dialect.is_remote()
                    || timeout(SILENCE, kept.connection.ping()).await.is_ok_and(|pong| pong.is_ok())
            } else {
                kept.head = None;
                let rolled_back = sqlx::query("ROLLBACK").execute(&mut kept.connection);
                timeout(SILENCE, rolled_back).await.is_ok_and(|rolled_back| rolled_back.is_ok())
                    && is_writable(self.dialect, &mut kept.connection).await
            };
            kept.clean = is_fit;
        }
        if slot.kept.as_ref().is_none_or(|kept| !kept.clean) {
            // First of all the old one ends, whose transaction would stand in the way.
            if let Some(unfit) = slot.kept.take() {
                let _ = unfit.connection.close_hard().await;
            }
            let mut connection = Connection::connect_with(&self.options).await?;
            sqlx::raw_sql(self.dialect.writer_setup()).execute(&mut connection).await?;
            slot.kept = Some(Kept { connection, clean: true, head: None });
        }
        Ok(())
    }
}

/// Whether the database is not one that only reads, as a standby, where that may be.
async fn is_writable(dialect: Dialect, connection: &mut Connection) -> bool {
    let Some(question) = dialect.is_writable() else { return true };
    let asked = sqlx::query_scalar::<_, i64>(question).fetch_one(connection);
    timeout(SILENCE, asked).await.is_ok_and(|answer| answer.is_ok_and(|writable| writable == 1))
}

impl Turn {
    /// The head of the audit trail, where it is known: on SQLite, whose file belongs to this process, what
    /// [`Self::keep_head`] was told in the turn before.
    pub(crate) fn head(&self) -> Option<Head> {
        self.kept.head
    }

    /// Keeps the head of the audit trail for the next turn.
    pub(crate) fn keep_head(&mut self, head: Head) {
        self.kept.head = (!self.turns.dialect.is_remote()).then_some(head);
    }

    /// Commits. The turn lasts until it is dropped.
    pub(crate) async fn commit(&mut self) -> Result<(), Error> {
        // SQLite's own would be written later all the same.
        let patience = if self.turns.dialect.is_remote() { self.turns.patience } else { Duration::MAX };
        let commit = sqlx::query("COMMIT").execute(&mut **self);
        timeout(patience, commit).await.map_err(|_| Error::too_slow())??;
        self.kept.clean = true;
        Ok(())
    }
}

impl Deref for Turn {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.kept.connection
    }
}

impl DerefMut for Turn {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.kept.connection
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.kept.clean {
            return;
        }
        // Whoever is next in line does it, at the latest.
        if let Ok(runtime) = Handle::try_current() {
            let turns = self.turns.clone();
            runtime.spawn(async move {
                let mut slot = turns.slot.lock().await;
                let _ = timeout(turns.patience, turns.prepare(&mut slot)).await;
            });
        }
    }
}
