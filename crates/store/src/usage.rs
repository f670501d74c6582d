//! When tokens were last used.

use sqlx::AssertSqlSafe;
use tokenhouse_core::id::TokenId;
use tokenhouse_core::index::Use;

use crate::dialect::Dialect;
use crate::writer::in_time;
use crate::{Error, Store};

/// The tokens whose last use is not that new yet. `CROSS` keeps SQLite from going through all tokens.
const OLDER: &str = "FROM used CROSS JOIN tokens t WHERE t.id = used.id \
                     AND (t.last_used_at IS NULL OR t.last_used_at < used.at)";

const UPDATE: &str = "UPDATE tokens SET last_used_at = free.at, last_used_ip = free.ip \
                      FROM free WHERE tokens.id = free.id";

/// Notes when and from where tokens were last used, each token once, in one transaction, without an audit
/// record. Never moves a time backwards; unknown tokens are passed over. Gives those that could not be noted,
/// because somebody else is writing their row at this moment: nobody waits for anybody here, so that servers
/// of one fleet, whose tokens are the same, neither stop each other nor people's changes.
pub async fn record(store: &Store, uses: &[(TokenId, Use)]) -> Result<Vec<TokenId>, Error> {
    let rows: Vec<_> = uses.iter().map(|(id, Use { at, ip })| (id.0, at.micros(), ip)).collect();
    let mut transaction = store.begin_uses().await?;
    let dialect = Dialect::of(&transaction);
    // One value for all rows: SQLite looks for the name of each placeholder among all others.
    let with = format!(
        "WITH used AS (SELECT CAST(value ->> 0 AS BIGINT) AS id, CAST(value ->> 1 AS BIGINT) AS at, \
         value ->> 2 AS ip FROM {})",
        dialect.json_elements("$1")
    );
    let rows = serde_json::to_string(&rows).map_err(|_| Error::Corrupt("last uses".into()))?;
    let left = match dialect.unless_locked() {
        // Nobody else is writing.
        None => {
            let statement = format!("{with}, free AS (SELECT used.* {OLDER} ORDER BY t.id) {UPDATE}");
            in_time(sqlx::query(AssertSqlSafe(statement)).bind(rows).execute(&mut *transaction)).await?;
            Vec::new()
        }
        // One statement, so that others find these rows locked for as short a time as can be.
        Some(unless_locked) => {
            let statement = format!(
                "{with}, free AS (SELECT used.* {OLDER} ORDER BY t.id {unless_locked}), \
                 written AS ({UPDATE} RETURNING tokens.id) \
                 SELECT used.id {OLDER} AND used.id NOT IN (SELECT id FROM written)"
            );
            let left = sqlx::query_scalar(AssertSqlSafe(statement)).bind(rows).fetch_all(&mut *transaction);
            in_time(left).await?
        }
    };
    store.durability.commit(&mut transaction).await?;
    Ok(left.into_iter().map(TokenId).collect())
}
