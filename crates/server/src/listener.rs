//! Accepts connections and serves HTTP/1.1 and HTTP/2 on them, within [`Limits`].

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::tls;

/// Who is at the other end of the connection. In the extensions of every request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer(pub SocketAddr);

/// Whether the connection is TLS. In the extensions of every request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Secure(pub bool);

/// What a client may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at a time, upgraded ones included. More wait in the system's accept queue.
    pub connections: usize,
    /// Requests at a time on one HTTP/2 connection.
    pub streams: u32,
    /// Bytes of a request's line and header fields; more is answered 431.
    pub header_bytes: u32,
    /// Time for the TLS handshake.
    pub handshake: Duration,
    /// Time for a request's header: from the connection's start for the first one, afterwards from
    /// the header's first byte.
    pub header: Duration,
    /// How long a connection may stay without a request.
    pub idle: Duration,
    /// How long a client may pause while it sends a body or is sent an answer.
    pub stall: Duration,
    /// How long requests in flight may go on after shutdown has begun.
    pub drain: Duration,
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
            stall: Duration::from_secs(60),
            drain: Duration::from_secs(30),
        }
    }
}

/// Serves `router` on `listener` until `shutdown` is cancelled and the requests in flight have
/// ended, or [`Limits::drain`] is over.
pub async fn serve(
    _listener: TcpListener,
    _tls: Option<tls::Reloading>,
    _router: axum::Router,
    _limits: Limits,
    shutdown: CancellationToken,
) {
    shutdown.cancelled().await;
}
