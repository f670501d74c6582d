//! Adding a service user in two steps: the account, then its first token. Both are made at the end, or
//! neither.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokenhouse_core::people::{Name, Role, UserType, service_user_id, slug};

use super::users::{self, Dialog};
use super::{TeamChoice, user, user_path};
use crate::api::body::Form;
use crate::app::App;
use crate::auth::guard::Call;
use crate::auth::session::ManagesPeople;
use crate::error::Error;
use crate::service::tokens;
use crate::service::users::{Wanted, create, create_with_token, rehearse};
use crate::ui::form::Messages;
use crate::ui::page::{Section, Visit};
use crate::ui::toast::{Happening, Toast};
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
    const fn empty() -> Self {
        Self {
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
pub(super) struct AddServiceUser {
    pub(super) id: Option<String>,
    pub(super) form: ServiceUserForm,
    pub(super) messages: Messages,
    pub(super) choice: TeamChoice,
}

/// The second step.
pub(super) struct FirstToken {
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
    first_step(&app, &visit, &call, ServiceUserForm::empty(), Messages::default()).await
}

/// Goes on to the next step, or makes what was asked for.
pub async fn add(
    State(app): State<Arc<App>>,
    visit: Visit,
    ManagesPeople(call): ManagesPeople,
    Form(form): Form<ServiceUserForm>,
) -> Result<Response, Error> {
    let done = match form.then {
        Then::Back => return first_step(&app, &visit, &call, form, Messages::default()).await,
        Then::Finish => finish(&app, &call, &form).await,
        Then::Generate => generate(&app, &visit, &call, &form).await,
        Then::Next => match rehearse(&app, &call, form.wanted()).await {
            Ok(_) => return second_step(&app, &visit, &call, form, Messages::default()).await,
            Err(error) => Err(error),
        },
    };
    let messages = match done {
        Ok(response) => return Ok(response),
        Err(error) => {
            let is_taken = matches!(error, Error::Exists(_));
            let mut messages = Messages::of_error(error, "name")?;
            if is_taken {
                messages.reword("name", TAKEN);
            }
            messages
        }
    };
    let is_about_the_token = |field| messages.of(field).is_some();
    if is_about_the_token("token") || is_about_the_token("expires_in_days") {
        second_step(&app, &visit, &call, form, messages).await
    } else {
        first_step(&app, &visit, &call, form, messages).await
    }
}

async fn finish(app: &Arc<App>, call: &Call, form: &ServiceUserForm) -> Result<Response, Error> {
    let id = create(app, call, form.wanted()).await?.user.id;
    Ok(Toast::about(Happening::ServiceUserCreated, id.0).then(app, &user_path(id)))
}

/// Sent twice, it makes nothing more: the name is taken then.
async fn generate(
    app: &Arc<App>,
    visit: &Visit,
    call: &Call,
    form: &ServiceUserForm,
) -> Result<Response, Error> {
    let token = tokens::FirstToken {
        name: &form.token,
        expires_in_days: lifetimes::parse(&form.expires_in_days),
        scim_endpoints_only: !form.scim_endpoints_only.is_empty(),
    };
    let (created, generated) = create_with_token(app, call, form.wanted(), token).await?;
    user::with_new_token(app, visit, call, created.user, generated).await
}

async fn first_step(
    app: &Arc<App>,
    visit: &Visit,
    call: &Call,
    form: ServiceUserForm,
    messages: Messages,
) -> Result<Response, Error> {
    let choice = TeamChoice::offer(app, &form.teams).await?;
    let status = messages.status();
    let dialog = Dialog::ServiceUser(AddServiceUser { id: form.id(), form, messages, choice });
    Ok((status, users::behind(app, visit, call, dialog).await?).into_response())
}

async fn second_step(
    app: &Arc<App>,
    visit: &Visit,
    call: &Call,
    form: ServiceUserForm,
    messages: Messages,
) -> Result<Response, Error> {
    let status = messages.status();
    let (page, policy) = (visit.page(Section::People, "Add service user"), tokens::policy(app));
    let lifetimes = match form.expires_in_days.as_str() {
        "" => Lifetimes::usual(&page, policy),
        sent => Lifetimes::sent(&page, policy, sent),
    };
    let id = form.id().unwrap_or_default();
    let dialog = Dialog::FirstToken(FirstToken { id, form, messages, lifetimes });
    Ok((status, users::behind(app, visit, call, dialog).await?).into_response())
}
