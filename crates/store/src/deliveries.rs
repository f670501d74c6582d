//! Alerts on their way through channels.

use std::fmt;
use std::str::FromStr;

use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::UserId;
use tokenhouse_core::people::Invalid;

use crate::alerts::{Alert, COLUMNS};
use crate::sql::{self, Statement};
use crate::writer::in_time;
use crate::{Connection, Error, Page, Store, Writer};

/// What has become of a delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// It will be tried, perhaps again.
    Pending,
    /// It has arrived.
    Sent,
    /// It was tried so often that it is tried no more.
    Dead,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Sent, Self::Dead];

    /// Its name on the wire and in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Dead => "dead",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for State {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| Invalid("must be pending, sent or dead".into()))
    }
}

/// An alert on its way through a channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// Its number.
    pub id: i64,
    /// The alert.
    pub alert: Alert,
    /// The channel's name.
    pub channel: String,
    /// To whom, where the channel reaches one person.
    pub user: Option<UserId>,
    /// What has become of it.
    pub state: State,
    /// How often it was tried.
    pub attempts: i64,
    /// When it is tried next, if it is pending.
    pub next_at: Timestamp,
    /// Until when some server has it for itself, to send it.
    pub claimed_until: Timestamp,
    /// Why it failed last.
    pub last_error: Option<String>,
}

impl FromRow<'_, AnyRow> for Delivery {
    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            alert: Alert::from_row(row)?,
            channel: row.try_get("channel")?,
            user: row.try_get::<Option<i64>, _>("user_id")?.map(UserId),
            state: sql::word(row, "state")?,
            attempts: row.try_get("attempts")?,
            next_at: sql::time(row, "next_at")?,
            claimed_until: sql::time(row, "claimed_until")?,
            last_error: row.try_get("last_error")?,
        })
    }
}

/// Ends within a `WHERE`.
fn select() -> Statement {
    Statement::new(&format!(
        "SELECT d.id, d.channel, d.user_id, d.state, d.attempts, d.next_at, d.claimed_until, d.last_error, {COLUMNS} \
         FROM deliveries d JOIN alerts a ON a.id = d.alert_id WHERE "
    ))
}

/// The channels with deliveries that haven't arrived, whether they are due or not.
pub async fn channels(c: &mut Connection) -> Result<Vec<String>, Error> {
    let rows = channels_statement().query().fetch_all(c).await?;
    sql::first_column(&rows)
}

/// From each channel to the next one along an index, however many deliveries wait.
fn channels_statement() -> Statement {
    let least = "(SELECT min(channel) FROM deliveries WHERE state = 'pending'";
    Statement::new(&format!(
        "WITH RECURSIVE waiting (channel) AS (SELECT {least}) UNION ALL \
         SELECT {least} AND channel > waiting.channel) FROM waiting WHERE waiting.channel IS NOT NULL) \
         SELECT channel FROM waiting WHERE channel IS NOT NULL"
    ))
}

/// Takes deliveries through a channel that are due, oldest first, for nobody else to take before `until`.
pub async fn claim(
    store: &Store,
    channel: &str,
    (now, until): (Timestamp, Timestamp),
    limit: i64,
) -> Result<Vec<Delivery>, Error> {
    let due = due(&mut *store.read().await?, channel, now, limit).await?;
    if due.is_empty() {
        return Ok(Vec::new());
    }
    let mut transaction = store.begin_uses().await?;
    let mut claim = Statement::new("UPDATE deliveries SET claimed_until = ");
    claim.value(until.micros()).text(" WHERE state = 'pending' AND claimed_until <= ").value(now.micros());
    claim.text(" AND next_at <= ").value(now.micros());
    claim.text(" AND id IN ").list(due).text(" RETURNING id");
    let rows = in_time(claim.query().fetch_all(&mut *transaction)).await?;
    let ids: Vec<i64> = sql::first_column(&rows)?;
    let mut claimed = Vec::new();
    if !ids.is_empty() {
        let mut statement = select();
        statement.text("d.id IN ").list(ids).text(" ORDER BY d.id");
        let rows = statement.query().fetch_all(&mut *transaction).await?;
        claimed = rows.iter().map(Delivery::from_row).collect::<Result<_, _>>()?;
    }
    store.durability.commit(&mut transaction).await?;
    Ok(claimed)
}

async fn due(c: &mut Connection, channel: &str, now: Timestamp, limit: i64) -> Result<Vec<i64>, Error> {
    let rows = due_statement(channel, now, limit).query().fetch_all(c).await?;
    sql::first_column(&rows)
}

fn due_statement(channel: &str, now: Timestamp, limit: i64) -> Statement {
    let mut statement = Statement::new("SELECT id FROM deliveries WHERE state = 'pending' AND channel = ");
    statement.value(channel).text(" AND next_at <= ").value(now.micros());
    statement.text(" AND claimed_until <= ").value(now.micros());
    statement.text(" ORDER BY next_at, id LIMIT ").value(limit);
    statement
}

/// Takes back all claims: those of a process that has ended, where there is no other.
pub async fn release(store: &Store) -> Result<(), Error> {
    let release = "UPDATE deliveries SET claimed_until = 0 WHERE state = 'pending' AND claimed_until > 0";
    change(store, sqlx::query(release)).await
}

/// Notes that one has arrived.
pub async fn sent(store: &Store, id: i64) -> Result<(), Error> {
    let sent = sqlx::query(
        "UPDATE deliveries SET state = 'sent', attempts = attempts + 1, last_error = NULL, \
         claimed_until = 0 WHERE id = $1",
    );
    change(store, sent.bind(id)).await
}

/// Notes that one has failed, and when it is tried again; never if there is no such time.
pub async fn failed(store: &Store, id: i64, error: &str, next_at: Option<Timestamp>) -> Result<(), Error> {
    let failed = sqlx::query(
        "UPDATE deliveries SET state = CASE WHEN $2 IS NULL THEN 'dead' ELSE 'pending' END, \
         next_at = coalesce($2, next_at), attempts = attempts + 1, last_error = $3, claimed_until = 0 \
         WHERE id = $1 AND state = 'pending'",
    );
    change(store, failed.bind(id).bind(next_at.map(Timestamp::micros)).bind(error)).await
}

async fn change(store: &Store, query: sql::Query) -> Result<(), Error> {
    let mut transaction = store.begin_uses().await?;
    in_time(query.execute(&mut *transaction)).await?;
    store.durability.commit(&mut transaction).await
}

/// Which deliveries somebody sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whose {
    /// Those of alerts to this person.
    Of(UserId),
    /// All.
    All,
}

/// Deliveries, newest first.
pub async fn page(
    c: &mut Connection,
    whose: Whose,
    state: Option<State>,
    limit: i64,
    offset: i64,
) -> Result<Page<Delivery>, Error> {
    let narrow = |statement: &mut Statement| {
        statement.text("TRUE");
        if let Whose::Of(person) = whose {
            statement.text(" AND coalesce(a.recipient_id, 0) = ").value(person.0);
        }
        if let Some(state) = state {
            // As text, so that an index of one state is known to fit.
            statement.text(&format!(" AND d.state = '{state}'"));
        }
    };
    let mut count =
        Statement::new("SELECT count(*) FROM deliveries d JOIN alerts a ON a.id = d.alert_id WHERE ");
    narrow(&mut count);
    let total = count.query().fetch_one(&mut *c).await?.try_get(0)?;
    let mut items = select();
    narrow(&mut items);
    items.text(" ORDER BY d.id DESC LIMIT ").value(limit).text(" OFFSET ").value(offset);
    let rows = items.query().fetch_all(c).await?;
    let items = rows.iter().map(Delivery::from_row).collect::<Result<_, _>>()?;
    Ok(Page { items, total })
}

/// One delivery.
pub async fn find(c: &mut Connection, id: i64) -> Result<Option<Delivery>, Error> {
    let mut statement = select();
    statement.text("d.id = ").value(id);
    let row = statement.query().fetch_optional(c).await?;
    Ok(row.map(|row| Delivery::from_row(&row)).transpose()?)
}

/// Lets one that hasn't arrived, and isn't being sent, begin anew, at the instant of the transaction.
pub async fn begin_anew(w: &mut Writer, id: i64) -> Result<(), Error> {
    let anew = sqlx::query(
        "UPDATE deliveries SET state = 'pending', attempts = 0, next_at = $2, claimed_until = 0 \
         WHERE id = $1 AND state <> 'sent' AND claimed_until <= $2",
    );
    let now = w.now().micros();
    w.execute_one(anew.bind(id).bind(now)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plans::{database, plan};

    #[tokio::test]
    async fn what_is_due_is_found_by_an_index() {
        let mut c = database().await;
        let due = plan(&mut c, due_statement("ops", Timestamp::from_seconds(1), 10)).await;
        let index = "SEARCH deliveries USING INDEX deliveries_queue (channel=? AND next_at<?)";
        assert_eq!(due, [index]);
        let channels = plan(&mut c, channels_statement()).await;
        let read = channels.iter().filter(|step| step.contains("deliveries"));
        for step in read {
            assert!(
                step.starts_with("SEARCH deliveries USING COVERING INDEX deliveries_queue"),
                "{channels:?}"
            );
        }
    }
}
