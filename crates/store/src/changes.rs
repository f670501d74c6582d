//! The feed: what changed, in the order in which it was committed.

use crate::{Connection, Error};

/// One change, as far as whoever follows needs it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// Its number.
    pub seq: i64,
    /// What happened ([`tokenhouse_core::audit::Action`] as text: a newer node may know more).
    pub action: String,
    /// `token`, `user`, `team` or `setup`.
    pub entity_kind: String,
    /// The thing's number.
    pub entity_id: i64,
    /// Changed fields as a JSON object `{"field": [before, after]}`.
    pub changes: String,
}

/// The next changes after number `seq`, oldest first, at most `limit`.
pub async fn since(c: &mut Connection, seq: i64, limit: i64) -> Result<Vec<Change>, Error> {
    let rows: Vec<(i64, String, String, i64, String)> = sqlx::query_as(
        "SELECT seq, action, entity_kind, entity_id, changes FROM changes WHERE seq > $1 \
         ORDER BY seq LIMIT $2",
    )
    .bind(seq)
    .bind(limit)
    .fetch_all(c)
    .await?;
    let change = |(seq, action, entity_kind, entity_id, changes)| Change {
        seq,
        action,
        entity_kind,
        entity_id,
        changes,
    };
    Ok(rows.into_iter().map(change).collect())
}
