//! Teams and who is in them.

use std::collections::BTreeSet;

use tokenhouse_core::audit::Action;
use tokenhouse_core::id::{TeamId, UserId};
use tokenhouse_core::people::{self, Name, PUBLIC_TEAM};
use tokenhouse_store::teams::{self, Member, Team};
use tokenhouse_store::{Connection, Page, Writer, users};

use super::Changes;
use crate::app::App;
use crate::auth::guard::Call;
use crate::error::{Error, Fields};

/// The most characters in a description.
const DESCRIPTION_LIMIT: usize = 2_000;

/// What a team is to be, as typed; `None` stays as it is.
#[derive(Debug, Default)]
pub struct Wanted<'a> {
    /// Name, unique without regard to case.
    pub name: Option<&'a str>,
    /// Free text; empty removes it.
    pub description: Option<&'a str>,
    /// All members.
    pub members: Option<&'a [UserId]>,
}

/// Makes a team.
pub async fn create(app: &App, call: &Call, wanted: Wanted<'_>) -> Result<(Team, Vec<Member>), Error> {
    let mut fields = Fields::default();
    let name = fields.check("name", Name::parse(wanted.name.unwrap_or_default()));
    let description = fields.check("description", description(wanted.description));
    let mut writer = app.begin(call).await?;
    let members = known_members(&mut writer, &mut fields, wanted.members.unwrap_or_default()).await?;
    fields.finish()?;
    let (Some(name), Some(description)) = (name, description) else {
        return Err(Error::internal("a field was wrong, but not noted"));
    };
    let id = add(&mut writer, call, &name, description.as_deref(), &members, Changes::default()).await?;
    app.commit(writer).await?;
    one(app, id).await
}

/// Stores a new team with its record, which also has what else was `said` of it, in a transaction that goes
/// on.
pub(super) async fn add(
    writer: &mut Writer,
    call: &Call,
    name: &Name,
    description: Option<&str>,
    members: &[UserId],
    said: Changes,
) -> Result<TeamId, Error> {
    let id = teams::insert(writer, name, description).await?;
    teams::add_members(writer, id, members).await?;
    let changes = said.set("name", name.as_str()).note("description", None, description).note(
        "members",
        None,
        (!members.is_empty()).then_some(members),
    );
    writer.record(call.draft(Action::TeamCreated, id.0, name.as_str(), changes.0)).await?;
    Ok(id)
}

fn description(text: Option<&str>) -> Result<Option<String>, people::Invalid> {
    people::free_text(text.unwrap_or_default(), DESCRIPTION_LIMIT)
}

/// The members without doubles; an error at the field for those who don't exist.
async fn known_members(
    writer: &mut Writer,
    fields: &mut Fields,
    wanted: &[UserId],
) -> Result<Vec<UserId>, Error> {
    let wanted: BTreeSet<UserId> = wanted.iter().copied().collect();
    let members: Vec<UserId> = wanted.into_iter().collect();
    let existing: BTreeSet<UserId> = users::existing(writer, &members, None).await?.into_iter().collect();
    for unknown in members.iter().filter(|id| !existing.contains(id)) {
        fields.wrong("members", &format!("there is no user {unknown}"));
    }
    Ok(members)
}

pub(super) async fn existing(connection: &mut Connection, id: TeamId) -> Result<Team, Error> {
    teams::find(connection, id).await?.ok_or_else(|| Error::NotFound("there is no such team".into()))
}

/// One team with its members.
pub async fn one(app: &App, id: TeamId) -> Result<(Team, Vec<Member>), Error> {
    let mut reader = app.store.read().await?;
    let team = existing(&mut reader, id).await?;
    let members = teams::members(&mut reader, id).await?;
    Ok((team, members))
}

/// One team, without its members: there may be very many.
pub async fn alone(app: &App, id: TeamId) -> Result<Team, Error> {
    existing(&mut *app.store.read().await?, id).await
}

/// One team that can be changed.
///
/// # Errors
/// [`Error::Conflict`] for `Public`.
pub async fn changeable(app: &App, id: TeamId) -> Result<Team, Error> {
    let team = alone(app, id).await?;
    not_public(&team)?;
    Ok(team)
}

/// A page of teams by name.
pub async fn page(app: &App, window: (i64, i64)) -> Result<Page<Team>, Error> {
    let (limit, offset) = window;
    Ok(teams::page(&mut *app.store.read().await?, limit, offset).await?)
}

/// How many teams there are.
pub async fn count(app: &App) -> Result<i64, Error> {
    Ok(teams::count(&mut *app.store.read().await?).await?)
}

/// The names of the first teams, `Public` left out.
pub async fn names(app: &App, limit: i64) -> Result<Vec<String>, Error> {
    Ok(teams::names(&mut *app.store.read().await?, limit).await?)
}

/// Changes a team. Acts on its members' tokens at once.
pub async fn update(
    app: &App,
    call: &Call,
    id: TeamId,
    wanted: Wanted<'_>,
) -> Result<(Team, Vec<Member>), Error> {
    let mut writer = app.begin(call).await?;
    let before = existing(&mut writer, id).await?;
    not_public(&before)?;
    let mut fields = Fields::default();
    let name = wanted.name.and_then(|name| fields.check("name", Name::parse(name)));
    let description = match wanted.description {
        Some(text) => fields.check("description", description(Some(text))).unwrap_or_default(),
        None => before.description.clone(),
    };
    let members = match wanted.members {
        Some(members) => Some(known_members(&mut writer, &mut fields, members).await?),
        None => None,
    };
    fields.finish()?;
    let name = match name {
        Some(name) => name,
        None => Name::parse(&before.name).map_err(Error::internal)?,
    };
    let moved = match members {
        Some(members) => move_members(&mut writer, id, &members).await?,
        None => Moved::default(),
    };
    if change(&mut writer, call, &before, (&name, description), moved, Changes::default()).await? {
        app.commit(writer).await?;
    }
    one(app, id).await
}

/// Who left and who joined a team.
#[derive(Debug, Default)]
pub(super) struct Moved {
    pub(super) left: BTreeSet<UserId>,
    pub(super) joined: BTreeSet<UserId>,
}

/// Gives a team this name and description, with the record, which also has who moved and what else was
/// `said` of it, in a transaction that goes on. Answers whether anything changed at all.
pub(super) async fn change(
    writer: &mut Writer,
    call: &Call,
    before: &Team,
    (name, description): (&Name, Option<String>),
    moved: Moved,
    said: Changes,
) -> Result<bool, Error> {
    let named = Changes::default().note("name", before.name.as_str(), name.as_str()).note(
        "description",
        &before.description,
        &description,
    );
    if !named.is_empty() {
        teams::update(writer, before.id, name, description.as_deref()).await?;
    }
    let mut changes = said;
    changes.0.extend(named.0);
    let Moved { left, joined } = moved;
    // Only who left and who joined, not all who stayed: a team may have 10,000 members.
    if !left.is_empty() || !joined.is_empty() {
        changes.0.insert("members".into(), serde_json::json!([left, joined]));
    }
    let is_change = !changes.is_empty();
    if is_change {
        writer.record(call.draft(Action::TeamUpdated, before.id.0, name.as_str(), changes.0)).await?;
    }
    Ok(is_change)
}

/// Makes exactly these the members.
async fn move_members(writer: &mut Writer, id: TeamId, wanted: &[UserId]) -> Result<Moved, Error> {
    let present: BTreeSet<UserId> = teams::member_ids(writer, id).await?.into_iter().collect();
    let wanted: BTreeSet<UserId> = wanted.iter().copied().collect();
    let left: Vec<UserId> = present.difference(&wanted).copied().collect();
    let joined: Vec<UserId> = wanted.difference(&present).copied().collect();
    teams::remove_members(writer, id, &left).await?;
    teams::add_members(writer, id, &joined).await?;
    Ok(Moved { left: left.into_iter().collect(), joined: joined.into_iter().collect() })
}

/// Takes a user into a team; acts on their tokens at once. Idempotent.
pub async fn add_member(app: &App, call: &Call, id: TeamId, user: UserId) -> Result<(), Error> {
    let (mut writer, team, is_member) = membership(app, call, id, user).await?;
    if is_member {
        return Ok(());
    }
    teams::add_members(&mut writer, id, &[user]).await?;
    record_members(app, call, writer, &team, [&[], &[user]]).await
}

/// Takes a user out of a team; acts on their tokens at once. Idempotent.
pub async fn remove_member(app: &App, call: &Call, id: TeamId, user: UserId) -> Result<(), Error> {
    let (mut writer, team, is_member) = membership(app, call, id, user).await?;
    if !is_member {
        return Ok(());
    }
    teams::remove_members(&mut writer, id, &[user]).await?;
    record_members(app, call, writer, &team, [&[user], &[]]).await
}

/// A transaction in which a membership can be changed, and whether there is one.
async fn membership(app: &App, call: &Call, id: TeamId, user: UserId) -> Result<(Writer, Team, bool), Error> {
    let mut writer = app.begin(call).await?;
    let team = existing(&mut writer, id).await?;
    not_public(&team)?;
    let is_member = super::users::existing(&mut writer, user).await?.teams.contains(&team.name);
    Ok((writer, team, is_member))
}

/// Records who left and who joined.
async fn record_members(
    app: &App,
    call: &Call,
    mut writer: Writer,
    team: &Team,
    [left, joined]: [&[UserId]; 2],
) -> Result<(), Error> {
    let changes = Changes::default().note("members", left, joined);
    writer.record(call.draft(Action::TeamUpdated, team.id.0, &team.name, changes.0)).await?;
    app.commit(writer).await.map(drop)
}

/// Deletes a team. Its members lose it at once.
pub async fn delete(app: &App, call: &Call, id: TeamId) -> Result<(), Error> {
    let mut writer = app.begin(call).await?;
    let team = existing(&mut writer, id).await?;
    not_public(&team)?;
    remove(&mut writer, call, &team).await?;
    app.commit(writer).await.map(drop)
}

/// Deletes a team with its record, in a transaction that goes on.
pub(super) async fn remove(writer: &mut Writer, call: &Call, team: &Team) -> Result<(), Error> {
    let members = teams::member_ids(writer, team.id).await?;
    teams::delete(writer, team.id).await?;
    let changes = Changes::default().note("name", Some(team.name.as_str()), None).note(
        "members",
        (!members.is_empty()).then_some(members),
        None,
    );
    writer.record(call.draft(Action::TeamDeleted, team.id.0, &team.name, changes.0)).await?;
    Ok(())
}

fn not_public(team: &Team) -> Result<(), Error> {
    if team.id == teams::PUBLIC {
        return Err(Error::Conflict(format!(
            "everybody is in {PUBLIC_TEAM}: it can't be changed or deleted"
        )));
    }
    Ok(())
}
