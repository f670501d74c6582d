//! What every answer has in common.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use serde_json::json;
use tokenhouse::observe::{self, Observed};
use tokenhouse_core::people::Role;
use tokenhouse_testkit::server::{Bearer, TestServer};
use tower::ServiceExt as _;

use super::generate;
use super::openapi::Contract;

#[tokio::test]
async fn a_panic_is_answered_without_its_words() {
    let server = TestServer::start().await;
    let broken = tower::service_fn(async |_: axum::extract::Request| panic!("the password is hunter2"));
    let routed = Observed::new(broken, server.app.clone()).oneshot(axum::extract::Request::default());
    let at_once = observe::at_once(&server.app, Method::GET, "/", |_| panic!("the password is hunter2"));
    for answer in [routed.await.unwrap(), at_once] {
        assert_eq!(answer.status(), 500);
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
        let body = axum::body::to_bytes(answer.into_body(), 10_000).await.unwrap();
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&problem["status"], &problem["request_id"]), (&json!(500), &json!(id)));
        assert!(!problem.to_string().contains("hunter2"));
    }
}

#[tokio::test]
async fn a_known_route_with_a_wrong_method_names_the_right_ones() {
    let server = TestServer::start().await;
    let mut routes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (method, path) in Contract::new().operations() {
        let methods = routes.entry(path).or_default();
        if method == "GET" {
            methods.insert("HEAD".into());
        }
        methods.insert(method);
    }
    routes.remove("/forward-auth");
    for (path, methods) in routes {
        let path = path.replace("{id}", "1");
        for wrong in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"] {
            if methods.contains(wrong) {
                continue;
            }
            // Also without a token: the route is known to all.
            let answer = server.client().send(wrong.parse().unwrap(), &path, None, "").await;
            answer.problem(405);
            let allowed = answer.header("allow").unwrap_or_else(|| panic!("{answer}"));
            let allowed: BTreeSet<String> =
                allowed.split(',').map(|method| method.trim().to_owned()).collect();
            assert_eq!(allowed, methods, "{answer}");
        }
    }
}

#[tokio::test]
async fn an_unknown_route_is_not_found() {
    let server = TestServer::start().await;
    let admin = server.person("Ada", Role::Admin).await;
    for path in [
        "/api",
        "/api/",
        "/api/tokens",
        "/api/users/1/x",
        "/api/user-tokens/1/2",
        "/api/users/",
        "/nothing",
        "/scim/v1/Nothing",
    ] {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            server.client().send(method.clone(), path, None, "").await.problem(404);
            server.as_(&admin.token).send(method, path, None, "").await.problem(404);
        }
    }
}

#[tokio::test]
async fn a_challenge_tells_only_the_holder_what_happened() {
    let server = TestServer::start().await;
    let people = server.people().await;
    let expired = generate(&server, &people.manager.token, "expired", Some(1)).await.bearer();
    let revoked = generate(&server, &people.manager.token, "revoked", None).await;
    super::set_revoked(&server, &people.manager.token, revoked.id(), true).await;
    server.as_(&people.admin.token).delete(&format!("/api/users/{}", people.member.id)).await.expect(204);
    server.pass_days(1);
    let forged = |token: &Bearer| {
        let secret = token.expose();
        let last = if secret.ends_with('A') { "E" } else { "A" };
        Bearer::new(format!("{}{last}", &secret[..secret.len() - 1]))
    };
    let invalid = |told: &str| {
        format!(r#"Bearer realm="tokenhouse", error="invalid_token", error_description="{told}""#)
    };
    let unknown = invalid("the token is not valid");
    for (client, challenge) in [
        (server.client(), r#"Bearer realm="tokenhouse""#.to_owned()),
        (server.client().with("authorization", "Basic YTpi"), r#"Bearer realm="tokenhouse""#.to_owned()),
        (server.as_(&Bearer::new("garbage")), unknown.clone()),
        (server.as_(&expired), invalid("the token has expired")),
        (server.as_(&revoked.bearer()), invalid("the token has been revoked")),
        (server.as_(&people.member.token), invalid("the token's owner has been deactivated")),
        (server.as_(&forged(&expired)), unknown.clone()),
        (server.as_(&forged(&revoked.bearer())), unknown.clone()),
        (server.as_(&forged(&people.member.token)), unknown.clone()),
    ] {
        for path in ["/api/users/me", "/api/user-tokens", "/api/activity", "/forward-auth"] {
            let answer = client.get(path).await;
            assert_eq!(answer.expect(401).header("www-authenticate"), Some(&*challenge), "{path}");
        }
        client.get("/api/users/me").await.problem(401);
    }
    // A token of another Tokenhouse, or of this one under another name, is unknown.
    let other = TestServer::builder()
        .configured(|config| config.server.public_url = "https://other.example.com".into());
    let other = other.start().await;
    let stranger = other.person("Eve", Role::Admin).await;
    let answer = server.as_(&stranger.token).get("/api/users/me").await;
    assert_eq!(answer.expect(401).header("www-authenticate"), Some(&*unknown));
}

#[tokio::test]
async fn every_answer_has_a_number_of_its_own() {
    let server = TestServer::start().await;
    let admin = server.person("Ada", Role::Admin).await;
    let client = server.as_(&admin.token);
    let answers = [
        client.get("/").await,
        client.get("/healthz").await,
        client.get("/readyz").await,
        client.get("/api/status").await,
        client.get("/api/users").await,
        client.get("/api/activity.csv").await,
        client.get("/api/docs/").await,
        client.get("/.well-known/jwks.json").await,
        client.get("/forward-auth").await,
        client.get("/nothing").await,
        client.post("/api/users", &json!({})).await,
        client.post("/api/users", &json!(null)).await,
        client.send(Method::POST, "/api/users", None, "").await,
        client.send(Method::PATCH, "/api/users", None, "").await,
        client.send(Method::HEAD, "/api/users", None, "").await,
        server.client().get("/api/users").await,
        server.client().with("x-request-id", "mine").get("/api/users").await,
    ];
    let ids: BTreeSet<&str> =
        answers.iter().map(|a| a.header("x-request-id").unwrap_or_else(|| panic!("{a}"))).collect();
    assert_eq!(ids.len(), answers.len());
    assert!(!ids.contains("mine"));
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let server = TestServer::start().await;
    let admin = server.person("Ada", Role::Admin).await;
    let client = server.as_(&admin.token);
    for path in [
        "/",
        "/api/status",
        "/api/users",
        "/api/user-tokens",
        "/api/activity.csv",
        "/api/users/999999",
        "/nothing",
        "/api/openapi.json",
    ] {
        let get = client.get(path).await;
        let head = client.send(Method::HEAD, path, None, "").await;
        assert_eq!(
            (head.status, head.header("content-type")),
            (get.status, get.header("content-type")),
            "{path}"
        );
        assert!(head.body.is_empty(), "{head}");
    }
}

#[tokio::test]
async fn status_tells_the_version_and_the_store() {
    for (database, store) in [
        (tokenhouse_testkit::server::Database::Sqlite, "sqlite"),
        (tokenhouse_testkit::server::Database::Postgres, "postgres"),
    ] {
        let server = TestServer::builder().on(database).start().await;
        let status = server.client().get("/api/status").await.expect(200).json();
        assert_eq!(status, json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION"), "store": store }));
        server.client().get("/healthz").await.expect(200);
        server.client().get("/readyz").await.expect(200);
    }
}
