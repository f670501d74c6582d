//! Teams as a directory knows them: all but `Public`, with the people in them and without service users.

use std::collections::HashMap;

use sqlx::Row as _;
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{TeamId, UserId};

use super::{Condition, Sort, Source, search};
use crate::sql::{self, BATCH, Statement};
use crate::{Connection, Error, Page, Writer};

/// The teams that a directory may see.
const SOURCE: Source = Source { table: "teams", visible: "r.id <> 1", walked: "r.id <> 1" };

/// A team as a directory knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group {
    /// Its number.
    pub id: TeamId,
    /// Its name.
    pub name: String,
    /// What the directory calls it.
    pub external_id: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub changed_at: Timestamp,
    /// Grows with every change.
    pub version: i64,
    /// The people in it, in ascending order; empty where they were not asked for.
    pub members: Vec<UserId>,
}

/// The ids of a page of teams.
pub async fn search_groups(
    c: &mut Connection,
    condition: &Condition,
    sort: &Sort,
    window: (i64, i64),
) -> Result<Page<TeamId>, Error> {
    let page = search(c, SOURCE, condition, sort, window).await?;
    Ok(Page { items: page.items.into_iter().map(TeamId).collect(), total: page.total })
}

/// The teams with these ids, in the order of the ids. Unknown ids and `Public` are left out.
pub async fn groups(c: &mut Connection, ids: &[TeamId], with_members: bool) -> Result<Vec<Group>, Error> {
    let mut groups = Vec::with_capacity(ids.len());
    for batch in ids.chunks(BATCH) {
        let mut statement = Statement::new(
            "SELECT id, name, external_id, created_at, changed_at, version FROM teams WHERE id <> 1 AND id IN ",
        );
        statement.list(batch.iter().map(|id| id.0));
        let mut members = if with_members { members_of(c, batch).await? } else { HashMap::new() };
        let mut found = HashMap::with_capacity(batch.len());
        for row in statement.query().fetch_all(&mut *c).await? {
            let id = TeamId(row.try_get("id")?);
            let group = Group {
                id,
                name: row.try_get("name")?,
                external_id: row.try_get("external_id")?,
                created_at: sql::time(&row, "created_at")?,
                changed_at: sql::time(&row, "changed_at")?,
                version: row.try_get("version")?,
                members: members.remove(&id).unwrap_or_default(),
            };
            found.insert(id, group);
        }
        groups.extend(batch.iter().filter_map(|id| found.remove(id)));
    }
    Ok(groups)
}

async fn members_of(c: &mut Connection, teams: &[TeamId]) -> Result<HashMap<TeamId, Vec<UserId>>, Error> {
    let mut statement = Statement::new(
        "SELECT m.team_id, u.id FROM team_members m CROSS JOIN users u \
         WHERE u.id = m.user_id AND u.user_type = 'Human' AND u.removed_at IS NULL AND m.team_id IN ",
    );
    statement.list(teams.iter().map(|id| id.0));
    let mut rows: Vec<(TeamId, UserId)> = sql::read_many(c, "team_id, id", statement).await?;
    rows.sort_unstable();
    let mut members: HashMap<_, Vec<_>> = HashMap::new();
    for (team, user) in rows {
        members.entry(team).or_default().push(user);
    }
    Ok(members)
}

/// The ids of the people in a team, in ascending order, or of those of `among` who are in it.
pub async fn member_ids(
    c: &mut Connection,
    team: TeamId,
    among: Option<&[UserId]>,
) -> Result<Vec<UserId>, Error> {
    let batches: Vec<_> = among.map_or_else(|| vec![None], |users| users.chunks(BATCH).map(Some).collect());
    let mut members = Vec::new();
    for batch in batches {
        let mut statement = Statement::new(
            "SELECT u.id FROM team_members m CROSS JOIN users u \
             WHERE u.id = m.user_id AND u.user_type = 'Human' AND u.removed_at IS NULL AND m.team_id = ",
        );
        statement.value(team.0);
        if let Some(batch) = batch {
            statement.text(" AND m.user_id IN ").list(batch.iter().map(|id| id.0));
        }
        for row in statement.query().fetch_all(&mut *c).await? {
            members.push(UserId(row.try_get(0)?));
        }
    }
    members.sort_unstable();
    members.dedup();
    Ok(members)
}

/// Replaces what the directory calls a team. Not for `Public`.
pub async fn set_external_id(w: &mut Writer, team: TeamId, external_id: Option<&str>) -> Result<(), Error> {
    let now = w.now().micros();
    let update = sqlx::query(
        "UPDATE teams SET external_id = $2, version = version + 1, changed_at = $3 WHERE id = $1 AND id <> 1",
    );
    w.execute_one(update.bind(team.0).bind(external_id).bind(now)).await
}
