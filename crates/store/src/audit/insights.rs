//! Figures about the audit trail.

use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};
use tokenhouse_core::audit::Actor;
use tokenhouse_core::clock::Timestamp;

use super::{AuditFilter, BY_A_PERSON, actor};
use crate::{Connection, Error};

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Figures about the records of a filter.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Insights {
    /// How many users did something.
    pub active_users: i64,
    /// How many records there are.
    pub total_actions: i64,
    /// Who did most, as they were called last, and how much.
    pub most_active_user: Option<(Actor, i64)>,
    /// The kind of thing most records are about, and how many are.
    pub top_category: Option<(String, i64)>,
    /// The days (UTC) with at least one record, in order.
    pub days: Vec<Day>,
}

/// How much was done on a day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Day {
    /// Midnight UTC at its start.
    pub start: Timestamp,
    /// Records made by people.
    pub user: i64,
    /// Records made by automation.
    pub automated: i64,
}

/// Figures about the records of a filter.
pub async fn insights(c: &mut Connection, filter: &AuditFilter) -> Result<Insights, Error> {
    let totals = filter.query("count(*), count(DISTINCT actor_id)", "").fetch_one(&mut *c).await?;
    let category = " GROUP BY entity_kind ORDER BY count(*) DESC, entity_kind LIMIT 1";
    let category = filter.query("entity_kind, count(*)", category).fetch_optional(&mut *c).await?;
    Ok(Insights {
        total_actions: totals.try_get(0)?,
        active_users: totals.try_get(1)?,
        most_active_user: most_active_user(c, filter).await?,
        top_category: category.map(|row| FromRow::from_row(&row)).transpose()?,
        days: days(c, filter).await?,
    })
}

async fn most_active_user(c: &mut Connection, filter: &AuditFilter) -> Result<Option<(Actor, i64)>, Error> {
    let first = " AND actor_id IS NOT NULL GROUP BY actor_id ORDER BY count(*) DESC, actor_id LIMIT 1";
    let first = filter.query("count(*), max(seq)", first).fetch_optional(&mut *c).await?;
    let Some(first) = first else { return Ok(None) };
    let latest =
        sqlx::query("SELECT actor_id, actor_user_id, actor_name, actor_type FROM changes WHERE seq = $1")
            .bind(first.try_get::<i64, _>(1)?)
            .fetch_one(c)
            .await?;
    let count = first.try_get(0)?;
    Ok(actor(&latest)?.map(|actor| (actor, count)))
}

async fn days(c: &mut Connection, filter: &AuditFilter) -> Result<Vec<Day>, Error> {
    let columns = format!(
        "at / {MICROS_PER_DAY}, count(*), CAST(sum(CASE WHEN {BY_A_PERSON} THEN 1 ELSE 0 END) AS BIGINT)"
    );
    let rows = filter.query(&columns, " GROUP BY 1 ORDER BY 1").fetch_all(c).await?;
    let day = |row: &AnyRow| {
        let (number, all, user): (i64, i64, i64) = FromRow::from_row(row)?;
        let start = Timestamp::from_micros(number * MICROS_PER_DAY);
        Ok(Day { start, user, automated: all - user })
    };
    rows.iter().map(day).collect()
}
