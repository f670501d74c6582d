//! Forms on the page of a token: who rotates it, and whether the old one closes by itself.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use tokenhouse_core::id::TokenId;

use super::{Way, path};
use crate::api::body::{Form, Id, Query};
use crate::app::App;
use crate::auth::session::SignedIn;
use crate::error::Error;
use crate::service::tokens::closing::{self, WantedClosing};
use crate::service::tokens::plans::{self, WantedPlan};
use crate::ui::toast::{Happening, Toast};

/// Who rotates it. Without a name, nobody.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanForm {
    responsible: String,
    days_before: String,
}

/// `POST /settings/tokens/{id}/plan`
pub async fn plan(
    State(app): State<Arc<App>>,
    SignedIn(call): SignedIn,
    Id(id): Id,
    Form(form): Form<PlanForm>,
) -> Result<Response, Error> {
    let id = TokenId(id);
    let responsible = form.responsible.trim();
    // What is no number is out of every range.
    let days_before = form.days_before.trim().parse().unwrap_or(-1);
    let wanted = (!responsible.is_empty()).then_some(WantedPlan { responsible, days_before });
    plans::of_token(&app, &call, id, wanted).await?;
    Ok(Toast::from(Happening::RotationPlanned).then(&app, &path(id)))
}

/// After how many quiet hours the old one is revoked; without them, never.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClosingForm {
    hours: Option<i64>,
}

/// `POST /settings/tokens/{id}/closing`
pub async fn closing(
    State(app): State<Arc<App>>,
    SignedIn(call): SignedIn,
    Id(id): Id,
    Query(way): Query<Way>,
    Form(form): Form<ClosingForm>,
) -> Result<Response, Error> {
    let id = TokenId(id);
    let wanted = form.hours.map(|hours| WantedClosing { hours, deadline_days: None });
    closing::close_when_quiet(&app, &call, id, wanted).await?;
    Ok(Toast::from(Happening::RotationPlanned).then(&app, &way.back_or(&path(id))))
}
