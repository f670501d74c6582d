//! `/api/cli/authorize`: a signed-in person lets a command line have a token.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, Uri, header};
use serde::Deserialize;

use super::form::Messages;
use super::page::{Page, Rendered, Visit};
use super::protection::FormTarget;
use super::sign_in::unsaved;
use super::tokens::lifetimes::{self, Lifetimes};
use crate::api::body::Form;
use crate::app::App;
use crate::auth::guard::Call;
use crate::auth::session::SignedIn;
use crate::error::Error;
use crate::service::hand_over::{self, Request};
use crate::service::policies;
use crate::service::tokens::forms::Sent;

/// Where a command line sends the browser.
const PATH: &str = "/api/cli/authorize";

/// What a command line asks for, as it was sent.
#[derive(Debug, Deserialize)]
pub struct Asked {
    redirect_uri: String,
    state: Option<String>,
    #[serde(default = "unnamed")]
    hostname: String,
}

fn unnamed() -> String {
    "command line".to_owned()
}

impl Asked {
    fn check(&self) -> Result<Request, Error> {
        Request::parse(&self.redirect_uri, self.state.clone(), &self.hostname)
    }

    /// The page that asks, to come back to, and also what the form of the answer is bound to.
    fn address(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("redirect_uri", &self.redirect_uri);
        if let Some(state) = &self.state {
            query.append_pair("state", state);
        }
        format!("{PATH}?{}", query.append_pair("hostname", &self.hostname).finish())
    }
}

#[derive(Template)]
#[template(path = "authorize.html")]
struct Consent {
    page: Page,
    messages: Messages,
    asked: Asked,
    /// What the token will be called.
    name: String,
    /// The address that asks.
    ip: String,
    form: String,
    lifetimes: Lifetimes,
    /// Whether an answer came that was given before, or not asked for in this session.
    stale: bool,
}

/// The page with its number, and with the right of its form to lead to the command line.
async fn consent(
    app: &App,
    call: &Call,
    visit: &Visit,
    (asked, request): (Asked, &Request),
    (chosen, messages, stale): (Option<&str>, Messages, bool),
) -> Result<Response, Error> {
    let page = visit.bare("A command line asks for a token");
    let form = hand_over::number(app, call, &asked.address())?;
    let policies = policies::in_force(app);
    let policy = policies.personal;
    let lifetimes = match chosen {
        Some(chosen) => Lifetimes::sent(&page, policy, chosen),
        None => Lifetimes::usual(&page, policy, policies.default_expires_in_days),
    };
    let target = FormTarget::origin_of(request.callback.uri());
    let name = hand_over::token_name(app, call, &request.host).await?.to_string();
    let ip = call.ip.map(|ip| ip.to_string()).unwrap_or_default();
    let page = Consent { page, messages, asked, name, ip, form, lifetimes, stale };
    Ok((target.map(Extension), Rendered(page)).into_response())
}

/// `GET /api/cli/authorize`
pub async fn ask(
    State(app): State<Arc<App>>,
    visit: Visit,
    uri: Uri,
    call: Result<SignedIn, Error>,
) -> Result<Response, Error> {
    let asked: Asked = serde_urlencoded::from_str(uri.query().unwrap_or_default())
        .map_err(|error| Error::BadRequest(format!("the address is wrong: {error}")))?;
    // Before anybody signs in for it: what asks wrongly gets no further.
    let request = asked.check()?;
    let SignedIn(call) = call?;
    consent(&app, &call, &visit, (asked, &request), (None, Messages::default(), false)).await
}

/// The form of the page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    redirect_uri: String,
    state: Option<String>,
    hostname: String,
    form: String,
    #[serde(default)]
    expires_in_days: String,
    decision: Decision,
}

/// What the person decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Decision {
    Allow,
    Deny,
}

/// `POST /api/cli/authorize`
pub async fn answer(
    State(app): State<Arc<App>>,
    visit: Visit,
    call: Result<SignedIn, Error>,
    Form(answer): Form<Answer>,
) -> Result<Response, Error> {
    let Answer { redirect_uri, state, hostname, form, expires_in_days: chosen, decision } = answer;
    let asked = Asked { redirect_uri, state, hostname };
    let request = asked.check()?;
    let call = match call {
        Ok(SignedIn(call)) => call,
        Err(Error::SignedOut) => return Ok(unsaved(&asked.address())),
        Err(error) => return Err(error),
    };
    let was_asked = hand_over::was_asked(&app, &call, &asked.address(), &form);
    if was_asked && decision == Decision::Deny {
        return to_client(&request.denied());
    }
    let days = lifetimes::parse(&chosen);
    let sent =
        if was_asked { Some(hand_over::allow(&app, &call, &request.host, days, &form).await) } else { None };
    let (status, messages, stale) = match sent {
        Some(Ok(Sent::Made(generated))) => return to_client(&request.allowed(&generated)),
        Some(Ok(Sent::Before(_))) | None => (StatusCode::CONFLICT, Messages::default(), true),
        Some(Err(error)) => (error.status(), Messages::of_error(error, "expires_in_days")?, false),
    };
    let again = (Some(&*chosen), messages, stale);
    let page = consent(&app, &call, &visit, (asked, &request), again).await?;
    Ok((status, page).into_response())
}

/// On to the command line. The address may hold a token, so nothing prints it.
fn to_client(address: &str) -> Result<Response, Error> {
    let mut location = HeaderValue::try_from(address).map_err(Error::internal)?;
    location.set_sensitive(true);
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response())
}
