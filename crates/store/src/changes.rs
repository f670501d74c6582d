//! The feed: what changed, in the order in which it was committed.

use sqlx::Row as _;
use tokenhouse_core::audit::Head;

use crate::{Connection, Error, sql};

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

/// The next changes after one that is known, oldest first, at most `limit`.
///
/// # Errors
/// [`Error::HistoryLost`] if the known one is not in the log, or another one has its number.
pub async fn after(c: &mut Connection, known: Head, limit: i64) -> Result<(Vec<Change>, Head), Error> {
    let rows = sqlx::query(
        "SELECT seq, action, entity_kind, entity_id, changes, hash FROM changes WHERE seq >= $1 \
         ORDER BY seq LIMIT $2",
    );
    let is_one = known != Head::EMPTY;
    let mut rows = rows.bind(known.seq).bind(limit + i64::from(is_one)).fetch_all(c).await?.into_iter();
    if is_one {
        let first = rows.next().ok_or(Error::HistoryLost)?;
        if sql::head(&first)? != known {
            return Err(Error::HistoryLost);
        }
    }
    let mut head = known;
    let mut changes = Vec::with_capacity(rows.len());
    for row in rows {
        head = sql::head(&row)?;
        changes.push(Change {
            seq: head.seq,
            action: row.try_get("action")?,
            entity_kind: row.try_get("entity_kind")?,
            entity_id: row.try_get("entity_id")?,
            changes: row.try_get("changes")?,
        });
    }
    Ok((changes, head))
}
