//! What was done with tokens: the pages that list requests, and what other pages show of them.

mod callers;
mod row;
mod section;

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{TokenId, UserId};
use tokenhouse_requests::Filter;

pub(super) use self::callers::Callers;
pub(super) use self::row::Table;
pub(super) use self::row::UsedToken;
pub use self::section::Chosen;
pub(super) use self::section::Section as RequestsSection;
use super::form::Messages;
use super::list::Listing;
use super::page::{Page, Rendered, Section, Visit};
use super::text::plural;
use super::{people, tokens};
use crate::api::body::{Id, Query};
use crate::app::App;
use crate::auth::session::{ManagesServiceTokens, SignedIn};
use crate::error::{Error, Fields};
use crate::service::requests::{self, Narrowing, Visible};
use crate::service::tokens::kind;
use crate::service::users;

/// Requests of all service tokens.
pub(super) const SERVICE: &str = "/settings/requests";

/// Requests on a page.
const SIZE: usize = 50;

/// The list of requests below a page.
pub(super) fn below(path: &str) -> String {
    format!("{path}/requests")
}

/// Which requests are wanted. What is empty says nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct RequestsQuery {
    from: String,
    to: String,
    decision: String,
    ip: String,
    path: String,
    cursor: String,
}

impl RequestsQuery {
    fn filter(&self, visible: &Visible) -> Result<Filter, Error> {
        let mut fields = Fields::default();
        let mut day = |name: &str, text: &str| {
            let day = said(text).map(Timestamp::parse_day);
            if day == Some(None) {
                fields.wrong(name, "must be a day such as 2026-01-15");
            }
            day.flatten()
        };
        let (from, to) = (day("from", &self.from), day("to", &self.to));
        // The last day is one of them.
        let window = (from, to.map(|to| to.plus_days(1)));
        let narrowing =
            Narrowing { decision: said(&self.decision), ip: said(&self.ip), path: said(&self.path) };
        let filter = visible.narrowed(window, narrowing, &mut fields);
        fields.finish()?;
        Ok(filter)
    }

    fn is_narrowed(&self) -> bool {
        [&self.from, &self.to, &self.decision, &self.ip, &self.path]
            .into_iter()
            .any(|text| said(text).is_some())
    }
}

/// What was written into a field, if anything was.
fn said(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty())
}

#[derive(Template)]
#[template(path = "requests.html")]
struct RequestsPage {
    page: Page,
    about: About,
    query: RequestsQuery,
    messages: Messages,
    table: Table,
    /// The whole list, from its newest request on.
    all: String,
    /// The same list from its newest request on, if this isn't where it begins.
    newest: Option<String>,
    /// Where it goes on.
    older: Option<String>,
    /// How long requests are kept.
    kept: String,
}

/// Whose requests they are, in words, and what bears a name.
struct About {
    words: &'static str,
    name: Option<String>,
}

/// `GET /settings/tokens/{id}/requests`
pub async fn of_token(
    State(app): State<Arc<App>>,
    visit: Visit,
    SignedIn(call): SignedIn,
    Id(id): Id,
    Query(query): Query<RequestsQuery>,
) -> Result<Response, Error> {
    let (visible, token) = requests::of_token(&app, &call, TokenId(id)).await?;
    let list = kind(&token);
    let page = visit.page(Section::Tokens, "Requests");
    let page = page.below(tokens::list_title(list), tokens::list_of(list));
    let page = page.below(&*token.name, tokens::path(token.id));
    let about = About { words: "Whatever was decided on the token", name: Some(token.name) };
    show(&app, page, about, &visible, query).await
}

/// `GET /settings/people/users/{id}/requests`
pub async fn of_user(
    State(app): State<Arc<App>>,
    visit: Visit,
    SignedIn(call): SignedIn,
    Id(id): Id,
    Query(query): Query<RequestsQuery>,
) -> Result<Response, Error> {
    let id = UserId(id);
    let visible = requests::of_user(&app, &call, id).await?;
    let (page, about) = if id == call.caller.id {
        let page = visit.page(Section::Tokens, "Requests").below("Tokens", Section::Tokens.path());
        (page, About { words: "Whatever was decided on your tokens", name: None })
    } else {
        let name = users::one(&app, &call, id).await?.name;
        let page = visit.page(Section::People, "Requests").below("People", Section::People.path());
        let page = page.below(&*name, people::user_path(id));
        (page, About { words: "Whatever was decided on the tokens of", name: Some(name) })
    };
    show(&app, page, about, &visible, query).await
}

/// `GET /settings/requests`
pub async fn of_services(
    State(app): State<Arc<App>>,
    visit: Visit,
    ManagesServiceTokens(call): ManagesServiceTokens,
    Query(query): Query<RequestsQuery>,
) -> Result<Response, Error> {
    let visible = requests::of_services(&call)?;
    let page = visit.page(Section::Tokens, "Requests").below("Service tokens", tokens::SERVICE);
    let about =
        About { words: "Whatever was decided on service tokens, and on what is no token", name: None };
    show(&app, page, about, &visible, query).await
}

async fn show(
    app: &App,
    page: Page,
    about: About,
    visible: &Visible,
    query: RequestsQuery,
) -> Result<Response, Error> {
    let cursor = query.cursor.parse().ok();
    let (found, messages) = match query.filter(visible) {
        Ok(filter) => (Some(requests::page(app, visible, filter, cursor, SIZE).await?), Messages::default()),
        Err(error) => (None, Messages::of_error(error, "from")?),
    };
    let listing = Listing::new(&page, ("time", true), (1, SIZE as u64), 0);
    let next = found.as_ref().and_then(|found| found.next);
    let whole = RequestsPage {
        table: Table::of(&page, visible, found),
        all: page.here().split('?').next().unwrap_or_default().to_owned(),
        newest: cursor.map(|_| listing.with("cursor", "")),
        older: next.map(|next| listing.with("cursor", &next.to_string())),
        kept: plural(app.config.request_log.retention_days.get().into(), "day", "days"),
        page,
        about,
        query,
        messages,
    };
    Ok((whole.messages.status(), Rendered(whole)).into_response())
}
