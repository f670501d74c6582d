//! More to do than can be done.

use axum::body::Body;
use http::{Request, StatusCode};
use tokenhouse::front;
use tokenhouse::listener::Connection;
use tokenhouse::places;
use tokenhouse_core::people::Role;
use tokenhouse_testkit::server::{Bearer, TestServer};
use tokio::runtime::Handle;

fn asks(path: &str, token: &Bearer) -> Request<Body> {
    let request = Request::get(path).header("authorization", format!("Bearer {}", token.expose()));
    let request = request.header("x-forwarded-method", "GET").header("x-forwarded-uri", "/");
    request.body(Body::empty()).unwrap()
}

#[tokio::test]
async fn excess_is_told_to_come_again_and_checks_go_on() {
    let server = TestServer::start().await;
    let ada = server.person("Ada", Role::Admin).await.token;
    let answer = front::answer(server.app.clone(), Handle::current());
    let connection = Connection { peer: "127.0.0.1:4711".parse().unwrap(), secure: false };
    let ask = |path: &str| answer(asks(path, &ada), connection);

    let mut managed: Vec<_> = (0..places::EACH).map(|_| ask("/api/users/me")).collect();
    let refused = ask("/api/users/me").await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
    assert!(refused.headers().contains_key("x-request-id"));
    let other = Connection { peer: "192.0.2.1:4711".parse().unwrap(), secure: false };
    assert_eq!(answer(asks("/api/users/me", &ada), other).await.unwrap().status(), StatusCode::OK);
    for check in ["/forward-auth", "/healthz", "/readyz"] {
        assert_eq!(ask(check).await.unwrap().status(), StatusCode::OK, "{check}");
    }

    // Whoever goes away leaves their place.
    drop(managed.pop());
    assert_eq!(ask("/api/users/me").await.unwrap().status(), StatusCode::OK);
    for answer in managed {
        assert_eq!(answer.await.unwrap().status(), StatusCode::OK);
    }
    assert_eq!(ask("/api/users/me").await.unwrap().status(), StatusCode::OK);
}
