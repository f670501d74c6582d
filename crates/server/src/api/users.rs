//! `/api/users`

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::UserId;
use tokenhouse_core::people::{Role, UserType};
use tokenhouse_store::users::{self as stored, UserFilter, UserSort};
use utoipa::{IntoParams, ToSchema};

use super::body::{Id, Json, Query};
use super::rotation::{ChangePlan, Plan};
use super::{PageOf, PageQuery, created};
use crate::app::App;
use crate::auth::guard::{Anyone, ManagesPeople, SeesPeople};
use crate::error::{Error, Problem};
use crate::fleet::fence::Receipt;
use crate::service::tokens::{self, Revoked, plans};
use crate::service::users::{self, Created, Update, Wanted};

/// An account of a person or of automation.
#[derive(Debug, Serialize, ToSchema)]
pub struct User {
    /// Number of the user, never given to another.
    #[schema(value_type = i64, example = 45)]
    id: UserId,
    /// `local|…`, `<provider>|…` or `<slug>@service`. Never changes.
    #[schema(example = "airflow@service")]
    user_id: String,
    /// What a person signs in with, or the slug.
    #[schema(example = "airflow")]
    user_name: String,
    /// E-mail address; of a service user its `user_id`.
    email: String,
    /// Display name.
    name: String,
    /// Present role.
    #[schema(value_type = String, pattern = "^(Member|Manager|Admin)$")]
    role: Role,
    /// Person or automation.
    #[schema(value_type = String, pattern = "^(Human|Service)$")]
    user_type: UserType,
    /// Names of the teams, `Public` first.
    teams: Vec<String>,
    /// When the person last signed in.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    last_login: Option<Timestamp>,
    /// When the account was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it was deactivated; null is active.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    deleted_at: Option<Timestamp>,
    /// User who made it; null is the command line.
    #[schema(value_type = Option<i64>, required)]
    created_by: Option<UserId>,
    /// What a service user is for.
    #[schema(required)]
    purpose: Option<String>,
    /// Who answers for a service user.
    #[schema(required)]
    owner: Option<String>,
    /// Who rotates the tokens of a service user, and when.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    rotation_plan: Option<Plan>,
}

impl User {
    /// Their number.
    pub(crate) const fn id(&self) -> UserId {
        self.id
    }

    /// Their name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl From<stored::User> for User {
    fn from(user: stored::User) -> Self {
        Self {
            id: user.id,
            user_id: user.user_id,
            user_name: user.user_name,
            email: user.email,
            name: user.name,
            role: user.role,
            user_type: user.user_type,
            teams: user.teams,
            last_login: user.last_login,
            created_at: user.created_at,
            deleted_at: user.deleted_at,
            created_by: user.created_by,
            purpose: user.purpose,
            owner: user.owner,
            rotation_plan: user.plan.as_ref().map(Plan::from),
        }
    }
}

/// An account that has just been made.
#[derive(Serialize, ToSchema)]
pub struct NewUser {
    #[serde(flatten)]
    user: User,
    /// For a person: one-time link, for 7 days, to choose a password.
    #[serde(skip_serializing_if = "Option::is_none")]
    invite_url: Option<String>,
}

/// What a new account is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateUser {
    /// Display name. A service user's `user_id` is made of it.
    #[schema(min_length = 1, max_length = 255, example = "Pipeline Automation")]
    name: String,
    /// Role.
    #[schema(value_type = String, pattern = "^(Member|Manager|Admin)$", example = "Member")]
    role: Role,
    /// Names of teams; `Public` is one of them anyway.
    #[serde(default)]
    teams: Vec<String>,
    /// `Service` (the default) or `Human`.
    #[serde(default = "service")]
    #[schema(value_type = String, pattern = "^(Human|Service)$")]
    user_type: UserType,
    /// E-mail address, for a person.
    email: Option<String>,
    /// What a service user is for.
    #[schema(max_length = 2000)]
    purpose: Option<String>,
    /// Who answers for a service user.
    #[schema(max_length = 255)]
    owner: Option<String>,
}

const fn service() -> UserType {
    UserType::Service
}

/// What is to change; what is absent or null stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateUser {
    /// Display name.
    #[schema(min_length = 1, max_length = 255)]
    name: Option<String>,
    /// Role. Acts on all the user's tokens at once.
    #[schema(value_type = Option<String>, pattern = "^(Member|Manager|Admin)$")]
    role: Option<Role>,
    /// Names of all teams.
    teams: Option<Vec<String>>,
    /// What a service user is for; empty removes it.
    #[schema(max_length = 2000)]
    purpose: Option<String>,
    /// Who answers for a service user; empty removes it.
    #[schema(max_length = 255)]
    owner: Option<String>,
}

/// Which accounts are wanted, and in which order.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UsersQuery {
    /// `Human` or `Service`.
    #[serde(rename = "type")]
    #[param(value_type = Option<String>, pattern = "^(Human|Service)$")]
    user_type: Option<UserType>,
    /// Part of the name, without regard to case.
    name: Option<String>,
    /// Exactly this role.
    #[param(value_type = Option<String>, pattern = "^(Member|Manager|Admin)$")]
    role: Option<Role>,
    /// Name of a team.
    team: Option<String>,
    /// Also deactivated ones.
    #[serde(default)]
    include_deleted: bool,
    /// What to sort by; `name` if absent.
    #[serde(default)]
    #[param(value_type = Option<String>, pattern = "^(name|created|role|last_login)$")]
    sort: Sort,
    /// `asc` (the default) or `desc`.
    #[serde(default)]
    #[param(value_type = Option<String>, pattern = "^(asc|desc)$")]
    sort_dir: Direction,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Sort {
    #[default]
    Name,
    Created,
    Role,
    LastLogin,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Direction {
    #[default]
    Asc,
    Desc,
}

impl From<UsersQuery> for UserFilter {
    fn from(query: UsersQuery) -> Self {
        Self {
            user_type: query.user_type,
            name_part: query.name,
            part: None,
            role: query.role,
            team: query.team,
            outside: None,
            include_deleted: query.include_deleted,
            sort: match query.sort {
                Sort::Name => UserSort::Name,
                Sort::Created => UserSort::Created,
                Sort::Role => UserSort::Role,
                Sort::LastLogin => UserSort::LastLogin,
            },
            descending: query.sort_dir == Direction::Desc,
        }
    }
}

/// A page of users
#[utoipa::path(get, path = "/api/users", tag = "Users", security(("bearer" = [])), params(UsersQuery, PageQuery),
    responses((status = 200, body = PageOf<User>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn list(
    State(app): State<Arc<App>>,
    _caller: SeesPeople,
    Query(query): Query<UsersQuery>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<PageOf<User>>, Error> {
    let found = users::page(&app, &query.into(), page.window()?).await?;
    Ok(axum::Json(page.answer(found, User::from)))
}

/// Make a service user, or a person with a local account
#[utoipa::path(post, path = "/api/users", tag = "Users", security(("bearer" = [])), request_body = CreateUser,
    responses((status = 201, body = NewUser, headers(("Location" = String))),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn create(
    State(app): State<Arc<App>>,
    ManagesPeople(call): ManagesPeople,
    Json(wanted): Json<CreateUser>,
) -> Result<Response, Error> {
    let wanted = Wanted {
        user_type: wanted.user_type,
        name: &wanted.name,
        email: wanted.email.as_deref(),
        role: wanted.role,
        teams: &wanted.teams,
        purpose: wanted.purpose.as_deref(),
        owner: wanted.owner.as_deref(),
    };
    let Created { user, invite_url } = users::create(&app, &call, wanted).await?;
    created(format!("/api/users/{}", user.id), NewUser { user: user.into(), invite_url })
}

/// The caller's own account
#[utoipa::path(get, path = "/api/users/me", tag = "Users", security(("bearer" = [])),
    responses((status = 200, body = User), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn me(State(app): State<Arc<App>>, Anyone(call): Anyone) -> Result<axum::Json<User>, Error> {
    Ok(axum::Json(users::one(&app, &call, call.caller.id).await?.into()))
}

/// One user
#[utoipa::path(get, path = "/api/users/{id}", tag = "Users", security(("bearer" = [])), params(("id" = i64, Path)),
    responses((status = 200, body = User), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn one(
    State(app): State<Arc<App>>,
    Anyone(call): Anyone,
    Id(id): Id,
) -> Result<axum::Json<User>, Error> {
    Ok(axum::Json(users::one(&app, &call, UserId(id)).await?.into()))
}

/// Change a user
#[utoipa::path(put, path = "/api/users/{id}", tag = "Users", security(("bearer" = [])), params(("id" = i64, Path)),
    request_body = UpdateUser,
    responses((status = 200, body = User), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn update(
    State(app): State<Arc<App>>,
    ManagesPeople(call): ManagesPeople,
    Id(id): Id,
    Json(wanted): Json<UpdateUser>,
) -> Result<axum::Json<User>, Error> {
    let update = Update {
        name: wanted.name.as_deref(),
        role: wanted.role,
        teams: wanted.teams.as_deref(),
        purpose: wanted.purpose.as_deref(),
        owner: wanted.owner.as_deref(),
    };
    Ok(axum::Json(users::update(&app, &call, UserId(id), update).await?.into()))
}

/// Deactivate a user; all their tokens stop at once
#[utoipa::path(delete, path = "/api/users/{id}", tag = "Users", security(("bearer" = [])), params(("id" = i64, Path)),
    responses((status = 204), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn deactivate(
    State(app): State<Arc<App>>,
    ManagesPeople(call): ManagesPeople,
    Id(id): Id,
) -> Result<StatusCode, Error> {
    users::deactivate(&app, &call, UserId(id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Undo a deactivation
#[utoipa::path(post, path = "/api/users/{id}/reactivate", tag = "Users", security(("bearer" = [])), params(("id" = i64, Path)),
    responses((status = 200, body = User), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn reactivate(
    State(app): State<Arc<App>>,
    ManagesPeople(call): ManagesPeople,
    Id(id): Id,
) -> Result<axum::Json<User>, Error> {
    Ok(axum::Json(users::reactivate(&app, &call, UserId(id)).await?.into()))
}

/// How many tokens were revoked.
#[derive(Debug, Serialize, ToSchema)]
pub struct RevokedTokens {
    /// Those that were not revoked before.
    revoked: usize,
    /// Of a fleet: what shows that it is in effect on every server.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    receipt: Option<Receipt>,
}

/// Revoke all tokens of a service user, or one's own
#[utoipa::path(post, path = "/api/users/{id}/revoke-tokens", tag = "Users", security(("bearer" = [])), params(("id" = i64, Path)),
    responses((status = 200, body = RevokedTokens), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn revoke_tokens(
    State(app): State<Arc<App>>,
    Anyone(call): Anyone,
    Id(id): Id,
) -> Result<axum::Json<RevokedTokens>, Error> {
    let Revoked { count, seq } = tokens::revoke_all_of(&app, &call, UserId(id)).await?;
    let receipt = if app.fleet.is_some() { Some(app.receipt(seq).await) } else { None };
    Ok(axum::Json(RevokedTokens { revoked: count, receipt }))
}

/// Settle who rotates the tokens of a service user, and when
#[utoipa::path(put, path = "/api/users/{id}/rotation", tag = "Users", security(("bearer" = [])), params(("id" = i64, Path)),
    request_body = ChangePlan,
    responses((status = 200, body = User), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn plan_rotation(
    State(app): State<Arc<App>>,
    ManagesPeople(call): ManagesPeople,
    Id(id): Id,
    Json(wanted): Json<ChangePlan>,
) -> Result<axum::Json<User>, Error> {
    let user = plans::of_user(&app, &call, UserId(id), wanted.plan.as_ref().map(Plan::wanted)).await?;
    Ok(axum::Json(user.into()))
}
