//! The audit trail.

mod insights;

use std::net::IpAddr;

use serde_json::{Map, Value};
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, FromRow, Row as _, ValueRef as _};
use tokenhouse_core::audit::{Action, Actor, Broken, Entity, Head, Record, Seal, Verifier, Via};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{TokenId, UserId};

use crate::dialect::Dialect;
use crate::sql::{self, Query, Statement};
use crate::{Connection, Error, Page, Store};

pub use insights::{Day, Insights, insights};

/// Records that are verified at a time.
const BATCH: i64 = 1_000;

/// What a record needs to count as a person's.
const BY_A_PERSON: &str = "actor_type = 'Human' AND via_kind NOT IN ('scim', 'system', 'cli')";

const RECORDS: &str = "SELECT seq, at, action, entity_kind, entity_id, entity_name, actor_id, \
    actor_user_id, actor_name, actor_type, via_kind, via_token, ip, request_id, changes, hash \
    FROM changes WHERE TRUE";

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
    /// About this kind of thing: `token`, `user`, `team` or `setup`.
    pub entity: Option<String>,
    /// About the one with this number.
    pub entity_id: Option<i64>,
    /// By way of one of these tokens; by any way if there are none.
    pub via_tokens: Vec<TokenId>,
    /// Without those that automation made: no actor, a service user, SCIM, the system or the
    /// command line.
    pub hide_automated: bool,
}

impl Draft {
    pub(crate) fn into_record(self, seq: i64, at: Timestamp) -> Record {
        Record {
            seq,
            at,
            action: self.action.as_str().to_owned(),
            entity: self.entity,
            actor: self.actor,
            via_kind: self.via.kind().to_owned(),
            via_token: self.via.token_id(),
            ip: self.ip.map(|ip| ip.to_string()),
            request_id: self.request_id,
            changes: Value::Object(self.changes).to_string(),
        }
    }
}

impl AuditFilter {
    /// Adds the conditions to a statement that ends within a `WHERE`.
    fn narrow(&self, statement: &mut Statement) {
        if let Some(from) = self.from {
            statement.text(" AND at >= ").value(from.micros());
        }
        if let Some(to) = self.to {
            statement.text(" AND at < ").value(to.micros());
        }
        if let Some(user) = self.user {
            statement.text(" AND actor_id = ").value(user.0);
        }
        if let Some(action) = self.action {
            statement.text(" AND action = ").value(action.as_str());
        }
        if let Some(entity) = &self.entity {
            statement.text(" AND entity_kind = ").value(entity.as_str());
        }
        if let Some(id) = self.entity_id {
            statement.text(" AND entity_id = ").value(id);
        }
        if !self.via_tokens.is_empty() {
            statement.text(" AND via_token IN ").list(self.via_tokens.iter().map(|id| id.0));
        }
        if self.hide_automated {
            statement.text(" AND ").text(BY_A_PERSON);
        }
    }

    /// `<select> FROM changes WHERE <the filter> <rest>`
    fn query(&self, select: &str, rest: &str) -> Query {
        let mut statement = Statement::new(&format!("SELECT {select} FROM changes WHERE TRUE"));
        self.narrow(&mut statement);
        statement.text(rest);
        statement.query()
    }
}

impl FromRow<'_, AnyRow> for StoredRecord {
    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        let entity = Entity {
            kind: row.try_get("entity_kind")?,
            id: row.try_get("entity_id")?,
            name: row.try_get("entity_name")?,
        };
        let record = Record {
            seq: row.try_get("seq")?,
            at: sql::time(row, "at")?,
            action: row.try_get("action")?,
            entity,
            actor: actor(row)?,
            via_kind: row.try_get("via_kind")?,
            via_token: row.try_get::<Option<i64>, _>("via_token")?.map(TokenId),
            ip: row.try_get("ip")?,
            request_id: row.try_get("request_id")?,
            changes: row.try_get("changes")?,
        };
        Ok(Self { record, hash: sql::hash(row, "hash")? })
    }
}

/// All of an actor or nothing of it: the hash covers no other combination.
fn actor(row: &AnyRow) -> Result<Option<Actor>, sqlx::Error> {
    const COLUMNS: [&str; 4] = ["actor_id", "actor_user_id", "actor_name", "actor_type"];
    let mut absent = 0;
    for column in COLUMNS {
        absent += usize::from(row.try_get_raw(column)?.is_null());
    }
    if absent == COLUMNS.len() {
        return Ok(None);
    }
    Ok(Some(Actor {
        id: UserId(row.try_get("actor_id")?),
        user_id: row.try_get("actor_user_id")?,
        name: row.try_get("actor_name")?,
        user_type: sql::word(row, "actor_type")?,
    }))
}

fn decode(rows: &[AnyRow]) -> Result<Vec<StoredRecord>, Error> {
    rows.iter().map(|row| StoredRecord::from_row(row).map_err(Error::from)).collect()
}

/// A page of records, newest first.
pub async fn page(
    c: &mut Connection,
    filter: &AuditFilter,
    limit: i64,
    offset: i64,
) -> Result<Page<StoredRecord>, Error> {
    let total = filter.query("count(*)", "").fetch_one(&mut *c).await?.try_get(0)?;
    let mut statement = Statement::new(RECORDS);
    filter.narrow(&mut statement);
    statement.text(" ORDER BY seq DESC LIMIT ").value(limit).text(" OFFSET ").value(offset);
    let items = decode(&statement.query().fetch_all(c).await?)?;
    Ok(Page { items, total })
}

/// The next records older than number `before`, newest first, at most `limit`: for walking through
/// all of them in batches, beginning with [`i64::MAX`].
pub async fn before(
    c: &mut Connection,
    filter: &AuditFilter,
    before: i64,
    limit: i64,
) -> Result<Vec<StoredRecord>, Error> {
    let mut statement = Statement::new(RECORDS);
    filter.narrow(&mut statement);
    statement.text(" AND seq < ").value(before).text(" ORDER BY seq DESC LIMIT ").value(limit);
    decode(&statement.query().fetch_all(c).await?)
}

/// The records that come after number `seq`, oldest first, at most `limit`: for whoever follows the trail.
pub async fn after(c: &mut Connection, seq: i64, limit: i64) -> Result<Vec<StoredRecord>, Error> {
    let mut statement = Statement::new(RECORDS);
    statement.text(" AND seq > ").value(seq).text(" ORDER BY seq LIMIT ").value(limit);
    decode(&statement.query().fetch_all(c).await?)
}

/// A sign-in that failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FailedSignIn {
    /// The number of its record.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// With which account; `None` if there is no such account.
    pub account: Option<UserId>,
    /// From which address.
    pub ip: Option<String>,
}

/// The sign-ins that failed after `from` and not after `to`, in their order.
pub async fn failed_sign_ins(
    c: &mut Connection,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<FailedSignIn>, Error> {
    let mut statement = Statement::new("SELECT seq, at, entity_id, ip FROM changes WHERE action = ");
    statement.value(Action::UserSignInFailed.as_str()).text(" AND at > ").value(from.micros());
    statement.text(" AND at <= ").value(to.micros()).text(" ORDER BY seq");
    let failed = |row: &AnyRow| {
        Ok(FailedSignIn {
            seq: row.try_get("seq")?,
            at: sql::time(row, "at")?,
            account: Some(row.try_get("entity_id")?).filter(|id| *id != 0).map(UserId),
            ip: row.try_get("ip")?,
        })
    };
    statement.query().fetch_all(c).await?.iter().map(failed).collect()
}

/// Who did this to a thing first.
pub async fn first_actor(
    c: &mut Connection,
    (kind, id): (&str, i64),
    action: &str,
) -> Result<Option<UserId>, Error> {
    let actor: Option<Option<i64>> = sqlx::query_scalar(
        "SELECT actor_id FROM changes WHERE entity_kind = $1 AND entity_id = $2 AND action = $3 \
         ORDER BY seq LIMIT 1",
    )
    .bind(kind.to_owned())
    .bind(id)
    .bind(action.to_owned())
    .fetch_optional(c)
    .await?;
    Ok(actor.flatten().map(UserId))
}

/// How many users did something in the records of a filter.
pub async fn active_users(c: &mut Connection, filter: &AuditFilter) -> Result<i64, Error> {
    Ok(filter.query("count(DISTINCT actor_id)", "").fetch_one(c).await?.try_get(0)?)
}

/// Who did something in the records of a filter, as they were called last, by name; at most `limit`.
pub async fn actors(c: &mut Connection, filter: &AuditFilter, limit: i64) -> Result<Vec<Actor>, Error> {
    let mut statement = Statement::new(
        "SELECT actor_id, actor_user_id, actor_name, actor_type FROM changes WHERE seq IN \
         (SELECT max(seq) FROM changes WHERE actor_id IS NOT NULL",
    );
    filter.narrow(&mut statement);
    statement.text(" GROUP BY actor_id) ORDER BY actor_name, actor_id LIMIT ").value(limit);
    let rows = statement.query().fetch_all(c).await?;
    Ok(rows.iter().map(actor).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// The head as it is stored, with its seal.
pub async fn head(c: &mut Connection) -> Result<(Head, Vec<u8>), Error> {
    let row = sqlx::query("SELECT seq, hash, seal FROM audit_head WHERE id = 1").fetch_optional(c).await?;
    let row = row.ok_or_else(|| Error::Corrupt("the head of the audit trail is missing".into()))?;
    Ok((sql::head(&row)?, row.try_get("seal")?))
}

/// Walks the whole trail as it is at this moment, in batches. `expected` is a head that was kept
/// elsewhere. The inner result says what is wrong with the trail, the outer one why it could not
/// be read.
pub async fn verify(store: &Store, expected: Option<Head>) -> Result<Result<Head, Broken>, Error> {
    let mut snapshot = store.begin_snapshot().await?;
    let mut verifier = Verifier::new(expected);
    let (mut last, mut next) = (i64::MIN, 1);
    loop {
        let mut statement = Statement::new(RECORDS);
        statement.text(" AND seq > ").value(last).text(" ORDER BY seq LIMIT ").value(BATCH);
        let rows = statement.query().fetch_all(&mut *snapshot).await?;
        for row in &rows {
            // Whatever can't even be read was not written by us.
            let Ok(StoredRecord { record, hash }) = StoredRecord::from_row(row) else {
                return Ok(Err(Broken::Changed(next)));
            };
            if let Err(broken) = verifier.next(&record, &hash) {
                return Ok(Err(broken));
            }
            last = record.seq;
            next = last + 1;
        }
        if rows.is_empty() {
            break;
        }
    }
    let (head, mac) = head(&mut snapshot).await?;
    Ok(verifier.finish(&head, &mac, &store.seal))
}

const INSERTION: &str = "INSERT INTO changes (seq, at, action, entity_kind, entity_id, entity_name, actor_id, \
     actor_user_id, actor_name, actor_type, via_kind, via_token, ip, request_id, changes, hash) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";

/// What comes after [`INSERTION`] and has two values in common with it: replaces the head. Fails if it isn't the one
/// that is told, since no column may be null; where somebody replaces it meanwhile, PostgreSQL changes no row.
const NEW_HEAD: &str = "INSERT INTO audit_head (id, seq, hash, seal) \
     VALUES (1, (SELECT $1 FROM audit_head WHERE id = 1 AND seq = $18 AND hash = $19), $16, $17) \
     ON CONFLICT (id) DO UPDATE SET seq = excluded.seq, hash = excluded.hash, seal = excluded.seal \
     WHERE audit_head.seq = $18 AND audit_head.hash = $19";

/// The head in the database is not the one that was sealed last.
pub(crate) fn set_back() -> Error {
    Error::Corrupt("the head of the audit trail; `tokenhouse audit verify` tells what is wrong".into())
}

/// The insertion of a record whose hash is that of `head`.
pub(crate) fn insertion(record: &Record, head: &Head) -> Query {
    bind(sqlx::query(INSERTION), record, head)
}

/// The same for the last record of a transaction: replaces the head of the trail by a newer one, sealed, if it
/// still is the one `before`, and fails otherwise.
pub(crate) fn last_insertion(
    dialect: Dialect,
    record: &Record,
    before: &Head,
    head: &Head,
    seal: &Seal,
) -> Query {
    bind(sqlx::query(AssertSqlSafe(dialect.last(INSERTION, NEW_HEAD))), record, head)
        .bind(seal.of(head).to_vec())
        .bind(before.seq)
        .bind(before.hash.as_slice())
}

fn bind(query: Query, record: &Record, head: &Head) -> Query {
    let actor = record.actor.as_ref();
    query
        .bind(record.seq)
        .bind(record.at.micros())
        .bind(record.action.as_str())
        .bind(record.entity.kind.as_str())
        .bind(record.entity.id)
        .bind(record.entity.name.as_str())
        .bind(actor.map(|actor| actor.id.0))
        .bind(actor.map(|actor| actor.user_id.as_str()))
        .bind(actor.map(|actor| actor.name.as_str()))
        .bind(actor.map(|actor| actor.user_type.as_str()))
        .bind(record.via_kind.as_str())
        .bind(record.via_token.map(|id| id.0))
        .bind(record.ip.as_deref())
        .bind(record.request_id.as_deref())
        .bind(record.changes.as_str())
        .bind(head.hash.as_slice())
}

/// Stores the first head there is.
pub(crate) async fn insert_head(c: &mut Connection, head: &Head, seal: &Seal) -> Result<(), Error> {
    sqlx::query("INSERT INTO audit_head (id, seq, hash, seal) VALUES (1, $1, $2, $3)")
        .bind(head.seq)
        .bind(head.hash.as_slice())
        .bind(seal.of(head).to_vec())
        .execute(c)
        .await?;
    Ok(())
}
