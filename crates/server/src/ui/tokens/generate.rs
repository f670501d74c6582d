//! The dialog that makes a token.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokenhouse_core::id::UserId;
use tokenhouse_core::policies::Policies;
use tokenhouse_core::policy::Permission;
use tokenhouse_core::token::{LifetimePolicy, TokenKind};
use tokenhouse_store::users::User;

use super::lifetimes::{self, Lifetimes};
use super::list::{Dialog, TokensPage};
use super::{MadeBefore, list_of};
use crate::api::body::{Form, Query};
use crate::app::App;
use crate::auth::guard::Call;
use crate::auth::session::SignedIn;
use crate::error::Error;
use crate::service::policies;
use crate::service::tokens::Wanted;
use crate::service::tokens::forms::{self, Candidates, Sent};
use crate::ui::form::Messages;
use crate::ui::page::{Section, Visit};
use crate::ui::text::grouped;
use crate::ui::token_shown::TokenShown;

/// How many service users are listed below a text that names none of them.
const LISTED: usize = 8;

/// No service user.
const NOBODY: UserId = UserId(0);

/// What the dialog begins with.
#[derive(Debug, Deserialize)]
pub struct Beginning {
    #[serde(default = "personal")]
    kind: TokenKind,
    /// `user_id` of a service user.
    #[serde(default)]
    user_id: String,
}

/// The form of the dialog.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerateForm {
    form: String,
    name: String,
    #[serde(default = "personal")]
    kind: TokenKind,
    /// The service user, by id, slug or name, as typed.
    #[serde(default)]
    user_id: String,
    /// What was typed when the service users below were listed.
    #[serde(default)]
    searched: String,
    /// The one of them that was chosen.
    #[serde(default)]
    listed: String,
    #[serde(default)]
    expires_in_days: String,
    scim_endpoints_only: Option<String>,
}

const fn personal() -> TokenKind {
    TokenKind::Personal
}

impl GenerateForm {
    /// What names the service user: the one that was chosen, unless the text was changed afterwards.
    fn service_user(&self) -> &str {
        if self.listed.is_empty() || self.searched != self.user_id { &self.user_id } else { &self.listed }
    }
}

/// The dialog as it is shown.
pub(super) struct GenerateDialog {
    pub(super) form: String,
    pub(super) messages: Messages,
    pub(super) name: String,
    pub(super) is_service: bool,
    /// Whether the viewer may make service and SCIM tokens.
    pub(super) is_admin: bool,
    pub(super) user_id: String,
    pub(super) candidates: Candidates,
    pub(super) lifetimes: Lifetimes,
    pub(super) is_scim: bool,
    pub(super) close: &'static str,
}

impl GenerateDialog {
    /// Service users to choose from, below a text that names none of them.
    pub(super) fn listed(&self) -> &[User] {
        let offered = &self.candidates.offered;
        match self.messages.of("user_id") {
            Some(_) => &offered[..offered.len().min(LISTED)],
            None => &[],
        }
    }

    /// How many more there are, if any.
    pub(super) fn unlisted(&self) -> Option<String> {
        let more = self.candidates.total.unsigned_abs().saturating_sub(self.listed().len() as u64);
        (more > 0).then(|| grouped(more))
    }
}

/// `GET /settings/tokens/generate`
pub async fn form(
    State(app): State<Arc<App>>,
    visit: Visit,
    SignedIn(call): SignedIn,
    Query(beginning): Query<Beginning>,
) -> Result<Response, Error> {
    let candidates = candidates(&app, &call, beginning.kind, &beginning.user_id).await?;
    let page = visit.page(Section::Tokens, "Tokens");
    let policies = policies::in_force(&app);
    let dialog = GenerateDialog {
        form: forms::number(&app)?,
        messages: Messages::default(),
        name: String::new(),
        is_service: beginning.kind == TokenKind::Service,
        is_admin: call.caller.has(Permission::ManageServiceTokens),
        user_id: beginning.user_id,
        candidates,
        lifetimes: Lifetimes::usual(&page, offered(&call, &policies), policies.usual_days(beginning.kind)),
        is_scim: false,
        close: list_of(beginning.kind),
    };
    let page = TokensPage::behind(&app, &call, &visit, beginning.kind).await?;
    Ok(page.with(Dialog::Generate(Box::new(dialog))))
}

/// The lifetimes to choose from. Whoever can choose the kind sees what either may: the choice is checked later.
fn offered(call: &Call, policies: &Policies) -> LifetimePolicy {
    if call.caller.has(Permission::ManageServiceTokens) { policies.widest() } else { policies.personal }
}

/// The service users that fit; whoever makes no service token needs none, but may change their mind.
async fn candidates(app: &App, call: &Call, kind: TokenKind, text: &str) -> Result<Candidates, Error> {
    if kind == TokenKind::Personal && !call.caller.has(Permission::ManageServiceTokens) {
        return Ok(Candidates::default());
    }
    forms::candidates(app, call, text).await
}

/// `POST /settings/tokens/generate`
pub async fn generate(
    State(app): State<Arc<App>>,
    visit: Visit,
    SignedIn(call): SignedIn,
    Form(form): Form<GenerateForm>,
) -> Result<Response, Error> {
    let candidates = candidates(&app, &call, form.kind, form.service_user()).await?;
    let service_user = candidates.named.as_ref().map_or(NOBODY, |user| user.id);
    let wanted = Wanted {
        name: &form.name,
        expires_in_days: lifetimes::parse(&form.expires_in_days),
        scim_endpoints_only: form.scim_endpoints_only.is_some(),
        user_id: (form.kind == TokenKind::Service).then_some(service_user),
    };
    let close = list_of(form.kind);
    // All that can fail comes before the token is made: its secret is shown with this answer or never.
    let behind = TokensPage::behind(&app, &call, &visit, form.kind).await?;
    match forms::generate(&app, &call, wanted, &form.form).await {
        Ok(Sent::Made(generated)) => {
            let page = visit.page(Section::Tokens, "Tokens");
            let shown = TokenShown::new(&app, &page, generated, close);
            Ok(behind.with(Dialog::Shown(Box::new(shown))))
        }
        Ok(Sent::Before(token)) => {
            let page = behind.with(Dialog::Before(MadeBefore::new(&token, close)));
            Ok((http::StatusCode::CONFLICT, page).into_response())
        }
        Err(error) => {
            let status = error.status();
            let offered = offered(&call, &policies::in_force(&app));
            let dialog = again(offered, &call, &visit, form, candidates, error)?;
            Ok((status, behind.with(Dialog::Generate(Box::new(dialog)))).into_response())
        }
    }
}

/// The dialog with what was sent, and what is wrong with it.
fn again(
    offered: LifetimePolicy,
    call: &Call,
    visit: &Visit,
    form: GenerateForm,
    candidates: Candidates,
    error: Error,
) -> Result<GenerateDialog, Error> {
    let is_taken = matches!(error, Error::Exists(_));
    let mut messages = Messages::of_error(error, "name")?;
    if is_taken {
        messages.reword("name", taken(&form, &candidates));
    }
    if form.expires_in_days.is_empty() {
        messages.reword("expires_in_days", "choose one of these");
    }
    if candidates.named.is_none() {
        messages.reword("user_id", unnamed(form.user_id.trim(), &candidates));
    }
    let page = visit.page(Section::Tokens, "Tokens");
    Ok(GenerateDialog {
        form: form.form,
        messages,
        name: form.name,
        is_service: form.kind == TokenKind::Service,
        is_admin: call.caller.has(Permission::ManageServiceTokens),
        user_id: candidates.named.as_ref().map_or(form.user_id, |user| user.user_id.clone()),
        candidates,
        lifetimes: Lifetimes::sent(&page, offered, &form.expires_in_days),
        is_scim: form.scim_endpoints_only.is_some(),
        close: list_of(form.kind),
    })
}

fn taken(form: &GenerateForm, candidates: &Candidates) -> String {
    let owner = match &candidates.named {
        Some(user) if form.kind == TokenKind::Service => format!("\u{2068}{}\u{2069} already has", user.name),
        _ => "You already have".to_owned(),
    };
    format!(
        "{owner} a token with this name. Revoked and expired ones count too; choose another name, or rotate that token"
    )
}

/// Why a text names no service user.
fn unnamed(text: &str, candidates: &Candidates) -> &'static str {
    match (text, candidates.total) {
        ("", 0) => "there is no active service user yet; add one first",
        ("", _) => "type its name or id, or choose one of these",
        (_, 0) => "no active service user is called that; type a part of its name",
        (_, 1) => "do you mean this one? Choose it",
        _ => "several service users fit; choose one of them",
    }
}
