//! One-time links with which people choose their first password.

use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::UserId;

use crate::{Error, Writer};

/// Stores an invitation by the keyed hash of its code.
pub async fn insert(
    w: &mut Writer,
    user: UserId,
    code_hash: &[u8; 32],
    expires_at: Timestamp,
) -> Result<(), Error> {
    todo!()
}
