//! `/login`, `/logout`, `/setup` and `/invite`: how a session begins and ends.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, State};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use http::header::SET_COOKIE;
use http::request::Parts;
use serde::Deserialize;
use tokenhouse_core::password::Typed;
use tokenhouse_core::session::SessionSecret;

use super::page::Visit;
use crate::api::body::Form;
use crate::app::App;
use crate::auth::session::{self, Browser, SignedIn};
use crate::error::Error;
use crate::service::{passwords, sessions};

/// Where somebody gets who has signed in and didn't come from elsewhere.
const HOME: &str = "/";

/// Where somebody signs in.
const LOGIN: &str = "/login";

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

/// Begins a session with a password.
pub async fn log_in(
    State(app): State<Arc<App>>,
    browser: Browser,
    Form(form): Form<LogInForm>,
) -> Result<impl IntoResponse, Error> {
    let secret = sessions::log_in(&app, browser, &form.user_name, form.password).await?;
    let next = form.next.as_deref().filter(|next| is_local(next));
    signed_in(&app, &secret, next.unwrap_or(HOME))
}

/// To `/login`, and from there back to the page that was asked for. A form is not sent again: the person
/// gets to the page it stands on, whose path it extends, and is told that nothing was saved.
pub(super) fn on_the_way_to(visit: &Visit) -> Response {
    let asked = visit.here();
    let back = match asked.rsplit_once('/') {
        Some((page, _)) if visit.changes() && !page.is_empty() => page,
        _ => asked,
    };
    let fields = [("next", back), ("unsaved", "yes")];
    let told = if visit.changes() { &fields[..] } else { &fields[..1] };
    match serde_urlencoded::to_string(told) {
        Ok(query) => Redirect::to(&format!("{LOGIN}?{query}")).into_response(),
        Err(error) => Error::internal(error).into_response(),
    }
}

/// Whether a browser takes this for a page of this server: anything else could be a trap.
fn is_local(next: &str) -> bool {
    let mut bytes = next.bytes();
    bytes.next() == Some(b'/')
        && !matches!(bytes.next(), Some(b'/' | b'\\'))
        && next.bytes().all(|byte| byte.is_ascii_graphic())
}

/// To a page, with the cookie of a session that has just begun.
pub(super) fn signed_in(
    app: &App,
    secret: &SessionSecret,
    next: &str,
) -> Result<impl IntoResponse + use<>, Error> {
    let cookie = session::cookie(&app.config, secret)?;
    Ok((AppendHeaders([(SET_COOKIE, cookie)]), Redirect::to(next)))
}

/// To `/login`, without a cookie.
pub(super) fn signed_out(app: &App) -> Result<impl IntoResponse + use<>, Error> {
    let cookie = session::no_cookie(&app.config)?;
    Ok((AppendHeaders([(SET_COOKIE, cookie)]), Redirect::to(LOGIN)))
}

/// Ends the session, if there is one.
pub async fn log_out(
    State(app): State<Arc<App>>,
    call: Result<SignedIn, Error>,
) -> Result<impl IntoResponse, Error> {
    let ended = match call {
        Ok(SignedIn(call)) => sessions::log_out(&app, &call).await,
        Err(error) => Err(error),
    };
    match ended {
        Ok(()) | Err(Error::SignedOut) => signed_out(&app),
        Err(error) => Err(error),
    }
}

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

/// Shows where the first Admin is made.
pub async fn setup_page(State(app): State<Arc<App>>, Code(code): Code) -> Result<impl IntoResponse, Error> {
    passwords::check_setup(&app, &code).await?;
    Ok("choose a name, an e-mail address and a password\n")
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
    browser: Browser,
    Code(code): Code,
    Form(form): Form<SetUpForm>,
) -> Result<impl IntoResponse, Error> {
    let person = (form.name.as_str(), form.email.as_str());
    let secret = passwords::set_up(&app, browser, &code, person, form.password).await?;
    signed_in(&app, &secret, HOME)
}

/// Shows where an invited person chooses a password.
pub async fn invitation_page(
    State(app): State<Arc<App>>,
    Code(code): Code,
) -> Result<impl IntoResponse, Error> {
    passwords::invited(&app, &code).await?;
    Ok("choose a password\n")
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
    browser: Browser,
    Code(code): Code,
    Form(form): Form<InvitationForm>,
) -> Result<impl IntoResponse, Error> {
    let secret = passwords::accept_invitation(&app, browser, &code, form.password).await?;
    signed_in(&app, &secret, HOME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_this_server_are_gone_back_to() {
        for ours in ["/", "/settings/tokens?state=active&q=a%20b", "/settings/tokens/7#lineage"] {
            assert!(is_local(ours), "{ours}");
        }
        for other in
            ["", "settings", "//evil.example", "/\\evil.example", "/\t/evil.example", "https://evil.example"]
        {
            assert!(!is_local(other), "{other}");
        }
    }
}
