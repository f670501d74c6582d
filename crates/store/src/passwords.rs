//! Passwords of people, and who signs in by which name.

use sqlx::Row as _;
use tokenhouse_core::id::UserId;
use tokenhouse_core::password::PasswordHash;
use tokenhouse_core::people::fold;

use crate::sql::Statement;
use crate::users::{self, User};
use crate::{Connection, Error, Writer};

/// The person with this user name or, if that is nobody's, the only one with this e-mail address, case
/// ignored. With the hash of their password, if they have one.
pub async fn find(c: &mut Connection, name: &str) -> Result<Option<(User, Option<PasswordHash>)>, Error> {
    let name = fold(name);
    let mut statement = Statement::new("SELECT id, user_name_folded FROM users WHERE removed_at IS NULL");
    statement.text(" AND user_type = 'Human' AND (user_name_folded = ").value(name.as_str());
    statement.text(" OR email_folded = ").value(name.as_str());
    statement.text(") ORDER BY CASE WHEN user_name_folded = ").value(name.as_str());
    statement.text(" THEN 0 ELSE 1 END LIMIT 2");
    let rows = statement.query().fetch_all(&mut *c).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    if rows.len() > 1 && first.try_get::<&str, _>("user_name_folded")? != name {
        return Ok(None);
    }
    let id = UserId(first.try_get("id")?);
    let hash = of_user(c, id).await?;
    Ok(users::find(c, id).await?.map(|user| (user, hash)))
}

/// The hash of a person's password; `None` if they have none.
pub async fn of_user(c: &mut Connection, id: UserId) -> Result<Option<PasswordHash>, Error> {
    let hash: Option<Option<String>> =
        sqlx::query_scalar("SELECT password_hash FROM users WHERE id = $1 AND removed_at IS NULL")
            .bind(id.0)
            .fetch_optional(c)
            .await?;
    Ok(hash.flatten().map(PasswordHash::new))
}

/// Replaces a person's password.
pub async fn set(w: &mut Writer, id: UserId, hash: &PasswordHash) -> Result<(), Error> {
    let update = sqlx::query("UPDATE users SET password_hash = $2 WHERE id = $1 AND removed_at IS NULL")
        .bind(id.0)
        .bind(hash.as_str());
    w.execute_one(update).await
}

/// Notes that a person signed in at the instant of the transaction.
pub async fn note_sign_in(w: &mut Writer, id: UserId) -> Result<(), Error> {
    let now = w.now().micros();
    let update = sqlx::query("UPDATE users SET last_login = $2 WHERE id = $1 AND removed_at IS NULL");
    w.execute_one(update.bind(id.0).bind(now)).await
}
