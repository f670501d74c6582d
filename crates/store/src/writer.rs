//! Write transactions.

use std::ops::{Deref, DerefMut};

use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};
use tokenhouse_core::audit::{Head, Seal};
use tokenhouse_core::clock::{Clock, Timestamp};

use crate::audit::Draft;
use crate::durability::Durability;
use crate::sql::Query;
use crate::{Connection, Error, Store, audit};

/// One write transaction; all others wait until it ends. Dropped, it is rolled back. After an
/// error it can only be dropped.
#[derive(Debug)]
pub struct Writer {
    transaction: Transaction<'static, Any>,
    durability: Durability,
    now: Timestamp,
    seal: Seal,
    head: Head,
    recorded: bool,
    /// A statement failed or was given up half-way.
    broken: bool,
}

impl Deref for Writer {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.transaction
    }
}

impl DerefMut for Writer {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.transaction
    }
}

impl Writer {
    pub(crate) async fn begin(store: &Store, clock: &Clock) -> Result<Self, Error> {
        let mut transaction = store.begin_write().await?;
        let (head, mac) = audit::head(&mut transaction).await?;
        // A head that somebody set back must not be sealed again by the next record.
        if !store.seal.holds(&head, &mac) {
            return Err(Error::Corrupt(
                "the head of the audit trail; `tokenhouse audit verify` tells what is wrong".into(),
            ));
        }
        let (durability, seal) = (store.durability.clone(), store.seal.clone());
        let now = clock.now();
        Ok(Self { transaction, durability, now, seal, head, recorded: false, broken: false })
    }

    /// The head of the audit trail: before the first record of this transaction, the newest that is
    /// committed.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The instant of the transaction.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Adds an audit record and gives its number. Numbers have no gaps and are in the order of
    /// commits.
    pub async fn record(&mut self, draft: Draft) -> Result<i64, Error> {
        let record = draft.into_record(self.head.seq + 1, self.now);
        let head = self.head.after(&record);
        self.execute(audit::insertion(&record, &head)).await?;
        self.head = head;
        self.recorded = true;
        Ok(head.seq)
    }

    /// Seals the new head of the trail, commits, and gives that head. The change can be seen then, but
    /// nobody may be told that it is made before [`Store::settle`].
    ///
    /// # Errors
    /// [`Error::Unrecorded`] if nothing was recorded, [`Error::Broken`] if something in the
    /// transaction failed. Nothing is changed then.
    pub async fn commit(mut self) -> Result<Head, Error> {
        if !self.recorded && !self.broken {
            return Err(Error::Unrecorded);
        }
        let head = self.head;
        let update = audit::head_update(&head, &self.seal);
        self.execute_one(update).await?;
        self.durability.commit(self.transaction).await?;
        Ok(head)
    }

    /// Runs a statement and tells how many rows it changed.
    pub(crate) async fn execute(&mut self, query: Query) -> Result<u64, Error> {
        self.enter()?;
        let result = query.execute(&mut *self.transaction).await?;
        self.broken = false;
        Ok(result.rows_affected())
    }

    /// Runs a statement that must change exactly one row.
    pub(crate) async fn execute_one(&mut self, query: Query) -> Result<(), Error> {
        let changed = self.execute(query).await?;
        self.broken = changed != 1;
        if self.broken { Err(Error::NotFound) } else { Ok(()) }
    }

    /// Runs an insertion that returns the id it gave.
    pub(crate) async fn insert(&mut self, query: Query) -> Result<i64, Error> {
        self.enter()?;
        let row: AnyRow = query.fetch_one(&mut *self.transaction).await?;
        let id = row.try_get(0)?;
        self.broken = false;
        Ok(id)
    }

    /// Counts as broken until the statement has succeeded, so also if it is given up half-way.
    fn enter(&mut self) -> Result<(), Error> {
        if std::mem::replace(&mut self.broken, true) { Err(Error::Broken) } else { Ok(()) }
    }
}
