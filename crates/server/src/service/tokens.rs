//! The life of a token: generate, revoke, restore, delete; and in rooms of their own: rotate, forms, and what
//! is shown.

pub mod closing;
pub mod forms;
pub mod plans;
pub mod rotation;
pub mod views;

use std::sync::Arc;

use tokenhouse_core::audit::Action;
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::codec::OwnerClaims;
use tokenhouse_core::id::{TokenId, UserId};
use tokenhouse_core::people::{Name, UserType};
use tokenhouse_core::policy::{Access, Permission};
use tokenhouse_core::token::{Lifetime, Plaintext, Status, TokenKind};
use tokenhouse_store::tokens::{self, NewToken, Owner, Token};
use tokenhouse_store::{Connection, Writer, due, lineage, successors, users};

use super::{Changes, policies, require};
use crate::app::App;
use crate::auth::guard::{Call, Credential, Origin};
use crate::error::{Error, Fields};
use crate::fleet::fence::Receipt;

/// A token that has just been made, with the secret that is shown once.
#[derive(Debug)]
pub struct Generated {
    /// The token.
    pub token: Token,
    /// The secret.
    pub bearer_token: Plaintext,
}

/// What a new token is to be.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// Its name, as typed.
    pub name: &'a str,
    /// Its lifetime; `None` is never.
    pub expires_in_days: Option<i64>,
    /// For the SCIM endpoints only.
    pub scim_endpoints_only: bool,
    /// The service user it is for; `None` is the caller.
    pub user_id: Option<UserId>,
}

/// Makes a personal token of the caller, or a service token.
pub async fn generate(app: &App, call: &Call, wanted: Wanted<'_>) -> Result<Generated, Error> {
    may_generate(call, &wanted)?;
    let writer = app.begin(call).await?;
    generate_in(app, call, writer, wanted, None).await
}

/// The same in a transaction that has begun, with the number of the form that asks for it.
pub(super) async fn generate_in(
    app: &App,
    call: &Call,
    mut writer: Writer,
    wanted: Wanted<'_>,
    form: Option<&str>,
) -> Result<Generated, Error> {
    let mut fields = Fields::default();
    let name = fields.check("name", Name::parse(wanted.name));
    let kind = if wanted.user_id.is_some() { TokenKind::Service } else { TokenKind::Personal };
    let lifetimes = policies::in_force(app).lifetimes(kind);
    let lifetime = fields.check("expires_in_days", lifetimes.check(wanted.expires_in_days));
    let owner = owner_of_new(app, &mut writer, call, wanted.user_id, &mut fields).await?;
    fields.finish()?;
    let (Some(name), Some(lifetime), Some(owner)) = (name, lifetime, owner) else {
        return Err(Error::internal("a field was wrong, but not noted"));
    };
    let plan = Plan { owner, name, lifetime, scim_only: wanted.scim_endpoints_only, rotates: None, form };
    mint(app, call, writer, plan).await
}

/// What the first token of a new account is to be.
#[derive(Clone, Copy, Debug)]
pub struct FirstToken<'a> {
    /// Its name, as typed.
    pub name: &'a str,
    /// Its lifetime; `None` is never.
    pub expires_in_days: Option<i64>,
    /// For the SCIM endpoints only.
    pub scim_endpoints_only: bool,
}

/// Makes the first token of an account that was made in the same transaction, with the number of the form
/// that asks for both.
pub(super) async fn generate_first(
    app: &App,
    call: &Call,
    writer: &mut Writer,
    owner: users::User,
    wanted: FirstToken<'_>,
    form: Option<&str>,
) -> Result<Generated, Error> {
    may_provision(call, wanted.scim_endpoints_only)?;
    let mut fields = Fields::default();
    let name = fields.check("token", Name::parse(wanted.name));
    let lifetimes = policies::in_force(app).lifetimes(TokenKind::of_owner(owner.user_type));
    let lifetime = fields.check("expires_in_days", lifetimes.check(wanted.expires_in_days));
    fields.finish()?;
    let (Some(name), Some(lifetime)) = (name, lifetime) else {
        return Err(Error::internal("a field was wrong, but not noted"));
    };
    let scim_only = wanted.scim_endpoints_only;
    let plan = Plan { owner: owner.into(), name, lifetime, scim_only, rotates: None, form };
    insert(app, call, writer, plan).await
}

/// Whether the caller may make such a token.
pub(super) fn may_generate(call: &Call, wanted: &Wanted<'_>) -> Result<(), Error> {
    let caller = call.caller;
    if wanted.user_id.is_some() && !caller.has(Permission::ManageServiceTokens) {
        return Err(Error::Forbidden("only Admins make service tokens".into()));
    }
    if wanted.user_id.is_none() && !caller.has_personal_tokens() {
        return Err(Error::Forbidden(
            "a service user has no personal tokens; an Admin makes service tokens for it with `user_id`"
                .into(),
        ));
    }
    may_provision(call, wanted.scim_endpoints_only)
}

fn may_provision(call: &Call, scim_only: bool) -> Result<(), Error> {
    if scim_only && !call.caller.has(Permission::Provision) {
        return Err(Error::Forbidden("only Admins make SCIM tokens".into()));
    }
    Ok(())
}

/// The owner of a new token: the caller, or an active service user.
async fn owner_of_new(
    app: &App,
    writer: &mut Writer,
    call: &Call,
    wanted: Option<UserId>,
    fields: &mut Fields,
) -> Result<Option<Owner>, Error> {
    let owner = match wanted {
        Some(user) => users::find(writer, user).await?.map(Owner::from),
        // The index shows what was committed before this transaction.
        None => app.feed.index().owner(call.caller.id).map(|owner| Owner::from(&*owner)),
    };
    let refusal = match (&owner, wanted) {
        (None, _) => "there is no such user",
        (Some(user), Some(_)) if user.user_type == UserType::Human => {
            "must be a service user: personal tokens are made by their owner only"
        }
        (Some(user), _) if !user.active => "is deactivated; reactivate it first",
        _ => return Ok(owner),
    };
    fields.wrong("user_id", refusal);
    Ok(None)
}

/// A token about to be minted.
struct Plan<'a> {
    owner: Owner,
    name: Name,
    lifetime: Lifetime,
    scim_only: bool,
    rotates: Option<TokenId>,
    /// The number of the form that asks for it.
    form: Option<&'a str>,
}

async fn mint(app: &App, call: &Call, mut writer: Writer, plan: Plan<'_>) -> Result<Generated, Error> {
    let generated = insert(app, call, &mut writer, plan).await?;
    app.commit(writer).await?;
    Ok(generated)
}

async fn insert(app: &App, call: &Call, writer: &mut Writer, plan: Plan<'_>) -> Result<Generated, Error> {
    let Plan { owner, name, lifetime, scim_only, rotates, form } = plan;
    let created_at = writer.now().whole_second();
    let expires_at = lifetime.end(created_at);
    let claims = OwnerClaims { sub: &owner.user_id, email: &owner.email, name: &owner.name };
    let (bearer_token, hash) = app.codec.mint(claims, app.random.text::<16>()?, created_at, expires_at);
    let new = NewToken {
        owner: owner.id,
        name: &name,
        hash,
        scim_only,
        created_at,
        created_by: call.creator().unwrap_or(owner.id),
        expires_at,
        parent_id: call.token(),
        rotates,
    };
    let id = tokens::insert(writer, &new).await?;
    if let Some(form) = form {
        tokens::set_form(writer, id, form).await?;
    }
    let changes = Changes::default()
        .set("name", name.as_str())
        .set("owner", &owner.user_id)
        .set("kind", TokenKind::of_owner(owner.user_type))
        .set("expiration", expires_at)
        .set("scim_endpoints_only", scim_only)
        .note("rotates", None, rotates);
    let action = if rotates.is_some() { Action::TokenRotated } else { Action::TokenGenerated };
    writer.record(call.draft(action, id.0, name.as_str(), changes.0)).await?;
    Ok(Generated { token: Token::of_new(id, &new, owner), bearer_token })
}

/// The caller's personal tokens, newest first.
pub async fn personal(app: &App, call: &Call) -> Result<Vec<Token>, Error> {
    if !call.caller.has_personal_tokens() {
        return Err(Error::Forbidden("a service user has no personal tokens".into()));
    }
    let mut found = tokens::personal(&mut *app.store.read().await?, call.caller.id).await?;
    for token in &mut found {
        with_latest_use(app, token);
    }
    Ok(found)
}

/// All service tokens, or those of one service user, newest first.
pub async fn service(app: &App, user: Option<UserId>) -> Result<Vec<Token>, Error> {
    let mut found = tokens::service(&mut *app.store.read().await?, user).await?;
    for token in &mut found {
        with_latest_use(app, token);
    }
    Ok(found)
}

/// One token that the caller may see.
pub async fn one(app: &App, call: &Call, id: TokenId) -> Result<Token, Error> {
    let mut token = find(&mut *app.store.read().await?, call, id).await?;
    with_latest_use(app, &mut token);
    Ok(token)
}

/// The newest use, whether it has been written yet or not.
pub(crate) fn with_latest_use(app: &App, token: &mut Token) {
    let noted = app.feed.index().last_use(&token.hash);
    if let Some(used) = noted.filter(|used| token.last_used_at.is_none_or(|written| written <= used.at)) {
        token.last_used_at = Some(used.at);
        token.last_used_ip = Some(used.ip.to_string());
    }
}

async fn find(connection: &mut Connection, call: &Call, id: TokenId) -> Result<Token, Error> {
    visible(call, tokens::find(connection, id).await?)
}

/// The token, if there is one and the caller may know of it.
fn visible(call: &Call, found: Option<Token>) -> Result<Token, Error> {
    let hidden = "there is no such token";
    let token = found.ok_or_else(|| Error::NotFound(hidden.into()))?;
    require(call.caller.access_token(kind(&token), token.owner.id), hidden, hidden)?;
    Ok(token)
}

/// Personal or service.
pub const fn kind(token: &Token) -> TokenKind {
    TokenKind::of_owner(token.owner.user_type)
}

/// What the token amounts to at `now`.
pub fn status(token: &Token, now: Timestamp) -> Status {
    Status::at(now, token.expires_at, token.revoked_at.is_some())
}

/// Revokes a token, and with `descendants` every token that was made with it or with one of those,
/// whoever owns them. What is revoked already stays as it is.
///
/// With `descendants` the token may be deleted already: a thief who deletes the stolen token must not
/// thereby save what they made with it.
pub async fn revoke(
    app: &App,
    call: &Call,
    id: TokenId,
    descendants: bool,
) -> Result<(Token, Receipt), Error> {
    let mut writer = app.begin(call).await?;
    if !descendants {
        let token = find(&mut writer, call, id).await?;
        let revoked = revoke_all(app, call, writer, &[token]).await?;
        return Ok((one(app, call, id).await?, app.receipt(revoked.seq).await));
    }
    let mut doomed = vec![visible(call, tokens::find_even_deleted(&mut writer, id).await?)?];
    doomed.extend(tokens::descendants(&mut writer, id).await?);
    let revoked = revoke_all(app, call, writer, &doomed).await?;
    let mut token = visible(call, tokens::find_even_deleted(&mut *app.store.read().await?, id).await?)?;
    with_latest_use(app, &mut token);
    Ok((token, app.receipt(revoked.seq).await))
}

/// What a revoke of several tokens came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Revoked {
    /// How many were not revoked yet.
    pub count: usize,
    /// Number of the newest change with which all are.
    pub seq: i64,
}

/// Revokes those that aren't; commits only if there were any.
async fn revoke_all(app: &App, call: &Call, mut writer: Writer, doomed: &[Token]) -> Result<Revoked, Error> {
    let count = revoke_in(&mut writer, call, doomed).await?;
    let seq = if count > 0 { app.commit(writer).await? } else { app.feed.narrowed().0 };
    Ok(Revoked { count, seq })
}

/// Revokes those that aren't, each with its record, in a transaction that goes on. Answers how many.
pub(super) async fn revoke_in(writer: &mut Writer, call: &Call, doomed: &[Token]) -> Result<usize, Error> {
    let now = writer.now();
    let mut revoked = 0;
    let alive = |token: &&Token| token.revoked_at.is_none() && token.deleted_at.is_none();
    for token in doomed.iter().filter(alive) {
        tokens::set_revoked(writer, token.id, Some(now)).await?;
        let changes = Changes::default().note("active", true, false);
        writer.record(call.draft(Action::TokenRevoked, token.id.0, &token.name, changes.0)).await?;
        revoked += 1;
    }
    Ok(revoked)
}

/// How far a token's line is looked back through for one that leaked.
const ANCESTORS: i64 = 10_000;

/// Undoes a revoke of this one token. Never moves its expiry.
pub async fn restore(app: &App, call: &Call, id: TokenId) -> Result<Token, Error> {
    let mut writer = app.begin(call).await?;
    let token = find(&mut writer, call, id).await?;
    if let Some(revoked_at) = token.revoked_at {
        let (policies, now) = (policies::in_force(app), writer.now());
        // What was made with a token that leaked may have been made by whoever found it first.
        let makers = lineage::ancestors(&mut writer, id, ANCESTORS).await?;
        let is_leaked = makers.iter().chain([&token]).any(|token| token.leaked_at.is_some());
        policies
            .check_restore(revoked_at, is_leaked, now)
            .map_err(|refused| Error::Conflict(refused.to_string()))?;
        if let Some(old) = token.rotates
            && successors::has_live_successor(&mut writer, old, now).await?
        {
            let message = "the token it succeeds has another active successor; revoke that one first";
            return Err(Error::Conflict(message.into()));
        }
        tokens::set_revoked(&mut writer, id, None).await?;
        // It would be closed again at once, or revoked without another word.
        successors::set_closing(&mut writer, id, None).await?;
        due::set_idle_announced(&mut writer, id, None).await?;
        let changes = Changes::default().note("active", false, true);
        writer.record(call.draft(Action::TokenRestored, id.0, &token.name, changes.0)).await?;
        app.commit(writer).await?;
    }
    one(app, call, id).await
}

/// Deletes a revoked or expired token for good.
pub async fn delete(app: &App, call: &Call, id: TokenId) -> Result<(), Error> {
    let mut writer = app.begin(call).await?;
    let token = find(&mut writer, call, id).await?;
    if status(&token, writer.now()) == Status::Active {
        return Err(Error::BadRequest("the token is active; revoke it before you delete it".into()));
    }
    tokens::mark_deleted(&mut writer, id).await?;
    let changes = Changes::default().note("name", Some(token.name.as_str()), None);
    writer.record(call.draft(Action::TokenDeleted, id.0, &token.name, changes.0)).await?;
    app.commit(writer).await.map(drop)
}

/// Revokes all tokens of a user.
pub async fn revoke_all_of(app: &App, call: &Call, user: UserId) -> Result<Revoked, Error> {
    let mut writer = app.begin(call).await?;
    let forbidden = "only a service user's tokens, or your own, can be revoked all at once";
    let found = users::find(&mut writer, user).await?;
    let access =
        found.as_ref().map_or(Access::Hidden, |found| call.caller.access_all_tokens(user, found.user_type));
    let sees_people = call.caller.has(Permission::SeePeople);
    let access = if access == Access::Hidden && !sees_people { Access::Forbidden } else { access };
    require(access, "there is no such user", forbidden)?;
    let doomed = tokens::unrevoked_of(&mut writer, user).await?;
    revoke_all(app, call, writer, &doomed).await
}

/// The token a call is made with.
pub async fn current(app: &App, call: &Call) -> Result<Token, Error> {
    let id = call.token().ok_or_else(|| Error::NotFound("this call was made without a token".into()))?;
    let found = tokens::find(&mut *app.store.read().await?, id).await?;
    let mut token = found.ok_or_else(|| Error::NotFound("there is no such token".into()))?;
    with_latest_use(app, &mut token);
    Ok(token)
}

/// Revokes the token a call is made with, whoever may manage it otherwise.
pub async fn revoke_current(app: &App, call: &Call) -> Result<(), Error> {
    let token = current(app, call).await?;
    revoke_all(app, call, app.begin(call).await?, &[token]).await.map(|_| ())
}

/// Revokes a token for whoever holds it (RFC 7009). What isn't ours, or is gone, is as good as revoked.
pub async fn revoke_presented(app: &App, presented: &[u8], origin: Origin) -> Result<(), Error> {
    let Ok(genuine) = app.codec.read(presented) else { return Ok(()) };
    let mut writer = app.begin_unchecked().await?;
    let Some(token) = tokens::find_by_hash(&mut writer, &genuine.hash()).await? else { return Ok(()) };
    let states = users::states(&mut writer, &[token.owner.id]).await?;
    let owner = states.into_iter().next().ok_or_else(|| Error::internal("a token's owner vanished"))?;
    let call = Call::of(Arc::new(owner.into()), Credential::Token(token.id, token.hash), origin);
    revoke_all(app, &call, writer, &[token]).await.map(|_| ())
}
