//! When tokens were last used.
//!
//! The newest uses are kept in a narrow table, `recent_uses`, since a token's own row is wide and lies in many indexes;
//! from there they are folded into `tokens` now and then. Whoever reads a token sees the newest of both.

use sqlx::{AssertSqlSafe, Row as _};
use tokenhouse_core::id::TokenId;
use tokenhouse_core::index::Use;

use crate::dialect::Dialect;
use crate::writer::in_time;
use crate::{Error, Store};

/// How many are folded in one transaction, so that other writers don't wait long.
const FOLDED_AT_ONCE: i64 = 250;

/// The end of the next ones to be folded.
const NEXT: &str = "SELECT max(token_id) FROM \
                    (SELECT token_id FROM recent_uses WHERE token_id > $1 ORDER BY token_id LIMIT $2) next";

/// Selects those whose token doesn't know them yet. `CROSS` keeps SQLite from going through all tokens.
const FREE: &str = "SELECT u.token_id, u.at, u.ip FROM recent_uses u CROSS JOIN tokens t \
                    WHERE t.id = u.token_id AND u.token_id > $1 AND u.token_id <= $2 \
                    AND (t.last_used_at IS NULL OR t.last_used_at < u.at) ORDER BY t.id";

const FOLD: &str = "UPDATE tokens SET last_used_at = free.at, last_used_ip = free.ip \
                    FROM free WHERE tokens.id = free.token_id";

/// Forgets those that are in their token, or are of none. One that was replaced meanwhile stays.
const FORGET: &str = "DELETE FROM recent_uses WHERE token_id > $1 AND token_id <= $2 \
                      AND NOT EXISTS (SELECT 1 FROM tokens t WHERE t.id = recent_uses.token_id \
                      AND (t.last_used_at IS NULL OR t.last_used_at < recent_uses.at))";

/// Notes when and from where tokens were last used, each token once, in one transaction, without an audit
/// record. Never moves a time backwards; unknown tokens are passed over.
pub async fn record(store: &Store, uses: &[(TokenId, Use)]) -> Result<(), Error> {
    let mut rows: Vec<_> = uses.iter().map(|(id, Use { at, ip })| (id.0, at.micros(), ip)).collect();
    // In one order everywhere, so that servers wait for each other and never in a circle.
    rows.sort_unstable_by_key(|(id, ..)| *id);
    let rows = serde_json::to_string(&rows).map_err(|_| Error::Corrupt("last uses".into()))?;
    let mut transaction = store.begin_uses().await?;
    // One value for all rows: SQLite looks for the name of each placeholder among all others.
    let insert = format!(
        "INSERT INTO recent_uses (token_id, at, ip) SELECT CAST(value ->> 0 AS BIGINT), \
         CAST(value ->> 1 AS BIGINT), value ->> 2 FROM {} WHERE TRUE \
         ON CONFLICT (token_id) DO UPDATE SET at = excluded.at, ip = excluded.ip \
         WHERE recent_uses.at < excluded.at",
        Dialect::of(&transaction).json_elements("$1")
    );
    in_time(sqlx::query(AssertSqlSafe(insert)).bind(rows).execute(&mut *transaction)).await?;
    store.durability.commit(&mut transaction).await
}

/// Puts what was noted into the tokens themselves. A token that somebody is changing at this moment is left for the next
/// time: nobody waits for anybody here, so that servers of a fleet don't stop people's changes.
pub async fn fold(store: &Store) -> Result<(), Error> {
    let mut last = TokenId(i64::MIN);
    while let Some(end) = next(store, last).await? {
        let mut transaction = store.begin_uses().await?;
        let unless_locked = Dialect::of(&transaction).unless_locked().unwrap_or_default();
        let fold = format!("WITH free AS ({FREE} {unless_locked}) {FOLD}");
        for statement in [fold.as_str(), FORGET] {
            let statement = sqlx::query(AssertSqlSafe(statement.to_owned())).bind(last.0).bind(end.0);
            in_time(statement.execute(&mut *transaction)).await?;
        }
        store.durability.commit(&mut transaction).await?;
        last = end;
    }
    Ok(())
}

/// The last of the next tokens after one that are to be folded together.
async fn next(store: &Store, last: TokenId) -> Result<Option<TokenId>, Error> {
    let next = sqlx::query(NEXT).bind(last.0).bind(FOLDED_AT_ONCE);
    let row = next.fetch_one(&mut *store.read().await?).await?;
    Ok(row.try_get::<Option<i64>, _>(0)?.map(TokenId))
}
