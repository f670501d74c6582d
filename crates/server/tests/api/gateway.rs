//! The gateway: what reaches the upstream, and what never does.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use http::{HeaderMap, StatusCode};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};
use tokenhouse::verify::gateway::is_for_upstream;
use tokenhouse_core::people::Role;
use tokenhouse_testkit::server::{Account, Bearer, Builder, PUBLIC_URL, START, TestServer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{PATH_TRICKS, rules, set_revoked};

/// A request as the upstream saw it.
#[derive(Clone, Debug)]
struct Seen {
    method: String,
    target: String,
    headers: HeaderMap,
    body: String,
}

impl Seen {
    fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?.to_str().unwrap();
        assert!(values.next().is_none(), "{name} is there twice");
        Some(value)
    }
}

/// A service behind the gateway, which notes every request and answers 299.
#[derive(Clone)]
struct Upstream {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Upstream {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = Self { address: listener.local_addr().unwrap(), seen: Arc::default() };
        let seen = Arc::clone(&upstream.seen);
        let router = Router::new().fallback(move |request: Request| async move {
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            let target = parts.uri.to_string();
            let body = String::from_utf8_lossy(&body).into_owned();
            let request = Seen { method: parts.method.to_string(), target, headers: parts.headers, body };
            seen.lock().unwrap().push(request);
            (StatusCode::from_u16(299).unwrap(), [("x-request-id", "the upstream's")], "from the upstream")
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        upstream
    }

    fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    fn last(&self) -> Seen {
        self.seen.lock().unwrap().last().unwrap().clone()
    }

    fn in_front(&self) -> Builder {
        let uri = format!("http://{}", self.address).parse().unwrap();
        TestServer::builder().configured(|config| config.gateway.upstream = Some(uri))
    }
}

/// Sends a request target exactly as it is written, which no proper client would. Answers the status.
async fn raw(server: &TestServer, method: &str, target: &str, token: Option<&Bearer>) -> u16 {
    let authorization =
        token.map_or_else(String::new, |token| format!("Authorization: Bearer {}\r\n", token.expose()));
    let request =
        format!("{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{authorization}\r\n");
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("{method} {target}: {answer}"))
}

#[tokio::test]
async fn the_upstream_is_told_who_calls_and_nothing_else() {
    let upstream = Upstream::start().await;
    let server = upstream.in_front().start().await;
    let people = server.people().await;
    let team = json!({ "name": "Größe, Co", "members": [people.manager.id] });
    server.as_(&people.admin.token).post("/api/teams", &team).await.expect(201);
    let mut client = server.as_(&people.manager.token).with("x-kept", "kept").with("connection", "x-dropped");
    let spoofed = [
        "X-Auth-User",
        "x-auth-role",
        "X-AUTH-TEAMS",
        "X-Auth-Assertion",
        "X-Auth-Anything",
        "X_Auth_User",
        "x_auth_role",
        "X-Auth_User",
        "X.Auth.User",
        "Proxy-Authorization",
        "X-Dropped",
        "TE",
        "Keep-Alive",
        "X_Forwarded_For",
    ];
    for name in spoofed {
        client = client.with(name, "spoofed");
    }
    let answer = client.post("/orders/7?a=%2F..&b=//", &json!({ "n": 1 })).await;
    assert_eq!(answer.expect(299).text(), "from the upstream");
    assert_ne!(answer.header("x-request-id"), Some("the upstream's"));

    let seen = upstream.last();
    assert_eq!((&*seen.method, &*seen.target, &*seen.body), ("POST", "/orders/7?a=%2F..&b=//", r#"{"n":1}"#));
    for (name, value) in &seen.headers {
        assert!(value != "spoofed", "{name} got through");
    }
    let id = people.manager.id.to_string();
    let token_id = people.manager.token_id.to_string();
    for (name, value) in [
        ("x-auth-user-id", Some(&*id)),
        ("x-auth-user", Some(&people.manager.user_id)),
        ("x-auth-email", Some("max.manager@example.com")),
        ("x-auth-role", Some("Manager")),
        ("x-auth-teams", Some("Public,Gr%C3%B6%C3%9Fe%2C%20Co")),
        ("x-auth-user-type", Some("Human")),
        ("x-auth-token-id", Some(&token_id)),
        ("x-kept", Some("kept")),
        ("authorization", None),
        ("x-auth-anything", None),
        ("x_auth_user", None),
        ("x-forwarded-for", Some("127.0.0.1")),
    ] {
        assert_eq!(seen.header(name), value, "{name}");
    }
}

#[tokio::test]
async fn the_authorization_is_passed_on_where_it_is_configured() {
    let upstream = Upstream::start().await;
    let server = upstream.in_front().configured(|config| config.gateway.forward_authorization = true);
    let server = server.start().await;
    let ada = server.person("Ada", Role::Member).await;
    server.as_(&ada.token).get("/x").await.expect(299);
    let expected = format!("Bearer {}", ada.token.expose());
    assert!(upstream.last().header("authorization") == Some(&expected), "the upstream did not get it");
}

#[tokio::test]
async fn the_assertion_is_signed_by_a_published_key() {
    let upstream = Upstream::start().await;
    let server =
        upstream.in_front().configured(|config| config.gateway.audience = "orders".into()).start().await;
    let people = server.people().await;
    let keys = server.client().get("/.well-known/jwks.json").await.expect(200).json();
    let mut ids = Vec::new();
    for account in [&people.member, &people.member, &people.service] {
        server.as_(&account.token).get("/x").await.expect(299);
        let seen = upstream.last();
        let assertion = seen.header("x-auth-assertion").unwrap();
        let header = jsonwebtoken::decode_header(assertion).unwrap();
        let key =
            keys["keys"].as_array().unwrap().iter().find(|key| key["kid"] == *header.kid.as_ref().unwrap());
        let key = key.expect("the key is published");
        let public = |name: &str| key[name].as_str().unwrap_or_default().to_owned();
        assert_eq!(
            [public("kty"), public("crv"), public("alg"), public("use")],
            ["OKP", "Ed25519", "EdDSA", "sig"]
        );
        assert!(key.get("d").is_none(), "the private part must not be published");
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&["orders"]);
        validation.set_issuer(&[PUBLIC_URL]);
        // The clock of the test stands still.
        validation.validate_exp = false;
        let decoding = DecodingKey::from_ed_components(key["x"].as_str().unwrap()).unwrap();
        let claims = jsonwebtoken::decode::<Value>(assertion, &decoding, &validation).unwrap().claims;
        let (email, name, user_type) = if account.id == people.member.id {
            ("mia.member@example.com", "Mia Member", "Human")
        } else {
            ("pipeline@service", "Pipeline", "Service")
        };
        assert_eq!(
            claims,
            json!({
                "iss": PUBLIC_URL, "aud": "orders", "sub": account.user_id, "email": email, "name": name, "role": "Member",
                "teams": ["Public"], "user_type": user_type, "token_id": account.token_id, "iat": START.seconds(),
                "exp": START.seconds() + 60, "jti": claims["jti"],
            })
        );
        ids.push(claims["jti"].as_str().unwrap().to_owned());
        // One letter changed, and it is nobody's.
        let mut forged = assertion.replace('.', ".e");
        forged.truncate(assertion.len());
        assert!(jsonwebtoken::decode::<Value>(&forged, &decoding, &validation).is_err());
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3, "an id is there twice");
}

/// What is told is as true as in an assertion of each request's own.
#[tokio::test]
async fn an_assertion_may_serve_a_second() {
    let upstream = Upstream::start().await;
    let server =
        upstream.in_front().configured(|config| config.gateway.reuse_assertions = true).start().await;
    let people = server.people().await;
    let told = async |account: &Account| {
        server.as_(&account.token).get("/x").await.expect(299);
        let seen = upstream.last();
        let assertion = seen.header("x-auth-assertion").unwrap().to_owned();
        let claims = jsonwebtoken::dangerous::insecure_decode::<Value>(&assertion).unwrap().claims;
        (assertion, claims)
    };
    let (first, _) = told(&people.member).await;
    assert_eq!(told(&people.member).await.0, first);
    let (_, other) = told(&people.service).await;
    assert_eq!(other["sub"], people.service.user_id);
    let made = server.as_(&people.member.token).post("/api/user-tokens", &json!({ "name": "second" })).await;
    let made = made.expect(201).json();
    let token = Bearer::new(made["bearer_token"].as_str().unwrap());
    let (_, second) = told(&Account { token, ..people.member.clone() }).await;
    assert_eq!(second["token_id"], made["id"]);

    let path = format!("/api/users/{}", people.member.id);
    let promoted = server.as_(&people.admin.token).put(&path, &json!({ "role": "Manager" })).await;
    promoted.expect(200);
    let (changed, claims) = told(&people.member).await;
    assert_eq!((changed != first, &claims["role"]), (true, &json!("Manager")));
    server.clock.turn_to(START.plus_seconds(1));
    let (later, claims) = told(&people.member).await;
    assert_ne!(later, changed);
    assert_eq!(claims["exp"], START.seconds() + 61);
    set_revoked(&server, &people.member.token, people.member.token_id, true).await;
    server.as_(&people.member.token).get("/x").await.problem(401);
}

#[tokio::test]
async fn the_token_comes_first_then_path_and_role() {
    let upstream = Upstream::start().await;
    let server = upstream.in_front().configured(|config| config.gateway.rules = rules()).start().await;
    let people = server.people().await;
    for path in ["/", "/orders", "/api/datastores", "/orders/a%2fb", "/reports/7"] {
        if path != "/" {
            let refused = server.client().get(path).await;
            refused.problem(401);
            server.as_(&Bearer::new("garbage")).get(path).await.problem(401);
        }
    }
    let (_, scim) = server.scim_token(&people.admin).await;
    server.as_(&scim).get("/orders").await.problem(403);
    set_revoked(&server, &people.manager.token, people.manager.token_id, true).await;
    server.as_(&people.manager.token).get("/orders").await.problem(401);
    let member = server.as_(&people.member.token);
    member.post("/orders", &json!({})).await.problem(403);
    member.get("/reports/7").await.problem(403);
    assert_eq!(raw(&server, "BREW", "/orders", Some(&people.member.token)).await, 403);
    assert_eq!(upstream.count(), 0);
    for (account, method, path) in [
        (&people.member, "GET", "/orders"),
        (&people.member, "HEAD", "/orders"),
        (&people.member, "OPTIONS", "/orders"),
        (&people.member, "POST", "/api/datastores/7"),
        (&people.admin, "POST", "/orders"),
        (&people.admin, "GET", "/reports/7"),
        (&people.admin, "BREW", "/orders"),
        (&people.member, "GET", "/metrics"),
        (&people.member, "GET", "/api"),
    ] {
        let before = upstream.count();
        assert_eq!(raw(&server, method, path, Some(&account.token)).await, 299, "{method} {path}");
        assert_eq!(upstream.count(), before + 1);
    }
}

#[tokio::test]
async fn a_path_that_can_be_read_in_two_ways_never_reaches_the_upstream() {
    let upstream = Upstream::start().await;
    let server = upstream.in_front().start().await;
    let admin = server.person("Ada", Role::Admin).await;
    for trick in PATH_TRICKS {
        assert_eq!(raw(&server, "GET", trick, Some(&admin.token)).await, 400, "{trick}");
        assert_eq!(raw(&server, "GET", &format!("{trick}?a"), Some(&admin.token)).await, 400, "{trick}");
    }
    let absolute = raw(&server, "GET", "http://other.example.com/a/../b", Some(&admin.token)).await;
    assert_eq!(absolute, 400);
    assert_eq!(upstream.count(), 0);
}

#[test]
fn no_route_of_ours_goes_upstream() {
    let described = tokenhouse::router::openapi().paths.paths.into_keys();
    let others = ["/", "/login", "/logout", "/setup/x", "/invite/x", "/settings/tokens", "/assets/x"];
    let more = ["/api/docs/", "/api/openapi.json", "/api/cli/authorize", "/scim/v2/Users", "/api/scim/v2/Me"];
    for path in described.chain([others.as_slice(), &more].concat().into_iter().map(String::from)) {
        assert!(!is_for_upstream(&path.replace(['{', '}'], "")), "{path}");
    }
}

#[tokio::test]
async fn what_is_ours_never_goes_upstream_in_any_spelling() {
    let upstream = Upstream::start().await;
    let server = upstream.in_front().start().await;
    let admin = server.person("Ada", Role::Admin).await;
    let ours = [
        "/api/users",
        "/api/user-tokens",
        "/api/teams",
        "/api/activity",
        "/api/activity.csv",
        "/api/status",
        "/api/openapi.json",
        "/api/docs",
        "/api/reviews",
        "/api/reviews.csv",
        "/api/cli",
        "/api/scim",
        "/scim",
        "/scim/v2",
        "/oauth",
        "/forward-auth",
        "/.well-known",
        "/.well-known/jwks.json",
        "/healthz",
        "/readyz",
    ];
    for prefix in ours {
        let letter = prefix.rfind('/').unwrap() + 1;
        let encoded =
            format!("{}%{:02x}{}", &prefix[..letter], prefix.as_bytes()[letter], &prefix[letter + 1..]);
        for spelling in [
            format!("{prefix}/nothing-here"),
            format!("{}/nothing-here", prefix.to_uppercase()),
            format!("{encoded}/nothing-here"),
            format!("{encoded}/nothing-here/"),
            format!("{prefix}//nothing-here"),
            format!("{prefix}%2fnothing-here"),
            format!("{prefix}/../x"),
            format!("/x/..{prefix}"),
            format!("/.{prefix}"),
            format!("//{}", &prefix[1..]),
            format!("http://x{prefix}/nothing-here"),
            encoded.clone(),
            prefix.to_uppercase(),
        ] {
            for (method, token) in
                [("GET", Some(&admin.token)), ("POST", Some(&admin.token)), ("PATCH", None)]
            {
                let status = raw(&server, method, &spelling, token).await;
                assert_ne!(status, 299, "{method} {spelling}");
                assert!(status < 500, "{method} {spelling}: {status}");
            }
        }
        // A token is not even looked at.
        assert_eq!(raw(&server, "GET", &format!("{prefix}/nothing/here"), None).await, 404, "{prefix}");
    }
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn without_an_upstream_there_is_nothing() {
    let server = TestServer::start().await;
    let admin = server.person("Ada", Role::Admin).await;
    for client in [server.client(), server.as_(&admin.token), server.as_(&Bearer::new("garbage"))] {
        for path in ["/orders", "/api", "/api/datastores", "/metrics", "/api/nothing"] {
            client.get(path).await.problem(404);
        }
    }
}

#[tokio::test]
async fn an_upstream_that_is_down_or_slow_is_told_as_a_problem() {
    // Accepts connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = {
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
        gone.local_addr().unwrap()
    };
    for (address, status) in [(silent.local_addr().unwrap(), 504), (nobody, 502)] {
        let server = TestServer::builder().configured(|config| {
            config.gateway.upstream = Some(format!("http://{address}").parse().unwrap());
            config.gateway.timeout = Duration::from_millis(50);
        });
        let server = server.start().await;
        let ada = server.person("Ada", Role::Member).await;
        server.as_(&ada.token).get("/orders").await.problem(status);
        server.client().get("/orders").await.problem(401);
    }
}

#[tokio::test]
async fn a_body_of_any_size_passes() {
    let upstream = Upstream::start().await;
    let server = upstream.in_front().start().await;
    let Account { token, .. } = server.person("Max", Role::Manager).await;
    let body = "x".repeat(3 * 1024 * 1024);
    server
        .as_(&token)
        .send(http::Method::PUT, "/files/1", Some("text/plain"), body.clone())
        .await
        .expect(299);
    assert!(upstream.last().body == body, "the body changed on its way");
}
