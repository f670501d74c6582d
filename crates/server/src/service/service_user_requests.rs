//! Service users that people ask for: an Admin approves or declines, and nothing exists before.

use tokenhouse_core::audit::Action;
use tokenhouse_core::id::ServiceUserRequestId;
use tokenhouse_core::people::{self, Name, PUBLIC_TEAM, Role, UserType};
use tokenhouse_core::policy::Permission;
use tokenhouse_store::service_user_requests::{
    self as stored, NewRequest, RequestFilter, ServiceUserRequest, State,
};
use tokenhouse_store::users::{User, active_human_admins};
use tokenhouse_store::{Connection, Page, Writer};

use super::Changes;
use super::users::{self, known_teams};
use crate::app::App;
use crate::auth::guard::Call;
use crate::error::{Error, Fields};

/// The most requests of one person that nobody has decided on.
const MOST_OPEN: i64 = 20;

/// The most teams in a request.
const MOST_TEAMS: usize = 100;

/// The most characters in a comment.
const COMMENT_LIMIT: usize = 2_000;

/// What is asked for, as typed.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// Display name.
    pub name: &'a str,
    /// Role.
    pub role: Role,
    /// Names of teams.
    pub teams: &'a [String],
    /// What it is for.
    pub purpose: &'a str,
    /// Who answers for it.
    pub owner: Option<&'a str>,
}

/// What an Admin says to a request, and makes different from what was asked for.
#[derive(Debug, Default)]
pub struct Approval<'a> {
    /// What is told to whoever asked.
    pub comment: Option<&'a str>,
    /// Another role.
    pub role: Option<Role>,
    /// Names of other teams.
    pub teams: Option<&'a [String]>,
}

/// Asks for a service user.
pub async fn ask(app: &App, call: &Call, wanted: Wanted<'_>) -> Result<ServiceUserRequest, Error> {
    may_ask(call)?;
    let mut writer = app.begin(call).await?;
    let mut fields = Fields::default();
    let name = fields.check("name", Name::parse(wanted.name));
    let slug = name.as_ref().and_then(|name| fields.check("name", people::slug(name)));
    let (purpose, owner) = (Some(wanted.purpose), wanted.owner);
    let responsibility = users::responsibility(&mut fields, UserType::Service, purpose, owner);
    if wanted.purpose.trim().is_empty() {
        fields.wrong("purpose", "must say what it is for");
    } else {
        users::is_answered_for(app, &mut fields, responsibility.as_ref());
    }
    let teams = named_teams(&mut writer, call, &mut fields, wanted.teams).await?;
    fields.finish()?;
    let (Some(name), Some(_), Some((Some(purpose), owner))) = (name, slug, responsibility) else {
        return Err(Error::internal("a field was wrong, but not noted"));
    };
    let own = RequestFilter { asker: Some(call.caller.id), state: Some(State::Open) };
    if stored::count(&mut writer, own).await? >= MOST_OPEN {
        let many =
            format!("{MOST_OPEN} of your requests are still open; withdraw one, or wait for an answer");
        return Err(Error::Conflict(many));
    }
    let (asker, role) = (call.caller.id, wanted.role);
    let (purpose, owner) = (purpose.as_str(), owner.as_deref());
    let new = NewRequest { asker, name: &name, role, teams: &teams, purpose, owner };
    let id = stored::insert(&mut writer, &new).await?;
    let changes = Changes::default()
        .set("name", name.as_str())
        .set("role", role)
        .set("teams", &teams)
        .set("purpose", purpose)
        .note("owner", None, owner);
    writer.record(call.draft(Action::RequestMade, id.0, name.as_str(), changes.0)).await?;
    let made = existing(&mut writer, id).await?;
    app.commit(writer).await?;
    Ok(made)
}

/// Whether the caller asks for service users. Admins make them.
pub fn may_ask(call: &Call) -> Result<(), Error> {
    if call.caller.user_type == UserType::Service {
        return Err(Error::Forbidden("only people ask for service users".into()));
    }
    if call.caller.has(Permission::ManagePeople) {
        return Err(Error::Forbidden("Admins need not ask: make the service user".into()));
    }
    Ok(())
}

/// The names of teams, without `Public`. Whether they exist is told only those who see teams; for all others it is
/// found out when an Admin decides.
async fn named_teams(
    writer: &mut Writer,
    call: &Call,
    fields: &mut Fields,
    teams: &[String],
) -> Result<Vec<String>, Error> {
    if teams.len() > MOST_TEAMS {
        fields.wrong("teams", &format!("must be at most {MOST_TEAMS}"));
        return Ok(Vec::new());
    }
    if call.caller.has(Permission::SeePeople) {
        known_teams(writer, fields, teams).await?;
    }
    let mut names: Vec<String> = Vec::new();
    for name in teams.iter().filter_map(|team| fields.check("teams", Name::parse(team))) {
        let is_there = |other: &String| people::fold(other) == people::fold(name.as_str());
        if people::fold(name.as_str()) != people::fold(PUBLIC_TEAM) && !names.iter().any(is_there) {
            names.push(name.as_str().to_owned());
        }
    }
    Ok(names)
}

/// Makes the service user that was asked for.
pub async fn approve(
    app: &App,
    call: &Call,
    id: ServiceUserRequestId,
    approval: Approval<'_>,
) -> Result<(ServiceUserRequest, User), Error> {
    call.needs(Permission::ManagePeople)?;
    let mut writer = app.begin(call).await?;
    let request = open(&mut writer, id).await?;
    if request.asker.id == call.caller.id && active_human_admins(&mut writer).await? > 1 {
        return Err(Error::Forbidden("another Admin has to decide on what you asked for".into()));
    }
    let mut fields = Fields::default();
    let comment = comment(&mut fields, approval.comment.unwrap_or_default());
    let wanted = users::Wanted {
        user_type: UserType::Service,
        name: &request.name,
        email: None,
        role: approval.role.unwrap_or(request.role),
        teams: approval.teams.unwrap_or(&request.teams),
        purpose: Some(&request.purpose),
        owner: request.owner.as_deref(),
    };
    let user = users::insert(app, call, &mut writer, wanted, fields).await?;
    let (state, said) = (State::Approved, comment.as_deref());
    stored::decide(&mut writer, id, state, call.creator(), said, Some(user.id)).await?;
    let changes = decided(state, said).set("user_id", &user.user_id).note("role", request.role, user.role);
    writer.record(call.draft(Action::RequestApproved, id.0, &request.name, changes.0)).await?;
    let request = existing(&mut writer, id).await?;
    app.commit(writer).await?;
    Ok((request, user))
}

/// Declines a request, and says why.
pub async fn decline(
    app: &App,
    call: &Call,
    id: ServiceUserRequestId,
    why: &str,
) -> Result<ServiceUserRequest, Error> {
    call.needs(Permission::ManagePeople)?;
    let mut fields = Fields::default();
    let said = comment(&mut fields, why);
    if why.trim().is_empty() {
        fields.wrong("comment", "must say why");
    }
    fields.finish()?;
    close(app, call, id, (State::Declined, Action::RequestDeclined), said.as_deref()).await
}

/// Takes one's own request back.
pub async fn withdraw(app: &App, call: &Call, id: ServiceUserRequestId) -> Result<ServiceUserRequest, Error> {
    let request = one(app, call, id).await?;
    if request.asker.id != call.caller.id {
        return Err(Error::Forbidden("only whoever asked takes a request back; decline it instead".into()));
    }
    close(app, call, id, (State::Withdrawn, Action::RequestWithdrawn), None).await
}

async fn close(
    app: &App,
    call: &Call,
    id: ServiceUserRequestId,
    (state, action): (State, Action),
    comment: Option<&str>,
) -> Result<ServiceUserRequest, Error> {
    let mut writer = app.begin(call).await?;
    let request = open(&mut writer, id).await?;
    stored::decide(&mut writer, id, state, call.creator(), comment, None).await?;
    writer.record(call.draft(action, id.0, &request.name, decided(state, comment).0)).await?;
    let request = existing(&mut writer, id).await?;
    app.commit(writer).await?;
    Ok(request)
}

fn decided(state: State, comment: Option<&str>) -> Changes {
    Changes::default().note("state", State::Open.as_str(), state.as_str()).note("comment", None, comment)
}

/// What is said to a request; empty is nothing.
fn comment(fields: &mut Fields, text: &str) -> Option<String> {
    fields.check("comment", people::free_text(text, COMMENT_LIMIT)).flatten()
}

/// Requests of the caller, or everybody's for Admins.
pub async fn page(
    app: &App,
    call: &Call,
    state: Option<State>,
    (limit, offset): (i64, i64),
) -> Result<Page<ServiceUserRequest>, Error> {
    Ok(stored::page(&mut *app.store.read().await?, visible(call, state), limit, offset).await?)
}

/// How many of those nobody has decided on.
pub async fn count_open(app: &App, call: &Call) -> Result<i64, Error> {
    Ok(stored::count(&mut *app.store.read().await?, visible(call, Some(State::Open))).await?)
}

fn visible(call: &Call, state: Option<State>) -> RequestFilter {
    let sees_all = call.caller.has(Permission::ManagePeople);
    RequestFilter { asker: (!sees_all).then_some(call.caller.id), state }
}

/// One of them.
pub async fn one(app: &App, call: &Call, id: ServiceUserRequestId) -> Result<ServiceUserRequest, Error> {
    let found = existing(&mut *app.store.read().await?, id).await?;
    let may_know = visible(call, None).asker.is_none_or(|asker| asker == found.asker.id);
    if may_know { Ok(found) } else { Err(unknown()) }
}

async fn existing(
    connection: &mut Connection,
    id: ServiceUserRequestId,
) -> Result<ServiceUserRequest, Error> {
    stored::find(connection, id).await?.ok_or_else(unknown)
}

fn unknown() -> Error {
    Error::NotFound("there is no such request".into())
}

/// One that can still be decided on.
async fn open(writer: &mut Writer, id: ServiceUserRequestId) -> Result<ServiceUserRequest, Error> {
    let request = existing(writer, id).await?;
    match request.state {
        State::Open => Ok(request),
        other => Err(Error::Conflict(format!("this request was {} before", other.as_str()))),
    }
}
