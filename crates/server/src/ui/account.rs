//! The own account: password and sessions.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Redirect};
use serde::Deserialize;
use tokenhouse_core::id::SessionId;
use tokenhouse_core::password::Typed;

use super::sign_in::{signed_in, signed_out};
use crate::api::body::{Form, Id};
use crate::app::App;
use crate::auth::session::{Browser, SignedIn};
use crate::error::Error;
use crate::service::{passwords, sessions};

/// Where the own account is shown.
const ACCOUNT: &str = "/account";

/// The form of `/account/password`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasswordForm {
    present_password: Typed,
    password: Typed,
}

/// Changes the password.
pub async fn change_password(
    State(app): State<Arc<App>>,
    SignedIn(call): SignedIn,
    browser: Browser,
    Form(form): Form<PasswordForm>,
) -> Result<impl IntoResponse, Error> {
    let PasswordForm { present_password, password } = form;
    let secret = passwords::change(&app, &call, browser, present_password, password).await?;
    signed_in(&app, &secret, ACCOUNT)
}

/// Ends all own sessions.
pub async fn log_out_everywhere(
    State(app): State<Arc<App>>,
    SignedIn(call): SignedIn,
) -> Result<impl IntoResponse, Error> {
    sessions::log_out_everywhere(&app, &call).await?;
    signed_out(&app)
}

/// Ends one of the own sessions.
pub async fn end_session(
    State(app): State<Arc<App>>,
    SignedIn(call): SignedIn,
    Id(id): Id,
) -> Result<impl IntoResponse, Error> {
    sessions::end(&app, &call, SessionId(id)).await?;
    Ok(Redirect::to(ACCOUNT))
}
