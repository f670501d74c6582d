//! `/settings/people/users`: everybody, and every service user.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokenhouse_core::people::UserType;
use tokenhouse_core::policy::Permission;
use tokenhouse_store::users::{User, UserFilter, UserSort};

use super::add_person::AddPerson;
use super::add_service::{AccountStep, TokenStep};
use super::{Tabs, counted, place};
use crate::api::PageQuery;
use crate::api::body::Query;
use crate::app::App;
use crate::auth::guard::Call;
use crate::auth::session::SeesPeople;
use crate::error::Error;
use crate::service;
use crate::ui::list::Listing;
use crate::ui::moment::Moment;
use crate::ui::page::{Page, Rendered, Section, Visit};
use crate::ui::token_shown::TokenShown;
use crate::ui::tokens::MadeBefore;

/// Which users are wanted. What isn't understood is as if it were left out, as is what is empty: forms
/// send that for "any".
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct UsersQuery {
    name: String,
    #[serde(rename = "type")]
    user_type: String,
    role: String,
    team: String,
    include_deleted: String,
    sort: String,
    sort_dir: String,
}

impl UsersQuery {
    fn is_narrowed(&self) -> bool {
        [&self.name, &self.user_type, &self.role, &self.team].iter().any(|value| !value.is_empty())
    }

    const fn includes_deleted(&self) -> bool {
        !self.include_deleted.is_empty()
    }

    /// Name of the column, and what it means.
    fn sort(&self) -> (&'static str, UserSort) {
        match self.sort.as_str() {
            "role" => ("role", UserSort::Role),
            "last_login" => ("last_login", UserSort::LastLogin),
            "created" => ("created", UserSort::Created),
            _ => ("name", UserSort::Name),
        }
    }

    fn is_descending(&self) -> bool {
        self.sort_dir == "desc"
    }

    fn filter(&self) -> UserFilter {
        let given = |value: &str| (!value.is_empty()).then(|| value.to_owned());
        UserFilter {
            user_type: self.user_type.parse().ok(),
            part: given(self.name.trim()),
            role: self.role.parse().ok(),
            team: given(&self.team),
            include_deleted: self.includes_deleted(),
            sort: self.sort().1,
            descending: self.is_descending(),
            ..UserFilter::default()
        }
    }
}

struct Row {
    user: User,
    is_service: bool,
    is_viewer: bool,
    active_tokens: u64,
    last_login: Option<Moment>,
    deactivated: Option<Moment>,
}

/// A dialog over the list.
pub(super) enum Dialog {
    Account(AccountStep),
    Token(TokenStep),
    /// The first token of a new service user.
    Shown(Box<TokenShown>),
    /// A form that has made its token already.
    Before(MadeBefore),
    Person(AddPerson),
}

impl Dialog {
    const fn title(&self) -> &'static str {
        match self {
            Self::Account(_) | Self::Token(_) | Self::Before(_) => "Add service user",
            Self::Shown(_) => "Token generated",
            Self::Person(_) => "Add person",
        }
    }
}

#[derive(Template)]
#[template(path = "people_users.html")]
pub(super) struct Users {
    page: Page,
    listing: Listing,
    tabs: Tabs,
    query: UsersQuery,
    /// Names of teams to filter by.
    teams: Vec<String>,
    rows: Vec<Row>,
    /// Whether the viewer may change people.
    manages: bool,
    dialog: Option<Dialog>,
}

/// The list.
pub async fn list(
    State(app): State<Arc<App>>,
    visit: Visit,
    SeesPeople(call): SeesPeople,
    Query(query): Query<UsersQuery>,
    Query(page): Query<PageQuery>,
) -> Result<Response, Error> {
    Ok(Rendered(load(&app, &visit, &call, (query, page)).await?).into_response())
}

/// The whole list, to stand behind a dialog.
pub(super) async fn behind(app: &Arc<App>, visit: &Visit, call: &Call) -> Result<Users, Error> {
    load(app, visit, call, (UsersQuery::default(), PageQuery::FIRST)).await
}

impl Users {
    /// The page with a dialog over it.
    pub(super) fn with(mut self, dialog: Dialog) -> Response {
        dialog.title().clone_into(&mut self.page.title);
        self.dialog = Some(dialog);
        Rendered(self).into_response()
    }
}

async fn load(
    app: &Arc<App>,
    visit: &Visit,
    call: &Call,
    (query, window): (UsersQuery, PageQuery),
) -> Result<Users, Error> {
    let page = visit.page(Section::People, "People");
    let found = service::users::page(app, &query.filter(), window.window()?).await?;
    let order = (query.sort().0, query.is_descending());
    let listing = Listing::new(&page, order, place(&window), counted(found.total));
    let active_tokens = if call.caller.has(Permission::ManageServiceTokens) {
        service::profile::active_tokens(app, call, &found.items).await?
    } else {
        std::collections::HashMap::new()
    };
    let row = |user: User| Row {
        is_service: user.user_type == UserType::Service,
        is_viewer: user.id == call.caller.id,
        active_tokens: counted(active_tokens.get(&user.id).copied().unwrap_or_default()),
        last_login: user.last_login.map(|at| page.moment(at)),
        deactivated: user.deleted_at.map(|at| page.moment(at)),
        user,
    };
    let rows = found.items.into_iter().map(row).collect();
    let tabs = Tabs::count(app, call).await?;
    let mut teams = service::teams::names(app, super::MOST_TEAMS).await?;
    if !query.team.is_empty() && !teams.contains(&query.team) {
        teams.push(query.team.clone());
    }
    let manages = call.caller.has(Permission::ManagePeople);
    Ok(Users { page, listing, tabs, query, teams, rows, manages, dialog: None })
}
