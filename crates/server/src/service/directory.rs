//! What a directory (SCIM) does to people: each request is one transaction, with the rules and records that
//! the rest of the product has for the same change. Teams are in a room of their own.

pub mod groups;

use serde_json::{Map, Value};
use tokenhouse_core::id::UserId;
use tokenhouse_core::people::{Name, Role, UserType, fold};
use tokenhouse_store::directory::{self, Attribute, Condition, Person, Sort};
use tokenhouse_store::users::{NewUser, UserUpdate};
use tokenhouse_store::{Connection, Page};

use super::{Changes, users};
use crate::app::App;
use crate::auth::guard::Call;
use crate::error::Error;

/// What is known of a person beyond our own columns, by name.
pub type Document = Map<String, Value>;

/// What a person is to be.
#[derive(Debug)]
pub struct Wanted {
    /// What they sign in with.
    pub user_name: Name,
    /// E-mail address, or what stands for it.
    pub email: String,
    /// Display name.
    pub name: Name,
    /// Role; `None` leaves it as it is.
    pub role: Option<Role>,
    /// Whether they may act; `None` leaves it as it is.
    pub active: Option<bool>,
    /// What the directory calls them.
    pub external_id: Option<String>,
    /// Everything else.
    pub document: Document,
    /// The same, to be searched by.
    pub attributes: Vec<Attribute>,
}

/// Which version a client has seen of what it wants to change or delete.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Seen {
    /// Any.
    #[default]
    Any,
    /// One of these.
    Versions(Vec<i64>),
}

impl Seen {
    /// Whether the present version is one that the client has seen.
    pub fn check(&self, version: i64) -> Result<(), Error> {
        match self {
            Self::Any => Ok(()),
            Self::Versions(versions) if versions.contains(&version) => Ok(()),
            Self::Versions(_) => Err(Error::PreconditionFailed),
        }
    }
}

/// One person.
pub async fn person(app: &App, id: UserId) -> Result<Person, Error> {
    existing(&mut *app.store.read().await?, id).await
}

async fn existing(connection: &mut Connection, id: UserId) -> Result<Person, Error> {
    let found = directory::people(connection, &[id]).await?.pop();
    found.ok_or_else(|| Error::NotFound("there is no such person".into()))
}

/// A page of people.
pub async fn search(
    app: &App,
    condition: &Condition,
    sort: &Sort,
    window: (i64, i64),
) -> Result<Page<Person>, Error> {
    let mut reader = app.store.read().await?;
    let page = directory::search_people(&mut reader, condition, sort, window).await?;
    Ok(Page { items: directory::people(&mut reader, &page.items).await?, total: page.total })
}

/// Makes an account for a person. They have no password until somebody invites them.
pub async fn create(app: &App, call: &Call, wanted: &Wanted) -> Result<Person, Error> {
    let mut writer = app.begin(call).await?;
    let new = NewUser {
        user_id: &format!("local|{}", app.random.text::<12>()?),
        user_name: wanted.user_name.as_str(),
        email: &wanted.email,
        name: &wanted.name,
        role: wanted.role.unwrap_or(Role::Member),
        user_type: UserType::Human,
        purpose: None,
        owner: None,
        created_at: writer.now(),
        created_by: call.creator(),
    };
    let (document, attributes) = kept(wanted, new.role)?;
    let external_id = wanted.external_id.as_deref();
    let mut person = directory::insert(&mut writer, &new, external_id, &document, &attributes).await?;
    let said = said((None, &Document::new()), wanted);
    users::record_new(&mut writer, call, &person.user, said).await?;
    if wanted.active == Some(false) {
        users::set_active(&mut writer, call, &person.user, false).await?;
        person = existing(&mut writer, person.user.id).await?;
    }
    app.commit(writer).await?;
    Ok(person)
}

/// Changes a person. `change` is told what they are, in the transaction, and answers what was known of them
/// and what they are to be. What changes nothing writes nothing.
pub async fn change(
    app: &App,
    call: &Call,
    id: UserId,
    seen: &Seen,
    change: impl FnOnce(&Person) -> Result<(Document, Wanted), Error>,
) -> Result<Person, Error> {
    let mut writer = app.begin(call).await?;
    let before = existing(&mut writer, id).await?;
    seen.check(before.version)?;
    let (document, wanted) = change(&before)?;
    let said = said((before.external_id.as_deref(), &document), &wanted);
    let says_more = !said.is_empty();
    let update = UserUpdate {
        user_name: wanted.user_name.as_str(),
        email: &wanted.email,
        name: &wanted.name,
        role: wanted.role.unwrap_or(before.user.role),
        purpose: None,
        owner: None,
    };
    let (after, mut changed) = users::change(&mut writer, call, &before.user, &update, None, said).await?;
    if says_more {
        let (document, attributes) = kept(&wanted, after.role)?;
        let external_id = wanted.external_id.as_deref();
        directory::replace(&mut writer, id, external_id, &document, &attributes).await?;
    }
    if let Some(active) = wanted.active {
        changed |= users::set_active(&mut writer, call, &after, active).await?;
    }
    if !changed {
        return Ok(before);
    }
    let after = existing(&mut writer, id).await?;
    app.commit(writer).await?;
    Ok(after)
}

/// Removes a person for good and revokes all their tokens.
pub async fn delete(app: &App, call: &Call, id: UserId, seen: &Seen) -> Result<(), Error> {
    let mut writer = app.begin(call).await?;
    let person = existing(&mut writer, id).await?;
    seen.check(person.version)?;
    users::remove(&mut writer, call, &person.user).await?;
    app.commit(writer).await.map(drop)
}

/// What is kept of a person beyond our columns: as JSON, and to be searched by.
fn kept(wanted: &Wanted, role: Role) -> Result<(String, Vec<Attribute>), Error> {
    let document = serde_json::to_string(&wanted.document).map_err(Error::internal)?;
    let mut attributes = wanted.attributes.clone();
    let mut said = attributes.iter().filter(|one| one.attribute == "roles" && one.part == "value");
    if !said.any(|said| fold(&said.text) == fold(role.as_str())) {
        let position = attributes.iter().filter(|one| one.attribute == "roles").map(|one| one.position + 1);
        attributes.push(Attribute::value_of("roles", position.max().unwrap_or(0), role.as_str()));
    }
    Ok((document, attributes))
}

/// What is said of a person that wasn't before, for the audit record.
fn said((external_id, document): (Option<&str>, &Document), wanted: &Wanted) -> Changes {
    let changes = Changes::default().note("external_id", external_id, wanted.external_id.as_deref());
    let names: std::collections::BTreeSet<&String> = document.keys().chain(wanted.document.keys()).collect();
    names.into_iter().fold(changes, |changes, name| {
        // The name as a whole has its own place in records.
        let place = if name == "name" { "name_parts" } else { name };
        changes.note(place, document.get(name), wanted.document.get(name))
    })
}
