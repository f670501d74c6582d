//! Real servers on loopback, and clients that show every byte.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Extension, Request};
use axum::response::{IntoResponse as _, Response};
use axum::serve::ListenerExt as _;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, Version};
use http_body_util::channel::{Channel, Sender};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokenhouse::listener::{self, Connection, Limits, routed};
use tokenhouse::proxy::{Failure, Options, Origin, Proxy};
use tokenhouse::tls;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub type Client<C = HttpConnector> = legacy::Client<C, Body>;

/// A server of ours.
pub struct Server {
    pub address: SocketAddr,
    pub stop: CancellationToken,
    pub done: JoinHandle<()>,
}

pub async fn bind() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

pub async fn serve(router: Router, limits: Limits, tls: Option<tls::Reloading>) -> Server {
    let (listener, address) = bind().await;
    let stop = CancellationToken::new();
    let done = tokio::spawn(listener::serve(listener, tls, routed(router), limits, stop.clone()));
    Server { address, stop, done }
}

/// An upstream that isn't ours, and how many connections it got.
pub async fn upstream(router: Router) -> (SocketAddr, Arc<AtomicUsize>) {
    let (listener, address) = bind().await;
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    let listener = listener.tap_io(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, connections)
}

pub fn options(upstream: SocketAddr) -> Options {
    Options {
        upstream: Uri::try_from(format!("http://{upstream}")).unwrap(),
        timeout: Duration::from_mins(1),
        forward_authorization: false,
    }
}

/// What the gateway tells an upstream in these tests.
pub fn identity() -> HeaderMap {
    HeaderMap::from_iter([
        (http::HeaderName::from_static("x-auth-user"), HeaderValue::from_static("local|7")),
        (http::HeaderName::from_static("x-auth-role"), HeaderValue::from_static("Member")),
    ])
}

/// Forwards everything, and tells failures as their status.
pub fn gateway_routes(proxy: Proxy) -> Router {
    Router::new().fallback(async move |Extension(connection): Extension<Connection>, request: Request| {
        let origin = Origin { client: connection.peer.ip(), secure: connection.secure };
        match proxy.forward(request, identity(), origin).await {
            Ok(response) => response,
            Err(failure) => status(failure).into_response(),
        }
    })
}

pub fn status(failure: Failure) -> StatusCode {
    match failure {
        Failure::Unreachable => StatusCode::BAD_GATEWAY,
        Failure::TooSlow => StatusCode::GATEWAY_TIMEOUT,
        Failure::BadRequest => StatusCode::BAD_REQUEST,
    }
}

pub async fn gateway(options: Options) -> Server {
    serve(gateway_routes(Proxy::new(options).unwrap()), Limits::default(), None).await
}

pub async fn gateway_to(routes: Router) -> Server {
    gateway(options(upstream(routes).await.0)).await
}

pub fn client() -> Client {
    legacy::Client::builder(TokioExecutor::new()).build_http()
}

pub fn http2_client() -> Client {
    legacy::Client::builder(TokioExecutor::new()).http2_only(true).build_http()
}

pub fn uri(address: SocketAddr, path: &str) -> Uri {
    Uri::try_from(format!("http://{address}{path}")).unwrap()
}

pub async fn get(address: SocketAddr, path: &str) -> Response<hyper::body::Incoming> {
    client().get(uri(address, path)).await.unwrap()
}

/// A body that is written by hand.
pub fn channel() -> (Sender<Bytes, axum::BoxError>, Body) {
    let (sender, body) = Channel::new(1);
    (sender, Body::new(body))
}

/// A connection that shows every byte.
pub struct Raw(pub TcpStream);

impl Raw {
    pub async fn connect(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Reads up to and including `end`.
    pub async fn read_until(&mut self, end: &str) -> String {
        let mut read = Vec::new();
        while !read.ends_with(end.as_bytes()) {
            match self.0.read_u8().await {
                Ok(byte) => read.push(byte),
                Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&read)),
            }
        }
        String::from_utf8(read).unwrap()
    }

    pub async fn read_head(&mut self) -> String {
        self.read_until("\r\n\r\n").await
    }

    /// Everything up to the end of the connection, which must have come by now.
    pub async fn read_rest(&mut self) -> String {
        let mut read = Vec::new();
        for _ in 0..100_000 {
            match self.0.try_read_buf(&mut read) {
                Ok(0) => return String::from_utf8_lossy(&read).into_owned(),
                Ok(_) => assert!(read.len() < 50_000_000, "it goes on and on"),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    tokio::task::yield_now().await;
                }
                Err(_reset) => return String::from_utf8_lossy(&read).into_owned(),
            }
        }
        panic!("the connection is still open");
    }

    /// Everything until the other side closes or resets the connection.
    pub async fn read_to_end(&mut self) -> String {
        let mut read = Vec::new();
        let _reset = self.0.read_to_end(&mut read).await;
        String::from_utf8_lossy(&read).into_owned()
    }
}

/// Sends bytes, and reads until the other side closes.
pub async fn exchange(address: SocketAddr, bytes: impl AsRef<[u8]>) -> String {
    let mut raw = Raw::connect(address).await;
    raw.send(bytes).await;
    raw.read_to_end().await
}

/// An upstream that takes one connection, reads the head of one request, answers with these bytes
/// and closes; the head comes out of the task.
pub async fn recorder(answer: &'static str) -> (SocketAddr, JoinHandle<String>) {
    let (listener, address) = bind().await;
    let head = tokio::spawn(async move {
        let mut raw = Raw(listener.accept().await.unwrap().0);
        let head = raw.read_head().await;
        raw.send(answer).await;
        head
    });
    (address, head)
}

/// The values of a field in a message's head.
pub fn values<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let fields = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
}

/// A certificate for 127.0.0.1 and its key, in files.
pub struct Certificate {
    directory: tempfile::TempDir,
}

impl Certificate {
    pub fn make() -> Self {
        let this = Self { directory: tempfile::tempdir().unwrap() };
        this.renew();
        this
    }

    /// Writes a new certificate and key, and returns the certificate.
    pub fn renew(&self) -> CertificateDer<'static> {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        std::fs::write(self.certificate(), made.cert.pem()).unwrap();
        std::fs::write(self.key(), made.signing_key.serialize_pem()).unwrap();
        made.cert.der().clone()
    }

    pub fn certificate(&self) -> PathBuf {
        self.directory.path().join("certificate.pem")
    }

    pub fn key(&self) -> PathBuf {
        self.directory.path().join("key.pem")
    }

    pub fn open(&self) -> tls::Reloading {
        tls::Reloading::open(self.certificate(), self.key()).unwrap()
    }

    pub fn authorities(&self) -> RootCertStore {
        let mut authorities = RootCertStore::empty();
        authorities.add(CertificateDer::from_pem_file(self.certificate()).unwrap()).unwrap();
        authorities
    }

    pub fn client_config(&self) -> ClientConfig {
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.authorities())
            .with_no_client_auth()
    }

    /// A client that trusts the certificate and offers one version of HTTP.
    pub fn client(&self, version: Version) -> Client<HttpsConnector<HttpConnector>> {
        let builder = HttpsConnectorBuilder::new().with_tls_config(self.client_config()).https_only();
        let connector = match version {
            Version::HTTP_2 => builder.enable_http2().build(),
            _ => builder.enable_http1().build(),
        };
        legacy::Client::builder(TokioExecutor::new()).build(connector)
    }
}

pub fn tls_options(upstream: SocketAddr) -> Options {
    Options { upstream: Uri::try_from(format!("https://{upstream}")).unwrap(), ..options(upstream) }
}

/// A second less than a limit.
pub fn just_before(limit: Duration) -> Duration {
    limit.saturating_sub(Duration::from_secs(1))
}

/// A second more than a limit.
pub fn just_after(limit: Duration) -> Duration {
    limit + Duration::from_secs(1)
}

/// A clock that stands still until it is turned. tokio's paused clock alone won't do: it runs ahead
/// whenever all tasks wait, also for a socket, but not while there is blocking work.
pub struct Clock {
    _running: std::sync::mpsc::Sender<()>,
}

impl Clock {
    pub fn stop() -> Self {
        tokio::time::pause();
        let (running, ended) = std::sync::mpsc::channel();
        tokio::task::spawn_blocking(move || ended.recv());
        Self { _running: running }
    }

    /// Turns the clock after `server` has dealt with everything that was sent to it before, and waits
    /// until it has dealt with what the time brings.
    pub async fn turn(&self, server: SocketAddr, by: Duration) {
        settle(server).await;
        tokio::time::advance(by).await;
        settle(server).await;
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        tokio::time::resume();
    }
}

/// Waits until a server that runs on this thread has dealt with everything that was sent to it
/// before: the system tells of it no later than of this connection.
pub async fn settle(server: SocketAddr) {
    for _ in 0..3 {
        exchange(server, "settle\r\n\r\n").await;
    }
}
