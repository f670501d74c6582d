//! Sessions of people who are signed in. One that has ended is deleted.

use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{SessionId, UserId};

use crate::sql;
use crate::{Connection, Error, Store, Writer};

/// A session to be stored. It begins at the instant of the transaction.
#[derive(Clone, Debug)]
pub struct NewSession<'a> {
    /// Whose it is.
    pub user: UserId,
    /// The keyed hash of its secret.
    pub secret_hash: &'a [u8; 32],
    /// When it ends if it isn't used.
    pub expires_at: Timestamp,
    /// Address of whoever signed in.
    pub ip: &'a str,
    /// What their browser calls itself.
    pub user_agent: Option<&'a str>,
}

/// A session as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    /// Its number.
    pub id: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// When the person signed in.
    pub created_at: Timestamp,
    /// When it was used last, as far as that was noted.
    pub seen_at: Timestamp,
    /// From this instant on it is no session any more.
    pub expires_at: Timestamp,
    /// Address of whoever signed in.
    pub ip: String,
    /// What their browser calls itself.
    pub user_agent: Option<String>,
}

impl FromRow<'_, AnyRow> for Session {
    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: SessionId(row.try_get("id")?),
            user: UserId(row.try_get("user_id")?),
            created_at: sql::time(row, "created_at")?,
            seen_at: sql::time(row, "seen_at")?,
            expires_at: sql::time(row, "expires_at")?,
            ip: row.try_get("ip")?,
            user_agent: row.try_get("user_agent")?,
        })
    }
}

/// Stores a new session.
pub async fn insert(w: &mut Writer, new: &NewSession<'_>) -> Result<SessionId, Error> {
    let now = w.now();
    w.insert(
        sqlx::query(
            "INSERT INTO sessions (user_id, secret_hash, created_at, seen_at, expires_at, ip, user_agent) \
             VALUES ($1, $2, $3, $3, $4, $5, $6) RETURNING id",
        )
        .bind(new.user.0)
        .bind(new.secret_hash.as_slice())
        .bind(now.micros())
        .bind(new.expires_at.micros())
        .bind(new.ip)
        .bind(new.user_agent),
    )
    .await
    .map(SessionId)
}

/// The session with this secret that hasn't ended at `now`.
pub async fn find(
    c: &mut Connection,
    secret_hash: &[u8; 32],
    now: Timestamp,
) -> Result<Option<Session>, Error> {
    let query = sqlx::query_as(
        "SELECT id, user_id, created_at, seen_at, expires_at, ip, user_agent FROM sessions \
         WHERE secret_hash = $1 AND expires_at > $2",
    );
    Ok(query.bind(secret_hash.as_slice()).bind(now.micros()).fetch_optional(c).await?)
}

/// The sessions of a person that haven't ended at `now`, the one used last first.
pub async fn of_user(c: &mut Connection, user: UserId, now: Timestamp) -> Result<Vec<Session>, Error> {
    let query = sqlx::query_as(
        "SELECT id, user_id, created_at, seen_at, expires_at, ip, user_agent FROM sessions \
         WHERE user_id = $1 AND expires_at > $2 ORDER BY seen_at DESC, id DESC",
    );
    Ok(query.bind(user.0).bind(now.micros()).fetch_all(c).await?)
}

/// Notes that a session was used, in a transaction of its own without an audit record. Never moves a
/// time backwards; a session that is gone is passed over. Takes its turn like any writer.
pub async fn note_use(
    store: &Store,
    id: SessionId,
    seen_at: Timestamp,
    expires_at: Timestamp,
) -> Result<(), Error> {
    let mut transaction = store.begin_write().await?;
    sqlx::query("UPDATE sessions SET seen_at = $2, expires_at = $3 WHERE id = $1 AND seen_at < $2")
        .bind(id.0)
        .bind(seen_at.micros())
        .bind(expires_at.micros())
        .execute(&mut *transaction)
        .await?;
    store.durability.commit(&mut transaction).await
}

/// Deletes one session of a person. Tells whether there was one.
pub async fn delete(w: &mut Writer, user: UserId, id: SessionId) -> Result<bool, Error> {
    let delete = sqlx::query("DELETE FROM sessions WHERE id = $1 AND user_id = $2").bind(id.0).bind(user.0);
    Ok(w.execute(delete).await? > 0)
}

/// Deletes the session with this secret, if there is one.
pub async fn delete_with_secret(w: &mut Writer, secret_hash: &[u8; 32]) -> Result<(), Error> {
    let delete = sqlx::query("DELETE FROM sessions WHERE secret_hash = $1").bind(secret_hash.as_slice());
    w.execute(delete).await?;
    Ok(())
}

/// Deletes all sessions of a person and tells how many of them hadn't ended by themselves.
pub async fn delete_of_user(w: &mut Writer, user: UserId) -> Result<u64, Error> {
    delete_ended(w).await?;
    w.execute(sqlx::query("DELETE FROM sessions WHERE user_id = $1").bind(user.0)).await
}

/// Deletes all sessions that have ended by themselves.
pub async fn delete_ended(w: &mut Writer) -> Result<(), Error> {
    let now = w.now().micros();
    w.execute(sqlx::query("DELETE FROM sessions WHERE expires_at <= $1").bind(now)).await?;
    Ok(())
}
