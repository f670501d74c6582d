//! Successors of tokens: who makes them, and how the old token ends.

use sqlx::Row as _;
use sqlx::any::AnyRow;
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::TokenId;

use crate::sql::{self, Statement};
use crate::tokens::{self, SELECT, Token, unexpired};
use crate::{Connection, Error, Writer};

/// A token that is revoked by itself once nobody uses it any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Closing {
    /// Unused for so many hours.
    pub after_hours: i64,
    /// From this instant on it is a finding if it is still used. It stays good.
    pub deadline: Option<Timestamp>,
    /// When this was settled: the hours count from here at the earliest.
    pub since: Timestamp,
}

/// Who makes the successor of a token, and when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RotationPlan {
    /// A person, a team, or a program.
    pub responsible: String,
    /// So many days before it expires.
    pub days_before: i64,
}

impl RotationPlan {
    /// Out of the columns that tokens and users have.
    pub(crate) fn of_row(row: &AnyRow) -> Result<Option<Self>, sqlx::Error> {
        let responsible: Option<String> = row.try_get("rotation_responsible")?;
        let days_before: Option<i64> = row.try_get("rotation_days_before")?;
        Ok(responsible.zip(days_before).map(|(responsible, days_before)| Self { responsible, days_before }))
    }
}

impl Closing {
    /// Out of the columns that tokens have.
    pub(crate) fn of_row(row: &AnyRow) -> Result<Option<Self>, sqlx::Error> {
        let after_hours: Option<i64> = row.try_get("closes_after_hours")?;
        let deadline = sql::optional_time(row, "close_deadline")?;
        let since = sql::optional_time(row, "closing_since")?;
        Ok(after_hours.zip(since).map(|(after_hours, since)| Self { after_hours, deadline, since }))
    }
}

/// Whether a successor of the token is neither revoked nor expired at `now`.
pub async fn has_live_successor(c: &mut Connection, id: TokenId, now: Timestamp) -> Result<bool, Error> {
    let mut statement = Statement::new("SELECT count(*) FROM tokens s WHERE s.rotates = ");
    statement.value(id.0);
    works(&mut statement, now);
    Ok(statement.query().fetch_one(c).await?.try_get::<i64, _>(0)? > 0)
}

/// Adds that no successor of the token `t` works at `now`.
pub(crate) fn without_live_successor(statement: &mut Statement, now: Timestamp) {
    statement.text(" AND NOT EXISTS (SELECT 1 FROM tokens s WHERE s.rotates = t.id");
    works(statement, now);
    statement.text(")");
}

fn works(statement: &mut Statement, now: Timestamp) {
    statement.text(" AND s.deleted_at IS NULL AND s.revoked_at IS NULL");
    unexpired(statement, "s", now);
}

/// Settles who rotates a token, or that nobody does.
pub async fn set_plan(w: &mut Writer, id: TokenId, plan: Option<&RotationPlan>) -> Result<(), Error> {
    let update = "UPDATE tokens SET rotation_responsible = $2, rotation_days_before = $3 WHERE id = $1";
    let query = sqlx::query(update).bind(id.0).bind(plan.map(|plan| plan.responsible.clone()));
    w.execute_one(query.bind(plan.map(|plan| plan.days_before))).await
}

/// Settles that a token closes by itself, or doesn't.
pub async fn set_closing(w: &mut Writer, id: TokenId, closing: Option<Closing>) -> Result<(), Error> {
    let update =
        "UPDATE tokens SET closes_after_hours = $2, close_deadline = $3, closing_since = $4 WHERE id = $1";
    let query = sqlx::query(update)
        .bind(id.0)
        .bind(closing.map(|closing| closing.after_hours))
        .bind(closing.and_then(|closing| closing.deadline).map(Timestamp::micros))
        .bind(closing.map(|closing| closing.since.micros()));
    w.execute_one(query).await
}

/// The next tokens after this number that close by themselves and are not revoked yet.
pub async fn closing_after(c: &mut Connection, after: TokenId, limit: i64) -> Result<Vec<Token>, Error> {
    // The signs keep SQLite from going through all tokens by number: those that close are few.
    let mut statement = Statement::new(SELECT);
    statement.text("t.revoked_at IS NULL AND t.closes_after_hours > 0 AND +t.id > ").value(after.0);
    statement.text(" ORDER BY +t.id LIMIT ").value(limit);
    tokens::read(c, statement).await
}
