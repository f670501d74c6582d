//! `/settings/people/teams`: every team, and making one.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokenhouse_core::policy::Permission;
use tokenhouse_store::teams::{PUBLIC, Team};

use super::{Tabs, counted, place, team_path};
use crate::api::PageQuery;
use crate::api::body::{Form, Query};
use crate::app::App;
use crate::auth::guard::Call;
use crate::auth::session::{ManagesPeople, SeesPeople};
use crate::error::Error;
use crate::service::teams::{self, Wanted};
use crate::ui::form::Messages;
use crate::ui::list::Listing;
use crate::ui::page::{Page, Rendered, Section, Visit};
use crate::ui::toast::{Happening, Toast};

/// What a team is to be and, of one that is there already, what it was when the form was shown. A field
/// that was left as it was is not changed: somebody else may have changed it meanwhile.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeamForm {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) was_name: Option<String>,
    pub(super) was_description: Option<String>,
}

impl TeamForm {
    /// What the team is at present.
    pub(super) fn of(team: &Team) -> Self {
        let (name, description) = (team.name.clone(), team.description.clone().unwrap_or_default());
        Self { was_name: Some(name.clone()), was_description: Some(description.clone()), name, description }
    }

    pub(super) fn wanted(&self) -> Wanted<'_> {
        let description = Some(&*self.description);
        Wanted {
            name: Some(&*self.name).filter(|now| self.was_name.as_deref() != Some(now)),
            description: description.filter(|now| self.was_description.as_deref() != Some(now)),
            members: None,
        }
    }
}

#[derive(Template)]
#[template(path = "people_teams.html")]
struct Teams {
    page: Page,
    listing: Listing,
    tabs: Tabs,
    teams: Vec<Team>,
    /// Whether the viewer may change teams.
    manages: bool,
    dialog: Option<(TeamForm, Messages)>,
}

/// The list.
pub async fn list(
    State(app): State<Arc<App>>,
    visit: Visit,
    SeesPeople(call): SeesPeople,
    Query(window): Query<PageQuery>,
) -> Result<Response, Error> {
    render(&app, &visit, &call, window, None).await
}

async fn render(
    app: &Arc<App>,
    visit: &Visit,
    call: &Call,
    window: PageQuery,
    dialog: Option<(TeamForm, Messages)>,
) -> Result<Response, Error> {
    let page = visit.page(Section::People, if dialog.is_some() { "Add team" } else { "Teams" });
    let found = teams::page(app, window.window()?).await?;
    let listing = Listing::new(&page, ("name", false), place(&window), counted(found.total));
    let tabs = Tabs::count(app, call).await?;
    let manages = call.caller.has(Permission::ManagePeople);
    Ok(Rendered(Teams { page, listing, tabs, teams: found.items, manages, dialog }).into_response())
}

/// Asks what the new team is to be.
pub async fn ask(
    State(app): State<Arc<App>>,
    visit: Visit,
    ManagesPeople(call): ManagesPeople,
) -> Result<Response, Error> {
    let dialog = (TeamForm::default(), Messages::default());
    render(&app, &visit, &call, PageQuery::FIRST, Some(dialog)).await
}

/// Makes it.
pub async fn add(
    State(app): State<Arc<App>>,
    visit: Visit,
    ManagesPeople(call): ManagesPeople,
    Form(form): Form<TeamForm>,
) -> Result<Response, Error> {
    match teams::create(&app, &call, form.wanted()).await {
        Ok((team, _)) => Ok(Toast::about(Happening::TeamCreated, team.id.0).then(&app, &team_path(team.id))),
        Err(error) => {
            let messages = Messages::of_error(error, "name")?;
            let status = messages.status();
            let window = PageQuery::FIRST;
            let page = render(&app, &visit, &call, window, Some((form, messages))).await?;
            Ok((status, page).into_response())
        }
    }
}
