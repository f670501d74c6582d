//! People: users, service users and teams.

pub mod account;
mod activity;
pub mod add_person;
pub mod add_service;
pub mod edit;
pub mod members;
pub mod requests;
pub mod team;
pub mod teams;
pub mod user;
pub mod users;

use std::sync::Arc;

use tokenhouse_core::people::PUBLIC_TEAM;
use tokenhouse_store::users::UserFilter;

use crate::api::PageQuery;
use crate::app::App;
use crate::auth::guard::Call;
use crate::error::Error;
use crate::service;

/// Where users are listed.
const USERS: &str = "/settings/people/users";

/// Where teams are listed.
const TEAMS: &str = "/settings/people/teams";

/// Where service users are listed that somebody asks for.
pub(super) const REQUESTS: &str = "/settings/people/requests";

/// The most teams that a form offers.
const MOST_TEAMS: i64 = 100;

/// Where a user is shown.
pub(super) fn user_path(id: impl std::fmt::Display) -> String {
    format!("{USERS}/{id}")
}

/// Where a team is shown.
fn team_path(id: impl std::fmt::Display) -> String {
    format!("{TEAMS}/{id}")
}

/// A number as lists count: none is negative.
fn counted(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// What a list needs to know of the page of it that was asked for.
fn place(query: &PageQuery) -> (u64, u64) {
    (counted(query.page), counted(query.size))
}

/// How many there are of each, for the tabs.
struct Tabs {
    users: u64,
    teams: u64,
    /// Open ones: those to decide on, or one's own.
    requests: u64,
}

impl Tabs {
    async fn count(app: &Arc<App>, call: &Call) -> Result<Self, Error> {
        let users = service::users::count(app, &UserFilter::default()).await?;
        let teams = service::teams::count(app).await?;
        let requests = service::service_user_requests::count_open(app, call).await?;
        Ok(Self { users: counted(users), teams: counted(teams), requests: counted(requests) })
    }
}

/// The teams that a form offers.
#[derive(Debug, Default)]
struct TeamChoice {
    /// Name, and whether it is chosen.
    teams: Vec<(String, bool)>,
    /// Whether there are more than can be offered.
    is_cut: bool,
}

impl TeamChoice {
    /// All but `Public`, as far as a form can hold them; those that are chosen in any case.
    async fn offer(app: &Arc<App>, chosen: &[String]) -> Result<Self, Error> {
        let mut names = service::teams::names(app, MOST_TEAMS).await?;
        // `Public` is one of all.
        let is_cut = counted(service::teams::count(app).await?) > names.len() as u64 + 1;
        let others: Vec<_> =
            chosen.iter().filter(|name| *name != PUBLIC_TEAM && !names.contains(name)).cloned().collect();
        names.extend(others);
        let teams = names.into_iter().map(|name| (chosen.contains(&name), name));
        Ok(Self { teams: teams.map(|(is_chosen, name)| (name, is_chosen)).collect(), is_cut })
    }
}
