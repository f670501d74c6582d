//! The own account: profile, password, sessions, colour scheme.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde::Deserialize;
use tokenhouse_core::id::SessionId;
use tokenhouse_core::password::Typed;
use tokenhouse_store::users::User;

use super::device;
use super::form::Messages;
use super::moment::Moment;
use super::page::{Page, Rendered, Visit};
use super::sign_in::{signed_in, signed_out, unsaved};
use super::toast::{Happening, Toast};
use crate::api::body::{Form, Id};
use crate::app::App;
use crate::auth::guard::Call;
use crate::auth::session::{Browser, SignedIn};
use crate::error::Error;
use crate::service::{passwords, sessions, users};

/// Where the own account is shown.
const ACCOUNT: &str = "/settings/account";

#[derive(Template)]
#[template(path = "account.html")]
struct Account {
    page: Page,
    messages: Messages,
    user: User,
    since: Moment,
    sessions: Vec<OwnSession>,
}

/// A session of the viewer.
struct OwnSession {
    id: i64,
    /// The browser in words.
    device: String,
    /// What it calls itself.
    user_agent: Option<String>,
    ip: String,
    began: Moment,
    seen: Moment,
    /// Whether the page is shown in it.
    is_this: bool,
}

impl Account {
    async fn of(app: &App, call: &Call, visit: &Visit, messages: Messages) -> Result<Self, Error> {
        let page = visit.bare("Your account");
        let user = users::one(app, call, call.caller.id).await?;
        let sessions = sessions::list(app, call).await?.into_iter().map(|session| OwnSession {
            id: session.id.0,
            device: device::in_words(session.user_agent.as_deref()),
            ip: session.ip,
            user_agent: session.user_agent,
            began: page.moment(session.created_at),
            seen: page.moment(session.seen_at),
            is_this: call.session() == Some(session.id),
        });
        Ok(Self { since: page.moment(user.created_at), sessions: sessions.collect(), page, messages, user })
    }
}

/// `GET /settings/account`
pub async fn account(
    State(app): State<Arc<App>>,
    SignedIn(call): SignedIn,
    visit: Visit,
) -> Result<Response, Error> {
    let page = Account::of(&app, &call, &visit, Messages::default()).await?;
    Ok(Rendered(page).into_response())
}

/// The form of `/settings/account/password`.
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
    visit: Visit,
    browser: Browser,
    Form(form): Form<PasswordForm>,
) -> Result<Response, Error> {
    let PasswordForm { present_password, password } = form;
    match passwords::change(&app, &call, browser, present_password, password).await {
        Ok(secret) => {
            let mut response = signed_in(&app, &secret, ACCOUNT)?;
            let told = Toast::from(Happening::PasswordChanged).cookie(&app);
            response.headers_mut().append(header::SET_COOKIE, told);
            Ok(response)
        }
        Err(error @ Error::Invalid(_)) => {
            let messages = Messages::of_error(error, "password")?;
            let page = Account::of(&app, &call, &visit, messages).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, Rendered(page)).into_response())
        }
        Err(error) => Err(error),
    }
}

/// Ends all own sessions.
pub async fn sign_out_everywhere(
    State(app): State<Arc<App>>,
    SignedIn(call): SignedIn,
) -> Result<Response, Error> {
    sessions::log_out_everywhere(&app, &call).await?;
    signed_out(&app)
}

/// Ends one of the own sessions.
pub async fn end_session(
    State(app): State<Arc<App>>,
    call: Result<SignedIn, Error>,
    Id(id): Id,
) -> Result<Response, Error> {
    let call = match call {
        Ok(SignedIn(call)) => call,
        // There is no page of one session to come back to.
        Err(Error::SignedOut) => return Ok(unsaved(ACCOUNT)),
        Err(error) => return Err(error),
    };
    sessions::end(&app, &call, SessionId(id)).await?;
    if call.session() == Some(SessionId(id)) {
        return signed_out(&app);
    }
    Ok(Toast::from(Happening::SessionEnded).then(&app, ACCOUNT))
}
