//! Recognizes the master key a store was made with.

use tokenhouse_core::keys::MasterKey;

use crate::dialect::Dialect;
use crate::{Connection, Error};

const CHECK: &str = "master_key_check";

/// What the store's master key gives; `None` if there is no store yet.
pub(crate) async fn check_value(c: &mut Connection, dialect: Dialect) -> Result<Option<Vec<u8>>, Error> {
    let has_settings: i64 = sqlx::query_scalar(dialect.has_settings()).fetch_one(&mut *c).await?;
    if has_settings == 0 {
        return Ok(None);
    }
    let value = sqlx::query_scalar("SELECT value FROM settings WHERE name = $1").bind(CHECK);
    Ok(value.fetch_optional(c).await?)
}

/// Refuses a master key that is not the store's.
pub(crate) async fn check(c: &mut Connection, dialect: Dialect, master: &MasterKey) -> Result<(), Error> {
    match check_value(c, dialect).await? {
        Some(stored) if stored != master.check_value() => Err(Error::WrongMasterKey),
        _ => Ok(()),
    }
}

/// Keeps what the master key gives, unless the store has one already. Tells whether it did.
pub(crate) async fn keep(c: &mut Connection, master: &MasterKey) -> Result<bool, Error> {
    let kept = sqlx::query("INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(CHECK)
        .bind(master.check_value().to_vec())
        .execute(c)
        .await?;
    Ok(kept.rows_affected() == 1)
}
