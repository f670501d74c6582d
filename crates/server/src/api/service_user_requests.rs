//! `/api/service-user-requests`

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{ServiceUserRequestId, UserId};
use tokenhouse_core::people::Role;
use tokenhouse_store::service_user_requests as stored;
use tokenhouse_store::teams::Member;
use utoipa::{IntoParams, ToSchema};

use super::body::{Id, Json, Query};
use super::{PageOf, PageQuery, created};
use crate::app::App;
use crate::auth::guard::{Anyone, ManagesPeople};
use crate::error::{Error, Fields, Problem};
use crate::service::service_user_requests::{self as service, Approval, Wanted};

/// A service user that somebody asks for.
#[derive(Debug, Serialize, ToSchema)]
pub struct ServiceUserRequest {
    /// Number of the request.
    #[schema(value_type = i64, example = 3)]
    id: ServiceUserRequestId,
    /// What became of it.
    #[schema(pattern = "^(open|approved|declined|withdrawn)$", example = "open")]
    state: &'static str,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Who asked.
    created_by: RequestAccount,
    /// Display name of the service user.
    #[schema(example = "Pipeline Automation")]
    name: String,
    /// Role that is asked for.
    #[schema(value_type = String, pattern = "^(Member|Manager|Admin)$", example = "Member")]
    role: Role,
    /// Names of teams that are asked for, besides `Public`.
    teams: Vec<String>,
    /// What it is for.
    purpose: String,
    /// Who answers for it.
    #[schema(required)]
    owner: Option<String>,
    /// When it was decided on, or withdrawn.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    decided_at: Option<Timestamp>,
    /// By whom.
    #[schema(required)]
    decided_by: Option<RequestAccount>,
    /// What they said to it.
    #[schema(required)]
    comment: Option<String>,
    /// The service user that was made.
    #[schema(required)]
    user: Option<RequestAccount>,
}

/// An account.
#[derive(Debug, Serialize, ToSchema)]
pub struct RequestAccount {
    /// Its number.
    #[schema(value_type = i64)]
    id: UserId,
    /// Its `user_id`.
    user_id: String,
    /// Its name.
    name: String,
}

impl From<Member> for RequestAccount {
    fn from(Member { id, user_id, name }: Member) -> Self {
        Self { id, user_id, name }
    }
}

impl From<stored::ServiceUserRequest> for ServiceUserRequest {
    fn from(request: stored::ServiceUserRequest) -> Self {
        Self {
            id: request.id,
            state: request.state.as_str(),
            created_at: request.made_at,
            created_by: request.asker.into(),
            name: request.name,
            role: request.role,
            teams: request.teams,
            purpose: request.purpose,
            owner: request.owner,
            decided_at: request.decided_at,
            decided_by: request.decider.map(RequestAccount::from),
            comment: request.comment,
            user: request.made.map(RequestAccount::from),
        }
    }
}

/// What is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AskForServiceUser {
    /// Display name. Its `user_id` will be made of it.
    #[schema(min_length = 1, max_length = 255, example = "Pipeline Automation")]
    name: String,
    /// Role.
    #[schema(value_type = String, pattern = "^(Member|Manager|Admin)$", example = "Member")]
    role: Role,
    /// Names of teams; `Public` is one of them anyway.
    #[serde(default)]
    #[schema(max_items = 100)]
    teams: Vec<String>,
    /// What it is for.
    #[schema(min_length = 1, max_length = 2000)]
    purpose: String,
    /// Who answers for it.
    #[schema(max_length = 255)]
    owner: Option<String>,
}

/// What an Admin says to a request, and what is to be different from it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Approve {
    /// What is told to whoever asked.
    #[schema(max_length = 2000)]
    comment: Option<String>,
    /// Role instead of the one that is asked for.
    #[schema(value_type = Option<String>, pattern = "^(Member|Manager|Admin)$")]
    role: Option<Role>,
    /// Names of teams instead of those that are asked for.
    teams: Option<Vec<String>>,
}

/// Why not.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Decline {
    /// What is told to whoever asked.
    #[schema(min_length = 1, max_length = 2000)]
    comment: String,
}

/// Which requests are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RequestsQuery {
    /// What became of them.
    #[param(pattern = "^(open|approved|declined|withdrawn)$")]
    state: Option<String>,
}

/// Ask for a service user
///
/// For people who are no Admins. It is made when an Admin approves, not before.
#[utoipa::path(post, path = "/api/service-user-requests", tag = "Users", security(("bearer" = [])),
    request_body = AskForServiceUser,
    responses((status = 201, body = ServiceUserRequest, headers(("Location" = String))), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn ask(
    State(app): State<Arc<App>>,
    Anyone(call): Anyone,
    Json(body): Json<AskForServiceUser>,
) -> Result<Response, Error> {
    let wanted = Wanted {
        name: &body.name,
        role: body.role,
        teams: &body.teams,
        purpose: &body.purpose,
        owner: body.owner.as_deref(),
    };
    let made = service::ask(&app, &call, wanted).await?;
    created(format!("/api/service-user-requests/{}", made.id), ServiceUserRequest::from(made))
}

/// One's own requests for service users, newest first; everybody's for Admins
#[utoipa::path(get, path = "/api/service-user-requests", tag = "Users", security(("bearer" = [])), params(RequestsQuery, PageQuery),
    responses((status = 200, body = PageOf<ServiceUserRequest>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn list(
    State(app): State<Arc<App>>,
    Anyone(call): Anyone,
    Query(query): Query<RequestsQuery>,
    Query(part): Query<PageQuery>,
) -> Result<axum::Json<PageOf<ServiceUserRequest>>, Error> {
    let mut fields = Fields::default();
    let state = query.state.as_deref().and_then(|state| fields.check("state", state.parse()));
    fields.finish()?;
    let found = service::page(&app, &call, state, part.window()?).await?;
    Ok(axum::Json(part.answer(found, ServiceUserRequest::from)))
}

/// One of them
#[utoipa::path(get, path = "/api/service-user-requests/{id}", tag = "Users", security(("bearer" = [])), params(("id" = i64, Path)),
    responses((status = 200, body = ServiceUserRequest), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn one(
    State(app): State<Arc<App>>,
    Anyone(call): Anyone,
    Id(id): Id,
) -> Result<axum::Json<ServiceUserRequest>, Error> {
    let found = service::one(&app, &call, ServiceUserRequestId(id)).await?;
    Ok(axum::Json(found.into()))
}

/// Take one's own request back
#[utoipa::path(delete, path = "/api/service-user-requests/{id}", tag = "Users", security(("bearer" = [])), params(("id" = i64, Path)),
    responses((status = 204), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn withdraw(
    State(app): State<Arc<App>>,
    Anyone(call): Anyone,
    Id(id): Id,
) -> Result<StatusCode, Error> {
    service::withdraw(&app, &call, ServiceUserRequestId(id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Approve a request: makes the service user
///
/// 409 if it was decided on before, or if there is a service user of this name; then it stays open.
#[utoipa::path(post, path = "/api/service-user-requests/{id}/approve", tag = "Users", security(("bearer" = [])),
    params(("id" = i64, Path)), request_body = Approve,
    responses((status = 200, body = ServiceUserRequest), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn approve(
    State(app): State<Arc<App>>,
    ManagesPeople(call): ManagesPeople,
    Id(id): Id,
    body: Option<Json<Approve>>,
) -> Result<axum::Json<ServiceUserRequest>, Error> {
    let Approve { comment, role, teams } = body.map(|Json(body)| body).unwrap_or_default();
    let approval = Approval { comment: comment.as_deref(), role, teams: teams.as_deref() };
    let (request, _) = service::approve(&app, &call, ServiceUserRequestId(id), approval).await?;
    Ok(axum::Json(request.into()))
}

/// Decline a request
#[utoipa::path(post, path = "/api/service-user-requests/{id}/decline", tag = "Users", security(("bearer" = [])),
    params(("id" = i64, Path)), request_body = Decline,
    responses((status = 200, body = ServiceUserRequest), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn decline(
    State(app): State<Arc<App>>,
    ManagesPeople(call): ManagesPeople,
    Id(id): Id,
    Json(body): Json<Decline>,
) -> Result<axum::Json<ServiceUserRequest>, Error> {
    let request = service::decline(&app, &call, ServiceUserRequestId(id), &body.comment).await?;
    Ok(axum::Json(request.into()))
}
