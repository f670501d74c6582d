//! Accepts connections and serves HTTP/1.1 and HTTP/2 on them, within [`Limits`].
//!
//! hyper has one timer for the header of a request and for the wait before it, and none for an idle
//! HTTP/2 connection; so both are told apart here, by the activity of a connection.

mod activity;
mod body;
mod socket;

use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use axum::routing::future::RouteFuture;
use http::{Request, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

pub use body::RequestBody;

use crate::tls;
use activity::{Activity, Deadline, Timeout};
use body::ResponseBody;
use socket::Socket;

/// The connection that a request came by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Connection {
    /// Who is at the other end.
    pub peer: SocketAddr,
    /// Whether it is TLS.
    pub secure: bool,
}

/// Lets a router answer; it finds the [`Connection`] in the extensions of every request.
pub fn routed(
    router: Router,
) -> impl Fn(Request<RequestBody>, Connection) -> RouteFuture<Infallible> + Clone + Send + Sync + 'static {
    move |request, connection| router.clone().call(with_connection(request, connection))
}

/// A request with its connection where handlers find it.
pub fn with_connection<B>(mut request: Request<B>, connection: Connection) -> Request<B> {
    request.extensions_mut().insert(connection);
    request
}

/// What a client may take. A request has at most 100 header fields over HTTP/1.1, which is hyper's
/// limit that costs no allocation; over HTTP/2 only [`Limits::header_bytes`] bounds them.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at a time, upgraded ones included. More wait in the system's accept queue.
    /// Default 10,000.
    pub connections: usize,
    /// Requests at a time on one HTTP/2 connection. Default 128.
    pub streams: u32,
    /// Bytes of a request's first line and header fields (HTTP/2: as counted by RFC 9113, section
    /// 6.5.2), at least 8 KiB. More is answered 431. Over HTTP/1.1 also what is buffered of a
    /// connection. Default 32 KiB.
    pub header_bytes: u32,
    /// Time for the TLS handshake. Default 10 s.
    pub handshake: Duration,
    /// Time for the header of a request: of the first one from the connection's start, of a later
    /// one over HTTP/1.1 from its first byte. Default 15 s.
    pub header: Duration,
    /// How long a connection may stay without a request. Default 75 s.
    pub idle: Duration,
    /// How long a client may pause while it sends a body, or take nothing of what waits for it.
    /// Default 60 s.
    pub stall: Duration,
    /// After how much silence a client is asked whether it is still there (TCP keep-alive, HTTP/2
    /// PING). Default 30 s.
    pub keep_alive: Duration,
    /// How long requests in flight may go on after shutdown has begun. Default 30 s.
    pub drain: Duration,
}

impl Limits {
    /// Nothing falls due sooner than this after it begins.
    fn shortest(&self) -> Duration {
        self.header.min(self.idle).min(self.stall)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            streams: 128,
            header_bytes: 32 * 1024,
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(15),
            idle: Duration::from_secs(75),
            stall: Duration::from_mins(1),
            keep_alive: Duration::from_secs(30),
            drain: Duration::from_secs(30),
        }
    }
}

/// How long accepting rests after the system refused, for example for lack of file descriptors.
const BACK_OFF: Duration = Duration::from_secs(1);

/// The longest keep-alive that Linux takes.
const LONGEST_KEEP_ALIVE: Duration = Duration::from_secs(32_767);

/// How often a client is asked whether it is still there before it counts as gone.
const KEEP_ALIVE_PROBES: u32 = 3;

/// Streams that a client may open and reset before they are looked at ("rapid reset",
/// CVE-2023-44487). h2's own default, written down so that it can't change unnoticed.
const RESET_STREAMS: usize = 20;

/// Streams that may be reset for the client's errors (RUSTSEC-2024-0003). hyper's own default.
const ERROR_STREAMS: usize = 1024;

/// The smallest buffer that hyper takes, in bytes.
const LEAST_BUFFER: usize = 8 * 1024;

/// What one HTTP/2 stream may hold back for a slow client, in bytes.
const SEND_BUFFER: usize = 64 * 1024;

/// Answers requests on `listener`, over TLS if there is `tls`, until `shutdown` is cancelled and the
/// requests in flight have ended, or [`Limits::drain`] is over. Upgraded connections are not waited
/// for: they have no end of their own, and go on until the runtime stops.
pub async fn serve<A, F>(
    listener: TcpListener,
    tls: Option<tls::Reloading>,
    answer: A,
    limits: Limits,
    shutdown: CancellationToken,
) where
    A: Fn(Request<RequestBody>, Connection) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Response, Infallible>> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS)));
    let mut connections = JoinSet::new();
    let shared = Arc::new(Shared { http: http(&limits), tls, answer, limits });
    while let Some((stream, peer, slot)) = shutdown.run_until_cancelled(accept(&listener, &slots)).await {
        while connections.try_join_next().is_some() {}
        connections.spawn(Arc::clone(&shared).handle(stream, peer, slot, shutdown.clone()));
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if timeout(shared.limits.drain, drained).await.is_err() {
        tracing::warn!(connections = connections.len(), "requests in flight are cut off");
        connections.shutdown().await;
    }
}

/// The next connection, once there is room for it.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed, so there always is a slot in the end.
    let slot = Arc::clone(slots).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, slot),
            Err(error) if gave_up(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "can't accept connections, trying again in {BACK_OFF:?}");
                sleep(BACK_OFF).await;
            }
        }
    }
}

/// Whether it was the client that went away while it waited in the queue.
fn gave_up(error: &io::Error) -> bool {
    use ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

fn http(limits: &Limits) -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new());
    http.http1()
        .header_read_timeout(None)
        // What bounds the buffer bounds the header in it.
        .max_buf_size(usize::try_from(limits.header_bytes).unwrap_or(usize::MAX).max(LEAST_BUFFER));
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.keep_alive)
        .keep_alive_timeout(limits.keep_alive)
        .max_concurrent_streams(limits.streams)
        .max_pending_accept_reset_streams(RESET_STREAMS)
        .max_local_error_reset_streams(ERROR_STREAMS)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(limits.header_bytes);
    http
}

/// What all connections share.
struct Shared<A> {
    http: Builder<TokioExecutor>,
    tls: Option<tls::Reloading>,
    answer: A,
    limits: Limits,
}

impl<A, F> Shared<A>
where
    A: Fn(Request<RequestBody>, Connection) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Response, Infallible>> + Send + 'static,
{
    /// Serves one connection until it ends, outstays its limits, or has finished what it was at when
    /// `stop` is cancelled.
    async fn handle(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        slot: Option<OwnedSemaphorePermit>,
        stop: CancellationToken,
    ) {
        if let Err(error) = prepare(&stream, self.limits.keep_alive) {
            tracing::debug!(%peer, %error, "the connection was gone at once");
            return;
        }
        match &self.tls {
            None => self.serve_connection(stream, peer, slot, stop).await,
            // In memory of its own, of which connections without TLS need none.
            Some(tls) => Box::pin(self.serve_tls(tls, stream, peer, slot, stop)).await,
        }
    }

    async fn serve_tls(
        &self,
        tls: &tls::Reloading,
        stream: TcpStream,
        peer: SocketAddr,
        slot: Option<OwnedSemaphorePermit>,
        stop: CancellationToken,
    ) {
        let handshake = timeout(self.limits.handshake, TlsAcceptor::from(tls.config()).accept(stream));
        match stop.run_until_cancelled(handshake).await {
            Some(Ok(Ok(stream))) => self.serve_connection(stream, peer, slot, stop).await,
            Some(Ok(Err(error))) => tracing::debug!(%peer, %error, "the TLS handshake failed"),
            Some(Err(_)) => tracing::debug!(%peer, "the TLS handshake took too long"),
            None => {}
        }
    }

    /// Speaks HTTP on a connection, over whatever carries it.
    async fn serve_connection(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: SocketAddr,
        slot: Option<OwnedSemaphorePermit>,
        stop: CancellationToken,
    ) {
        let activity = Arc::new(Activity::new());
        let service = service_fn(|request: Request<Incoming>| {
            let in_flight = Activity::begin(&activity, request.version() == Version::HTTP_2);
            let request = request.map(|body| RequestBody::new(body, self.limits.stall));
            let answer = (self.answer)(request, Connection { peer, secure: self.tls.is_some() });
            async move { answer.await.map(|answer| answer.map(|body| ResponseBody::new(body, in_flight))) }
        });
        let socket = TokioIo::new(Socket::new(stream, Arc::clone(&activity), slot));
        let mut connection = pin!(self.http.serve_connection_with_upgrades(socket, service));
        let mut stop = pin!(stop.cancelled());
        let mut deadline = Deadline::new(&activity, &self.limits);
        let mut leaving = false;
        let end = poll_fn(|context| {
            loop {
                if !leaving && stop.as_mut().poll(context).is_ready() {
                    leaving = true;
                    connection.as_mut().graceful_shutdown();
                }
                if let Poll::Ready(end) = connection.as_mut().poll(context) {
                    return Poll::Ready(end.map_err(|error| error.to_string()));
                }
                match deadline.poll(context) {
                    Poll::Pending => return Poll::Pending,
                    // Says good-bye first: HTTP/2 has a word for it.
                    Poll::Ready(Timeout::Idle) if !leaving => {
                        leaving = true;
                        activity.restart_idle();
                        connection.as_mut().graceful_shutdown();
                    }
                    Poll::Ready(timeout) => return Poll::Ready(Err(timeout.to_string())),
                }
            }
        });
        if let Err(error) = end.await {
            tracing::debug!(%peer, error, "the connection was cut off");
        }
    }
}

/// Sends small answers at once, and finds out about clients that vanished without a word.
fn prepare(stream: &TcpStream, keep_alive: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keep_alive = keep_alive.clamp(Duration::from_secs(1), LONGEST_KEEP_ALIVE);
    let probes =
        TcpKeepalive::new().with_time(keep_alive).with_interval(keep_alive).with_retries(KEEP_ALIVE_PROBES);
    SockRef::from(stream).set_tcp_keepalive(&probes)
}
