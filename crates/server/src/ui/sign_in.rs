//! `/login` and `/logout`: how a session begins with a password, and how it ends.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use http::header::SET_COOKIE;
use serde::Deserialize;
use tokenhouse_core::password::Typed;
use tokenhouse_core::session::SessionSecret;

use super::form::Messages;
use super::page::{Page, Rendered, Visit};
use crate::api::body::{Form, Query};
use crate::app::App;
use crate::auth::session::{self, Browser, SignedIn};
use crate::error::Error;
use crate::service::sessions;

/// Where somebody gets who has signed in and didn't come from elsewhere.
pub(super) const HOME: &str = "/";

/// Where somebody signs in.
const LOGIN: &str = "/login";

#[derive(Template)]
#[template(path = "login.html")]
struct LogInPage {
    page: Page,
    messages: Messages,
    user_name: String,
    /// Where to go afterwards, if not home.
    next: Option<String>,
    /// Whether a form was sent that came too late.
    unsaved: bool,
}

/// What `/login` is told by whoever sends somebody there.
#[derive(Debug, Deserialize)]
pub struct Errand {
    next: Option<String>,
    unsaved: Option<String>,
}

/// `GET /login`. Who is signed in already goes on.
pub async fn log_in_page(
    visit: Visit,
    call: Result<SignedIn, Error>,
    Query(errand): Query<Errand>,
) -> Response {
    let next = errand.next.filter(|next| local(next).is_some());
    if call.is_ok() {
        return Redirect::to(next.as_deref().unwrap_or(HOME)).into_response();
    }
    let page = visit.bare("Sign in");
    let unsaved = errand.unsaved.is_some();
    let (messages, user_name) = (Messages::default(), String::new());
    Rendered(LogInPage { page, messages, user_name, next, unsaved }).into_response()
}

/// The form of `/login`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogInForm {
    /// User name or e-mail address.
    user_name: String,
    password: Typed,
    /// The page they came from.
    next: Option<String>,
}

/// `POST /login`: begins a session with a password.
pub async fn log_in(
    State(app): State<Arc<App>>,
    visit: Visit,
    browser: Browser,
    Form(form): Form<LogInForm>,
) -> Result<Response, Error> {
    let LogInForm { user_name, password, next } = form;
    let next = next.filter(|next| local(next).is_some());
    match sessions::log_in(&app, browser, &user_name, password).await {
        Ok(secret) => signed_in(&app, &secret, next.as_deref().unwrap_or(HOME)),
        Err(error) => {
            let status = error.status();
            let messages = Messages::of_error(error, "user_name")?;
            let page = visit.bare("Sign in");
            let form = LogInPage { page, messages, user_name, next, unsaved: false };
            Ok((status, Rendered(form)).into_response())
        }
    }
}

/// To `/login`, and from there back to the page that was asked for. A form is not sent again: the person
/// gets to the page it stands on, whose path it extends, and is told that nothing was saved.
pub(super) fn on_the_way_to(visit: &Visit) -> Response {
    if visit.changes() { unsaved(visit.here()) } else { to_log_in(&[("next", visit.here())]) }
}

/// To `/login`, and from there to the page of a form that came too late.
pub(super) fn unsaved(page: &str) -> Response {
    to_log_in(&[("next", page), ("unsaved", "yes")])
}

fn to_log_in(errand: &[(&str, &str)]) -> Response {
    match serde_urlencoded::to_string(errand) {
        Ok(query) => Redirect::to(&format!("{LOGIN}?{query}")).into_response(),
        Err(error) => Error::internal(error).into_response(),
    }
}

/// The path, if a browser takes it for a page of this server: anything else could be a trap.
pub(super) fn local(path: &str) -> Option<&str> {
    let is_local = path.starts_with('/')
        && !path.starts_with("//")
        && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    is_local.then_some(path)
}

/// To a page, with the cookie of a session that has just begun.
pub(super) fn signed_in(app: &App, secret: &SessionSecret, next: &str) -> Result<Response, Error> {
    let cookie = session::cookie(&app.config, secret)?;
    Ok((AppendHeaders([(SET_COOKIE, cookie)]), Redirect::to(next)).into_response())
}

/// To `/login`, without a cookie.
pub(super) fn signed_out(app: &App) -> Result<Response, Error> {
    let cookie = session::no_cookie(&app.config)?;
    Ok((AppendHeaders([(SET_COOKIE, cookie)]), Redirect::to(LOGIN)).into_response())
}

/// Ends the session, if there is one.
pub async fn log_out(State(app): State<Arc<App>>, call: Result<SignedIn, Error>) -> Result<Response, Error> {
    let ended = match call {
        Ok(SignedIn(call)) => sessions::log_out(&app, &call).await,
        Err(error) => Err(error),
    };
    match ended {
        Ok(()) | Err(Error::SignedOut) => signed_out(&app),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_this_server_are_gone_back_to() {
        for ours in ["/", "/settings/tokens?state=active&q=a%20b", "/settings/tokens/7#lineage", "/a//b"] {
            assert_eq!(local(ours), Some(ours));
        }
        for other in [
            "",
            "settings",
            "//evil.example",
            "/\\evil.example",
            "/\t/evil.example",
            "/a\r\nb: c",
            "/ä",
            "https://evil.example",
        ] {
            assert_eq!(local(other), None);
        }
    }
}
