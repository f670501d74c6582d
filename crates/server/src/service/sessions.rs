//! Signing in and out.

use std::sync::Arc;

use tokenhouse_core::audit::Action;
use tokenhouse_core::id::{SessionId, UserId};
use tokenhouse_core::index::OwnerState;
use tokenhouse_core::password::{PasswordHash, Typed};
use tokenhouse_core::people::Name;
use tokenhouse_core::session::{self, SessionSecret};
use tokenhouse_store::passwords::{self, Account};
use tokenhouse_store::sessions::{self, NewSession, Session};
use tokenhouse_store::{Connection, Writer, users};

use super::Changes;
use crate::app::App;
use crate::auth::guard::{Call, Credential};
use crate::auth::session::Browser;
use crate::error::Error;

/// Begins a session with user name (or e-mail address) and password.
///
/// A wrong password, an unknown account and one that can't sign in are told alike, after the same work.
///
/// # Errors
/// [`Error::Invalid`] where it is refused, [`Error::TooMany`] where too many were.
pub async fn log_in(app: &App, browser: Browser, name: &str, typed: Typed) -> Result<SessionSecret, Error> {
    let attempt = app.limits.sign_in(browser.origin.ip, name, app.clock.now())?;
    let stored = find_account(&mut *app.store.read().await?, name).await?.and_then(|known| usable(&known));
    let is_right = app.passwords.verify(typed, stored.clone()).await?;
    let mut writer = app.begin_unchecked().await?;
    // Looked at again: the password may have been changed, or the person deactivated, meanwhile.
    let known = find_account(&mut writer, name).await?;
    match known {
        Some(account) if is_right && usable(&account) == stored => {
            app.limits.signed_in(attempt);
            passwords::note_sign_in(&mut writer, account.user).await?;
            let secret = start(app, &mut writer, browser, account.user).await?;
            app.commit(writer).await?;
            Ok(secret)
        }
        known => {
            // What was typed is not recorded: as the name of nobody, it may be somebody's password.
            let (id, name) =
                known.as_ref().map_or((0, "unknown"), |account| (account.user.0, account.name.as_str()));
            let call = Call::of_stranger(browser.origin);
            writer.record(call.draft(Action::UserSignInFailed, id, name, Changes::default().0)).await?;
            app.commit(writer).await?;
            Err(Error::field("password", "user name and password do not belong together"))
        }
    }
}

async fn find_account(connection: &mut Connection, name: &str) -> Result<Option<Account>, Error> {
    // What can't be a name isn't looked for.
    match Name::parse(name) {
        Ok(name) => Ok(passwords::find(connection, name.as_str()).await?),
        Err(_) => Ok(None),
    }
}

/// The password that opens an account; none does while the person is deactivated.
fn usable(account: &Account) -> Option<PasswordHash> {
    account.hash.clone().filter(|_| account.active)
}

/// Begins a session of somebody who has shown who they are, with a record. The one that the browser was in
/// ends: nobody signs it out any more.
pub(super) async fn start(
    app: &App,
    writer: &mut Writer,
    browser: Browser,
    user: UserId,
) -> Result<SessionSecret, Error> {
    sessions::delete_ended(writer).await?;
    if let Some(before) = &browser.session {
        sessions::delete_with_secret(writer, &app.master.session_hash(before)).await?;
    }
    let secret = SessionSecret::generate(&app.random)?;
    let new = NewSession {
        user,
        secret_hash: &app.master.session_hash(&secret),
        expires_at: session::end(writer.now(), writer.now()),
        ip: &browser.origin.ip.to_string(),
        user_agent: browser.user_agent.as_deref(),
    };
    let id = sessions::insert(writer, &new).await?;
    let account = state(writer, user).await?;
    let name = account.name.clone();
    let call = Call::of(Arc::new(account.into()), Credential::Session(id), browser.origin);
    let changes = Changes::default().set("session", id);
    writer.record(call.draft(Action::UserSignedIn, user.0, &name, changes.0)).await?;
    Ok(secret)
}

pub(super) async fn state(connection: &mut Connection, user: UserId) -> Result<OwnerState, Error> {
    let found = users::states(connection, &[user]).await?.into_iter().next();
    found.ok_or_else(|| Error::internal("the owner of a session vanished"))
}

/// The session with this secret, and whose it is. Notes that it is used.
///
/// # Errors
/// [`Error::SignedOut`] if there is none, or none any more.
pub async fn find(app: &App, secret: &SessionSecret) -> Result<(Session, OwnerState), Error> {
    let now = app.clock.now();
    let mut reader = app.store.read().await?;
    let found = sessions::find(&mut reader, &app.master.session_hash(secret), now).await?;
    let session = found.ok_or(Error::SignedOut)?;
    let account = state(&mut reader, session.user).await?;
    drop(reader);
    if !account.active {
        return Err(Error::SignedOut);
    }
    if session::is_noted(session.seen_at, now) {
        let end = session::end(session.created_at, now);
        // A page that only reads is shown even where nothing can be written.
        if let Err(error) = sessions::note_use(&app.store, session.id, now, end).await {
            tracing::warn!(%error, "the use of a session could not be noted; trying again at the next one");
        }
    }
    Ok((session, account))
}

/// The caller's own sessions, the one used last first.
pub async fn list(app: &App, call: &Call) -> Result<Vec<Session>, Error> {
    let mut reader = app.store.read().await?;
    Ok(sessions::of_user(&mut reader, call.caller.id, app.clock.now()).await?)
}

/// Ends the session the call is made in.
pub async fn log_out(app: &App, call: &Call) -> Result<(), Error> {
    match call.session() {
        Some(id) => end(app, call, id).await,
        None => Err(Error::SignedOut),
    }
}

/// Ends one of the caller's own sessions.
///
/// # Errors
/// [`Error::NotFound`] if it is somebody else's, or has ended.
pub async fn end(app: &App, call: &Call, id: SessionId) -> Result<(), Error> {
    let mut writer = app.begin(call).await?;
    if !sessions::delete(&mut writer, call.caller.id, id).await? {
        return Err(Error::NotFound("there is no such session, or it has ended already".into()));
    }
    let changes = Changes::default().note("session", Some(id), None);
    record(&mut writer, call, Action::UserSignedOut, changes).await?;
    app.commit(writer).await.map(drop)
}

/// Ends all sessions of the caller.
pub async fn log_out_everywhere(app: &App, call: &Call) -> Result<(), Error> {
    let mut writer = app.begin(call).await?;
    let ended = sessions::delete_of_user(&mut writer, call.caller.id).await?;
    let changes = Changes::default().note("sessions", ended, 0);
    record(&mut writer, call, Action::UserSignedOutEverywhere, changes).await?;
    app.commit(writer).await.map(drop)
}

/// Records something that the caller did to their own account.
pub(super) async fn record(
    writer: &mut Writer,
    call: &Call,
    action: Action,
    changes: Changes,
) -> Result<(), Error> {
    let name = call.account.as_ref().map_or("", |account| account.identity.name());
    writer.record(call.draft(action, call.caller.id.0, name, changes.0)).await?;
    Ok(())
}
