//! Users, human and service. A removed user is absent for all but the index.

use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::UserId;
use tokenhouse_core::index::OwnerState;
use tokenhouse_core::people::{Name, Role, UserType};

use crate::{Connection, Error, Page, Writer};

/// A user to be stored.
#[derive(Clone, Debug)]
pub struct NewUser<'a> {
    /// `local|…`, `<provider>|…` or `<slug>@service`. Never changes.
    pub user_id: &'a str,
    /// What a person signs in with, or the slug.
    pub user_name: &'a str,
    /// E-mail address; of a service user its `user_id`.
    pub email: &'a str,
    /// Display name.
    pub name: &'a Name,
    /// Role.
    pub role: Role,
    /// Human or service.
    pub user_type: UserType,
    /// What a service user is for.
    pub purpose: Option<&'a str>,
    /// Who answers for a service user.
    pub owner: Option<&'a str>,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom; `None` for the command line and the system.
    pub created_by: Option<UserId>,
}

/// A user as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    /// Its number.
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
    /// Names of the teams, `Public` first, then by name.
    pub teams: Vec<String>,
    /// What a service user is for.
    pub purpose: Option<String>,
    /// Who answers for a service user.
    pub owner: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom; `None` for the command line and the system.
    pub created_by: Option<UserId>,
    /// When it was deactivated, if it is.
    pub deleted_at: Option<Timestamp>,
    /// When the person last signed in.
    pub last_login: Option<Timestamp>,
}

/// By what users are sorted. Ties are broken by id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum UserSort {
    /// Display name, case ignored.
    #[default]
    Name,
    /// When they were made.
    Created,
    /// Rank of the role.
    Role,
    /// Last sign-in; those who never did come first when ascending.
    LastLogin,
}

/// Which users, in what order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UserFilter {
    /// Humans or service users only.
    pub user_type: Option<UserType>,
    /// Part of the display name, case ignored, nothing in it is a wildcard.
    pub name_part: Option<String>,
    /// With this role.
    pub role: Option<Role>,
    /// In the team with this name, case ignored.
    pub team: Option<String>,
    /// Deactivated ones too.
    pub include_deleted: bool,
    /// The order.
    pub sort: UserSort,
    /// The other way round.
    pub descending: bool,
}

/// What of a user can be changed. Everything is replaced.
#[derive(Clone, Debug)]
pub struct UserUpdate<'a> {
    /// Display name.
    pub name: &'a Name,
    /// Role.
    pub role: Role,
    /// What a service user is for.
    pub purpose: Option<&'a str>,
    /// Who answers for a service user.
    pub owner: Option<&'a str>,
}

/// Stores a new user. User name or `user_id` taken: [`Error::Conflict`].
pub async fn insert(w: &mut Writer, new: &NewUser<'_>) -> Result<UserId, Error> {
    todo!()
}

/// One user.
pub async fn find(c: &mut Connection, id: UserId) -> Result<Option<User>, Error> {
    todo!()
}

/// The user with this user name, case ignored.
pub async fn find_by_user_name(c: &mut Connection, user_name: &str) -> Result<Option<User>, Error> {
    todo!()
}

/// A page of users.
pub async fn page(
    c: &mut Connection,
    filter: &UserFilter,
    limit: i64,
    offset: i64,
) -> Result<Page<User>, Error> {
    todo!()
}

/// Those of the ids that exist, in ascending order.
pub async fn existing(c: &mut Connection, ids: &[UserId]) -> Result<Vec<UserId>, Error> {
    todo!()
}

/// How many humans are active Admins.
pub async fn active_human_admins(c: &mut Connection) -> Result<i64, Error> {
    todo!()
}

/// Replaces what can be changed.
pub async fn update(w: &mut Writer, id: UserId, update: &UserUpdate<'_>) -> Result<(), Error> {
    todo!()
}

/// Deactivates at an instant, or with `None` reactivates.
pub async fn set_deactivated(w: &mut Writer, id: UserId, at: Option<Timestamp>) -> Result<(), Error> {
    todo!()
}

/// What the index needs of these users, removed ones included, in the order of their ids.
pub async fn states(c: &mut Connection, ids: &[UserId]) -> Result<Vec<OwnerState>, Error> {
    todo!()
}

/// What the index needs of the next users after `after`, by id, at most `limit`, removed ones
/// included.
pub async fn states_after(c: &mut Connection, after: UserId, limit: i64) -> Result<Vec<OwnerState>, Error> {
    todo!()
}
