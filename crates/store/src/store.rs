//! Opening, reading and closing.

use std::ops::{Deref, DerefMut};

use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::keys::MasterKey;

use crate::{Connection, Error, Writer};

/// A store that is open. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {}

/// A connection to read with.
#[derive(Debug)]
pub struct Reader(sqlx::pool::PoolConnection<sqlx::Any>);

impl Deref for Reader {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl DerefMut for Reader {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}

impl Store {
    /// Opens the store, makes it if it isn't there, and brings its schema up to date.
    pub async fn open(url: &str, master: &MasterKey, now: Timestamp) -> Result<Self, Error> {
        todo!()
    }

    /// Whether there is a store at this URL.
    pub async fn exists(url: &str) -> Result<bool, Error> {
        todo!()
    }

    /// A connection to read with.
    pub async fn read(&self) -> Result<Reader, Error> {
        todo!()
    }

    /// Waits for its turn and begins a write transaction.
    pub async fn begin(&self, now: Timestamp) -> Result<Writer, Error> {
        todo!()
    }

    /// Closes all connections and lets the file go.
    pub async fn close(self) {
        todo!()
    }

    /// `sqlite` or `postgres`.
    pub fn kind(&self) -> &'static str {
        todo!()
    }
}
