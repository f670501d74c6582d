//! `/settings/alerts`: what people are told, by which channels, and what couldn't be delivered.

use std::borrow::Borrow;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::policy::Permission;
use tokenhouse_store::alerts::Alert;
use tokenhouse_store::deliveries::State as DeliveryState;

use super::list::Listing;
use super::moment::Moment;
use super::page::{Page, Rendered, Section, Visit};
use super::toast::{Happening, Toast};
use crate::alerts::Failure;
use crate::api::PageQuery;
use crate::api::body::{Id, Query};
use crate::app::App;
use crate::auth::guard::Call;
use crate::auth::session::{Audits, SignedIn};
use crate::error::Error;
use crate::service::alerts::{self, Shown};

const PATH: &str = "/settings/alerts";

/// Deliveries that are shown.
const DEAD: i64 = 50;

#[derive(Template)]
#[template(path = "alerts.html")]
struct Alerts {
    page: Page,
    /// Whether the viewer sees what all Admins are told, and the channels.
    audits: bool,
    channels: Vec<ChannelLine>,
    /// The channel that was tested, and why nothing arrived.
    failed: Option<(String, String)>,
    alerts: Vec<Alert>,
    listing: Listing,
    dead: Vec<Shown>,
    /// How many couldn't be delivered, with those that aren't shown.
    dead_total: u64,
}

/// A channel in its line.
struct ChannelLine {
    name: String,
    title: &'static str,
}

impl Alerts {
    async fn of(
        app: &App,
        call: &Call,
        visit: &Visit,
        window: PageQuery,
        failed: Option<(String, Failure)>,
    ) -> Result<Self, Error> {
        let (limit, offset) = window.window()?;
        let found = alerts::page(app, call, limit, offset).await?;
        let dead = alerts::deliveries(app, call, Some(DeliveryState::Dead), (DEAD, 0)).await?;
        let audits = call.caller.has(Permission::Audit);
        let page = visit.page(if audits { Section::Settings } else { Section::Tokens }, "Alerts");
        let counted = |number: i64| u64::try_from(number).unwrap_or_default();
        let place = (counted(window.page), counted(window.size));
        let listing = Listing::new(&page, ("at", true), place, counted(found.total));
        let line = |channel: &crate::alerts::Channel| ChannelLine {
            name: channel.name.clone(),
            title: channel.way.title(),
        };
        Ok(Self {
            page,
            audits,
            channels: app.alerts.channels.iter().map(line).collect(),
            failed: failed.map(|(name, failure)| (name, failure.text)),
            alerts: found.items,
            listing,
            dead: dead.items,
            dead_total: counted(dead.total),
        })
    }

    fn moment(&self, at: impl Borrow<Timestamp>) -> Moment {
        self.page.moment(*at.borrow())
    }

    fn has_email(&self) -> bool {
        self.channels.iter().any(|channel| channel.name == crate::config::alerts::EMAIL)
    }
}

/// `GET /settings/alerts`
pub async fn list(
    State(app): State<Arc<App>>,
    visit: Visit,
    SignedIn(call): SignedIn,
    Query(window): Query<PageQuery>,
) -> Result<Response, Error> {
    Ok(Rendered(Alerts::of(&app, &call, &visit, window, None).await?).into_response())
}

/// `POST /settings/alerts/deliveries/{id}/retry`
pub async fn retry(
    State(app): State<Arc<App>>,
    SignedIn(call): SignedIn,
    Id(id): Id,
) -> Result<Response, Error> {
    alerts::retry(&app, &call, id).await?;
    Ok(Toast::from(Happening::AlertRetried).then(&app, PATH))
}

/// `POST /settings/alerts/channels/{name}/test`
pub async fn test(
    State(app): State<Arc<App>>,
    visit: Visit,
    Audits(call): Audits,
    Path(name): Path<String>,
) -> Result<Response, Error> {
    match alerts::test(&app, &call, &name).await? {
        Ok(()) => Ok(Toast::from(Happening::AlertTested).then(&app, PATH)),
        Err(failure) => {
            let failed = Some((name, failure));
            let page = Alerts::of(&app, &call, &visit, PageQuery::FIRST, failed).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, Rendered(page)).into_response())
        }
    }
}
