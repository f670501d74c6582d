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
use crate::ui::moment::Moment;
use crate::ui::page::Visit;
use crate::ui::toast::{Happening, Toast};

/// The lifetimes that are offered, in days, as far as policy allows.
const LIFETIMES: [i64; 4] = [30, 60, 90, 365];

/// The lifetime that is chosen at first.
const USUAL_LIFETIME: i64 = 90;

/// Which button was pressed.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Then {
    /// Make the account without a token.
    #[default]
    Finish,
    /// Go on to the token.
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
            then: Then::Finish,
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

    fn lifetime(&self) -> Result<Option<i64>, Error> {
        match self.expires_in_days.as_str() {
            "never" => Ok(None),
            days => days.parse().map(Some).map_err(|_| Error::field("expires_in_days", "must be chosen")),
        }
    }
}

/// The first step.
pub(super) struct AddServiceUser {
    pub(super) id: Option<String>,
    pub(super) form: ServiceUserForm,
    pub(super) messages: Messages,
    pub(super) choice: TeamChoice,
}

/// A lifetime that can be chosen.
pub(super) struct Lifetime {
    pub(super) value: String,
    pub(super) label: String,
    pub(super) end: Option<Moment>,
    pub(super) chosen: bool,
}

/// The second step.
pub(super) struct FirstToken {
    pub(super) id: String,
    pub(super) form: ServiceUserForm,
    pub(super) messages: Messages,
    pub(super) lifetimes: Vec<Lifetime>,
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
        Err(error) => Messages::of_error(error, "name")?,
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
        expires_in_days: form.lifetime()?,
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
    let lifetimes = lifetimes(app, visit, &form.expires_in_days);
    let id = form.id().unwrap_or_default();
    let dialog = Dialog::FirstToken(FirstToken { id, form, messages, lifetimes });
    Ok((status, users::behind(app, visit, call, dialog).await?).into_response())
}

/// What policy allows of what is offered; where that is nothing, the longest that it allows.
fn lifetimes(app: &App, visit: &Visit, chosen: &str) -> Vec<Lifetime> {
    let (policy, now) = (tokens::policy(app), app.clock.now());
    let most = policy.most_days();
    let mut days: Vec<i64> = LIFETIMES.into_iter().filter(|days| *days <= most).collect();
    if days.is_empty() {
        days.push(most);
    }
    let usual = days.iter().rev().find(|days| **days <= USUAL_LIFETIME).or(days.first()).copied();
    let chosen = match chosen {
        "" => usual.unwrap_or(most).to_string(),
        other => other.to_owned(),
    };
    let page = visit.bare("");
    let limited = days.into_iter().map(|days| Lifetime {
        value: days.to_string(),
        label: if days == 365 { "1 year".to_owned() } else { format!("{days} days") },
        end: Some(page.moment(now.plus_days(days))),
        chosen: chosen == days.to_string(),
    });
    let never = policy.allow_never.then(|| Lifetime {
        value: "never".to_owned(),
        label: "Never".to_owned(),
        end: None,
        chosen: chosen == "never",
    });
    limited.chain(never).collect()
}
