//! `/api/teams`

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{TeamId, UserId};
use tokenhouse_store::teams as stored;
use utoipa::ToSchema;

use super::body::{Id, Json, Query};
use super::{PageOf, PageQuery, created};
use crate::app::App;
use crate::auth::guard::{ManagesPeople, SeesPeople};
use crate::error::{Error, Problem};
use crate::service::teams::{self, Wanted};

/// A named group of users.
#[derive(Debug, Serialize, ToSchema)]
pub struct Team {
    /// Number of the team, never given to another.
    #[schema(value_type = i64, example = 3)]
    id: TeamId,
    /// Its name, unique without regard to case.
    #[schema(example = "Data")]
    name: String,
    /// What it is.
    #[schema(required)]
    description: Option<String>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// How many users are in it.
    member_count: i64,
}

/// A team with its members.
#[derive(Debug, Serialize, ToSchema)]
pub struct TeamWithMembers {
    #[serde(flatten)]
    team: Team,
    /// Who is in it.
    members: Vec<Member>,
}

/// A user in a team.
#[derive(Debug, Serialize, ToSchema)]
pub struct Member {
    /// Number of the user.
    #[schema(value_type = i64)]
    id: UserId,
    /// Their `user_id`.
    user_id: String,
    /// Display name.
    name: String,
}

impl From<stored::Team> for Team {
    fn from(team: stored::Team) -> Self {
        let stored::Team { id, name, description, created_at, member_count } = team;
        Self { id, name, description, created_at, member_count }
    }
}

fn with_members((team, members): (stored::Team, Vec<stored::Member>)) -> TeamWithMembers {
    let member = |stored::Member { id, user_id, name }| Member { id, user_id, name };
    TeamWithMembers { team: team.into(), members: members.into_iter().map(member).collect() }
}

/// What a new team is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTeam {
    /// 1 to 255 characters, unique without regard to case.
    #[schema(min_length = 1, max_length = 255, example = "Data")]
    name: String,
    /// What it is.
    #[schema(max_length = 2000)]
    description: Option<String>,
    /// Numbers of its members.
    #[serde(default)]
    #[schema(value_type = Option<Vec<i64>>)]
    members: Option<Vec<UserId>>,
}

/// What is to change; what is absent or null stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateTeam {
    /// 1 to 255 characters, unique without regard to case.
    #[schema(min_length = 1, max_length = 255)]
    name: Option<String>,
    /// What it is; empty removes it.
    #[schema(max_length = 2000)]
    description: Option<String>,
    /// Numbers of all its members.
    #[schema(value_type = Option<Vec<i64>>)]
    members: Option<Vec<UserId>>,
}

/// A page of teams, by name
#[utoipa::path(get, path = "/api/teams", tag = "Teams", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, body = PageOf<Team>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn list(
    State(app): State<Arc<App>>,
    _caller: SeesPeople,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<PageOf<Team>>, Error> {
    let found = teams::page(&app, page.window()?).await?;
    Ok(axum::Json(page.answer(found, Team::from)))
}

/// Make a team
#[utoipa::path(post, path = "/api/teams", tag = "Teams", security(("bearer" = [])), request_body = CreateTeam,
    responses((status = 201, body = TeamWithMembers, headers(("Location" = String))),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn create(
    State(app): State<Arc<App>>,
    ManagesPeople(call): ManagesPeople,
    Json(wanted): Json<CreateTeam>,
) -> Result<Response, Error> {
    let wanted = Wanted {
        name: Some(&wanted.name),
        description: wanted.description.as_deref(),
        members: wanted.members.as_deref(),
    };
    let made = with_members(teams::create(&app, &call, wanted).await?);
    created(format!("/api/teams/{}", made.team.id), made)
}

/// One team, with its members
#[utoipa::path(get, path = "/api/teams/{id}", tag = "Teams", security(("bearer" = [])), params(("id" = i64, Path)),
    responses((status = 200, body = TeamWithMembers), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn one(
    State(app): State<Arc<App>>,
    _caller: SeesPeople,
    Id(id): Id,
) -> Result<axum::Json<TeamWithMembers>, Error> {
    Ok(axum::Json(with_members(teams::one(&app, TeamId(id)).await?)))
}

/// Change a team
#[utoipa::path(put, path = "/api/teams/{id}", tag = "Teams", security(("bearer" = [])), params(("id" = i64, Path)),
    request_body = UpdateTeam,
    responses((status = 200, body = TeamWithMembers), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn update(
    State(app): State<Arc<App>>,
    ManagesPeople(call): ManagesPeople,
    Id(id): Id,
    Json(wanted): Json<UpdateTeam>,
) -> Result<axum::Json<TeamWithMembers>, Error> {
    let wanted = Wanted {
        name: wanted.name.as_deref(),
        description: wanted.description.as_deref(),
        members: wanted.members.as_deref(),
    };
    Ok(axum::Json(with_members(teams::update(&app, &call, TeamId(id), wanted).await?)))
}

/// Delete a team
#[utoipa::path(delete, path = "/api/teams/{id}", tag = "Teams", security(("bearer" = [])), params(("id" = i64, Path)),
    responses((status = 204), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn delete(
    State(app): State<Arc<App>>,
    ManagesPeople(call): ManagesPeople,
    Id(id): Id,
) -> Result<StatusCode, Error> {
    teams::delete(&app, &call, TeamId(id)).await?;
    Ok(StatusCode::NO_CONTENT)
}
