//! `/oauth/introspect` (RFC 7662), `/oauth/revoke` (RFC 7009) and `/.well-known/jwks.json` (RFC 7517).

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, Request, StatusCode, header};
use serde::Serialize;
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::codec::Issued;
use tokenhouse_core::people::{Role, UserType};
use tokenhouse_core::policy::Permission;
use tokenhouse_core::verdict::{Accepted, Checkpoint};
use utoipa::ToSchema;

use super::assertion::KeySet;
use crate::api::body;
use crate::app::{App, Denied};
use crate::auth::address;
use crate::auth::guard::{self, Call, Credential, Origin};
use crate::error::{Error, Problem};
use crate::listener::Connection;

use crate::observe::{self, Answering};
use crate::request_log::Pending;
use crate::service::tokens;

/// The token in question.
#[derive(ToSchema)]
#[allow(dead_code, reason = "for the description only")]
struct TokenForm {
    /// The token itself.
    token: Option<String>,
    /// Known to RFC 7009 and 7662; makes no difference here.
    token_type_hint: Option<String>,
}

/// The token in a form, which must hold one.
fn presented(form: &[u8]) -> Result<Cow<'_, str>, Error> {
    // Mostly it is all there is, and no token needs to be encoded.
    let token = form.strip_prefix(b"token=").unwrap_or_default();
    // Looks at all bytes in any case, so that it can look at many at once.
    let is_encoded = token.iter().fold(false, |found, byte| found | matches!(byte, b'&' | b'+' | b'%'));
    if let Ok(token) = str::from_utf8(token)
        && !token.trim().is_empty()
        && !is_encoded
    {
        return Ok(Cow::Borrowed(token));
    }
    let mut tokens = form_urlencoded::parse(form).filter(|(name, _)| name == "token");
    match (tokens.next(), tokens.next()) {
        (Some((_, token)), None) if !token.trim().is_empty() => Ok(token),
        _ => Err(Error::BadRequest("the form must hold `token`, once".into())),
    }
}

/// What a token is good for.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Introspection<'a> {
    /// It is good.
    Active(ActiveToken<'a>),
    /// It is not, for whatever reason.
    Inactive {
        /// Always false.
        active: bool,
    },
}

/// A good token and its owner, as they are now.
#[derive(Debug, Serialize, ToSchema)]
pub struct ActiveToken<'a> {
    /// Always true.
    active: bool,
    /// The owner's `user_id`.
    sub: &'a str,
    /// The owner's user name.
    username: &'a str,
    /// The owner's e-mail address.
    email: &'a str,
    /// Always `Bearer`.
    token_type: &'static str,
    /// Issuer.
    iss: &'a str,
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
    #[schema(value_type = Vec<String>)]
    teams: Vec<Cow<'a, str>>,
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
pub fn introspect<B>(app: Arc<App>, request: Request<B>, connection: Connection) -> Answering
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let method = request.method().clone();
    observe::known(app, method, INTROSPECT, async move |app, id| {
        let ip = address::client(connection.peer.ip(), request.headers(), &app.config.server.trusted_proxies);
        let pending = Pending::of(&app, (request.method(), request.uri(), request.headers()), ip, id);
        let answer = answer(&app, request, ip, pending.as_ref()).await;
        let response = answer.unwrap_or_else(Error::into_response);
        if let Some(pending) = pending {
            pending.answered(Some(response.status())).await;
        }
        response
    })
}

async fn answer<B>(
    app: &App,
    request: Request<B>,
    ip: IpAddr,
    pending: Option<&Pending>,
) -> Result<Response, Error>
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>>,
{
    if request.method() != Method::POST {
        return Ok(([(header::ALLOW, "POST")], Error::MethodNotAllowed).into_response());
    }
    let caller = guard::authenticate_from(ip, request.headers(), app, Checkpoint::Api, pending)?;
    let origin = Origin { ip, request_id: None };
    let call = Call::of(caller.owner, Credential::Token(caller.token.id, caller.hash), origin);
    call.needs(Permission::SeePeople).inspect_err(|_| {
        pending.inspect(|pending| pending.forbidden());
    })?;
    let form = body::form(request).await?;
    let presented = presented(&form)?;
    if let Some(log) = &app.requests {
        // Before the check: what it finds must not grow old while a row waits.
        log.room().await;
    }
    let used = app.used_from(ip);
    let checked = app.check_genuine(Checkpoint::Introspection, presented.trim().as_bytes(), used);
    if let Some(pending) = pending {
        let checked = checked.as_ref().map(|(accepted, _)| accepted).map_err(|denied| *denied);
        pending.also(Checkpoint::Introspection, used.at, checked);
        pending.answered_at_once(Some(StatusCode::OK));
    }
    let told = match checked {
        Ok((accepted, genuine)) => {
            let issued = genuine.issued().map_err(Error::internal)?;
            serde_json::to_vec(&Introspection::Active(active(app, &accepted, issued)))
        }
        Err(Denied::Refused(_)) => serde_json::to_vec(&Introspection::Inactive { active: false }),
        Err(Denied::Stale) => return Err(Error::Stale),
    };
    let mut response = Response::new(Body::from(told.map_err(Error::internal)?));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Only what the index doesn't know is read from the token itself.
fn active<'a>(app: &'a App, accepted: &'a Accepted, Issued { jti, iat }: Issued) -> ActiveToken<'a> {
    let (state, identity) = (&accepted.owner.state, &accepted.owner.identity);
    ActiveToken {
        active: true,
        sub: identity.user_id_text(),
        username: identity.user_name(),
        email: identity.email_text(),
        token_type: "Bearer",
        iss: app.codec.issuer(),
        iat,
        exp: accepted.token.expires_at.map(Timestamp::seconds),
        jti,
        role: state.role,
        teams: identity.team_names().collect(),
        user_type: state.user_type,
        scope: if accepted.token.scim_only { "scim" } else { "api" },
    }
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
    request: Request<Body>,
) -> Result<StatusCode, Error> {
    let form = body::form(request).await?;
    app.limits.revocation(origin.ip)?;
    tokens::revoke_presented(&app, presented(&form)?.trim().as_bytes(), origin).await?;
    Ok(StatusCode::OK)
}

/// The key that checks the gateway's assertions
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "Checking tokens", responses((status = 200, body = KeySet)))]
pub async fn key_set(State(app): State<Arc<App>>) -> impl IntoResponse {
    let lifetime = HeaderValue::from_static("max-age=300");
    ([(header::CACHE_CONTROL, lifetime)], axum::Json(app.assertion.key_set()))
}
