//! The one-time code with which the first Admin is made.

use sqlx::Row as _;

use crate::{Connection, Error, Writer};

const CODE: &str = "setup_code";

/// Keeps the keyed hash of the code instead of any other.
pub async fn keep(w: &mut Writer, code_hash: &[u8; 32]) -> Result<(), Error> {
    let keep = sqlx::query(
        "INSERT INTO settings (name, value) VALUES ($1, $2) \
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    );
    w.execute_one(keep.bind(CODE).bind(code_hash.as_slice())).await
}

/// Whether this is the keyed hash of the code that is kept.
pub async fn is_kept(c: &mut Connection, code_hash: &[u8; 32]) -> Result<bool, Error> {
    let kept = sqlx::query("SELECT value FROM settings WHERE name = $1").bind(CODE).fetch_optional(c).await?;
    match kept {
        Some(row) => Ok(row.try_get::<&[u8], _>(0)? == code_hash),
        None => Ok(false),
    }
}

/// Forgets the code.
pub async fn forget(w: &mut Writer) -> Result<(), Error> {
    w.execute(sqlx::query("DELETE FROM settings WHERE name = $1").bind(CODE)).await?;
    Ok(())
}
