//! What the index needs of tokens.

use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{TokenId, UserId};
use tokenhouse_core::index::TokenState;
use tokenhouse_core::token::TokenHash;

use crate::dialect::Dialect;
use crate::sql::{self, BATCH, Statement};
use crate::{Connection, Error};

/// What the index needs of a token; ends within a `WHERE`.
const INDEXED: &str =
    "SELECT id, hash, owner_id, expires_at, revoked_at, scim_only, deleted_at FROM tokens WHERE ";

/// What the index needs to know of a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its number.
    pub id: TokenId,
    /// Its keyed hash.
    pub hash: TokenHash,
    /// Whose it is.
    pub owner: UserId,
    /// Its state; `None` if it is deleted.
    pub state: Option<TokenState>,
}

/// What the index needs of these tokens, deleted ones included. Unknown ids are left out.
pub async fn entries(c: &mut Connection, ids: &[TokenId]) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::with_capacity(ids.len());
    for batch in ids.chunks(BATCH) {
        let mut rows = Statement::new(INDEXED);
        rows.text("id IN ").list(batch.iter().map(|id| id.0));
        entries.extend(read_entries(c, rows).await?);
    }
    Ok(entries)
}

/// What the index needs of the next tokens after `after`, by id, at most `limit`.
pub async fn entries_after(c: &mut Connection, after: TokenId, limit: i64) -> Result<Vec<Entry>, Error> {
    let mut rows = Statement::new(INDEXED);
    rows.text("deleted_at IS NULL AND id > ").value(after.0).text(" ORDER BY id LIMIT ").value(limit);
    let mut entries = read_entries(c, rows).await?;
    entries.sort_unstable_by_key(|entry| entry.id);
    Ok(entries)
}

async fn read_entries(c: &mut Connection, rows: Statement) -> Result<Vec<Entry>, Error> {
    type Row = (i64, String, i64, Option<i64>, Option<i64>, i64, Option<i64>);
    let hash = Dialect::of(c).hex("hash");
    let columns = format!("id, {hash}, owner_id, expires_at, revoked_at, scim_only, deleted_at");
    let rows: Vec<Row> = sql::read_many(c, &columns, rows).await?;
    let entry = |(id, hash, owner, expires_at, revoked_at, scim_only, deleted_at): Row| {
        let id = TokenId(id);
        let state = TokenState {
            id,
            expires_at: expires_at.map(Timestamp::from_micros),
            revoked: revoked_at.is_some(),
            scim_only: scim_only != 0,
        };
        let hash = sql::unhex(&hash).ok_or_else(|| Error::Corrupt(format!("the hash of token {id}")))?;
        Ok(Entry {
            id,
            hash: TokenHash::from_bytes(hash),
            owner: UserId(owner),
            state: deleted_at.is_none().then_some(state),
        })
    };
    rows.into_iter().map(entry).collect()
}

/// How many tokens there are.
pub async fn count(c: &mut Connection) -> Result<i64, Error> {
    Ok(sqlx::query_scalar("SELECT count(*) FROM tokens WHERE deleted_at IS NULL").fetch_one(c).await?)
}
