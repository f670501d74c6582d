//! Deactivating, reactivating and removing.

use tokenhouse_core::audit::Action;
use tokenhouse_core::id::UserId;
use tokenhouse_core::people::{PUBLIC_TEAM, Role, UserType};
use tokenhouse_store::users::{self, User};
use tokenhouse_store::{
    Connection, Writer, directory, invitations, sessions, teams, tokens as stored_tokens,
};

use super::existing;
use crate::app::App;
use crate::auth::guard::Call;
use crate::error::Error;
use crate::service::{Changes, tokens};

/// The last active human Admin can't be demoted or deactivated: nobody could undo it.
pub(in crate::service) async fn keep_an_admin(connection: &mut Connection, user: &User) -> Result<(), Error> {
    let is_active_admin =
        user.user_type == UserType::Human && user.role == Role::Admin && user.deleted_at.is_none();
    if is_active_admin && users::active_human_admins(connection).await? <= 1 {
        return Err(Error::Conflict(
            "this is the last active Admin; make somebody else an Admin first".into(),
        ));
    }
    Ok(())
}

/// Deactivates an account and so stops all its tokens and ends its sessions. Idempotent.
pub async fn deactivate(app: &App, call: &Call, id: UserId) -> Result<(), Error> {
    let mut writer = app.begin(call).await?;
    let user = existing(&mut writer, id).await?;
    if set_active(&mut writer, call, &user, false).await? {
        app.commit(writer).await?;
    }
    Ok(())
}

/// Undoes a deactivation: tokens that are neither revoked nor expired work again. Idempotent.
pub async fn reactivate(app: &App, call: &Call, id: UserId) -> Result<User, Error> {
    let mut writer = app.begin(call).await?;
    let user = existing(&mut writer, id).await?;
    if !set_active(&mut writer, call, &user, true).await? {
        return Ok(user);
    }
    app.commit(writer).await?;
    existing(&mut *app.store.read().await?, id).await
}

/// Activates or deactivates an account with its record, in a transaction that goes on. Answers whether that
/// changed anything.
pub(in crate::service) async fn set_active(
    writer: &mut Writer,
    call: &Call,
    user: &User,
    active: bool,
) -> Result<bool, Error> {
    if active == user.deleted_at.is_none() {
        return Ok(false);
    }
    let (at, action) = if active {
        (None, Action::UserReactivated)
    } else {
        keep_an_admin(writer, user).await?;
        sessions::delete_of_user(writer, user.id).await?;
        invitations::use_up(writer, user.id).await?;
        (Some(writer.now()), Action::UserDeactivated)
    };
    users::set_deactivated(writer, user.id, at).await?;
    let changes = Changes::default().note("deleted_at", user.deleted_at, at);
    writer.record(call.draft(action, user.id.0, &user.name, changes.0)).await?;
    Ok(true)
}

/// Removes a person for good, with the record, in a transaction that goes on: nothing brings their tokens
/// back, and somebody else may have their user name.
pub(in crate::service) async fn remove(writer: &mut Writer, call: &Call, user: &User) -> Result<(), Error> {
    keep_an_admin(writer, user).await?;
    let doomed = stored_tokens::unrevoked_of(writer, user.id).await?;
    tokens::revoke_in(writer, call, &doomed).await?;
    sessions::delete_of_user(writer, user.id).await?;
    invitations::use_up(writer, user.id).await?;
    teams::set_teams_of(writer, user.id, &[]).await?;
    directory::remove(writer, user.id).await?;
    let changes = Changes::default().note("removed_at", None, Some(writer.now())).note(
        "teams",
        &*user.teams,
        &[PUBLIC_TEAM.to_owned()],
    );
    writer.record(call.draft(Action::UserRemoved, user.id.0, &user.name, changes.0)).await?;
    Ok(())
}
