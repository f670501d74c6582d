//! The one connection that writes. Whoever has the turn has it; the others wait in line.
//!
//! It lies in no pool: one would ask the connection after each turn whether it is still there, and the next turn would
//! wait for that.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::any::AnyConnectOptions;
use sqlx::error::{DatabaseError, ErrorKind};
use tokenhouse_core::audit::Head;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, OwnedMappedMutexGuard, OwnedMutexGuard};
use tokio::time::timeout;

use crate::dialect::Dialect;
use crate::sql::Query;
use crate::store::SILENCE;
use crate::{Connection, Error, audit};

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
    /// What begins the transaction, if it hasn't begun.
    beginning: Option<&'static str>,
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

    /// The same, but where no other process writes, the transaction only begins with its first statement that writes,
    /// which is run together with [`Turn::beginning`]. What is read before is the same: nobody else has the turn.
    pub(crate) async fn begin_with_first(&self) -> Result<Turn, Error> {
        if self.dialect.is_remote() { self.begin().await } else { self.in_time(self.next()).await }
    }

    /// Waits for a turn and begins a transaction without changes, which have numbers.
    pub(crate) async fn begin_unnumbered(&self) -> Result<Turn, Error> {
        self.begin_with(None).await
    }

    async fn begin_with(&self, lock: Option<&'static str>) -> Result<Turn, Error> {
        let turn = async {
            let mut turn = self.next().await?;
            turn.begin().await?;
            // A statement of its own: if it fails, the transaction is there to be rolled back.
            if let Some(lock) = lock {
                sqlx::query(lock).execute(&mut *turn).await?;
            }
            Ok(turn)
        };
        self.in_time(turn).await
    }

    /// Waits for a turn.
    async fn next(&self) -> Result<Turn, sqlx::Error> {
        let mut slot = Arc::clone(&self.slot).lock_owned().await;
        self.prepare(&mut slot).await?;
        let kept = OwnedMutexGuard::try_map(slot, |slot| slot.kept.as_mut());
        let kept = kept.map_err(|_| sqlx::Error::PoolClosed)?;
        Ok(Turn { kept, turns: self.clone(), beginning: Some(self.dialect.begin_write()) })
    }

    async fn in_time(&self, turn: impl Future<Output = Result<Turn, sqlx::Error>>) -> Result<Turn, Error> {
        timeout(self.patience, turn).await.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map_err(Error::from)
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

/// Whether the head that is replaced was not there.
fn is_of_another_head(refused: &dyn DatabaseError) -> bool {
    refused.kind() == ErrorKind::NotNullViolation && refused.message().contains("audit_head")
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

    /// Begins the transaction, if it hasn't begun.
    pub(crate) async fn begin(&mut self) -> Result<(), sqlx::Error> {
        if let Some(begin) = self.beginning() {
            sqlx::query(begin).execute(&mut **self).await?;
        }
        Ok(())
    }

    /// The statement that begins the transaction, if it hasn't begun. It counts as begun from here on.
    pub(crate) fn beginning(&mut self) -> Option<&'static str> {
        let begin = self.beginning.take()?;
        // Until it is known to have ended.
        self.kept.clean = false;
        Some(begin)
    }

    /// Commits. The turn lasts until it is dropped.
    pub(crate) async fn commit(&mut self) -> Result<(), Error> {
        let patience = self.patience_with_commits();
        let commit = sqlx::query("COMMIT").execute(&mut **self);
        timeout(patience, commit).await.map_err(|_| Error::too_slow())??;
        self.kept.clean = true;
        Ok(())
    }

    /// Commits with the last statement of the transaction, as [`Dialect::last`] makes it.
    pub(crate) async fn commit_with(&mut self, last: Query) -> Result<(), Error> {
        let (dialect, patience) = (self.turns.dialect, self.patience_with_commits());
        let written = timeout(patience, last.execute(&mut **self)).await.map_err(|_| Error::too_slow())?;
        let written = written.map_err(|error| match error {
            sqlx::Error::Database(refused) if is_of_another_head(refused.as_ref()) => audit::set_back(),
            other => other.into(),
        })?;
        if written.rows_affected() != dialect.rows_of_last() {
            return Err(audit::set_back());
        }
        if dialect.is_remote() {
            return self.commit().await;
        }
        self.kept.clean = true;
        Ok(())
    }

    fn patience_with_commits(&self) -> Duration {
        // SQLite's own would be written later all the same.
        if self.turns.dialect.is_remote() { self.turns.patience } else { Duration::MAX }
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
