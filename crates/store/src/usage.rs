//! When tokens were last used.

use sqlx::AssertSqlSafe;
use tokenhouse_core::id::TokenId;
use tokenhouse_core::index::Use;

use crate::dialect::Dialect;
use crate::{Error, Store};

/// Notes when and from where tokens were last used, each token once, in one transaction, without an audit
/// record. Never moves a time backwards; unknown tokens are passed over. Takes its turn like any writer.
pub async fn record(store: &Store, uses: &[(TokenId, Use)]) -> Result<(), Error> {
    let rows: Vec<_> = uses.iter().map(|(id, Use { at, ip })| (id.0, at.micros(), ip)).collect();
    let mut transaction = store.begin_write().await?;
    // One value for all rows: SQLite looks for the name of each placeholder among all others.
    let elements = Dialect::of(&transaction).json_elements("$1");
    let update = format!(
        "UPDATE tokens SET last_used_at = used.at, last_used_ip = used.ip FROM \
         (SELECT CAST(value ->> 0 AS BIGINT) AS id, CAST(value ->> 1 AS BIGINT) AS at, value ->> 2 AS ip \
         FROM {elements}) AS used \
         WHERE tokens.id = used.id AND (last_used_at IS NULL OR last_used_at < used.at)"
    );
    let rows = serde_json::to_string(&rows).map_err(|_| Error::Corrupt("last uses".into()))?;
    sqlx::query(AssertSqlSafe(update)).bind(rows).execute(&mut *transaction).await?;
    store.durability.commit(&mut transaction).await
}
