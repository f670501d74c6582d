//! What is noticed, when, how often, and who is told.

use serde_json::{Value, json};
use sqlx::Connection as _;
use tokenhouse::alerts::{checks, prune, sweep, trail};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::people::Role;
use tokenhouse_testkit::server::{Account, Bearer, Builder, Database, TestServer};

use super::{forward_auth, generate, set_revoked, tamper};

/// A server that notices when it is asked to.
pub(crate) async fn quiet(builder: Builder) -> TestServer {
    builder.start().await.without_background().await
}

async fn start() -> TestServer {
    quiet(TestServer::builder()).await
}

/// Kinds and titles of the alerts that somebody sees, oldest first.
pub(crate) async fn seen(server: &TestServer, with: &Bearer) -> Vec<(String, String)> {
    let page = server.as_(with).get("/api/alerts?size=100").await.expect(200).json();
    let text = |alert: &Value, field: &str| alert[field].as_str().unwrap().to_owned();
    let alerts = page["items"].as_array().unwrap();
    alerts.iter().rev().map(|alert| (text(alert, "kind"), text(alert, "title"))).collect()
}

async fn titles(server: &TestServer, with: &Bearer) -> Vec<String> {
    seen(server, with).await.into_iter().map(|(_, title)| title).collect()
}

async fn sweep_at(server: &TestServer, at: Timestamp) {
    server.clock.turn_to(at);
    sweep::sweep(&server.app).await.unwrap();
}

async fn service_token(
    server: &TestServer,
    admin: &Account,
    service: &Account,
    name: &str,
    days: i64,
) -> i64 {
    let wanted = json!({ "name": name, "user_id": service.id, "expires_in_days": days });
    server.as_(&admin.token).post("/api/user-tokens", &wanted).await.expect(201).id()
}

/// Uses a token from an address.
async fn use_from(server: &TestServer, token: &Bearer, ip: &str) -> u16 {
    let asked = server.as_(token).with("x-forwarded-for", ip).with("x-forwarded-uri", "/");
    asked.with("x-forwarded-method", "GET").get("/forward-auth").await.status
}

on_both_databases!(
    a_token_that_expires_is_told_at_each_step_once,
    a_token_that_nobody_uses_is_told_once,
    a_directory_that_stopped_is_told_once,
    a_new_network_is_told_to_whom_the_token_belongs,
    a_dead_token_that_is_tried_is_told_once_a_day,
    too_many_failed_sign_ins_are_told_to_the_account_and_the_address_to_admins,
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

async fn a_new_network_is_told_to_whom_the_token_belongs(server: TestServer) {
    let server = server.without_background().await;
    let people = server.people().await;
    let look = async || checks::new_networks(&server.app).await.unwrap();
    let told = async |of: &Bearer| {
        let all = seen(&server, of).await.into_iter();
        all.filter(|(kind, _)| kind == "token.new_network").map(|(_, title)| title).collect::<Vec<_>>()
    };
    for token in [&people.service.token, &people.member.token] {
        assert_eq!(use_from(&server, token, "198.51.100.7").await, 200);
    }
    look().await;
    for ip in ["198.51.100.200", "203.0.113.9", "203.0.113.77", "198.51.100.8", "203.0.113.9"] {
        use_from(&server, &people.service.token, ip).await;
    }
    // The alerts themselves are read from the test's own address.
    let (ada, mia) = (&people.admin.token, &people.member.token);
    assert!(told(ada).await.is_empty() && told(mia).await.is_empty());
    look().await;
    assert_eq!(told(ada).await, ["Token “first” of Pipeline was used from a new network"]);
    use_from(&server, &people.service.token, "203.0.113.1").await;
    use_from(&server, &people.service.token, "2001:db8::1").await;
    look().await;
    assert_eq!(told(ada).await.len(), 2);
    // Mia has read her alerts from here, where her token was never used before; nobody else learns of it.
    assert_eq!(told(mia).await, ["Your token “first” was used from a new network"]);
    let page = server.as_(mia).get("/api/alerts").await.json();
    assert!(
        page["items"][0]["text"].as_str().unwrap().contains("127.0.0.1 (network 127.0.0.0/24)"),
        "{page}"
    );
    assert_eq!(page["items"][0]["personal"], true);
    // Known networks stay known over a restart.
    let server = server.restart().await.without_background().await;
    use_from(&server, &people.service.token, "203.0.113.1").await;
    checks::new_networks(&server.app).await.unwrap();
    let all = seen(&server, ada).await;
    assert_eq!(all.iter().filter(|(kind, _)| kind == "token.new_network").count(), 2);
}

async fn a_dead_token_that_is_tried_is_told_once_a_day(server: TestServer) {
    let server = server.without_background().await;
    let people = server.people().await;
    let ada = &people.admin.token;
    let own = generate(&server, &people.member.token, "own", None).await;
    set_revoked(&server, &people.member.token, own.id(), true).await;
    set_revoked(&server, ada, people.service.token_id, true).await;
    let start = server.clock.now();
    let told = async |of: &Bearer| {
        let all = seen(&server, of).await.into_iter();
        all.filter(|(kind, _)| kind == "token.dead_tried").count()
    };
    for (hours, count) in [(0, 1), (1, 1), (23, 1), (24, 2), (25, 2)] {
        server.clock.turn_to(start.plus_hours(hours));
        for token in [&people.service.token, &own.bearer()] {
            assert_eq!(use_from(&server, token, "203.0.113.9").await, 401);
            assert_eq!(use_from(&server, token, "203.0.113.9").await, 401);
        }
        server.app.dead_tokens.flush(&server.app.store, &server.app.alerts.routes).await.unwrap();
        assert_eq!((told(ada).await, told(&people.member.token).await), (count, count), "{hours}");
    }
}

async fn too_many_failed_sign_ins_are_told_to_the_account_and_the_address_to_admins(server: TestServer) {
    let server = server.without_background().await;
    let people = server.people().await;
    server.browser(&people.member).await;
    let start = server.clock.now();
    let fail = async |seconds: i64, name: &str| {
        server.clock.turn_to(start.plus_seconds(seconds));
        let fields = [("user_name", name), ("password", "a wrong password")];
        let from = server.client().on_our_page().with("x-forwarded-for", "203.0.113.9");
        from.post_form("/login", &fields).await.expect(422);
    };
    let told = async |of: &Bearer, kind: &str| {
        seen(&server, of).await.into_iter().filter(|(found, _)| found == kind).count()
    };
    let (ada, mia) = (&people.admin.token, &people.member.token);
    let both = async || {
        trail::follow(&server.app).await.unwrap();
        (told(mia, "account.failures").await, told(ada, "address.failures").await)
    };
    // 19 within ten minutes, and one when the first is out of the window.
    for number in 0..19 {
        fail(number * 30, "mia.member@example.com").await;
    }
    fail(600, "mia.member@example.com").await;
    assert_eq!(both().await, (0, 0));
    fail(601, "mia.member@example.com").await;
    assert_eq!(both().await, (1, 1));
    fail(602, "mia.member@example.com").await;
    fail(620, "nobody@example.com").await;
    assert_eq!(both().await, (1, 1));
    assert_eq!(told(ada, "account.failures").await, 0, "that is Mia's own affair");
    assert_eq!(told(mia, "address.failures").await, 0);
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

/// What is old goes, whatever it was told of.
#[tokio::test]
async fn old_alerts_are_removed() {
    let server = TestServer::builder().configured(|config| config.alerts.keep_days = 40.try_into().unwrap());
    let server = quiet(server).await;
    let people = server.people().await;
    trail::follow(&server.app).await.unwrap();
    let start = server.clock.now();
    for (days, kept) in [(40, 1), (41, 0)] {
        server.clock.turn_to(start.plus_days(days));
        prune::prune(&server.app, 1).await.unwrap();
        assert_eq!(titles(&server, &people.admin.token).await.len(), kept, "{days}");
    }
    let told = |server: &TestServer| {
        let url = server.app.config.store.url.0.clone();
        async move {
            let mut database = sqlx::SqliteConnection::connect(&url).await.unwrap();
            let count: i64 =
                sqlx::query_scalar("SELECT count(*) FROM told").fetch_one(&mut database).await.unwrap();
            count
        }
    };
    assert_eq!(told(&server).await, 0);
    // Long enough for what is told in a window.
    for number in 0..20 {
        server.clock.turn_to(start.plus_days(41).plus_seconds(number));
        use_from(&server, &Bearer::new("eyJwrong"), "203.0.113.9").await;
    }
    checks::failures(&server.app).await.unwrap();
    assert_eq!(told(&server).await, 1);
    prune::prune(&server.app, 1).await.unwrap();
    assert_eq!((told(&server).await, titles(&server, &people.admin.token).await.len()), (1, 1));
}

#[tokio::test]
async fn who_becomes_an_admin_is_told_to_all_admins() {
    let server = start().await;
    let people = server.people().await;
    let admin = server.as_(&people.admin.token);
    let follow = async || trail::follow(&server.app).await.unwrap();
    follow().await;
    let before = titles(&server, &people.admin.token).await;
    assert_eq!(before, ["Ada Admin is now an Admin"]);
    let path = format!("/api/users/{}", people.manager.id);
    admin.put(&path, &json!({ "name": "Max" })).await.expect(200);
    follow().await;
    admin.put(&path, &json!({ "role": "Admin" })).await.expect(200);
    admin.put(&path, &json!({ "name": "Maximilian" })).await.expect(200);
    follow().await;
    follow().await;
    assert_eq!(titles(&server, &people.admin.token).await[1..], ["Max is now an Admin".to_owned()]);
    assert_eq!(titles(&server, &people.manager.token).await.len(), 2, "he is one of them now");
    assert!(titles(&server, &people.member.token).await.is_empty());
}

#[tokio::test]
async fn records_of_builders_to_come_are_told_by_their_names() {
    let server = start().await;
    let people = server.people().await;
    trail::follow(&server.app).await.unwrap();
    let record = async |seq: i64, action: &str, kind: &str, id: i64, actor: i64| {
        let insert = format!(
            "INSERT INTO changes (seq, at, action, entity_kind, entity_id, entity_name, actor_id, actor_user_id, \
             actor_name, actor_type, via_kind, changes, hash) SELECT (SELECT max(seq) FROM changes) + {seq}, 1, \
             '{action}', '{kind}', {id}, 'wanted', {actor}, 'x', 'Somebody', 'Human', 'session', '{{}}', hash \
             FROM changes WHERE seq = 1"
        );
        tamper(&server, insert).await;
    };
    record(1, "token.leaked", "token", people.service.token_id, people.member.id).await;
    record(1, "token.leaked", "token", people.member.token_id, people.member.id).await;
    record(1, "request.made", "request", 7, people.member.id).await;
    record(1, "request.approved", "request", 7, people.admin.id).await;
    record(1, "token.idle_announced", "token", people.member.token_id, people.member.id).await;
    record(1, "something.unknown", "thing", 7, people.admin.id).await;
    trail::follow(&server.app).await.unwrap();
    assert_eq!(
        titles(&server, &people.admin.token).await[1..],
        [
            "Token “first” of Pipeline has leaked and is revoked".to_owned(),
            "Somebody asks for the service user “wanted”".to_owned()
        ]
    );
    assert_eq!(
        titles(&server, &people.member.token).await,
        [
            "Your token “first” has leaked and is revoked",
            "Your request for the service user “wanted” was approved",
            "Your token “first” will be revoked within days, since nobody uses it"
        ]
    );
}

#[tokio::test]
async fn too_many_failures_from_one_address_are_told_once_in_a_window() {
    let server = start().await;
    let ada = server.person("Ada", Role::Admin).await;
    let start = server.clock.now();
    let fail = async |seconds: i64, ip: &str| {
        server.clock.turn_to(start.plus_seconds(seconds));
        use_from(&server, &Bearer::new("eyJwrong"), ip).await;
        checks::failures(&server.app).await.unwrap();
    };
    for number in 0..19 {
        fail(number, "203.0.113.9").await;
        fail(number, &format!("198.51.100.{number}")).await;
    }
    assert!(titles(&server, &ada.token).await.is_empty());
    fail(20, "203.0.113.9").await;
    let told = ["Many attempts with tokens from 203.0.113.9 have failed"];
    assert_eq!(titles(&server, &ada.token).await, told);
    for number in 21..80 {
        fail(number, "203.0.113.9").await;
    }
    assert_eq!(titles(&server, &ada.token).await, told);
    for number in 700..720 {
        fail(number, "203.0.113.9").await;
    }
    assert_eq!(titles(&server, &ada.token).await.len(), 2);
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

#[tokio::test]
async fn servers_of_a_fleet_tell_everything_once() {
    let one = TestServer::builder().on(Database::Postgres).start().await.without_background().await;
    let two = TestServer::builder().beside(&one, "two").start().await.without_background().await;
    let people = one.people().await;
    one.as_(&people.admin.token)
        .put(&format!("/api/users/{}", people.manager.id), &json!({ "role": "Admin" }))
        .await
        .expect(200);
    sweep_at(&one, one.clock.now()).await;
    let id = service_token(&one, &people.admin, &people.service, "robot", 60).await;
    assert!(id > 0);
    one.clock.turn_to(one.clock.now().plus_days(31));
    for _ in 0..3 {
        let (a, b) = tokio::join!(trail::follow(&one.app), trail::follow(&two.app));
        a.and(b).unwrap();
        let (a, b) = tokio::join!(sweep::sweep(&one.app), sweep::sweep(&two.app));
        a.and(b).unwrap();
    }
    let mut told = titles(&one, &people.admin.token).await;
    told.sort();
    assert_eq!(
        told,
        [
            "Ada Admin is now an Admin",
            "Max Manager is now an Admin",
            "Token “robot” of Pipeline expires in 30 days"
        ]
    );
}
