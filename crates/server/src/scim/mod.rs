//! SCIM 2.0 (RFC 7643, RFC 7644): directories make, change and remove people and teams. [`resources`] lists
//! every route.

mod bulk;
mod discovery;
mod endpoint;
mod etag;
pub mod filter;
mod group;
pub mod patch;
mod person;
mod query;
mod resource;
pub mod schema;
mod value;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequest, FromRequestParts, Path, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, delete, get, patch as patching, post, put};
use futures_util::FutureExt as _;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use serde::Serialize;
use serde_json::{Value, json};

use self::endpoint::{Endpoint, Groups, Users};
use self::etag::{IfMatch, IfNoneMatch};
use self::query::Query;
use self::resource::{Resource, Selection};
use self::value::Object;
use crate::api::body;
use crate::app::App;
use crate::auth::guard::Provisions;
use crate::error::{Error, Problem};
use crate::observe;

/// Where it is. Links name the first one.
pub const PREFIXES: [&str; 2] = ["/scim/v2", "/api/scim/v2"];

/// The media type of every answer.
const MEDIA_TYPE: &str = "application/scim+json";

/// A route, below each of [`PREFIXES`].
#[derive(Debug)]
pub struct Route {
    /// How it is asked for.
    pub method: Method,
    /// Where it is.
    pub path: &'static str,
    /// What answers it.
    answer: MethodRouter<Arc<App>>,
}

/// Every route. All are for SCIM tokens and ordinary tokens of Admins.
pub fn resources() -> Vec<Route> {
    let route = |method, path, answer| Route { method, path, answer };
    let show = |path, answer| route(Method::GET, path, answer);
    let mut routes = vec![
        show("/ServiceProviderConfig", get(discovery::configuration)),
        show("/ResourceTypes", get(discovery::resource_types)),
        show("/ResourceTypes/{name}", get(discovery::one_resource_type)),
        show("/Schemas", get(discovery::schemas)),
        show("/Schemas/{id}", get(discovery::one_schema)),
        route(Method::POST, "/Bulk", post(bulk::bulk)),
        route(Method::POST, "/.search", post(search_everything)),
    ];
    for (method, answer) in [
        (Method::GET, get(me)),
        (Method::POST, post(me)),
        (Method::PUT, put(me)),
        (Method::PATCH, patching(me)),
        (Method::DELETE, delete(me)),
    ] {
        routes.push(route(method, "/Me", answer));
    }
    routes.extend(of::<Users>(["/Users", "/Users/.search", "/Users/{id}"]));
    routes.extend(of::<Groups>(["/Groups", "/Groups/.search", "/Groups/{id}"]));
    routes
}

/// The routes of one type of resources.
fn of<E: Endpoint>([all, search_all, one]: [&'static str; 3]) -> [Route; 7] {
    let route = |method, path, answer| Route { method, path, answer };
    [
        route(Method::GET, all, get(list_all::<E>)),
        route(Method::POST, all, post(create::<E>)),
        route(Method::POST, search_all, post(search::<E>)),
        route(Method::GET, one, get(find::<E>)),
        route(Method::PUT, one, put(change::<E>)),
        route(Method::PATCH, one, patching(change::<E>)),
        route(Method::DELETE, one, delete(delete_one::<E>)),
    ]
}

/// The routes below each prefix; whatever else lies there is an error in SCIM's form, too.
pub fn routes() -> Router<Arc<App>> {
    let nothing_here = || any(|| async { Error::NotFound("there is nothing at this path".into()) });
    let mut router = Router::new();
    for prefix in PREFIXES {
        for Route { path, answer, .. } in resources() {
            router = router.route(&format!("{prefix}{path}"), answer);
        }
        for path in ["", "/", "/{*rest}"] {
            router = router.route(&format!("{prefix}{path}"), nothing_here());
        }
    }
    router
        .method_not_allowed_fallback(|| async { Error::MethodNotAllowed })
        .layer(middleware::from_fn(in_scims_form))
}

/// Writes errors, also those of handlers that panic, in SCIM's form.
async fn in_scims_form(request: Request, next: Next) -> Response {
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let mut response = answer.unwrap_or_else(|_| observe::panicked());
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        problem.write_scim_into(&mut response);
    }
    response
}

/// Where links begin.
fn base(app: &App) -> String {
    format!("{}{}", app.config.server.public_url, PREFIXES[0])
}

/// The body of a request: an object.
struct Body(Object);

impl FromRequest<Arc<App>> for Body {
    type Rejection = Error;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Error> {
        let accepted = body::Accepted {
            media_types: &[MEDIA_TYPE, "application/json"],
            limit: app.config.scim.max_payload,
        };
        let bytes = body::read(request, accepted).await?;
        match serde_json::from_slice(&bytes).map_err(|error| body::not_json(&error))? {
            Value::Object(object) => Ok(Self(object)),
            _ => Err(value::syntax("the body must be an object")),
        }
    }
}

/// The id in the path. What isn't one of our numbers names nothing.
struct Id(i64);

impl FromRequestParts<Arc<App>> for Id {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        let Path(id) = Path::<String>::from_request_parts(parts, app).await.map_err(|_| unknown_id())?;
        number(&id).map(Self)
    }
}

fn unknown_id() -> Error {
    Error::NotFound("there is no resource with this id".into())
}

/// The number that an id is.
fn number(id: &str) -> Result<i64, Error> {
    tokenhouse_core::id::number(id).ok_or_else(unknown_id)
}

fn scim_json(status: StatusCode, value: &impl Serialize) -> Result<Response, Error> {
    let body = serde_json::to_vec(value).map_err(Error::internal)?;
    let media_type = HeaderValue::from_static(MEDIA_TYPE);
    Ok((status, [(header::CONTENT_TYPE, media_type)], body).into_response())
}

/// Some of a list (RFC 7644, section 3.4.2).
fn list(total: impl Serialize, start: i64, resources: Vec<Value>) -> Result<Response, Error> {
    let list = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": total,
        "startIndex": start,
        "itemsPerPage": resources.len(),
        "Resources": resources,
    });
    scim_json(StatusCode::OK, &list)
}

/// One resource, with where it is and which version it has.
fn one<E: Endpoint>(
    status: StatusCode,
    resource: Resource,
    selection: &Selection,
) -> Result<Response, Error> {
    let Resource { value, location, version } = resource;
    let mut response = scim_json(status, &selection.apply(value))?;
    let headers = response.headers_mut();
    headers.insert(header::ETAG, etag::header(version)?);
    headers.insert(header::LOCATION, HeaderValue::try_from(location).map_err(Error::internal)?);
    Ok(response)
}

async fn create<E: Endpoint>(
    State(app): State<Arc<App>>,
    Provisions(call): Provisions,
    query: Query,
    Body(body): Body,
) -> Result<Response, Error> {
    let selection = query.selection(E::RESOURCE);
    let created = E::create(&app, &call, &body, &selection).await?;
    one::<E>(StatusCode::CREATED, created, &selection)
}

async fn find<E: Endpoint>(
    State(app): State<Arc<App>>,
    _caller: Provisions,
    Id(id): Id,
    query: Query,
    known: IfNoneMatch,
) -> Result<Response, Error> {
    let selection = query.selection(E::RESOURCE);
    let found = E::find(&app, id, &selection).await?;
    if known.has(found.version) {
        let tag = etag::header(found.version)?;
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    one::<E>(StatusCode::OK, found, &selection)
}

/// PUT or PATCH.
async fn change<E: Endpoint>(
    method: Method,
    State(app): State<Arc<App>>,
    Provisions(call): Provisions,
    Id(id): Id,
    query: Query,
    IfMatch(seen): IfMatch,
    Body(body): Body,
) -> Result<Response, Error> {
    let selection = query.selection(E::RESOURCE);
    let changed = match method {
        Method::PUT => E::replace(&app, &call, (id, &seen), &body, &selection).await?,
        _ => E::patch(&app, &call, (id, &seen), &body, &selection).await?,
    };
    one::<E>(StatusCode::OK, changed, &selection)
}

async fn delete_one<E: Endpoint>(
    State(app): State<Arc<App>>,
    Provisions(call): Provisions,
    Id(id): Id,
    IfMatch(seen): IfMatch,
) -> Result<StatusCode, Error> {
    E::delete(&app, &call, (id, &seen)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn list_all<E: Endpoint>(
    State(app): State<Arc<App>>,
    _caller: Provisions,
    query: Query,
) -> Result<Response, Error> {
    found::<E>(&app, &query).await
}

async fn search<E: Endpoint>(
    State(app): State<Arc<App>>,
    _caller: Provisions,
    Body(body): Body,
) -> Result<Response, Error> {
    found::<E>(&app, &Query::search(&body)?).await
}

async fn found<E: Endpoint>(app: &App, query: &Query) -> Result<Response, Error> {
    let selection = query.selection(E::RESOURCE);
    let (resources, total) = E::search(app, query, &selection).await?;
    let shown = |resource: Resource| Value::Object(selection.apply(resource.value));
    list(total, query.start, resources.into_iter().map(shown).collect())
}

async fn me(_caller: Provisions) -> Error {
    Error::NotImplemented("a SCIM client is not a person: ask for /Users/{id}")
}

async fn search_everything(_caller: Provisions) -> Error {
    Error::NotImplemented("people and teams are searched apart: POST to /Users/.search or /Groups/.search")
}
