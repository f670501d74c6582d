//! The dialog that makes a successor.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokenhouse_core::id::TokenId;

use super::details::{Dialog, TokenPage};
use super::lifetimes::{self, Lifetimes};
use super::{MadeBefore, Way, path};
use crate::api::body::{Form, Id, Query};
use crate::app::App;
use crate::auth::session::SignedIn;
use crate::error::Error;
use crate::service::tokens::closing::WantedClosing;
use crate::service::tokens::forms::{self, Proposal, Sent};
use crate::service::tokens::rotation::{Succession, WantedLifetime};
use crate::ui::form::Messages;
use crate::ui::page::{Section, Visit};
use crate::ui::token_shown::TokenShown;

/// After how many quiet hours the old one may be revoked by itself.
const CLOSINGS: [(&str, &str); 4] = [
    ("", "I revoke it myself"),
    ("24", "After 24 quiet hours"),
    ("168", "After 7 quiet days"),
    ("720", "After 30 quiet days"),
];

/// After so many days reviews name an old one that was to close and is still used.
const DEADLINE_DAYS: i64 = 60;

/// The form of the dialog.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotateForm {
    form: String,
    name: String,
    #[serde(default)]
    expires_in_days: String,
    /// Revokes the old one once it was quiet for so many hours; empty is never.
    #[serde(default)]
    close_after_hours: String,
}

/// The dialog as it is shown.
pub(super) struct RotateDialog {
    pub(super) form: String,
    pub(super) messages: Messages,
    pub(super) name: String,
    pub(super) lifetimes: Lifetimes,
    /// Hours, label, and whether it is chosen.
    pub(super) closings: Vec<(&'static str, &'static str, bool)>,
    pub(super) action: String,
    pub(super) close: String,
}

/// `GET /settings/tokens/{id}/rotate`
pub async fn form(
    State(app): State<Arc<App>>,
    visit: Visit,
    SignedIn(call): SignedIn,
    Id(id): Id,
    Query(way): Query<Way>,
) -> Result<Response, Error> {
    let id = TokenId(id);
    let proposal = forms::propose(&app, &call, id).await?;
    let name = proposal.name.as_str().to_owned();
    let dialog = RotateDialog::new(&visit, &proposal, &way, None, "");
    let dialog = RotateDialog { form: forms::number(&app)?, name, ..dialog };
    let page = TokenPage::load(&app, &call, &visit, id).await?;
    Ok(page.with(Dialog::Rotate(Box::new(dialog))))
}

impl RotateDialog {
    /// The dialog without a number and a name. `chosen` is the lifetime that was sent, if any was.
    fn new(visit: &Visit, proposal: &Proposal, way: &Way, chosen: Option<&str>, closing: &str) -> Self {
        let page = visit.page(Section::Tokens, "");
        let here = path(proposal.token.id);
        Self {
            form: String::new(),
            messages: Messages::default(),
            name: String::new(),
            lifetimes: Lifetimes::as_before(&page, proposal.lifetimes, proposal.lifetime, chosen),
            closings: CLOSINGS.map(|(hours, label)| (hours, label, hours == closing)).to_vec(),
            action: format!("{here}/rotate{}", way.query()),
            close: way.back_or(&here),
        }
    }
}

/// `POST /settings/tokens/{id}/rotate`
pub async fn rotate(
    State(app): State<Arc<App>>,
    visit: Visit,
    SignedIn(call): SignedIn,
    Id(id): Id,
    Query(way): Query<Way>,
    Form(form): Form<RotateForm>,
) -> Result<Response, Error> {
    let id = TokenId(id);
    let days = lifetimes::parse(&form.expires_in_days);
    let hours = form.close_after_hours.as_str();
    let closing = (!hours.is_empty())
        .then(|| WantedClosing { hours: hours.parse().unwrap_or(0), deadline_days: Some(DEADLINE_DAYS) });
    let wanted = Succession { name: Some(&form.name), lifetime: WantedLifetime::Days(days), closing };
    let old = path(id);
    // All that can fail comes before the token is made: its secret is shown with this answer or never.
    let behind = TokenPage::load(&app, &call, &visit, id).await?;
    let error = match forms::rotate(&app, &call, id, wanted, &form.form).await {
        Ok(Sent::Made(generated)) => {
            let page = visit.page(Section::Tokens, "");
            let mut shown = TokenShown::new(&app, &page, generated, old);
            shown.succeeds = Some(behind.name().to_owned());
            return Ok(behind.with(Dialog::Shown(Box::new(shown))));
        }
        Ok(Sent::Before(token)) => {
            let page = behind.with(Dialog::Before(MadeBefore::new(&token, old)));
            return Ok((http::StatusCode::CONFLICT, page).into_response());
        }
        Err(error) => error,
    };
    let status = error.status();
    // What stands against any rotation is not for a field.
    let proposal = forms::propose(&app, &call, id).await?;
    let is_taken = matches!(error, Error::Exists(_));
    let mut messages = Messages::of_error(error, "name")?;
    if is_taken {
        messages.reword("name", "there is a token with this name already, maybe a revoked or expired one");
    }
    if form.expires_in_days.is_empty() {
        messages.reword("expires_in_days", "choose one of these");
    }
    let dialog = RotateDialog::new(&visit, &proposal, &way, Some(&form.expires_in_days), hours);
    let dialog = RotateDialog { form: form.form, name: form.name, messages, ..dialog };
    Ok((status, behind.with(Dialog::Rotate(Box::new(dialog)))).into_response())
}
