//! Requests whose end can be read in two ways never become two requests.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;

use crate::support::{Server, exchange, gateway_to, get};

/// A gateway to an upstream that notes every request it gets, body included.
async fn noting() -> (Server, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&seen);
    let routes = Router::new().fallback(async move |request: Request| {
        let line = format!("{} {}", request.method(), request.uri());
        let body = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap();
        notes.lock().unwrap().push(format!("{line} {}", String::from_utf8_lossy(&body)));
    });
    (gateway_to(routes).await, seen)
}

/// What the upstream has got once the client has sent this and a later request has come through.
async fn seen_after(bytes: &str) -> (String, Vec<String>) {
    let (gateway, seen) = noting().await;
    let answer = exchange(gateway.address, bytes).await;
    get(gateway.address, "/after").await;
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    (answer, seen)
}

#[tokio::test]
async fn what_is_ambiguous_is_refused() {
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for (case, fields) in [
        ("two lengths", "Content-Length: 0\r\nContent-Length: 40\r\n"),
        ("two lengths in one line", "Content-Length: 0, 40\r\n"),
        ("signed length", "Content-Length: +0\r\n"),
        ("length that isn't a number", "Content-Length: 0x0\r\n"),
        ("folded line", "X-Fold: a\r\n b\r\n"),
        ("folded length", "Content-Length:\r\n 0\r\n"),
        ("space before the colon", "Transfer-Encoding : chunked\r\n"),
        ("coding that isn't chunked", "Transfer-Encoding: identity\r\n"),
        ("chunked that isn't last", "Transfer-Encoding: chunked, identity\r\n"),
        ("coding that only looks like chunked", "Transfer-Encoding: xchunked\r\n"),
        ("bare carriage return", "X-A: b\rContent-Length: 40\r\n"),
        ("null byte", "X-A: b\0c\r\n"),
    ] {
        let request = format!("POST /first HTTP/1.1\r\nHost: a\r\n{fields}\r\n{smuggled}");
        let (answer, seen) = seen_after(&request).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{case}: {answer}");
        assert_eq!(seen, ["GET /after "], "{case}");
    }
}

#[tokio::test]
async fn chunked_wins_over_a_length_and_the_connection_ends() {
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    ] {
        let request = format!(
            "POST /first HTTP/1.1\r\nHost: a\r\n{fields}\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
        );
        let (answer, seen) = seen_after(&request).await;
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        assert_eq!(seen, ["POST /first ", "GET /after "]);
    }
}

#[tokio::test]
async fn chunked_over_http_1_0_is_refused() {
    let request =
        "POST /first HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.0\r\n\r\n";
    let (answer, seen) = seen_after(request).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(seen, ["GET /after "]);
}

#[tokio::test]
async fn malformed_chunks_reach_nobody_as_a_whole_request() {
    for chunks in [
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
    ] {
        let request = format!(
            "POST /first HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
        );
        let (answer, seen) = seen_after(&request).await;
        assert!(!answer.contains("200 OK"), "{chunks:?}: {answer}");
        assert_eq!(seen, ["GET /after "], "{chunks:?}");
    }
}

/// RFC 9112, section 2.2, lets a server read a bare LF as the end of a line. What counts is that the
/// upstream gets the same request in proper form.
#[tokio::test]
async fn bare_line_feeds_come_out_in_proper_form() {
    let body = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let length = body.len();
    let request =
        format!("POST /first HTTP/1.1\nHost: a\nConnection: close\nContent-Length: {length}\n\n{body}");
    let (answer, seen) = seen_after(&request).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert_eq!(seen, [format!("POST /first {body}"), "GET /after ".into()]);
}

#[tokio::test]
async fn line_ends_can_not_be_put_into_a_forwarded_field() {
    let (answer, seen) =
        seen_after("GET /first%0d%0aX:1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-A: b\nX-C: d\r\n\r\n")
            .await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert_eq!(seen, ["GET /first%0d%0aX:1 ", "GET /after "]);
}
