//! `/api/alerts`: what people are told, and whether it arrived

use std::sync::Arc;

use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{TokenId, UserId};
use tokenhouse_store::alerts::Alert as Stored;
use tokenhouse_store::deliveries::State as DeliveryState;
use utoipa::{IntoParams, ToSchema};

use super::body::{Id, Query};
use super::{PageOf, PageQuery};
use crate::app::App;
use crate::auth::guard::{Anyone, Audits};
use crate::error::{Error, Fields, Problem};
use crate::service::alerts::{self, Shown};

/// Something that needs attention.
#[derive(Debug, Serialize, ToSchema)]
pub struct Alert {
    /// Its number.
    id: i64,
    /// When it was noticed.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// The rule that noticed it.
    #[schema(example = "token.expiring")]
    kind: String,
    /// Whether it is for the caller alone; else it is for all Admins.
    personal: bool,
    /// One line.
    title: String,
    /// What happened and what to do.
    text: String,
    /// The page where something can be done.
    #[schema(example = "/settings/tokens/47")]
    path: String,
    /// The token it is about.
    #[schema(value_type = Option<i64>, required)]
    token_id: Option<TokenId>,
    /// The account it is about.
    #[schema(value_type = Option<i64>, required)]
    user_id: Option<UserId>,
}

impl From<Stored> for Alert {
    fn from(alert: Stored) -> Self {
        let Stored { id, at, kind, recipient, token, user, title, text, path } = alert;
        Self {
            id,
            at,
            kind,
            personal: recipient.is_some(),
            title,
            text,
            path,
            token_id: token,
            user_id: user,
        }
    }
}

/// An alert on its way through a channel.
#[derive(Debug, Serialize, ToSchema)]
pub struct AlertDelivery {
    /// Its number.
    id: i64,
    /// The alert; null if it is for somebody else alone.
    #[schema(required)]
    alert: Option<Alert>,
    /// The alert's kind; `personal` if it is for somebody else alone.
    #[schema(example = "token.expiring")]
    kind: String,
    /// The channel.
    channel: String,
    /// To whom, where the channel reaches one person.
    #[schema(value_type = Option<i64>, required)]
    user_id: Option<UserId>,
    /// `pending`, `sent` or `dead`: tried so often that it is tried no more.
    #[schema(value_type = String, pattern = "^(pending|sent|dead)$")]
    state: String,
    /// How often it was tried.
    attempts: i64,
    /// When it is tried next, if it is pending.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    next_attempt_at: Option<Timestamp>,
    /// Why it failed last.
    #[schema(required)]
    last_error: Option<String>,
}

impl From<Shown> for AlertDelivery {
    fn from(shown: Shown) -> Self {
        let alert = shown.alert().cloned().map(Alert::from);
        let kind = shown.kind().to_owned();
        let delivery = shown.delivery;
        let is_pending = delivery.state == DeliveryState::Pending;
        Self {
            id: delivery.id,
            alert,
            kind,
            channel: delivery.channel,
            user_id: delivery.user,
            state: delivery.state.as_str().to_owned(),
            attempts: delivery.attempts,
            next_attempt_at: is_pending.then_some(delivery.next_at),
            last_error: delivery.last_error,
        }
    }
}

/// What came of a test.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChannelTest {
    /// Whether the channel took the alert.
    delivered: bool,
    /// Why it didn't.
    #[schema(required)]
    error: Option<String>,
}

/// Which deliveries are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct DeliveriesQuery {
    /// Number of the page, from 1.
    #[serde(default = "super::first")]
    #[param(default = 1, minimum = 1)]
    page: i64,
    /// Items on a page.
    #[serde(default = "super::fifty")]
    #[param(default = 50, minimum = 1, maximum = 100)]
    size: i64,
    /// In this state: `pending`, `sent` or `dead`.
    #[serde(default)]
    state: Option<String>,
}

/// The alerts to the caller, and for Admins those to all Admins, newest first
#[utoipa::path(get, path = "/api/alerts", tag = "Alerts", params(PageQuery), security(("bearer" = [])),
    responses((status = 200, body = PageOf<Alert>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn list(
    State(app): State<Arc<App>>,
    Anyone(call): Anyone,
    Query(query): Query<PageQuery>,
) -> Result<axum::Json<PageOf<Alert>>, Error> {
    let (limit, offset) = query.window()?;
    let found = alerts::page(&app, &call, limit, offset).await?;
    Ok(axum::Json(query.answer(found, Alert::from)))
}

/// What is on its way to the caller, or for Admins to anybody, newest first
///
/// Of an alert that is for somebody else alone, nothing is told but that it has to be delivered.
#[utoipa::path(get, path = "/api/alerts/deliveries", tag = "Alerts", params(DeliveriesQuery), security(("bearer" = [])),
    responses((status = 200, body = PageOf<AlertDelivery>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn deliveries(
    State(app): State<Arc<App>>,
    Anyone(call): Anyone,
    Query(query): Query<DeliveriesQuery>,
) -> Result<axum::Json<PageOf<AlertDelivery>>, Error> {
    let DeliveriesQuery { page, size, state } = query;
    let page = PageQuery { page, size };
    let window = page.window()?;
    let mut fields = Fields::default();
    let state = state.map(|state| fields.check("state", state.parse::<DeliveryState>()));
    fields.finish()?;
    let found = alerts::deliveries(&app, &call, state.flatten(), window).await?;
    Ok(axum::Json(page.answer(found, AlertDelivery::from)))
}

/// Lets a delivery that hasn't arrived begin anew
#[utoipa::path(post, path = "/api/alerts/deliveries/{id}/retry", tag = "Alerts", params(("id" = i64, Path)), security(("bearer" = [])),
    responses((status = 200, body = AlertDelivery), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn retry(
    State(app): State<Arc<App>>,
    Anyone(call): Anyone,
    Id(id): Id,
) -> Result<axum::Json<AlertDelivery>, Error> {
    Ok(axum::Json(alerts::retry(&app, &call, id).await?.into()))
}

/// Sends an alert through a channel now, and tells whether it arrived; by e-mail, to the caller
#[utoipa::path(post, path = "/api/alerts/channels/{name}/test", tag = "Alerts", params(("name" = String, Path)), security(("bearer" = [])),
    responses((status = 200, body = ChannelTest), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn test(
    State(app): State<Arc<App>>,
    Audits(call): Audits,
    Path(name): Path<String>,
) -> Result<axum::Json<ChannelTest>, Error> {
    let error = alerts::test(&app, &call, &name).await?.err().map(|failure| failure.text);
    Ok(axum::Json(ChannelTest { delivered: error.is_none(), error }))
}
