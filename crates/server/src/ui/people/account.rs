//! What can be done to an account: deactivate, reactivate, revoke all its tokens, invite again. Each is
//! asked for in a dialog that says what it brings about.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use tokenhouse_core::id::UserId;
use tokenhouse_store::users::User;

use super::user::{self, Dialog};
use super::user_path;
use crate::api::body::Id;
use crate::app::App;
use crate::auth::guard::Call;
use crate::auth::session::ManagesPeople;
use crate::error::Error;
use crate::service::profile::{Consequences, consequences, revocation};
use crate::service::{requests, tokens, users};
use crate::ui::moment::Moment;
use crate::ui::page::Visit;
use crate::ui::requests::Callers;
use crate::ui::toast::{Happening, Toast};

/// A one-time link that is shown, once.
pub(super) struct Invitation {
    pub(super) url: String,
    pub(super) expires: Moment,
    pub(super) file: String,
}

impl Invitation {
    fn new(app: &App, visit: &Visit, user: &User, url: String) -> Self {
        let expires = visit.bare("").moment(app.clock.now().plus_days(users::INVITATION_DAYS));
        Self { url, expires, file: format!("invitation-{}.txt", user.id) }
    }

    /// The page of somebody with the link to choose a password.
    pub(super) async fn show(
        app: &Arc<App>,
        visit: &Visit,
        call: &Call,
        user: User,
        url: String,
    ) -> Result<Response, Error> {
        let dialog = Dialog::Invited(Self::new(app, visit, &user, url));
        user::behind(app, visit, call, user, dialog).await
    }
}

async fn ask(
    app: &Arc<App>,
    visit: &Visit,
    call: &Call,
    id: i64,
    dialog: impl FnOnce(Consequences) -> Dialog,
) -> Result<Response, Error> {
    let consequences = consequences(app, call, UserId(id)).await?;
    let user = consequences.user.clone();
    user::behind(app, visit, call, user, dialog(consequences)).await
}

/// Asks whether to deactivate, or says why that can't be.
pub async fn ask_to_deactivate(
    State(app): State<Arc<App>>,
    visit: Visit,
    ManagesPeople(call): ManagesPeople,
    Id(id): Id,
) -> Result<Response, Error> {
    ask(&app, &visit, &call, id, Dialog::Deactivate).await
}

/// Deactivates.
pub async fn deactivate(
    State(app): State<Arc<App>>,
    visit: Visit,
    ManagesPeople(call): ManagesPeople,
    Id(id): Id,
) -> Result<Response, Error> {
    match users::deactivate(&app, &call, UserId(id)).await {
        Ok(()) => Ok(Toast::about(Happening::UserDeactivated, id).then(&app, &user_path(id))),
        // The dialog says it in words.
        Err(Error::Conflict(_)) => {
            let told = ask(&app, &visit, &call, id, Dialog::Deactivate).await?;
            Ok((StatusCode::CONFLICT, told).into_response())
        }
        Err(error) => Err(error),
    }
}

/// Asks whether to reactivate.
pub async fn ask_to_reactivate(
    State(app): State<Arc<App>>,
    visit: Visit,
    ManagesPeople(call): ManagesPeople,
    Id(id): Id,
) -> Result<Response, Error> {
    ask(&app, &visit, &call, id, Dialog::Reactivate).await
}

/// Reactivates.
pub async fn reactivate(
    State(app): State<Arc<App>>,
    ManagesPeople(call): ManagesPeople,
    Id(id): Id,
) -> Result<Response, Error> {
    users::reactivate(&app, &call, UserId(id)).await?;
    Ok(Toast::about(Happening::UserReactivated, id).then(&app, &user_path(id)))
}

/// Asks whether to revoke all tokens of a service user.
pub async fn ask_to_revoke_tokens(
    State(app): State<Arc<App>>,
    visit: Visit,
    ManagesPeople(call): ManagesPeople,
    Id(id): Id,
) -> Result<Response, Error> {
    let revocation = revocation(&app, &call, UserId(id)).await?;
    let visible = requests::of_user(&app, &call, UserId(id)).await?;
    let callers = Callers::load(&app, &visit.bare(""), &visible).await;
    let user = revocation.user.clone();
    user::behind(&app, &visit, &call, user, Dialog::RevokeTokens { stop: revocation, callers }).await
}

/// Revokes them.
pub async fn revoke_tokens(
    State(app): State<Arc<App>>,
    ManagesPeople(call): ManagesPeople,
    Id(id): Id,
) -> Result<Response, Error> {
    tokens::revoke_all_of(&app, &call, UserId(id)).await?;
    Ok(Toast::about(Happening::AllTokensRevoked, id).then(&app, &user_path(id)))
}

/// Asks whether to make a new link to choose a password.
pub async fn ask_to_invite(
    State(app): State<Arc<App>>,
    visit: Visit,
    ManagesPeople(call): ManagesPeople,
    Id(id): Id,
) -> Result<Response, Error> {
    let user = users::one(&app, &call, UserId(id)).await?;
    users::may_be_invited(&user)?;
    user::behind(&app, &visit, &call, user, Dialog::Invite).await
}

/// Makes it and shows it.
pub async fn invite(
    State(app): State<Arc<App>>,
    visit: Visit,
    ManagesPeople(call): ManagesPeople,
    Id(id): Id,
) -> Result<Response, Error> {
    let url = users::invite_again(&app, &call, UserId(id)).await?;
    let user = users::one(&app, &call, UserId(id)).await?;
    Invitation::show(&app, &visit, &call, user, url).await
}
