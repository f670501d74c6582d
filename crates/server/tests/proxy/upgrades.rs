//! Upgraded connections: WebSocket and whatever else both sides agree on.

use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use tokenhouse::listener::Limits;
use tokenhouse::proxy::Proxy;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{accept_async, client_async};

use crate::support::{
    Certificate, Raw, bind, exchange, gateway, gateway_routes, options, recorder, serve, tls_options, values,
};

const UPGRADE: &str =
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: echo/1\r\n\r\n";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo/1\r\n\r\n";

const DONE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

async fn echo_messages(stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut socket = accept_async(stream).await.unwrap();
    while let Some(Ok(message)) = socket.next().await {
        if message.is_text() || message.is_binary() {
            socket.send(message).await.unwrap();
        }
    }
}

async fn talk(gateway: SocketAddr) {
    let stream = TcpStream::connect(gateway).await.unwrap();
    let (mut socket, answer) = client_async("ws://public.example/chat", stream).await.unwrap();
    assert_eq!(answer.headers()["upgrade"], "websocket");
    for message in [Message::text("hello"), Message::binary(vec![7; 1_000_000])] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message);
    }
    socket.close(None).await.unwrap();
    while let Some(message) = socket.next().await {
        assert!(message.unwrap().is_close());
    }
}

#[tokio::test]
async fn a_web_socket_is_tunnelled() {
    let (listener, upstream) = bind().await;
    let served = tokio::spawn(async move { echo_messages(listener.accept().await.unwrap().0).await });
    talk(gateway(options(upstream)).await.address).await;
    served.await.unwrap();
}

/// HTTP/2 has no such upgrade, so it must not be negotiated for one.
#[tokio::test]
async fn a_web_socket_is_tunnelled_to_an_upstream_that_prefers_http_2() {
    let certificate = Certificate::make();
    let acceptor = TlsAcceptor::from(certificate.open().config());
    let (listener, upstream) = bind().await;
    let served = tokio::spawn(async move {
        echo_messages(acceptor.accept(listener.accept().await.unwrap().0).await.unwrap()).await;
    });
    let proxy = Proxy::trusting(certificate.authorities(), tls_options(upstream)).unwrap();
    talk(serve(gateway_routes(proxy), Limits::default(), None).await.address).await;
    served.await.unwrap();
}

#[tokio::test]
async fn any_protocol_is_tunnelled_and_bytes_sent_early_are_not_lost() {
    let (listener, upstream) = bind().await;
    let upstream_side = tokio::spawn(async move {
        let mut raw = Raw(listener.accept().await.unwrap().0);
        let head = raw.read_head().await;
        raw.send(format!("{SWITCHED}first")).await;
        assert_eq!(raw.read_until("early").await, "early");
        raw.send(" second").await;
        assert_eq!(raw.read_to_end().await, "", "the client's end arrives");
        raw.send(" last").await;
        head
    });
    let gateway = gateway(options(upstream)).await;
    let mut raw = Raw::connect(gateway.address).await;
    raw.send(format!("{UPGRADE}early")).await;
    let answer = raw.read_head().await;
    assert!(answer.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{answer}");
    assert_eq!(
        (values(&answer, "upgrade"), values(&answer, "connection")),
        (vec!["echo/1"], vec!["upgrade"])
    );
    assert_eq!(raw.read_until("second").await, "first second");
    raw.0.shutdown().await.unwrap();
    assert_eq!(raw.read_to_end().await, " last");
    let head = upstream_side.await.unwrap();
    assert_eq!((values(&head, "upgrade"), values(&head, "connection")), (vec!["echo/1"], vec!["upgrade"]));
    assert_eq!(values(&head, "x-auth-user"), ["local|7"]);
}

#[tokio::test]
async fn an_upstream_may_refuse_to_upgrade() {
    let (listener, upstream) = bind().await;
    tokio::spawn(async move {
        for answer in ["HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno", DONE] {
            let mut raw = Raw(listener.accept().await.unwrap().0);
            raw.read_head().await;
            raw.send(answer).await;
        }
    });
    let gateway = gateway(options(upstream)).await;
    let mut raw = Raw::connect(gateway.address).await;
    raw.send(UPGRADE).await;
    let answer = raw.read_until("no").await;
    assert!(answer.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{answer}");
    // An ordinary answer: the connection goes on with HTTP.
    raw.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(raw.read_to_end().await.starts_with("HTTP/1.1 200 "));
}

/// Requests inside HTTP/2 or TLS would reach the upstream without having been checked.
#[tokio::test]
async fn an_upgrade_to_http_2_or_tls_is_not_tunnelled() {
    for protocol in ["h2c", "H2C", "websocket, h2c", "HTTP/2.0", "TLS/1.2", "h2c-14", "", "a,,b"] {
        let (upstream, head) = recorder("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n").await;
        let gateway = gateway(options(upstream)).await;
        let request = format!(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, Upgrade, HTTP2-Settings\r\nUpgrade: {protocol}\r\n\
             HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n"
        );
        let answer = exchange(gateway.address, request).await;
        assert!(answer.starts_with("HTTP/1.1 502 "), "{protocol}: {answer}");
        let head = head.await.unwrap();
        for name in ["upgrade", "connection", "http2-settings"] {
            assert!(values(&head, name).is_empty(), "{protocol}: {head}");
        }
    }
}

#[tokio::test]
async fn an_upgrade_over_http_1_0_or_without_connection_is_none() {
    for request in [
        "GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: echo/1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nUpgrade: echo/1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, upgrade\r\nUpgrade: echo/1\r\nUpgrade: x\r\n\r\n",
    ] {
        let (upstream, head) = recorder(DONE).await;
        let gateway = gateway(options(upstream)).await;
        assert!(exchange(gateway.address, request).await.contains(" 200 OK\r\n"));
        assert!(values(&head.await.unwrap(), "upgrade").is_empty());
    }
}

#[tokio::test]
async fn a_side_that_vanishes_takes_the_other_along() {
    for client_leaves in [true, false] {
        let (listener, upstream) = bind().await;
        let gateway = gateway(options(upstream)).await;
        let mut client = Raw::connect(gateway.address).await;
        client.send(UPGRADE).await;
        let mut upstream = Raw(listener.accept().await.unwrap().0);
        upstream.read_head().await;
        upstream.send(SWITCHED).await;
        client.read_head().await;
        let (leaver, mut left) = if client_leaves { (client, upstream) } else { (upstream, client) };
        drop(leaver);
        assert_eq!(left.read_to_end().await, "");
    }
}
