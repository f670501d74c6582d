//! The networks that tokens were used from.

use std::collections::HashSet;

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row as _};
use tokenhouse_core::id::TokenId;

use crate::alerts::Outbox;
use crate::dialect::Dialect;
use crate::sql::{self, Statement};
use crate::writer::in_time;
use crate::{Error, Store};

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
    let mut known: HashSet<i64> = sql::first_column(&known)?;
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

/// Forgets the networks of tokens that are deleted, among the next `limit` tokens after one. Gives where to go on, if
/// there are more.
pub async fn forget_deleted(store: &Store, after: TokenId, limit: i64) -> Result<Option<TokenId>, Error> {
    let mut next = Statement::new(
        "SELECT t.id, CASE WHEN t.deleted_at IS NULL THEN 0 ELSE 1 END FROM (SELECT DISTINCT token_id FROM \
         token_networks WHERE token_id > ",
    );
    next.value(after.0).text(" ORDER BY token_id LIMIT ").value(limit);
    next.text(") n JOIN tokens t ON t.id = n.token_id ORDER BY t.id");
    let rows = next.query().fetch_all(&mut *store.read().await?).await?;
    let is_deleted = |row: &AnyRow| Ok((row.try_get::<i64, _>(0)?, row.try_get::<i64, _>(1)? == 1));
    let rows: Vec<(i64, bool)> = rows.iter().map(is_deleted).collect::<Result<_, sqlx::Error>>()?;
    let deleted: Vec<i64> = rows.iter().filter(|(_, is_deleted)| *is_deleted).map(|(id, _)| *id).collect();
    if !deleted.is_empty() {
        let mut transaction = store.begin_uses().await?;
        let mut delete = Statement::new("DELETE FROM token_networks WHERE token_id IN ");
        delete.numbers(Dialect::of(&transaction), &deleted);
        in_time(delete.query().execute(&mut *transaction)).await?;
        store.durability.commit(&mut transaction).await?;
    }
    let is_full = i64::try_from(rows.len()).is_ok_and(|length| length == limit);
    Ok(rows.last().filter(|_| is_full).map(|(id, _)| TokenId(*id)))
}
