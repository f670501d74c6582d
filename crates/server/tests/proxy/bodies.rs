//! Bodies, trailers and answers without a body.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::Response;
use axum::routing::{get, post};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::BodyExt as _;

use crate::support::{
    Raw, bind, channel, client, exchange, gateway, gateway_to, http2_client, options, recorder, upstream,
    uri, values,
};

/// Sends back what it gets, trailers included.
fn echo() -> Router {
    Router::new().fallback(async |request: Request| {
        let mut answer = Response::new(Body::empty());
        if let Some(trailer) = request.headers().get("trailer") {
            answer.headers_mut().insert("trailer", trailer.clone());
        }
        *answer.body_mut() = request.into_body();
        answer
    })
}

#[tokio::test]
async fn a_body_of_known_length_keeps_its_length() {
    let (upstream, head) = recorder("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await;
    let gateway = gateway(options(upstream)).await;
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    let answer = exchange(gateway.address, request).await;
    assert_eq!(values(&answer, "content-length"), ["2"]);
    let head = head.await.unwrap();
    assert_eq!(values(&head, "content-length"), ["5"]);
    assert!(values(&head, "transfer-encoding").is_empty());
}

#[tokio::test]
async fn connection_can_not_take_the_length_from_a_body() {
    let gateway = gateway_to(echo()).await;
    let request =
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close, content-length\r\nContent-Length: 5\r\n\r\nhello";
    assert!(exchange(gateway.address, request).await.contains("hello"));
}

#[tokio::test]
async fn chunks_and_trailers_pass_both_ways() {
    let gateway = gateway_to(echo()).await;
    let request = "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTrailer: x-sum, x-auth-user\r\nConnection: close, te\r\n\
                   Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 42\r\nX-Auth-User: evil\r\n\r\n";
    let answer = exchange(gateway.address, request).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(values(head, "transfer-encoding"), ["chunked"]);
    let body = body.replace("5\r\nhello\r\n6\r\n world\r\n", "b\r\nhello world\r\n");
    assert_eq!(body, "b\r\nhello world\r\n0\r\nx-sum: 42\r\n\r\n");
}

#[tokio::test]
async fn trailers_pass_from_and_to_http_2() {
    let gateway = gateway_to(echo()).await;
    let (mut sender, body) = channel();
    let request = http::Request::post(uri(gateway.address, "/"))
        .header("te", "trailers")
        .header("trailer", "x-sum")
        .body(body)
        .unwrap();
    let answer = tokio::spawn(http2_client().request(request));
    sender.send_data(Bytes::from_static(b"hello")).await.unwrap();
    let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from_static("42"))]);
    sender.send_trailers(trailers.clone()).await.unwrap();
    let answer = answer.await.unwrap().unwrap().into_body().collect().await.unwrap();
    assert_eq!(answer.trailers(), Some(&trailers));
    assert_eq!(answer.to_bytes(), "hello");
}

#[tokio::test]
async fn a_body_flows_both_ways_at_the_same_time() {
    let gateway = gateway_to(echo()).await;
    for client in [client(), http2_client()] {
        let (mut sender, body) = channel();
        let request = http::Request::post(uri(gateway.address, "/")).body(body).unwrap();
        let mut answer = client.request(request).await.unwrap().into_body();
        for round in 0..100 {
            let piece = Bytes::from(format!("piece {round}"));
            sender.send_data(piece.clone()).await.unwrap();
            assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), piece);
        }
        drop(sender);
        assert!(answer.collect().await.unwrap().to_bytes().is_empty());
    }
}

#[tokio::test]
async fn a_get_keeps_its_body() {
    let gateway = gateway_to(echo()).await;
    for framing in
        ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"]
    {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{framing}");
        assert!(exchange(gateway.address, request).await.contains("hello"));
    }
}

#[tokio::test]
async fn a_client_that_expects_continue_is_told_to() {
    let gateway = gateway_to(echo()).await;
    let mut raw = Raw::connect(gateway.address).await;
    raw.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(raw.read_head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    raw.send("hello").await;
    let answer = raw.read_to_end().await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("hello"), "{answer}");
}

#[tokio::test]
async fn head_is_answered_without_body_but_with_its_length() {
    let routes = Router::new()
        .route("/known", get(async || "hello"))
        .route("/unknown", get(async || Response::new(channel().1)));
    let gateway = gateway_to(routes).await;
    let head = async |path: &str| {
        let request = format!("HEAD {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = exchange(gateway.address, request).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("\r\n\r\n"), "{answer}");
        answer
    };
    assert_eq!(values(&head("/known").await, "content-length"), ["5"]);
    assert!(values(&head("/unknown").await, "content-length").is_empty());
}

#[tokio::test]
async fn answers_without_content_declare_none() {
    for (status, line) in [
        (StatusCode::NO_CONTENT, "HTTP/1.1 204 No Content"),
        (StatusCode::NOT_MODIFIED, "HTTP/1.1 304 Not Modified\r\nETag: \"a\""),
    ] {
        let answer: &str = format!("{line}\r\n\r\n").leak();
        let (upstream, _head) = recorder(answer).await;
        let gateway = gateway(options(upstream)).await;
        let answer = http2_client().get(uri(gateway.address, "/")).await.unwrap();
        assert_eq!(answer.status(), status);
        assert!(!answer.headers().contains_key("content-length"), "{answer:?}");
        assert_eq!(answer.headers().contains_key("etag"), status == StatusCode::NOT_MODIFIED);
        assert!(answer.into_body().collect().await.unwrap().to_bytes().is_empty());
    }
}

/// The connection stays in step after answers that have no body, whatever they declare.
#[tokio::test]
async fn answers_without_a_body_leave_the_connection_in_step() {
    let routes = Router::new()
        .route("/head", get(async || "hello"))
        .route("/204", post(async || StatusCode::NO_CONTENT))
        .route("/304", get(async || StatusCode::NOT_MODIFIED))
        .route("/end", get(async || "the end"));
    let gateway = gateway_to(routes).await;
    let answer = exchange(
        gateway.address,
        "HEAD /head HTTP/1.1\r\nHost: a\r\n\r\nPOST /204 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi\
         GET /304 HTTP/1.1\r\nHost: a\r\n\r\nGET /end HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    )
    .await;
    let statuses: Vec<_> = answer.lines().filter_map(|line| line.strip_prefix("HTTP/1.1 ")).collect();
    assert_eq!(statuses, ["200 OK", "204 No Content", "304 Not Modified", "200 OK"], "{answer}");
    assert!(answer.ends_with("\r\n\r\nthe end"), "{answer}");
}

#[tokio::test]
async fn one_connection_carries_a_hundred_requests() {
    let (upstream, connections) = upstream(echo()).await;
    let gateway = gateway(options(upstream)).await;
    let client = client();
    for round in 0..100 {
        let text = format!("round {round}");
        let request = http::Request::post(uri(gateway.address, "/")).body(Body::from(text.clone())).unwrap();
        let answer = client.request(request).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), text);
    }
    assert_eq!(connections.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test]
async fn http_1_0_is_spoken_on_either_side() {
    let routes = Router::new().fallback(async || "hello");
    let answer = exchange(gateway_to(routes).await.address, "GET / HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 OK") && answer.ends_with("\r\n\r\nhello"), "{answer}");

    // Ends with the connection, which is how HTTP/1.0 says that a body of unknown length is whole.
    let (listener, upstream) = bind().await;
    tokio::spawn(async move {
        let mut raw = Raw(listener.accept().await.unwrap().0);
        raw.read_head().await;
        raw.send("HTTP/1.0 200 OK\r\n\r\nhello").await;
    });
    let gateway = gateway(options(upstream)).await;
    let answer = exchange(gateway.address, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), "{answer}");
}
