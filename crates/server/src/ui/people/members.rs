//! Who is in a team: found by name or address and taken in or out one at a time, so that it works for any
//! number of them.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use tokenhouse_core::id::{TeamId, UserId};
use tokenhouse_store::users::UserFilter;

use super::team::{self, Dialog, MembersQuery, Person};
use super::{counted, team_path};
use crate::api::body::{Form, Id, Query};
use crate::app::App;
use crate::auth::session::ManagesPeople;
use crate::error::Error;
use crate::service::{teams, users};
use crate::ui::page::Visit;
use crate::ui::toast::{Happening, Toast};

/// How many of those who are found are shown.
const SHOWN: i64 = 20;

/// Who could be taken in.
pub(super) struct Search {
    pub(super) name: String,
    pub(super) found: Vec<Person>,
    pub(super) total: u64,
}

impl Search {
    /// Whether there are more than are shown.
    pub(super) fn is_cut(&self) -> bool {
        self.total > counted(SHOWN)
    }
}

/// Shows who could be taken in.
pub async fn find(
    State(app): State<Arc<App>>,
    visit: Visit,
    ManagesPeople(call): ManagesPeople,
    Id(id): Id,
    Query(query): Query<MembersQuery>,
) -> Result<Response, Error> {
    let team = teams::changeable(&app, TeamId(id)).await?;
    let part = Some(query.name.trim().to_owned());
    let filter = UserFilter { part, outside: Some(team.id), ..UserFilter::default() };
    let page = users::page(&app, &filter, (SHOWN, 0)).await?;
    let search = Search {
        name: query.name,
        found: page.items.into_iter().map(Person::from).collect(),
        total: counted(page.total),
    };
    team::behind(&app, &visit, &call, team, Dialog::AddMember(search)).await
}

/// Whom to take in or out, and what was searched for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberForm {
    user: i64,
    #[serde(default)]
    name: String,
}

/// Takes somebody in, and goes on with the search.
pub async fn add(
    State(app): State<Arc<App>>,
    ManagesPeople(call): ManagesPeople,
    Id(id): Id,
    Form(form): Form<MemberForm>,
) -> Result<Response, Error> {
    teams::add_member(&app, &call, TeamId(id), UserId(form.user)).await?;
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("name", &form.name).finish();
    let path = format!("{}/add-member?{query}", team_path(id));
    Ok(Toast::about(Happening::MemberAdded, form.user).then(&app, &path))
}

/// Takes somebody out.
pub async fn remove(
    State(app): State<Arc<App>>,
    ManagesPeople(call): ManagesPeople,
    Id(id): Id,
    Form(form): Form<MemberForm>,
) -> Result<Response, Error> {
    teams::remove_member(&app, &call, TeamId(id), UserId(form.user)).await?;
    Ok(Toast::about(Happening::MemberRemoved, form.user).then(&app, &team_path(id)))
}
