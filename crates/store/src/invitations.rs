//! One-time links with which people choose their first password.

use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::UserId;

use crate::{Error, Writer};

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
