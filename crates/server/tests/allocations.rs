//! A check allocates nothing. One test, alone in its process, since it replaces the allocator.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use http::{HeaderMap, Request, StatusCode};
use tokenhouse::listener::Connection;
use tokenhouse::verify::forward_auth::forward_auth;
use tokenhouse_core::people::Role;
use tokenhouse_testkit::server::TestServer;

const REQUESTS: u64 = 10_000;

/// What is made for each answer is cut from pieces that do for hundreds of them; a piece is two
/// allocations.
const FOR_PIECES: u64 = REQUESTS / 100;

#[tokio::test]
async fn an_accepted_request_allocates_nothing() {
    let server = TestServer::start().await;
    let ada = server.person("Ada", Role::Member).await;
    let bearer = format!("Bearer {}", ada.token.expose());
    let connection = Connection { peer: "127.0.0.1:4711".parse().unwrap(), secure: false };
    // As hyper does it: the memory of an answer's headers is that of the next request's.
    let mut memory = HeaderMap::new();
    let mut allocated = 0;
    for number in 0..REQUESTS {
        memory.clear();
        memory.insert("host", "tokens.example.com".parse().unwrap());
        memory.insert("authorization", bearer.parse().unwrap());
        memory.insert("x-forwarded-method", "GET".parse().unwrap());
        memory.insert("x-forwarded-uri", "/api/orders/4711/?page=2".parse().unwrap());
        memory.insert("x-forwarded-for", "203.0.113.7".parse().unwrap());
        let mut request = Request::get("/forward-auth").body(()).unwrap();
        *request.headers_mut() = std::mem::take(&mut memory);
        let mut answer = None;
        let counted = allocation_counter::measure(|| {
            answer = Some(forward_auth(&server.app, request, connection));
        });
        let (parts, _) = answer.unwrap().into_parts();
        assert_eq!(parts.status, StatusCode::OK);
        assert_eq!(parts.headers["x-auth-email"], "ada@example.com");
        memory = parts.headers;
        // The first ones fill what is kept from then on.
        if number > 10 {
            allocated += counted.count_total;
        }
    }
    assert!(allocated < FOR_PIECES, "{allocated} allocations in {REQUESTS} requests");
}
