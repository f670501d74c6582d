//! What Admins have settled for all tokens.

use sqlx::Row as _;
use tokenhouse_core::policies::Policies;

use crate::{Connection, Error, Writer};

const NAME: &str = "policies";

/// What is settled; the built-in values if nothing was.
pub async fn get(c: &mut Connection) -> Result<Policies, Error> {
    let row = sqlx::query("SELECT value FROM settings WHERE name = $1").bind(NAME).fetch_optional(c).await?;
    let Some(row) = row else { return Ok(Policies::default()) };
    let document: &[u8] = row.try_get(0)?;
    serde_json::from_slice(document).map_err(|_| Error::Corrupt("the policies".into()))
}

/// Settles them anew.
pub async fn set(w: &mut Writer, policies: &Policies) -> Result<(), Error> {
    let document = serde_json::to_vec(policies).map_err(|_| Error::Corrupt("the policies".into()))?;
    let insert = "INSERT INTO settings (name, value) VALUES ($1, $2) \
                  ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    w.execute_one(sqlx::query(insert).bind(NAME).bind(document)).await
}
