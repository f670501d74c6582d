//! What happens when one side breaks.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};
use http_body_util::BodyExt as _;
use tokenhouse::proxy::{Failure, Options, Origin, Proxy, ProxyConfigError};
use tokio::net::TcpSocket;
use tokio::sync::{Notify, mpsc};

use crate::support::{
    Clock, Raw, bind, channel, client, exchange, gateway, gateway_to, get, http2_client, just_after,
    just_before, options, uri,
};

const ORIGIN: Origin = Origin { client: std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), secure: false };

async fn forward(options: Options, request: Request<Body>) -> Result<Response, Failure> {
    Proxy::new(options).unwrap().forward(request, HeaderMap::new(), ORIGIN).await
}

fn a_get() -> Request<Body> {
    Request::new(Body::empty())
}

#[tokio::test]
async fn an_upstream_that_is_not_a_bare_origin_is_refused() {
    let proxy = |upstream: &'static str| {
        Proxy::new(Options {
            upstream: Uri::from_static(upstream),
            ..options("127.0.0.1:1".parse().unwrap())
        })
    };
    for good in ["http://a", "https://a:8443", "http://[::1]:80/", "http://127.0.0.1:9000"] {
        assert!(proxy(good).is_ok(), "{good}");
    }
    for bad in ["a:80", "/path", "ftp://a", "http://a/path", "http://a/?q", "http://user:word@a"] {
        assert!(matches!(proxy(bad), Err(ProxyConfigError::NotAnOrigin)), "{bad}");
    }
}

#[tokio::test]
async fn nothing_listening_is_unreachable() {
    // Bound, so that nobody else gets the port, but not listening.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    assert_eq!(forward(options(address), a_get()).await.unwrap_err(), Failure::Unreachable);
    assert_eq!(get(gateway(options(address)).await.address, "/").await.status(), StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn an_upstream_that_breaks_off_before_it_answers_is_unreachable() {
    for answer in ["", "HTTP/1.1 200 OK\r\nContent-Le", "nonsense\r\n\r\n", "HTTP/1.1 101 Unasked\r\n\r\n"] {
        let (upstream, _head) = crate::support::recorder(answer).await;
        assert_eq!(forward(options(upstream), a_get()).await.unwrap_err(), Failure::Unreachable, "{answer}");
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn an_upstream_that_does_not_answer_in_time_is_too_slow() {
    let (upstream, mut told) = watched().await;
    let gateway = gateway(options(upstream)).await;
    let clock = Clock::stop();
    let answer = tokio::spawn(client().get(uri(gateway.address, "/")));
    assert_eq!(told.recv().await, Some("began"));
    clock.turn(gateway.address, just_before(Duration::from_mins(1))).await;
    assert!(!answer.is_finished());
    clock.turn(gateway.address, 2 * SECOND).await;
    assert_eq!(answer.await.unwrap().unwrap().status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(told.recv().await, Some("ended"), "the upstream sees that nobody waits any more");
}

#[tokio::test]
async fn an_upstream_that_does_not_accept_in_time_is_too_slow() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    // Fills the accept queue, after which the system drops what knocks.
    let _queued = Raw::connect(address).await;
    let other = gateway(options(address)).await;
    let clock = Clock::stop();
    // Connecting begins when the first of the two is polled.
    let (answer, ()) = tokio::join!(
        forward(options(address), a_get()),
        clock.turn(other.address, just_after(Duration::from_mins(1)))
    );
    assert_eq!(answer.unwrap_err(), Failure::TooSlow);
}

#[tokio::test]
async fn an_upload_may_take_as_long_as_it_flows() {
    let (tell, mut told) = mpsc::channel(1);
    let routes = Router::new().fallback(async move |request: Request<Body>| {
        let mut body = request.into_body();
        while body.frame().await.is_some_and(|frame| frame.is_ok()) {
            tell.send(()).await.unwrap();
        }
        "all"
    });
    let (upstream, _) = crate::support::upstream(routes).await;
    let clock = Clock::stop();
    let (mut sender, body) = channel();
    let request = http::Request::post("/").body(body).unwrap();
    let answer = tokio::spawn(forward(options(upstream), request));
    for _ in 0..10 {
        sender.send_data(Bytes::from_static(b"piece")).await.unwrap();
        told.recv().await.unwrap();
        clock.turn(upstream, just_before(Duration::from_mins(1))).await;
    }
    drop(sender);
    let answer = answer.await.unwrap().unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "all");
}

#[tokio::test]
async fn an_upload_that_no_longer_flows_is_too_slow() {
    let (upstream, mut told) = watched().await;
    let clock = Clock::stop();
    let (mut sender, body) = channel();
    let request = http::Request::post("/").body(body).unwrap();
    let answer = tokio::spawn(forward(options(upstream), request));
    assert_eq!(told.recv().await, Some("began"));
    let other = gateway(options(upstream)).await;
    clock.turn(other.address, just_before(Duration::from_mins(1))).await;
    sender.send_data(Bytes::from_static(b"piece")).await.unwrap();
    clock.turn(other.address, just_before(Duration::from_mins(1))).await;
    assert!(!answer.is_finished());
    clock.turn(other.address, 2 * SECOND).await;
    assert_eq!(answer.await.unwrap().unwrap_err(), Failure::TooSlow);
}

#[tokio::test]
async fn an_answer_that_has_begun_may_take_its_time() {
    for client in [client(), http2_client()] {
        let go = Arc::new(Notify::new());
        let gate = Arc::clone(&go);
        let routes = Router::new().fallback(async move || {
            let (mut sender, body) = channel();
            tokio::spawn(async move {
                sender.send_data(Bytes::from_static(b"one")).await.unwrap();
                gate.notified().await;
                sender.send_data(Bytes::from_static(b"two")).await.unwrap();
            });
            Response::new(body)
        });
        let gateway = gateway_to(routes).await;
        let clock = Clock::stop();
        let mut answer = client.get(uri(gateway.address, "/")).await.unwrap().into_body();
        assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
        for _ in 0..100 {
            clock.turn(gateway.address, Duration::from_secs(25)).await;
        }
        go.notify_one();
        assert_eq!(answer.collect().await.unwrap().to_bytes(), "two");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_breaks_off_for_the_client() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ] {
        for client in [client(), http2_client()] {
            let (upstream, _head) = crate::support::recorder(answer).await;
            let gateway = gateway(options(upstream)).await;
            let got = client.get(uri(gateway.address, "/")).await.unwrap();
            assert!(got.into_body().collect().await.is_err(), "{answer}");
        }
    }
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    let (upstream, _head) = crate::support::recorder(chunked).await;
    let gateway = gateway(options(upstream)).await;
    let bytes = exchange(gateway.address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(!bytes.contains("\r\n0\r\n"), "the end of the body was made up: {bytes}");
}

/// An upstream that tells when a request comes in and when it is given up.
async fn watched() -> (std::net::SocketAddr, mpsc::Receiver<&'static str>) {
    let (listener, address) = bind().await;
    let (tell, told) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut raw = Raw(listener.accept().await.unwrap().0);
        raw.read_head().await;
        tell.send("began").await.unwrap();
        let rest = raw.read_to_end().await;
        assert!(!rest.ends_with("0\r\n\r\n"), "the end of the body was made up: {rest}");
        tell.send("ended").await.unwrap();
    });
    (address, told)
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_request_at_the_upstream() {
    for http2 in [false, true] {
        let (upstream, mut told) = watched().await;
        let gateway = gateway(options(upstream)).await;
        let client = if http2 { http2_client() } else { client() };
        let answer = tokio::spawn(client.get(uri(gateway.address, "/")));
        assert_eq!(told.recv().await, Some("began"));
        answer.abort();
        drop(client);
        assert_eq!(told.recv().await, Some("ended"));
    }
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_an_answer_ends_it_at_the_upstream() {
    let gone = Arc::new(Notify::new());
    let tell = Arc::clone(&gone);
    let routes = Router::new().fallback(async move || {
        let (mut sender, body) = channel();
        tokio::spawn(async move {
            while sender.send_data(Bytes::from_static(&[b'x'; 10_000])).await.is_ok() {}
            tell.notify_one();
        });
        Response::new(body)
    });
    let gateway = gateway_to(routes).await;
    let mut answer = get(gateway.address, "/").await.into_body();
    answer.frame().await.unwrap().unwrap();
    drop(answer);
    gone.notified().await;
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_its_body_ends_it_at_the_upstream() {
    for fields in ["Content-Length: 100\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"] {
        let (upstream, mut told) = watched().await;
        let gateway = gateway(options(upstream)).await;
        let mut raw = Raw::connect(gateway.address).await;
        raw.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}")).await;
        assert_eq!(told.recv().await, Some("began"));
        drop(raw);
        assert_eq!(told.recv().await, Some("ended"));
    }
}

#[tokio::test]
async fn a_body_that_breaks_is_the_clients_fault() {
    let (upstream, mut told) = watched().await;
    let (mut sender, body) = channel();
    let mut request = a_get();
    *request.body_mut() = body;
    let answer = tokio::spawn(forward(options(upstream), request));
    sender.send_data(Bytes::from_static(b"hello")).await.unwrap();
    assert_eq!(told.recv().await, Some("began"));
    sender.abort("broken".into());
    assert_eq!(answer.await.unwrap().unwrap_err(), Failure::BadRequest);
    assert_eq!(told.recv().await, Some("ended"));
}

#[tokio::test]
async fn connect_is_not_forwarded() {
    let (upstream, _head) = crate::support::recorder("").await;
    let gateway = gateway(options(upstream)).await;
    let request =
        "CONNECT other.example:443 HTTP/1.1\r\nHost: other.example:443\r\nConnection: close\r\n\r\n";
    assert!(exchange(gateway.address, request).await.starts_with("HTTP/1.1 400 "));
}

/// A kept connection that the upstream has closed meanwhile isn't used, even for a request that must
/// not be sent twice.
#[tokio::test]
async fn a_closed_connection_is_not_used_again() {
    let (listener, address) = bind().await;
    let gateway = gateway(options(address)).await;
    let client = client();
    for round in 0..3 {
        let request = http::Request::post(uri(gateway.address, "/")).body(Body::from("once")).unwrap();
        let answer = tokio::spawn(client.request(request));
        let mut raw = Raw(listener.accept().await.unwrap().0);
        raw.read_until("once").await;
        raw.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await;
        let answer = answer.await.unwrap().unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hi", "round {round}");
        drop(raw);
    }
}
