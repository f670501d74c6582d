//! Bodies of any size pass the gateway in constant memory. One test, alone in its process, since it
//! measures the whole process: client, gateway and upstream.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::Response;
use axum::routing::{get, post};
use http_body_util::BodyExt as _;
use tokio::sync::{Notify, mpsc};

#[path = "support/mod.rs"]
mod support;
use support::{channel, client, gateway_to, http2_client, settle, uri};

const MEGABYTE: usize = 1_000_000;
const SIZE: usize = 50 * MEGABYTE;
const PIECE: usize = 10_000;
/// What the process may grow by.
const GROWTH: usize = 20 * MEGABYTE;
/// What may be on the way while nobody reads: the system's buffers of four sockets, mostly.
const AHEAD: usize = 30 * MEGABYTE;

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// A body of [`SIZE`], how much of it was asked for, and the memory in use at most meanwhile.
fn large() -> (Body, Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let (mut sender, body) = channel();
    let (sent, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (count, most) = (Arc::clone(&sent), Arc::clone(&peak));
    tokio::spawn(async move {
        for _ in 0..SIZE / PIECE {
            if sender.send_data(Bytes::from_static(&[b'x'; PIECE])).await.is_err() {
                return;
            }
            count.fetch_add(PIECE, Ordering::SeqCst);
            most.fetch_max(resident(), Ordering::SeqCst);
        }
    });
    (body, sent, peak)
}

/// Reads a body to its end.
async fn drain<B: http_body_util::BodyExt<Data = Bytes> + Unpin>(mut body: B) -> usize {
    let mut size = 0;
    while let Some(frame) = body.frame().await {
        size += frame.ok().unwrap().into_data().map_or(0, |data| data.len());
    }
    size
}

/// Waits until no more is asked for.
async fn full(server: std::net::SocketAddr, sent: &AtomicUsize) -> usize {
    let mut before = 0;
    loop {
        settle(server).await;
        let now = sent.load(Ordering::SeqCst);
        if now == before {
            return now;
        }
        before = now;
    }
}

#[tokio::test]
async fn large_bodies_pass_in_constant_memory() {
    let read = Arc::new(Notify::new());
    let gate = Arc::clone(&read);
    let (tell, mut told) = mpsc::channel(1);
    let routes = Router::new()
        .route(
            "/up",
            post(async move |request: Request| {
                gate.notified().await;
                drain(request.into_body()).await.to_string()
            }),
        )
        .route(
            "/down",
            get(async move || {
                let (body, sent, peak) = large();
                tell.send((sent, peak)).await.unwrap();
                Response::new(body)
            }),
        );
    let gateway = gateway_to(routes).await;
    for client in [client(), http2_client()] {
        // Warm: code, threads and buffers of one connection each.
        client.get(uri(gateway.address, "/")).await.unwrap();
        let before = resident();

        let (body, sent, peak) = large();
        let request = http::Request::post(uri(gateway.address, "/up")).body(body).unwrap();
        let answer = tokio::spawn(client.request(request));
        let ahead = full(gateway.address, &sent).await;
        assert!((1..AHEAD).contains(&ahead), "{ahead} bytes were taken that the upstream doesn't read");
        read.notify_one();
        let answer = answer.await.unwrap().unwrap().into_body().collect().await.unwrap().to_bytes();
        assert_eq!(answer, SIZE.to_string());
        let grown = peak.load(Ordering::SeqCst).saturating_sub(before);
        assert!(grown < GROWTH, "grew by {grown} on the way up");

        let answer = client.get(uri(gateway.address, "/down")).await.unwrap();
        let (sent, peak) = told.recv().await.unwrap();
        let ahead = full(gateway.address, &sent).await;
        assert!((1..AHEAD).contains(&ahead), "{ahead} bytes were taken that the client doesn't read");
        assert_eq!(drain(answer.into_body()).await, SIZE);
        let grown = peak.load(Ordering::SeqCst).saturating_sub(before);
        assert!(grown < GROWTH, "grew by {grown} on the way down");
    }
}
