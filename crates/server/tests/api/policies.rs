//! What Admins settle for all tokens.

use serde_json::json;
use tokenhouse_core::people::Role;
use tokenhouse_testkit::server::{Bearer, TestServer};

use super::{generate, head, set_revoked};

on_both_databases!(
    policies_are_settled_in_part_and_recorded,
    lifetimes_hold_for_each_kind,
    a_service_user_needs_a_purpose_and_an_owner,
    a_revoke_can_be_undone_within_its_window,
    what_is_wrong_is_told_at_its_field,
);

async fn settle(server: &TestServer, with: &Bearer, change: &serde_json::Value) {
    server.as_(with).put("/api/policies", change).await.expect(200);
}

async fn policies_are_settled_in_part_and_recorded(server: TestServer) {
    let ada = server.person("Ada", Role::Admin).await;
    let before = server.as_(&ada.token).get("/api/policies").await.expect(200).json();
    assert_eq!(
        before,
        json!({
            "personal": { "max_lifetime_days": 365, "allow_never": true },
            "service": { "max_lifetime_days": 365, "allow_never": true },
            "default_expires_in_days": 90,
            "revoke_unused_after_days": null,
            "require_purpose_and_owner": false,
            "restore_within_days": null,
            "restore_leaked": false,
        })
    );
    let change = json!({ "service": { "allow_never": false }, "revoke_unused_after_days": 90 });
    let after = server.as_(&ada.token).put("/api/policies", &change).await.expect(200).json();
    assert_eq!(after["service"], json!({ "max_lifetime_days": 365, "allow_never": false }));
    assert_eq!((&after["personal"], &after["revoke_unused_after_days"]), (&before["personal"], &json!(90)));
    let record =
        &server.as_(&ada.token).get("/api/activity?entity=policy").await.expect(200).json()["items"][0];
    assert_eq!(record["action"], "policy.updated");
    assert_eq!(
        record["changes"],
        json!({ "service.allow_never": [true, false], "revoke_unused_after_days": [null, 90] })
    );
    let seq = head(&server).await;
    settle(&server, &ada.token, &change).await;
    assert_eq!(head(&server).await, seq, "what changes nothing writes nothing");
    settle(&server, &ada.token, &json!({ "revoke_unused_after_days": null })).await;
    let server = server.restart().await;
    let kept = server.as_(&ada.token).get("/api/policies").await.expect(200).json();
    assert_eq!(
        (&kept["service"]["allow_never"], &kept["revoke_unused_after_days"]),
        (&json!(false), &json!(null))
    );
}

async fn lifetimes_hold_for_each_kind(server: TestServer) {
    let (ada, robot) =
        (server.person("Ada", Role::Admin).await, server.service_user("R", Role::Member).await);
    let change = json!({ "personal": { "max_lifetime_days": 30 }, "service": { "allow_never": false } });
    settle(&server, &ada.token, &change).await;
    generate(&server, &ada.token, "long", Some(31)).await.expect(422);
    generate(&server, &ada.token, "short", Some(30)).await.expect(201);
    generate(&server, &ada.token, "endless", None).await.expect(201);
    let service = |days: Option<i64>| json!({ "name": "s", "expires_in_days": days, "user_id": robot.id });
    let refused = server.as_(&ada.token).post("/api/user-tokens", &service(None)).await.expect(422).json();
    assert_eq!(refused["errors"][0]["field"], "expires_in_days");
    server.as_(&ada.token).post("/api/user-tokens", &service(Some(365))).await.expect(201);
    // A successor has what is allowed now.
    let path = format!("/api/user-tokens/{}/rotate", robot.token_id);
    let successor = server.as_(&ada.token).post(&path, &json!({})).await.expect(201).json();
    assert!(successor["expiration"].is_string(), "{successor}");
}

async fn a_service_user_needs_a_purpose_and_an_owner(server: TestServer) {
    let (ada, robot) =
        (server.person("Ada", Role::Admin).await, server.service_user("R", Role::Member).await);
    settle(&server, &ada.token, &json!({ "require_purpose_and_owner": true })).await;
    let wanted = json!({ "name": "New", "role": "Member", "purpose": "deploys" });
    let refused = server.as_(&ada.token).post("/api/users", &wanted).await.expect(422).json();
    assert_eq!(refused["errors"][0]["field"], "owner");
    let complete = json!({ "name": "New", "role": "Member", "purpose": "deploys", "owner": "team" });
    server.as_(&ada.token).post("/api/users", &complete).await.expect(201);
    // People have neither.
    let person = json!({ "name": "P", "role": "Member", "user_type": "Human", "email": "p@example.com" });
    server.as_(&ada.token).post("/api/users", &person).await.expect(201);
    // Who was here before may stay, until somebody touches that.
    let path = format!("/api/users/{}", robot.id);
    server.as_(&ada.token).put(&path, &json!({ "role": "Manager" })).await.expect(200);
    server.as_(&ada.token).put(&path, &json!({ "owner": "team" })).await.expect(422);
    server.as_(&ada.token).put(&path, &json!({ "owner": "team", "purpose": "x" })).await.expect(200);
    server.as_(&ada.token).put(&path, &json!({ "purpose": "" })).await.expect(422);
}

async fn a_revoke_can_be_undone_within_its_window(server: TestServer) {
    let ada = server.person("Ada", Role::Admin).await;
    settle(&server, &ada.token, &json!({ "restore_within_days": 7 })).await;
    let id = generate(&server, &ada.token, "t", None).await.expect(201).id();
    set_revoked(&server, &ada.token, id, true).await;
    server.pass_days(6);
    set_revoked(&server, &ada.token, id, false).await;
    set_revoked(&server, &ada.token, id, true).await;
    server.pass_days(7);
    let path = format!("/api/user-tokens/{id}");
    let refused = server.as_(&ada.token).put(&path, &json!({ "revoke": false })).await.expect(409).json();
    assert!(refused["detail"].as_str().unwrap().contains("7 days"), "{refused}");
    settle(&server, &ada.token, &json!({ "restore_within_days": null })).await;
    set_revoked(&server, &ada.token, id, false).await;
}

async fn what_is_wrong_is_told_at_its_field(server: TestServer) {
    let ada = server.person("Ada", Role::Admin).await;
    for (change, field) in [
        (json!({ "personal": { "max_lifetime_days": 0 } }), "personal.max_lifetime_days"),
        (json!({ "service": { "max_lifetime_days": 366 } }), "service.max_lifetime_days"),
        (json!({ "default_expires_in_days": 0 }), "default_expires_in_days"),
        (json!({ "revoke_unused_after_days": 13 }), "revoke_unused_after_days"),
        (json!({ "restore_within_days": -1 }), "restore_within_days"),
        (json!({ "restore_leaked": null, "restore_wihin_days": 1 }), "restore_wihin_days"),
    ] {
        let refused = server.as_(&ada.token).put("/api/policies", &change).await.expect(422).json();
        assert_eq!(refused["errors"][0]["field"], field, "{refused}");
    }
}

#[tokio::test]
async fn nothing_goes_beyond_the_configuration() {
    let server = TestServer::builder()
        .configured(|config| {
            config.policy.max_lifetime_days = 30;
            config.policy.allow_never = false;
        })
        .start()
        .await;
    let ada = server.person("Ada", Role::Admin).await;
    let told = server.as_(&ada.token).get("/api/policies").await.expect(200).json();
    assert_eq!(told["personal"], json!({ "max_lifetime_days": 30, "allow_never": false }));
    for (change, field) in [
        (json!({ "personal": { "max_lifetime_days": 31 } }), "personal.max_lifetime_days"),
        (json!({ "service": { "allow_never": true } }), "service.allow_never"),
    ] {
        let refused = server.as_(&ada.token).put("/api/policies", &change).await.expect(422).json();
        assert_eq!(refused["errors"][0]["field"], field, "{refused}");
    }
    settle(&server, &ada.token, &json!({ "personal": { "max_lifetime_days": 7 } })).await;
    generate(&server, &ada.token, "t", Some(8)).await.expect(422);
}
