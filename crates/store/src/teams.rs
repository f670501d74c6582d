//! Teams and who is in them. Everybody is in `Public`, without a row that says so.

use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{TeamId, UserId};
use tokenhouse_core::people::Name;

use crate::{Connection, Error, Page, Writer};

/// The team everybody is in.
pub const PUBLIC: TeamId = TeamId(1);

/// A team as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Team {
    /// Its number.
    pub id: TeamId,
    /// Its name.
    pub name: String,
    /// What it is about.
    pub description: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// How many users are in it.
    pub member_count: i64,
}

/// A user in a team.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// The account.
    pub id: UserId,
    /// `local|…`, `<provider>|…` or `<slug>@service`.
    pub user_id: String,
    /// Display name.
    pub name: String,
}

/// One team.
pub async fn find(c: &mut Connection, id: TeamId) -> Result<Option<Team>, Error> {
    todo!()
}

/// The teams with these names, case ignored, by id. Unknown names are left out.
pub async fn find_by_names(c: &mut Connection, names: &[&str]) -> Result<Vec<(TeamId, String)>, Error> {
    todo!()
}

/// A page of teams, `Public` first, then by name.
pub async fn page(c: &mut Connection, limit: i64, offset: i64) -> Result<Page<Team>, Error> {
    todo!()
}

/// Who is in the team, by name, deactivated users included.
pub async fn members(c: &mut Connection, id: TeamId) -> Result<Vec<Member>, Error> {
    todo!()
}

/// The ids of those who are in the team, in ascending order, deactivated users included.
pub async fn member_ids(c: &mut Connection, id: TeamId) -> Result<Vec<UserId>, Error> {
    todo!()
}

/// Stores a new team. Name taken: [`Error::Conflict`].
pub async fn insert(w: &mut Writer, name: &Name, description: Option<&str>) -> Result<TeamId, Error> {
    todo!()
}

/// Replaces name and description.
pub async fn update(w: &mut Writer, id: TeamId, name: &Name, description: Option<&str>) -> Result<(), Error> {
    todo!()
}

/// Deletes the team with its memberships.
pub async fn delete(w: &mut Writer, id: TeamId) -> Result<(), Error> {
    todo!()
}

/// Takes users in; those who are in it already stay. All of them must exist.
pub async fn add_members(w: &mut Writer, id: TeamId, users: &[UserId]) -> Result<(), Error> {
    todo!()
}

/// Takes users out; those who aren't in it are passed over.
pub async fn remove_members(w: &mut Writer, id: TeamId, users: &[UserId]) -> Result<(), Error> {
    todo!()
}

/// Puts a user into exactly these teams (and `Public`).
pub async fn set_teams_of(w: &mut Writer, user: UserId, teams: &[TeamId]) -> Result<(), Error> {
    todo!()
}
