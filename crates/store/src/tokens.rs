//! Tokens. A deleted token keeps its row, so that lineage never breaks and the feed still finds
//! its hash; unless said otherwise, every function treats it as absent.

use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{TokenId, UserId};
use tokenhouse_core::index::TokenState;
use tokenhouse_core::people::{Name, Role, UserType};
use tokenhouse_core::token::TokenHash;

use crate::{Connection, Error, Writer};

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

/// What the index needs to know of a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its keyed hash.
    pub hash: TokenHash,
    /// Whose it is.
    pub owner: UserId,
    /// Its state; `None` if it is deleted.
    pub state: Option<TokenState>,
}

/// Stores a new token. Name or hash taken: [`Error::Conflict`].
pub async fn insert(w: &mut Writer, new: &NewToken<'_>) -> Result<TokenId, Error> {
    todo!()
}

/// One token.
pub async fn find(c: &mut Connection, id: TokenId) -> Result<Option<Token>, Error> {
    todo!()
}

/// The token with this keyed hash.
pub async fn find_by_hash(c: &mut Connection, hash: &TokenHash) -> Result<Option<Token>, Error> {
    todo!()
}

/// The personal tokens of a human, newest first.
pub async fn personal(c: &mut Connection, owner: UserId) -> Result<Vec<Token>, Error> {
    todo!()
}

/// The tokens of one service user or of all, newest first.
pub async fn service(c: &mut Connection, owner: Option<UserId>) -> Result<Vec<Token>, Error> {
    todo!()
}

/// The owner's tokens that are not revoked, expired ones included, oldest first.
pub async fn unrevoked_of(c: &mut Connection, owner: UserId) -> Result<Vec<Token>, Error> {
    todo!()
}

/// Whether a token of the owner has this name.
pub async fn name_taken(c: &mut Connection, owner: UserId, name: &Name) -> Result<bool, Error> {
    todo!()
}

/// Whether a successor of the token is neither revoked nor expired at `now`.
pub async fn has_live_successor(c: &mut Connection, id: TokenId, now: Timestamp) -> Result<bool, Error> {
    todo!()
}

/// All tokens that were made with this one, with those, and so on, without itself, oldest first.
/// Finds also those whose line leads through deleted tokens, and of a deleted token.
pub async fn descendants(c: &mut Connection, id: TokenId) -> Result<Vec<Token>, Error> {
    todo!()
}

/// Revokes at an instant, or with `None` restores.
pub async fn set_revoked(w: &mut Writer, id: TokenId, revoked_at: Option<Timestamp>) -> Result<(), Error> {
    todo!()
}

/// Deletes for good; frees the name.
pub async fn mark_deleted(w: &mut Writer, id: TokenId) -> Result<(), Error> {
    todo!()
}

/// What the index needs of these tokens, deleted ones included, in the order of their ids. Unknown
/// ids are left out.
pub async fn entries(c: &mut Connection, ids: &[TokenId]) -> Result<Vec<Entry>, Error> {
    todo!()
}

/// What the index needs of the next tokens after `after`, by id, at most `limit`.
pub async fn entries_after(c: &mut Connection, after: TokenId, limit: i64) -> Result<Vec<Entry>, Error> {
    todo!()
}

/// How many tokens there are.
pub async fn count(c: &mut Connection) -> Result<i64, Error> {
    todo!()
}
