//! Every route there is, on one page.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

use crate::api::documentation::Documentation;
use crate::api::{activity, status, teams, user_tokens, users};
use crate::app::App;
use crate::auth::guard::RequestId;
use crate::error::{Cause, Error, Problem};
use crate::verify::{forward_auth, gateway, oauth};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Every route that is described, by who may call it.
fn described() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Documentation::openapi())
        // Anyone.
        .routes(routes!(status::status))
        .routes(routes!(status::healthz))
        .routes(routes!(status::readyz))
        .routes(routes!(oauth::key_set))
        .routes(routes!(oauth::revoke))
        // Whoever has a good token: their own, and what policy adds.
        .routes(routes!(user_tokens::list, user_tokens::generate))
        .routes(routes!(user_tokens::current, user_tokens::revoke_current))
        .routes(routes!(user_tokens::one, user_tokens::change, user_tokens::delete))
        .routes(routes!(user_tokens::rotate))
        .routes(routes!(users::me))
        .routes(routes!(users::revoke_tokens))
        // Managers and Admins.
        .routes(routes!(users::list, users::create))
        .routes(routes!(users::one, users::update, users::deactivate))
        .routes(routes!(teams::list, teams::create))
        .routes(routes!(teams::one, teams::update, teams::delete))
        .routes(routes!(oauth::introspect))
        // Admins.
        .routes(routes!(user_tokens::list_service))
        .routes(routes!(users::reactivate))
        .routes(routes!(activity::list))
        .routes(routes!(activity::insights))
        .routes(routes!(activity::csv))
}

/// The description of the API (OpenAPI 3.1).
pub fn openapi() -> utoipa::openapi::OpenApi {
    let (_, mut openapi) = described().split_for_parts();
    openapi.merge(ForwardAuthDocumentation::openapi());
    openapi
}

/// Answers every method, so it can't be among the routes above.
#[derive(utoipa::OpenApi)]
#[openapi(paths(forward_auth::forward_auth))]
struct ForwardAuthDocumentation;

/// The description with a page to browse it, which asks no validator at swagger.io.
fn browsable() -> SwaggerUi {
    let config = utoipa_swagger_ui::Config::default().validator_url("none");
    SwaggerUi::new("/api/docs").url("/api/openapi.json", openapi()).config(config)
}

/// The whole application.
pub fn router(app: Arc<App>) -> Router {
    let (described, _) = described().split_for_parts();
    described
        .route("/", get(status::front_door))
        .route("/forward-auth", any(forward_auth::forward_auth))
        .merge(browsable())
        .method_not_allowed_fallback(|| async { Error::MethodNotAllowed })
        .fallback(gateway::gateway)
        .layer(CatchPanicLayer::custom(|_| Error::internal("a handler panicked").into_response()))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), observe))
        .with_state(app)
}

/// `/metrics`, for its own listener.
pub fn metrics_router(app: Arc<App>) -> Router {
    let metrics = |State(app): State<Arc<App>>| async move {
        let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        ([(http::header::CONTENT_TYPE, content_type)], app.metrics.text(&app.feed, &app.usage))
    };
    Router::new().route("/metrics", get(metrics)).with_state(app)
}

/// Numbers the request, writes problem documents, counts and logs the answer. The log has the route,
/// never the path: whatever somebody puts into a path may be a secret.
async fn observe(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let Ok(number) = app.random.text::<12>() else {
        return http::StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let id = RequestId(number.into());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    request.extensions_mut().insert(id.clone());
    let mut response = next.run(request).await;
    if let Ok(value) = HeaderValue::try_from(&*id.0) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let status = response.status();
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        problem.with_request_id(&id.0).write_into(&mut response);
    }
    if route.is_some() {
        let headers = response.headers_mut();
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    app.metrics.answer(status.as_u16());
    let route = route.as_ref().map_or("gateway", MatchedPath::as_str);
    if let Some(Cause(cause)) = response.extensions_mut().remove::<Cause>() {
        tracing::error!(request_id = &*id.0, %method, route, status = status.as_u16(), cause = chain(&*cause), "failed");
    } else if tracing::enabled!(tracing::Level::DEBUG) {
        let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        tracing::debug!(request_id = &*id.0, %method, route, status = status.as_u16(), micros, "answered");
    }
    response
}

/// An error with all its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
