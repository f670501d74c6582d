//! `/settings/people/teams/{id}`: one team with its members.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use tokenhouse_core::id::TeamId;
use tokenhouse_core::people::UserType;
use tokenhouse_core::policy::Permission;
use tokenhouse_store::teams::{PUBLIC, Team};
use tokenhouse_store::users::{User, UserFilter};

use super::members::Search;
use super::teams::TeamForm;
use super::{TEAMS, counted, place, team_path};
use crate::api::PageQuery;
use crate::api::body::{Form, Id, Query};
use crate::app::App;
use crate::auth::guard::Call;
use crate::auth::session::{ManagesPeople, SeesPeople};
use crate::error::Error;
use crate::service::{teams, users};
use crate::ui::form::Messages;
use crate::ui::list::Listing;
use crate::ui::page::{Page, Rendered, Section, Visit};
use crate::ui::toast::{Happening, Toast};

/// Which members are wanted.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct MembersQuery {
    pub(super) name: String,
}

/// A dialog over the page.
pub(super) enum Dialog {
    Edit(TeamForm, Messages),
    Delete,
    AddMember(Search),
}

/// Somebody who is in the team, or could be.
pub(super) struct Person {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) user_name: String,
    pub(super) role: tokenhouse_core::people::Role,
    pub(super) is_service: bool,
    pub(super) is_deactivated: bool,
}

impl From<User> for Person {
    fn from(user: User) -> Self {
        let is_service = user.user_type == UserType::Service;
        Self {
            id: user.id.0,
            name: user.name,
            user_name: if is_service { user.user_id } else { user.email },
            role: user.role,
            is_service,
            is_deactivated: user.deleted_at.is_some(),
        }
    }
}

#[derive(Template)]
#[template(path = "people_team.html")]
struct TeamPage {
    page: Page,
    path: String,
    team: Team,
    is_public: bool,
    query: MembersQuery,
    listing: Listing,
    members: Vec<Person>,
    /// Whether the viewer may change teams.
    manages: bool,
    dialog: Option<Dialog>,
}

/// The page.
pub async fn one(
    State(app): State<Arc<App>>,
    visit: Visit,
    SeesPeople(call): SeesPeople,
    Id(id): Id,
    Query(query): Query<MembersQuery>,
    Query(window): Query<PageQuery>,
) -> Result<Response, Error> {
    let team = teams::alone(&app, TeamId(id)).await?;
    render(&app, &visit, &call, team, (query, window), None).await
}

/// The page with a dialog over it.
pub(super) async fn behind(
    app: &Arc<App>,
    visit: &Visit,
    call: &Call,
    team: Team,
    dialog: Dialog,
) -> Result<Response, Error> {
    let first = (MembersQuery::default(), PageQuery::FIRST);
    render(app, visit, call, team, first, Some(dialog)).await
}

async fn render(
    app: &Arc<App>,
    visit: &Visit,
    call: &Call,
    team: Team,
    (query, window): (MembersQuery, PageQuery),
    dialog: Option<Dialog>,
) -> Result<Response, Error> {
    let page = visit.page(Section::People, &*team.name).below("People", super::USERS).below("Teams", TEAMS);
    let filter = UserFilter {
        team: Some(team.name.clone()),
        part: Some(query.name.trim().to_owned()),
        include_deleted: true,
        ..UserFilter::default()
    };
    let found = users::page(app, &filter, window.window()?).await?;
    let listing = Listing::new(&page, ("name", false), place(&window), counted(found.total));
    let whole = TeamPage {
        path: team_path(team.id),
        is_public: team.id == PUBLIC,
        members: found.items.into_iter().map(Person::from).collect(),
        manages: call.caller.has(Permission::ManagePeople),
        page,
        team,
        query,
        listing,
        dialog,
    };
    Ok(Rendered(whole).into_response())
}

/// Asks what is to change.
pub async fn ask_to_edit(
    State(app): State<Arc<App>>,
    visit: Visit,
    ManagesPeople(call): ManagesPeople,
    Id(id): Id,
) -> Result<Response, Error> {
    let team = teams::changeable(&app, TeamId(id)).await?;
    let dialog = Dialog::Edit(TeamForm::of(&team), Messages::default());
    behind(&app, &visit, &call, team, dialog).await
}

/// Changes name and description.
pub async fn edit(
    State(app): State<Arc<App>>,
    visit: Visit,
    ManagesPeople(call): ManagesPeople,
    Id(id): Id,
    Form(form): Form<TeamForm>,
) -> Result<Response, Error> {
    let team = teams::changeable(&app, TeamId(id)).await?;
    match teams::update(&app, &call, TeamId(id), form.wanted()).await {
        Ok(_) => Ok(Toast::about(Happening::TeamUpdated, id).then(&app, &team_path(id))),
        Err(error) => {
            let dialog = Dialog::Edit(form, Messages::of_error(error, "name")?);
            let page = behind(&app, &visit, &call, team, dialog).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
    }
}

/// Asks whether to delete the team.
pub async fn ask_to_delete(
    State(app): State<Arc<App>>,
    visit: Visit,
    ManagesPeople(call): ManagesPeople,
    Id(id): Id,
) -> Result<Response, Error> {
    let team = teams::changeable(&app, TeamId(id)).await?;
    behind(&app, &visit, &call, team, Dialog::Delete).await
}

/// Deletes it.
pub async fn delete(
    State(app): State<Arc<App>>,
    ManagesPeople(call): ManagesPeople,
    Id(id): Id,
) -> Result<Response, Error> {
    teams::delete(&app, &call, TeamId(id)).await?;
    Ok(Toast::from(Happening::TeamDeleted).then(&app, TEAMS))
}
