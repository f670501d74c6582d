//! The gateway: whatever is not for us goes to the upstream, after the check.

use std::borrow::Cow;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::HeaderMap;
use http::request::Parts;
use tokenhouse_core::rules::Path;
use tokenhouse_core::verdict::{Accepted, Checkpoint};
use tokio::time::timeout;

use super::identity;
use crate::app::App;
use crate::auth::guard;
use crate::error::Error;
use crate::listener::Connection;

use crate::proxy::{self, Failure};
use crate::request_log::Pending;

/// What is ours, as segments of a decoded path. Whatever lies under one of these never goes upstream,
/// however it is spelled, and whether there is such a route or not.
const RESERVED: [&[&str]; 26] = [
    &["api", "activity"],
    &["api", "activity.csv"],
    &["api", "alerts"],
    &["api", "cli"],
    &["api", "docs"],
    &["api", "leaks"],
    &["api", "openapi.json"],
    &["api", "policies"],
    &["api", "requests"],
    &["api", "reviews"],
    &["api", "reviews.csv"],
    &["api", "reviews.json"],
    &["api", "scim"],
    &["api", "service-user-requests"],
    &["api", "sessions"],
    &["api", "status"],
    &["api", "teams"],
    &["api", "user-tokens"],
    &["api", "users"],
    &[".well-known"],
    &["assets"],
    &["forward-auth"],
    &["healthz"],
    &["oauth"],
    &["readyz"],
    &["scim"],
];

/// After this time the log doesn't wait for the upstream's status any more: a request that goes on for hours is to be
/// seen before its end.
const UNKNOWN_AFTER: Duration = Duration::from_secs(1);

/// The pages of the web UI, at the front door.
const PAGES: [&str; 5] = ["invite", "login", "logout", "settings", "setup"];

/// Whether a request for this path goes to the upstream, if there is one. So does one that can be read in
/// two ways, to be refused there.
pub fn is_for_upstream(path: &str) -> bool {
    !Path::parse(path).is_ok_and(|path| is_ours(&path))
}

/// To the upstream, after token, path and role.
pub async fn gateway(State(app): State<Arc<App>>, request: Request) -> Result<Response, Error> {
    let (mut parts, body) = request.into_parts();
    let pending = Pending::within(&app, &mut parts);
    let answer = pass(&app, parts, body, pending.as_deref()).await;
    if let Some(pending) = pending {
        let status = answer.as_ref().map_or_else(Error::status, Response::status);
        pending.answered(Some(status)).await;
    }
    answer
}

async fn pass(
    app: &Arc<App>,
    parts: Parts,
    body: Body,
    pending: Option<&Pending>,
) -> Result<Response, Error> {
    let Some(proxy) = &app.proxy else { return Err(nothing_here()) };
    let (accepted, origin) = guard::authenticate(&parts, app, Checkpoint::Gateway)?;
    least_role(app, &parts, &accepted).inspect_err(|_| {
        pending.inspect(|pending| pending.forbidden());
    })?;
    let mut identity = HeaderMap::new();
    identity::add(&mut identity, &accepted);
    let assertion = app.assertion.of(&accepted, app.clock.now(), &app.assertion_ids)?;
    identity::add_assertion(&mut identity, assertion);
    let connection = parts.extensions.get::<Connection>();
    let origin = proxy::Origin {
        // The peer, since the client's own list of addresses is passed on and ends with the one before it.
        client: connection.map_or(origin.ip, |connection| connection.peer.ip()),
        secure: connection.is_some_and(|connection| connection.secure),
    };
    let request = Request::from_parts(parts, body);
    let mut answer = pin!(proxy.forward(request, identity, origin));
    let answer = if let Ok(answer) = timeout(UNKNOWN_AFTER, &mut answer).await {
        answer
    } else {
        if let Some(pending) = pending {
            pending.answered(None).await;
        }
        answer.await
    };
    answer.map_err(|failure| match failure {
        Failure::Unreachable => Error::UpstreamUnreachable,
        Failure::TooSlow => Error::UpstreamTooSlow,
        Failure::BadRequest => Error::BadRequest("the request can't be passed on as it is".into()),
    })
}

/// Whether the caller's role is enough for this request.
fn least_role(app: &App, parts: &Parts, accepted: &Accepted) -> Result<(), Error> {
    let path = Path::parse(parts.uri.path()).map_err(|problem| Error::BadRequest(problem.to_string()))?;
    let least = app.rules.least_role(parts.method.as_str(), &path);
    if accepted.owner.state.role < least {
        return Err(Error::Forbidden(format!("this needs the role {least}")));
    }
    Ok(())
}

/// What is answered where there is no route, and nothing goes upstream.
pub fn nothing_here() -> Error {
    Error::NotFound("there is nothing at this path".into())
}

fn is_ours(path: &Path<'_>) -> bool {
    let starts_with = |prefix: &&[&str]| {
        let mut segments = path.segments();
        prefix.iter().all(|own| segments.next().is_some_and(|segment| own.eq_ignore_ascii_case(&segment)))
    };
    let is_page = |first: Cow<'_, str>| PAGES.iter().any(|page| page.eq_ignore_ascii_case(&first));
    path.segments().next().is_none_or(is_page) || RESERVED.iter().any(starts_with)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ours_is_known_in_every_spelling() {
        for ours in [
            "/",
            "/api/users",
            "/API/Users/7/x",
            "/%61pi/user-tokens",
            "/scim/v2/Users",
            "/LOGIN/",
            "/oauth/x",
        ] {
            assert!(is_ours(&Path::parse(ours).unwrap()), "{ours}");
        }
        for theirs in [
            "/api",
            "/api/datastores",
            "/apis/users",
            "/user-tokens",
            "/metrics",
            "/api/user-tokens2",
            "/account",
        ] {
            assert!(!is_ours(&Path::parse(theirs).unwrap()), "{theirs}");
        }
    }
}
