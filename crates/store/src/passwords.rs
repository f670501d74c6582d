//! Passwords of people, and who signs in by which name.

use sqlx::Row as _;
use tokenhouse_core::id::UserId;
use tokenhouse_core::password::PasswordHash;
use tokenhouse_core::people::fold;

use crate::sql::{self, Statement};
use crate::{Connection, Error, Writer};

/// Who signs in by some name. Read in one statement, so that it takes as long for nobody.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// The person.
    pub user: UserId,
    /// Their display name.
    pub name: String,
    /// The hash of their password, if they have one.
    pub hash: Option<PasswordHash>,
    /// Whether they are not deactivated.
    pub active: bool,
}

/// The person with this user name or, if that is nobody's, the only one with this e-mail address, case
/// ignored.
pub async fn find(c: &mut Connection, name: &str) -> Result<Option<Account>, Error> {
    let name = fold(name);
    let mut statement = Statement::new(
        "SELECT id, name, user_name_folded, password_hash, deleted_at FROM users \
         WHERE removed_at IS NULL AND user_type = 'Human'",
    );
    statement.text(" AND (user_name_folded = ").value(name.as_str());
    statement.text(" OR email_folded = ").value(name.as_str());
    statement.text(") ORDER BY CASE WHEN user_name_folded = ").value(name.as_str());
    statement.text(" THEN 0 ELSE 1 END LIMIT 2");
    let rows = statement.query().fetch_all(c).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    if rows.len() > 1 && first.try_get::<&str, _>("user_name_folded")? != name {
        return Ok(None);
    }
    Ok(Some(Account {
        user: UserId(first.try_get("id")?),
        name: first.try_get("name")?,
        hash: first.try_get::<Option<String>, _>("password_hash")?.map(PasswordHash::new),
        active: sql::optional_time(first, "deleted_at")?.is_none(),
    }))
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
