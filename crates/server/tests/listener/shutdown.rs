//! Stopping without dropping what is in flight.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use http_body_util::BodyExt as _;
use tokenhouse::listener::Limits;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::support::{Clock, Raw, Server, client, http2_client, just_before, serve, settle, uri};

/// A server whose answers wait for a permit; and what tells that a request has come in.
async fn start() -> (Server, Arc<Semaphore>, Arc<Semaphore>) {
    let (began, go) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (tell, gate) = (Arc::clone(&began), Arc::clone(&go));
    let routes = Router::new().route("/quick", get(async || "hello")).route(
        "/",
        get(async move || {
            tell.add_permits(1);
            gate.acquire().await.unwrap().forget();
            "done"
        }),
    );
    (serve(routes, Limits::default(), None).await, began, go)
}

#[tokio::test]
async fn a_request_in_flight_is_answered_and_new_connections_are_refused() {
    for client in [client(), http2_client()] {
        let (server, began, go) = start().await;
        let answer = tokio::spawn(client.get(uri(server.address, "/")));
        began.acquire().await.unwrap().forget();
        server.stop.cancel();
        refused(server.address).await;
        assert!(!server.done.is_finished());
        go.add_permits(1);
        let answer = answer.await.unwrap().unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "done");
        server.done.await.unwrap();
    }
}

#[tokio::test]
async fn connections_without_a_request_are_closed_at_once() {
    let (server, ..) = start().await;
    let untouched = Raw::connect(server.address).await;
    let mut kept = Raw::connect(server.address).await;
    kept.send("GET /quick HTTP/1.1\r\nHost: a\r\n\r\n").await;
    kept.read_until("hello").await;
    let http2 = http2_client();
    http2.get(uri(server.address, "/quick")).await.unwrap();
    server.stop.cancel();
    for mut raw in [untouched, kept] {
        assert_eq!(raw.read_to_end().await, "");
    }
    server.done.await.unwrap();
}

#[tokio::test]
async fn a_request_that_has_begun_to_come_is_answered() {
    let (server, ..) = start().await;
    let mut begun = Raw::connect(server.address).await;
    begun.send("GET /quick HT").await;
    settle(server.address).await;
    server.stop.cancel();
    refused(server.address).await;
    begun.send("TP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = begun.read_to_end().await;
    assert!(answer.ends_with("hello") && answer.contains("connection: close"), "{answer}");
    server.done.await.unwrap();
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cut_off() {
    for client in [client(), http2_client()] {
        let (server, began, _go) = start().await;
        let clock = Clock::stop();
        let answer = tokio::spawn(client.get(uri(server.address, "/")));
        began.acquire().await.unwrap().forget();
        server.stop.cancel();
        refused(server.address).await;
        let (other, ..) = start().await;
        clock.turn(other.address, just_before(Limits::default().drain)).await;
        assert!(!answer.is_finished() && !server.done.is_finished());
        clock.turn(other.address, Duration::from_secs(2)).await;
        assert!(answer.await.unwrap().is_err());
        server.done.await.unwrap();
    }
}

/// Waits until new connections are refused.
async fn refused(address: SocketAddr) {
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}
