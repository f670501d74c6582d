//! Adding a person: their account, then the link by which they choose a password, shown once.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokenhouse_core::people::{Role, UserType};

use super::TeamChoice;
use super::account::Invitation;
use super::users::{self, Dialog};
use crate::api::body::Form;
use crate::app::App;
use crate::auth::guard::Call;
use crate::auth::session::ManagesPeople;
use crate::error::Error;
use crate::service::users::{Created, Wanted, create};
use crate::ui::form::Messages;
use crate::ui::page::Visit;

/// What a person is to be.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonForm {
    pub(super) name: String,
    pub(super) email: String,
    pub(super) role: Role,
    #[serde(default)]
    pub(super) teams: Vec<String>,
}

/// The dialog.
pub(super) struct AddPerson {
    pub(super) form: PersonForm,
    pub(super) messages: Messages,
    pub(super) choice: TeamChoice,
}

/// Asks who it is.
pub async fn ask(
    State(app): State<Arc<App>>,
    visit: Visit,
    ManagesPeople(call): ManagesPeople,
) -> Result<Response, Error> {
    let (name, email) = (String::new(), String::new());
    let form = PersonForm { name, email, role: Role::Member, teams: Vec::new() };
    show(&app, &visit, &call, form, Messages::default()).await
}

async fn show(
    app: &Arc<App>,
    visit: &Visit,
    call: &Call,
    form: PersonForm,
    messages: Messages,
) -> Result<Response, Error> {
    let choice = TeamChoice::offer(app, &form.teams).await?;
    let status = messages.status();
    let dialog = Dialog::Person(AddPerson { form, messages, choice });
    Ok((status, users::behind(app, visit, call).await?.with(dialog)).into_response())
}

/// Adds the person and shows the link.
pub async fn add(
    State(app): State<Arc<App>>,
    visit: Visit,
    ManagesPeople(call): ManagesPeople,
    Form(form): Form<PersonForm>,
) -> Result<Response, Error> {
    let wanted = Wanted {
        user_type: UserType::Human,
        name: &form.name,
        email: Some(&form.email),
        role: form.role,
        teams: &form.teams,
        purpose: None,
        owner: None,
    };
    match create(&app, &call, wanted).await {
        Ok(Created { user, invite_url: Some(url) }) => Invitation::show(&app, &visit, &call, user, url).await,
        Ok(_) => Err(Error::internal("a person was made without an invitation")),
        Err(error) => {
            let is_taken = matches!(error, Error::Exists(_));
            let mut messages = Messages::of_error(error, "email")?;
            if is_taken {
                messages.reword("email", "somebody has this address already; they may be deactivated");
            }
            show(&app, &visit, &call, form, messages).await
        }
    }
}
