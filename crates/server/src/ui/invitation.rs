//! `/setup` and `/invite`: choosing the first password, behind a one-time link.

use std::sync::Arc;

use askama::Template;
use axum::extract::{FromRequestParts, Path, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use serde::Deserialize;
use tokenhouse_core::password::Typed;

use super::form::Messages;
use super::page::{Page, Rendered, Visit};
use super::sign_in::{HOME, signed_in};
use crate::api::body::Form;
use crate::app::App;
use crate::auth::session::Browser;
use crate::error::Error;
use crate::service::passwords;

/// The one-time code in a path. `Debug` prints nothing of it.
pub struct Code(String);

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Code(hidden)")
    }
}

impl FromRequestParts<Arc<App>> for Code {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        let code = Path::<String>::from_request_parts(parts, app).await;
        code.map(|Path(code)| Self(code)).map_err(|_| Error::NotFound("there is nothing at this path".into()))
    }
}

#[derive(Template)]
#[template(path = "setup.html")]
struct SetUpPage {
    page: Page,
    messages: Messages,
    name: String,
    email: String,
}

/// Shows where the first Admin is made.
pub async fn setup_page(
    State(app): State<Arc<App>>,
    visit: Visit,
    Code(code): Code,
) -> Result<Response, Error> {
    passwords::check_setup(&app, &code).await?;
    let page = visit.bare("Set up");
    let messages = Messages::default();
    Ok(Rendered(SetUpPage { page, messages, name: String::new(), email: String::new() }).into_response())
}

/// The form of `/setup`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetUpForm {
    name: String,
    email: String,
    password: Typed,
}

/// Makes the first Admin.
pub async fn set_up(
    State(app): State<Arc<App>>,
    visit: Visit,
    browser: Browser,
    Code(code): Code,
    Form(form): Form<SetUpForm>,
) -> Result<Response, Error> {
    let SetUpForm { name, email, password } = form;
    match passwords::set_up(&app, browser, &code, (&name, &email), password).await {
        Ok(secret) => signed_in(&app, &secret, HOME),
        Err(error) => {
            let status = error.status();
            let messages = Messages::of_error(error, "email")?;
            let form = SetUpPage { page: visit.bare("Set up"), messages, name, email };
            Ok((status, Rendered(form)).into_response())
        }
    }
}

#[derive(Template)]
#[template(path = "invite.html")]
struct InvitationPage {
    page: Page,
    messages: Messages,
    name: String,
    user_name: String,
}

impl InvitationPage {
    /// The page for whoever was invited with this code.
    async fn of(app: &App, visit: &Visit, code: &str, messages: Messages) -> Result<Self, Error> {
        let invited = passwords::invited(app, code).await?;
        let page = visit.bare("Choose a password");
        Ok(Self { page, messages, name: invited.name, user_name: invited.user_name })
    }
}

/// Shows where an invited person chooses a password.
pub async fn invitation_page(
    State(app): State<Arc<App>>,
    visit: Visit,
    Code(code): Code,
) -> Result<Response, Error> {
    let page = InvitationPage::of(&app, &visit, &code, Messages::default()).await?;
    Ok(Rendered(page).into_response())
}

/// The form of `/invite`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InvitationForm {
    password: Typed,
}

/// Takes an invited person's password.
pub async fn accept_invitation(
    State(app): State<Arc<App>>,
    visit: Visit,
    browser: Browser,
    Code(code): Code,
    Form(form): Form<InvitationForm>,
) -> Result<Response, Error> {
    match passwords::accept_invitation(&app, browser, &code, form.password).await {
        Ok(secret) => signed_in(&app, &secret, HOME),
        Err(error) => {
            let status = error.status();
            let messages = Messages::of_error(error, "password")?;
            let form = InvitationPage::of(&app, &visit, &code, messages).await?;
            Ok((status, Rendered(form)).into_response())
        }
    }
}
