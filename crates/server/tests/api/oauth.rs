//! Introspection (RFC 7662) and revocation (RFC 7009).

use serde_json::json;
use tokenhouse_core::people::Role;
use tokenhouse_testkit::server::{Bearer, PUBLIC_URL, START, TestServer};

use super::{generate, head, is_accepted, set_revoked};

on_both_databases!(
    a_good_token_is_described,
    what_is_not_good_is_just_inactive,
    whoever_holds_a_token_may_kill_it,
    what_is_gone_or_unknown_is_as_good_as_revoked,
);

async fn a_good_token_is_described(server: TestServer) {
    let people = server.people().await;
    let team = json!({ "name": "Data", "members": [people.member.id] });
    server.as_(&people.admin.token).post("/api/teams", &team).await.expect(201);
    let made = generate(&server, &people.member.token, "made", Some(30)).await;
    for caller in [&people.admin, &people.manager] {
        let client = server.as_(&caller.token);
        let answer = client.post_form("/oauth/introspect", &[("token", made.bearer().expose())]).await;
        assert_eq!(answer.expect(200).header("cache-control"), Some("no-store"));
        let told = answer.json();
        assert_eq!(
            told,
            json!({
                "active": true, "sub": people.member.user_id, "username": "mia.member@example.com",
                "email": "mia.member@example.com", "token_type": "Bearer", "iss": PUBLIC_URL,
                "iat": START.seconds(), "exp": START.whole_second().plus_days(30).seconds(), "jti": told["jti"],
                "role": "Member", "teams": ["Public", "Data"], "user_type": "Human", "scope": "api",
            })
        );
        assert!(told["jti"].is_string());
    }
    let (_, scim) = server.scim_token(&people.service).await;
    let hinted = [("token", scim.expose()), ("token_type_hint", "access_token"), ("x", "y")];
    let told =
        server.as_(&people.admin.token).post_form("/oauth/introspect", &hinted).await.expect(200).json();
    assert_eq!((&told["scope"], &told["username"]), (&json!("scim"), &json!("pipeline")));
    assert!(told.get("exp").is_none());
    // The present role counts, not that of the time the token was made.
    let path = format!("/api/users/{}", people.member.id);
    let change = json!({ "role": "Manager", "teams": [] });
    server.as_(&people.admin.token).put(&path, &change).await.expect(200);
    let form = [("token", made.bearer().expose().to_owned())];
    let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, &**value)).collect();
    let told = server.as_(&people.admin.token).post_form("/oauth/introspect", &form).await.json();
    assert_eq!((&told["role"], &told["teams"]), (&json!("Manager"), &json!(["Public"])));
}

async fn what_is_not_good_is_just_inactive(server: TestServer) {
    let people = server.people().await;
    let admin = server.as_(&people.admin.token);
    let revoked = generate(&server, &people.manager.token, "revoked", None).await;
    set_revoked(&server, &people.manager.token, revoked.id(), true).await;
    let expired = generate(&server, &people.manager.token, "expired", Some(1)).await;
    admin.delete(&format!("/api/users/{}", people.member.id)).await.expect(204);
    server.pass_days(1);
    let genuine = people.manager.token.expose();
    let forged = format!("{}A", &genuine[..genuine.len() - 1]);
    let others: Vec<String> = vec![forged, format!("{genuine} x"), format!("Bearer {genuine}")];
    let dead = [revoked.bearer(), expired.bearer(), people.member.token.clone(), Bearer::new("garbage")];
    for token in dead.iter().map(Bearer::expose).chain(others.iter().map(String::as_str)) {
        let answer = admin.post_form("/oauth/introspect", &[("token", token)]).await;
        assert_eq!(answer.expect(200).json(), json!({ "active": false }));
    }
    let padded = format!(" {genuine} ");
    for form in [&[("token", genuine)][..], &[("a", "%&+"), ("token", &padded)]] {
        assert_eq!(admin.post_form("/oauth/introspect", form).await.json()["active"], true);
    }
    assert_eq!(admin.get("/oauth/introspect").await.expect(405).header("allow"), Some("POST"));
}

async fn whoever_holds_a_token_may_kill_it(server: TestServer) {
    let people = server.people().await;
    // Without any other token; a personal one, a service token and a SCIM token.
    let (_, scim) = server.scim_token(&people.admin).await;
    for token in [&people.member.token, &people.service.token, &scim] {
        let before = head(&server).await;
        for _ in 0..2 {
            let answer = server.client().post_form("/oauth/revoke", &[("token", token.expose())]).await;
            assert!(answer.expect(200).body.is_empty());
        }
        assert_eq!(head(&server).await - before, 1, "the second time changes nothing");
        server.as_(token).get("/api/user-tokens/current").await.problem(401);
    }
    let record = server.as_(&people.admin.token).get("/api/activity?size=1").await.json()["items"][0].clone();
    assert_eq!((&record["action"], &record["entity"]["name"]), (&json!("token.revoked"), &json!("scim")));
    assert_eq!((&record["actor"]["id"], &record["via"]["kind"]), (&json!(people.admin.id), &json!("token")));
    assert_eq!(record["via"]["token_id"], record["entity"]["id"]);
}

async fn what_is_gone_or_unknown_is_as_good_as_revoked(server: TestServer) {
    let people = server.people().await;
    let admin = server.as_(&people.admin.token);
    let expired = generate(&server, &people.manager.token, "expired", Some(1)).await;
    let deleted = generate(&server, &people.manager.token, "deleted", None).await;
    set_revoked(&server, &people.manager.token, deleted.id(), true).await;
    let path = format!("/api/user-tokens/{}", deleted.id());
    server.as_(&people.manager.token).delete(&path).await.expect(204);
    admin.delete(&format!("/api/users/{}", people.member.id)).await.expect(204);
    server.pass_days(1);
    let before = head(&server).await;
    for unknown in ["garbage", "a.b.c", deleted.bearer().expose(), &"x".repeat(20_000), "\u{0}"] {
        server.client().post_form("/oauth/revoke", &[("token", unknown)]).await.expect(200);
    }
    assert_eq!(head(&server).await, before);
    // A dead token is revoked all the same: it must not come back with its owner.
    for token in [&expired.bearer(), &people.member.token] {
        server.client().post_form("/oauth/revoke", &[("token", token.expose())]).await.expect(200);
    }
    assert_eq!(head(&server).await - before, 2);
    admin.post(&format!("/api/users/{}/reactivate", people.member.id), &json!({})).await.expect(200);
    assert!(!is_accepted(&server, &people.member.token).await);
}

#[tokio::test]
async fn revocation_is_limited_per_address() {
    let server = TestServer::builder().configured(|config| {
        config.limits.revocations_per_minute = 3.try_into().unwrap();
    });
    let server = server.start().await;
    let ada = server.person("Ada", Role::Member).await;
    let from = |address: &str| server.client().with("x-forwarded-for", address);
    for _ in 0..3 {
        from("198.51.100.7").post_form("/oauth/revoke", &[("token", "x")]).await.expect(200);
    }
    let refused = from("198.51.100.7").post_form("/oauth/revoke", &[("token", ada.token.expose())]).await;
    refused.problem(429);
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert!(is_accepted(&server, &ada.token).await);
    from("198.51.100.8").post_form("/oauth/revoke", &[("token", ada.token.expose())]).await.expect(200);
    assert!(!is_accepted(&server, &ada.token).await);
}

#[tokio::test]
async fn failed_attempts_are_limited_and_genuine_tokens_are_not() {
    let server = TestServer::builder().configured(|config| {
        config.limits.failed_bearer_per_minute = 2.try_into().unwrap();
        // Nobody there: what isn't refused is 502.
        config.gateway.upstream = Some("http://127.0.0.1:1".parse().unwrap());
    });
    let server = server.start().await;
    let ada = server.person("Ada", Role::Admin).await;
    let wrong = server.as_(&Bearer::new("garbage"));
    wrong.get("/api/users/me").await.problem(401);
    wrong.get("/orders").await.problem(401);
    for path in ["/api/users/me", "/orders", "/api/activity"] {
        let refused = wrong.get(path).await;
        refused.problem(429);
        assert!(refused.header("retry-after").is_some());
    }
    let introspected = wrong.post_form("/oauth/introspect", &[("token", "x")]).await;
    introspected.problem(429);
    for _ in 0..5 {
        server.as_(&ada.token).get("/api/users/me").await.expect(200);
        server.client().get("/api/users/me").await.problem(401);
    }
    assert!(is_accepted(&server, &ada.token).await);
}
