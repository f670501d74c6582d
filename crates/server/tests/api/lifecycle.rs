//! "Token lifecycle" of the contract, rule by rule.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::people::Role;
use tokenhouse_testkit::server::{PUBLIC_URL, START, TestServer};

use super::{forward_auth, generate, head, is_accepted, set_revoked, token};

on_both_databases!(
    rule_1_a_name_is_trimmed_normalized_limited_and_unique,
    rule_1_a_lifetime_lies_between_1_and_365_days,
    rule_2_the_secret_is_shown_once,
    rule_3_a_token_is_a_jwt_of_the_documented_form,
    rule_4_the_last_use_is_seen_at_once,
    rule_5_role_and_activity_of_the_owner_act_at_once,
    rule_6_a_token_is_refused_from_the_very_instant_of_its_expiry,
    rule_6_name_and_expiry_cannot_be_changed,
    rule_7_and_8_revoke_and_restore,
    rule_8_a_restored_token_that_has_expired_stays_refused,
    rule_9_only_a_dead_token_can_be_deleted,
    rule_12_a_dead_token_is_refused_and_told_why,
    ids_are_never_used_twice,
    current_is_the_presented_token,
);

async fn rule_1_a_name_is_trimmed_normalized_limited_and_unique(server: TestServer) {
    let ada = server.person("Ada", Role::Member).await;
    let made = generate(&server, &ada.token, "  cafe\u{301} ", None).await;
    assert_eq!(made.expect(201).json()["name"], "café");
    generate(&server, &ada.token, "café", None).await.problem(409);
    // Compared exactly.
    generate(&server, &ada.token, "Café", None).await.expect(201);
    generate(&server, &ada.token, &"é".repeat(255), None).await.expect(201);
    for wrong in ["", " \t ", "a\nb", "a\u{0}b", "a\u{85}b", &"é".repeat(256)] {
        let refused = generate(&server, &ada.token, wrong, None).await;
        assert_eq!(refused.wrong_fields(), ["name"], "{wrong:?}");
    }
    // Another owner's names are another matter.
    let ben = server.person("Ben", Role::Member).await;
    generate(&server, &ben.token, "café", None).await.expect(201);
    // Revoked and expired ones count.
    let revoked = generate(&server, &ada.token, "revoked", None).await.id();
    set_revoked(&server, &ada.token, revoked, true).await;
    generate(&server, &ada.token, "expired", Some(1)).await.expect(201);
    server.pass_days(2);
    for taken in ["revoked", "expired"] {
        generate(&server, &ada.token, taken, None).await.problem(409);
    }
}

async fn rule_1_a_lifetime_lies_between_1_and_365_days(server: TestServer) {
    let ada = server.person("Ada", Role::Member).await;
    for (days, expiration) in [
        (Some(1), json!("2026-01-16T10:30:00Z")),
        (Some(365), json!("2027-01-15T10:30:00Z")),
        (None, Value::Null),
    ] {
        let made = generate(&server, &ada.token, &format!("{days:?}"), days).await;
        let made = made.expect(201).json();
        assert_eq!(made["expiration"], expiration);
        assert_eq!(made["created"], "2026-01-15T10:30:00Z");
        assert_eq!((&made["active"], &made["status"]), (&json!(true), &json!("active")));
    }
    for days in [i64::MIN, -1, 0, 366, i64::MAX] {
        let refused = generate(&server, &ada.token, "wrong", Some(days)).await;
        assert_eq!(refused.wrong_fields(), ["expires_in_days"], "{days}");
    }
    // Absent is never, as null is.
    let made = server.as_(&ada.token).post("/api/user-tokens", &json!({ "name": "absent" })).await;
    assert_eq!(made.expect(201).json()["expiration"], Value::Null);
}

#[tokio::test]
async fn rule_1_a_policy_caps_the_lifetime_and_forbids_never() {
    let strict = TestServer::builder().configured(|config| {
        config.policy.max_lifetime_days = 30;
        config.policy.allow_never = false;
    });
    let server = strict.start().await;
    let ada = server.person("Ada", Role::Member).await;
    for (days, status) in [(Some(30), 201), (Some(31), 422), (None, 422)] {
        let answer = generate(&server, &ada.token, &format!("{days:?}"), days).await;
        answer.expect(status);
        if status == 422 {
            assert_eq!(answer.wrong_fields(), ["expires_in_days"]);
        }
    }
}

async fn rule_2_the_secret_is_shown_once(server: TestServer) {
    let admin = server.person("Ada", Role::Admin).await;
    let made = generate(&server, &admin.token, "secret", Some(30)).await;
    made.expect(201);
    let id = made.id();
    assert_eq!(made.header("cache-control"), Some("no-store"));
    assert_eq!(made.header("location"), Some(&*format!("/api/user-tokens/{id}")));
    let secret = made.bearer();
    let signature = secret.expose().rsplit('.').next().unwrap();
    let client = server.as_(&admin.token);
    set_revoked(&server, &admin.token, id, true).await;
    let revoked_use = server.as_(&secret).get("/api/user-tokens").await;
    for answer in [
        client.get("/api/user-tokens").await,
        client.get(&format!("/api/user-tokens/{id}")).await,
        client.get("/api/activity").await,
        client.get("/api/activity.csv").await,
        client.put(&format!("/api/user-tokens/{id}"), &json!({ "revoke": false })).await,
        revoked_use,
    ] {
        assert!(!answer.text().contains(signature), "{answer}");
        assert!(!answer.text().contains("bearer_token"), "{answer}");
    }
}

async fn rule_3_a_token_is_a_jwt_of_the_documented_form(server: TestServer) {
    let ada = server.person("Ada", Role::Member).await;
    let made = generate(&server, &ada.token, "form", Some(30)).await;
    let secret = made.expect(201).bearer();
    let prefix = tokenhouse_core::codec::SCANNER_PREFIX;
    assert!(secret.expose().starts_with(prefix) && ada.token.expose().starts_with(prefix));
    let parts: Vec<&str> = secret.expose().split('.').collect();
    assert_eq!(parts.len(), 3);
    let decoded = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).unwrap();
    let header = String::from_utf8(decoded(parts[0])).unwrap();
    assert!(header.starts_with(r#"{"alg":"HS256","typ":"JWT","kid":"th"#), "{header}");
    let claims: Value = serde_json::from_slice(&decoded(parts[1])).unwrap();
    let jti = claims["jti"].as_str().unwrap();
    assert_eq!(jti.len(), 22);
    assert_eq!(
        claims,
        json!({
            "iss": PUBLIC_URL, "sub": ada.user_id, "email": "ada@example.com", "name": "Ada", "jti": jti,
            "iat": START.seconds(), "exp": START.whole_second().plus_days(30).seconds(),
        })
    );
    let expiration = Timestamp::parse(made.json()["expiration"].as_str().unwrap()).unwrap();
    assert_eq!(expiration.seconds(), claims["exp"]);
    // Without an expiry there is no `exp`.
    let claims: Value =
        serde_json::from_slice(&decoded(ada.token.expose().split('.').nth(1).unwrap())).unwrap();
    assert!(claims.get("exp").is_none());
}

async fn rule_4_the_last_use_is_seen_at_once(server: TestServer) {
    let ada = server.person("Ada", Role::Member).await;
    let made = generate(&server, &ada.token, "used", None).await;
    let (id, secret) = (made.id(), made.bearer());
    assert_eq!(token(&server, &ada.token, id).await["last_used"], Value::Null);
    server.pass_days(1);
    assert!(is_accepted(&server, &secret).await);
    let seen = token(&server, &ada.token, id).await;
    assert_eq!(seen["last_used"], "2026-01-16T10:30:00.25Z");
    assert_eq!(seen["last_used_ip"], "127.0.0.1");
    // It survives a graceful stop.
    let server = server.restart().await;
    let seen = token(&server, &ada.token, id).await;
    assert_eq!(
        (&seen["last_used"], &seen["last_used_ip"]),
        (&json!("2026-01-16T10:30:00.25Z"), &json!("127.0.0.1"))
    );
}

async fn rule_5_role_and_activity_of_the_owner_act_at_once(server: TestServer) {
    let people = server.people().await;
    let admin = server.as_(&people.admin.token);
    for account in [&people.member, &people.service] {
        let path = format!("/api/users/{}", account.id);
        forward_auth(&server, &account.token, "POST").await.expect(403);
        admin.put(&path, &json!({ "role": "Manager" })).await.expect(200);
        let promoted = forward_auth(&server, &account.token, "POST").await;
        assert_eq!(promoted.expect(200).header("x-auth-role"), Some("Manager"));
        server.as_(&account.token).get("/api/users").await.expect(200);
        admin.put(&path, &json!({ "role": "Member" })).await.expect(200);
        forward_auth(&server, &account.token, "POST").await.expect(403);
        server.as_(&account.token).get("/api/users").await.problem(403);
    }
    let second = generate(&server, &people.member.token, "second", None).await;
    let third = generate(&server, &people.member.token, "third", Some(1)).await;
    let path = format!("/api/users/{}", people.member.id);
    admin.delete(&path).await.expect(204);
    for secret in [&people.member.token, &second.bearer(), &third.bearer()] {
        assert!(!is_accepted(&server, secret).await);
    }
    server.pass_days(1);
    admin.post(&format!("{path}/reactivate"), &json!({})).await.expect(200);
    // Back come those that are neither revoked nor expired.
    assert!(is_accepted(&server, &people.member.token).await);
    assert!(is_accepted(&server, &second.bearer()).await);
    assert!(!is_accepted(&server, &third.bearer()).await);
}

async fn rule_6_a_token_is_refused_from_the_very_instant_of_its_expiry(server: TestServer) {
    let ada = server.person("Ada", Role::Manager).await;
    let made = generate(&server, &ada.token, "short", Some(1)).await;
    let (id, secret) = (made.id(), made.bearer());
    let end = START.whole_second().plus_days(1);
    let introspect = || async {
        let form = [("token", secret.expose())];
        server.as_(&ada.token).post_form("/oauth/introspect", &form).await.expect(200).json()["active"]
            .clone()
    };
    server.clock.turn_to(Timestamp::from_micros(end.micros() - 1));
    assert!(is_accepted(&server, &secret).await);
    assert_eq!(introspect().await, true);
    assert_eq!(token(&server, &ada.token, id).await["status"], "active");
    server.clock.turn_to(end);
    assert!(!is_accepted(&server, &secret).await);
    assert_eq!(introspect().await, false);
    let expired = token(&server, &ada.token, id).await;
    assert_eq!((&expired["active"], &expired["status"]), (&json!(true), &json!("expired")));
    // Expired wins over revoked in what is shown.
    let both = set_revoked(&server, &ada.token, id, true).await;
    assert_eq!((&both["active"], &both["status"]), (&json!(false), &json!("expired")));
}

async fn rule_6_name_and_expiry_cannot_be_changed(server: TestServer) {
    let ada = server.person("Ada", Role::Member).await;
    let made = generate(&server, &ada.token, "fixed", Some(30)).await;
    let path = format!("/api/user-tokens/{}", made.id());
    let before = head(&server).await;
    for (field, value) in [
        ("name", json!("new")),
        ("expiration", json!("2030-01-01T00:00:00Z")),
        ("expires_in_days", json!(90)),
    ] {
        let refused = server.as_(&ada.token).put(&path, &json!({ "revoke": true, field: value })).await;
        assert_eq!(refused.wrong_fields(), [field]);
        assert!(refused.text().contains("can't be changed"), "{refused}");
    }
    assert_eq!(head(&server).await, before);
    assert!(is_accepted(&server, &made.bearer()).await);
}

async fn rule_7_and_8_revoke_and_restore(server: TestServer) {
    let ada = server.person("Ada", Role::Member).await;
    let made = generate(&server, &ada.token, "on and off", None).await;
    let (id, secret) = (made.id(), made.bearer());
    let revoked = set_revoked(&server, &ada.token, id, true).await;
    assert_eq!((&revoked["active"], &revoked["status"]), (&json!(false), &json!("revoked")));
    assert!(!is_accepted(&server, &secret).await);
    // What changes nothing writes nothing.
    let before = head(&server).await;
    set_revoked(&server, &ada.token, id, true).await;
    assert_eq!(head(&server).await, before);
    let restored = set_revoked(&server, &ada.token, id, false).await;
    assert_eq!((&restored["active"], &restored["status"]), (&json!(true), &json!("active")));
    assert!(is_accepted(&server, &secret).await);
    let before = head(&server).await;
    set_revoked(&server, &ada.token, id, false).await;
    assert_eq!(head(&server).await, before);
    // A token can revoke itself.
    server.as_(&secret).delete("/api/user-tokens/current").await.expect(204);
    assert!(!is_accepted(&server, &secret).await);
    // A restart changes nothing of it.
    let server = server.restart().await;
    assert!(!is_accepted(&server, &secret).await);
    assert!(is_accepted(&server, &ada.token).await);
}

async fn rule_8_a_restored_token_that_has_expired_stays_refused(server: TestServer) {
    let ada = server.person("Ada", Role::Member).await;
    let made = generate(&server, &ada.token, "short", Some(1)).await;
    set_revoked(&server, &ada.token, made.id(), true).await;
    server.pass_days(1);
    let restored = set_revoked(&server, &ada.token, made.id(), false).await;
    assert_eq!((&restored["active"], &restored["status"]), (&json!(true), &json!("expired")));
    assert_eq!(restored["expiration"], made.json()["expiration"]);
    assert!(!is_accepted(&server, &made.bearer()).await);
}

async fn rule_9_only_a_dead_token_can_be_deleted(server: TestServer) {
    let ada = server.person("Ada", Role::Member).await;
    let client = server.as_(&ada.token);
    let revoked = generate(&server, &ada.token, "revoked", None).await;
    let expired = generate(&server, &ada.token, "expired", Some(1)).await;
    for made in [&revoked, &expired] {
        client.delete(&format!("/api/user-tokens/{}", made.id())).await.problem(400);
        assert!(is_accepted(&server, &made.bearer()).await);
    }
    set_revoked(&server, &ada.token, revoked.id(), true).await;
    server.pass_days(1);
    for (made, name) in [(&revoked, "revoked"), (&expired, "expired")] {
        let path = format!("/api/user-tokens/{}", made.id());
        client.delete(&path).await.expect(204);
        client.get(&path).await.problem(404);
        client.delete(&path).await.problem(404);
        client.put(&path, &json!({ "revoke": false })).await.problem(404);
        client.post(&format!("{path}/rotate"), &json!({})).await.problem(404);
        assert!(!is_accepted(&server, &made.bearer()).await);
        // The name is free again; the number isn't.
        let again = generate(&server, &ada.token, name, None).await;
        assert!(again.expect(201).id() > made.id());
    }
    let listed = client.get("/api/user-tokens").await.json();
    let names: Vec<&str> = listed.as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["expired", "revoked", "first"]);
}

async fn rule_12_a_dead_token_is_refused_and_told_why(server: TestServer) {
    let people = server.people().await;
    let admin = server.as_(&people.admin.token);
    let revoked = generate(&server, &people.manager.token, "revoked", None).await;
    set_revoked(&server, &people.manager.token, revoked.id(), true).await;
    let expired = generate(&server, &people.manager.token, "expired", Some(1)).await;
    admin.delete(&format!("/api/users/{}", people.member.id)).await.expect(204);
    server.pass_days(1);
    let deleted = generate(&server, &people.manager.token, "deleted", None).await;
    set_revoked(&server, &people.manager.token, deleted.id(), true).await;
    let path = format!("/api/user-tokens/{}", deleted.id());
    server.as_(&people.manager.token).delete(&path).await.expect(204);
    for (secret, told) in [
        (revoked.bearer(), "revoked"),
        (expired.bearer(), "expired"),
        (people.member.token.clone(), "deactivated"),
        (deleted.bearer(), "not valid"),
    ] {
        for answer in [
            server.as_(&secret).get("/api/user-tokens/current").await,
            forward_auth(&server, &secret, "GET").await,
        ] {
            let challenge = answer.expect(401).header("www-authenticate").unwrap();
            assert!(
                challenge.starts_with(r#"Bearer realm="tokenhouse", error="invalid_token""#),
                "{challenge}"
            );
            assert!(challenge.contains(told), "{challenge}");
        }
    }
}

async fn ids_are_never_used_twice(server: TestServer) {
    let ada = server.person("Ada", Role::Admin).await;
    let client = server.as_(&ada.token);
    let mut last = 0;
    for _ in 0..3 {
        let made = generate(&server, &ada.token, "again", None).await;
        assert!(made.expect(201).id() > last);
        last = made.id();
        set_revoked(&server, &ada.token, last, true).await;
        client.delete(&format!("/api/user-tokens/{last}")).await.expect(204);
    }
    let server = server.restart().await;
    assert!(generate(&server, &ada.token, "again", None).await.expect(201).id() > last);
    let client = server.as_(&ada.token);
    let mut last = 0;
    for _ in 0..3 {
        let team = client.post("/api/teams", &json!({ "name": "Data" })).await;
        assert!(team.expect(201).id() > last);
        last = team.id();
        client.delete(&format!("/api/teams/{last}")).await.expect(204);
    }
}

async fn current_is_the_presented_token(server: TestServer) {
    let people = server.people().await;
    for account in [&people.admin, &people.member, &people.service] {
        let client = server.as_(&account.token);
        let current = client.get("/api/user-tokens/current").await.expect(200).json();
        assert_eq!((&current["id"], &current["name"]), (&json!(account.token_id), &json!("first")));
        assert_eq!(current["user"]["user_id"], account.user_id);
        assert_eq!(current["last_used"], "2026-01-15T10:30:00.25Z");
        client.delete("/api/user-tokens/current").await.expect(204);
        client.get("/api/user-tokens/current").await.problem(401);
        client.delete("/api/user-tokens/current").await.problem(401);
    }
}
