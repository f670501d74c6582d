//! Write transactions.

use std::ops::{Deref, DerefMut};

use sqlx::Row as _;
use sqlx::any::AnyRow;
use tokenhouse_core::audit::{Action, Head, Record, Seal};
use tokenhouse_core::clock::{Clock, Timestamp};
use tokio::time::timeout;

use crate::audit::Draft;
use crate::dialect::Dialect;
use crate::durability::Durability;
use crate::sql::Query;
use crate::store::PATIENCE;
use crate::tokens::Entry;
use crate::turns::Turn;
use crate::{Connection, Error, Store, audit, sql};

/// One write transaction; all others wait until it ends. Dropped, it is rolled back. After an
/// error it can only be dropped. As a connection it is there to read: only the statements that this module runs
/// are sure to be in the transaction, which may begin with the first of them.
#[derive(Debug)]
pub struct Writer {
    turn: Turn,
    durability: Durability,
    now: Timestamp,
    seal: Seal,
    /// The head before the first record.
    before: Head,
    head: Head,
    /// The tokens that were made.
    made: Vec<Entry>,
    /// Every record is about the making of one of these.
    only_made: bool,
    /// The newest record, which is written with the next one or the commit.
    newest: Option<Box<Record>>,
    /// A statement failed or was given up half-way.
    broken: bool,
}

impl Deref for Writer {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.turn
    }
}

impl DerefMut for Writer {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.turn
    }
}

impl Writer {
    pub(crate) async fn begin(store: &Store, clock: &Clock) -> Result<Self, Error> {
        let mut turn = store.begin_with_first().await?;
        let head = if let Some(head) = turn.head() {
            head
        } else {
            let (head, mac) = audit::head(&mut turn).await?;
            // A head that somebody set back must not be sealed again by the next record.
            if !store.seal.holds(&head, &mac) {
                return Err(audit::set_back());
            }
            turn.keep_head(head);
            head
        };
        let (durability, seal) = (store.durability.clone(), store.seal.clone());
        let now = clock.now();
        Ok(Self {
            turn,
            durability,
            now,
            seal,
            before: head,
            head,
            made: Vec::new(),
            only_made: true,
            newest: None,
            broken: false,
        })
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
    /// commits. What reads the trail in this transaction may miss its newest record.
    pub async fn record(&mut self, draft: Draft) -> Result<i64, Error> {
        let makes = matches!(draft.action, Action::TokenGenerated | Action::TokenRotated);
        self.only_made &= makes && self.made.iter().any(|token| token.id.0 == draft.entity.id);
        if self.broken {
            return Err(Error::Broken);
        }
        if let Some(newest) = self.newest.take() {
            self.execute(audit::insertion(&newest, &self.head)).await?;
        }
        let record = draft.into_record(self.head.seq + 1, self.now);
        self.head = self.head.after(&record);
        self.newest = Some(Box::new(record));
        Ok(self.head.seq)
    }

    /// Notes a token that was made.
    pub(crate) fn made(&mut self, token: Entry) {
        self.made.push(token);
    }

    /// Seals the new head of the trail and commits. The change can be seen then, but nobody may be told that
    /// it is made before [`Store::settle`].
    ///
    /// # Errors
    /// [`Error::Unrecorded`] if nothing was recorded, [`Error::Broken`] if something in the
    /// transaction failed, [`Error::Corrupt`] if somebody has moved the head of the trail. Nothing is changed then.
    pub async fn commit(mut self) -> Result<Committed, Error> {
        if self.broken {
            return Err(Error::Broken);
        }
        let newest = self.newest.take().ok_or(Error::Unrecorded)?;
        let dialect = Dialect::of(&self.turn);
        let last = audit::last_insertion(dialect, &newest, &self.before, &self.head, &self.seal);
        in_time(self.turn.begin()).await?;
        self.durability.commit_with(&mut self.turn, last).await?;
        self.turn.keep_head(self.head);
        let Self { turn, before, head, made, only_made, .. } = self;
        Ok(Committed { before, head, made: only_made.then_some(made), _turn: turn })
    }

    /// Runs a statement and tells how many rows it changed.
    pub(crate) async fn execute(&mut self, query: Query) -> Result<u64, Error> {
        self.enter()?;
        in_time(self.turn.begin()).await?;
        let result = in_time(query.execute(&mut *self.turn)).await?;
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
        let query = match self.turn.beginning() {
            Some(begin) => sql::after(begin, query)?,
            None => query,
        };
        // Of two statements, the first one has no row, which would be the end for who asks for one row.
        let rows: Vec<AnyRow> = in_time(query.fetch_all(&mut *self.turn)).await?;
        let id = rows.first().ok_or(sqlx::Error::RowNotFound)?.try_get(0)?;
        self.broken = false;
        Ok(id)
    }

    /// Counts as broken until the statement has succeeded, so also if it is given up half-way.
    fn enter(&mut self) -> Result<(), Error> {
        if std::mem::replace(&mut self.broken, true) { Err(Error::Broken) } else { Ok(()) }
    }
}

/// What a statement that writes gives, if the database doesn't fall silent: the turn must not wait for ever.
pub(crate) async fn in_time<T>(statement: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, Error> {
    Ok(timeout(PATIENCE, statement).await.map_err(|_| Error::too_slow())??)
}

/// What was committed. Nobody else writes until it is dropped.
#[derive(Debug)]
pub struct Committed {
    before: Head,
    head: Head,
    made: Option<Vec<Entry>>,
    _turn: Turn,
}

impl Committed {
    /// The head of the audit trail.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The head of the audit trail before it.
    pub fn before(&self) -> Head {
        self.before
    }

    /// The tokens that were made, if nothing else was done.
    pub fn only_made(&self) -> Option<&[Entry]> {
        self.made.as_deref()
    }
}
