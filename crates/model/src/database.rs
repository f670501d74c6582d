//! The database: the log of changes and the table of nodes, and statements that are on their way to it.
//!
//! A transaction that was committed stays: how PostgreSQL achieves that isn't modelled.

/// The number of a change in the log. The first change has the number 1.
pub type Number = u8;

/// A token that is revoked in the model.
pub type Token = u8;

/// A node of the fleet, whichever process runs it.
pub type NodeId = usize;

/// A process of a node, from when it joins until its row is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation {
    /// Whose process it is.
    pub node: NodeId,
    /// The how many-th of the fleet, from 1 on.
    pub number: u8,
}

/// A change: the token with this name is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Change {
    /// Its place in the log.
    pub number: Number,
    /// What it revokes.
    pub token: Token,
}

/// A row of the table of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row {
    /// Whose row it is.
    pub incarnation: Incarnation,
    /// The newest change that its node has told to show.
    pub applied: Number,
}

/// A statement under way. It may be executed at any time, also after its process is gone, or be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Statement {
    /// `INSERT` of a node's own row.
    Register(Row),
    /// `UPDATE` of the row's `applied_seq`.
    Acknowledge(Row),
    /// `DELETE` of a row on condition that its `renewals` are what was seen. Numbers would go on for ever; instead,
    /// a renewal takes what others have seen of the row, and this statement, out of the state.
    Remove(Incarnation),
    /// `DELETE` of one's own row.
    Leave(Incarnation),
}

/// What is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Database {
    /// What was committed, in this order.
    pub log: Vec<Change>,
    /// Which revoke holds the advisory lock.
    pub lock: Option<usize>,
    /// The greatest number that was given out. Without the lock that isn't the newest committed one.
    pub given: Number,
    /// The table `nodes`.
    pub rows: Vec<Row>,
}

impl Database {
    /// The number of the newest change that can be read.
    pub fn head(&self) -> Number {
        self.log.iter().map(|change| change.number).max().unwrap_or(0)
    }

    /// The change after `applied` that a reader of the log finds next.
    pub fn next_after(&self, applied: Number) -> Option<Change> {
        self.log.iter().filter(|change| change.number > applied).min_by_key(|change| change.number).copied()
    }

    /// Whether the token is revoked.
    pub fn is_revoked(&self, token: Token) -> bool {
        self.log.iter().any(|change| change.token == token)
    }

    /// The row of a process.
    pub fn row(&self, incarnation: Incarnation) -> Option<&Row> {
        self.rows.iter().find(|row| row.incarnation == incarnation)
    }

    /// Adds a row. Rows are kept sorted, so that the order of arrival makes no new state.
    pub fn insert(&mut self, row: Row) {
        self.rows.push(row);
        self.rows.sort_unstable();
    }

    /// Keeps that the node shows everything up to `applied`.
    pub fn acknowledge(&mut self, acknowledged: Row) {
        if let Some(row) = self.rows.iter_mut().find(|row| row.incarnation == acknowledged.incarnation) {
            row.applied = acknowledged.applied;
        }
    }

    /// Removes a row.
    pub fn remove(&mut self, incarnation: Incarnation) {
        self.rows.retain(|row| row.incarnation != incarnation);
    }
}
