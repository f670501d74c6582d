//! Adding a service user in two steps: the account, then its first token. Both are made at the end, or
//! neither.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use tokenhouse_core::id::UserId;
use tokenhouse_core::people::{Name, Role, UserType, service_user_id, slug};

use super::users::{self, Dialog, Users};
use super::{TeamChoice, user_path};
use crate::api::body::Form;
use crate::app::App;
use crate::auth::guard::Call;
use crate::auth::session::ManagesPeople;
use crate::error::Error;
use crate::service::policies;
use crate::service::tokens;
use crate::service::tokens::forms::{self, Sent};
use crate::service::users::{Wanted, create, rehearse};
use crate::ui::form::Messages;
use crate::ui::page::{Section, Visit};
use crate::ui::toast::{Happening, Toast};
use crate::ui::token_shown::TokenShown;
use crate::ui::tokens::MadeBefore;
use crate::ui::tokens::lifetimes::{self, Lifetimes};

/// What is said of a name whose id is taken.
const TAKEN: &str =
    "there is a service user with this id already, perhaps a deactivated one; choose another name";

/// Which button was pressed.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Then {
    /// Make the account without a token.
    Finish,
    /// Go on to the token.
    #[default]
    Next,
    /// Back to the account.
    Back,
    /// Make account and token.
    Generate,
}

/// Both steps: what the first one asked is hidden in the second.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceUserForm {
    /// Its number.
    pub(super) form: String,
    pub(super) name: String,
    pub(super) role: Role,
    #[serde(default)]
    pub(super) teams: Vec<String>,
    pub(super) purpose: String,
    pub(super) owner: String,
    #[serde(default)]
    pub(super) token: String,
    #[serde(default)]
    pub(super) expires_in_days: String,
    #[serde(default)]
    pub(super) scim_endpoints_only: String,
    #[serde(default)]
    then: Then,
}

impl ServiceUserForm {
    const fn new(number: String) -> Self {
        Self {
            form: number,
            name: String::new(),
            role: Role::Member,
            teams: Vec::new(),
            purpose: String::new(),
            owner: String::new(),
            token: String::new(),
            expires_in_days: String::new(),
            scim_endpoints_only: String::new(),
            then: Then::Next,
        }
    }

    fn wanted(&self) -> Wanted<'_> {
        Wanted {
            user_type: UserType::Service,
            name: &self.name,
            email: None,
            role: self.role,
            teams: &self.teams,
            purpose: Some(&self.purpose),
            owner: Some(&self.owner),
        }
    }

    /// The id that is made of the name, if there is one.
    fn id(&self) -> Option<String> {
        let slug = Name::parse(&self.name).and_then(|name| slug(&name)).ok()?;
        Some(service_user_id(&slug))
    }
}

/// The first step.
pub(super) struct AccountStep {
    pub(super) id: Option<String>,
    pub(super) form: ServiceUserForm,
    pub(super) messages: Messages,
    pub(super) choice: TeamChoice,
}

/// The second step.
pub(super) struct TokenStep {
    pub(super) id: String,
    pub(super) form: ServiceUserForm,
    pub(super) messages: Messages,
    pub(super) lifetimes: Lifetimes,
}

/// Asks what it is to be.
pub async fn ask(
    State(app): State<Arc<App>>,
    visit: Visit,
    ManagesPeople(call): ManagesPeople,
) -> Result<Response, Error> {
    let behind = users::behind(&app, &visit, &call).await?;
    let form = ServiceUserForm::new(forms::number(&app)?);
    first_step(&app, behind, form, Messages::default()).await
}

/// Goes on to the next step, or makes what was asked for.
pub async fn add(
    State(app): State<Arc<App>>,
    visit: Visit,
    ManagesPeople(call): ManagesPeople,
    Form(form): Form<ServiceUserForm>,
) -> Result<Response, Error> {
    // All that can fail comes before the token is made: its secret is shown with this answer or never.
    let behind = users::behind(&app, &visit, &call).await?;
    let refused = match form.then {
        Then::Back => return first_step(&app, behind, form, Messages::default()).await,
        Then::Finish => match create(&app, &call, form.wanted()).await {
            Ok(created) => return Ok(finished(&app, created.user.id)),
            Err(error) => error,
        },
        Then::Generate => match generate(&app, &call, &form).await {
            Ok(sent) => return Ok(tell(&app, &visit, behind, sent)),
            Err(error) => error,
        },
        Then::Next => match rehearse(&app, &call, form.wanted()).await {
            Ok(_) => return Ok(second_step(&app, &visit, behind, form, Messages::default())),
            Err(error) => error,
        },
    };
    let is_taken = matches!(refused, Error::Exists(_));
    let mut messages = Messages::of_error(refused, "name")?;
    if is_taken {
        messages.reword("name", TAKEN);
    }
    let is_about_the_token = |field| messages.of(field).is_some();
    if is_about_the_token("token") || is_about_the_token("expires_in_days") {
        Ok(second_step(&app, &visit, behind, form, messages))
    } else {
        first_step(&app, behind, form, messages).await
    }
}

fn finished(app: &App, id: UserId) -> Response {
    Toast::about(Happening::ServiceUserCreated, id.0).then(app, &user_path(id))
}

/// Shows the new token, or says that there was one before.
fn tell(app: &App, visit: &Visit, behind: Users, sent: Sent) -> Response {
    match sent {
        Sent::Made(generated) => {
            let close = user_path(generated.token.owner.id);
            let shown = TokenShown::new(app, &visit.page(Section::People, ""), generated, close);
            behind.with(Dialog::Shown(Box::new(shown)))
        }
        Sent::Before(token) => {
            let before = MadeBefore::new(&token, user_path(token.owner.id));
            (StatusCode::CONFLICT, behind.with(Dialog::Before(before))).into_response()
        }
    }
}

async fn generate(app: &App, call: &Call, form: &ServiceUserForm) -> Result<Sent, Error> {
    let token = tokens::FirstToken {
        name: &form.token,
        expires_in_days: lifetimes::parse(&form.expires_in_days),
        scim_endpoints_only: !form.scim_endpoints_only.is_empty(),
    };
    forms::create_account(app, call, form.wanted(), token, &form.form).await
}

async fn first_step(
    app: &Arc<App>,
    behind: Users,
    form: ServiceUserForm,
    messages: Messages,
) -> Result<Response, Error> {
    let choice = TeamChoice::offer(app, &form.teams).await?;
    let status = messages.status();
    let dialog = Dialog::Account(AccountStep { id: form.id(), form, messages, choice });
    Ok((status, behind.with(dialog)).into_response())
}

fn second_step(
    app: &App,
    visit: &Visit,
    behind: Users,
    form: ServiceUserForm,
    messages: Messages,
) -> Response {
    let (status, policies) = (messages.status(), policies::in_force(app));
    let (page, policy) = (visit.page(Section::People, "Add service user"), policies.service);
    let lifetimes = match form.expires_in_days.as_str() {
        "" => Lifetimes::usual(&page, policy, policies.default_expires_in_days),
        sent => Lifetimes::sent(&page, policy, sent),
    };
    let id = form.id().unwrap_or_default();
    let dialog = Dialog::Token(TokenStep { id, form, messages, lifetimes });
    (status, behind.with(dialog)).into_response()
}
