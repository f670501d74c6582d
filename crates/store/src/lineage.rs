//! Which token was made with which: what stands around one token, deleted ones included.

use sqlx::{FromRow as _, Row as _};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::TokenId;
use tokenhouse_core::token::Status;

use crate::sql::Statement;
use crate::token_lists::is_in;
use crate::tokens::{SELECT_EVEN_DELETED, Token};
use crate::{Connection, Error};

/// The token this one was made with, the one that was made with, and so on: at most `limit` of them, the
/// nearest, oldest first.
pub async fn ancestors(c: &mut Connection, id: TokenId, limit: i64) -> Result<Vec<Token>, Error> {
    let mut statement = Statement::new(SELECT_EVEN_DELETED);
    statement
        .text("t.id IN (WITH RECURSIVE line (id, steps) AS (SELECT parent_id, 1 FROM tokens WHERE id = ");
    statement.value(id.0).text(
        " UNION ALL SELECT parent.parent_id, line.steps + 1 FROM tokens parent JOIN line ON parent.id = line.id \
         WHERE line.steps < ",
    );
    statement.value(limit).text(") SELECT id FROM line) ORDER BY t.id");
    read(c, statement).await
}

/// The first tokens by age that were made with this one, with those, and so on, at most `limit`. None is
/// without those that lead to it.
pub async fn descendants(c: &mut Connection, id: TokenId, limit: i64) -> Result<Vec<Token>, Error> {
    let mut statement = Statement::new(SELECT_EVEN_DELETED);
    line(statement.text("t.id IN "), id);
    statement.text(" ORDER BY t.id LIMIT ").value(limit);
    read(c, statement).await
}

/// How many tokens were made with this one, with those, and so on, and how many of them are neither
/// revoked, deleted nor expired at `now`.
pub async fn count_descendants(c: &mut Connection, id: TokenId, now: Timestamp) -> Result<(i64, i64), Error> {
    let mut statement = Statement::new("SELECT count(*), CAST(coalesce(sum(CASE WHEN ");
    is_in(statement.text("t.deleted_at IS NULL AND "), Status::Active, now);
    statement.text(" THEN 1 ELSE 0 END), 0) AS BIGINT) FROM tokens t WHERE t.id IN ");
    line(&mut statement, id);
    let row = statement.query().fetch_one(c).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// Adds the ids of a token's descendants in parentheses.
fn line(statement: &mut Statement, id: TokenId) {
    // UNION instead of UNION ALL ends a cycle.
    statement.text("(WITH RECURSIVE line (id) AS (SELECT id FROM tokens WHERE parent_id = ").value(id.0).text(
        " UNION SELECT child.id FROM tokens child JOIN line ON child.parent_id = line.id) SELECT id FROM line)",
    );
}

async fn read(c: &mut Connection, statement: Statement) -> Result<Vec<Token>, Error> {
    let rows = statement.query().fetch_all(c).await?;
    Ok(rows.iter().map(Token::from_row).collect::<Result<_, _>>()?)
}
