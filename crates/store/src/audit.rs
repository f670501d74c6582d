//! The audit trail.

use std::net::IpAddr;

use serde_json::{Map, Value};
use tokenhouse_core::audit::{Action, Actor, Broken, Entity, Head, Record, Via};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::UserId;

use crate::{Connection, Error, Page, Store};

/// What happened, to be recorded. The store adds number, time and hash.
#[derive(Clone, Debug)]
pub struct Draft {
    /// What happened.
    pub action: Action,
    /// To what.
    pub entity: Entity,
    /// By whom; `None` for the system and the command line.
    pub actor: Option<Actor>,
    /// By what way.
    pub via: Via,
    /// From which address.
    pub ip: Option<IpAddr>,
    /// The request it was part of.
    pub request_id: Option<String>,
    /// Changed fields: `{"field": [before, after]}`.
    pub changes: Map<String, Value>,
}

/// A record with the hash that is stored beside it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredRecord {
    /// The record.
    pub record: Record,
    /// Its hash.
    pub hash: [u8; 32],
}

/// Which records.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AuditFilter {
    /// From this instant on.
    pub from: Option<Timestamp>,
    /// Before this instant.
    pub to: Option<Timestamp>,
    /// By this user.
    pub user: Option<UserId>,
    /// Of this action.
    pub action: Option<Action>,
    /// About this kind of thing: `token`, `user` or `team`.
    pub entity: Option<String>,
    /// Without those that automation made: no actor, a service user, SCIM, the system or the
    /// command line.
    pub hide_automated: bool,
}

/// Figures about the records of a filter.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Insights {
    /// How many users did something.
    pub active_users: i64,
    /// How many records there are.
    pub total_actions: i64,
    /// Who did most, as they were called last, and how much.
    pub most_active_user: Option<(Actor, i64)>,
    /// The kind of thing most records are about.
    pub top_category: Option<String>,
    /// The days (UTC) with at least one record, in order.
    pub days: Vec<Day>,
}

/// How much was done on a day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Day {
    /// Midnight UTC at its start.
    pub start: Timestamp,
    /// Records made by people.
    pub user: i64,
    /// Records made by automation.
    pub automated: i64,
}

/// A page of records, newest first.
pub async fn page(
    c: &mut Connection,
    filter: &AuditFilter,
    limit: i64,
    offset: i64,
) -> Result<Page<StoredRecord>, Error> {
    todo!()
}

/// The next records older than number `before`, newest first, at most `limit`: for walking through
/// all of them in batches, beginning with [`i64::MAX`].
pub async fn before(
    c: &mut Connection,
    filter: &AuditFilter,
    before: i64,
    limit: i64,
) -> Result<Vec<StoredRecord>, Error> {
    todo!()
}

/// Figures about the records of a filter.
pub async fn insights(c: &mut Connection, filter: &AuditFilter) -> Result<Insights, Error> {
    todo!()
}

/// The head as it is stored, with its seal.
pub async fn head(c: &mut Connection) -> Result<(Head, Vec<u8>), Error> {
    todo!()
}

/// Walks the whole trail as it is at this moment. `expected` is a head that was kept elsewhere.
pub async fn verify(store: &Store, expected: Option<Head>) -> Result<Result<Head, Broken>, Error> {
    todo!()
}
