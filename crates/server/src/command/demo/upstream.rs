//! The sample upstream: an API with a few records that believes what the gateway tells it.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::listener;

type Records = Arc<Mutex<Vec<Value>>>;

/// Answers until `shutdown`.
pub(super) async fn serve(listener: TcpListener, shutdown: CancellationToken) {
    let records: Records = Arc::new(Mutex::new(vec![json!({ "id": 1, "name": "warehouse" })]));
    let router = Router::new().route("/api/datastores", get(list).post(add)).with_state(records);
    listener::serve(listener, None, listener::routed(router), listener::Limits::default(), shutdown).await;
}

async fn list(State(records): State<Records>, headers: HeaderMap) -> Json<Value> {
    let records = records.lock().unwrap_or_else(PoisonError::into_inner);
    Json(json!({ "items": *records, "asked_by": caller(&headers) }))
}

async fn add(State(records): State<Records>, headers: HeaderMap) -> (StatusCode, Json<Value>) {
    let mut records = records.lock().unwrap_or_else(PoisonError::into_inner);
    let record = json!({ "id": records.len() + 1, "added_by": caller(&headers) });
    records.push(record.clone());
    (StatusCode::CREATED, Json(record))
}

fn caller(headers: &HeaderMap) -> Option<&str> {
    headers.get("x-auth-user")?.to_str().ok()
}
