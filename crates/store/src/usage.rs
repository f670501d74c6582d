//! When tokens were last used.
//!
//! The newest uses are kept in a narrow table, `recent_uses`, since a token's own row is wide and lies in many indexes;
//! from there they are folded into `tokens` now and then. Whoever reads a token sees the newest of both.

use sqlx::{AssertSqlSafe, Row as _};
use tokenhouse_core::id::TokenId;
use tokenhouse_core::index::Use;

use crate::dialect::Dialect;
use crate::sql::Statement;
use crate::writer::in_time;
use crate::{Error, Store};

/// How many are folded in one transaction, so that other writers don't wait long.
const FOLDED_AT_ONCE: i64 = 250;

/// Adds that a use is of a token in this range, whose first one is not in it.
fn within(statement: &mut Statement, (after, last): (TokenId, TokenId)) {
    statement.text(" u.token_id > ").value(after.0).text(" AND u.token_id <= ").value(last.0);
}

/// The last one of the next tokens to be folded together.
fn next_statement(after: TokenId) -> Statement {
    let mut statement = Statement::new("SELECT max(token_id) FROM (SELECT token_id FROM recent_uses");
    statement.text(" WHERE token_id > ").value(after.0);
    statement.text(" ORDER BY token_id LIMIT ").value(FOLDED_AT_ONCE).text(") next");
    statement
}

/// Puts uses into their tokens. `CROSS` and `MATERIALIZED` keep SQLite from going through all tokens.
fn fold_statement(dialect: Dialect, range: (TokenId, TokenId)) -> Statement {
    let mut statement = Statement::new(
        "WITH free AS MATERIALIZED (SELECT u.token_id, u.at, u.ip FROM recent_uses u CROSS JOIN tokens t \
         WHERE t.id = u.token_id AND (t.last_used_at IS NULL OR t.last_used_at < u.at) AND",
    );
    within(&mut statement, range);
    statement.text(" ORDER BY u.token_id ").text(dialect.unless_locked());
    statement.text(") UPDATE tokens SET last_used_at = free.at, last_used_ip = free.ip FROM free ");
    statement.text("WHERE tokens.id = free.token_id");
    statement
}

/// Forgets uses that are in their tokens, or are of none. One that was replaced meanwhile stays: PostgreSQL asks the last
/// condition again of the row that it finds then, and would not do so with `NOT EXISTS`, which it makes a join.
fn forget_statement(dialect: Dialect, range: (TokenId, TokenId)) -> Statement {
    let mut statement = Statement::new(
        "DELETE FROM recent_uses WHERE token_id IN (SELECT u.token_id FROM recent_uses u WHERE",
    );
    within(&mut statement, range);
    statement.text(" ORDER BY u.token_id ").text(dialect.unless_locked());
    statement.text(") AND at <= coalesce((SELECT coalesce(t.last_used_at, -1) FROM tokens t ");
    statement.text("WHERE t.id = recent_uses.token_id), at)");
    statement
}

/// Notes when and from where tokens were last used, each token once, in one transaction, without an audit
/// record. Never moves a time backwards; unknown tokens are passed over. Waits for other servers that note the same.
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

/// Puts what was noted into the tokens themselves. What somebody is changing at this moment is left for the next
/// time: this waits for nobody, so that servers of a fleet don't stop people's changes.
pub async fn fold(store: &Store) -> Result<(), Error> {
    let mut after = TokenId(i64::MIN);
    while let Some(last) = next(store, after).await? {
        let mut transaction = store.begin_uses().await?;
        let dialect = Dialect::of(&transaction);
        for statement in [fold_statement(dialect, (after, last)), forget_statement(dialect, (after, last))] {
            in_time(statement.query().execute(&mut *transaction)).await?;
        }
        store.durability.commit(&mut transaction).await?;
        after = last;
    }
    Ok(())
}

async fn next(store: &Store, after: TokenId) -> Result<Option<TokenId>, Error> {
    let row = next_statement(after).query().fetch_one(&mut *store.read().await?).await?;
    Ok(row.try_get::<Option<i64>, _>(0)?.map(TokenId))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plans::{database, plan};

    #[tokio::test]
    async fn folding_looks_only_at_what_was_used() {
        let mut c = database().await;
        let range = (TokenId(0), TokenId(9));
        for statement in [
            next_statement(TokenId(0)),
            fold_statement(Dialect::Sqlite, range),
            forget_statement(Dialect::Sqlite, range),
        ] {
            let steps = plan(&mut c, statement).await;
            let is_of_tokens = |step: &&String| matches!(step.split(' ').nth(1), Some("t" | "tokens"));
            for step in steps.iter().filter(is_of_tokens) {
                assert!(step.ends_with("(rowid=?)"), "{steps:?}");
            }
        }
    }
}
