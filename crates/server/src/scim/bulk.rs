//! Many changes in one request (RFC 7644, section 3.7), each of which is a transaction of its own.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use super::endpoint::{Endpoint, Groups, Users};
use super::resource::{Resource, Selection};
use super::value::{self, Object, invalid, syntax};
use super::{Body, base, etag, number, scim_json};
use crate::app::App;
use crate::auth::guard::{Call, Provisions};
use crate::error::{Error, Problem};
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
    data: &'a Value,
}

/// What became of an operation.
struct Outcome {
    status: StatusCode,
    location: Option<String>,
    version: Option<i64>,
    error: Option<Value>,
}

/// Does what it can, in order; what refers to something that comes later is done as soon as that is made.
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
        data: value::get(operation, "data").unwrap_or(&Value::Null),
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

/// What a text refers to, if it is a reference.
fn reference(text: &str) -> Option<&str> {
    text.strip_prefix(REFERENCE)
}

/// The path, with or without a slash before it.
fn segments<'a>(operation: &Operation<'a>) -> impl Iterator<Item = &'a str> {
    operation.path.trim_start_matches('/').split('/')
}

/// What a value refers to.
fn collect<'a>(value: &'a Value, references: &mut HashSet<&'a str>) {
    match value {
        Value::String(text) => references.extend(reference(text)),
        Value::Array(values) => values.iter().for_each(|value| collect(value, references)),
        Value::Object(parts) => parts.values().for_each(|value| collect(value, references)),
        _ => {}
    }
}

/// Which operations are still to be done, by their positions.
struct Waiting<'a> {
    /// Those that can be done, the first one on top.
    ready: BinaryHeap<Reverse<usize>>,
    /// Who refers to what isn't made yet.
    by_reference: HashMap<&'a str, Vec<usize>>,
    /// To how much of that each refers.
    missing: Vec<usize>,
}

impl<'a> Waiting<'a> {
    fn new(operations: &[Operation<'a>]) -> Self {
        let mut waiting =
            Self { ready: BinaryHeap::new(), by_reference: HashMap::new(), missing: Vec::new() };
        for (position, operation) in operations.iter().enumerate() {
            let mut references: HashSet<_> = segments(operation).filter_map(reference).collect();
            collect(operation.data, &mut references);
            waiting.missing.push(references.len());
            if references.is_empty() {
                waiting.ready.push(Reverse(position));
            }
            for bulk_id in references {
                waiting.by_reference.entry(bulk_id).or_default().push(position);
            }
        }
        waiting
    }

    /// The first one that can be done.
    fn next(&mut self) -> Option<usize> {
        self.ready.pop().map(|Reverse(position)| position)
    }

    /// Lets those go on that waited for this alone.
    fn made(&mut self, bulk_id: &str) {
        for position in self.by_reference.remove(bulk_id).unwrap_or_default() {
            self.missing[position] -= 1;
            if self.missing[position] == 0 {
                self.ready.push(Reverse(position));
            }
        }
    }
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
        let mut waiting = Waiting::new(operations);
        while self.errors < self.allowed_errors
            && let Some(position) = waiting.next()
        {
            let operation = &operations[position];
            outcomes[position] = Some(self.one(operation).await);
            if let Some(bulk_id) = operation.bulk_id.filter(|bulk_id| self.ids.contains_key(*bulk_id)) {
                waiting.made(bulk_id);
            }
        }
        // What still waits refers to what was never made.
        for outcome in outcomes.iter_mut().filter(|outcome| outcome.is_none()) {
            if self.errors >= self.allowed_errors {
                break;
            }
            let unknown = "what `bulkId` refers to was not made";
            *outcome = Some(self.failed(None, &Error::Conflict(unknown.into())));
        }
        outcomes
    }

    /// The id that a text refers to, or the text.
    fn id<'a>(&'a self, text: &'a str) -> &'a str {
        let id = reference(text).and_then(|bulk_id| self.ids.get(bulk_id));
        id.map_or(text, String::as_str)
    }

    /// Puts ids in place of references.
    fn resolve(&self, value: &mut Value) {
        match value {
            Value::String(text) if reference(text).is_some() => *text = self.id(text).to_owned(),
            Value::Array(values) => values.iter_mut().for_each(|value| self.resolve(value)),
            Value::Object(parts) => parts.values_mut().for_each(|value| self.resolve(value)),
            _ => {}
        }
    }

    /// Does an operation that refers to nothing that is still to be made.
    async fn one(&mut self, operation: &Operation<'_>) -> Outcome {
        let known = operation.bulk_id.filter(|_| operation.method.eq_ignore_ascii_case("POST"));
        if known.is_some_and(|bulk_id| self.ids.contains_key(bulk_id)) {
            return self.failed(None, &invalid("`bulkId` is there twice"));
        }
        let path: Vec<_> = segments(operation).map(|segment| self.id(segment)).collect();
        let path = path.join("/");
        let mut data = operation.data.clone();
        self.resolve(&mut data);
        let mut segments = path.splitn(2, '/');
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
                let location = Some(format!("{}/{path}", base(self.app)));
                Outcome { status, location, version: None, error: None }
            }
            Err(error) => {
                let location = id.map(|_| format!("{}/{path}", base(self.app)));
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
