//! Tokens. A deleted token keeps its row, so that lineage never breaks and the feed still finds
//! its hash; unless said otherwise, every function treats it as absent.

mod entries;

use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{TokenId, UserId};
use tokenhouse_core::index::{self, Standing, TokenState};
use tokenhouse_core::people::{Name, Role, UserType, fold};
use tokenhouse_core::token::TokenHash;

use crate::sql::{self, BATCH, Query, Statement};
use crate::successors::{Closing, RotationPlan};
use crate::users::User;
use crate::{Connection, Error, Writer};

pub use entries::{Entry, count, entries, entries_after};

/// Selects tokens with their owners; ends within a `WHERE`.
macro_rules! select {
    ($rest:literal) => {
        select!(even deleted concat!("t.deleted_at IS NULL AND ", $rest))
    };
    (even deleted $rest:expr) => {
        concat!(
            "SELECT t.id, t.name, t.hash, t.scim_only, t.created_at, t.created_by, t.expires_at, \
             t.revoked_at, t.deleted_at, t.parent_id, t.rotates, \
             coalesce(recent.at, t.last_used_at) AS last_used_at, \
             coalesce(recent.ip, t.last_used_ip) AS last_used_ip, \
             t.leaked_at, t.idle_announced_at, t.closes_after_hours, t.close_deadline, t.closing_since, \
             t.rotation_responsible, t.rotation_days_before, \
             (SELECT max(s.id) FROM tokens s WHERE s.rotates = t.id AND s.deleted_at IS NULL) AS rotated_by, \
             o.id AS owner_id, o.user_id, o.user_name, o.email, o.name AS owner_name, o.role, o.user_type, \
             o.deleted_at AS owner_deleted_at, o.removed_at AS owner_removed_at \
             FROM tokens t JOIN users o ON o.id = t.owner_id \
             LEFT JOIN recent_uses recent ON recent.token_id = t.id \
             AND (t.last_used_at IS NULL OR t.last_used_at < recent.at) WHERE ",
            $rest
        )
    };
}

/// Selects tokens with their owners; ends after `AND`.
pub(crate) const SELECT: &str = select!("");

/// Selects tokens with their owners, deleted ones included; ends after `WHERE`.
pub(crate) const SELECT_EVEN_DELETED: &str = select!(even deleted "");

/// Since when nobody has used the token `t`, as of the last time that uses were folded.
pub(crate) const IDLE_SINCE: &str = "coalesce(t.last_used_at, t.created_at)";

/// Nobody has used the token `t` since uses were folded.
pub(crate) const NOT_USED_SINCE: &str =
    " AND NOT EXISTS (SELECT 1 FROM recent_uses u WHERE u.token_id = t.id)";

/// Adds that the token of this name has not expired at `now`.
pub(crate) fn unexpired(statement: &mut Statement, token: &str, now: Timestamp) {
    statement.text(&format!(" AND ({token}.expires_at IS NULL OR {token}.expires_at > "));
    statement.value(now.micros()).text(")");
}

/// The tokens of a statement that begins with [`SELECT`] or [`SELECT_EVEN_DELETED`].
pub(crate) async fn read(c: &mut Connection, statement: Statement) -> Result<Vec<Token>, Error> {
    let rows = statement.query().fetch_all(c).await?;
    Ok(rows.iter().map(Token::from_row).collect::<Result<_, _>>()?)
}

/// A token to be stored.
#[derive(Clone, Debug)]
pub struct NewToken<'a> {
    /// Whose it is.
    pub owner: UserId,
    /// Its name, unique among the owner's.
    pub name: &'a Name,
    /// Its keyed hash.
    pub hash: TokenHash,
    /// Opens the SCIM endpoints and nothing else.
    pub scim_only: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: UserId,
    /// When it expires, if ever.
    pub expires_at: Option<Timestamp>,
    /// The token it was made with.
    pub parent_id: Option<TokenId>,
    /// The token it succeeds.
    pub rotates: Option<TokenId>,
}

/// A token as it is stored, with its owner.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Token {
    /// Its number.
    pub id: TokenId,
    /// Its name.
    pub name: String,
    /// Its keyed hash.
    pub hash: TokenHash,
    /// Opens the SCIM endpoints and nothing else.
    pub scim_only: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: UserId,
    /// When it expires, if ever.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked, if it is.
    pub revoked_at: Option<Timestamp>,
    /// When it was deleted; set only where deleted tokens are asked for.
    pub deleted_at: Option<Timestamp>,
    /// The token it was made with.
    pub parent_id: Option<TokenId>,
    /// The token it succeeds.
    pub rotates: Option<TokenId>,
    /// The newest token that succeeds it and still exists.
    pub rotated_by: Option<TokenId>,
    /// When it was last used.
    pub last_used_at: Option<Timestamp>,
    /// From which address it was last used.
    pub last_used_ip: Option<String>,
    /// When it was reported as leaked, if it was.
    pub leaked_at: Option<Timestamp>,
    /// When it was told that it will be revoked because nobody uses it.
    pub idle_announced_at: Option<Timestamp>,
    /// Whether it closes by itself.
    pub closing: Option<Closing>,
    /// Who rotates it and when.
    pub plan: Option<RotationPlan>,
    /// Whose it is.
    pub owner: Owner,
}

/// The owner of a token, as of now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Owner {
    /// The account.
    pub id: UserId,
    /// `local|…`, `<provider>|…` or `<slug>@service`.
    pub user_id: String,
    /// What a person signs in with, or the slug.
    pub user_name: String,
    /// E-mail address; of a service user its `user_id`.
    pub email: String,
    /// Display name.
    pub name: String,
    /// Role.
    pub role: Role,
    /// Human or service.
    pub user_type: UserType,
    /// Neither deactivated nor removed.
    pub active: bool,
}

impl Token {
    /// A token as it was just stored under this number.
    pub fn of_new(id: TokenId, new: &NewToken<'_>, owner: Owner) -> Self {
        Self {
            id,
            name: new.name.as_str().to_owned(),
            hash: new.hash,
            scim_only: new.scim_only,
            created_at: new.created_at,
            created_by: new.created_by,
            expires_at: new.expires_at,
            revoked_at: None,
            deleted_at: None,
            parent_id: new.parent_id,
            rotates: new.rotates,
            rotated_by: None,
            last_used_at: None,
            last_used_ip: None,
            leaked_at: None,
            idle_announced_at: None,
            closing: None,
            plan: None,
            owner,
        }
    }

    /// The token, as far as a verdict needs it.
    pub fn state(&self) -> TokenState {
        TokenState {
            id: self.id,
            expires_at: self.expires_at,
            revoked: self.revoked_at.is_some(),
            scim_only: self.scim_only,
        }
    }
}

impl Owner {
    /// The owner, as far as a verdict needs it.
    pub const fn standing(&self) -> Standing {
        Standing { id: self.id, role: self.role, user_type: self.user_type, active: self.active }
    }
}

impl From<User> for Owner {
    fn from(user: User) -> Self {
        let User { id, user_id, user_name, email, name, role, user_type, deleted_at, .. } = user;
        Self { id, user_id, user_name, email, name, role, user_type, active: deleted_at.is_none() }
    }
}

impl From<&index::Owner> for Owner {
    fn from(owner: &index::Owner) -> Self {
        let (identity, Standing { id, role, user_type, active }) = (&owner.identity, owner.state);
        Self {
            id,
            user_id: identity.user_id_text().to_owned(),
            user_name: identity.user_name().to_owned(),
            email: identity.email_text().to_owned(),
            name: identity.name().to_owned(),
            role,
            user_type,
            active,
        }
    }
}

impl FromRow<'_, AnyRow> for Token {
    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        let token_id = |column| Ok::<_, sqlx::Error>(row.try_get::<Option<i64>, _>(column)?.map(TokenId));
        Ok(Self {
            id: TokenId(row.try_get("id")?),
            name: row.try_get("name")?,
            hash: TokenHash::from_bytes(sql::hash(row, "hash")?),
            scim_only: row.try_get::<i64, _>("scim_only")? != 0,
            created_at: sql::time(row, "created_at")?,
            created_by: UserId(row.try_get("created_by")?),
            expires_at: sql::optional_time(row, "expires_at")?,
            revoked_at: sql::optional_time(row, "revoked_at")?,
            deleted_at: sql::optional_time(row, "deleted_at")?,
            parent_id: token_id("parent_id")?,
            rotates: token_id("rotates")?,
            rotated_by: token_id("rotated_by")?,
            last_used_at: sql::optional_time(row, "last_used_at")?,
            last_used_ip: row.try_get("last_used_ip")?,
            leaked_at: sql::optional_time(row, "leaked_at")?,
            idle_announced_at: sql::optional_time(row, "idle_announced_at")?,
            closing: Closing::of_row(row)?,
            plan: RotationPlan::of_row(row)?,
            owner: Owner::from_row(row)?,
        })
    }
}

impl FromRow<'_, AnyRow> for Owner {
    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        let deleted_at = sql::optional_time(row, "owner_deleted_at")?;
        let removed_at = sql::optional_time(row, "owner_removed_at")?;
        Ok(Self {
            id: UserId(row.try_get("owner_id")?),
            user_id: row.try_get("user_id")?,
            user_name: row.try_get("user_name")?,
            email: row.try_get("email")?,
            name: row.try_get("owner_name")?,
            role: sql::word(row, "role")?,
            user_type: sql::word(row, "user_type")?,
            active: deleted_at.is_none() && removed_at.is_none(),
        })
    }
}

/// Stores a new token. Name or hash taken: [`Error::Conflict`].
pub async fn insert(w: &mut Writer, new: &NewToken<'_>) -> Result<TokenId, Error> {
    let id = w.insert(insertion(new)).await.map(TokenId)?;
    let state = TokenState { id, expires_at: new.expires_at, revoked: false, scim_only: new.scim_only };
    w.made(Entry { id, hash: new.hash, owner: new.owner, state: Some(state) });
    Ok(id)
}

fn insertion(new: &NewToken<'_>) -> Query {
    sqlx::query(
        "INSERT INTO tokens (owner_id, name, hash, scim_only, created_at, created_by, expires_at, \
             parent_id, rotates, name_folded, is_service) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, \
             coalesce((SELECT CASE user_type WHEN 'Service' THEN 1 ELSE 0 END FROM users WHERE id = $1), 0)) \
             RETURNING id",
    )
    .bind(new.owner.0)
    .bind(new.name.as_str())
    .bind(new.hash.as_bytes().as_slice())
    .bind(i64::from(new.scim_only))
    .bind(new.created_at.micros())
    .bind(new.created_by.0)
    .bind(new.expires_at.map(Timestamp::micros))
    .bind(new.parent_id.map(|id| id.0))
    .bind(new.rotates.map(|id| id.0))
    .bind(fold(new.name.as_str()))
}

/// Notes the number of the form that a token was made with.
pub async fn set_form(w: &mut Writer, id: TokenId, form: &str) -> Result<(), Error> {
    w.execute_one(sqlx::query("UPDATE tokens SET form = $2 WHERE id = $1").bind(id.0).bind(form)).await
}

/// One token.
pub async fn find(c: &mut Connection, id: TokenId) -> Result<Option<Token>, Error> {
    Ok(sqlx::query_as(select!("t.id = $1")).bind(id.0).fetch_optional(c).await?)
}

/// One token, also if it is deleted: for the lineage that runs through it.
pub async fn find_even_deleted(c: &mut Connection, id: TokenId) -> Result<Option<Token>, Error> {
    Ok(sqlx::query_as(select!(even deleted "t.id = $1")).bind(id.0).fetch_optional(c).await?)
}

/// Those of the ids that exist.
pub async fn find_many(c: &mut Connection, ids: &[TokenId]) -> Result<Vec<Token>, Error> {
    let mut found = Vec::with_capacity(ids.len());
    for batch in ids.chunks(BATCH) {
        let mut statement = Statement::new(SELECT);
        statement.text("t.id IN ").list(batch.iter().map(|id| id.0));
        found.extend(read(c, statement).await?);
    }
    Ok(found)
}

/// The token that this user made with the form of this number, also if it is deleted.
pub async fn find_by_form(c: &mut Connection, user: UserId, form: &str) -> Result<Option<Token>, Error> {
    let token = sqlx::query_as(select!(even deleted "t.created_by = $1 AND t.form = $2"));
    Ok(token.bind(user.0).bind(form).fetch_optional(c).await?)
}

/// The token with this keyed hash.
pub async fn find_by_hash(c: &mut Connection, hash: &TokenHash) -> Result<Option<Token>, Error> {
    let token = sqlx::query_as(select!("t.hash = $1")).bind(hash.as_bytes().as_slice());
    Ok(token.fetch_optional(c).await?)
}

/// The same, also if it is deleted.
pub async fn find_by_hash_even_deleted(c: &mut Connection, hash: &TokenHash) -> Result<Option<Token>, Error> {
    let token = sqlx::query_as(select!(even deleted "t.hash = $1")).bind(hash.as_bytes().as_slice());
    Ok(token.fetch_optional(c).await?)
}

/// The personal tokens of a human, newest first.
pub async fn personal(c: &mut Connection, owner: UserId) -> Result<Vec<Token>, Error> {
    let tokens = select!("t.owner_id = $1 AND o.user_type = 'Human' ORDER BY t.id DESC");
    Ok(sqlx::query_as(tokens).bind(owner.0).fetch_all(c).await?)
}

/// The tokens of one service user or of all, newest first.
pub async fn service(c: &mut Connection, owner: Option<UserId>) -> Result<Vec<Token>, Error> {
    let tokens = match owner {
        None => sqlx::query_as(select!("o.user_type = 'Service' ORDER BY t.id DESC")),
        Some(owner) => {
            sqlx::query_as(select!("t.owner_id = $1 AND o.user_type = 'Service' ORDER BY t.id DESC"))
                .bind(owner.0)
        }
    };
    Ok(tokens.fetch_all(c).await?)
}

/// The owner's tokens that are not revoked, expired ones included, oldest first.
pub async fn unrevoked_of(c: &mut Connection, owner: UserId) -> Result<Vec<Token>, Error> {
    let tokens = select!("t.owner_id = $1 AND t.revoked_at IS NULL ORDER BY t.id");
    Ok(sqlx::query_as(tokens).bind(owner.0).fetch_all(c).await?)
}

/// Whether a token of the owner has this name.
pub async fn name_taken(c: &mut Connection, owner: UserId, name: &Name) -> Result<bool, Error> {
    let found: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM tokens WHERE owner_id = $1 AND name = $2 AND deleted_at IS NULL",
    )
    .bind(owner.0)
    .bind(name.as_str())
    .fetch_one(c)
    .await?;
    Ok(found > 0)
}

/// All tokens that were made with this one, with those, and so on, without itself, oldest first.
/// Finds also those whose line leads through deleted tokens, and those of a deleted token.
pub async fn descendants(c: &mut Connection, id: TokenId) -> Result<Vec<Token>, Error> {
    // UNION instead of UNION ALL ends a cycle.
    let tokens = select!(
        "t.id <> $1 AND t.id IN (WITH RECURSIVE line (id) AS (\
         SELECT id FROM tokens WHERE parent_id = $1 \
         UNION SELECT child.id FROM tokens child JOIN line ON child.parent_id = line.id\
         ) SELECT id FROM line) ORDER BY t.id"
    );
    Ok(sqlx::query_as(tokens).bind(id.0).fetch_all(c).await?)
}

/// Revokes at an instant, or with `None` restores.
pub async fn set_revoked(w: &mut Writer, id: TokenId, revoked_at: Option<Timestamp>) -> Result<(), Error> {
    let update = sqlx::query("UPDATE tokens SET revoked_at = $2 WHERE id = $1 AND deleted_at IS NULL")
        .bind(id.0)
        .bind(revoked_at.map(Timestamp::micros));
    w.execute_one(update).await
}

/// Notes that it was reported as leaked.
pub async fn set_leaked(w: &mut Writer, id: TokenId, at: Timestamp) -> Result<(), Error> {
    let update = sqlx::query("UPDATE tokens SET leaked_at = $2 WHERE id = $1").bind(id.0).bind(at.micros());
    w.execute_one(update).await
}

/// Deletes for good, at the instant of the transaction; frees the name.
pub async fn mark_deleted(w: &mut Writer, id: TokenId) -> Result<(), Error> {
    let update = sqlx::query("UPDATE tokens SET deleted_at = $2 WHERE id = $1 AND deleted_at IS NULL")
        .bind(id.0)
        .bind(w.now().micros());
    w.execute_one(update).await
}
