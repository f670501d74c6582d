//! Every route there is, on one page.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use tower::layer::layer_fn;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

use crate::api::documentation::Documentation;
use crate::api::{
    activity, alerts, leaks, policies, report, requests, reviews, service_user_requests, status, teams,
    user_tokens, users,
};
use crate::app::App;
use crate::error::Error;
use crate::observe::Observed;
use crate::scim;
use crate::ui;
use crate::verify::{forward_auth, oauth};

/// Every route that is described, by who may call it.
fn described() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Documentation::openapi())
        // Anyone.
        .routes(routes!(status::status))
        .routes(routes!(status::healthz))
        .routes(routes!(status::readyz))
        .routes(routes!(oauth::key_set))
        .routes(routes!(oauth::revoke))
        .routes(routes!(leaks::report))
        .routes(routes!(leaks::from_github))
        // Whoever has a good token: their own, and what policy adds.
        .routes(routes!(user_tokens::list, user_tokens::generate))
        .routes(routes!(user_tokens::current, user_tokens::revoke_current))
        .routes(routes!(user_tokens::one, user_tokens::change, user_tokens::delete))
        .routes(routes!(user_tokens::rotate))
        .routes(routes!(user_tokens::plan_rotation))
        .routes(routes!(requests::of_token))
        .routes(routes!(requests::of_token_summary))
        .routes(routes!(requests::of_token_top))
        .routes(routes!(report::of_token))
        .routes(routes!(report::of_user))
        .routes(routes!(requests::of_user))
        .routes(routes!(requests::of_user_summary))
        .routes(routes!(requests::of_user_top))
        .routes(routes!(alerts::list))
        .routes(routes!(alerts::deliveries))
        .routes(routes!(alerts::retry))
        .routes(routes!(service_user_requests::list, service_user_requests::ask))
        .routes(routes!(service_user_requests::one, service_user_requests::withdraw))
        .routes(routes!(users::me))
        .routes(routes!(users::revoke_tokens))
        // Managers and Admins.
        .routes(routes!(users::list, users::create))
        .routes(routes!(users::one, users::update, users::deactivate))
        .routes(routes!(teams::list, teams::create))
        .routes(routes!(teams::one, teams::update, teams::delete))
        // Admins.
        .routes(routes!(user_tokens::list_service))
        .routes(routes!(requests::of_services))
        .routes(routes!(requests::of_services_summary))
        .routes(routes!(requests::of_services_top))
        .routes(routes!(service_user_requests::approve))
        .routes(routes!(service_user_requests::decline))
        .routes(routes!(users::reactivate))
        .routes(routes!(activity::list))
        .routes(routes!(activity::insights))
        .routes(routes!(activity::as_csv))
        .routes(routes!(policies::read, policies::change))
        .routes(routes!(reviews::list))
        .routes(routes!(reviews::as_csv))
        .routes(routes!(reviews::as_json))
        .routes(routes!(reviews::sign_offs, reviews::sign_off))
        .routes(routes!(users::plan_rotation))
        .routes(routes!(alerts::test))
}

/// The description of the API (OpenAPI 3.1).
pub fn openapi() -> utoipa::openapi::OpenApi {
    let (_, mut openapi) = described().split_for_parts();
    openapi.merge(ChecksDocumentation::openapi());
    openapi
}

/// Answered before there are routes, so these can't be among those above.
#[derive(utoipa::OpenApi)]
#[openapi(paths(forward_auth::forward_auth, oauth::introspect))]
struct ChecksDocumentation;

/// The description with a page to browse it, which asks no validator at swagger.io.
fn browsable() -> SwaggerUi {
    let config = utoipa_swagger_ui::Config::default().validator_url("none");
    SwaggerUi::new("/api/docs").url("/api/openapi.json", openapi()).config(config)
}

/// The routes, for every request that [`crate::front`] doesn't answer by itself.
pub fn router(app: Arc<App>) -> Router {
    let (described, _) = described().split_for_parts();
    described
        .merge(scim::routes())
        .merge(ui::routes(&app))
        .merge(ui::documentation(browsable().into()))
        .method_not_allowed_fallback(|| async { Error::MethodNotAllowed })
        .fallback(ui::unknown)
        .layer(layer_fn({
            let app = Arc::clone(&app);
            move |inner| Observed::new(inner, Arc::clone(&app))
        }))
        .with_state(app)
}

/// `/metrics`, for its own listener.
pub fn metrics_router(app: Arc<App>) -> Router {
    let metrics = |State(app): State<Arc<App>>| async move {
        let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        (
            [(http::header::CONTENT_TYPE, content_type)],
            app.metrics.text(&app.feed, app.fleet.as_ref(), app.requests.as_ref(), &app.exports),
        )
    };
    Router::new().route("/metrics", get(metrics)).with_state(app)
}
