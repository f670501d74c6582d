//! Users, human and service. A removed user is absent for all but the index.

mod states;

use std::collections::HashMap;

use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{TeamId, UserId};
use tokenhouse_core::people::{Name, PUBLIC_TEAM, Role, UserType, fold};

use crate::directory;
use crate::sql::{self, BATCH, Statement};
use crate::successors::RotationPlan;
use crate::{Connection, Error, Page, Writer};

pub use states::{states, states_after};

pub(crate) const COLUMNS: &str = "id, user_id, user_name, email, name, role, user_type, purpose, owner, created_at, \
    created_by, deleted_at, last_login, rotation_responsible, rotation_days_before";

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
    /// Who rotates the tokens of a service user, and when.
    pub plan: Option<RotationPlan>,
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
    /// Part of the display name, the user name or the address, likewise.
    pub part: Option<String>,
    /// With this role.
    pub role: Option<Role>,
    /// In the team with this name, case ignored.
    pub team: Option<String>,
    /// Not in this team.
    pub outside: Option<TeamId>,
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
    /// What a person signs in with, or the slug.
    pub user_name: &'a str,
    /// E-mail address; of a service user its `user_id`.
    pub email: &'a str,
    /// Display name.
    pub name: &'a Name,
    /// Role.
    pub role: Role,
    /// What a service user is for.
    pub purpose: Option<&'a str>,
    /// Who answers for a service user.
    pub owner: Option<&'a str>,
}

impl User {
    /// A user as just stored, who is in no team but `Public`.
    pub(crate) fn of_new(id: UserId, new: &NewUser<'_>) -> Self {
        Self {
            id,
            user_id: new.user_id.to_owned(),
            user_name: new.user_name.to_owned(),
            email: new.email.to_owned(),
            name: new.name.to_string(),
            role: new.role,
            user_type: new.user_type,
            teams: vec![PUBLIC_TEAM.to_owned()],
            purpose: new.purpose.map(str::to_owned),
            owner: new.owner.map(str::to_owned),
            created_at: new.created_at,
            created_by: new.created_by,
            deleted_at: None,
            last_login: None,
            plan: None,
        }
    }
}

impl UserSort {
    /// What to sort by, the same on both databases also where nothing is stored.
    const fn expression(self) -> &'static str {
        match self {
            Self::Name => "name_folded",
            Self::Created => "created_at",
            Self::Role => "CASE role WHEN 'Admin' THEN 2 WHEN 'Manager' THEN 1 ELSE 0 END",
            Self::LastLogin => "coalesce(last_login, -1)",
        }
    }
}

impl UserFilter {
    /// Adds from where users are taken and which.
    fn narrow(&self, statement: &mut Statement) {
        match self.team.as_deref().map(fold).filter(|team| *team != fold(PUBLIC_TEAM)) {
            Some(team) => {
                // CROSS JOIN: SQLite keeps to this order, and looks at nobody but the members.
                statement.text(" FROM team_members m CROSS JOIN users WHERE id = m.user_id AND m.team_id = ");
                statement.text("(SELECT t.id FROM teams t WHERE t.name_folded = ").value(team.as_str());
                statement.text(") AND removed_at IS NULL");
            }
            None => {
                statement.text(" FROM users WHERE removed_at IS NULL");
            }
        }
        match self.user_type {
            // A word in the text, not a value: service users by name have an index of their own.
            Some(UserType::Service) => statement.text(" AND user_type = 'Service'"),
            Some(UserType::Human) => statement.text(" AND user_type = 'Human'"),
            None => statement,
        };
        if let Some(part) = &self.name_part {
            statement.text(" AND ").containing(part, &["name_folded"]);
        }
        if let Some(part) = &self.part {
            statement.text(" AND ").containing(part, &["name_folded", "user_name_folded", "email_folded"]);
        }
        if let Some(role) = self.role {
            statement.text(" AND role = ").value(role.as_str());
        }
        if let Some(team) = self.outside {
            statement.text(" AND id NOT IN (SELECT user_id FROM team_members WHERE team_id = ").value(team.0);
            statement.text(")");
        }
        if !self.include_deleted {
            statement.text(" AND deleted_at IS NULL");
        }
    }
}

impl FromRow<'_, AnyRow> for User {
    /// All but the teams, for which there is `Public` only.
    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: UserId(row.try_get("id")?),
            user_id: row.try_get("user_id")?,
            user_name: row.try_get("user_name")?,
            email: row.try_get("email")?,
            name: row.try_get("name")?,
            role: sql::word(row, "role")?,
            user_type: sql::word(row, "user_type")?,
            teams: vec![PUBLIC_TEAM.to_owned()],
            purpose: row.try_get("purpose")?,
            owner: row.try_get("owner")?,
            created_at: sql::time(row, "created_at")?,
            created_by: row.try_get::<Option<i64>, _>("created_by")?.map(UserId),
            deleted_at: sql::optional_time(row, "deleted_at")?,
            last_login: sql::optional_time(row, "last_login")?,
            plan: RotationPlan::of_row(row)?,
        })
    }
}

/// Selects memberships with the names of the teams; ends within a `WHERE`.
const MEMBERSHIPS: &str = "SELECT m.user_id, t.name, t.name_folded FROM team_members m \
    JOIN teams t ON t.id = m.team_id WHERE m.user_id ";

/// Names of the teams of users by user, in order, without `Public`.
async fn teams_of(c: &mut Connection, memberships: Statement) -> Result<HashMap<UserId, Vec<String>>, Error> {
    let mut rows: Vec<(UserId, String, String)> =
        sql::read_many(c, "user_id, name, name_folded", memberships).await?;
    rows.sort_unstable_by(|a, b| a.2.cmp(&b.2));
    let mut teams: HashMap<_, Vec<_>> = HashMap::new();
    for (user, team, _) in rows {
        teams.entry(user).or_default().push(team);
    }
    Ok(teams)
}

/// Reads the users that a statement selects, with their teams.
async fn read(c: &mut Connection, statement: Statement) -> Result<Vec<User>, Error> {
    let rows = statement.query().fetch_all(&mut *c).await?;
    let mut users = rows.iter().map(User::from_row).collect::<Result<Vec<_>, _>>()?;
    for batch in users.chunks_mut(BATCH) {
        let mut memberships = Statement::new(MEMBERSHIPS);
        memberships.text("IN ").list(batch.iter().map(|user| user.id.0));
        let mut teams = teams_of(c, memberships).await?;
        for user in batch {
            user.teams.append(&mut teams.remove(&user.id).unwrap_or_default());
        }
    }
    Ok(users)
}

/// Stores a new user. User name or `user_id` taken: [`Error::Conflict`].
pub async fn insert(w: &mut Writer, new: &NewUser<'_>) -> Result<UserId, Error> {
    let id = insert_row(w, new, None, None).await?;
    if new.user_type == UserType::Human {
        directory::know(w, id, new.email, new.role).await?;
    }
    Ok(id)
}

/// Stores the row of a new user, with what a directory says of them.
pub(crate) async fn insert_row(
    w: &mut Writer,
    new: &NewUser<'_>,
    external_id: Option<&str>,
    document: Option<&str>,
) -> Result<UserId, Error> {
    let insertion = sqlx::query(
        "INSERT INTO users (user_id, user_name, user_name_folded, email, email_folded, name, name_folded, \
             role, user_type, purpose, owner, created_at, created_by, changed_at, external_id, document) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $12, $14, $15) RETURNING id",
    )
    .bind(new.user_id)
    .bind(new.user_name)
    .bind(fold(new.user_name))
    .bind(new.email)
    .bind(fold(new.email))
    .bind(new.name.as_str())
    .bind(fold(new.name.as_str()))
    .bind(new.role.as_str())
    .bind(new.user_type.as_str())
    .bind(new.purpose)
    .bind(new.owner)
    .bind(new.created_at.micros())
    .bind(new.created_by.map(|id| id.0))
    .bind(external_id)
    .bind(document);
    w.insert(insertion).await.map(UserId)
}

/// One user.
pub async fn find(c: &mut Connection, id: UserId) -> Result<Option<User>, Error> {
    let mut statement = Statement::new(&format!("SELECT {COLUMNS} FROM users WHERE removed_at IS NULL"));
    statement.text(" AND id = ").value(id.0);
    Ok(read(c, statement).await?.pop())
}

/// Those of the ids that exist.
pub async fn find_many(c: &mut Connection, ids: &[UserId]) -> Result<Vec<User>, Error> {
    let mut found = Vec::with_capacity(ids.len());
    for batch in ids.chunks(BATCH) {
        let mut statement = Statement::new(&format!("SELECT {COLUMNS} FROM users WHERE removed_at IS NULL"));
        statement.text(" AND id IN ").list(batch.iter().map(|id| id.0));
        found.extend(read(c, statement).await?);
    }
    Ok(found)
}

/// The user with this user name, case ignored.
pub async fn find_by_user_name(c: &mut Connection, user_name: &str) -> Result<Option<User>, Error> {
    let mut statement = Statement::new(&format!("SELECT {COLUMNS} FROM users WHERE removed_at IS NULL"));
    statement.text(" AND user_name_folded = ").value(fold(user_name).as_str());
    Ok(read(c, statement).await?.pop())
}

/// A page of users.
pub async fn page(
    c: &mut Connection,
    filter: &UserFilter,
    limit: i64,
    offset: i64,
) -> Result<Page<User>, Error> {
    let total = count(c, filter).await?;
    let direction = if filter.descending { "DESC" } else { "ASC" };
    let order = format!(" ORDER BY {} {direction}, id {direction}", filter.sort.expression());
    // Only the page's users are read, none of those before or after it.
    let mut statement = Statement::new(&format!("SELECT {COLUMNS} FROM users WHERE id IN (SELECT id"));
    filter.narrow(&mut statement);
    statement.text(&order).text(" LIMIT ").value(limit).text(" OFFSET ").value(offset);
    statement.text(")").text(&order);
    Ok(Page { items: read(c, statement).await?, total })
}

/// How many users there are.
pub async fn count(c: &mut Connection, filter: &UserFilter) -> Result<i64, Error> {
    let mut statement = Statement::new("SELECT count(*)");
    filter.narrow(&mut statement);
    Ok(statement.query().fetch_one(c).await?.try_get(0)?)
}

/// Those of the ids that exist, or exist and are of this type, in ascending order.
pub async fn existing(
    c: &mut Connection,
    ids: &[UserId],
    only: Option<UserType>,
) -> Result<Vec<UserId>, Error> {
    let mut existing = Vec::with_capacity(ids.len());
    for batch in ids.chunks(BATCH) {
        // By number only: with another condition SQLite takes an index that names nearly everybody.
        let mut statement = Statement::new("SELECT id, user_type, removed_at FROM users WHERE id IN ");
        statement.list(batch.iter().map(|id| id.0));
        for row in statement.query().fetch_all(&mut *c).await? {
            let user_type: UserType = sql::word(&row, "user_type")?;
            let removed_at = sql::optional_time(&row, "removed_at")?;
            if removed_at.is_none() && only.is_none_or(|only| only == user_type) {
                existing.push(UserId(row.try_get("id")?));
            }
        }
    }
    existing.sort_unstable();
    existing.dedup();
    Ok(existing)
}

/// How many humans are active Admins.
pub async fn active_human_admins(c: &mut Connection) -> Result<i64, Error> {
    let count = sqlx::query_scalar(
        "SELECT count(*) FROM users WHERE user_type = 'Human' AND role = 'Admin' \
         AND deleted_at IS NULL AND removed_at IS NULL",
    );
    Ok(count.fetch_one(c).await?)
}

/// Whether there is or ever was a human Admin: the last one can't be demoted.
pub async fn has_human_admin(c: &mut Connection) -> Result<bool, Error> {
    let count: i64 =
        sqlx::query_scalar("SELECT count(*) FROM users WHERE user_type = 'Human' AND role = 'Admin'")
            .fetch_one(c)
            .await?;
    Ok(count > 0)
}

/// Replaces what can be changed. User name taken: [`Error::Conflict`].
pub async fn update(w: &mut Writer, id: UserId, update: &UserUpdate<'_>) -> Result<(), Error> {
    let now = w.now().micros();
    let columns = sqlx::query(
        "UPDATE users SET name = $2, name_folded = $3, role = $4, purpose = $5, owner = $6, user_name = $7, \
         user_name_folded = $8, email = $9, email_folded = $10, version = version + 1, changed_at = $11 \
         WHERE id = $1 AND removed_at IS NULL",
    )
    .bind(id.0)
    .bind(update.name.as_str())
    .bind(fold(update.name.as_str()))
    .bind(update.role.as_str())
    .bind(update.purpose)
    .bind(update.owner)
    .bind(update.user_name)
    .bind(fold(update.user_name))
    .bind(update.email)
    .bind(fold(update.email))
    .bind(now);
    w.execute_one(columns).await?;
    // What a directory finds them by. It may have said other roles, too, which grant nothing.
    let role = sqlx::query(
        "UPDATE attributes SET text = $2, folded = $3 WHERE user_id = $1 AND attribute = 'roles' \
         AND part = 'value' AND folded IN ('member', 'manager', 'admin')",
    );
    w.execute(role.bind(id.0).bind(update.role.as_str()).bind(fold(update.role.as_str()))).await?;
    Ok(())
}

/// Settles who rotates the tokens of a service user, or that nobody does.
pub async fn set_plan(w: &mut Writer, id: UserId, plan: Option<&RotationPlan>) -> Result<(), Error> {
    let update = "UPDATE users SET rotation_responsible = $2, rotation_days_before = $3 WHERE id = $1";
    let query = sqlx::query(update).bind(id.0).bind(plan.map(|plan| plan.responsible.clone()));
    w.execute_one(query.bind(plan.map(|plan| plan.days_before))).await
}

/// Deactivates at an instant, or with `None` reactivates.
pub async fn set_deactivated(w: &mut Writer, id: UserId, at: Option<Timestamp>) -> Result<(), Error> {
    let now = w.now().micros();
    let update = sqlx::query(
        "UPDATE users SET deleted_at = $2, version = version + 1, changed_at = $3 \
         WHERE id = $1 AND removed_at IS NULL",
    );
    w.execute_one(update.bind(id.0).bind(at.map(Timestamp::micros)).bind(now)).await
}
