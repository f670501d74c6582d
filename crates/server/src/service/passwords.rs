//! Choosing a password: as the first Admin, when invited, or instead of the present one.

use tokenhouse_core::audit::Action;
use tokenhouse_core::id::UserId;
use tokenhouse_core::password::{PasswordHash, Typed};
use tokenhouse_core::people::{Role, UserType};
use tokenhouse_core::session::SessionSecret;
use tokenhouse_store::users::User;
use tokenhouse_store::{Connection, Writer, invitations, passwords, sessions, setup, users};

use super::Changes;
use super::sessions::{record, start, state};
use super::users::{Wanted, insert};
use crate::app::App;
use crate::auth::guard::Call;
use crate::auth::session::Browser;
use crate::error::{Error, Fields};

/// Makes a new one-time link to `/setup`, while nobody is there who could invite others. An earlier one
/// is dead then. `None` once there has been a human Admin.
pub async fn offer_setup(app: &App) -> Result<Option<String>, Error> {
    let mut writer = app.begin_unchecked().await?;
    if users::has_human_admin(&mut writer).await? {
        return Ok(None);
    }
    let code = app.random.text::<32>()?;
    setup::keep(&mut writer, &app.master.code_hash(&code)).await?;
    writer.record(Call::system().draft(Action::SetupOffered, 0, "setup", Changes::default().0)).await?;
    app.commit(writer).await?;
    Ok(Some(format!("{}/setup/{code}", app.config.server.public_url)))
}

/// Whether this code opens `/setup`.
///
/// # Errors
/// [`Error::NotFound`] if it doesn't.
pub async fn check_setup(app: &App, code: &str) -> Result<(), Error> {
    setup_is_open(app, &mut *app.store.read().await?, code).await
}

async fn setup_is_open(app: &App, connection: &mut Connection, code: &str) -> Result<(), Error> {
    let is_open = setup::is_kept(connection, &app.master.code_hash(code)).await?
        && !users::has_human_admin(connection).await?;
    if is_open { Ok(()) } else { Err(Error::NotFound("there is nothing at this path".into())) }
}

/// Makes the first Admin and signs them in.
pub async fn set_up(
    app: &App,
    browser: Browser,
    code: &str,
    (name, email): (&str, &str),
    typed: Typed,
) -> Result<SessionSecret, Error> {
    check_setup(app, code).await?;
    let mut fields = Fields::default();
    let hash = hash(app, &mut fields, typed).await?;
    let call = Call::of_stranger(browser.origin.clone());
    let mut writer = app.begin_unchecked().await?;
    setup_is_open(app, &mut writer, code).await?;
    let wanted = Wanted {
        user_type: UserType::Human,
        name,
        email: Some(email),
        role: Role::Admin,
        teams: &[],
        purpose: None,
        owner: None,
    };
    let admin = insert(app, &call, &mut writer, wanted, fields).await?;
    setup::forget(&mut writer).await?;
    writer.record(call.draft(Action::SetupCompleted, 0, "setup", Changes::default().0)).await?;
    let secret = choose(app, &mut writer, browser, admin.id, &required(hash)?).await?;
    app.commit(writer).await?;
    Ok(secret)
}

/// Who was invited with this code.
///
/// # Errors
/// [`Error::NotFound`] if it was used, is over, or never was.
pub async fn invited(app: &App, code: &str) -> Result<User, Error> {
    who_is_invited(app, &mut *app.store.read().await?, code).await
}

async fn who_is_invited(app: &App, connection: &mut Connection, code: &str) -> Result<User, Error> {
    let invited = invitations::find(connection, &app.master.code_hash(code), app.clock.now()).await?;
    let user = match invited {
        Some(id) => users::find(connection, id).await?,
        None => None,
    };
    user.filter(|user| user.deleted_at.is_none()).ok_or_else(|| {
        Error::NotFound("this link was used, or is too old; ask an Admin for a new one".into())
    })
}

/// Takes the password that an invited person chose, and signs them in. Their other sessions end, since
/// an invitation is also what is sent when a password was lost or stolen.
pub async fn accept_invitation(
    app: &App,
    browser: Browser,
    code: &str,
    typed: Typed,
) -> Result<SessionSecret, Error> {
    invited(app, code).await?;
    let mut fields = Fields::default();
    let hash = hash(app, &mut fields, typed).await?;
    fields.finish()?;
    let mut writer = app.begin_unchecked().await?;
    let user = who_is_invited(app, &mut writer, code).await?;
    let secret = choose(app, &mut writer, browser, user.id, &required(hash)?).await?;
    app.commit(writer).await?;
    Ok(secret)
}

/// The hash of a new password, or `None` after noting what is wrong with it.
async fn hash(app: &App, fields: &mut Fields, typed: Typed) -> Result<Option<PasswordHash>, Error> {
    match fields.check("password", typed.choose()) {
        Some(password) => Ok(Some(app.passwords.hash(&app.random, password).await?)),
        None => Ok(None),
    }
}

fn required(hash: Option<PasswordHash>) -> Result<PasswordHash, Error> {
    hash.ok_or_else(|| Error::internal("a field was wrong, but not noted"))
}

/// Stores a password that was chosen with a one-time link, ends all sessions and begins a new one.
async fn choose(
    app: &App,
    writer: &mut Writer,
    browser: Browser,
    user: UserId,
    hash: &PasswordHash,
) -> Result<SessionSecret, Error> {
    invitations::use_up(writer, user).await?;
    passwords::set(writer, user, hash).await?;
    let ended = sessions::delete_of_user(writer, user).await?;
    passwords::note_sign_in(writer, user).await?;
    let account = state(writer, user).await?;
    let call = Call::of_account(account, browser.origin.clone());
    let changes = Changes::default().note("sessions", ended, 0);
    record(writer, &call, Action::UserPasswordSet, changes).await?;
    start(app, writer, browser, user).await
}

/// Changes the caller's password, which needs the present one. All sessions end; the caller goes on in a
/// new one.
pub async fn change(
    app: &App,
    call: &Call,
    browser: Browser,
    present: Typed,
    new: Typed,
) -> Result<SessionSecret, Error> {
    let user = call.caller.id;
    let known = call.account.as_ref().map_or("", |account| account.identity.user_name());
    let attempt = app.limits.sign_in(browser.origin.ip, known, app.clock.now())?;
    let stored = passwords::of_user(&mut *app.store.read().await?, user).await?;
    if !app.passwords.verify(present, stored.clone()).await? {
        let mut writer = app.begin(call).await?;
        record(&mut writer, call, Action::UserSignInFailed, Changes::default()).await?;
        app.commit(writer).await?;
        return Err(Error::field("present_password", "is not your present password"));
    }
    app.limits.signed_in(attempt);
    let mut fields = Fields::default();
    let hash = hash(app, &mut fields, new).await?;
    fields.finish()?;
    let mut writer = app.begin(call).await?;
    if passwords::of_user(&mut writer, user).await? != stored {
        return Err(Error::Conflict("the password has just been changed".into()));
    }
    passwords::set(&mut writer, user, &required(hash)?).await?;
    // A link that was sent for a lost password must not undo this one.
    invitations::use_up(&mut writer, user).await?;
    let ended = sessions::delete_of_user(&mut writer, user).await?;
    let changes = Changes::default().note("sessions", ended, 0);
    record(&mut writer, call, Action::UserPasswordChanged, changes).await?;
    let secret = start(app, &mut writer, browser, user).await?;
    app.commit(writer).await?;
    Ok(secret)
}
