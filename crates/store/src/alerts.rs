//! Alerts and the outbox they leave by. An alert, its deliveries and whatever it was noticed by are one transaction, so
//! none is lost and none is told twice, whenever the process ends.

use std::collections::{BTreeSet, HashSet};
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, FromRow, Row as _};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{TokenId, UserId};

use crate::dialect::Dialect;
use crate::durability::Durability;
use crate::sql::{self, Statement};
use crate::turns::Turn;
use crate::writer::in_time;
use crate::{Connection, Error, Page, Store, positions};

/// What somebody is to be told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewAlert {
    /// When it was noticed.
    pub at: Timestamp,
    /// The rule that noticed it, such as `token.expiring`.
    pub kind: &'static str,
    /// The one person it is for; `None`: the Admins.
    pub recipient: Option<UserId>,
    /// The token it is about.
    pub token: Option<TokenId>,
    /// The account it is about.
    pub user: Option<UserId>,
    /// One line.
    pub title: String,
    /// What happened and what to do.
    pub text: String,
    /// The page where something can be done.
    pub path: String,
    /// What must not be told twice.
    pub subject: String,
    /// After how long it may be told again; `None`: never.
    pub again_after: Option<Duration>,
}

/// What somebody was told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Alert {
    /// Its number.
    pub id: i64,
    /// When it was noticed.
    pub at: Timestamp,
    /// The rule that noticed it.
    pub kind: String,
    /// The one person it is for; `None`: the Admins.
    pub recipient: Option<UserId>,
    /// The token it is about.
    pub token: Option<TokenId>,
    /// The account it is about.
    pub user: Option<UserId>,
    /// One line.
    pub title: String,
    /// What happened and what to do.
    pub text: String,
    /// The page where something can be done.
    pub path: String,
}

/// Where alerts go.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Routes {
    /// The channels that all Admins share.
    pub shared: Vec<String>,
    /// The channel by which each person gets theirs.
    pub personal: Option<String>,
}

/// A transaction in which people are told something. Dropped, it is rolled back.
#[derive(Debug)]
pub struct Outbox {
    turn: Turn,
    durability: Durability,
    routes: Routes,
}

impl Deref for Outbox {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.turn
    }
}

impl DerefMut for Outbox {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.turn
    }
}

impl Outbox {
    /// Waits for its turn and begins.
    pub async fn begin(store: &Store, routes: &Routes) -> Result<Self, Error> {
        let turn = store.begin_uses().await?;
        Ok(Self { turn, durability: store.durability.clone(), routes: routes.clone() })
    }

    /// Moves somebody's position on ([`positions::find`]). `false` if somebody else has: then this transaction has to
    /// be dropped.
    pub async fn advance(&mut self, position: &str, from: Option<i64>, to: i64) -> Result<bool, Error> {
        positions::advance(&mut self.turn, position, from, to).await
    }

    /// Tells something, unless it was told too short a time ago. Tells whether it does.
    pub async fn tell(&mut self, alert: &NewAlert) -> Result<bool, Error> {
        if !self.is_due(alert).await? {
            return Ok(false);
        }
        self.put(alert).await?;
        Ok(true)
    }

    /// Notes of things that they are told, and gives those that were never told before.
    pub async fn note(&mut self, subjects: &[&str], at: Timestamp) -> Result<HashSet<String>, Error> {
        // In one order everywhere, so that servers wait for each other and never in a circle.
        let rows: BTreeSet<(&str, i64)> = subjects.iter().map(|subject| (*subject, at.micros())).collect();
        let insert = format!(
            "INSERT INTO told (subject, at) SELECT value ->> 0, CAST(value ->> 1 AS BIGINT) FROM {} WHERE TRUE \
             ON CONFLICT DO NOTHING RETURNING subject",
            Dialect::of(&self.turn).json_elements("$1")
        );
        let rows = serde_json::to_string(&rows).map_err(|_| Error::Corrupt("what is told".into()))?;
        let insert = sqlx::query(AssertSqlSafe(insert)).bind(rows);
        let rows = in_time(insert.fetch_all(&mut *self.turn)).await?;
        sql::first_column(&rows)
    }

    /// Tells something, whatever was told before.
    pub async fn put(&mut self, alert: &NewAlert) -> Result<(), Error> {
        let insert = sqlx::query(
            "INSERT INTO alerts (at, kind, recipient_id, token_id, user_id, title, text, path) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id",
        )
        .bind(alert.at.micros())
        .bind(alert.kind)
        .bind(alert.recipient.map(|user| user.0))
        .bind(alert.token.map(|token| token.0))
        .bind(alert.user.map(|user| user.0))
        .bind(alert.title.as_str())
        .bind(alert.text.as_str())
        .bind(alert.path.as_str());
        let id: i64 = in_time(insert.fetch_one(&mut *self.turn)).await?.try_get(0)?;
        let routes = self.routes.clone();
        if alert.recipient.is_none() {
            for channel in &routes.shared {
                self.deliver(id, alert.at, channel, None).await?;
            }
        }
        if let Some(channel) = &routes.personal {
            let people = match alert.recipient {
                Some(person) => vec![person],
                None => admins(&mut self.turn).await?,
            };
            for person in people {
                self.deliver(id, alert.at, channel, Some(person)).await?;
            }
        }
        Ok(())
    }

    /// Notes that a thing is told, and tells whether it may be.
    async fn is_due(&mut self, alert: &NewAlert) -> Result<bool, Error> {
        let note = match alert.again_after.and_then(|pause| i64::try_from(pause.as_micros()).ok()) {
            Some(pause) => sqlx::query(
                "INSERT INTO told (subject, at) VALUES ($1, $2) \
                 ON CONFLICT (subject) DO UPDATE SET at = excluded.at WHERE told.at <= excluded.at - $3",
            )
            .bind(alert.subject.as_str())
            .bind(alert.at.micros())
            .bind(pause),
            None => sqlx::query("INSERT INTO told (subject, at) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                .bind(alert.subject.as_str())
                .bind(alert.at.micros()),
        };
        Ok(in_time(note.execute(&mut *self.turn)).await?.rows_affected() == 1)
    }

    async fn deliver(
        &mut self,
        alert: i64,
        at: Timestamp,
        channel: &str,
        user: Option<UserId>,
    ) -> Result<(), Error> {
        let insert = sqlx::query(
            "INSERT INTO deliveries (alert_id, channel, user_id, state, next_at) \
             VALUES ($1, $2, $3, 'pending', $4)",
        )
        .bind(alert)
        .bind(channel)
        .bind(user.map(|user| user.0))
        .bind(at.micros());
        in_time(insert.execute(&mut *self.turn)).await?;
        Ok(())
    }

    /// Commits.
    pub async fn commit(mut self) -> Result<(), Error> {
        self.durability.commit(&mut self.turn).await
    }
}

/// The people who are active Admins.
async fn admins(c: &mut Connection) -> Result<Vec<UserId>, Error> {
    let admins: Vec<i64> = sqlx::query_scalar(
        "SELECT id FROM users WHERE user_type = 'Human' AND role = 'Admin' \
         AND deleted_at IS NULL AND removed_at IS NULL ORDER BY id",
    )
    .fetch_all(c)
    .await?;
    Ok(admins.into_iter().map(UserId).collect())
}

impl FromRow<'_, AnyRow> for Alert {
    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("alert_id")?,
            at: sql::time(row, "at")?,
            kind: row.try_get("kind")?,
            recipient: row.try_get::<Option<i64>, _>("recipient_id")?.map(UserId),
            token: row.try_get::<Option<i64>, _>("token_id")?.map(TokenId),
            user: row.try_get::<Option<i64>, _>("about_id")?.map(UserId),
            title: row.try_get("title")?,
            text: row.try_get("text")?,
            path: row.try_get("path")?,
        })
    }
}

/// The columns of an alert.
pub(crate) const COLUMNS: &str = "a.id AS alert_id, a.at, a.kind, a.recipient_id, a.token_id, a.user_id AS about_id, a.title, a.text, a.path";

/// The alerts of a person, and those of the Admins if they are asked for, newest first.
pub async fn page(
    c: &mut Connection,
    person: UserId,
    of_admins: bool,
    limit: i64,
    offset: i64,
) -> Result<Page<Alert>, Error> {
    let narrow = |statement: &mut Statement| {
        let recipients = [Some(person.0), of_admins.then_some(0)];
        statement.text(" FROM alerts a WHERE coalesce(a.recipient_id, 0) IN ");
        statement.list(recipients.into_iter().flatten());
    };
    let mut count = Statement::new("SELECT count(*)");
    narrow(&mut count);
    let total = count.query().fetch_one(&mut *c).await?.try_get(0)?;
    let mut items = Statement::new(&format!("SELECT {COLUMNS}"));
    narrow(&mut items);
    items.text(" ORDER BY a.id DESC LIMIT ").value(limit).text(" OFFSET ").value(offset);
    let rows = items.query().fetch_all(c).await?;
    let items = rows.iter().map(Alert::from_row).collect::<Result<_, _>>()?;
    Ok(Page { items, total })
}

/// Removes alerts from before an instant, with their deliveries, at most so many of the oldest; those that are still on
/// their way stay. Gives how many.
pub async fn remove_old(store: &Store, before: Timestamp, limit: i64) -> Result<usize, Error> {
    let rows = old_statement(before, limit).query().fetch_all(&mut *store.read().await?).await?;
    let ids: Vec<i64> = sql::first_column(&rows)?;
    if ids.is_empty() {
        return Ok(0);
    }
    let mut transaction = store.begin_uses().await?;
    let dialect = Dialect::of(&transaction);
    // One may have begun anew since.
    let mut delete = Statement::new("DELETE FROM deliveries WHERE state <> 'pending' AND alert_id IN ");
    delete.numbers(dialect, &ids);
    in_time(delete.query().execute(&mut *transaction)).await?;
    let mut delete = Statement::new(
        "DELETE FROM alerts WHERE NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.alert_id = alerts.id) AND id IN ",
    );
    delete.numbers(dialect, &ids);
    let removed = in_time(delete.query().execute(&mut *transaction)).await?.rows_affected();
    store.durability.commit(&mut transaction).await?;
    Ok(usize::try_from(removed).unwrap_or(usize::MAX))
}

fn old_statement(before: Timestamp, limit: i64) -> Statement {
    let mut statement = Statement::new("SELECT a.id FROM alerts a WHERE a.at < ");
    statement
        .value(before.micros())
        .text(" AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.alert_id = a.id ");
    statement.text("AND d.state = 'pending') ORDER BY a.at, a.id LIMIT ").value(limit);
    statement
}

/// Forgets what was told before an instant, at most so many of the oldest; not that a directory is silent as long as
/// it is. Gives how many.
pub async fn forget_told(store: &Store, before: Timestamp, limit: i64) -> Result<usize, Error> {
    let rows = told_statement(before, limit).query().fetch_all(&mut *store.read().await?).await?;
    let subjects: Vec<String> = sql::first_column(&rows)?;
    if subjects.is_empty() {
        return Ok(0);
    }
    let mut transaction = store.begin_uses().await?;
    let mut delete = Statement::new("DELETE FROM told WHERE at < ");
    delete.value(before.micros()).text(" AND subject IN ").list(subjects.iter().map(String::as_str));
    in_time(delete.query().execute(&mut *transaction)).await?;
    store.durability.commit(&mut transaction).await?;
    Ok(subjects.len())
}

fn told_statement(before: Timestamp, limit: i64) -> Statement {
    let mut statement = Statement::new("SELECT d.subject FROM told d WHERE d.at < ");
    statement
        .value(before.micros())
        .text(" AND NOT EXISTS (SELECT 1 FROM tokens t WHERE t.scim_only = 1 AND ");
    statement
        .text("t.revoked_at IS NULL AND t.deleted_at IS NULL AND t.last_used_at <= d.at AND d.subject = ");
    statement.text("'scim.silent:' || t.id || ':' || t.last_used_at) ORDER BY d.at LIMIT ").value(limit);
    statement
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plans::{database, plan};

    #[tokio::test]
    async fn what_is_old_is_found_by_an_index() {
        let mut c = database().await;
        let at = Timestamp::from_seconds(1);
        for (statement, index) in [
            (old_statement(at, 10), "SEARCH a USING COVERING INDEX alerts_at (at<?)"),
            (told_statement(at, 10), "SEARCH d USING COVERING INDEX told_at (at<?)"),
        ] {
            let steps = plan(&mut c, statement).await;
            assert_eq!(steps[0], index, "{steps:?}");
            assert!(!steps.iter().any(|step| step.contains("SCAN") || step.contains("B-TREE")), "{steps:?}");
        }
    }
}
