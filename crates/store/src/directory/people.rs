//! People as a directory knows them: humans who are not removed.

use std::collections::HashMap;

use sqlx::{FromRow as _, Row as _};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{TeamId, UserId};
use tokenhouse_core::people::{Role, UserType, fold};

use super::{Condition, Sort, Source, search};
use crate::sql::{self, BATCH, Statement};
use crate::users::{COLUMNS, NewUser, User};
use crate::{Connection, Error, Page, Writer, users};

/// The users whom a directory may see.
pub(super) const SOURCE: Source = Source {
    table: "users",
    visible: "r.removed_at IS NULL AND r.user_type = 'Human'",
    walked: "+r.removed_at IS NULL AND r.user_type = 'Human'",
};

/// One value of an attribute.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attribute {
    /// Its name in lower case, such as `name` or `emails`.
    pub attribute: String,
    /// Which of several, from 0.
    pub position: i64,
    /// The part of a complex value in lower case, such as `givenname`; empty of a simple one.
    pub part: String,
    /// The value as text.
    pub text: String,
}

impl Attribute {
    /// One of several values.
    pub fn value_of(attribute: &str, position: i64, text: &str) -> Self {
        let (attribute, part) = (attribute.to_owned(), "value".to_owned());
        Self { attribute, position, part, text: text.to_owned() }
    }
}

/// A person as a directory knows them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Person {
    /// The account.
    pub user: User,
    /// The teams, by name, without `Public`.
    pub groups: Vec<(TeamId, String)>,
    /// What the directory calls them.
    pub external_id: Option<String>,
    /// What it said of them beyond our own columns, as JSON; `None` if it never said anything.
    pub document: Option<String>,
    /// Grows with every change.
    pub version: i64,
    /// When they were changed last.
    pub changed_at: Timestamp,
}

/// The ids of a page of people.
pub async fn search_people(
    c: &mut Connection,
    condition: &Condition,
    sort: &Sort,
    window: (i64, i64),
) -> Result<Page<UserId>, Error> {
    let page = search(c, SOURCE, condition, sort, window).await?;
    Ok(Page { items: page.items.into_iter().map(UserId).collect(), total: page.total })
}

/// The people with these ids, in the order of the ids. Whoever isn't visible is left out.
pub async fn people(c: &mut Connection, ids: &[UserId]) -> Result<Vec<Person>, Error> {
    let mut people = Vec::with_capacity(ids.len());
    for batch in ids.chunks(BATCH) {
        // By number only: with another condition SQLite takes an index that names nearly everybody.
        let mut statement = Statement::new(&format!(
            "SELECT {COLUMNS}, removed_at, external_id, document, version, changed_at FROM users WHERE id IN "
        ));
        statement.list(batch.iter().map(|id| id.0));
        let mut found = HashMap::with_capacity(batch.len());
        let mut groups = groups_of(c, batch).await?;
        for row in statement.query().fetch_all(&mut *c).await? {
            let mut user = User::from_row(&row)?;
            if user.user_type != UserType::Human || sql::optional_time(&row, "removed_at")?.is_some() {
                continue;
            }
            let groups = groups.remove(&user.id).unwrap_or_default();
            user.teams.extend(groups.iter().map(|(_, name)| name.clone()));
            let person = Person {
                groups,
                external_id: row.try_get("external_id")?,
                document: row.try_get("document")?,
                version: row.try_get("version")?,
                changed_at: sql::time(&row, "changed_at")?,
                user,
            };
            found.insert(person.user.id, person);
        }
        people.extend(batch.iter().filter_map(|id| found.remove(id)));
    }
    Ok(people)
}

async fn groups_of(
    c: &mut Connection,
    users: &[UserId],
) -> Result<HashMap<UserId, Vec<(TeamId, String)>>, Error> {
    let mut statement = Statement::new(
        "SELECT m.user_id, t.id, t.name FROM team_members m JOIN teams t ON t.id = m.team_id WHERE m.user_id IN ",
    );
    statement.list(users.iter().map(|id| id.0)).text(" ORDER BY t.name_folded");
    let mut groups: HashMap<_, Vec<_>> = HashMap::new();
    for row in statement.query().fetch_all(c).await? {
        let (user, team, name): (i64, i64, String) = sqlx::FromRow::from_row(&row)?;
        groups.entry(UserId(user)).or_default().push((TeamId(team), name));
    }
    Ok(groups)
}

/// Stores a new person of whom a directory says this. User name or `user_id` taken: [`Error::Conflict`].
pub async fn insert(
    w: &mut Writer,
    new: &NewUser<'_>,
    external_id: Option<&str>,
    document: &str,
    attributes: &[Attribute],
) -> Result<Person, Error> {
    let id = users::insert_row(w, new, external_id, Some(document)).await?;
    insert_attributes(w, id, attributes).await?;
    Ok(Person {
        user: User::of_new(id, new),
        groups: Vec::new(),
        external_id: external_id.map(str::to_owned),
        document: Some(document.to_owned()),
        version: 1,
        changed_at: new.created_at,
    })
}

/// Replaces everything that a directory said of a person beyond our own columns.
pub async fn replace(
    w: &mut Writer,
    user: UserId,
    external_id: Option<&str>,
    document: &str,
    attributes: &[Attribute],
) -> Result<(), Error> {
    let now = w.now().micros();
    let update = sqlx::query(
        "UPDATE users SET external_id = $2, document = $3, version = version + 1, changed_at = $4 \
         WHERE id = $1 AND removed_at IS NULL",
    );
    w.execute_one(update.bind(user.0).bind(external_id).bind(document).bind(now)).await?;
    w.execute(sqlx::query("DELETE FROM attributes WHERE user_id = $1").bind(user.0)).await?;
    insert_attributes(w, user, attributes).await
}

/// Notes what a directory finds a new person by, before it has said anything of them itself.
pub(crate) async fn know(w: &mut Writer, user: UserId, email: &str, role: Role) -> Result<(), Error> {
    insert_attributes(
        w,
        user,
        &[Attribute::value_of("emails", 0, email), Attribute::value_of("roles", 0, role.as_str())],
    )
    .await
}

/// Adds values that can be searched by.
async fn insert_attributes(w: &mut Writer, user: UserId, attributes: &[Attribute]) -> Result<(), Error> {
    for batch in attributes.chunks(BATCH / 6) {
        let mut statement = Statement::new(
            "INSERT INTO attributes (user_id, attribute, position, part, text, folded) VALUES ",
        );
        for (number, Attribute { attribute, position, part, text }) in batch.iter().enumerate() {
            statement.text(if number == 0 { "(" } else { ", (" }).value(user.0).text(", ");
            statement.value(attribute.as_str()).text(", ").value(*position).text(", ");
            statement.value(part.as_str()).text(", ").value(text.as_str()).text(", ");
            statement.value(fold(text).as_str()).text(")");
        }
        w.execute(statement.query()).await?;
    }
    Ok(())
}

/// Removes a person for good: their user name is free, and what the directory said of them is gone.
/// Number, name and tokens stay for the audit trail.
pub async fn remove(w: &mut Writer, user: UserId) -> Result<(), Error> {
    let now = w.now().micros();
    let update = sqlx::query(
        "UPDATE users SET removed_at = $2, deleted_at = coalesce(deleted_at, $2), external_id = NULL, \
         document = NULL, password_hash = NULL, version = version + 1, changed_at = $2 \
         WHERE id = $1 AND removed_at IS NULL",
    );
    w.execute_one(update.bind(user.0).bind(now)).await?;
    w.execute(sqlx::query("DELETE FROM attributes WHERE user_id = $1").bind(user.0)).await?;
    Ok(())
}
