//! The networks that tokens were used from.

use std::collections::HashSet;

use sqlx::{AssertSqlSafe, Row as _};
use tokenhouse_core::id::TokenId;

use crate::Error;
use crate::alerts::Outbox;
use crate::dialect::Dialect;
use crate::sql::Statement;
use crate::writer::in_time;

/// Notes that tokens were used from networks, each pair once. Gives those that are new where the token was used from
/// another network before.
pub async fn note(outbox: &mut Outbox, seen: &[(TokenId, String)]) -> Result<Vec<(TokenId, String)>, Error> {
    let mut rows: Vec<_> = seen.iter().map(|(token, network)| (token.0, network)).collect();
    // In one order everywhere, so that servers wait for each other and never in a circle.
    rows.sort_unstable();
    let dialect = Dialect::of(outbox);
    let ids: Vec<i64> = rows.iter().map(|(token, _)| *token).collect();
    let mut known = Statement::new("SELECT DISTINCT token_id FROM token_networks WHERE token_id IN ");
    known.numbers(dialect, &ids);
    let known = known.query().fetch_all(&mut **outbox).await?;
    let mut known: HashSet<i64> = known.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    let insert = format!(
        "INSERT INTO token_networks (token_id, network) SELECT CAST(value ->> 0 AS BIGINT), value ->> 1 \
         FROM {} WHERE TRUE ON CONFLICT DO NOTHING RETURNING token_id, network",
        dialect.json_elements("$1")
    );
    let rows = serde_json::to_string(&rows).map_err(|_| Error::Corrupt("networks".into()))?;
    let insert = sqlx::query(AssertSqlSafe(insert)).bind(rows);
    let mut new = Vec::new();
    for row in in_time(insert.fetch_all(&mut **outbox)).await? {
        let token: i64 = row.try_get(0)?;
        // The first one of a token is where it belongs.
        if !known.insert(token) {
            new.push((TokenId(token), row.try_get(1)?));
        }
    }
    Ok(new)
}
