//! `…/requests`: what was done with tokens

mod wire;

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{TokenId, UserId};
use tokenhouse_requests::{Cursor, Filter, Per};
use utoipa::IntoParams;

pub use self::wire::{LoggedRequest, Ranked, RequestBucket, RequestSummary, RequestTop, Requests, UsedToken};
use super::body::{Id, Query};
use crate::app::App;
use crate::auth::guard::{Anyone, ManagesServiceTokens};
use crate::error::{Error, Fields, Problem};
use crate::service::requests::{self, Narrowing, Visible};

/// The most requests of one answer.
const LIMIT: i64 = 100;

/// Days that are summed up if no beginning is told.
const DAYS: i64 = 7;

/// Which requests are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RequestQuery {
    /// From this instant on.
    #[param(example = "2026-01-15T10:30:00Z")]
    from: Option<String>,
    /// Before this instant.
    to: Option<String>,
    /// Only these.
    #[param(pattern = "^(allowed|denied)$")]
    decision: Option<String>,
    /// From this address.
    ip: Option<String>,
    /// For this path, or for those that begin with it if it ends with `*`.
    path: Option<String>,
}

impl RequestQuery {
    fn filter(&self, visible: &Visible) -> Result<Filter, Error> {
        let mut fields = Fields::default();
        let window = open_window(self.from.as_deref(), self.to.as_deref(), &mut fields);
        let narrowing = Narrowing {
            decision: self.decision.as_deref(),
            ip: self.ip.as_deref(),
            path: self.path.as_deref(),
        };
        let filter = visible.narrowed(window, narrowing, &mut fields);
        fields.finish()?;
        Ok(filter)
    }
}

/// Which part of a list is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CursorQuery {
    /// At most so many.
    #[serde(default = "fifty")]
    #[param(default = 50, minimum = 1, maximum = 100)]
    limit: i64,
    /// Where the part before it ended.
    cursor: Option<String>,
}

const fn fifty() -> i64 {
    50
}

/// How requests are summed up.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PerQuery {
    /// By hour or by day.
    #[param(default = "hour", pattern = "^(hour|day)$")]
    per: Option<String>,
}

async fn list(
    app: &App,
    visible: &Visible,
    query: &RequestQuery,
    part: &CursorQuery,
) -> Result<axum::Json<Requests>, Error> {
    let filter = query.filter(visible)?;
    let limit = usize::try_from(part.limit).ok().filter(|_| (1..=LIMIT).contains(&part.limit));
    let limit = limit.ok_or_else(|| Error::field("limit", "must be between 1 and 100"))?;
    let cursor = part.cursor.as_deref().map(str::parse::<Cursor>).transpose()?;
    let page = requests::page(app, visible, filter, cursor, limit).await?;
    Ok(axum::Json(Requests::of(page, visible)))
}

/// From when on and before when, as far as it was said; notes what is wrong with it.
pub(super) fn open_window(
    from: Option<&str>,
    to: Option<&str>,
    fields: &mut Fields,
) -> (Option<Timestamp>, Option<Timestamp>) {
    let mut instant = |name: &str, text: Option<&str>| {
        let parsed = text.map(Timestamp::parse);
        if parsed == Some(None) {
            fields.wrong(name, "must be a time such as 2026-01-15T10:30:00Z");
        }
        parsed.flatten()
    };
    (instant("from", from), instant("to", to))
}

/// The same where it has to begin and to end: the last seven days, if nothing else is wanted.
pub(super) fn closed_window(
    app: &App,
    (from, to): (Option<Timestamp>, Option<Timestamp>),
) -> (Timestamp, Timestamp) {
    let to = to.unwrap_or_else(|| Timestamp::from_micros(app.clock.now().micros() + 1));
    (from.unwrap_or_else(|| to.plus_days(-DAYS)), to)
}

/// What a summary looks at.
fn closed(app: &App, filter: Filter) -> (Filter, (Timestamp, Timestamp)) {
    let (from, to) = closed_window(app, (filter.from, filter.to));
    (Filter { from: Some(from), to: Some(to), ..filter }, (from, to))
}

async fn summary(
    app: &App,
    visible: &Visible,
    query: &RequestQuery,
    per: &PerQuery,
) -> Result<axum::Json<RequestSummary>, Error> {
    let per = match per.per.as_deref() {
        None | Some("hour") => Per::Hour,
        Some("day") => Per::Day,
        Some(_) => return Err(Error::field("per", "must be hour or day")),
    };
    let (filter, (from, to)) = closed(app, query.filter(visible)?);
    let buckets = requests::counts(app, filter, per).await?;
    Ok(axum::Json(RequestSummary::of(from, to, buckets)))
}

async fn top(app: &App, visible: &Visible, query: &RequestQuery) -> Result<axum::Json<RequestTop>, Error> {
    let (filter, _) = closed(app, query.filter(visible)?);
    Ok(axum::Json(requests::top(app, filter).await?.into()))
}

/// Requests of a token, newest first
#[utoipa::path(get, path = "/api/user-tokens/{id}/requests", tag = "Requests", security(("bearer" = [])),
    params(("id" = i64, Path), RequestQuery, CursorQuery),
    responses((status = 200, body = Requests), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn of_token(
    State(app): State<Arc<App>>,
    Anyone(call): Anyone,
    Id(id): Id,
    query: Query<RequestQuery>,
    part: Query<CursorQuery>,
) -> Result<axum::Json<Requests>, Error> {
    let (visible, _) = requests::of_token(&app, &call, TokenId(id)).await?;
    list(&app, &visible, &query.0, &part.0).await
}

/// How many requests of a token were allowed and denied
#[utoipa::path(get, path = "/api/user-tokens/{id}/requests/summary", tag = "Requests", security(("bearer" = [])),
    params(("id" = i64, Path), RequestQuery, PerQuery),
    responses((status = 200, body = RequestSummary), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn of_token_summary(
    State(app): State<Arc<App>>,
    Anyone(call): Anyone,
    Id(id): Id,
    query: Query<RequestQuery>,
    per: Query<PerQuery>,
) -> Result<axum::Json<RequestSummary>, Error> {
    let (visible, _) = requests::of_token(&app, &call, TokenId(id)).await?;
    summary(&app, &visible, &query.0, &per.0).await
}

/// Addresses, paths and user agents of requests of a token
#[utoipa::path(get, path = "/api/user-tokens/{id}/requests/top", tag = "Requests", security(("bearer" = [])),
    params(("id" = i64, Path), RequestQuery),
    responses((status = 200, body = RequestTop), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn of_token_top(
    State(app): State<Arc<App>>,
    Anyone(call): Anyone,
    Id(id): Id,
    query: Query<RequestQuery>,
) -> Result<axum::Json<RequestTop>, Error> {
    let (visible, _) = requests::of_token(&app, &call, TokenId(id)).await?;
    top(&app, &visible, &query.0).await
}

/// Requests of a user's tokens, newest first
#[utoipa::path(get, path = "/api/users/{id}/requests", tag = "Requests", security(("bearer" = [])),
    params(("id" = i64, Path), RequestQuery, CursorQuery),
    responses((status = 200, body = Requests), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn of_user(
    State(app): State<Arc<App>>,
    Anyone(call): Anyone,
    Id(id): Id,
    query: Query<RequestQuery>,
    part: Query<CursorQuery>,
) -> Result<axum::Json<Requests>, Error> {
    let visible = requests::of_user(&app, &call, UserId(id)).await?;
    list(&app, &visible, &query.0, &part.0).await
}

/// How many requests of a user's tokens were allowed and denied
#[utoipa::path(get, path = "/api/users/{id}/requests/summary", tag = "Requests", security(("bearer" = [])),
    params(("id" = i64, Path), RequestQuery, PerQuery),
    responses((status = 200, body = RequestSummary), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn of_user_summary(
    State(app): State<Arc<App>>,
    Anyone(call): Anyone,
    Id(id): Id,
    query: Query<RequestQuery>,
    per: Query<PerQuery>,
) -> Result<axum::Json<RequestSummary>, Error> {
    let visible = requests::of_user(&app, &call, UserId(id)).await?;
    summary(&app, &visible, &query.0, &per.0).await
}

/// Addresses, paths and user agents of requests of a user's tokens
#[utoipa::path(get, path = "/api/users/{id}/requests/top", tag = "Requests", security(("bearer" = [])),
    params(("id" = i64, Path), RequestQuery),
    responses((status = 200, body = RequestTop), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn of_user_top(
    State(app): State<Arc<App>>,
    Anyone(call): Anyone,
    Id(id): Id,
    query: Query<RequestQuery>,
) -> Result<axum::Json<RequestTop>, Error> {
    let visible = requests::of_user(&app, &call, UserId(id)).await?;
    top(&app, &visible, &query.0).await
}

/// Requests of all service tokens, and those with what is no token, newest first
#[utoipa::path(get, path = "/api/requests", tag = "Requests", security(("bearer" = [])),
    params(RequestQuery, CursorQuery),
    responses((status = 200, body = Requests), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn of_services(
    State(app): State<Arc<App>>,
    ManagesServiceTokens(call): ManagesServiceTokens,
    query: Query<RequestQuery>,
    part: Query<CursorQuery>,
) -> Result<axum::Json<Requests>, Error> {
    let visible = requests::of_services(&call)?;
    list(&app, &visible, &query.0, &part.0).await
}

/// How many requests of all service tokens, and those with what is no token were allowed and denied
#[utoipa::path(get, path = "/api/requests/summary", tag = "Requests", security(("bearer" = [])),
    params(RequestQuery, PerQuery),
    responses((status = 200, body = RequestSummary), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn of_services_summary(
    State(app): State<Arc<App>>,
    ManagesServiceTokens(call): ManagesServiceTokens,
    query: Query<RequestQuery>,
    per: Query<PerQuery>,
) -> Result<axum::Json<RequestSummary>, Error> {
    let visible = requests::of_services(&call)?;
    summary(&app, &visible, &query.0, &per.0).await
}

/// Addresses, paths and user agents of requests of all service tokens, and those with what is no token
#[utoipa::path(get, path = "/api/requests/top", tag = "Requests", security(("bearer" = [])),
    params(RequestQuery),
    responses((status = 200, body = RequestTop), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn of_services_top(
    State(app): State<Arc<App>>,
    ManagesServiceTokens(call): ManagesServiceTokens,
    query: Query<RequestQuery>,
) -> Result<axum::Json<RequestTop>, Error> {
    let visible = requests::of_services(&call)?;
    top(&app, &visible, &query.0).await
}
