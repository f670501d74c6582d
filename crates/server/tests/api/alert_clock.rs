//! What the clock brings about, and what the server notices of itself: at which instant, and how often it is told.

use serde_json::{Value, json};
use tokenhouse::alerts::sweep;
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::people::Role;
use tokenhouse_testkit::server::{Bearer, TestServer};

use super::alerts::{seen, service_token, start, titles, use_from};
use super::{forward_auth, generate, set_revoked, tamper};

pub(crate) async fn sweep_at(server: &TestServer, at: Timestamp) {
    server.clock.turn_to(at);
    sweep::sweep(&server.app).await.unwrap();
}

on_both_databases!(
    a_token_that_expires_is_told_at_each_step_once,
    a_token_that_nobody_uses_is_told_once,
    a_directory_that_stopped_is_told_once,
);

async fn a_token_that_expires_is_told_at_each_step_once(server: TestServer) {
    let server = server.without_background().await;
    let people = server.people().await;
    let (ada, mia) = (&people.admin.token, &people.member.token);
    let start = server.clock.now();
    sweep_at(&server, start).await;
    service_token(&server, &people.admin, &people.service, "robot", 60).await;
    generate(&server, mia, "mine", Some(45)).await.expect(201);
    let missed = service_token(&server, &people.admin, &people.service, "missed", 100).await;
    // What was made with less than a step has never had more.
    generate(&server, mia, "short", Some(30)).await.expect(201);
    let at = |days: i64| start.plus_days(days);
    let told = async |of: &Bearer| {
        let all = seen(&server, of).await.into_iter();
        all.filter(|(kind, _)| kind == "token.expiring").map(|(_, title)| title).collect::<Vec<_>>()
    };
    sweep_at(&server, at(15).plus_seconds(-1)).await;
    assert!(told(mia).await.is_empty());
    for _ in 0..2 {
        sweep_at(&server, at(15)).await;
        assert_eq!(told(mia).await, ["Your token “mine” expires in 30 days"]);
    }
    sweep_at(&server, at(30).plus_seconds(-1)).await;
    // A token of a person is nothing for Admins.
    assert!(told(ada).await.is_empty());
    sweep_at(&server, at(30)).await;
    assert_eq!(told(ada).await, ["Token “robot” of Pipeline expires in 30 days"]);
    sweep_at(&server, at(53).plus_seconds(-1)).await;
    assert_eq!(told(ada).await.len(), 1);
    sweep_at(&server, at(53)).await;
    assert_eq!(told(ada).await[1..], ["Token “robot” of Pipeline expires in 7 days".to_owned()]);
    sweep_at(&server, at(59)).await;
    assert_eq!(told(ada).await[2..], ["Token “robot” of Pipeline expires within a day".to_owned()]);
    // Nobody looked for a while: only the step that is reached now is told.
    sweep_at(&server, at(97)).await;
    assert_eq!(told(ada).await[3..], ["Token “missed” of Pipeline expires in 7 days".to_owned()]);
    set_revoked(&server, ada, missed, true).await;
    sweep_at(&server, at(99)).await;
    assert_eq!(told(ada).await.len(), 4, "a revoked token has no expiry to fear");
}

async fn a_token_that_nobody_uses_is_told_once(server: TestServer) {
    let server = server.without_background().await;
    let mia = server.person("Mia", Role::Member).await;
    let start = server.clock.now();
    sweep_at(&server, start).await;
    let made = generate(&server, &mia.token, "idle", None).await;
    let at = |days: i64| start.plus_days(days);
    let told = async || {
        let all = seen(&server, &mia.token).await.into_iter();
        all.filter(|(kind, title)| kind == "token.unused" && title.contains("idle")).count()
    };
    sweep_at(&server, at(90).plus_seconds(-1)).await;
    assert_eq!(told().await, 0);
    sweep_at(&server, at(90)).await;
    sweep_at(&server, at(91)).await;
    assert_eq!(told().await, 1);
    // Used again, and that is not even written yet when its time would have come.
    server.clock.turn_to(at(100));
    forward_auth(&server, &made.bearer(), "GET").await.expect(200);
    server.write_uses().await;
    server.clock.turn_to(at(150));
    forward_auth(&server, &made.bearer(), "GET").await.expect(200);
    sweep_at(&server, at(190)).await;
    assert_eq!(told().await, 1);
    server.write_uses().await;
    sweep_at(&server, at(240).plus_seconds(-1)).await;
    assert_eq!(told().await, 1);
    sweep_at(&server, at(240)).await;
    assert_eq!(told().await, 2);
}

async fn a_directory_that_stopped_is_told_once(server: TestServer) {
    let server = server.without_background().await;
    let people = server.people().await;
    let (_, scim) = server.scim_token(&people.service).await;
    let start = server.clock.now();
    server.as_(&scim).get("/scim/v2/Users").await.expect(200);
    server.write_uses().await;
    let told = async || {
        let all = seen(&server, &people.admin.token).await.into_iter();
        all.filter(|(kind, _)| kind == "scim.silent").count()
    };
    for (hours, count) in [(23, 0), (24, 1), (25, 1), (400, 1)] {
        sweep_at(&server, start.plus_hours(hours)).await;
        assert_eq!(told().await, count, "{hours}");
    }
    server.as_(&scim).get("/scim/v2/Users").await.expect(200);
    server.write_uses().await;
    for (hours, count) in [(401, 1), (424, 2)] {
        sweep_at(&server, start.plus_hours(hours)).await;
        assert_eq!(told().await, count, "{hours}");
    }
}

#[tokio::test]
async fn a_successor_that_works_makes_an_expiry_harmless() {
    let server = start().await;
    let people = server.people().await;
    let start = server.clock.now();
    sweep_at(&server, start).await;
    let id = service_token(&server, &people.admin, &people.service, "rotated", 60).await;
    let admin = server.as_(&people.admin.token);
    admin
        .post(&format!("/api/user-tokens/{id}/rotate"), &json!({ "expires_in_days": 365 }))
        .await
        .expect(201);
    sweep_at(&server, start.plus_days(30)).await;
    assert!(titles(&server, &people.admin.token).await.iter().all(|title| !title.contains("rotated")));
}

#[tokio::test]
async fn several_tokens_of_one_recipient_are_one_alert() {
    let server = start().await;
    let people = server.people().await;
    let (ada, mia) = (&people.admin.token, &people.member.token);
    let start = server.clock.now();
    sweep_at(&server, start).await;
    for number in 0..23 {
        generate(&server, mia, &format!("t{number}"), Some(40)).await.expect(201);
    }
    for name in ["one", "two"] {
        service_token(&server, &people.admin, &people.service, name, 40).await;
    }
    generate(&server, &people.manager.token, "alone", Some(40)).await.expect(201);
    let later = generate(&server, mia, "later", Some(41)).await.expect(201).id();
    let alerts = async |of: &Bearer, kind: &str| {
        let page = server.as_(of).get("/api/alerts?size=100").await.expect(200).json();
        let alerts = page["items"].as_array().unwrap().iter().rev();
        alerts.filter(|alert| alert["kind"] == kind).cloned().collect::<Vec<_>>()
    };
    // Two servers of a fleet, or one that was ended in the midst of it, do it twice.
    for _ in 0..2 {
        sweep_at(&server, start.plus_days(10)).await;
        tamper(&server, format!("UPDATE positions SET at = {} WHERE name LIKE 'alerts.%'", start.micros()))
            .await;
    }
    let told = alerts(mia, "token.expiring").await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["title"], "23 of your tokens expire in 30 days");
    let text = told[0]["text"].as_str().unwrap();
    assert!(text.starts_with("“t0”, “t1”, ") && text.contains("“t19”, and 3 more. "), "{text}");
    assert!(!text.contains("“t20”"), "{text}");
    assert_eq!((&told[0]["token_id"], &told[0]["personal"]), (&Value::Null, &json!(true)));
    assert_eq!(told[0]["path"], "/settings/tokens");
    let told = alerts(ada, "token.expiring").await;
    assert_eq!((told.len(), &told[0]["title"]), (1, &json!("2 service tokens expire in 30 days")));
    let text = told[0]["text"].as_str().unwrap();
    assert!(text.starts_with("“one” of Pipeline, “two” of Pipeline. Nothing"), "{text}");
    assert_eq!(told[0]["path"], "/settings/tokens/service");
    // Of one alone it is told as ever.
    let told = alerts(&people.manager.token, "token.expiring").await;
    assert_eq!((told.len(), &told[0]["title"]), (1, &json!("Your token “alone” expires in 30 days")));
    sweep_at(&server, start.plus_days(11)).await;
    let told = alerts(mia, "token.expiring").await;
    assert_eq!((told.len(), &told[1]["token_id"]), (2, &json!(later)));
    // Nobody has used any of them.
    for (number, days) in [(0, 35), (1, 40)] {
        generate(&server, mia, &format!("idle{number}"), Some(365)).await.expect(201);
        server.clock.turn_to(start.plus_days(days));
    }
    server.as_(mia).get("/api/users/me").await.expect(200);
    sweep_at(&server, start.plus_days(36 + 90)).await;
    let told = alerts(mia, "token.unused").await;
    let titles: Vec<_> = told.iter().map(|alert| alert["title"].as_str().unwrap()).collect();
    assert_eq!(titles, ["2 of your tokens have not been used for 90 days"]);
    let text = told[0]["text"].as_str().unwrap();
    assert!(text.starts_with("“idle0”, “idle1”. Revoke those that nobody needs"), "{text}");
}

#[tokio::test]
async fn more_tokens_than_a_page_are_all_told_once() {
    let server = start().await;
    let mia = server.person("Mia", Role::Member).await;
    let start = server.clock.now();
    sweep_at(&server, start).await;
    generate(&server, &mia.token, "one", Some(40)).await.expect(201);
    // The same again and again.
    let copies = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 4500) \
        INSERT INTO tokens (owner_id, name, hash, scim_only, is_service, created_at, created_by, expires_at) \
        SELECT owner_id, name || n, randomblob(32), scim_only, is_service, created_at, created_by, \
        expires_at FROM n, tokens WHERE name = 'one'";
    tamper(&server, copies.into()).await;
    sweep_at(&server, start.plus_days(20)).await;
    sweep_at(&server, start.plus_days(21)).await;
    let page = server.as_(&mia.token).get("/api/alerts").await.json();
    let titles: Vec<_> = page["items"].as_array().unwrap().iter().map(|alert| &alert["title"]).collect();
    assert_eq!(
        titles,
        [
            "501 of your tokens expire in 30 days",
            "2000 of your tokens expire in 30 days",
            "2000 of your tokens expire in 30 days",
        ]
    );
}

#[tokio::test]
async fn a_broken_trail_is_told_once_a_day() {
    let server = start().await;
    let ada = server.person("Ada", Role::Admin).await;
    let start = server.clock.now();
    let verify = async || tokenhouse::service::audit::verify(&server.app).await.unwrap();
    verify().await;
    sweep_at(&server, start).await;
    assert!(titles(&server, &ada.token).await.is_empty());
    tamper(&server, "UPDATE changes SET entity_name = 'Eve' WHERE seq = 1".into()).await;
    verify().await;
    for (hours, count) in [(1, 1), (24, 1), (25, 2)] {
        sweep_at(&server, start.plus_hours(hours)).await;
        assert_eq!(titles(&server, &ada.token).await, vec!["The audit trail is broken"; count], "{hours}");
    }
}

#[tokio::test]
async fn a_log_of_requests_that_can_not_be_written_is_told_once_a_day() {
    let server = TestServer::start().await;
    let ada = server.person("Ada", Role::Admin).await;
    let start = server.clock.now();
    sweep_at(&server, start).await;
    let told = async || {
        let all = seen(&server, &ada.token).await.into_iter();
        all.filter(|(kind, _)| kind == "log.failing").map(|(_, title)| title).collect::<Vec<_>>()
    };
    assert!(told().await.is_empty());
    let segments = server.app.config.request_log.directory.clone().unwrap().join("segments");
    let away = segments.with_extension("away");
    std::fs::rename(&segments, &away).unwrap();
    use_from(&server, &ada.token, "203.0.113.9").await;
    let has_trouble = || server.app.requests.as_ref().unwrap().state().trouble.is_some();
    let noticed = async {
        while !has_trouble() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), noticed).await.expect("the log has trouble");
    // The server looks as well, at the same instants.
    for (hours, count) in [(0, 1), (23, 1), (24, 2)] {
        sweep_at(&server, start.plus_hours(hours)).await;
        assert_eq!(told().await, vec!["The log of requests can't be written"; count], "{hours}");
    }
    std::fs::rename(&away, &segments).unwrap();
}
