//! What a client may take.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Extension, Request};
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use http_body_util::BodyExt as _;
use tokenhouse::listener::{Connection, Limits};
use tokenhouse::proxy::Proxy;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};

use crate::support::{
    Clock, Raw, Server, bind, channel, client, exchange, gateway_routes, http2_client, just_after,
    just_before, options, serve, settle, uri,
};

fn limits() -> Limits {
    Limits {
        header: Duration::from_secs(10),
        idle: Duration::from_secs(100),
        stall: Duration::from_secs(30),
        keep_alive: Duration::from_hours(24),
        ..Limits::default()
    }
}

const SECOND: Duration = Duration::from_secs(1);

async fn start(limits: Limits) -> Server {
    let routes = Router::new().route("/", get(async || "hello")).route(
        "/who",
        get(async |Extension(Connection { peer, secure }): Extension<Connection>| format!("{peer} {secure}")),
    );
    serve(routes, limits, None).await
}

/// A server whose answer never ends, and how many pieces of it there were.
async fn start_endless() -> (Server, Arc<AtomicUsize>) {
    let pieces = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&pieces);
    let routes = Router::new().route("/", get(async || "hello")).route(
        "/endless",
        get(async move || {
            let (mut sender, body) = channel();
            tokio::spawn(async move {
                while sender.send_data(Bytes::from_static(&[b'x'; 10_000])).await.is_ok() {
                    count.fetch_add(1, Ordering::SeqCst);
                }
            });
            Response::new(body)
        }),
    );
    (serve(routes, limits(), None).await, pieces)
}

/// Waits until no more can be written.
async fn full(server: &Server, pieces: &AtomicUsize) {
    let mut before = 0;
    loop {
        settle(server.address).await;
        let now = pieces.load(Ordering::SeqCst);
        if now == before {
            return;
        }
        before = now;
    }
}

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

async fn ask(raw: &mut Raw) {
    raw.send(REQUEST).await;
    raw.read_until("hello").await;
}

#[tokio::test]
async fn a_request_knows_its_peer_and_whether_it_came_over_tls() {
    let server = start(limits()).await;
    let mut raw = Raw::connect(server.address).await;
    raw.send("GET /who HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let own = raw.0.local_addr().unwrap();
    assert!(raw.read_to_end().await.ends_with(&format!("{own} false")));
}

#[tokio::test]
async fn a_header_that_does_not_come_in_time_ends_the_connection() {
    for begin in ["", "G", "GET / HTTP/1.1\r\nHost: a\r\n"] {
        let (server, clock) = (start(limits()).await, Clock::stop());
        let (mut late, mut timely) = (Raw::connect(server.address).await, Raw::connect(server.address).await);
        late.send(begin).await;
        timely.send(begin).await;
        clock.turn(server.address, just_before(limits().header)).await;
        timely.send(&REQUEST[begin.len()..]).await;
        timely.read_until("hello").await;
        clock.turn(server.address, SECOND * 2).await;
        assert_eq!(late.read_rest().await, "");
        ask(&mut timely).await;
    }
}

#[tokio::test]
async fn a_header_that_trickles_does_not_win_time() {
    let (server, clock) = (start(limits()).await, Clock::stop());
    let mut raw = Raw::connect(server.address).await;
    for byte in REQUEST.bytes().take(11) {
        raw.send([byte]).await;
        clock.turn(server.address, SECOND).await;
    }
    assert_eq!(raw.read_rest().await, "");
}

#[tokio::test]
async fn a_later_header_has_its_time_from_its_first_byte() {
    let (server, clock) = (start(limits()).await, Clock::stop());
    let mut raw = Raw::connect(server.address).await;
    ask(&mut raw).await;
    // Longer than a header may take, but none has begun.
    clock.turn(server.address, limits().header * 5).await;
    raw.send("GET").await;
    clock.turn(server.address, just_before(limits().header)).await;
    raw.send(&REQUEST[3..]).await;
    raw.read_until("hello").await;
    raw.send("GET").await;
    clock.turn(server.address, just_after(limits().header)).await;
    assert_eq!(raw.read_rest().await, "");
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let (server, clock) = (start(limits()).await, Clock::stop());
    let mut raw = Raw::connect(server.address).await;
    for _ in 0..3 {
        ask(&mut raw).await;
        clock.turn(server.address, just_before(limits().idle)).await;
    }
    ask(&mut raw).await;
    clock.turn(server.address, just_after(limits().idle)).await;
    assert_eq!(raw.read_rest().await, "");
}

#[tokio::test]
async fn a_request_in_flight_is_not_idle() {
    for client in [client(), http2_client()] {
        let (began, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (tell, gate) = (Arc::clone(&began), Arc::clone(&go));
        let routes = Router::new().route(
            "/",
            get(async move || {
                tell.notify_one();
                gate.notified().await;
            }),
        );
        let server = serve(routes, limits(), None).await;
        let clock = Clock::stop();
        let answer = tokio::spawn(client.get(uri(server.address, "/")));
        began.notified().await;
        for _ in 0..10 {
            clock.turn(server.address, limits().idle).await;
        }
        go.notify_one();
        assert_eq!(answer.await.unwrap().unwrap().status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn a_body_that_stops_coming_ends_the_request() {
    for client in [client(), http2_client()] {
        let (tell, mut told) = mpsc::channel(1);
        let routes = Router::new().fallback(async move |request: Request| {
            let mut body = request.into_body();
            while let Some(Ok(_)) = body.frame().await {
                tell.send(()).await.unwrap();
            }
            StatusCode::BAD_REQUEST
        });
        let server = serve(routes, limits(), None).await;
        let clock = Clock::stop();
        let (mut sender, body) = channel();
        let request = http::Request::post(uri(server.address, "/")).body(body).unwrap();
        let answer = tokio::spawn(client.request(request));
        for _ in 0..5 {
            sender.send_data(Bytes::from_static(b"piece")).await.unwrap();
            told.recv().await.unwrap();
            clock.turn(server.address, just_before(limits().stall)).await;
        }
        sender.send_data(Bytes::from_static(b"piece")).await.unwrap();
        told.recv().await.unwrap();
        clock.turn(server.address, just_after(limits().stall)).await;
        assert_eq!(answer.await.unwrap().unwrap().status(), StatusCode::BAD_REQUEST);
        assert!(sender.send_data(Bytes::new()).await.is_err(), "nobody reads on");
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_is_cut_off() {
    let (server, pieces) = start_endless().await;
    let clock = Clock::stop();
    let mut raw = Raw::connect(server.address).await;
    raw.send("GET /endless HTTP/1.1\r\nHost: a\r\n\r\n").await;
    full(&server, &pieces).await;
    clock.turn(server.address, just_after(limits().stall)).await;
    // What lies in the system's buffers still comes, and then the end: it is no endless answer.
    raw.read_rest().await;
}

#[tokio::test]
async fn a_client_that_reads_slowly_is_served() {
    let (server, pieces) = start_endless().await;
    let clock = Clock::stop();
    let mut raw = Raw::connect(server.address).await;
    raw.send("GET /endless HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut buffer = vec![0; 20_000_000];
    for _ in 0..5 {
        full(&server, &pieces).await;
        clock.turn(server.address, just_before(limits().stall)).await;
        // More than the system's buffers hold.
        raw.0.read_exact(&mut buffer).await.unwrap();
    }
}

#[tokio::test]
async fn a_header_that_is_too_large_is_refused() {
    let server = start(Limits { header_bytes: 10_000, ..limits() }).await;
    let request = |size: usize| {
        format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: {}\r\n\r\n", "x".repeat(size))
    };
    assert!(exchange(server.address, request(9_000)).await.starts_with("HTTP/1.1 200 OK"));
    let mut raw = Raw::connect(server.address).await;
    raw.send(&request(30_000)).await;
    assert!(raw.read_head().await.starts_with("HTTP/1.1 431 "));

    let ask = async |size: usize| {
        let request = http::Request::get(uri(server.address, "/")).header("x", "x".repeat(size));
        http2_client().request(request.body(Body::empty()).unwrap()).await.unwrap().status()
    };
    assert_eq!(ask(9_000).await, StatusCode::OK);
    assert_eq!(ask(11_000).await, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
}

#[tokio::test]
async fn too_many_fields_are_refused() {
    let server = start(limits()).await;
    let request = |fields: usize| {
        format!("GET / HTTP/1.1\r\nConnection: close\r\n{}\r\n", "X: y\r\n".repeat(fields - 1))
    };
    assert!(exchange(server.address, request(100)).await.starts_with("HTTP/1.1 200 OK"));
    assert!(exchange(server.address, request(101)).await.starts_with("HTTP/1.1 431 "));
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_their_turn() {
    let server = start(Limits { connections: 2, ..limits() }).await;
    let mut first = Raw::connect(server.address).await;
    let mut second = Raw::connect(server.address).await;
    for raw in [&mut first, &mut second] {
        raw.send(REQUEST).await;
        raw.read_until("hello").await;
    }
    let mut third = Raw::connect(server.address).await;
    third.send(REQUEST).await;
    // The other two are served meanwhile, and the third is not, however often they ask.
    for _ in 0..100 {
        first.send(REQUEST).await;
        first.read_until("hello").await;
    }
    assert!(third.0.try_read(&mut [0; 1]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock));
    drop(second);
    third.read_until("hello").await;
}

/// The slot of an upgraded connection is free only when it ends.
#[tokio::test]
async fn upgraded_connections_count() {
    let (upstream, address): (TcpListener, _) = bind().await;
    let proxy = Proxy::new(options(address)).unwrap();
    let server = serve(gateway_routes(proxy), Limits { connections: 1, ..limits() }, None).await;
    let mut first = Raw::connect(server.address).await;
    first.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").await;
    let mut tunnel = Raw(upstream.accept().await.unwrap().0);
    tunnel.read_head().await;
    tunnel.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n").await;
    first.read_head().await;

    let mut second = Raw::connect(server.address).await;
    second.send("GET /second HTTP/1.1\r\nHost: a\r\n\r\n").await;
    for _ in 0..100 {
        first.send("ping").await;
        tunnel.read_until("ping").await;
        tunnel.send("pong").await;
        first.read_until("pong").await;
    }
    drop((first, tunnel));
    let mut next = Raw(upstream.accept().await.unwrap().0);
    assert!(next.read_head().await.starts_with("GET /second "));
}

#[tokio::test]
async fn slow_clients_do_not_hold_up_others() {
    let (server, pieces) = start_endless().await;
    let mut slow = Vec::new();
    for _ in 0..20 {
        let mut raw = Raw::connect(server.address).await;
        raw.send("GET /endless HTTP/1.1\r\nHost: a\r\n\r\n").await;
        slow.push(raw);
        slow.push(Raw::connect(server.address).await);
    }
    full(&server, &pieces).await;
    for client in [client(), http2_client()] {
        let answer = client.get(uri(server.address, "/")).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hello");
    }
}
