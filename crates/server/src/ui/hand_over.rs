//! `/api/cli/authorize`: a signed-in person lets a command line have a token.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, Uri, header};
use serde::Deserialize;
use tokenhouse_core::token::LifetimePolicy;

use super::form::Messages;
use super::moment::Moment;
use super::page::{Page, Rendered, Visit};
use super::protection::FormTarget;
use super::sign_in::unsaved;
use crate::api::body::Form;
use crate::app::App;
use crate::auth::guard::Call;
use crate::auth::session::SignedIn;
use crate::error::Error;
use crate::service::hand_over::{self, Request};

/// Where a command line sends the browser.
const PATH: &str = "/api/cli/authorize";

/// Lifetimes that are offered, in days.
const OFFERED: [(i64, &str, &str); 4] =
    [(30, "30", "30 days"), (60, "60", "60 days"), (90, "90", "90 days"), (365, "365", "1 year")];

/// The one that is proposed.
const PROPOSED: &str = "90";

/// What a token without expiry is called in the form.
const NEVER: &str = "never";

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

    /// The page that asks, to come back to, and also what the answer is bound to.
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
    key: String,
    lifetimes: Vec<Offer>,
    /// Whether an answer came that was not to this question.
    stale: bool,
}

/// A lifetime to choose.
struct Offer {
    value: &'static str,
    label: &'static str,
    chosen: bool,
    /// When the token would stop working; never if there is none.
    end: Option<Moment>,
}

/// The page with its key, and with the right of its form to lead to the command line.
async fn consent(
    app: &App,
    call: &Call,
    visit: &Visit,
    (asked, request): (Asked, &Request),
    (chosen, messages, stale): (&str, Messages, bool),
) -> Result<Response, Error> {
    let page = visit.bare("A command line asks for a token");
    let now = app.clock.now();
    let session = call.session().ok_or(Error::SignedOut)?;
    let key = app.questions.ask(&app.random, session, &asked.address(), now)?;
    let policy = LifetimePolicy::from(app.config.policy);
    let lasting = OFFERED.iter().filter(|(days, ..)| *days <= policy.most_days());
    let mut lifetimes: Vec<Offer> = lasting
        .map(|&(days, value, label)| Offer {
            value,
            label,
            chosen: value == chosen,
            end: Some(page.moment(now.whole_second().plus_days(days))),
        })
        .collect();
    if policy.allow_never {
        lifetimes.push(Offer { value: NEVER, label: "Never", chosen: chosen == NEVER, end: None });
    }
    if !lifetimes.iter().any(|offer| offer.chosen)
        && let Some(longest) = lifetimes.last_mut()
    {
        longest.chosen = true;
    }
    let target = FormTarget::origin_of(request.callback.uri());
    let name = hand_over::token_name(app, call, &request.host).await?.to_string();
    let ip = call.ip.map(|ip| ip.to_string()).unwrap_or_default();
    let page = Consent { page, messages, asked, name, ip, key, lifetimes, stale };
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
    consent(&app, &call, &visit, (asked, &request), (PROPOSED, Messages::default(), false)).await
}

/// The form of the page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    redirect_uri: String,
    state: Option<String>,
    hostname: String,
    key: String,
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
    Form(form): Form<Answer>,
) -> Result<Response, Error> {
    let Answer { redirect_uri, state, hostname, key, expires_in_days: chosen, decision } = form;
    let asked = Asked { redirect_uri, state, hostname };
    let request = asked.check()?;
    let call = match call {
        Ok(SignedIn(call)) => call,
        Err(Error::SignedOut) => return Ok(unsaved(&asked.address())),
        Err(error) => return Err(error),
    };
    let session = call.session().ok_or(Error::SignedOut)?;
    if !app.questions.answer(&key, session, &asked.address(), app.clock.now()) {
        let again = (chosen.as_str(), Messages::default(), true);
        let page = consent(&app, &call, &visit, (asked, &request), again).await?;
        return Ok((StatusCode::CONFLICT, page).into_response());
    }
    if decision == Decision::Deny {
        return to_client(&request.denied());
    }
    let made = match days(&chosen) {
        Ok(days) => hand_over::allow(&app, &call, &request.host, days).await,
        Err(error) => Err(error),
    };
    match made {
        Ok(generated) => to_client(&request.allowed(&generated)),
        Err(error) => {
            let status = error.status();
            let messages = Messages::of_error(error, "expires_in_days")?;
            let again = (chosen.as_str(), messages, false);
            let page = consent(&app, &call, &visit, (asked, &request), again).await?;
            Ok((status, page).into_response())
        }
    }
}

/// The lifetime that was chosen; `None` is never.
fn days(chosen: &str) -> Result<Option<i64>, Error> {
    if chosen == NEVER {
        return Ok(None);
    }
    let days = chosen.parse().map_err(|_| Error::field("expires_in_days", "choose one of these"))?;
    Ok(Some(days))
}

/// On to the command line. The address may hold a token, so nothing prints it.
fn to_client(address: &str) -> Result<Response, Error> {
    let mut location = HeaderValue::try_from(address).map_err(Error::internal)?;
    location.set_sensitive(true);
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response())
}
