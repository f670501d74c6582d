//! When tokens were last used.

use sqlx::AssertSqlSafe;
use tokenhouse_core::id::TokenId;
use tokenhouse_core::index::Use;

use crate::dialect::Dialect;
use crate::writer::in_time;
use crate::{Error, Store};

/// Notes when and from where tokens were last used, each token once, in one transaction, without an audit
/// record. Never moves a time backwards; unknown tokens are passed over. Gives those that could not be noted,
/// because somebody else is writing their row at this moment: nobody waits for anybody here, so that servers
/// of one fleet, whose tokens are the same, neither stop each other nor people's changes.
pub async fn record(store: &Store, uses: &[(TokenId, Use)]) -> Result<Vec<TokenId>, Error> {
    let rows: Vec<_> = uses.iter().map(|(id, Use { at, ip })| (id.0, at.micros(), ip)).collect();
    let mut transaction = store.begin_uses().await?;
    let dialect = Dialect::of(&transaction);
    // One value for all rows: SQLite looks for the name of each placeholder among all others. `CROSS` keeps it from
    // going through all tokens.
    let with = format!(
        "WITH used AS (SELECT CAST(value ->> 0 AS BIGINT) AS id, CAST(value ->> 1 AS BIGINT) AS at, \
         value ->> 2 AS ip FROM {}), older AS (SELECT used.* FROM used CROSS JOIN tokens t \
         WHERE t.id = used.id AND (t.last_used_at IS NULL OR t.last_used_at < used.at) ORDER BY t.id",
        dialect.json_elements("$1")
    );
    let update = format!(
        "{with}{}) UPDATE tokens SET last_used_at = older.at, last_used_ip = older.ip \
         FROM older WHERE tokens.id = older.id",
        dialect.unless_locked()
    );
    let left = format!("{with}) SELECT id FROM older");
    let rows = serde_json::to_string(&rows).map_err(|_| Error::Corrupt("last uses".into()))?;
    in_time(sqlx::query(AssertSqlSafe(update)).bind(rows.clone()).execute(&mut *transaction)).await?;
    let left = if dialect.is_remote() {
        in_time(sqlx::query_scalar(AssertSqlSafe(left)).bind(rows).fetch_all(&mut *transaction)).await?
    } else {
        Vec::new()
    };
    store.durability.commit(&mut transaction).await?;
    Ok(left.into_iter().map(TokenId).collect())
}
