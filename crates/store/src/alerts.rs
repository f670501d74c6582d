//! Alerts and the outbox they leave by. An alert, its deliveries and whatever it was noticed by are one transaction, so
//! none is lost and none is told twice, whenever the process ends.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{TokenId, UserId};

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
        Ok(true)
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
