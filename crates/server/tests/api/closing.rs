//! Tokens that are revoked by themselves, at their instant and not before, and never while they are used.

use std::sync::Arc;

use serde_json::{Value, json};
use tokenhouse::service::tokens::closing::{close_the_quiet, revoke_the_unused};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::TokenId;
use tokenhouse_core::index::Use;
use tokenhouse_core::people::Role;
use tokenhouse_store::usage;
use tokenhouse_testkit::client::Answer;
use tokenhouse_testkit::server::{Bearer, TestServer};

use super::{forward_auth, generate, head, is_accepted, set_revoked, tamper, token};

on_both_databases!(
    an_old_token_closes_once_it_is_quiet_and_never_before,
    nothing_closes_without_a_successor_that_works,
    a_use_that_is_not_written_yet_keeps_a_token,
    a_use_that_another_node_has_noted_keeps_a_token,
    a_deadline_only_warns,
    unused_tokens_are_announced_and_then_revoked,
    a_use_takes_an_announcement_back,
    a_use_that_is_told_late_delays_the_revoke,
    a_retry_of_a_rotation_makes_no_second_token,
    rotations_at_once_leave_one_successor,
    a_restore_never_makes_a_second_successor,
    an_announcement_ends_with_a_restore_and_with_the_policy,
);

async fn rotate(server: &TestServer, with: &Bearer, id: i64, wanted: &Value) -> Answer {
    server.as_(with).post(&format!("/api/user-tokens/{id}/rotate"), wanted).await
}

fn turn_to_just_before(server: &TestServer, at: Timestamp) {
    server.clock.turn_to(Timestamp::from_micros(at.micros() - 1));
}

async fn is_active(server: &TestServer, with: &Bearer, id: i64) -> bool {
    token(server, with, id).await["active"].as_bool().unwrap()
}

async fn an_old_token_closes_once_it_is_quiet_and_never_before(server: TestServer) {
    let server = server.without_background().await;
    let ada = server.person("Ada", Role::Admin).await;
    let made = generate(&server, &ada.token, "old", None).await;
    let (id, old) = (made.expect(201).id(), made.bearer());
    rotate(&server, &ada.token, id, &json!({ "close_when_quiet": { "hours": 24 } })).await.expect(201);
    let rotated = server.clock.now();
    turn_to_just_before(&server, rotated.plus_hours(24));
    assert_eq!(close_the_quiet(&server.app).await.unwrap(), 0);
    // Used: the hours begin anew.
    let used = server.clock.now();
    forward_auth(&server, &old, "GET").await.expect(200);
    server.clock.turn_to(rotated.plus_hours(24));
    assert_eq!(close_the_quiet(&server.app).await.unwrap(), 0);
    let told = token(&server, &ada.token, id).await;
    assert_eq!(told["rotation"]["close_when_quiet"]["closes_at"], json!(used.plus_hours(24)));
    turn_to_just_before(&server, used.plus_hours(24));
    assert_eq!(close_the_quiet(&server.app).await.unwrap(), 0);
    assert!(is_active(&server, &ada.token, id).await);
    server.clock.turn_to(used.plus_hours(24));
    assert_eq!(close_the_quiet(&server.app).await.unwrap(), 1);
    assert!(!is_accepted(&server, &old).await);
    let record = &server.as_(&ada.token).get("/api/activity?action=token.revoked").await.json()["items"][0];
    assert_eq!((&record["via"]["kind"], &record["entity"]["id"]), (&json!("system"), &json!(id)));
    assert_eq!(record["changes"]["reason"], json!([null, "unused for 24 hours after its rotation"]));
    // Restored, it stays.
    set_revoked(&server, &ada.token, id, false).await;
    server.pass_days(30);
    assert_eq!(close_the_quiet(&server.app).await.unwrap(), 0);
}

async fn nothing_closes_without_a_successor_that_works(server: TestServer) {
    let server = server.without_background().await;
    let ada = server.person("Ada", Role::Admin).await;
    let id = generate(&server, &ada.token, "old", None).await.expect(201).id();
    let path = format!("/api/user-tokens/{id}/rotation");
    let closing = json!({ "close_when_quiet": { "hours": 1 } });
    server.as_(&ada.token).put(&path, &closing).await.expect(409);
    let successor = rotate(&server, &ada.token, id, &json!({})).await.expect(201).id();
    server.as_(&ada.token).put(&path, &closing).await.expect(200);
    set_revoked(&server, &ada.token, successor, true).await;
    server.pass_days(2);
    assert_eq!(close_the_quiet(&server.app).await.unwrap(), 0);
    assert!(is_active(&server, &ada.token, id).await);
    set_revoked(&server, &ada.token, successor, false).await;
    // Taken back.
    server.as_(&ada.token).put(&path, &json!({ "close_when_quiet": null })).await.expect(200);
    assert_eq!(close_the_quiet(&server.app).await.unwrap(), 0);
    server.as_(&ada.token).put(&path, &closing).await.expect(200);
    server.pass_days(1);
    assert_eq!(close_the_quiet(&server.app).await.unwrap(), 1);
    let refused = server.as_(&ada.token).put(&path, &closing).await.expect(409).json();
    assert_eq!(refused["detail"], "the token does not work any more");
    for hours in [0, 2_161] {
        let wanted = json!({ "close_when_quiet": { "hours": hours } });
        let refused = server.as_(&ada.token).put(&path, &wanted).await.expect(422).json();
        assert_eq!(refused["errors"][0]["field"], "close_when_quiet.hours");
    }
}

/// Checks go on while it is closed over and over: what was accepted last was never revoked for being quiet.
async fn a_use_that_is_not_written_yet_keeps_a_token(server: TestServer) {
    let server = Arc::new(server.without_background().await);
    let ada = server.person("Ada", Role::Admin).await;
    let made = generate(&server, &ada.token, "old", None).await;
    let (id, old) = (made.expect(201).id(), made.bearer());
    rotate(&server, &ada.token, id, &json!({ "close_when_quiet": { "hours": 1 } })).await.expect(201);
    for _ in 0..20 {
        // Just not quiet for an hour.
        server.clock.turn_to(server.clock.now().plus_seconds(3_599));
        let (checked, closed) =
            tokio::join!(forward_auth(&server, &old, "GET"), close_the_quiet(&server.app));
        checked.expect(200);
        assert_eq!(closed.unwrap(), 0);
    }
    // Nothing of this is in the store.
    let stored = {
        let mut reader = server.app.store.read().await.unwrap();
        tokenhouse_store::tokens::find(&mut reader, TokenId(id)).await.unwrap().unwrap()
    };
    assert_eq!(stored.last_used_at, None);
    // At the instant itself either the check comes first, and it stays, or the close.
    server.clock.turn_to(server.clock.now().plus_hours(1));
    let (checked, closed) = tokio::join!(forward_auth(&server, &old, "GET"), close_the_quiet(&server.app));
    match (checked.status, closed.unwrap()) {
        (200, 0) => assert!(is_accepted(&server, &old).await),
        (200 | 401, 1) => assert!(!is_accepted(&server, &old).await),
        other => panic!("{other:?}"),
    }
}

async fn a_use_that_another_node_has_noted_keeps_a_token(server: TestServer) {
    let server = server.without_background().await;
    let ada = server.person("Ada", Role::Admin).await;
    let id = generate(&server, &ada.token, "old", None).await.expect(201).id();
    rotate(&server, &ada.token, id, &json!({ "close_when_quiet": { "hours": 1 } })).await.expect(201);
    server.clock.turn_to(server.clock.now().plus_seconds(1_800));
    let used = Use { at: server.clock.now(), ip: [192, 0, 2, 1].into() };
    usage::record(&server.app.store, &[(TokenId(id), used)]).await.unwrap();
    server.clock.turn_to(server.clock.now().plus_seconds(3_599));
    assert_eq!(close_the_quiet(&server.app).await.unwrap(), 0);
    server.clock.turn_to(server.clock.now().plus_seconds(1));
    assert_eq!(close_the_quiet(&server.app).await.unwrap(), 1);
}

async fn a_deadline_only_warns(server: TestServer) {
    let server = server.without_background().await;
    let (ada, robot) =
        (server.person("Ada", Role::Admin).await, server.service_user("R", Role::Member).await);
    let closing = json!({ "close_when_quiet": { "hours": 24, "deadline_days": 14 } });
    rotate(&server, &ada.token, robot.token_id, &closing).await.expect(201);
    let deadline = server.clock.now().plus_days(14);
    for _ in 0..28 {
        server.clock.turn_to(server.clock.now().plus_hours(12));
        forward_auth(&server, &robot.token, "GET").await.expect(200);
        assert_eq!(close_the_quiet(&server.app).await.unwrap(), 0);
    }
    let path = "/api/reviews?rule=rotation_unfinished";
    let findings = server.as_(&ada.token).get(path).await.expect(200).json();
    assert_eq!(findings["items"][0]["token"]["id"], json!(robot.token_id));
    assert_eq!(findings["items"][0]["since"], json!(deadline));
    assert!(is_accepted(&server, &robot.token).await, "it only warns");
    server.clock.turn_to(Timestamp::from_micros(deadline.micros() - 1));
    assert_eq!(server.as_(&ada.token).get(path).await.expect(200).json()["total"], 0);
}

async fn unused_tokens_are_announced_and_then_revoked(server: TestServer) {
    let server = server.without_background().await;
    let ada = server.person("Ada", Role::Admin).await;
    let made = generate(&server, &ada.token, "idle", None).await;
    let (id, idle) = (made.expect(201).id(), made.bearer());
    let start = server.clock.now().whole_second();
    // Off by default.
    server.pass_days(400);
    assert_eq!(revoke_the_unused(&server.app).await.unwrap(), (0, 0));
    // Used, so that it isn't among the unused; Ada's own token is used by every call of hers.
    server.clock.turn_to(start);
    let policy = json!({ "revoke_unused_after_days": 30 });
    server.as_(&ada.token).put("/api/policies", &policy).await.expect(200);
    turn_to_just_before(&server, start.plus_days(23));
    assert_eq!(revoke_the_unused(&server.app).await.unwrap(), (0, 0));
    server.clock.turn_to(start.plus_days(23));
    server.as_(&ada.token).get("/api/users/me").await.expect(200);
    assert_eq!(revoke_the_unused(&server.app).await.unwrap(), (1, 0));
    assert_eq!(revoke_the_unused(&server.app).await.unwrap(), (0, 0), "announced once");
    let record =
        &server.as_(&ada.token).get("/api/activity?action=token.idle_announced").await.json()["items"][0];
    assert_eq!(record["entity"]["id"], json!(id));
    assert_eq!(record["changes"]["revoked_if_unused_at"], json!([null, start.plus_days(30)]));
    turn_to_just_before(&server, start.plus_days(30));
    assert_eq!(revoke_the_unused(&server.app).await.unwrap(), (0, 0));
    server.clock.turn_to(start.plus_days(30));
    assert_eq!(revoke_the_unused(&server.app).await.unwrap(), (0, 1));
    assert!(!is_accepted(&server, &idle).await);
    let seq = head(&server).await;
    server.pass_days(10);
    server.as_(&ada.token).get("/api/users/me").await.expect(200);
    assert_eq!(revoke_the_unused(&server.app).await.unwrap(), (0, 0));
    assert_eq!(head(&server).await, seq);
}

async fn a_use_takes_an_announcement_back(server: TestServer) {
    let server = server.without_background().await;
    let ada = server.person("Ada", Role::Admin).await;
    let made = generate(&server, &ada.token, "idle", None).await;
    let (id, idle) = (made.expect(201).id(), made.bearer());
    server.pass_days(300);
    let policy = json!({ "revoke_unused_after_days": 30 });
    server.as_(&ada.token).put("/api/policies", &policy).await.expect(200);
    // Long unused when the policy came: seven days all the same.
    assert_eq!(revoke_the_unused(&server.app).await.unwrap(), (1, 0));
    turn_to_just_before(&server, server.clock.now().plus_days(7));
    assert_eq!(revoke_the_unused(&server.app).await.unwrap(), (0, 0));
    forward_auth(&server, &idle, "GET").await.expect(200);
    let used = server.clock.now();
    server.clock.turn_to(used.plus_days(1));
    assert_eq!(revoke_the_unused(&server.app).await.unwrap(), (0, 0));
    server.clock.turn_to(used.plus_days(23));
    server.as_(&ada.token).get("/api/users/me").await.expect(200);
    assert_eq!(revoke_the_unused(&server.app).await.unwrap(), (1, 0), "announced again");
    server.clock.turn_to(used.plus_days(30));
    assert_eq!(revoke_the_unused(&server.app).await.unwrap(), (0, 1));
    assert!(!is_active(&server, &ada.token, id).await);
}

/// Another server of the fleet writes only now that it was used before the announcement.
async fn a_use_that_is_told_late_delays_the_revoke(server: TestServer) {
    let server = server.without_background().await;
    let ada = server.person("Ada", Role::Admin).await;
    let id = generate(&server, &ada.token, "idle", None).await.expect(201).id();
    let start = server.clock.now().whole_second();
    let policy = json!({ "revoke_unused_after_days": 30 });
    server.as_(&ada.token).put("/api/policies", &policy).await.expect(200);
    let revoke_at = async |days: i64, micros: i64| {
        server.clock.turn_to(Timestamp::from_micros(start.plus_days(days).micros() + micros));
        server.as_(&ada.token).get("/api/users/me").await.expect(200);
        revoke_the_unused(&server.app).await.unwrap()
    };
    assert_eq!(revoke_at(23, 0).await, (1, 0));
    let used = Use { at: start.plus_days(20), ip: [192, 0, 2, 1].into() };
    usage::record(&server.app.store, &[(TokenId(id), used)]).await.unwrap();
    for (days, micros) in [(30, 0), (43, 0), (50, -1)] {
        assert_eq!(revoke_at(days, micros).await, (0, 0), "{days}");
    }
    // Whether that is in the token's own row by then or not.
    usage::fold(&server.app.store).await.unwrap();
    assert_eq!(revoke_at(50, -1).await, (0, 0));
    assert_eq!(revoke_at(50, 0).await, (0, 1));
}

async fn a_retry_of_a_rotation_makes_no_second_token(server: TestServer) {
    let ada = server.person("Ada", Role::Admin).await;
    let id = generate(&server, &ada.token, "old", None).await.expect(201).id();
    let path = format!("/api/user-tokens/{id}/rotate");
    let keyed = |key: &str| server.as_(&ada.token).with("idempotency-key", key);
    let successor = keyed("rotation 1 of job 7").post(&path, &json!({})).await.expect(201).id();
    let again = keyed("rotation 1 of job 7").post(&path, &json!({})).await.expect(409).json();
    assert!(
        again["detail"].as_str().unwrap().contains(&format!("token {successor} is the successor")),
        "{again}"
    );
    let tokens = server.as_(&ada.token).get("/api/user-tokens").await.expect(200).json();
    assert_eq!(tokens.as_array().unwrap().len(), 3);
    // Also when the successor is revoked meanwhile: only another key makes another one.
    set_revoked(&server, &ada.token, successor, true).await;
    keyed("rotation 1 of job 7").post(&path, &json!({})).await.expect(409);
    keyed("rotation 2 of job 7").post(&path, &json!({})).await.expect(201);
    let other = format!("/api/user-tokens/{}/rotate", ada.token_id);
    let refused = keyed("rotation 1 of job 7").post(&other, &json!({})).await.expect(409).json();
    assert!(refused["detail"].as_str().unwrap().contains("was used for another token"), "{refused}");
    keyed("").post(&other, &json!({})).await.expect(400);
    // Revoked and expired ones have no successor.
    set_revoked(&server, &ada.token, id, true).await;
    let refused = rotate(&server, &ada.token, id, &json!({})).await.expect(409).json();
    assert!(refused["detail"].as_str().unwrap().starts_with("the token is revoked"), "{refused}");
    let short = generate(&server, &ada.token, "short", Some(1)).await.expect(201).id();
    server.pass_days(1);
    let refused = rotate(&server, &ada.token, short, &json!({})).await.expect(409).json();
    assert!(refused["detail"].as_str().unwrap().starts_with("the token has expired"), "{refused}");
}

async fn rotations_at_once_leave_one_successor(server: TestServer) {
    let server = Arc::new(server);
    let ada = server.person("Ada", Role::Admin).await;
    let id = generate(&server, &ada.token, "old", None).await.expect(201).id();
    let attempts: Vec<_> = (0..8)
        .map(|number| {
            let (server, with) = (Arc::clone(&server), ada.token.clone());
            tokio::spawn(async move {
                match number {
                    7 => {
                        server
                            .as_(&with)
                            .put(&format!("/api/user-tokens/{id}"), &json!({ "revoke": true }))
                            .await
                    }
                    _ => rotate(&server, &with, id, &json!({})).await,
                }
                .status
            })
        })
        .collect();
    let mut made = 0;
    for (number, attempt) in attempts.into_iter().enumerate() {
        let status = attempt.await.unwrap();
        assert!(if number == 7 { status == 200 } else { matches!(status, 201 | 409) }, "{status}");
        made += usize::from(status == 201);
    }
    assert!(made <= 1, "{made} successors");
    assert!(!is_active(&server, &ada.token, id).await);
}

async fn a_restore_never_makes_a_second_successor(server: TestServer) {
    let ada = server.person("Ada", Role::Admin).await;
    let id = generate(&server, &ada.token, "old", None).await.expect(201).id();
    let first = rotate(&server, &ada.token, id, &json!({})).await.expect(201).id();
    set_revoked(&server, &ada.token, first, true).await;
    let second = rotate(&server, &ada.token, id, &json!({})).await.expect(201).id();
    let path = format!("/api/user-tokens/{first}");
    let refused = server.as_(&ada.token).put(&path, &json!({ "revoke": false })).await.expect(409).json();
    assert!(refused["detail"].as_str().unwrap().contains("another active successor"), "{refused}");
    set_revoked(&server, &ada.token, second, true).await;
    set_revoked(&server, &ada.token, first, false).await;
}

async fn an_announcement_ends_with_a_restore_and_with_the_policy(server: TestServer) {
    let server = server.without_background().await;
    let ada = server.person("Ada", Role::Admin).await;
    let id = generate(&server, &ada.token, "idle", None).await.expect(201).id();
    let settle = async |days: Option<i64>| {
        let policy = json!({ "revoke_unused_after_days": days });
        server.as_(&ada.token).put("/api/policies", &policy).await.expect(200);
    };
    server.pass_days(60);
    settle(Some(30)).await;
    assert_eq!(revoke_the_unused(&server.app).await.unwrap(), (1, 0));
    // Switched off, and on again much later: seven days from then.
    settle(None).await;
    server.pass_days(100);
    assert_eq!(revoke_the_unused(&server.app).await.unwrap(), (0, 0));
    settle(Some(31)).await;
    assert_eq!(revoke_the_unused(&server.app).await.unwrap(), (1, 0), "announced again");
    server.pass_days(7);
    server.as_(&ada.token).get("/api/users/me").await.expect(200);
    assert_eq!(revoke_the_unused(&server.app).await.unwrap(), (0, 1));
    // Restored: not revoked again without another word.
    set_revoked(&server, &ada.token, id, false).await;
    assert_eq!(revoke_the_unused(&server.app).await.unwrap(), (1, 0), "announced again");
    assert!(is_active(&server, &ada.token, id).await);
}

/// A token that is quiet for an hour after its rotation, and what sees to it that its revoke meets with this.
async fn quiet_with(trigger: &str) -> (TestServer, Bearer, Bearer, i64) {
    let server = TestServer::start().await.without_background().await;
    let ada = server.person("Ada", Role::Admin).await;
    let made = generate(&server, &ada.token, "old", None).await;
    let (id, old) = (made.expect(201).id(), made.bearer());
    rotate(&server, &ada.token, id, &json!({ "close_when_quiet": { "hours": 1 } })).await.expect(201);
    server.clock.turn_to(server.clock.now().plus_hours(1));
    let trigger = format!(
        "CREATE TABLE unfit (id INTEGER REFERENCES users (id) DEFERRABLE INITIALLY DEFERRED);
         CREATE TRIGGER meets AFTER INSERT ON changes WHEN NEW.action = 'token.revoked' BEGIN {trigger}; END"
    );
    tamper(&server, trigger).await;
    (server, ada.token, old, id)
}

#[tokio::test]
async fn a_token_works_again_if_its_revoke_could_not_be_written() {
    for trigger in ["SELECT RAISE(ABORT, 'no')", "INSERT INTO unfit VALUES (-1)"] {
        let (server, ada, old, id) = quiet_with(trigger).await;
        close_the_quiet(&server.app).await.unwrap_err();
        assert!(is_active(&server, &ada, id).await);
        assert!(is_accepted(&server, &old).await, "{trigger}");
        tamper(&server, "DROP TRIGGER meets".into()).await;
        server.clock.turn_to(server.clock.now().plus_hours(1));
        assert_eq!(close_the_quiet(&server.app).await.unwrap(), 1);
        assert!(!is_accepted(&server, &old).await);
    }
}

#[tokio::test]
async fn a_token_stays_dead_if_its_revoke_was_written_and_could_not_be_read() {
    let (server, ada, old, id) = quiet_with("UPDATE tokens SET hash = x'00' WHERE id = NEW.entity_id").await;
    let hash = stored_hash(&server, id).await;
    close_the_quiet(&server.app).await.unwrap_err();
    assert_eq!(forward_auth(&server, &old, "GET").await.status, 401);
    // Nor does it come back by trying once more, or when it can be read.
    assert_eq!(close_the_quiet(&server.app).await.unwrap(), 0);
    assert_eq!(forward_auth(&server, &old, "GET").await.status, 401);
    tamper(&server, format!("UPDATE tokens SET hash = x'{hash}' WHERE id = {id}")).await;
    server.app.feed.follow_all().await.unwrap();
    assert!(!is_accepted(&server, &old).await);
    assert!(!is_active(&server, &ada, id).await);
}

/// The stored hash of a token, in hexadecimal.
async fn stored_hash(server: &TestServer, id: i64) -> String {
    let mut reader = server.app.store.read().await.unwrap();
    let found = tokenhouse_store::tokens::find(&mut reader, TokenId(id)).await;
    tokenhouse_core::audit::hex(found.unwrap().unwrap().hash.as_bytes())
}
