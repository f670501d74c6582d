//! `/api/status`, `/healthz`, `/readyz` and the plain `/`

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{Html, IntoResponse};
use http::StatusCode;
use serde::Serialize;
use tokenhouse_requests::Log;
use utoipa::ToSchema;

use crate::app::App;
use crate::error::{Error, Problem};

/// What is running.
#[derive(Debug, Serialize, ToSchema)]
pub struct Status {
    /// Always `ok`: a server that isn't doesn't answer this.
    #[schema(example = "ok")]
    status: &'static str,
    /// Version of the binary.
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// `sqlite` or `postgres`.
    #[schema(example = "sqlite")]
    store: &'static str,
}

/// What is running
#[utoipa::path(get, path = "/api/status", tag = "Status", responses((status = 200, body = Status)))]
pub async fn status(State(app): State<Arc<App>>) -> axum::Json<Status> {
    axum::Json(Status { status: "ok", version: env!("CARGO_PKG_VERSION"), store: app.store.kind() })
}

/// Where it is asked whether the process lives.
pub const LIVES: &str = "/healthz";

/// Where it is asked whether it can answer.
pub const READY: &str = "/readyz";

/// Whether the process lives
#[utoipa::path(get, path = "/healthz", tag = "Status", responses((status = 200, content_type = "text/plain", body = String)))]
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether it can answer: the index is loaded and follows the store, and the disk takes changes
///
/// Asks no database: the feed looks every second.
#[utoipa::path(get, path = "/readyz", tag = "Status",
    responses((status = 200, content_type = "text/plain", body = String), (status = 503, body = Problem, content_type = "application/problem+json")))]
pub async fn readyz(State(app): State<Arc<App>>) -> Result<impl IntoResponse, Error> {
    // A node of a fleet has a lease only if it follows.
    if app.fleet.is_none() && !app.feed.is_following() {
        return Err(Error::Unavailable("the log of changes can't be followed".into()));
    }
    app.store.check_durability()?;
    if !app.is_fresh() {
        return Err(Error::Stale);
    }
    let log = app.requests.as_ref().map(Log::state);
    let damaged = log.as_ref().map_or(0, |log| log.damaged);
    if let Some(trouble) = log.filter(|log| log.is_blocked).and_then(|log| log.trouble) {
        return Err(Error::Unrecorded(trouble));
    }
    // Nothing that keeps it from answering, but somebody should look after it.
    let word = if damaged > 0 {
        Cow::Owned(format!("ready\nrequest log: damaged segments are kept aside: {damaged}\n"))
    } else {
        Cow::Borrowed("ready\n")
    };
    Ok((StatusCode::OK, word))
}

/// The front door for whoever is not a browser.
pub fn front_door() -> Html<&'static str> {
    Html(concat!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Tokenhouse</title>",
        "<h1>Tokenhouse</h1><p>This is an authority for API tokens. ",
        "The API is described at <a href=\"/api/docs/\">/api/docs/</a> and in ",
        "<a href=\"/api/openapi.json\">/api/openapi.json</a>. ",
        "The first Admin is made on the machine with <code>tokenhouse admin create</code>.</p></html>\n"
    ))
}
