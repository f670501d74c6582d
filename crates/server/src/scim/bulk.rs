//! Many changes in one request (RFC 7644, section 3.7), each of which is a transaction of its own.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use super::endpoint::{Endpoint, Groups, Users};
use super::resource::{Resource, Selection};
use super::value::{self, Object, invalid};
use super::{Body, base, etag, number, scim_json};
use crate::app::App;
use crate::auth::guard::{Call, Provisions};
use crate::error::{Error, Problem, ScimType};
use crate::service::directory::Seen;

const REQUEST: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
const RESPONSE: &str = "urn:ietf:params:scim:api:messages:2.0:BulkResponse";

/// How a reference to something that is made in the same request begins.
const REFERENCE: &str = "bulkId:";

/// One operation, as it was sent.
struct Operation<'a> {
    method: &'a str,
    path: &'a str,
    bulk_id: Option<&'a str>,
    seen: Seen,
    data: Value,
}

/// What became of an operation.
struct Outcome {
    status: StatusCode,
    location: Option<String>,
    version: Option<i64>,
    error: Option<Value>,
}

fn syntax(problem: &str) -> Error {
    Error::Scim(ScimType::InvalidSyntax, problem.to_owned())
}

/// Does what it can, in order; what refers to something that comes later waits for that.
pub(super) async fn bulk(
    State(app): State<Arc<App>>,
    Provisions(call): Provisions,
    Body(body): Body,
) -> Result<Response, Error> {
    value::check_schema(&body, REQUEST)?;
    let Some(Value::Array(sent)) = value::get(&body, "Operations") else {
        return Err(syntax("`Operations` must be a list of operations"));
    };
    let limit = app.config.scim.max_operations;
    if sent.len() > limit {
        return Err(Error::TooLarge { limit, of: "operations" });
    }
    let allowed_errors = match value::get(&body, "failOnErrors") {
        None | Some(Value::Null) => usize::MAX,
        Some(number) => number
            .as_u64()
            .filter(|number| *number > 0)
            .and_then(|number| usize::try_from(number).ok())
            .ok_or_else(|| invalid("`failOnErrors` must be a whole number above 0"))?,
    };
    let operations = sent.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let mut run = Run { app: &app, call: &call, ids: HashMap::new(), errors: 0, allowed_errors };
    let outcomes = run.all(&operations).await;
    let answers: Vec<Value> = operations
        .iter()
        .zip(outcomes)
        .filter_map(|(operation, outcome)| Some(answer(operation, outcome?)))
        .collect();
    scim_json(StatusCode::OK, &json!({ "schemas": [RESPONSE], "Operations": answers }))
}

fn read(operation: &Value) -> Result<Operation<'_>, Error> {
    let operation = operation.as_object().ok_or_else(|| syntax("an operation must be an object"))?;
    let text = |name: &str| match value::get(operation, name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(syntax("`method`, `path`, `bulkId` and `version` must be text")),
    };
    Ok(Operation {
        method: text("method")?.ok_or_else(|| syntax("`method` is required"))?,
        path: text("path")?.ok_or_else(|| syntax("`path` is required"))?,
        bulk_id: text("bulkId")?,
        seen: etag::seen(text("version")?.into_iter()),
        data: value::get(operation, "data").cloned().unwrap_or_default(),
    })
}

fn answer(operation: &Operation<'_>, outcome: Outcome) -> Value {
    let mut answer = json!({ "method": operation.method, "status": outcome.status.as_str() });
    if let Some(bulk_id) = operation.bulk_id {
        answer["bulkId"] = json!(bulk_id);
    }
    if let Some(location) = outcome.location {
        answer["location"] = json!(location);
    }
    if let Some(version) = outcome.version {
        answer["version"] = json!(etag::text(version));
    }
    if let Some(error) = outcome.error {
        answer["response"] = error;
    }
    answer
}

struct Run<'a> {
    app: &'a App,
    call: &'a Call,
    /// The ids of what was made, by `bulkId`.
    ids: HashMap<String, String>,
    errors: usize,
    allowed_errors: usize,
}

impl Run<'_> {
    /// What became of each operation; `None` of those that were given up after too many errors.
    async fn all(&mut self, operations: &[Operation<'_>]) -> Vec<Option<Outcome>> {
        let mut outcomes: Vec<Option<Outcome>> = operations.iter().map(|_| None).collect();
        let mut waiting: Vec<usize> = (0..operations.len()).collect();
        let mut can_wait = true;
        while !waiting.is_empty() {
            let before = waiting.len();
            let mut still_waiting = Vec::new();
            for position in waiting {
                if self.errors >= self.allowed_errors {
                    return outcomes;
                }
                let operation = &operations[position];
                let Some((path, data)) = self.resolved(operation) else {
                    if can_wait {
                        still_waiting.push(position);
                    } else {
                        let unknown = "what `bulkId` refers to was not made";
                        outcomes[position] = Some(self.failed(None, &Error::Conflict(unknown.into())));
                    }
                    continue;
                };
                outcomes[position] = Some(self.one(operation, &path, data).await);
            }
            can_wait = still_waiting.len() < before;
            waiting = still_waiting;
        }
        outcomes
    }

    /// Path and data with ids for references; `None` as long as one refers to nothing.
    fn resolved(&self, operation: &Operation<'_>) -> Option<(String, Value)> {
        let segments =
            operation.path.split('/').map(|segment| self.id(segment)).collect::<Option<Vec<_>>>()?;
        let mut data = operation.data.clone();
        self.resolve(&mut data).then(|| (segments.join("/"), data))
    }

    /// The id that a text refers to, or the text.
    fn id<'a>(&'a self, text: &'a str) -> Option<&'a str> {
        match text.strip_prefix(REFERENCE) {
            Some(bulk_id) => self.ids.get(bulk_id).map(String::as_str),
            None => Some(text),
        }
    }

    fn resolve(&self, value: &mut Value) -> bool {
        match value {
            Value::String(text) => match self.id(text).map(str::to_owned) {
                Some(id) => {
                    *text = id;
                    true
                }
                None => false,
            },
            Value::Array(values) => values.iter_mut().all(|value| self.resolve(value)),
            Value::Object(parts) => parts.values_mut().all(|value| self.resolve(value)),
            _ => true,
        }
    }

    async fn one(&mut self, operation: &Operation<'_>, path: &str, data: Value) -> Outcome {
        let known = operation.bulk_id.filter(|_| operation.method.eq_ignore_ascii_case("POST"));
        if known.is_some_and(|bulk_id| self.ids.contains_key(bulk_id)) {
            return self.failed(None, &invalid("`bulkId` is there twice"));
        }
        let mut segments = path.trim_start_matches('/').splitn(2, '/');
        let (collection, id) = (segments.next().unwrap_or_default(), segments.next());
        let done = match collection {
            "Users" => self.at::<Users>(operation, id, data).await,
            "Groups" => self.at::<Groups>(operation, id, data).await,
            _ => Err(Error::NotFound("there is nothing at this path".into())),
        };
        match done {
            Ok((status, Some(resource))) => {
                if let Some((bulk_id, Value::String(id))) = known.zip(resource.value.get("id")) {
                    self.ids.insert(bulk_id.to_owned(), id.clone());
                }
                let (location, version) = (Some(resource.location), Some(resource.version));
                Outcome { status, location, version, error: None }
            }
            Ok((status, None)) => {
                let location = Some(format!("{}{path}", base(self.app)));
                Outcome { status, location, version: None, error: None }
            }
            Err(error) => {
                let location = id.map(|_| format!("{}{path}", base(self.app)));
                self.failed(location, &error)
            }
        }
    }

    async fn at<E: Endpoint>(
        &self,
        operation: &Operation<'_>,
        id: Option<&str>,
        data: Value,
    ) -> Result<(StatusCode, Option<Resource>), Error> {
        let (app, call, shown) = (self.app, self.call, Selection::nothing());
        let body = || match &data {
            Value::Object(body) => Ok::<&Object, Error>(body),
            _ => Err(syntax("`data` must be an object")),
        };
        let seen = &operation.seen;
        match (operation.method.to_ascii_uppercase().as_str(), id) {
            ("POST", None) => Ok((StatusCode::CREATED, Some(E::create(app, call, body()?, &shown).await?))),
            ("PUT", Some(id)) => {
                let changed = E::replace(app, call, (number(id)?, seen), body()?, &shown).await?;
                Ok((StatusCode::OK, Some(changed)))
            }
            ("PATCH", Some(id)) => {
                let changed = E::patch(app, call, (number(id)?, seen), body()?, &shown).await?;
                Ok((StatusCode::OK, Some(changed)))
            }
            ("DELETE", Some(id)) => {
                E::delete(app, call, (number(id)?, seen)).await?;
                Ok((StatusCode::NO_CONTENT, None))
            }
            ("POST" | "PUT" | "PATCH" | "DELETE", _) => {
                Err(Error::NotFound("there is nothing at this path for this method".into()))
            }
            _ => Err(syntax("`method` must be POST, PUT, PATCH or DELETE")),
        }
    }

    fn failed(&mut self, location: Option<String>, error: &Error) -> Outcome {
        self.errors += 1;
        if let Error::Internal(cause) | Error::Unavailable(cause) = error {
            tracing::error!(cause = %cause, "an operation of a bulk request failed");
        }
        let problem = Problem::of(error);
        Outcome { status: problem.scim_status(), location, version: None, error: Some(problem.scim()) }
    }
}
