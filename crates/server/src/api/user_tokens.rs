//! `/api/user-tokens`

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{TokenId, UserId};
use tokenhouse_core::people::{Role, UserType};
use tokenhouse_core::token::{Status, TokenKind};
use tokenhouse_store::tokens as stored;
use utoipa::{IntoParams, ToSchema};

use super::body::{Id, IdempotencyKey, Json, Query};
use super::created;
use super::rotation::{ChangeRotation, CloseWhenQuiet, Plan, Rotation};
use crate::app::App;
use crate::auth::guard::{Anyone, ManagesServiceTokens};
use crate::error::{Error, Problem};
use crate::fleet::fence::Receipt;
use crate::service::Change;
use crate::service::tokens::closing::{self, WantedClosing};
use crate::service::tokens::rotation::{self, Succession, WantedLifetime};
use crate::service::tokens::{self, Generated, Wanted, plans};

/// A token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct Token {
    /// Number of the token, never given to another.
    #[schema(value_type = i64, example = 10)]
    id: TokenId,
    /// When it was made.
    #[schema(value_type = String, format = DateTime, example = "2026-01-15T10:30:00Z")]
    created: Timestamp,
    /// Its name, unique among its owner's tokens.
    #[schema(example = "airflow-prod")]
    name: String,
    /// Not revoked. Says nothing about expiry: see `status`.
    active: bool,
    /// What it amounts to now.
    #[schema(value_type = String, pattern = "^(active|revoked|expired)$", example = "active")]
    status: Status,
    /// From this instant on it is refused; null is never.
    #[schema(value_type = Option<String>, format = DateTime, example = "2027-01-15T10:30:00Z", required)]
    expiration: Option<Timestamp>,
    /// When it was last accepted.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    last_used: Option<Timestamp>,
    /// From which address it was last accepted.
    #[schema(required)]
    last_used_ip: Option<String>,
    /// Whom it belongs to.
    #[schema(value_type = String, pattern = "^(personal|service)$", example = "service")]
    kind: TokenKind,
    /// Opens the SCIM endpoints and nothing else.
    scim_endpoints_only: bool,
    /// User who made it.
    #[schema(value_type = i64, example = 1)]
    created_by: UserId,
    /// Token it was made with.
    #[schema(value_type = Option<i64>, required)]
    parent_id: Option<TokenId>,
    /// Token it succeeds.
    #[schema(value_type = Option<i64>, required)]
    rotates: Option<TokenId>,
    /// Token that succeeds it.
    #[schema(value_type = Option<i64>, required)]
    rotated_by: Option<TokenId>,
    /// What is settled about its rotation.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    rotation: Option<Rotation>,
    /// When it was reported as leaked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    leaked_at: Option<Timestamp>,
    /// Its owner.
    user: TokenOwner,
    /// In the answer to a revoke: what shows that it is in effect on every server.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    receipt: Option<Receipt>,
}

/// Whose a token is.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenOwner {
    /// Number of the user.
    #[schema(value_type = i64, example = 45)]
    id: UserId,
    /// `local|…`, `<provider>|…` or `<slug>@service`.
    #[schema(example = "airflow@service")]
    user_id: String,
    /// What a person signs in with, or the slug.
    #[schema(example = "airflow")]
    user_name: String,
    /// E-mail address; of a service user its `user_id`.
    #[schema(example = "airflow@service")]
    email: String,
    /// Display name.
    #[schema(example = "Airflow")]
    name: String,
    /// Present role.
    #[schema(value_type = String, pattern = "^(Member|Manager|Admin)$", example = "Member")]
    role: Role,
    /// Person or automation.
    #[schema(value_type = String, pattern = "^(Human|Service)$", example = "Service")]
    user_type: UserType,
}

/// A token that has just been made. The secret is shown here and never again.
#[derive(Serialize, ToSchema)]
pub struct NewToken {
    #[serde(flatten)]
    token: Token,
    /// The secret, to be sent as `Authorization: Bearer …`.
    bearer_token: String,
}

impl Token {
    /// Its number.
    pub(crate) const fn id(&self) -> TokenId {
        self.id
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The `user_id` of its owner.
    pub(crate) fn owner_id(&self) -> &str {
        &self.user.user_id
    }

    /// What it amounts to.
    pub(crate) const fn status(&self) -> &'static str {
        match self.status {
            Status::Active => "active",
            Status::Revoked => "revoked",
            Status::Expired => "expired",
        }
    }

    /// The token as it is at `now`.
    pub fn at(now: Timestamp, token: stored::Token) -> Self {
        let status = tokens::status(&token, now);
        let kind = tokens::kind(&token);
        let rotation = Rotation::of(&token);
        let owner = token.owner;
        Self {
            id: token.id,
            created: token.created_at,
            name: token.name,
            active: token.revoked_at.is_none(),
            status,
            expiration: token.expires_at,
            last_used: token.last_used_at,
            last_used_ip: token.last_used_ip,
            kind,
            scim_endpoints_only: token.scim_only,
            created_by: token.created_by,
            parent_id: token.parent_id,
            rotates: token.rotates,
            rotated_by: token.rotated_by,
            rotation,
            leaked_at: token.leaked_at,
            user: TokenOwner {
                id: owner.id,
                user_id: owner.user_id,
                user_name: owner.user_name,
                email: owner.email,
                name: owner.name,
                role: owner.role,
                user_type: owner.user_type,
            },
            receipt: None,
        }
    }
}

/// What a new token is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GenerateToken {
    /// 1 to 255 characters, unique among the owner's tokens.
    #[schema(min_length = 1, max_length = 255, example = "airflow-prod")]
    name: String,
    /// 1 to 365; absent or null is never, where policy allows it.
    #[schema(minimum = 1, maximum = 365, example = 90)]
    expires_in_days: Option<i64>,
    /// Opens the SCIM endpoints and nothing else. Admins only.
    #[serde(default)]
    scim_endpoints_only: bool,
    /// Service user the token is for. Admins only; without it the token is the caller's own.
    user_id: Option<i64>,
}

/// Revoke or restore.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeToken {
    /// True revokes, false restores.
    revoke: bool,
    /// With true: also every token made with this one, or with one of those.
    #[serde(default)]
    descendants: bool,
    #[schema(ignore)]
    name: Option<serde::de::IgnoredAny>,
    #[schema(ignore)]
    expiration: Option<serde::de::IgnoredAny>,
    #[schema(ignore)]
    expires_in_days: Option<serde::de::IgnoredAny>,
}

/// What a successor is to be.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateToken {
    /// Absent: the old name plus ` (rotated YYYY-MM-DD)`.
    #[schema(min_length = 1, max_length = 255)]
    name: Option<String>,
    /// Absent: the old lifetime, within policy.
    #[schema(minimum = 1, maximum = 365)]
    expires_in_days: Option<i64>,
    /// Revokes the old one by itself.
    close_when_quiet: Option<CloseWhenQuiet>,
}

/// Which service tokens are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ServiceTokensQuery {
    /// Only those of this service user.
    user_id: Option<i64>,
}

/// Own personal tokens, newest first
#[utoipa::path(get, path = "/api/user-tokens", tag = "Tokens", security(("bearer" = [])),
    responses((status = 200, body = [Token]), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn list(
    State(app): State<Arc<App>>,
    Anyone(call): Anyone,
) -> Result<axum::Json<Vec<Token>>, Error> {
    let now = app.clock.now();
    let found = tokens::personal(&app, &call).await?;
    Ok(axum::Json(found.into_iter().map(|token| Token::at(now, token)).collect()))
}

/// All service tokens, newest first
#[utoipa::path(get, path = "/api/user-tokens/service", tag = "Tokens", security(("bearer" = [])), params(ServiceTokensQuery),
    responses((status = 200, body = [Token]), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn list_service(
    State(app): State<Arc<App>>,
    _caller: ManagesServiceTokens,
    Query(query): Query<ServiceTokensQuery>,
) -> Result<axum::Json<Vec<Token>>, Error> {
    let now = app.clock.now();
    let found = tokens::service(&app, query.user_id.map(UserId)).await?;
    Ok(axum::Json(found.into_iter().map(|token| Token::at(now, token)).collect()))
}

/// Generate a token; the answer shows its secret once
#[utoipa::path(post, path = "/api/user-tokens", tag = "Tokens", security(("bearer" = [])), request_body = GenerateToken,
    responses((status = 201, body = NewToken, headers(("Location" = String))),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn generate(
    State(app): State<Arc<App>>,
    Anyone(call): Anyone,
    Json(wanted): Json<GenerateToken>,
) -> Result<Response, Error> {
    let wanted = Wanted {
        name: &wanted.name,
        expires_in_days: wanted.expires_in_days,
        scim_endpoints_only: wanted.scim_endpoints_only,
        user_id: wanted.user_id.map(UserId),
    };
    shown_once(&app, tokens::generate(&app, &call, wanted).await?)
}

/// The one answer that holds a secret. Like all of ours, it is not for anybody on the way to keep.
fn shown_once(app: &App, generated: Generated) -> Result<Response, Error> {
    let path = format!("/api/user-tokens/{}", generated.token.id);
    let bearer_token = generated.bearer_token.expose().to_owned();
    created(path, NewToken { token: Token::at(app.clock.now(), generated.token), bearer_token })
}

/// One token
#[utoipa::path(get, path = "/api/user-tokens/{id}", tag = "Tokens", security(("bearer" = [])), params(("id" = i64, Path)),
    responses((status = 200, body = Token), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn one(
    State(app): State<Arc<App>>,
    Anyone(call): Anyone,
    Id(id): Id,
) -> Result<axum::Json<Token>, Error> {
    let token = tokens::one(&app, &call, TokenId(id)).await?;
    Ok(axum::Json(Token::at(app.clock.now(), token)))
}

/// Revoke or restore a token
#[utoipa::path(put, path = "/api/user-tokens/{id}", tag = "Tokens", security(("bearer" = [])), params(("id" = i64, Path)),
    request_body = ChangeToken,
    responses((status = 200, body = Token), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn change(
    State(app): State<Arc<App>>,
    Anyone(call): Anyone,
    Id(id): Id,
    Json(wanted): Json<ChangeToken>,
) -> Result<axum::Json<Token>, Error> {
    unchangeable(&wanted)?;
    let (token, receipt) = match (wanted.revoke, wanted.descendants) {
        (true, descendants) => {
            let (token, receipt) = tokens::revoke(&app, &call, TokenId(id), descendants).await?;
            (token, Some(receipt))
        }
        (false, false) => (tokens::restore(&app, &call, TokenId(id)).await?, None),
        (false, true) => {
            return Err(Error::field("descendants", "restoring brings back one token only"));
        }
    };
    Ok(axum::Json(Token { receipt, ..Token::at(app.clock.now(), token) }))
}

fn unchangeable(wanted: &ChangeToken) -> Result<(), Error> {
    let sent = [
        ("name", wanted.name.is_some()),
        ("expiration", wanted.expiration.is_some()),
        ("expires_in_days", wanted.expires_in_days.is_some()),
    ];
    match sent.into_iter().find(|(_, sent)| *sent) {
        None => Ok(()),
        Some((field, _)) => {
            Err(Error::field(field, "can't be changed later; generate or rotate a token instead"))
        }
    }
}

/// Delete a revoked or expired token for good
#[utoipa::path(delete, path = "/api/user-tokens/{id}", tag = "Tokens", security(("bearer" = [])), params(("id" = i64, Path)),
    responses((status = 204), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn delete(
    State(app): State<Arc<App>>,
    Anyone(call): Anyone,
    Id(id): Id,
) -> Result<StatusCode, Error> {
    tokens::delete(&app, &call, TokenId(id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Make a successor; both work until the old one is revoked
///
/// A retry with the same `Idempotency-Key` makes no second one: 409, which names the first. Its secret was shown
/// with the first answer only.
#[utoipa::path(post, path = "/api/user-tokens/{id}/rotate", tag = "Tokens", security(("bearer" = [])),
    params(("id" = i64, Path), ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable characters, different for each rotation")),
    request_body = RotateToken,
    responses((status = 201, body = NewToken, headers(("Location" = String))),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn rotate(
    State(app): State<Arc<App>>,
    Anyone(call): Anyone,
    Id(id): Id,
    IdempotencyKey(key): IdempotencyKey,
    wanted: Option<Json<RotateToken>>,
) -> Result<Response, Error> {
    let wanted = wanted.map(|Json(wanted)| wanted).unwrap_or_default();
    let RotateToken { name, expires_in_days, close_when_quiet } = wanted;
    let lifetime = expires_in_days.map_or(WantedLifetime::AsBefore, |days| WantedLifetime::Days(Some(days)));
    let wanted =
        Succession { name: name.as_deref(), lifetime, closing: close_when_quiet.map(WantedClosing::from) };
    let generated = match key {
        Some(key) => rotation::rotate_once(&app, &call, TokenId(id), wanted, &key).await?,
        None => rotation::rotate(&app, &call, TokenId(id), wanted).await?,
    };
    shown_once(&app, generated)
}

/// Settle who rotates a token and when, and whether it is revoked by itself once it is quiet
#[utoipa::path(put, path = "/api/user-tokens/{id}/rotation", tag = "Tokens", security(("bearer" = [])), params(("id" = i64, Path)),
    request_body = ChangeRotation,
    responses((status = 200, body = Token), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn plan_rotation(
    State(app): State<Arc<App>>,
    Anyone(call): Anyone,
    Id(id): Id,
    Json(wanted): Json<ChangeRotation>,
) -> Result<axum::Json<Token>, Error> {
    let id = TokenId(id);
    if let Change::To(closing) = wanted.close_when_quiet {
        closing::close_when_quiet(&app, &call, id, closing.map(WantedClosing::from)).await?;
    }
    let token = match &wanted.plan {
        Change::To(plan) => plans::of_token(&app, &call, id, plan.as_ref().map(Plan::wanted)).await?,
        Change::Stays => tokens::one(&app, &call, id).await?,
    };
    Ok(axum::Json(Token::at(app.clock.now(), token)))
}

/// The presented token
#[utoipa::path(get, path = "/api/user-tokens/current", tag = "Tokens", security(("bearer" = [])),
    responses((status = 200, body = Token), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn current(State(app): State<Arc<App>>, Anyone(call): Anyone) -> Result<axum::Json<Token>, Error> {
    let token = tokens::current(&app, &call).await?;
    Ok(axum::Json(Token::at(app.clock.now(), token)))
}

/// Revoke the presented token
#[utoipa::path(delete, path = "/api/user-tokens/current", tag = "Tokens", security(("bearer" = [])),
    responses((status = 204), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn revoke_current(State(app): State<Arc<App>>, Anyone(call): Anyone) -> Result<StatusCode, Error> {
    tokens::revoke_current(&app, &call).await?;
    Ok(StatusCode::NO_CONTENT)
}
