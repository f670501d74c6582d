//! `/settings/policies`: what holds for new tokens, and how a directory is connected.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use tokenhouse_core::token::LifetimePolicy;

use super::page::{Page, Rendered, Section, Visit};
use super::text::plural;
use crate::app::App;
use crate::auth::session::Audits;

#[derive(Template)]
#[template(path = "policies.html")]
struct Policies {
    page: Page,
    /// The longest lifetime, with its unit.
    longest: String,
    allow_never: bool,
}

/// `GET /settings/policies`
pub async fn policies(State(app): State<Arc<App>>, _caller: Audits, visit: Visit) -> Response {
    let policy = LifetimePolicy::from(app.config.policy);
    let longest = plural(policy.most_days().unsigned_abs(), "day", "days");
    let page = visit.page(Section::Settings, "Policies");
    Rendered(Policies { page, longest, allow_never: policy.allow_never }).into_response()
}
