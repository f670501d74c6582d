//! Several servers on one PostgreSQL: what was taken away on one is gone on all when the answer comes.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use tokenhouse::fleet::lease::LEASE;
use tokenhouse_core::people::Role;
use tokenhouse_testkit::server::{Account, Bearer, Database, TestServer};

use super::promises::revoked_but_not_followed;
use super::{forward_auth, generate, is_accepted, set_revoked};

/// Two nodes of one fleet.
pub(crate) async fn pair() -> (TestServer, TestServer) {
    let first = TestServer::builder().on(Database::Postgres).in_fleet();
    let first = first.configured(|config| config.fleet.node = Some("first".into())).start().await;
    let second = TestServer::builder().beside(&first, "second").start().await;
    (first, second)
}

/// Returns when a condition holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), looking).await.expect(what);
}

/// How many nodes are registered.
pub(crate) async fn members(server: &TestServer) -> usize {
    let mut reader = server.app.store.read().await.unwrap();
    tokenhouse_store::nodes::all(&mut reader).await.unwrap().nodes.len()
}

/// Returns when a node accepts a token.
pub(crate) async fn until_accepted(server: &TestServer, token: &Bearer) {
    until("the token is accepted", async || forward_auth(server, token, "GET").await.status == 200).await;
}

/// Returns when a node answers no checks any more.
pub(crate) async fn until_stale(server: &TestServer, token: &Bearer) {
    until("the lease has ended", async || forward_auth(server, token, "GET").await.status == 503).await;
}

/// The names of the nodes in a receipt: those that acknowledged, those whose lease ended.
pub(crate) fn nodes(receipt: &Value) -> (Vec<&str>, Vec<&str>) {
    let names = |by: &str| {
        let of = |line: &&Value| line.get(by).is_some();
        let lines = receipt["nodes"].as_array().unwrap().iter().filter(of);
        let mut names: Vec<_> = lines.map(|line| line["node"].as_str().unwrap()).collect();
        names.sort_unstable();
        names
    };
    (names("acknowledged_after_ms"), names("lease_ended"))
}

#[tokio::test]
async fn a_leak_told_to_one_node_is_dealt_with_on_all() {
    let (first, second) = pair().await;
    let member = first.person("Mia", Role::Member).await;
    for round in 0..10 {
        let stolen = generate(&first, &member.token, &format!("stolen {round}"), None).await;
        let child = generate(&first, &stolen.bearer(), &format!("child {round}"), None).await.bearer();
        until_accepted(&second, &child).await;
        // Told to both at once, each knows when it answers.
        let body = json!({ "token": stolen.bearer().expose() });
        let (first_client, second_client) = (first.client(), second.client());
        let told =
            tokio::join!(first_client.post("/api/leaks", &body), second_client.post("/api/leaks", &body));
        assert_eq!((told.0.status, told.1.status), (202, 202));
        for server in [&first, &second] {
            assert!(!is_accepted(server, &child).await && !is_accepted(server, &stolen.bearer()).await);
        }
    }
}

#[tokio::test]
async fn a_token_revoked_on_one_node_is_refused_by_the_other_at_once() {
    let (first, second) = pair().await;
    let admin = first.person("Ada", Role::Admin).await;
    let member = first.person("Mia", Role::Member).await;
    for round in 0..20 {
        let made = generate(&first, &member.token, &format!("t{round}"), None).await;
        until_accepted(&second, &made.bearer()).await;
        set_revoked(&first, &member.token, made.id(), true).await;
        assert!(!is_accepted(&second, &made.bearer()).await);
        set_revoked(&second, &member.token, made.id(), false).await;
        until_accepted(&first, &made.bearer()).await;
        set_revoked(&second, &member.token, made.id(), true).await;
        assert!(!is_accepted(&first, &made.bearer()).await);
    }
    let head = super::head(&first).await;
    let path = format!("/api/user-tokens/{}", admin.token_id);
    let answer = second.as_(&admin.token).put(&path, &json!({ "revoke": true })).await.expect(200).json();
    assert_eq!(answer["receipt"]["seq"], head + 1);
    assert_eq!(nodes(&answer["receipt"]), (vec!["first", "second"], vec![]));
    let metrics = first.app.metrics.text(&first.app.feed, first.app.fleet.as_ref(), None, &[]);
    let shown = |name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap().parse::<f64>().unwrap()
    };
    assert!(shown("tokenhouse_fence_seconds_count") >= 20.0);
    assert!((shown("tokenhouse_fences_by_time_total"), shown("tokenhouse_stale_checks_total")) == (0.0, 0.0));
    let left = shown("tokenhouse_lease_seconds");
    assert!(left > 0.0 && left < 2.5, "{left}");
}

/// A server alone has its own line.
#[tokio::test]
async fn a_single_server_gives_a_receipt_too() {
    for database in [Database::Sqlite, Database::Postgres] {
        let server = TestServer::builder().on(database);
        let server = server.configured(|config| config.fleet.node = Some("alone".into())).start().await;
        let people = server.people().await;
        let admin = server.as_(&people.admin.token);
        let path = format!("/api/user-tokens/{}", people.service.token_id);
        let answer = admin.put(&path, &json!({ "revoke": true })).await.expect(200).json();
        assert_eq!(answer["receipt"]["seq"], super::head(&server).await);
        assert_eq!(nodes(&answer["receipt"]), (vec!["alone"], vec![]));
        let restored = admin.put(&path, &json!({ "revoke": false })).await.expect(200).json();
        assert!(restored.get("receipt").is_none());
        let path = format!("/api/users/{}/revoke-tokens", people.service.id);
        let answer = admin.post(&path, &Value::Null).await.expect(200).json();
        assert_eq!(answer["revoked"], 1);
    }
}

/// Does something that is answered only when every node shows it: also a silent one is waited for, until its
/// lease would have ended.
async fn waits_for_all<T>(first: &TestServer, does: impl AsyncFnOnce() -> T) -> T {
    let incarnation = format!("ghost {}", super::head(first).await);
    assert!(first.app.store.membership(&incarnation, "ghost").register(0, 1).await.unwrap());
    let started = Instant::now();
    let done = does().await;
    assert!(started.elapsed() > LEASE, "{:?}", started.elapsed());
    done
}

/// Does something on the first node that takes access away, and looks at once on the second.
async fn is_taken_away(does: impl AsyncFnOnce(&TestServer, &Account, &Account)) {
    let (first, second) = pair().await;
    let admin = first.person("Ada", Role::Admin).await;
    let service = first.service_user("Pipeline", Role::Manager).await;
    until_accepted(&second, &service.token).await;
    forward_auth(&second, &service.token, "POST").await.expect(200);
    waits_for_all(&first, async || does(&first, &admin, &service).await).await;
    let answer = forward_auth(&second, &service.token, "POST").await;
    assert!(matches!(answer.status, 401 | 403), "{answer}");
}

#[tokio::test]
async fn revoking_all_tokens_reaches_all_nodes() {
    is_taken_away(async |first, admin, service| {
        let path = format!("/api/users/{}/revoke-tokens", service.id);
        let revoked = first.as_(&admin.token).post(&path, &Value::Null).await.expect(200).json();
        assert_eq!(nodes(&revoked["receipt"]), (vec!["first", "second"], vec!["ghost"]));
    })
    .await;
}

#[tokio::test]
async fn deactivation_reaches_all_nodes() {
    is_taken_away(async |first, admin, service| {
        first.as_(&admin.token).delete(&format!("/api/users/{}", service.id)).await.expect(204);
    })
    .await;
}

#[tokio::test]
async fn a_lower_role_reaches_all_nodes() {
    is_taken_away(async |first, admin, service| {
        let path = format!("/api/users/{}", service.id);
        first.as_(&admin.token).put(&path, &json!({ "role": "Member" })).await.expect(200);
    })
    .await;
}

#[tokio::test]
async fn a_revocation_by_the_holder_reaches_all_nodes() {
    is_taken_away(async |first, _, service| {
        let form = [("token", service.token.expose())];
        first.client().post_form("/oauth/revoke", &form).await.expect(200);
    })
    .await;
}

#[tokio::test]
async fn revoking_the_current_token_reaches_all_nodes() {
    is_taken_away(async |first, _, service| {
        first.as_(&service.token).delete("/api/user-tokens/current").await.expect(204);
    })
    .await;
}

#[tokio::test]
async fn revoking_what_was_made_with_a_token_reaches_all_nodes() {
    let (first, second) = pair().await;
    let ada = first.person("Ada", Role::Admin).await;
    let stolen = generate(&first, &ada.token, "stolen", None).await;
    let child = generate(&first, &stolen.bearer(), "child", None).await.bearer();
    until_accepted(&second, &child).await;
    let path = format!("/api/user-tokens/{}", stolen.id());
    let wanted = json!({ "revoke": true, "descendants": true });
    let client = first.as_(&ada.token);
    waits_for_all(&first, async || client.put(&path, &wanted).await).await.expect(200);
    assert!(!is_accepted(&second, &child).await);
}

#[tokio::test]
async fn leaving_a_team_reaches_all_nodes() {
    let (first, second) = pair().await;
    let people = first.people().await;
    let admin = first.as_(&people.admin.token);
    let wanted = json!({ "name": "Ops", "members": [people.member.id] });
    let team = admin.post("/api/teams", &wanted).await.expect(201).id();
    let teams = async || {
        let passed = forward_auth(&second, &people.member.token, "GET").await;
        passed.header("x-auth-teams").unwrap_or_default().to_owned()
    };
    until("the team is known", async || teams().await.contains("Ops")).await;
    let nobody = json!({ "name": "Ops", "members": [] });
    let path = format!("/api/teams/{team}");
    waits_for_all(&first, async || admin.put(&path, &nobody).await).await.expect(200);
    assert_eq!(teams().await, "Public");
    admin.put(&path, &wanted).await.expect(200);
    until("the team is known", async || teams().await.contains("Ops")).await;
    until("the ghost is forgotten", async || members(&first).await == 2).await;
    waits_for_all(&first, async || admin.delete(&path).await).await.expect(204);
    assert_eq!(teams().await, "Public");
}

/// Whether a person's token is refused by the second node as soon as the first has answered.
async fn is_taken_from_a_person(does: impl AsyncFnOnce(&TestServer, &Account, &Account)) {
    let (first, second) = pair().await;
    let people = first.people().await;
    until_accepted(&second, &people.member.token).await;
    waits_for_all(&first, async || does(&first, &people.admin, &people.member).await).await;
    assert!(!is_accepted(&second, &people.member.token).await);
}

#[tokio::test]
async fn a_deactivation_by_a_directory_reaches_all_nodes() {
    is_taken_from_a_person(async |first, admin, person| {
        let operation = json!({ "op": "replace", "path": "active", "value": false });
        let change = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [operation],
        });
        let path = format!("/scim/v2/Users/{}", person.id);
        let answer = first.as_(&admin.token).json(Method::PATCH, &path, &change).await;
        assert!(matches!(answer.status, 200 | 204), "{answer}");
    })
    .await;
}

#[tokio::test]
async fn a_removal_by_a_directory_reaches_all_nodes() {
    is_taken_from_a_person(async |first, admin, person| {
        let path = format!("/scim/v2/Users/{}", person.id);
        first.as_(&admin.token).delete(&path).await.expect(204);
    })
    .await;
}

#[tokio::test]
async fn a_removal_in_bulk_reaches_all_nodes() {
    is_taken_from_a_person(async |first, admin, person| {
        let removal = json!({ "method": "DELETE", "path": format!("/Users/{}", person.id) });
        let bulk = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": [removal],
        });
        let done = first.as_(&admin.token).post("/scim/v2/Bulk", &bulk).await.expect(200).json();
        assert_eq!(done["Operations"][0]["status"], "204");
    })
    .await;
}

#[tokio::test]
async fn a_revocation_on_a_page_reaches_all_nodes() {
    is_taken_from_a_person(async |first, _, person| {
        let browser = first.browser(person).await;
        let revoked = browser.post_form(&format!("/settings/tokens/{}/revoke", person.token_id), &[]).await;
        revoked.expect(303);
    })
    .await;
}

/// Whoever committed it may not have lived to see it in effect everywhere.
#[tokio::test]
async fn revoking_what_is_revoked_is_answered_when_it_is_in_effect_everywhere() {
    let (first, second) = pair().await;
    let people = first.people().await;
    for server in [&first, &second] {
        until_accepted(server, &people.member.token).await;
    }
    revoked_but_not_followed(&first, &people.member).await;
    let form = [("token", people.member.token.expose())];
    second.client().post_form("/oauth/revoke", &form).await.expect(200);
    for server in [&first, &second] {
        assert!(!is_accepted(server, &people.member.token).await);
    }
}

/// The second node has not heard of the token: whoever finds it may kill it there.
#[tokio::test]
async fn any_node_revokes_a_token_that_was_just_made_on_another() {
    let (first, second) = pair().await;
    let ada = first.person("Ada", Role::Member).await;
    for round in 0..10 {
        let made = generate(&first, &ada.token, &format!("t{round}"), None).await.bearer();
        let form = [("token", made.expose())];
        second.client().post_form("/oauth/revoke", &form).await.expect(200);
        for server in [&first, &second] {
            assert!(!is_accepted(server, &made).await);
        }
    }
}

/// Changes on both nodes at a time: every number once, and both show all of them.
#[tokio::test]
async fn nothing_is_lost_or_doubled_between_two_who_write() {
    let (first, second) = pair().await;
    let ada = first.person("Ada", Role::Member).await;
    until_accepted(&second, &ada.token).await;
    let make = |server: &TestServer, name: String| {
        let client = server.as_(&ada.token);
        async move { client.post("/api/user-tokens", &json!({ "name": name })).await.expect(201).bearer() }
    };
    let all = futures_util::future::join_all((0..40).map(|number| {
        let server = if number % 2 == 0 { &first } else { &second };
        make(server, format!("t{number}"))
    }));
    for token in all.await {
        until_accepted(&first, &token).await;
        until_accepted(&second, &token).await;
    }
    let verified = tokenhouse_store::audit::verify(&first.app.store, None).await.unwrap().unwrap();
    assert_eq!(verified.seq, super::head(&second).await);
    for server in [&first, &second] {
        until("all is shown", async || server.app.feed.applied() >= verified.seq).await;
        assert_eq!(server.app.feed.index().len(), 41);
    }
}

#[tokio::test]
async fn a_use_on_one_node_is_seen_on_the_other() {
    let (first, second) = pair().await;
    let ada = first.person("Ada", Role::Member).await;
    let used = generate(&first, &ada.token, "used", None).await;
    until_accepted(&second, &used.bearer()).await;
    let shows = async || !super::token(&first, &ada.token, used.id()).await["last_used"].is_null();
    until("the use is shown", shows).await;
}
