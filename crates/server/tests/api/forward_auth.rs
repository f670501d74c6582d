//! `/forward-auth`: 200 with the caller in headers, 401 or 403, and nothing else ever.

use http::Method;
use serde_json::json;
use tokenhouse_core::people::Role;
use tokenhouse_testkit::client::{Answer, Client};
use tokenhouse_testkit::server::{Bearer, TestServer};

use super::{rules, set_revoked, token};

/// 200, 401 or 403, without a body and not to be kept.
#[track_caller]
fn status(answer: &Answer) -> u16 {
    assert!([200, 401, 403].contains(&answer.status), "{answer}");
    assert!(answer.body.is_empty(), "{answer}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer}");
    assert_eq!(answer.status == 401, answer.header("www-authenticate").is_some(), "{answer}");
    let told = answer.headers.keys().filter(|name| name.as_str().starts_with("x-auth-")).count();
    assert_eq!(told, if answer.status == 200 { 7 } else { 0 }, "{answer}");
    answer.status
}

fn with(client: &Client, headers: &[(&str, &str)]) -> Client {
    headers.iter().fold(client.clone(), |client, (name, value)| client.with(name, value))
}

#[tokio::test]
async fn the_original_request_comes_in_either_family_of_headers() {
    let server = TestServer::start().await;
    let member = server.person("Mia", Role::Member).await;
    let client = server.as_(&member.token);
    for (sent, expected) in [
        (&[("x-forwarded-method", "GET"), ("x-forwarded-uri", "/a")][..], 200),
        (&[("x-forwarded-method", "GET"), ("x-forwarded-uri", "/a?x=../..&y=//")], 200),
        (&[("x-original-method", "HEAD"), ("x-original-uri", "/a")], 200),
        (&[("x-original-method", "OPTIONS"), ("x-original-url", "https://api.example.com/a?b")], 200),
        (&[("x-original-method", "GET"), ("x-original-url", "https://api.example.com")], 200),
        // Everything but reading needs more than a Member, also what nobody has heard of.
        (&[("x-forwarded-method", "POST"), ("x-forwarded-uri", "/a")], 403),
        (&[("x-forwarded-method", "get"), ("x-forwarded-uri", "/a")], 403),
        (&[("x-forwarded-method", "PROPFIND"), ("x-forwarded-uri", "/a")], 403),
        // Missing, half, repeated.
        (&[], 403),
        (&[("x-forwarded-method", "GET")], 403),
        (&[("x-forwarded-uri", "/a")], 403),
        (&[("x-forwarded-method", ""), ("x-forwarded-uri", "")], 403),
        (&[("x-forwarded-method", "GET"), ("x-original-uri", "/a")], 403),
        (&[("x-forwarded-method", "GET"), ("x-forwarded-method", "GET"), ("x-forwarded-uri", "/a")], 403),
        (&[("x-forwarded-method", "GET"), ("x-forwarded-uri", "/a"), ("x-forwarded-uri", "/b")], 403),
        // Both families: equal, or refused.
        (
            &[
                ("x-forwarded-method", "GET"),
                ("x-forwarded-uri", "/a"),
                ("x-original-method", "GET"),
                ("x-original-uri", "/a"),
            ],
            200,
        ),
        (
            &[
                ("x-forwarded-method", "GET"),
                ("x-forwarded-uri", "/a"),
                ("x-original-method", "DELETE"),
                ("x-original-uri", "/a"),
            ],
            403,
        ),
        (&[("x-forwarded-method", "GET"), ("x-forwarded-uri", "/a"), ("x-original-method", "DELETE")], 403),
        (&[("x-forwarded-method", "GET"), ("x-forwarded-uri", "/a"), ("x-original-uri", "/b")], 403),
        (&[("x-original-method", "GET"), ("x-original-uri", "/a"), ("x-original-url", "http://h/b")], 403),
    ] {
        let answer = with(&client, sent).get("/forward-auth").await;
        assert_eq!(status(&answer), expected, "{sent:?}");
    }
}

#[tokio::test]
async fn a_path_that_can_be_read_in_two_ways_is_refused() {
    let server = TestServer::start().await;
    let admin = server.person("Ada", Role::Admin).await;
    let client = server.as_(&admin.token).with("x-forwarded-method", "GET");
    for trick in super::PATH_TRICKS {
        let answer = client.with("x-forwarded-uri", trick).get("/forward-auth").await;
        assert_eq!(status(&answer), 403, "{trick}");
    }
    for relative in ["a", "*", "example.com:443", "?a", "#"] {
        let answer = client.with("x-forwarded-uri", relative).get("/forward-auth").await;
        assert_eq!(status(&answer), 403, "{relative}");
    }
    for fine in ["/", "/a/", "/a//?b", "/%61", "/a%20b", "/Gr%C3%B6%C3%9Fe", "/a;b=c", "/...", "/a?%2f%00"] {
        let answer = client.with("x-forwarded-uri", fine).get("/forward-auth").await;
        let expected = if fine == "/a//?b" { 403 } else { 200 };
        assert_eq!(status(&answer), expected, "{fine}");
    }
}

#[tokio::test]
async fn the_rules_are_applied_first_match_first() {
    let server = TestServer::builder().configured(|config| config.gateway.rules = rules()).start().await;
    let people = server.people().await;
    for (method, path, lowest) in [
        ("POST", "/api/datastores", Role::Member),
        ("POST", "/api/datastores/", Role::Member),
        ("POST", "/API/DataStores/7/x", Role::Member),
        ("POST", "/api/%64atastores/7", Role::Member),
        ("PUT", "/api/datastores/7", Role::Manager),
        ("POST", "/api/datastores2", Role::Manager),
        ("GET", "/reports/7", Role::Admin),
        ("DELETE", "/reports/7/", Role::Admin),
        ("GET", "/reports", Role::Member),
        ("GET", "/reports/7/x", Role::Member),
        ("GET", "/", Role::Member),
    ] {
        for (account, role) in
            [(&people.member, Role::Member), (&people.manager, Role::Manager), (&people.admin, Role::Admin)]
        {
            let client = with(
                &server.as_(&account.token),
                &[("x-forwarded-method", method), ("x-forwarded-uri", path)],
            );
            let expected = if role >= lowest { 200 } else { 403 };
            assert_eq!(status(&client.get("/forward-auth").await), expected, "{role} {method} {path}");
        }
    }
}

#[tokio::test]
async fn the_caller_is_told_in_headers() {
    let server = TestServer::start().await;
    let people = server.people().await;
    let admin = server.as_(&people.admin.token);
    for name in ["Größe & Co", "Data, Ops", "a%2Cb"] {
        admin.post("/api/teams", &json!({ "name": name, "members": [people.member.id] })).await.expect(201);
    }
    let headers = [("x-forwarded-method", "GET"), ("x-forwarded-uri", "/a"), ("x-auth-role", "Admin")];
    let asked = with(&server.as_(&people.member.token), &headers).get("/forward-auth").await;
    asked.expect(200);
    let id = people.member.id.to_string();
    let token_id = people.member.token_id.to_string();
    for (name, value) in [
        ("x-auth-user-id", &*id),
        ("x-auth-user", &people.member.user_id),
        ("x-auth-email", "mia.member@example.com"),
        ("x-auth-role", "Member"),
        ("x-auth-teams", "Public,a%252Cb,Data%2C%20Ops,Gr%C3%B6%C3%9Fe%20%26%20Co"),
        ("x-auth-user-type", "Human"),
        ("x-auth-token-id", &*token_id),
    ] {
        assert_eq!(asked.header(name), Some(value), "{name}");
    }
    let service = with(&server.as_(&people.service.token), &headers[..2]).get("/forward-auth").await;
    assert_eq!(service.expect(200).header("x-auth-user-type"), Some("Service"));
    assert_eq!(service.header("x-auth-user"), Some("pipeline@service"));
    assert_eq!(service.header("x-auth-email"), Some("pipeline@service"));
}

#[tokio::test]
async fn every_method_is_answered_alike() {
    let server = TestServer::start().await;
    let member = server.person("Mia", Role::Member).await;
    let client =
        with(&server.as_(&member.token), &[("x-forwarded-method", "GET"), ("x-forwarded-uri", "/a")]);
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "X"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let answer = client.send(method.clone(), "/forward-auth", Some("text/plain"), "x").await;
        assert_eq!(status(&answer), 200, "{method}");
        let answer = server.client().send(method.clone(), "/forward-auth?x=%zz", None, "").await;
        assert_eq!(status(&answer), 401, "{method}");
    }
}

#[tokio::test]
async fn no_token_no_entry_however_often() {
    let server = TestServer::builder().configured(|config| {
        config.limits.failed_bearer_per_minute = 2.try_into().unwrap();
    });
    let server = server.start().await;
    let people = server.people().await;
    let original = [("x-forwarded-method", "GET"), ("x-forwarded-uri", "/a")];
    let forged = format!("{}x", people.admin.token.expose());
    for attempt in 0..20 {
        for wrong in ["", "garbage", "a.b.c", &forged, &"x".repeat(9_000)] {
            let asked = with(&server.as_(&Bearer::new(wrong)), &original).get("/forward-auth").await;
            assert_eq!(status(&asked), 401, "attempt {attempt}");
        }
    }
    // No token at all is told so without an error (RFC 6750, section 3.1).
    let asked = with(&server.client(), &original).get("/forward-auth").await;
    assert_eq!(asked.expect(401).header("www-authenticate"), Some(r#"Bearer realm="tokenhouse""#));
    let basic =
        with(&server.client().with("authorization", "Basic YTpi"), &original).get("/forward-auth").await;
    assert_eq!(status(&basic), 401);
    let twice = server.as_(&people.admin.token).with("authorization", "Bearer x");
    assert_eq!(status(&with(&twice, &original).get("/forward-auth").await), 401);
    // 401 comes first, whatever else is wrong.
    assert_eq!(status(&server.client().get("/forward-auth").await), 401);
    set_revoked(&server, &people.admin.token, people.admin.token_id, true).await;
    assert_eq!(status(&server.as_(&people.admin.token).get("/forward-auth").await), 401);
    let (_, scim) = server.scim_token(&people.service).await;
    assert_eq!(status(&with(&server.as_(&scim), &original).get("/forward-auth").await), 403);
}

#[tokio::test]
async fn the_address_is_taken_from_trusted_proxies_only() {
    for (trusted, sent, seen) in [
        (&["127.0.0.1/32"][..], &["198.51.100.7"][..], "198.51.100.7"),
        (&["127.0.0.1/32"], &["1.1.1.1, 198.51.100.7"], "198.51.100.7"),
        (&["127.0.0.1/32", "10.0.0.0/8"], &["1.1.1.1", "198.51.100.7, 10.0.0.3"], "198.51.100.7"),
        (&["127.0.0.1/32"], &["nonsense"], "127.0.0.1"),
        (&["127.0.0.1/32"], &["2001:db8::7"], "2001:db8::7"),
        (&[], &["198.51.100.7"], "127.0.0.1"),
        (&["10.0.0.0/8"], &["198.51.100.7"], "127.0.0.1"),
    ] {
        let server = TestServer::builder().configured(|config| {
            config.server.trusted_proxies = trusted.iter().map(|network| network.parse().unwrap()).collect();
        });
        let server = server.start().await;
        let people = server.people().await;
        let sent: Vec<(&str, &str)> = sent.iter().map(|value| ("x-forwarded-for", *value)).collect();
        let original = [("x-forwarded-method", "GET"), ("x-forwarded-uri", "/a")];
        let client = with(&with(&server.as_(&people.service.token), &original), &sent);
        assert_eq!(status(&client.get("/forward-auth").await), 200);
        let shown = token(&server, &people.admin.token, people.service.token_id).await;
        assert_eq!(shown["last_used_ip"], seen, "{trusted:?} {sent:?}");
    }
}
