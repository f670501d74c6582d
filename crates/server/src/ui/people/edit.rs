//! Changing an account: name, role, teams, and of a service user its purpose and who answers for it.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use tokenhouse_core::id::UserId;
use tokenhouse_core::people::{PUBLIC_TEAM, Role, UserType};
use tokenhouse_core::policy::Permission;
use tokenhouse_store::users::User;

use super::user::{self, Dialog};
use super::{TeamChoice, user_path};
use crate::api::body::{Form, Id};
use crate::app::App;
use crate::auth::guard::Call;
use crate::auth::session::ManagesPeople;
use crate::error::Error;
use crate::service::users::{self, Update};
use crate::ui::form::Messages;
use crate::ui::page::Visit;
use crate::ui::toast::{Happening, Toast};

/// What the account is to be, and what it was when the form was shown. A field that was left as it was
/// is not changed: somebody else may have changed it meanwhile.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EditForm {
    pub(super) name: String,
    pub(super) role: Role,
    #[serde(default)]
    pub(super) teams: Vec<String>,
    /// Of service users only.
    pub(super) purpose: Option<String>,
    pub(super) owner: Option<String>,
    pub(super) was_name: Option<String>,
    pub(super) was_role: Option<Role>,
    /// With `Public`, so never empty in a form of ours.
    #[serde(default)]
    pub(super) was_teams: Vec<String>,
    pub(super) was_purpose: Option<String>,
    pub(super) was_owner: Option<String>,
}

impl EditForm {
    fn update(&self) -> Update<'_> {
        Update {
            name: Some(&*self.name).filter(|now| self.was_name.as_deref() != Some(now)),
            role: Some(self.role).filter(|now| self.was_role != Some(*now)),
            teams: self.changes_teams().then_some(&self.teams),
            purpose: self.purpose.as_deref().filter(|now| self.was_purpose.as_deref() != Some(now)),
            owner: self.owner.as_deref().filter(|now| self.was_owner.as_deref() != Some(now)),
        }
    }

    fn changes_teams(&self) -> bool {
        let chosen = |teams: &[String]| -> BTreeSet<String> {
            teams.iter().filter(|name| *name != PUBLIC_TEAM).cloned().collect()
        };
        self.was_teams.is_empty() || chosen(&self.teams) != chosen(&self.was_teams)
    }
}

/// The dialog.
pub(super) struct Edit {
    pub(super) form: EditForm,
    pub(super) messages: Messages,
    pub(super) choice: TeamChoice,
}

/// Asks what is to change.
pub async fn ask(
    State(app): State<Arc<App>>,
    visit: Visit,
    ManagesPeople(call): ManagesPeople,
    Id(id): Id,
) -> Result<Response, Error> {
    let user = users::one(&app, &call, UserId(id)).await?;
    let responsibility = |text: &Option<String>| match user.user_type {
        UserType::Service => Some(text.clone().unwrap_or_default()),
        UserType::Human => None,
    };
    let form = EditForm {
        name: user.name.clone(),
        role: user.role,
        teams: user.teams.clone(),
        purpose: responsibility(&user.purpose),
        owner: responsibility(&user.owner),
        was_name: Some(user.name.clone()),
        was_role: Some(user.role),
        was_teams: user.teams.clone(),
        was_purpose: responsibility(&user.purpose),
        was_owner: responsibility(&user.owner),
    };
    show(&app, &visit, &call, user, form, Messages::default()).await
}

async fn show(
    app: &Arc<App>,
    visit: &Visit,
    call: &Call,
    user: User,
    form: EditForm,
    messages: Messages,
) -> Result<Response, Error> {
    let choice = TeamChoice::offer(app, &form.teams).await?;
    let status = messages.status();
    let dialog = Dialog::Edit(Edit { form, messages, choice });
    Ok((status, user::behind(app, visit, call, user, dialog).await?).into_response())
}

/// Saves it.
pub async fn save(
    State(app): State<Arc<App>>,
    visit: Visit,
    ManagesPeople(call): ManagesPeople,
    Id(id): Id,
    Form(form): Form<EditForm>,
) -> Result<Response, Error> {
    let id = UserId(id);
    match users::update(&app, &call, id, form.update()).await {
        // Who gives up their own role may not see this page any more.
        Ok(after) if id == call.caller.id && after.role < Permission::SeePeople.least_role() => {
            Ok(Redirect::to("/").into_response())
        }
        Ok(_) => Ok(Toast::about(Happening::UserUpdated, id.0).then(&app, &user_path(id))),
        Err(error) => {
            let messages = Messages::of_error(error, "role")?;
            let user = users::one(&app, &call, id).await?;
            show(&app, &visit, &call, user, form, messages).await
        }
    }
}
