//! A token gets a successor.

use sha2::{Digest as _, Sha256};
use tokenhouse_core::audit::hex;
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::TokenId;
use tokenhouse_core::people::Name;
use tokenhouse_core::policy::Permission;
use tokenhouse_core::token::Status;
use tokenhouse_store::tokens::{self, Token};
use tokenhouse_store::{Connection, Writer, successors};

use super::closing::{self, WantedClosing};
use super::forms::{self, Begun};
use super::{Generated, Plan, find, kind, mint, status};
use crate::app::App;
use crate::auth::guard::Call;
use crate::error::{Error, Fields};
use crate::service::policies;

/// What a successor is to be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Succession<'a> {
    /// Its name, as typed; `None` is the old one with the day.
    pub name: Option<&'a str>,
    /// Its lifetime.
    pub lifetime: WantedLifetime,
    /// Whether the old one closes by itself.
    pub closing: Option<WantedClosing>,
}

/// How long a successor is to live.
#[derive(Clone, Copy, Debug, Default)]
pub enum WantedLifetime {
    /// As long as the old one was to, within what is allowed now.
    #[default]
    AsBefore,
    /// So many days; `None` is never.
    Days(Option<i64>),
}

/// Makes a successor with the same owner and kind. Both work until the old one is revoked.
pub async fn rotate(app: &App, call: &Call, id: TokenId, wanted: Succession<'_>) -> Result<Generated, Error> {
    let writer = app.begin(call).await?;
    rotate_in(app, call, writer, id, wanted, None).await
}

/// The same, unless the caller did it with this key before.
///
/// # Errors
/// [`Error::Conflict`] if a token was made with this key; its secret was shown then.
pub async fn rotate_once(
    app: &App,
    call: &Call,
    id: TokenId,
    wanted: Succession<'_>,
    key: &str,
) -> Result<Generated, Error> {
    // Keys are foreign texts of any kind; forms have numbers of ours.
    let form = format!("key-{}", hex(&Sha256::digest(key)[..16]));
    let token = match forms::begin(app, call, &form).await? {
        Begun::Now(writer) => return rotate_in(app, call, writer, id, wanted, Some(&form)).await,
        Begun::Before(token) => token,
    };
    if token.rotates != Some(id) {
        return Err(Error::Conflict(
            "this Idempotency-Key was used for another token; choose a new one".into(),
        ));
    }
    Err(Error::Conflict(format!(
        "this was done already: token {} is the successor. Its secret was shown with the first answer; if that was \
         lost, revoke it and rotate again with a new Idempotency-Key",
        token.id
    )))
}

/// The same in a transaction that has begun, with the number of the form that asks for it.
pub(super) async fn rotate_in(
    app: &App,
    call: &Call,
    mut writer: Writer,
    id: TokenId,
    wanted: Succession<'_>,
    form: Option<&str>,
) -> Result<Generated, Error> {
    let mut fields = Fields::default();
    let name = wanted.name.map(|name| fields.check("name", Name::parse(name)));
    let token = find(&mut writer, call, id).await?;
    let lifetimes = policies::in_force(app).lifetimes(kind(&token));
    let lifetime = match wanted.lifetime {
        WantedLifetime::AsBefore => None,
        WantedLifetime::Days(days) => fields.check("expires_in_days", lifetimes.check(days)),
    };
    if let Some(closing) = wanted.closing {
        closing.check(&mut fields);
    }
    fields.finish()?;
    let now = writer.now();
    if let Some(refusal) = refuses_rotation(&mut writer, call, &token, now).await? {
        return Err(refusal);
    }
    let lifetime = lifetime.unwrap_or_else(|| lifetimes.inherit(token.created_at, token.expires_at));
    let name = match name.flatten() {
        Some(name) => name,
        None => successors_name(&mut writer, &token, now).await?,
    };
    if let Some(closing) = wanted.closing {
        closing::settle(&mut writer, call, &token, Some(closing.from(now))).await?;
    }
    let Token { owner, scim_only, .. } = token;
    let plan = Plan { owner, name, lifetime, scim_only, rotates: Some(id), form };
    mint(app, call, writer, plan).await
}

/// Why the token can't be rotated at `now`, if so.
pub(super) async fn refuses_rotation(
    connection: &mut Connection,
    call: &Call,
    token: &Token,
    now: Timestamp,
) -> Result<Option<Error>, Error> {
    if token.scim_only && !call.caller.has(Permission::Provision) {
        return Ok(Some(Error::Forbidden("only Admins make SCIM tokens".into())));
    }
    let refusal = match status(token, now) {
        Status::Revoked => "the token is revoked; generate a new one, or restore it first",
        Status::Expired => "the token has expired; generate a new one",
        Status::Active if !token.owner.active => "the token's owner is deactivated; reactivate it first",
        Status::Active if successors::has_live_successor(connection, token.id, now).await? => {
            "the token has an active successor already; revoke that one first, or rotate it"
        }
        Status::Active => return Ok(None),
    };
    Ok(Some(Error::Conflict(refusal.into())))
}

/// The old name plus ` (rotated YYYY-MM-DD)`, with a number where that is taken.
pub(super) async fn successors_name(
    connection: &mut Connection,
    token: &Token,
    now: Timestamp,
) -> Result<Name, Error> {
    let old = Name::parse(&token.name).map_err(Error::internal)?;
    let day = now.day();
    let mut name = old.with_suffix(&format!(" (rotated {day})"));
    let mut number = 2;
    while tokens::name_taken(connection, token.owner.id, &name).await? {
        name = old.with_suffix(&format!(" (rotated {day}) {number}"));
        number += 1;
    }
    Ok(name)
}
