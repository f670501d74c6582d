//! What is offered (RFC 7644, section 4), derived from what is done.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use super::query::{COUNT_LIMIT, Query};
use super::schema::{self, ResourceType, Schema};
use super::{base, list, scim_json};
use crate::app::App;
use crate::auth::guard::Provisions;
use crate::error::Error;

/// Every type of resources.
const TYPES: [&ResourceType; 2] = [&schema::PEOPLE, &schema::GROUPS];

/// There is nothing to search in here, and a filter must not seem to work.
fn without_filter(query: &Query) -> Result<(), Error> {
    match query.filter {
        Some(_) => Err(Error::Forbidden("what is offered can't be filtered".into())),
        None => Ok(()),
    }
}

fn with_meta(mut value: Value, kind: &str, location: String) -> Value {
    value["meta"] = json!({ "resourceType": kind, "location": location });
    value
}

/// What is supported, and within which limits.
pub(super) async fn configuration(
    State(app): State<Arc<App>>,
    _caller: Provisions,
    query: Query,
) -> Result<Response, Error> {
    without_filter(&query)?;
    let limits = app.config.scim;
    let configuration = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": { "supported": true },
        "bulk": {
            "supported": true,
            "maxOperations": limits.max_operations,
            "maxPayloadSize": limits.max_payload,
        },
        "filter": { "supported": true, "maxResults": COUNT_LIMIT },
        "changePassword": { "supported": false },
        "sort": { "supported": true },
        "etag": { "supported": true },
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "SCIM token",
            "description": "A token made for the SCIM endpoints, or an ordinary token of an Admin, as bearer token",
            "specUri": "https://www.rfc-editor.org/info/rfc6750",
            "primary": true,
        }],
    });
    let location = format!("{}/ServiceProviderConfig", base(&app));
    scim_json(StatusCode::OK, &with_meta(configuration, "ServiceProviderConfig", location))
}

fn resource_type(app: &App, resource: &ResourceType) -> Value {
    let extensions: Vec<Value> =
        resource.extension.iter().map(|schema| json!({ "schema": schema.id, "required": false })).collect();
    let value = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
        "id": resource.name,
        "name": resource.name,
        "description": resource.schema.description,
        "endpoint": resource.endpoint,
        "schema": resource.schema.id,
        "schemaExtensions": extensions,
    });
    with_meta(value, "ResourceType", format!("{}/ResourceTypes/{}", base(app), resource.name))
}

/// Which types of resources there are.
pub(super) async fn resource_types(
    State(app): State<Arc<App>>,
    _caller: Provisions,
    query: Query,
) -> Result<Response, Error> {
    without_filter(&query)?;
    list(TYPES.len(), 1, TYPES.iter().map(|resource| resource_type(&app, resource)).collect())
}

/// One type of resources.
pub(super) async fn one_resource_type(
    State(app): State<Arc<App>>,
    _caller: Provisions,
    Path(name): Path<String>,
) -> Result<Response, Error> {
    let found = TYPES.iter().find(|resource| resource.name.eq_ignore_ascii_case(&name));
    let found = found.ok_or_else(|| Error::NotFound("there is no such type of resources".into()))?;
    scim_json(StatusCode::OK, &resource_type(&app, found))
}

fn shown(app: &App, schema: &Schema) -> Value {
    with_meta(schema.shown(), "Schema", format!("{}/Schemas/{}", base(app), schema.id))
}

/// Which schemas there are.
pub(super) async fn schemas(
    State(app): State<Arc<App>>,
    _caller: Provisions,
    query: Query,
) -> Result<Response, Error> {
    without_filter(&query)?;
    list(schema::SCHEMAS.len(), 1, schema::SCHEMAS.iter().map(|schema| shown(&app, schema)).collect())
}

/// One schema.
pub(super) async fn one_schema(
    State(app): State<Arc<App>>,
    _caller: Provisions,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    let found = schema::SCHEMAS.iter().find(|schema| schema.id.eq_ignore_ascii_case(&id));
    let found = found.ok_or_else(|| Error::NotFound("there is no such schema".into()))?;
    scim_json(StatusCode::OK, &shown(&app, found))
}
