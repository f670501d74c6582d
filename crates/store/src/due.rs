//! What the clock brings about: tokens that are about to expire, that nobody uses, or that a directory has stopped using.
//! Each question goes along an index from where it ended the last time, so its price is what it finds.

use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::TokenId;

use crate::sql::Statement;
use crate::successors::without_live_successor;
use crate::tokens::{self, SELECT, Token};
use crate::{Connection, Error, Writer};

/// The signs keep SQLite from beginning with all users.
const ACTIVE: &str = "t.revoked_at IS NULL AND +o.deleted_at IS NULL AND +o.removed_at IS NULL";

/// Where a list goes on: after this instant, and after this token among those of the same instant.
pub type After = (Timestamp, TokenId);

/// Before the first token of an instant that is later than this one.
pub const fn later_than(at: Timestamp) -> After {
    (at, TokenId(i64::MAX))
}

/// Tokens that are active and have no active successor, that expire after `after` and not after `until`, and that were
/// made more than `days` before, by expiry.
pub async fn expiring(
    c: &mut Connection,
    after: After,
    until: Timestamp,
    (days, now): (i64, Timestamp),
    limit: i64,
) -> Result<Vec<Token>, Error> {
    tokens::read(c, expiring_statement(after, until, days, now, limit)).await
}

fn expiring_statement(after: After, until: Timestamp, days: i64, now: Timestamp, limit: i64) -> Statement {
    let lead = Timestamp::from_seconds(0).plus_days(days).micros();
    let mut statement = Statement::new(SELECT);
    statement.text(ACTIVE).text(" AND t.expires_at IS NOT NULL");
    along(&mut statement, "t.expires_at", after, until);
    statement.text(" AND t.created_at < t.expires_at - ").value(lead);
    without_live_successor(&mut statement, now);
    statement.text(" ORDER BY t.expires_at, t.id LIMIT ").value(limit);
    statement
}

/// Tokens that are neither revoked nor expired and were last used, or made if they never were, after `after` and not after
/// `until`, in this order. Their owner may be deactivated. Tokens with a use that is not folded yet are passed over.
pub async fn unused(
    c: &mut Connection,
    after: After,
    until: Timestamp,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<Token>, Error> {
    tokens::read(c, unused_statement(after, until, now, limit)).await
}

fn unused_statement(after: After, until: Timestamp, now: Timestamp, limit: i64) -> Statement {
    let mut statement = Statement::new(SELECT);
    statement.text("t.revoked_at IS NULL");
    along(&mut statement, tokens::IDLE_SINCE, after, until);
    statement.text(tokens::NOT_USED_SINCE);
    tokens::unexpired(&mut statement, "t", now);
    statement.text(&format!(" ORDER BY {}, t.id LIMIT ", tokens::IDLE_SINCE)).value(limit);
    statement
}

/// SCIM tokens that are active and were used, but not after `until`. Those with a use that is not folded yet are passed
/// over.
pub async fn silent(c: &mut Connection, until: Timestamp, now: Timestamp) -> Result<Vec<Token>, Error> {
    tokens::read(c, silent_statement(until, now)).await
}

fn silent_statement(until: Timestamp, now: Timestamp) -> Statement {
    let mut statement = Statement::new(SELECT);
    statement.text(ACTIVE).text(" AND t.scim_only = 1 AND t.last_used_at <= ").value(until.micros());
    statement.text(tokens::NOT_USED_SINCE);
    tokens::unexpired(&mut statement, "t", now);
    statement
}

fn along(statement: &mut Statement, column: &str, (after, id): After, until: Timestamp) {
    statement.text(&format!(" AND {column} >= ")).value(after.micros());
    statement.text(&format!(" AND {column} <= ")).value(until.micros());
    statement.text(&format!(" AND ({column} > ")).value(after.micros());
    statement.text(" OR t.id > ").value(id.0).text(")");
}

/// Notes when it was told that it will be revoked because nobody uses it, or that this doesn't hold any more.
pub async fn set_idle_announced(w: &mut Writer, id: TokenId, at: Option<Timestamp>) -> Result<(), Error> {
    let update = sqlx::query("UPDATE tokens SET idle_announced_at = $2 WHERE id = $1");
    w.execute_one(update.bind(id.0).bind(at.map(Timestamp::micros))).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plans::{database, plan};

    const NOW: Timestamp = Timestamp::from_seconds(1_000_000_000);

    /// The first step of a statement, which says how tokens are found, and whether anything is sorted.
    async fn first_step(statement: Statement) -> (String, bool) {
        let mut steps = plan(&mut database().await, statement).await;
        let sorts = steps.iter().any(|step| step.contains("TEMP B-TREE"));
        (steps.remove(0), sorts)
    }

    #[tokio::test]
    async fn every_question_goes_along_an_index() {
        let after = later_than(NOW);
        let until = NOW.plus_days(1);
        for (statement, step) in [
            (
                expiring_statement(after, until, 7, NOW, 10),
                "SEARCH t USING INDEX tokens_expiring (expires_at>? AND expires_at<?)",
            ),
            (
                unused_statement(after, until, NOW, 10),
                "SEARCH t USING INDEX tokens_idle_since (<expr>>? AND <expr><?)",
            ),
        ] {
            assert_eq!(first_step(statement).await, (step.to_owned(), false));
        }
        let (step, _) = first_step(silent_statement(NOW, NOW)).await;
        assert_eq!(step, "SEARCH t USING INDEX tokens_scim (last_used_at<?)");
    }
}
