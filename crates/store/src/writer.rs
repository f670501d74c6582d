//! Write transactions.

use std::ops::{Deref, DerefMut};

use tokenhouse_core::audit::Head;
use tokenhouse_core::clock::Timestamp;

use crate::audit::Draft;
use crate::{Connection, Error};

/// One write transaction. Dropped, it is rolled back.
#[derive(Debug)]
pub struct Writer {
    transaction: sqlx::Transaction<'static, sqlx::Any>,
    now: Timestamp,
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
    /// The instant of the transaction.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Adds an audit record and gives its number.
    pub async fn record(&mut self, draft: Draft) -> Result<i64, Error> {
        todo!()
    }

    /// Seals the new head of the trail and commits.
    pub async fn commit(self) -> Result<Head, Error> {
        todo!()
    }
}
