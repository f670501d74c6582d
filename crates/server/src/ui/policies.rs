//! `/settings/policies`: what holds for all tokens, and how a directory is connected.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokenhouse_core::policies as core;
use tokenhouse_core::token::LifetimePolicy;

use super::form::Messages;
use super::page::{Page, Rendered, Section, Visit};
use super::text::plural;
use super::toast::{Happening, Toast};
use crate::api::body::Form;
use crate::app::App;
use crate::auth::session::Audits;
use crate::error::Error;
use crate::service::Change;
use crate::service::policies::{self, Update};

const PATH: &str = "/settings/policies";

#[derive(Template)]
#[template(path = "policies.html")]
struct Policies {
    page: Page,
    messages: Messages,
    form: PoliciesForm,
    /// The longest lifetime that the configuration allows, with its unit.
    longest: String,
    /// Whether the configuration allows tokens without an end.
    allow_never: bool,
    /// Where a directory signs in.
    scim_url: String,
}

/// The form, as it was shown or sent. Numbers are texts, so that what was typed can be shown again.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoliciesForm {
    personal_days: String,
    personal_never: Option<String>,
    service_days: String,
    service_never: Option<String>,
    default_expires_in_days: String,
    /// Empty is never.
    revoke_unused_after_days: String,
    require_purpose_and_owner: Option<String>,
    /// Empty is always.
    restore_within_days: String,
    restore_leaked: Option<String>,
}

impl From<core::Policies> for PoliciesForm {
    fn from(policies: core::Policies) -> Self {
        let on = |is_on: bool| is_on.then(|| "on".to_owned());
        let days = |days: Option<i64>| days.map(|days| days.to_string()).unwrap_or_default();
        Self {
            personal_days: policies.personal.max_days.to_string(),
            personal_never: on(policies.personal.allow_never),
            service_days: policies.service.max_days.to_string(),
            service_never: on(policies.service.allow_never),
            default_expires_in_days: policies.default_expires_in_days.to_string(),
            revoke_unused_after_days: days(policies.revoke_unused_after_days),
            require_purpose_and_owner: on(policies.require_purpose_and_owner),
            restore_within_days: days(policies.restore_within_days),
            restore_leaked: on(policies.restore_leaked),
        }
    }
}

impl PoliciesForm {
    fn update(&self) -> Update {
        // What is no number is out of every range.
        let days = |typed: &str| typed.trim().parse().unwrap_or(-1);
        let optional = |typed: &str| (!typed.trim().is_empty()).then(|| days(typed));
        Update {
            personal_days: Some(days(&self.personal_days)),
            personal_never: Some(self.personal_never.is_some()),
            service_days: Some(days(&self.service_days)),
            service_never: Some(self.service_never.is_some()),
            default_expires_in_days: Some(days(&self.default_expires_in_days)),
            revoke_unused_after_days: Change::To(optional(&self.revoke_unused_after_days)),
            require_purpose_and_owner: Some(self.require_purpose_and_owner.is_some()),
            restore_within_days: Change::To(optional(&self.restore_within_days)),
            restore_leaked: Some(self.restore_leaked.is_some()),
        }
    }
}

impl Policies {
    fn new(app: &App, visit: &Visit, form: PoliciesForm, messages: Messages) -> Self {
        let ceiling = LifetimePolicy::from(app.config.policy);
        Self {
            page: visit.page(Section::Settings, "Policies"),
            messages,
            form,
            longest: plural(ceiling.most_days().unsigned_abs(), "day", "days"),
            allow_never: ceiling.allow_never,
            scim_url: format!("{}/scim/v2", app.config.server.public_url),
        }
    }
}

/// `GET /settings/policies`
pub async fn policies(State(app): State<Arc<App>>, _caller: Audits, visit: Visit) -> Result<Response, Error> {
    let form = PoliciesForm::from(policies::in_force(&app));
    Ok(Rendered(Policies::new(&app, &visit, form, Messages::default())).into_response())
}

/// `POST /settings/policies`
pub async fn save(
    State(app): State<Arc<App>>,
    Audits(call): Audits,
    visit: Visit,
    Form(form): Form<PoliciesForm>,
) -> Result<Response, Error> {
    match policies::update(&app, &call, form.update()).await {
        Ok(_) => Ok(Toast::from(Happening::PoliciesChanged).then(&app, PATH)),
        Err(error) => {
            let messages = Messages::of_error(error, "personal.max_lifetime_days")?;
            let status = messages.status();
            Ok((status, Rendered(Policies::new(&app, &visit, form, messages))).into_response())
        }
    }
}
