//! `/forward-auth`: for nginx `auth_request`, Caddy, Traefik, HAProxy. 200 with the caller in headers,
//! or 401, or 403, so that `auth_request` can use it; 503 only from a node of a fleet that has lost touch.

use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Request, StatusCode, header};
use tokenhouse_core::index::Use;
use tokenhouse_core::rules::Path;
use tokenhouse_core::verdict::{Accepted, Checkpoint, Reason, Refused};

use super::identity;
use crate::app::{App, Denied};
use crate::auth::guard::RequestId;
use crate::auth::{address, bearer};
use crate::error::challenge;
use crate::listener::Connection;

use crate::observe;
use crate::request_log::{Asked, Decision};

/// Where it is.
pub const PATH: &str = "/forward-auth";

/// Whether the request that a proxy asks about may pass
#[utoipa::path(get, path = "/forward-auth", tag = "Checking tokens", security(("bearer" = [])),
    params(
        ("X-Forwarded-Method" = Option<String>, Header, description = "Original method; or X-Original-Method"),
        ("X-Forwarded-Uri" = Option<String>, Header, description = "Original target; or X-Original-URI or X-Original-URL"),
    ),
    responses(
        (status = 200, description = "May pass; the caller is in X-Auth-* headers"),
        (status = 401, description = "No good token"),
        (status = 503, description = "This node of a fleet has lost touch with its database"),
        (status = 403, description = "Role too low, a SCIM token, or the original request is missing or doubtful"),
    ))]
pub fn forward_auth<B>(app: &App, request: Request<B>, connection: Connection) -> Response {
    let (Parts { method, headers, .. }, _) = request.into_parts();
    observe::at_once(app, method, PATH, |id| respond(app, headers, connection, id))
}

fn respond(app: &App, mut headers: HeaderMap, connection: Connection, id: &RequestId) -> Response {
    let ip = address::client(connection.peer.ip(), &headers, &app.config.server.trusted_proxies);
    let used = app.used_from(ip);
    let original = original(&headers);
    let (method, path) = original.as_ref().map_or(("", ""), |original| (original.method, original.path));
    let asked = Asked { method, path, user_agent: headers.get(header::USER_AGENT), ip, id };
    let decided = |subject, refused, status| {
        let decision = Decision { time: used.at, at: Checkpoint::ForwardAuth, subject, refused };
        asked.record(app, decision, Some(status));
    };
    let checked = check(app, &headers, used, &original);
    match &checked {
        Ok(accepted) => decided(Some(accepted.subject()), None, StatusCode::OK),
        Err(Refusal { status, refused: Some(Refused { reason, subject }) }) => {
            decided(*subject, Some(*reason), *status);
        }
        Err(_) => {}
    }
    match checked {
        Ok(accepted) => {
            // The memory of the request's headers is the answer's, and then the next request's.
            headers.clear();
            identity::add(&mut headers, &accepted);
            let mut response = Response::default();
            *response.headers_mut() = headers;
            response
        }
        Err(Refusal { status: StatusCode::UNAUTHORIZED, refused }) => {
            let challenge = challenge(refused.map(|refused| refused.reason));
            (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)]).into_response()
        }
        Err(Refusal { status: StatusCode::SERVICE_UNAVAILABLE, .. }) => {
            (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")]).into_response()
        }
        Err(Refusal { status, .. }) => status.into_response(),
    }
}

/// Why a request may not pass.
struct Refusal {
    status: StatusCode,
    /// What was decided on its token, if there was one and this node could tell.
    refused: Option<Refused>,
}

impl Refusal {
    const fn of(refused: Refused) -> Self {
        let status = match refused.reason {
            Reason::Forbidden | Reason::ScimOnly => StatusCode::FORBIDDEN,
            _ => StatusCode::UNAUTHORIZED,
        };
        Self { status, refused: Some(refused) }
    }
}

fn check(
    app: &App,
    headers: &HeaderMap,
    used: Use,
    original: &Result<Original<'_>, OriginalRefused>,
) -> Result<Accepted, Refusal> {
    let token = bearer::token(headers).map_err(|reason| match reason {
        Some(reason) => Refusal::of(Refused::anonymous(reason)),
        None => Refusal { status: StatusCode::UNAUTHORIZED, refused: None },
    })?;
    let accepted = app.check(Checkpoint::ForwardAuth, token, used).map_err(|denied| match denied {
        Denied::Refused(refused) => Refusal::of(refused),
        Denied::Stale => Refusal { status: StatusCode::SERVICE_UNAVAILABLE, refused: None },
    })?;
    let forbidden = || Refusal::of(Refused { reason: Reason::Forbidden, subject: Some(accepted.subject()) });
    let original = original.as_ref().map_err(|problem| {
        tracing::warn!(%problem, "forward-auth refused: the proxy in front is not set up right");
        forbidden()
    })?;
    let path = Path::parse(original.path).map_err(|problem| {
        tracing::debug!(%problem, "forward-auth refused a path");
        forbidden()
    })?;
    if accepted.owner.state.role < app.rules.least_role(original.method, &path) {
        return Err(forbidden());
    }
    Ok(accepted)
}

/// Method and path of the request that the proxy asks about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Original<'a> {
    method: &'a str,
    path: &'a str,
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
enum OriginalRefused {
    #[error(
        "neither X-Forwarded-Method with X-Forwarded-Uri nor X-Original-Method with X-Original-URI was sent"
    )]
    Missing,
    #[error("{0} was sent twice, or is not text")]
    Repeated(HeaderName),
    #[error(
        "X-Forwarded-* and X-Original-* (or X-Original-URI and X-Original-URL) disagree; clear the ones the proxy doesn't set"
    )]
    Disagree,
}

/// One family must be there whole, so that a client can't add the half that a proxy leaves out; and
/// whatever else is there must agree with it.
fn original(headers: &HeaderMap) -> Result<Original<'_>, OriginalRefused> {
    let found = Fields::single(headers)?;
    let families = [
        (found.forwarded_method, found.forwarded_uri.map(path_of)),
        (found.original_method, found.original_uri.map(path_of)),
        (found.original_method, found.original_url.map(path_of)),
    ];
    let whole =
        families.iter().find_map(|(method, path)| Some(Original { method: (*method)?, path: (*path)? }));
    let original = whole.ok_or(OriginalRefused::Missing)?;
    let agrees = |(method, path): &(Option<&str>, Option<&str>)| {
        method.is_none_or(|method| method == original.method) && path.is_none_or(|path| path == original.path)
    };
    if families.iter().all(agrees) { Ok(original) } else { Err(OriginalRefused::Disagree) }
}

/// The header fields that tell the original method and target: `X-Forwarded-*` has one for each,
/// `X-Original-*` two names for the target. Each may be there once.
#[derive(Default)]
struct Fields<'a> {
    forwarded_method: Option<&'a str>,
    forwarded_uri: Option<&'a str>,
    original_method: Option<&'a str>,
    original_uri: Option<&'a str>,
    original_url: Option<&'a str>,
}

impl<'a> Fields<'a> {
    /// Finds all in one go through the few fields that a request has, which costs less than to look each up.
    fn single(headers: &'a HeaderMap) -> Result<Self, OriginalRefused> {
        let mut found = Self::default();
        for (name, value) in headers {
            let field = match name.as_str() {
                "x-forwarded-method" => &mut found.forwarded_method,
                "x-forwarded-uri" => &mut found.forwarded_uri,
                "x-original-method" => &mut found.original_method,
                "x-original-uri" => &mut found.original_uri,
                "x-original-url" => &mut found.original_url,
                _ => continue,
            };
            let repeated = || OriginalRefused::Repeated(name.clone());
            let text = std::str::from_utf8(value.as_bytes()).map_err(|_| repeated())?;
            if field.replace(text).is_some() {
                return Err(repeated());
            }
        }
        // A proxy clears a header by sending it empty.
        let sent = |text: &&str| !text.is_empty();
        Ok(Self {
            forwarded_method: found.forwarded_method.filter(sent),
            forwarded_uri: found.forwarded_uri.filter(sent),
            original_method: found.original_method.filter(sent),
            original_uri: found.original_uri.filter(sent),
            original_url: found.original_url.filter(sent),
        })
    }
}

/// The path of a target: without query, and without scheme and host where there are any. A fragment
/// stays and is refused as part of the path: no client sends one.
fn path_of(target: &str) -> &str {
    let end = target.bytes().position(|byte| byte == b'?').unwrap_or(target.len());
    let without_query = &target[..end];
    if without_query.starts_with('/') {
        return without_query;
    }
    match without_query.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => rest.find('/').map_or("/", |slash| &rest[slash..]),
        _ => without_query,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(sent: &[(&'static str, &str)]) -> Result<(String, String), OriginalRefused> {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(*name, value.parse().unwrap());
        }
        original(&headers).map(|o| (o.method.to_owned(), o.path.to_owned()))
    }

    #[test]
    fn either_family_does_when_it_is_whole() {
        let expected = Ok(("GET".to_owned(), "/a/b".to_owned()));
        for sent in [
            &[("x-forwarded-method", "GET"), ("x-forwarded-uri", "/a/b?c=/d")][..],
            &[("x-original-method", "GET"), ("x-original-uri", "/a/b")],
            &[("x-original-method", "GET"), ("x-original-url", "https://h:1/a/b?x=://y")],
            &[("x-forwarded-method", ""), ("x-original-method", "GET"), ("x-original-uri", "/a/b")],
            &[
                ("x-forwarded-method", "GET"),
                ("x-forwarded-uri", "/a/b?1"),
                ("x-original-method", "GET"),
                ("x-original-uri", "/a/b?2"),
            ],
        ] {
            assert_eq!(outcome(sent), expected, "{sent:?}");
        }
        assert_eq!(path_of("http://host"), "/");
        assert_eq!(path_of("/redirect/http://host/x"), "/redirect/http://host/x");
    }

    #[test]
    fn a_doubtful_original_is_refused() {
        use OriginalRefused::{Disagree, Missing, Repeated};
        for (sent, problem) in [
            (&[][..], Missing),
            (&[("x-forwarded-method", "GET")], Missing),
            (&[("x-forwarded-method", "GET"), ("x-original-uri", "/a")], Missing),
            (&[("x-original-uri", "/b"), ("x-forwarded-method", "GET"), ("x-forwarded-uri", "/a")], Disagree),
            (
                &[("x-original-method", "PUT"), ("x-forwarded-method", "GET"), ("x-forwarded-uri", "/a")],
                Disagree,
            ),
            (
                &[
                    ("x-forwarded-method", "GET"),
                    ("x-forwarded-uri", "/a"),
                    ("x-original-method", "POST"),
                    ("x-original-uri", "/a"),
                ],
                Disagree,
            ),
            (
                &[("x-original-method", "GET"), ("x-original-uri", "/a"), ("x-original-url", "http://h/b")],
                Disagree,
            ),
            (
                &[("x-original-method", "GET"), ("x-original-uri", "/a"), ("x-original-uri", "/a")],
                Repeated(HeaderName::from_static("x-original-uri")),
            ),
            (
                &[
                    ("x-forwarded-uri", ""),
                    ("x-forwarded-uri", "/admin"),
                    ("x-original-method", "GET"),
                    ("x-original-uri", "/public"),
                ],
                Repeated(HeaderName::from_static("x-forwarded-uri")),
            ),
        ] {
            assert_eq!(outcome(sent), Err(problem), "{sent:?}");
        }
    }
}
