//! The log of requests: what is recorded, and who gets to see it.

use std::collections::BTreeMap;

use axum::Router;
use http::StatusCode;
use serde_json::{Value, json};
use tokenhouse_core::people::Role;
use tokenhouse_testkit::client::{Answer, Client};
use tokenhouse_testkit::server::{Account, Bearer, TestServer};
use tokio::net::TcpListener;

use super::{forward_auth, generate, head, rules, set_revoked};

on_both_databases!(
    every_place_that_checks_tokens_is_recorded,
    paths_do_not_tell_numbers_of_tokens,
    refusals_are_recorded_with_their_reason,
    holders_see_their_own_and_admins_service_tokens,
    personal_tokens_have_no_name_for_anybody_else,
);

fn allowed(request: &Value) -> (&str, &str, &str, Option<u64>) {
    assert_eq!((&request["decision"], &request["reason"]), (&json!("allowed"), &json!("ok")), "{request}");
    let text = |name: &str| request[name].as_str().unwrap();
    (text("via"), text("method"), text("path"), request["status"].as_u64())
}

async fn of_token(server: &TestServer, with: &Bearer, id: i64) -> Vec<Value> {
    items(&server.as_(with).get(&format!("/api/user-tokens/{id}/requests?limit=100")).await)
}

fn items(answer: &Answer) -> Vec<Value> {
    answer.expect(200).json()["items"].as_array().unwrap().clone()
}

/// Asks about a request as a proxy does.
fn asking(client: &Client, method: &str, uri: &str) -> Client {
    client.with("x-forwarded-method", method).with("x-forwarded-uri", uri)
}

async fn every_place_that_checks_tokens_is_recorded(server: TestServer) {
    let admin = server.person("Ada", Role::Admin).await;
    let made = generate(&server, &admin.token, "used", None).await;
    let (id, secret) = (made.id(), made.bearer());
    let client = server.as_(&secret).with("user-agent", "curl/8.5.0").with("x-forwarded-for", "198.51.100.7");
    let answer = client.get("/api/users/me?secret=in-the-query").await;
    client.get("/api/users/4711").await.problem(404);
    client.get("/api/no-such-thing").await;
    asking(&client, "PUT", "/things/7?secret=in-the-query").get("/forward-auth").await.expect(200);
    server.as_(&admin.token).post_form("/oauth/introspect", &[("token", secret.expose())]).await.expect(200);
    client.get("/scim/v2/Users?filter=x").await;
    let rows = of_token(&server, &admin.token, id).await;
    let seen: Vec<_> = rows.iter().rev().map(allowed).collect();
    assert_eq!(
        seen,
        [
            ("api", "GET", "/api/users/me", Some(200)),
            ("api", "GET", "/api/users/4711", Some(404)),
            ("forward_auth", "PUT", "/things/7", Some(200)),
            ("introspection", "POST", "/oauth/introspect", Some(200)),
            ("scim", "GET", "/scim/v2/Users", Some(400)),
        ]
    );
    let first = rows.last().unwrap();
    assert_eq!(first["time"], json!(server.clock.now().to_string()));
    assert_eq!((&first["ip"], &first["user_agent"]), (&json!("198.51.100.7"), &json!("curl/8.5.0")));
    assert_eq!(first["node"], json!(server.app.node));
    assert_eq!(first["request_id"].as_str(), answer.header("x-request-id"));
    assert!(first.get("token").is_none(), "whose they are was said in the path: {first}");
    // The introspecting token has a row of its own, and looking is a request too.
    let own: Vec<_> =
        of_token(&server, &admin.token, admin.token_id).await.iter().map(|row| row["path"].clone()).collect();
    assert!(own.contains(&json!("/oauth/introspect")), "{own:?}");
}

/// An Admin sees what a person did, and not with which of their tokens.
async fn paths_do_not_tell_numbers_of_tokens(server: TestServer) {
    let (admin, mia) = (server.person("Ada", Role::Admin).await, server.person("Mia", Role::Member).await);
    let id = generate(&server, &mia.token, "secret-plan", None).await.id();
    let client = server.as_(&mia.token);
    for path in ["", "/requests", "/report", "/requests/top"] {
        client.get(&format!("/api/user-tokens/{id}{path}")).await.expect(200);
    }
    set_revoked(&server, &mia.token, id, true).await;
    client.post(&format!("/api/user-tokens/{id}/rotate"), &json!({})).await.problem(409);
    client.delete(&format!("/api/user-tokens/{id}")).await.expect(204);
    client.get(&format!("/api/users/{}", mia.id)).await.expect(200);
    let rows = items(&server.as_(&admin.token).get(&format!("/api/users/{}/requests", mia.id)).await);
    let paths: Vec<_> = rows.iter().rev().map(|row| row["path"].as_str().unwrap().to_owned()).collect();
    let one = "/api/user-tokens/{id}";
    assert_eq!(
        paths,
        [
            "/api/user-tokens",
            one,
            &format!("{one}/requests"),
            &format!("{one}/report"),
            &format!("{one}/requests/top"),
            one,
            &format!("{one}/rotate"),
            one,
            &format!("/api/users/{}", mia.id),
        ]
    );
}

#[tokio::test]
async fn the_gateway_records_what_the_upstream_answered() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move {
        let teapot = Router::new().fallback(|| async { StatusCode::IM_A_TEAPOT });
        axum::serve(listener, teapot).await
    });
    let server = TestServer::builder()
        .configured(|config| {
            config.gateway.upstream = Some(upstream);
            config.gateway.rules = rules();
        })
        .start()
        .await;
    let mia = server.person("Mia", Role::Member).await;
    let client = server.as_(&mia.token);
    client.get("/things?page=2").await.expect(418);
    client.get("/reports/7").await.problem(403);
    client.get("/a//b").await.problem(400);
    let rows = of_token(&server, &mia.token, mia.token_id).await;
    let seen: Vec<_> = rows
        .iter()
        .rev()
        .map(|row| (row["via"].clone(), row["reason"].clone(), row["path"].clone(), row["status"].clone()))
        .collect();
    let row =
        |reason: &str, path: &str, status: u16| (json!("gateway"), json!(reason), json!(path), json!(status));
    assert_eq!(
        seen,
        [row("ok", "/things", 418), row("forbidden", "/reports/7", 403), row("forbidden", "/a//b", 400)]
    );
}

async fn refusals_are_recorded_with_their_reason(server: TestServer) {
    let admin = server.person("Ada", Role::Admin).await;
    let service = server.service_user("Pipeline", Role::Member).await;
    let (scim_id, scim) = server.scim_token(&service).await;
    let ids = [service.token_id, scim_id];
    let try_all = async |token: &Bearer| {
        forward_auth(&server, token, "GET").await;
        server.as_(token).get("/api/user-tokens").await;
    };
    try_all(&scim).await;
    try_all(&service.token).await;
    let revoked = server.as_(&admin.token);
    revoked.delete(&format!("/api/users/{}", service.id)).await.expect(204);
    try_all(&service.token).await;
    revoked.post(&format!("/api/users/{}/reactivate", service.id), &json!({})).await.expect(200);
    set_revoked(&server, &admin.token, service.token_id, true).await;
    try_all(&service.token).await;
    try_all(&Bearer::new("garbage")).await;
    let mut forged = service.token.expose().to_owned();
    forged.push('A');
    try_all(&Bearer::new(forged)).await;
    // Nothing was presented, so nothing was decided.
    asking(&server.client(), "GET", "/x").get("/forward-auth").await.expect(401);
    server.client().get("/api/users/me").await.problem(401);
    let mut reasons: BTreeMap<(i64, String), u64> = BTreeMap::new();
    for row in items(&revoked.get("/api/requests?decision=denied&limit=100").await) {
        let token = row["token"]["id"].as_i64().unwrap_or_default();
        *reasons.entry((token, row["reason"].as_str().unwrap().to_owned())).or_default() += 1;
    }
    let expected = [
        ((0, "malformed"), 4),
        ((ids[0], "deactivated"), 2),
        ((ids[0], "forbidden"), 1),
        ((ids[0], "revoked"), 2),
        ((ids[1], "scim_only"), 2),
    ];
    let expected: BTreeMap<_, _> =
        expected.into_iter().map(|((id, reason), count)| ((id, reason.to_owned()), count)).collect();
    assert_eq!(reasons, expected);
    // The audit trail has nothing of it.
    let before = head(&server).await;
    try_all(&service.token).await;
    assert_eq!(head(&server).await, before);
}

async fn holders_see_their_own_and_admins_service_tokens(server: TestServer) {
    let people = server.people().await;
    let everybody = [&people.admin, &people.manager, &people.member, &people.service];
    for account in everybody {
        forward_auth(&server, &account.token, "GET").await.expect(200);
    }
    let status = async |caller: &Account, path: String| server.as_(&caller.token).get(&path).await.status;
    for question in ["", "/summary", "/top"] {
        for owner in everybody {
            for caller in everybody {
                let is_service = owner.id == people.service.id;
                let (is_own, is_admin) = (caller.id == owner.id, caller.id == people.admin.id);
                let token = format!("/api/user-tokens/{}/requests{question}", owner.token_id);
                let may = if is_service { is_admin } else { is_own };
                assert_eq!(
                    status(caller, token.clone()).await,
                    if may { 200 } else { 404 },
                    "{token} {caller:?}"
                );
                let user = format!("/api/users/{}/requests{question}", owner.id);
                let may = is_admin || (is_own && !is_service);
                assert_eq!(
                    status(caller, user.clone()).await,
                    if may { 200 } else { 403 },
                    "{user} {caller:?}"
                );
            }
        }
        let nobody = status(&people.admin, format!("/api/users/4711/requests{question}")).await;
        assert_eq!(nobody, 404);
        assert_eq!(status(&people.member, format!("/api/users/4711/requests{question}")).await, 403);
    }
    let all = items(&server.as_(&people.admin.token).get("/api/requests?limit=100").await);
    let owners: Vec<_> = all.iter().map(|row| row["token"]["user_id"].as_i64()).collect();
    assert!(!owners.is_empty() && owners.iter().all(|owner| *owner == Some(people.service.id)), "{owners:?}");
}

async fn personal_tokens_have_no_name_for_anybody_else(server: TestServer) {
    let (admin, mia) = (server.person("Ada", Role::Admin).await, server.person("Mia", Role::Member).await);
    let secret = generate(&server, &mia.token, "secret-plan", None).await.bearer();
    forward_auth(&server, &secret, "GET").await.expect(200);
    let path = format!("/api/users/{}/requests", mia.id);
    let own = items(&server.as_(&mia.token).get(&path).await);
    assert!(own.iter().any(|row| row["token"]["name"] == "secret-plan"), "{own:?}");
    let seen = server.as_(&admin.token).get(&path).await;
    assert_eq!(items(&seen).len(), own.len() + 1, "all of hers, and her own look at them");
    assert!(!seen.text().contains("secret-plan") && !seen.text().contains("\"token\""), "{}", seen.text());
}

#[tokio::test]
async fn rows_are_filtered_summed_up_and_ranked() {
    let server = TestServer::start().await;
    let mia = server.person("Mia", Role::Member).await;
    let client = server.as_(&mia.token);
    for hour in 0..3 {
        for (address, method, uri) in
            [("198.51.100.1", "GET", "/a/1"), ("198.51.100.2", "GET", "/a/2"), ("198.51.100.1", "PUT", "/b")]
        {
            let client = client.with("x-forwarded-for", address).with("user-agent", address);
            asking(&client, method, uri).get("/forward-auth").await;
        }
        server.clock.turn_to(server.clock.now().plus_seconds(3_600));
        assert!(hour < 3);
    }
    let base = format!("/api/user-tokens/{}/requests", mia.token_id);
    let count = async |query: &str| items(&client.get(&format!("{base}?path=/*&{query}")).await);
    let of_paths =
        async |query: &str| count(query).await.iter().filter(|row| row["via"] == "forward_auth").count();
    assert_eq!(of_paths("limit=100").await, 9);
    assert_eq!(of_paths("decision=denied").await, 3, "a Member may not put");
    assert_eq!(of_paths("decision=allowed&ip=198.51.100.1").await, 3);
    assert_eq!(items(&client.get(&format!("{base}?path=/a/*")).await).len(), 6);
    assert_eq!(items(&client.get(&format!("{base}?path=/a/1")).await).len(), 3);
    let start = tokenhouse_testkit::server::START;
    let (from, to) = (start.plus_seconds(3_600), start.plus_seconds(7_200));
    assert_eq!(items(&client.get(&format!("{base}?from={from}&to={to}")).await).len(), 3);
    // Part by part, without a gap and without one twice.
    let (mut seen, mut next) = (Vec::new(), Some(String::new()));
    let before = server.clock.now();
    while let Some(cursor) = next {
        let cursor = if cursor.is_empty() { cursor } else { format!("&cursor={cursor}") };
        let part =
            client.get(&format!("{base}?limit=2&to={before}&path=/*{cursor}")).await.expect(200).json();
        seen.extend(part["items"].as_array().unwrap().iter().map(|row| row["request_id"].clone()));
        next = part["next_cursor"].as_str().map(str::to_owned);
    }
    assert_eq!(seen.len(), 9);
    let distinct: std::collections::BTreeSet<_> = seen.iter().map(Value::to_string).collect();
    assert_eq!(distinct.len(), 9);
    let summary = client.get(&format!("{base}/summary?to={before}")).await.expect(200).json();
    assert_eq!((&summary["allowed"], &summary["denied"]), (&json!(6), &json!(3)));
    let buckets = summary["buckets"].as_array().unwrap();
    assert!(
        buckets.len() == 3 && buckets.iter().all(|b| b["allowed"] == 2 && b["denied"] == 1),
        "{buckets:?}"
    );
    assert_eq!(buckets[0]["start"], "2026-01-15T10:00:00Z");
    let days = client.get(&format!("{base}/summary?per=day&to={before}")).await.expect(200).json();
    assert_eq!(days["buckets"], json!([{"start": "2026-01-15T00:00:00Z", "allowed": 6, "denied": 3}]));
    let top = client.get(&format!("{base}/top?to={before}")).await.expect(200).json();
    let last = start.plus_seconds(7_200).to_string();
    assert_eq!(top["ips"][0], json!({"value": "198.51.100.1", "allowed": 3, "denied": 3, "last": last}));
    assert_eq!(top["paths"][0]["value"], "/a/1");
    assert_eq!(top["user_agents"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn wrong_questions_are_told_which_field_is_wrong() {
    let server = TestServer::start().await;
    let mia = server.person("Mia", Role::Member).await;
    let base = format!("/api/user-tokens/{}/requests", mia.token_id);
    for (query, field) in [
        ("from=yesterday", "from"),
        ("to=2026-01-15", "to"),
        ("decision=maybe", "decision"),
        ("ip=localhost", "ip"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=many", "limit"),
        ("cursor=x", "cursor"),
        ("cursor=%00", "cursor"),
    ] {
        let answer = server.as_(&mia.token).get(&format!("{base}?{query}")).await;
        assert_eq!(answer.wrong_fields(), [field], "{query}");
    }
    let answer = server.as_(&mia.token).get(&format!("{base}/summary?per=week")).await;
    assert_eq!(answer.wrong_fields(), ["per"]);
}

#[tokio::test]
async fn every_decision_is_one_row() {
    let server = TestServer::start().await;
    let admin = server.person("Ada", Role::Admin).await;
    let service = server.service_user("Pipeline", Role::Member).await;
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..32 {
        let (good, bad) = (server.as_(&service.token), server.as_(&Bearer::new("garbage")));
        asking.spawn(async move {
            for turn in 0..50 {
                let client = if (number + turn) % 5 == 0 { &bad } else { &good };
                let method = if turn % 7 == 0 { "POST" } else { "GET" };
                let asked = client.with("x-forwarded-method", method).with("x-forwarded-uri", "/x");
                asked.get("/forward-auth").await;
            }
        });
    }
    asking.join_all().await;
    let metrics = server.app.metrics.text(&server.app.feed, None, None, &[]);
    let counted = |outcome: &str| {
        let name = format!("tokenhouse_checks_total{{at=\"forward_auth\",outcome=\"{outcome}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse::<u64>().unwrap()
    };
    let summary = server.as_(&admin.token).get("/api/requests/summary").await.expect(200).json();
    let (good, bad) = (counted("ok"), counted("malformed"));
    assert_eq!(good + bad, 1_600);
    assert_eq!(summary["allowed"].as_u64().unwrap() + summary["denied"].as_u64().unwrap(), 1_600);
    // Good tokens that asked for more than a Member may do were refused by the rules.
    let refused = items(&server.as_(&admin.token).get("/api/requests?decision=denied&limit=100").await);
    assert!(refused.iter().any(|row| row["reason"] == "forbidden"));
}

#[tokio::test]
async fn hostile_paths_and_agents_are_kept_and_told_as_they_are() {
    let server = TestServer::start().await;
    let mia = server.person("Mia", Role::Member).await;
    let long = format!("/{}", "x".repeat(7_000));
    for uri in ["/<script>alert(1)</script>", "/%00%0a%1b[31m", "/\"'`;--", long.as_str()] {
        asking(&server.as_(&mia.token), "GET", uri).get("/forward-auth").await;
    }
    let rows = of_token(&server, &mia.token, mia.token_id).await;
    let paths: Vec<_> = rows.iter().rev().map(|row| row["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["/<script>alert(1)</script>", "/%00%0a%1b[31m", "/\"'`;--", long.as_str()]);
}

#[tokio::test]
async fn dead_tokens_that_are_tried_are_counted() {
    let server = TestServer::start().await;
    let admin = server.person("Ada", Role::Admin).await;
    let made = generate(&server, &admin.token, "leaked", None).await;
    forward_auth(&server, &made.bearer(), "GET").await.expect(200);
    set_revoked(&server, &admin.token, made.id(), true).await;
    let id = tokenhouse_core::id::TokenId(made.id());
    let knocks = async |server: &TestServer| {
        server.app.dead_tokens.of(&server.app.store, &[id]).await.unwrap().remove(&id)
    };
    assert_eq!(knocks(&server).await, None, "nobody has tried it since");
    for address in ["198.51.100.1", "198.51.100.2"] {
        server.pass_days(1);
        let client = server.as_(&made.bearer()).with("x-forwarded-for", address);
        asking(&client, "GET", "/x").get("/forward-auth").await.expect(401);
    }
    let seen = knocks(&server).await.unwrap();
    assert_eq!((seen.count, seen.at, &*seen.ip), (2, server.clock.now(), "198.51.100.2"));
    let server = server.restart().await;
    assert_eq!(knocks(&server).await, Some(seen), "it survives a stop");
}

#[tokio::test]
async fn without_a_log_there_is_nothing_to_tell() {
    let server = TestServer::builder().configured(|config| config.request_log.enabled = false).start().await;
    let mia = server.person("Mia", Role::Member).await;
    let path = format!("/api/user-tokens/{}/requests", mia.token_id);
    server.as_(&mia.token).get(&path).await.problem(404);
}
