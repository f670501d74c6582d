//! Teams and who is in them. Everybody is in `Public`, without a row that says so.

use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{TeamId, UserId};
use tokenhouse_core::people::{Name, fold};

use crate::sql::{self, BATCH, Statement};
use crate::{Connection, Error, Page, Writer};

/// Selects teams with the number of their members; ends after the `FROM`.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT t.id, t.name, t.description, t.created_at, CASE t.id \
             WHEN 1 THEN (SELECT count(*) FROM users WHERE removed_at IS NULL) \
             ELSE (SELECT count(*) FROM team_members m WHERE m.team_id = t.id) END AS member_count \
             FROM teams t ",
            $rest
        )
    };
}

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

impl FromRow<'_, AnyRow> for Team {
    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: TeamId(row.try_get("id")?),
            name: row.try_get("name")?,
            description: row.try_get("description")?,
            created_at: sql::time(row, "created_at")?,
            member_count: row.try_get("member_count")?,
        })
    }
}

/// One team.
pub async fn find(c: &mut Connection, id: TeamId) -> Result<Option<Team>, Error> {
    Ok(sqlx::query_as(select!("WHERE t.id = $1")).bind(id.0).fetch_optional(c).await?)
}

/// The teams with these names, case ignored, by id. Unknown names are left out.
pub async fn find_by_names(c: &mut Connection, names: &[&str]) -> Result<Vec<(TeamId, String)>, Error> {
    let mut teams = Vec::with_capacity(names.len());
    for batch in names.chunks(BATCH) {
        let mut statement = Statement::new("SELECT id, name FROM teams WHERE name_folded IN ");
        let folded: Vec<String> = batch.iter().map(|name| fold(name)).collect();
        statement.list(folded.iter().map(String::as_str));
        for row in statement.query().fetch_all(&mut *c).await? {
            let (id, name) = FromRow::from_row(&row)?;
            teams.push((TeamId(id), name));
        }
    }
    teams.sort_unstable();
    teams.dedup();
    Ok(teams)
}

/// A page of teams, `Public` first, then by name.
pub async fn page(c: &mut Connection, limit: i64, offset: i64) -> Result<Page<Team>, Error> {
    let total = count(c).await?;
    let teams = select!("ORDER BY CASE t.id WHEN 1 THEN 0 ELSE 1 END, t.name_folded LIMIT $1 OFFSET $2");
    let items = sqlx::query_as(teams).bind(limit).bind(offset).fetch_all(c).await?;
    Ok(Page { items, total })
}

/// How many teams there are.
pub async fn count(c: &mut Connection) -> Result<i64, Error> {
    Ok(sqlx::query_scalar("SELECT count(*) FROM teams").fetch_one(c).await?)
}

/// The names of the first teams, `Public` left out.
pub async fn names(c: &mut Connection, limit: i64) -> Result<Vec<String>, Error> {
    let names = sqlx::query_scalar("SELECT name FROM teams WHERE id <> 1 ORDER BY name_folded LIMIT $1");
    Ok(names.bind(limit).fetch_all(c).await?)
}

/// Who is in the team, by name, deactivated users included.
pub async fn members(c: &mut Connection, id: TeamId) -> Result<Vec<Member>, Error> {
    let rows: Vec<(i64, String, String)> = sqlx::query_as(
        "SELECT id, user_id, name FROM users WHERE removed_at IS NULL \
         AND ($1 = 1 OR id IN (SELECT user_id FROM team_members WHERE team_id = $1)) \
         ORDER BY name_folded, id",
    )
    .bind(id.0)
    .fetch_all(c)
    .await?;
    let member = |(id, user_id, name)| Member { id: UserId(id), user_id, name };
    Ok(rows.into_iter().map(member).collect())
}

/// The ids of those who are in the team, in ascending order, deactivated users included.
pub async fn member_ids(c: &mut Connection, id: TeamId) -> Result<Vec<UserId>, Error> {
    let ids: Vec<i64> = sqlx::query_scalar(
        "SELECT id FROM users WHERE removed_at IS NULL \
         AND ($1 = 1 OR id IN (SELECT user_id FROM team_members WHERE team_id = $1)) ORDER BY id",
    )
    .bind(id.0)
    .fetch_all(c)
    .await?;
    Ok(ids.into_iter().map(UserId).collect())
}

/// Stores a new team, made at the instant of the transaction. Name taken: [`Error::Conflict`].
pub async fn insert(w: &mut Writer, name: &Name, description: Option<&str>) -> Result<TeamId, Error> {
    let insertion = sqlx::query(
        "INSERT INTO teams (name, name_folded, description, created_at, changed_at) \
         VALUES ($1, $2, $3, $4, $4) RETURNING id",
    )
    .bind(name.as_str())
    .bind(fold(name.as_str()))
    .bind(description)
    .bind(w.now().micros());
    w.insert(insertion).await.map(TeamId)
}

/// Replaces name and description. Name taken: [`Error::Conflict`]. Not for `Public`.
pub async fn update(w: &mut Writer, id: TeamId, name: &Name, description: Option<&str>) -> Result<(), Error> {
    let now = w.now().micros();
    let update = sqlx::query(
        "UPDATE teams SET name = $2, name_folded = $3, description = $4, version = version + 1, changed_at = $5 \
         WHERE id = $1 AND id <> 1",
    )
    .bind(id.0)
    .bind(name.as_str())
    .bind(fold(name.as_str()))
    .bind(description)
    .bind(now);
    w.execute_one(update).await
}

/// Deletes the team with its memberships. Not for `Public`.
pub async fn delete(w: &mut Writer, id: TeamId) -> Result<(), Error> {
    w.execute_one(sqlx::query("DELETE FROM teams WHERE id = $1 AND id <> 1").bind(id.0)).await
}

/// Takes users in; those who are in it already stay. All of them must exist. Not for `Public`.
pub async fn add_members(w: &mut Writer, id: TeamId, users: &[UserId]) -> Result<(), Error> {
    let mut joined = 0;
    for batch in users.chunks(BATCH) {
        let mut statement = Statement::new("INSERT INTO team_members (team_id, user_id) VALUES ");
        for (position, user) in batch.iter().enumerate() {
            statement.text(if position == 0 { "" } else { ", " }).list([id.0, user.0]);
        }
        statement.text(" ON CONFLICT DO NOTHING");
        joined += w.execute(statement.query()).await?;
    }
    note_change(w, id, joined).await
}

/// Takes users out; those who aren't in it are passed over.
pub async fn remove_members(w: &mut Writer, id: TeamId, users: &[UserId]) -> Result<(), Error> {
    let mut left = 0;
    for batch in users.chunks(BATCH) {
        let mut statement = Statement::new("DELETE FROM team_members WHERE team_id = ");
        statement.value(id.0).text(" AND user_id IN ").list(batch.iter().map(|user| user.0));
        left += w.execute(statement.query()).await?;
    }
    note_change(w, id, left).await
}

/// Notes that so many members came or went.
async fn note_change(w: &mut Writer, id: TeamId, moved: u64) -> Result<(), Error> {
    if moved > 0 {
        let now = w.now().micros();
        let update = sqlx::query("UPDATE teams SET version = version + 1, changed_at = $2 WHERE id = $1");
        w.execute_one(update.bind(id.0).bind(now)).await?;
    }
    Ok(())
}

/// Puts a user into exactly these teams (and `Public`, where everybody is anyway).
pub async fn set_teams_of(w: &mut Writer, user: UserId, teams: &[TeamId]) -> Result<(), Error> {
    let present: Vec<i64> = sqlx::query_scalar("SELECT team_id FROM team_members WHERE user_id = $1")
        .bind(user.0)
        .fetch_all(&mut **w)
        .await?;
    for team in present.iter().map(|id| TeamId(*id)).filter(|id| !teams.contains(id)) {
        remove_members(w, team, &[user]).await?;
    }
    for team in teams.iter().filter(|id| **id != PUBLIC && !present.contains(&id.0)) {
        add_members(w, *team, &[user]).await?;
    }
    Ok(())
}

/// Gives `Public`, which the first migration made, its date.
pub(crate) async fn date_public(c: &mut Connection, now: Timestamp) -> Result<(), Error> {
    sqlx::query("UPDATE teams SET created_at = $1 WHERE id = 1").bind(now.micros()).execute(c).await?;
    Ok(())
}
