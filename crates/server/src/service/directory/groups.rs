//! What a directory does to teams. It sees the people in them only: service users stay where they are.

use std::collections::BTreeSet;

use tokenhouse_core::id::{TeamId, UserId};
use tokenhouse_core::people::{Name, UserType};
use tokenhouse_store::directory::{self, Condition, Group, Sort};
use tokenhouse_store::teams as stored;
use tokenhouse_store::{Connection, Page, Writer, users};

use super::Seen;
use crate::app::App;
use crate::auth::guard::Call;
use crate::error::{Error, ScimType};
use crate::service::Changes;
use crate::service::teams::{self, Moved};

/// A step in which the members of a team change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MemberChange {
    /// These come; all of them must exist.
    Add(Vec<UserId>),
    /// These go; those who are not in it are passed over.
    Remove(Vec<UserId>),
    /// These are in it, and no others; all of them must exist.
    Replace(Vec<UserId>),
}

/// What is to change of a team; `None` stays.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Its name.
    pub name: Option<Name>,
    /// What the directory calls it.
    pub external_id: Option<Option<String>>,
    /// Who comes and goes, step after step.
    pub members: Vec<MemberChange>,
}

/// One team, with or without its members.
pub async fn group(app: &App, id: TeamId, with_members: bool) -> Result<Group, Error> {
    existing(&mut *app.store.read().await?, id, with_members).await
}

async fn existing(connection: &mut Connection, id: TeamId, with_members: bool) -> Result<Group, Error> {
    let found = directory::groups(connection, &[id], with_members).await?.pop();
    found.ok_or_else(|| Error::NotFound("there is no such group".into()))
}

/// A page of teams, with or without their members.
pub async fn search(
    app: &App,
    condition: &Condition,
    sort: &Sort,
    window: (i64, i64),
    with_members: bool,
) -> Result<Page<Group>, Error> {
    let mut reader = app.store.read().await?;
    let page = directory::search_groups(&mut reader, condition, sort, window).await?;
    let items = directory::groups(&mut reader, &page.items, with_members).await?;
    Ok(Page { items, total: page.total })
}

/// Makes a team, which needs a name.
pub async fn create(app: &App, call: &Call, wanted: &Wanted, with_members: bool) -> Result<Group, Error> {
    let Some(name) = &wanted.name else { return Err(Error::internal("a team without a name")) };
    let external_id = wanted.external_id.as_ref().and_then(Option::as_deref);
    let mut writer = app.begin(call).await?;
    let mut members = Vec::new();
    for step in &wanted.members {
        if let MemberChange::Add(users) | MemberChange::Replace(users) = step {
            members.extend(known(&mut writer, users).await?);
        }
    }
    let said = Changes::default().note("external_id", None, external_id);
    let id = teams::add(&mut writer, call, name, None, &members, said).await?;
    if external_id.is_some() {
        directory::set_external_id(&mut writer, id, external_id).await?;
    }
    let group = existing(&mut writer, id, with_members).await?;
    app.commit(writer).await?;
    Ok(group)
}

/// Changes a team. Members who neither come nor go are not touched. What changes nothing writes nothing.
pub async fn change(
    app: &App,
    call: &Call,
    id: TeamId,
    seen: &Seen,
    wanted: &Wanted,
    with_members: bool,
) -> Result<Group, Error> {
    let mut writer = app.begin(call).await?;
    let before = existing(&mut writer, id, false).await?;
    seen.check(before.version)?;
    let team = teams::existing(&mut writer, id).await?;
    let mut said = Changes::default();
    if let Some(external_id) = &wanted.external_id {
        said = said.note("external_id", &before.external_id, external_id);
        if !said.is_empty() {
            directory::set_external_id(&mut writer, id, external_id.as_deref()).await?;
        }
    }
    let mut moved = Moved::default();
    for step in &wanted.members {
        take(&mut writer, id, step, &mut moved).await?;
    }
    let name = match &wanted.name {
        Some(name) => name.clone(),
        None => Name::parse(&team.name).map_err(Error::internal)?,
    };
    let description = team.description.clone();
    let changed = teams::change(&mut writer, call, &team, (&name, description), moved, said).await?;
    let after = existing(&mut writer, id, with_members).await?;
    if !changed {
        // A member who came and went at once leaves a new version behind, which nobody has seen.
        return Ok(Group { version: before.version, changed_at: before.changed_at, ..after });
    }
    app.commit(writer).await?;
    Ok(after)
}

/// Takes one step, and notes in `moved` what all steps so far amount to.
async fn take(writer: &mut Writer, id: TeamId, step: &MemberChange, moved: &mut Moved) -> Result<(), Error> {
    let (leaving, coming) = match step {
        MemberChange::Add(users) => {
            let wanted = known(writer, users).await?;
            let among: Vec<UserId> = wanted.iter().copied().collect();
            let present = present(writer, id, Some(&among)).await?;
            (BTreeSet::new(), wanted.difference(&present).copied().collect())
        }
        MemberChange::Remove(users) => (present(writer, id, Some(users)).await?, BTreeSet::new()),
        MemberChange::Replace(users) => {
            let wanted = known(writer, users).await?;
            let present = present(writer, id, None).await?;
            (present.difference(&wanted).copied().collect(), wanted.difference(&present).copied().collect())
        }
    };
    stored::remove_members(writer, id, &list(&leaving)).await?;
    stored::add_members(writer, id, &list(&coming)).await?;
    for user in leaving {
        if !moved.joined.remove(&user) {
            moved.left.insert(user);
        }
    }
    for user in coming {
        if !moved.left.remove(&user) {
            moved.joined.insert(user);
        }
    }
    Ok(())
}

fn list(users: &BTreeSet<UserId>) -> Vec<UserId> {
    users.iter().copied().collect()
}

async fn present(
    connection: &mut Connection,
    id: TeamId,
    among: Option<&[UserId]>,
) -> Result<BTreeSet<UserId>, Error> {
    Ok(directory::member_ids(connection, id, among).await?.into_iter().collect())
}

/// These people without doubles; an error if one of them isn't there for a directory.
async fn known(connection: &mut Connection, users: &[UserId]) -> Result<BTreeSet<UserId>, Error> {
    let wanted: BTreeSet<UserId> = users.iter().copied().collect();
    let existing = users::existing(connection, &list(&wanted), Some(UserType::Human)).await?;
    match wanted.iter().find(|id| existing.binary_search(id).is_err()) {
        None => Ok(wanted),
        Some(_) => Err(unknown_member()),
    }
}

/// A member who isn't there. Their id is not repeated.
pub fn unknown_member() -> Error {
    Error::Scim(ScimType::InvalidValue, "one of the members does not exist".into())
}

/// Deletes a team. Its members lose it at once.
pub async fn delete(app: &App, call: &Call, id: TeamId, seen: &Seen) -> Result<(), Error> {
    let mut writer = app.begin(call).await?;
    let group = existing(&mut writer, id, false).await?;
    seen.check(group.version)?;
    let team = teams::existing(&mut writer, id).await?;
    teams::remove(&mut writer, call, &team).await?;
    app.commit(writer).await.map(drop)
}
