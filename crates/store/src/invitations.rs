//! One-time links with which people choose a password.

use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::UserId;

use crate::{Connection, Error, Writer};

/// Stores an invitation by the keyed hash of its code. It is made at the instant of the
/// transaction.
pub async fn insert(
    w: &mut Writer,
    user: UserId,
    code_hash: &[u8; 32],
    expires_at: Timestamp,
) -> Result<(), Error> {
    let created_at = w.now();
    w.execute_one(
        sqlx::query(
            "INSERT INTO invitations (user_id, code_hash, created_at, expires_at) VALUES ($1, $2, $3, $4)",
        )
        .bind(user.0)
        .bind(code_hash.as_slice())
        .bind(created_at.micros())
        .bind(expires_at.micros()),
    )
    .await
}

/// Who was invited with this code, if it can still be used at `now`.
pub async fn find(c: &mut Connection, code_hash: &[u8; 32], now: Timestamp) -> Result<Option<UserId>, Error> {
    let user: Option<i64> = sqlx::query_scalar(
        "SELECT user_id FROM invitations WHERE code_hash = $1 AND used_at IS NULL AND expires_at > $2",
    )
    .bind(code_hash.as_slice())
    .bind(now.micros())
    .fetch_optional(c)
    .await?;
    Ok(user.map(UserId))
}

/// Uses up all invitations of a person.
pub async fn use_up(w: &mut Writer, user: UserId) -> Result<(), Error> {
    let now = w.now().micros();
    let update = sqlx::query("UPDATE invitations SET used_at = $2 WHERE user_id = $1 AND used_at IS NULL");
    w.execute(update.bind(user.0).bind(now)).await?;
    Ok(())
}
