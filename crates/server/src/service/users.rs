//! People and service users: make, invite, change; in a room of their own: deactivate, reactivate, remove.

mod deactivation;

use tokenhouse_core::audit::Action;
use tokenhouse_core::id::{TeamId, UserId};
use tokenhouse_core::people::{self, Invalid, Name, Role, UserType};
use tokenhouse_core::policy::Permission;
use tokenhouse_store::users::{self, NewUser, User, UserFilter, UserUpdate};
use tokenhouse_store::{Connection, Page, Writer, invitations, teams};

pub use self::deactivation::{deactivate, reactivate};
pub(super) use self::deactivation::{keep_an_admin, remove, set_active};
use super::tokens::{self, FirstToken, Generated};
use super::{Changes, policies, require};
use crate::app::App;
use crate::auth::guard::Call;
use crate::error::{Error, Fields};

/// How long an invitation can be used, in days.
pub const INVITATION_DAYS: i64 = 7;

/// The most characters in a purpose.
const PURPOSE_LIMIT: usize = 2_000;

/// The most characters in an owner.
const OWNER_LIMIT: usize = 255;

/// What a new account is to be, as typed.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// Human or service.
    pub user_type: UserType,
    /// Display name.
    pub name: &'a str,
    /// E-mail address of a person.
    pub email: Option<&'a str>,
    /// Role.
    pub role: Role,
    /// Names of teams.
    pub teams: &'a [String],
    /// What a service user is for.
    pub purpose: Option<&'a str>,
    /// Who answers for a service user.
    pub owner: Option<&'a str>,
}

/// A new account and, for a person, the link by which they choose a password.
pub struct Created {
    /// The account.
    pub user: User,
    /// One-time link, for seven days.
    pub invite_url: Option<String>,
}

/// Makes a service user, or a person with a local account.
pub async fn create(app: &App, call: &Call, wanted: Wanted<'_>) -> Result<Created, Error> {
    let mut writer = app.begin(call).await?;
    let created = insert_and_invite(app, call, &mut writer, wanted).await?;
    app.commit(writer).await?;
    Ok(created)
}

/// Makes an account together with a token of its own, or neither.
pub async fn create_with_token(
    app: &App,
    call: &Call,
    wanted: Wanted<'_>,
    token: FirstToken<'_>,
) -> Result<(Created, Generated), Error> {
    let writer = app.begin(call).await?;
    create_with_token_in(app, call, writer, wanted, token, None).await
}

/// The same in a transaction that has begun, with the number of the form that asks for it.
pub(super) async fn create_with_token_in(
    app: &App,
    call: &Call,
    mut writer: Writer,
    wanted: Wanted<'_>,
    token: FirstToken<'_>,
    form: Option<&str>,
) -> Result<(Created, Generated), Error> {
    let created = insert_and_invite(app, call, &mut writer, wanted).await?;
    let owner = created.user.clone();
    let generated = tokens::generate_first(app, call, &mut writer, owner, token, form).await?;
    app.commit(writer).await?;
    Ok((created, generated))
}

/// Whether a service user could be made like this, as far as that can be told before it is made.
/// Changes nothing.
pub async fn rehearse(app: &App, call: &Call, wanted: Wanted<'_>) -> Result<User, Error> {
    let mut writer = app.begin(call).await?;
    insert(app, call, &mut writer, wanted, Fields::default()).await
}

async fn insert_and_invite(
    app: &App,
    call: &Call,
    writer: &mut Writer,
    wanted: Wanted<'_>,
) -> Result<Created, Error> {
    let user_type = wanted.user_type;
    let user = insert(app, call, writer, wanted, Fields::default()).await?;
    let invite_url = match user_type {
        UserType::Human => Some(invite(app, writer, user.id).await?),
        UserType::Service => None,
    };
    Ok(Created { user, invite_url })
}

/// Makes an account, in a transaction that goes on, unless a field is wrong already.
pub(super) async fn insert(
    app: &App,
    call: &Call,
    writer: &mut Writer,
    wanted: Wanted<'_>,
    mut fields: Fields,
) -> Result<User, Error> {
    let name = fields.check("name", Name::parse(wanted.name));
    let identity = match wanted.user_type {
        UserType::Service => service_identity(&mut fields, name.as_ref(), wanted.email),
        UserType::Human => human_identity(app, &mut fields, wanted.email)?,
    };
    let responsibility = responsibility(&mut fields, wanted.user_type, wanted.purpose, wanted.owner);
    if wanted.user_type == UserType::Service {
        is_answered_for(app, &mut fields, responsibility.as_ref());
    }
    let teams = known_teams(writer, &mut fields, wanted.teams).await?;
    fields.finish()?;
    let (Some(name), Some(identity), Some((purpose, owner))) = (name, identity, responsibility) else {
        return Err(Error::internal("a field was wrong, but not noted"));
    };
    let new = NewUser {
        user_id: &identity.user_id,
        user_name: &identity.user_name,
        email: &identity.email,
        name: &name,
        role: wanted.role,
        user_type: wanted.user_type,
        purpose: purpose.as_deref(),
        owner: owner.as_deref(),
        created_at: writer.now(),
        created_by: call.creator(),
    };
    add(writer, call, &new, &teams).await
}

/// Stores a new account with its record, in a transaction that goes on.
async fn add(writer: &mut Writer, call: &Call, new: &NewUser<'_>, teams: &[TeamId]) -> Result<User, Error> {
    let id = users::insert(writer, new).await?;
    teams::set_teams_of(writer, id, teams).await?;
    let user = existing(writer, id).await?;
    record_new(writer, call, &user, Changes::default()).await?;
    Ok(user)
}

/// Records a new account, with what else was `said` of it.
pub(super) async fn record_new(
    writer: &mut Writer,
    call: &Call,
    user: &User,
    said: Changes,
) -> Result<(), Error> {
    let changes = said
        .set("name", &user.name)
        .set("user_id", &user.user_id)
        .set("email", &user.email)
        .set("role", user.role)
        .set("user_type", user.user_type)
        .set("teams", &user.teams)
        .note("purpose", None, user.purpose.as_deref())
        .note("owner", None, user.owner.as_deref());
    writer.record(call.draft(Action::UserCreated, user.id.0, &user.name, changes.0)).await?;
    Ok(())
}

struct Identity {
    user_id: String,
    user_name: String,
    email: String,
}

fn service_identity(fields: &mut Fields, name: Option<&Name>, email: Option<&str>) -> Option<Identity> {
    if email.is_some() {
        fields.wrong("email", "a service user has no e-mail address");
    }
    let slug = fields.check("name", people::slug(name?))?;
    let user_id = people::service_user_id(&slug);
    Some(Identity { email: user_id.clone(), user_id, user_name: slug })
}

fn human_identity(app: &App, fields: &mut Fields, email: Option<&str>) -> Result<Option<Identity>, Error> {
    let required = || Err(Invalid("is required for a person".into()));
    let email = fields.check("email", email.map_or_else(required, people::email));
    let user_id = format!("local|{}", app.random.text::<12>()?);
    Ok(email.map(|email| Identity { user_id, user_name: email.clone(), email }))
}

/// Purpose and owner, which only service users have.
pub(super) fn responsibility(
    fields: &mut Fields,
    user_type: UserType,
    purpose: Option<&str>,
    owner: Option<&str>,
) -> Option<(Option<String>, Option<String>)> {
    let mut checked = |field, text: Option<&str>, limit| match text {
        None => Some(None),
        Some(_) if user_type == UserType::Human => {
            fields.wrong(field, "only a service user has one");
            None
        }
        Some(text) => fields.check(field, people::free_text(text, limit)),
    };
    let purpose = checked("purpose", purpose, PURPOSE_LIMIT);
    let owner = checked("owner", owner, OWNER_LIMIT);
    Some((purpose?, owner?))
}

/// Checks that a service user has a purpose and an owner, where policy asks for both.
pub(super) fn is_answered_for(
    app: &App,
    fields: &mut Fields,
    responsibility: Option<&(Option<String>, Option<String>)>,
) {
    let Some((purpose, owner)) = responsibility else { return };
    if !policies::in_force(app).require_purpose_and_owner {
        return;
    }
    for (field, text) in [("purpose", purpose), ("owner", owner)] {
        if text.as_deref().is_none_or(str::is_empty) {
            fields.wrong(field, "is required by policy: say what it is for and who answers for it");
        }
    }
}

/// The ids of the named teams, without `Public`, which everybody is in anyway.
pub(super) async fn known_teams(
    writer: &mut Writer,
    fields: &mut Fields,
    names: &[String],
) -> Result<Vec<TeamId>, Error> {
    // What can't be a name isn't looked for.
    let names: Vec<Option<Name>> = names.iter().map(|name| Name::parse(name).ok()).collect();
    let wanted: Vec<&str> = names.iter().flatten().map(Name::as_str).collect();
    let found = teams::find_by_names(writer, &wanted).await?;
    let is_known =
        |name: &Name| found.iter().any(|(_, known)| people::fold(known) == people::fold(name.as_str()));
    for (position, name) in (1..).zip(&names) {
        if !name.as_ref().is_some_and(is_known) {
            // Not repeated: it may be a secret in the wrong place.
            fields.wrong("teams", &format!("number {position} of them is not the name of a team"));
        }
    }
    Ok(found.into_iter().map(|(id, _)| id).filter(|id| *id != teams::PUBLIC).collect())
}

async fn invite(app: &App, writer: &mut Writer, user: UserId) -> Result<String, Error> {
    let code = app.random.text::<32>()?;
    let expires_at = writer.now().plus_days(INVITATION_DAYS);
    invitations::insert(writer, user, &app.master.code_hash(&code), expires_at).await?;
    Ok(format!("{}/invite/{code}", app.config.server.public_url))
}

/// Whether a link to choose a password can be made for this account.
pub fn may_be_invited(user: &User) -> Result<(), Error> {
    if user.user_type == UserType::Service {
        return Err(Error::Conflict("a service user has no password".into()));
    }
    if user.deleted_at.is_some() {
        return Err(Error::Conflict("this person is deactivated; reactivate them first".into()));
    }
    Ok(())
}

/// A new one-time link for a person to choose a password, if they lost theirs or the link. Links from
/// before are dead. The present password works until the new link is used; then all sessions end.
pub async fn invite_again(app: &App, call: &Call, id: UserId) -> Result<String, Error> {
    call.needs(Permission::ManagePeople)?;
    let mut writer = app.begin(call).await?;
    let user = existing(&mut writer, id).await?;
    may_be_invited(&user)?;
    invitations::use_up(&mut writer, id).await?;
    let url = invite(app, &mut writer, id).await?;
    writer.record(call.draft(Action::UserInvited, id.0, &user.name, Changes::default().0)).await?;
    app.commit(writer).await?;
    Ok(url)
}

pub(super) async fn existing(connection: &mut Connection, id: UserId) -> Result<User, Error> {
    users::find(connection, id).await?.ok_or_else(|| Error::NotFound("there is no such user".into()))
}

/// One account that the caller may see.
pub async fn one(app: &App, call: &Call, id: UserId) -> Result<User, Error> {
    let forbidden = "only Managers and Admins see other people";
    require(call.caller.access_profile(id), forbidden, forbidden)?;
    existing(&mut *app.store.read().await?, id).await
}

/// A page of accounts.
pub async fn page(app: &App, filter: &UserFilter, window: (i64, i64)) -> Result<Page<User>, Error> {
    let (limit, offset) = window;
    Ok(users::page(&mut *app.store.read().await?, filter, limit, offset).await?)
}

/// How many accounts there are.
pub async fn count(app: &App, filter: &UserFilter) -> Result<i64, Error> {
    Ok(users::count(&mut *app.store.read().await?, filter).await?)
}

/// What is to change of an account; `None` stays.
#[derive(Debug, Default)]
pub struct Update<'a> {
    /// Display name.
    pub name: Option<&'a str>,
    /// Role.
    pub role: Option<Role>,
    /// Names of all teams.
    pub teams: Option<&'a [String]>,
    /// What a service user is for; empty removes it.
    pub purpose: Option<&'a str>,
    /// Who answers for a service user; empty removes it.
    pub owner: Option<&'a str>,
}

/// Changes an account. Acts on all its tokens at once.
pub async fn update(app: &App, call: &Call, id: UserId, update: Update<'_>) -> Result<User, Error> {
    let mut writer = app.begin(call).await?;
    let before = existing(&mut writer, id).await?;
    let mut fields = Fields::default();
    let name = update.name.and_then(|name| fields.check("name", Name::parse(name)));
    let responsibility = responsibility(&mut fields, before.user_type, update.purpose, update.owner);
    let teams = match update.teams {
        Some(names) => Some(known_teams(&mut writer, &mut fields, names).await?),
        None => None,
    };
    if before.user_type == UserType::Service && responsibility.is_some() {
        let after = |change: Option<&str>, before: &Option<String>| {
            change.map_or_else(|| before.clone(), |change| Some(change.trim().to_owned()))
        };
        let after = (after(update.purpose, &before.purpose), after(update.owner, &before.owner));
        let before = (before.purpose.clone(), before.owner.clone());
        // What was so before policy asked for more may stay until somebody touches it.
        if after != before {
            is_answered_for(app, &mut fields, Some(&after));
        }
    }
    fields.finish()?;
    let (purpose, owner) = responsibility.unwrap_or_default();
    let name = match name {
        Some(name) => name,
        None => Name::parse(&before.name).map_err(Error::internal)?,
    };
    let wanted = UserUpdate {
        user_name: &before.user_name,
        email: &before.email,
        name: &name,
        role: update.role.unwrap_or(before.role),
        purpose: if update.purpose.is_some() { purpose.as_deref() } else { before.purpose.as_deref() },
        owner: if update.owner.is_some() { owner.as_deref() } else { before.owner.as_deref() },
    };
    let (after, changed) =
        change(&mut writer, call, &before, &wanted, teams.as_deref(), Changes::default()).await?;
    if changed {
        app.commit(writer).await?;
    }
    Ok(after)
}

/// Changes an account with its record, which also has what else was `said` of it, in a transaction that goes
/// on. Answers the account, and whether anything changed at all.
pub(super) async fn change(
    writer: &mut Writer,
    call: &Call,
    before: &User,
    wanted: &UserUpdate<'_>,
    teams: Option<&[TeamId]>,
    said: Changes,
) -> Result<(User, bool), Error> {
    if wanted.role < Role::Admin {
        keep_an_admin(writer, before).await?;
    }
    users::update(writer, before.id, wanted).await?;
    if let Some(teams) = teams {
        teams::set_teams_of(writer, before.id, teams).await?;
    }
    let after = existing(writer, before.id).await?;
    let changes = said
        .note("user_name", &before.user_name, &after.user_name)
        .note("email", &before.email, &after.email)
        .note("name", &before.name, &after.name)
        .note("role", before.role, after.role)
        .note("teams", &before.teams, &after.teams)
        .note("purpose", &before.purpose, &after.purpose)
        .note("owner", &before.owner, &after.owner);
    let is_change = !changes.is_empty();
    if is_change {
        writer.record(call.draft(Action::UserUpdated, after.id.0, &after.name, changes.0)).await?;
    }
    Ok((after, is_change))
}
