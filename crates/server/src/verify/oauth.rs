//! `/oauth/introspect` (RFC 7662), `/oauth/revoke` (RFC 7009) and `/.well-known/jwks.json` (RFC 7517).

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::people::{Role, UserType};
use tokenhouse_core::verdict::Accepted;
use utoipa::ToSchema;

use super::assertion::KeySet;
use crate::api::body::Form;
use crate::app::{App, Denied};
use crate::auth::guard::{Origin, SeesPeople};
use crate::error::{Error, Problem};
use crate::metrics::Checkpoint;
use crate::service::tokens;

/// The token in question.
#[derive(Deserialize, ToSchema)]
pub struct TokenForm {
    /// The token itself.
    token: Option<String>,
    /// Known to RFC 7009 and 7662; makes no difference here.
    #[allow(dead_code, reason = "part of both standards")]
    token_type_hint: Option<String>,
}

/// The form holds a secret.
impl std::fmt::Debug for TokenForm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenForm(hidden)")
    }
}

impl TokenForm {
    fn token(&self) -> Result<&str, Error> {
        let token = self.token.as_deref().map(str::trim).filter(|token| !token.is_empty());
        token.ok_or_else(|| Error::BadRequest("the form must hold `token`".into()))
    }
}

/// What a token is good for.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Introspection {
    /// It is good.
    Active(Box<ActiveToken>),
    /// It is not, for whatever reason.
    Inactive {
        /// Always false.
        active: bool,
    },
}

/// A good token and its owner, as they are now.
#[derive(Debug, Serialize, ToSchema)]
pub struct ActiveToken {
    /// Always true.
    active: bool,
    /// The owner's `user_id`.
    sub: String,
    /// The owner's user name.
    username: String,
    /// The owner's e-mail address.
    email: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// Issuer.
    iss: String,
    /// When it was made, seconds since the Unix epoch.
    iat: i64,
    /// When it expires, seconds since the Unix epoch; absent is never.
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    /// Id of the token in itself.
    jti: String,
    /// The owner's present role.
    #[schema(value_type = String, pattern = "^(Member|Manager|Admin)$")]
    role: Role,
    /// The owner's present teams.
    teams: Vec<String>,
    /// Person or automation.
    #[schema(value_type = String, pattern = "^(Human|Service)$")]
    user_type: UserType,
    /// `scim` for a token that opens the SCIM endpoints only, else `api`.
    #[schema(pattern = "^(api|scim)$")]
    scope: &'static str,
}

/// Where the public key is.
pub const KEY_SET: &str = "/.well-known/jwks.json";

/// Where introspection is.
pub const INTROSPECT: &str = "/oauth/introspect";

/// Whether a token is good, and whose it is (RFC 7662)
#[utoipa::path(post, path = "/oauth/introspect", tag = "Checking tokens", security(("bearer" = [])),
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, body = Introspection), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn introspect(
    State(app): State<Arc<App>>,
    SeesPeople(call): SeesPeople,
    Form(form): Form<TokenForm>,
) -> Result<axum::Json<Introspection>, Error> {
    let presented = form.token()?.as_bytes();
    let ip = call.ip.unwrap_or(std::net::IpAddr::from([0, 0, 0, 0]));
    let answer = match app.check(Checkpoint::Introspection, presented, ip) {
        Ok(accepted) => Introspection::Active(Box::new(active(&app, presented, &accepted)?)),
        Err(Denied::Refused(_)) => Introspection::Inactive { active: false },
        Err(Denied::Stale) => return Err(Error::Stale),
    };
    Ok(axum::Json(answer))
}

fn active(app: &App, presented: &[u8], accepted: &Accepted) -> Result<ActiveToken, Error> {
    // Only what the index doesn't know is read from the token itself.
    let claims = app.codec.read(presented).and_then(|genuine| genuine.claims()).map_err(Error::internal)?;
    let owner = &accepted.owner.state;
    Ok(ActiveToken {
        active: true,
        sub: owner.user_id.clone(),
        username: owner.user_name.clone(),
        email: owner.email.clone(),
        token_type: "Bearer",
        iss: claims.iss,
        iat: claims.iat,
        exp: accepted.token.expires_at.map(Timestamp::seconds),
        jti: claims.jti,
        role: owner.role,
        teams: owner.teams.clone(),
        user_type: owner.user_type,
        scope: if accepted.token.scim_only { "scim" } else { "api" },
    })
}

/// Revoke a token by presenting it (RFC 7009)
///
/// Whoever holds a token may kill it. The answer is 200 whether the token existed or not.
#[utoipa::path(post, path = "/oauth/revoke", tag = "Checking tokens",
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn revoke(
    State(app): State<Arc<App>>,
    origin: Origin,
    Form(form): Form<TokenForm>,
) -> Result<StatusCode, Error> {
    app.limits.revocation(origin.ip)?;
    tokens::revoke_presented(&app, form.token()?.as_bytes(), origin).await?;
    Ok(StatusCode::OK)
}

/// The key that checks the gateway's assertions
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "Checking tokens", responses((status = 200, body = KeySet)))]
pub async fn key_set(State(app): State<Arc<App>>) -> impl IntoResponse {
    let lifetime = HeaderValue::from_static("max-age=300");
    ([(header::CACHE_CONTROL, lifetime)], axum::Json(app.assertion.key_set()))
}
