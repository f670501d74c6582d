//! Forwards requests to the gateway's upstream.

use std::net::IpAddr;
use std::time::Duration;

use axum::body::Body;
use http::{HeaderMap, Request, Response, Uri};

/// Where and how requests are forwarded.
#[derive(Clone, Debug)]
pub struct Options {
    /// `http://host:port` or `https://host:port`, without a path.
    pub upstream: Uri,
    /// How long the upstream may take until its answer begins, connecting included.
    pub timeout: Duration,
    /// Whether the client's `Authorization` is passed on.
    pub forward_authorization: bool,
}

/// Who sent a request, as told to the upstream.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// Address of the client, for `X-Forwarded-For`.
    pub client: IpAddr,
    /// Whether the client came over TLS, for `X-Forwarded-Proto`.
    pub secure: bool,
}

/// The options don't make a proxy.
#[derive(Debug, thiserror::Error)]
pub enum ProxyConfigError {
    /// The upstream isn't a bare http or https origin.
    #[error("the upstream must be http://host:port or https://host:port, without path or user, not {0}")]
    NotAnOrigin(Uri),
}

/// Why there is no answer from the upstream.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The upstream can't be reached, or broke off before it answered: 502.
    #[error("the upstream can't be reached or broke off")]
    Unreachable,
    /// The upstream took too long to answer: 504.
    #[error("the upstream took too long to answer")]
    TooSlow,
    /// The client's request can't be forwarded or broke off: 400.
    #[error("the request can't be forwarded")]
    BadRequest,
}

/// Forwards requests to one upstream over pooled connections. Clones share the pool.
#[derive(Clone)]
pub struct Proxy;

impl Proxy {
    /// A proxy that trusts the public certificate authorities.
    pub fn new(_options: Options) -> Result<Self, ProxyConfigError> {
        Ok(Self)
    }

    /// Forwards one request and returns the upstream's answer as soon as its header is there.
    /// `identity` is what the upstream is told about the caller.
    pub async fn forward(
        &self,
        _request: Request<Body>,
        _identity: HeaderMap,
        _origin: Origin,
    ) -> Result<Response<Body>, Failure> {
        Err(Failure::Unreachable)
    }
}
