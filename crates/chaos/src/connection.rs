//! A connection to a node that stays open, and is made again when it is lost.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

/// Anything that keeps an answer from coming.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What was answered.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    body: Bytes,
}

impl Answer {
    /// The body; nothing if it isn't JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// A connection to one node.
pub(crate) struct Connection {
    address: watch::Receiver<SocketAddr>,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    /// To a node that listens there. It is made with the first request.
    pub(crate) const fn new(address: watch::Receiver<SocketAddr>) -> Self {
        Self { address, sender: None }
    }

    /// Whether a token passes, by forward-auth. `None` if there is no answer in time.
    pub(crate) async fn check(&mut self, bearer: &HeaderValue, patience: Duration) -> Option<Answer> {
        let request = request(Method::GET, "/forward-auth", bearer)
            .header("x-forwarded-method", "GET")
            .header("x-forwarded-uri", "/");
        self.ask(request, String::new(), patience).await
    }

    /// Sends JSON. `None` if there is no answer in time.
    pub(crate) async fn send(
        &mut self,
        method: Method,
        path: &str,
        bearer: &HeaderValue,
        body: &Value,
        patience: Duration,
    ) -> Option<Answer> {
        let request = request(method, path, bearer).header("content-type", "application/json");
        self.ask(request, body.to_string(), patience).await
    }

    async fn ask(
        &mut self,
        request: http::request::Builder,
        body: String,
        patience: Duration,
    ) -> Option<Answer> {
        let request = request.body(Full::from(body)).expect("a request");
        let (sender, address) = (self.sender.take(), *self.address.borrow());
        let asked = timeout(patience, async {
            let mut sender = match sender {
                Some(sender) => sender,
                None => connect(address).await?,
            };
            sender.ready().await?;
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            Ok::<_, Failure>((sender, Answer { status, body }))
        });
        let (sender, answer) = asked.await.ok()?.ok()?;
        self.sender = Some(sender);
        Some(answer)
    }
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>, Failure> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

fn request(method: Method, path: &str, bearer: &HeaderValue) -> http::request::Builder {
    Request::builder().method(method).uri(path).header(HOST, "tokenhouse").header(AUTHORIZATION, bearer)
}
