//! What the index needs of users, removed ones included.

use tokenhouse_core::id::UserId;
use tokenhouse_core::index::OwnerState;
use tokenhouse_core::people::{PUBLIC_TEAM, Role, UserType};

use super::{MEMBERSHIPS, teams_of};
use crate::sql::{self, BATCH, Statement};
use crate::{Connection, Error};

/// What the index needs of a user; ends within a `WHERE`.
const INDEXED: &str = "SELECT id, user_id, user_name, email, name, role, user_type, deleted_at, removed_at \
    FROM users WHERE ";

/// Reads what the index needs of the users that a statement selects, with these memberships.
async fn read_states(
    c: &mut Connection,
    users: Statement,
    memberships: Statement,
) -> Result<Vec<OwnerState>, Error> {
    type Row = (UserId, String, String, String, String, Role, UserType, Option<i64>, Option<i64>);
    let columns = "id, user_id, user_name, email, name, role, user_type, deleted_at, removed_at";
    let rows: Vec<Row> = sql::read_many(c, columns, users).await?;
    let mut teams = teams_of(c, memberships).await?;
    let state = |(id, user_id, user_name, email, name, role, user_type, deleted_at, removed_at): Row| {
        let mut all = vec![PUBLIC_TEAM.to_owned()];
        all.append(&mut teams.remove(&id).unwrap_or_default());
        let active = deleted_at.is_none() && removed_at.is_none();
        OwnerState { id, user_id, user_name, email, name, role, user_type, teams: all, active }
    };
    Ok(rows.into_iter().map(state).collect())
}

/// What the index needs of these users, removed ones included. Unknown ids are left out.
pub async fn states(c: &mut Connection, ids: &[UserId]) -> Result<Vec<OwnerState>, Error> {
    let mut states = Vec::with_capacity(ids.len());
    for batch in ids.chunks(BATCH) {
        let (mut users, mut memberships) = (Statement::new(INDEXED), Statement::new(MEMBERSHIPS));
        users.text("id IN ").list(batch.iter().map(|id| id.0));
        memberships.text("IN ").list(batch.iter().map(|id| id.0));
        states.extend(read_states(c, users, memberships).await?);
    }
    Ok(states)
}

/// What the index needs of the next users after `after`, by id, at most `limit`, removed ones
/// included.
pub async fn states_after(c: &mut Connection, after: UserId, limit: i64) -> Result<Vec<OwnerState>, Error> {
    let (mut users, mut memberships) = (Statement::new(INDEXED), Statement::new(MEMBERSHIPS));
    users.text("id > ").value(after.0).text(" ORDER BY id LIMIT ").value(limit);
    memberships.text("IN (SELECT id FROM users WHERE id > ").value(after.0);
    memberships.text(" ORDER BY id LIMIT ").value(limit).text(")");
    let mut states = read_states(c, users, memberships).await?;
    states.sort_unstable_by_key(|state| state.id);
    Ok(states)
}
