//! What is noticed in what happens, how often, and who is told.

use serde_json::{Value, json};
use sqlx::Connection as _;
use tokenhouse::alerts::{checks, prune, sweep, trail};
use tokenhouse_core::people::Role;
use tokenhouse_testkit::server::{Account, Bearer, Builder, Database, TestServer};

use super::alert_clock::sweep_at;
use super::{generate, set_revoked, tamper};

/// A server that notices when it is asked to.
pub(crate) async fn quiet(builder: Builder) -> TestServer {
    builder.start().await.without_background().await
}

pub(crate) async fn start() -> TestServer {
    quiet(TestServer::builder()).await
}

/// Kinds and titles of the alerts that somebody sees, oldest first.
pub(crate) async fn seen(server: &TestServer, with: &Bearer) -> Vec<(String, String)> {
    let page = server.as_(with).get("/api/alerts?size=100").await.expect(200).json();
    let text = |alert: &Value, field: &str| alert[field].as_str().unwrap().to_owned();
    let alerts = page["items"].as_array().unwrap();
    alerts.iter().rev().map(|alert| (text(alert, "kind"), text(alert, "title"))).collect()
}

pub(crate) async fn titles(server: &TestServer, with: &Bearer) -> Vec<String> {
    seen(server, with).await.into_iter().map(|(_, title)| title).collect()
}

pub(crate) async fn service_token(
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
pub(crate) async fn use_from(server: &TestServer, token: &Bearer, ip: &str) -> u16 {
    let asked = server.as_(token).with("x-forwarded-for", ip).with("x-forwarded-uri", "/");
    asked.with("x-forwarded-method", "GET").get("/forward-auth").await.status
}

on_both_databases!(
    a_new_network_is_told_to_whom_the_token_belongs,
    a_dead_token_that_is_tried_is_told_once_a_day,
    too_many_failed_sign_ins_are_told_to_the_account_and_the_address_to_admins,
);

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
