//! A small HTTP client for the story.

use std::net::SocketAddr;

use axum::body::Body;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::Failure;

/// Talks to one address, with a token.
pub(super) struct Client {
    address: SocketAddr,
    inner: hyper_util::client::legacy::Client<HttpConnector, Body>,
}

/// Status and JSON body (null where there is none).
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Value,
}

impl Client {
    /// A client for this address.
    pub(super) fn new(address: SocketAddr) -> Self {
        let inner = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http();
        Self { address, inner }
    }

    /// Sends a request and reads the whole answer.
    pub(super) async fn send(
        &self,
        bearer: &str,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .header(header::AUTHORIZATION, format!("Bearer {bearer}"));
        let request = match body {
            None => request.body(Body::empty())?,
            Some(json) => {
                request.header(header::CONTENT_TYPE, "application/json").body(Body::from(json.to_string()))?
            }
        };
        let answer = self.inner.request(request).await?;
        let status = answer.status();
        let bytes = answer.into_body().collect().await?.to_bytes();
        Ok(Answer { status, body: serde_json::from_slice(&bytes).unwrap_or_default() })
    }
}
