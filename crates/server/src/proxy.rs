//! Forwards requests to the gateway's upstream, and upgraded connections with them. Whether a
//! request may pass was decided before; what is forwarded of it is in `proxy/fields.rs`.
//!
//! Nothing is ever sent twice, with one exception that is none: when a kept connection turns out to
//! be closed before anything of the request was written to it, body included, the request goes to
//! another connection. A connection that breaks later gives [`Failure::Unreachable`].

mod fields;
mod upload;

use std::fmt;
use std::io;
use std::iter::successors;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::header::{CONTENT_LENGTH, HOST, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::upgrade::OnUpgrade;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout_at;

use upload::{Progress, Upload};

/// Where and how requests are forwarded.
#[derive(Clone, Debug)]
pub struct Options {
    /// `http://host:port` or `https://host:port`, without user, path and query.
    pub upstream: Uri,
    /// How long the upstream may take until its answer begins, connecting included. While the body
    /// of the request flows, the time begins anew with every piece that the upstream takes.
    pub timeout: Duration,
    /// Whether the client's `Authorization` is passed on.
    pub forward_authorization: bool,
}

/// Where a request came from, as told to the upstream.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// Address of the client, for `X-Forwarded-For`.
    pub client: IpAddr,
    /// Whether the client came over TLS, for `X-Forwarded-Proto`.
    pub secure: bool,
}

/// Why the options don't make a proxy.
#[derive(Debug, thiserror::Error)]
pub enum ProxyConfigError {
    /// The upstream isn't a bare http or https origin.
    #[error("the upstream must be http://host:port or https://host:port, without user, path and query")]
    NotAnOrigin,
    /// TLS to the upstream can't be set up.
    #[error("TLS to the upstream can't be set up: {0}")]
    Tls(#[source] rustls::Error),
}

/// Why there is no answer from the upstream. What exactly happened is in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Failure {
    /// The upstream can't be reached, or broke off before it answered: 502.
    #[error("the upstream can't be reached, or broke off before it answered")]
    Unreachable,
    /// The upstream took too long to answer: 504.
    #[error("the upstream took too long to answer")]
    TooSlow,
    /// The request can't be forwarded, because it is a CONNECT or its body broke off: 400.
    #[error("the request can't be forwarded: it is a CONNECT, or its body broke off")]
    BadRequest,
}

/// How long a connection to the upstream is kept for the next request. Shorter than the 5 s after
/// which common servers close theirs, so that a request rarely meets a connection being closed.
const KEEP: Duration = Duration::from_secs(4);

/// After how much silence an upstream is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// What is buffered of one HTTP/1.1 connection, and so the longest header of an answer, in bytes.
const BUFFER: usize = 64 * 1024;

/// What an HTTP/2 upstream may send ahead of a slow client, in bytes; and on one connection, so that
/// it takes 256 such clients until they hold up others.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 256 * STREAM_WINDOW;

type Upstream = Client<HttpsConnector<HttpConnector>, Upload>;

/// Forwards requests to one upstream over pooled connections. Clones share the pool.
#[derive(Clone)]
pub struct Proxy(Arc<Shared>);

struct Shared {
    client: Upstream,
    /// For upgrades, which HTTP/2 doesn't have: speaks HTTP/1.1 only.
    upgrading: Upstream,
    scheme: Scheme,
    authority: Authority,
    host: HeaderValue,
    timeout: Duration,
    forward_authorization: bool,
}

impl Proxy {
    /// A proxy that trusts the public certificate authorities.
    pub fn new(options: Options) -> Result<Self, ProxyConfigError> {
        let authorities = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.into() };
        Self::trusting(authorities, options)
    }

    /// A proxy to an upstream whose certificate is signed by one of these authorities.
    pub fn trusting(authorities: RootCertStore, options: Options) -> Result<Self, ProxyConfigError> {
        let Options { upstream, timeout, forward_authorization } = options;
        let http::uri::Parts { scheme: Some(scheme), authority: Some(authority), path_and_query, .. } =
            upstream.into_parts()
        else {
            return Err(ProxyConfigError::NotAnOrigin);
        };
        let is_http = scheme == Scheme::HTTP || scheme == Scheme::HTTPS;
        let is_bare = path_and_query.is_none_or(|path| path == "/") && !authority.as_str().contains('@');
        if !is_http || !is_bare {
            return Err(ProxyConfigError::NotAnOrigin);
        }
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| ProxyConfigError::NotAnOrigin)?;
        let tls = tls(authorities)?;
        let shared = Shared {
            client: client(tls.clone(), timeout, false),
            upgrading: client(tls, timeout, true),
            scheme,
            authority,
            host,
            timeout,
            forward_authorization,
        };
        Ok(Self(Arc::new(shared)))
    }

    /// Forwards one request, and returns the upstream's answer as soon as its header is there.
    /// `identity` is what the upstream is told about the caller; it wins over what the client sent.
    ///
    /// The path and query are forwarded byte for byte. An HTTP/1.1 upgrade is tunnelled once the
    /// upstream agrees to it, except to another version of HTTP or to TLS, since the requests in it
    /// would be checked by nobody: such a request is forwarded without the wish to upgrade.
    ///
    /// Dropping the future, or the body of the answer, ends the request at the upstream too.
    pub async fn forward(
        &self,
        mut request: Request<Body>,
        identity: HeaderMap,
        origin: Origin,
    ) -> Result<Response<Body>, Failure> {
        if request.method() == Method::CONNECT {
            return Err(Failure::BadRequest);
        }
        let protocol = fields::upgrade(&request);
        let client_side = protocol.is_some().then(|| hyper::upgrade::on(&mut request));
        let client = if protocol.is_some() { &self.0.upgrading } else { &self.0.client };
        let (parts, body) = request.into_parts();
        let method = parts.method.clone();
        let progress = Arc::new(Progress::new());
        let mut request = Request::new(Upload::new(body, Arc::clone(&progress)));
        *request.uri_mut() = self.target(&parts.uri)?;
        *request.method_mut() = parts.method;
        *request.headers_mut() = self.headers(&parts.uri, parts.headers, protocol, origin);
        request.headers_mut().extend(identity);
        fields::set_framing(&mut request);
        let response = self.await_answer(client.request(request), &progress).await?;
        answer(response, &method, client_side)
    }

    /// What the upstream gets of the client's header fields.
    fn headers(
        &self,
        uri: &Uri,
        mut headers: HeaderMap,
        protocol: Option<HeaderValue>,
        origin: Origin,
    ) -> HeaderMap {
        let host = match uri.authority() {
            Some(authority) => fields::host(authority),
            None => headers.remove(HOST),
        };
        fields::clean_request(&mut headers, self.0.forward_authorization);
        fields::tell_origin(&mut headers, host, origin);
        headers.insert(HOST, self.0.host.clone());
        if let Some(protocol) = protocol {
            fields::set_upgrade(&mut headers, protocol);
        }
        headers
    }

    /// The same path and query, byte for byte, at the upstream.
    fn target(&self, uri: &Uri) -> Result<Uri, Failure> {
        let path = uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        Uri::builder()
            .scheme(self.0.scheme.clone())
            .authority(self.0.authority.clone())
            .path_and_query(path)
            .build()
            .map_err(|_| Failure::BadRequest)
    }

    /// The answer, unless there is no progress for too long before it begins.
    async fn await_answer(
        &self,
        mut answer: ResponseFuture,
        progress: &Progress,
    ) -> Result<Response<Incoming>, Failure> {
        loop {
            let deadline = progress.last() + self.0.timeout;
            match timeout_at(deadline, &mut answer).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(_)) if progress.broke() => return Err(Failure::BadRequest),
                Ok(Err(error)) => {
                    tracing::warn!(upstream = %self.0.authority, error = %Chain(&error), "no answer from the upstream");
                    return Err(if timed_out(&error) { Failure::TooSlow } else { Failure::Unreachable });
                }
                Err(_) if progress.last() + self.0.timeout > deadline => {}
                Err(_) => {
                    tracing::warn!(upstream = %self.0.authority, "no answer from the upstream in time");
                    return Err(Failure::TooSlow);
                }
            }
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("upstream", &self.0.authority).finish_non_exhaustive()
    }
}

pub(crate) fn tls(authorities: RootCertStore) -> Result<ClientConfig, ProxyConfigError> {
    Ok(ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(ProxyConfigError::Tls)?
        .with_root_certificates(authorities)
        .with_no_client_auth())
}

/// A client over TCP or `tls`, which speaks HTTP/2 where TLS negotiates it, unless `http1` only.
fn client(tls: ClientConfig, timeout: Duration, http1: bool) -> Upstream {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEP_ALIVE));
    tcp.set_connect_timeout(Some(timeout));
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    let connector = if http1 {
        connector.enable_http1().wrap_connector(tcp)
    } else {
        connector.enable_all_versions().wrap_connector(tcp)
    };
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(KEEP)
        .http1_max_buf_size(BUFFER)
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .http2_keep_alive_timeout(KEEP_ALIVE)
        .retry_canceled_requests(true)
        .set_host(false)
        .build(connector)
}

/// The upstream's answer as the client gets it.
fn answer(
    mut response: Response<Incoming>,
    method: &Method,
    client_side: Option<OnUpgrade>,
) -> Result<Response<Body>, Failure> {
    let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let protocol = response.headers_mut().remove(UPGRADE);
    fields::clean(response.headers_mut());
    match (switches, client_side, protocol) {
        (false, _, _) => {}
        (true, Some(client_side), Some(protocol)) => {
            fields::set_upgrade(response.headers_mut(), protocol);
            tokio::spawn(tunnel(client_side, hyper::upgrade::on(&mut response)));
        }
        // Nobody asked it to.
        (true, _, _) => return Err(Failure::Unreachable),
    }
    // The version is that of the hop between us and the upstream.
    *response.version_mut() = Version::HTTP_11;
    let bodiless = *method == Method::HEAD
        || matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let undeclared =
        bodiless && response.body().is_end_stream() && !response.headers().contains_key(CONTENT_LENGTH);
    Ok(response.map(|body| {
        if undeclared {
            // axum would take the length of no body for that of what was asked for, and declare
            // `Content-Length: 0`. A mapped body has no known length.
            Body::new(body.map_frame(|frame| frame))
        } else {
            Body::new(body)
        }
    }))
}

/// Carries bytes both ways until both sides have ended, or one has broken off.
async fn tunnel(client: OnUpgrade, upstream: OnUpgrade) {
    let tunnelled = async {
        let (client, upstream) = tokio::try_join!(client, upstream)?;
        tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(upstream)).await?;
        Ok::<(), axum::BoxError>(())
    };
    if let Err(error) = tunnelled.await {
        tracing::debug!(error = %Chain(&*error), "an upgraded connection broke off");
    }
}

/// Whether connecting took too long; hyper divides the time among the upstream's addresses.
fn timed_out(error: &(dyn std::error::Error + 'static)) -> bool {
    successors(Some(error), |error| error.source())
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::TimedOut)
}

/// An error with its causes.
struct Chain<'a>(&'a (dyn std::error::Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        successors(self.0.source(), |error| error.source()).try_for_each(|cause| write!(f, ": {cause}"))
    }
}
