//! What reviews find, at its instant and not before; signing off; the files to be kept.

use serde_json::{Value, json};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::TokenId;
use tokenhouse_core::index::Use;
use tokenhouse_core::people::Role;
use tokenhouse_testkit::server::{Account, Bearer, TestServer};

use super::{forward_auth, set_revoked};

on_both_databases!(
    an_unused_token_is_found_at_its_instant,
    a_token_that_expires_is_found_until_it_has_a_successor,
    a_plan_leaves_a_token_in_peace_until_it_is_due,
    dead_tokens_that_are_tried_are_found,
    service_users_are_found_by_what_is_wrong_with_them,
    a_sign_off_is_a_record_with_what_was_left,
    files_have_every_finding_and_the_head_of_the_trail,
    many_findings_are_read_in_parts,
);

/// Findings of a rule.
async fn found(server: &TestServer, admin: &Account, rule: &str) -> Vec<Value> {
    let answer = server.as_(&admin.token).get(&format!("/api/reviews?rule={rule}")).await.expect(200).json();
    let items = answer["items"].as_array().unwrap().clone();
    assert_eq!(answer["total"], json!(items.len()));
    items
}

fn token_ids(findings: &[Value]) -> Vec<i64> {
    findings.iter().map(|finding| finding["token"]["id"].as_i64().unwrap()).collect()
}

/// A service token that lives so many days, made by an Admin.
async fn service_token(
    server: &TestServer,
    admin: &Account,
    owner: &Account,
    name: &str,
    days: Option<i64>,
) -> (i64, Bearer) {
    let wanted = json!({ "name": name, "expires_in_days": days, "user_id": owner.id });
    let made = server.as_(&admin.token).post("/api/user-tokens", &wanted).await;
    (made.expect(201).id(), made.bearer())
}

/// Turns the clock to the instant before, looks, and turns it to the instant.
fn just_before(server: &TestServer, at: Timestamp) {
    server.clock.turn_to(Timestamp::from_micros(at.micros() - 1));
}

async fn an_unused_token_is_found_at_its_instant(server: TestServer) {
    let (ada, robot) =
        (server.person("Ada", Role::Admin).await, server.service_user("R", Role::Member).await);
    let (used, secret) = service_token(&server, &ada, &robot, "used", None).await;
    let (quiet, _) = service_token(&server, &ada, &robot, "quiet", None).await;
    // Somebody's own token is nobody's business.
    server.as_(&ada.token).post("/api/user-tokens", &json!({ "name": "mine" })).await.expect(201);
    let made = server.clock.now().whole_second();
    server.pass_days(10);
    let last_use = server.clock.now();
    forward_auth(&server, &secret, "GET").await.expect(200);
    just_before(&server, made.plus_days(30));
    assert_eq!(found(&server, &ada, "unused").await, Vec::<Value>::new());
    server.clock.turn_to(made.plus_days(30));
    server.write_uses().await;
    let findings = found(&server, &ada, "unused").await;
    assert_eq!(token_ids(&findings), [robot.token_id, quiet]);
    assert_eq!(findings[1]["since"], json!(made.plus_days(30)));
    assert_eq!((&findings[1]["severity"], &findings[1]["fix"]), (&json!("medium"), &json!("revoke")));
    assert_eq!(findings[1]["href"], json!(format!("/settings/tokens/{quiet}/revoke")));
    set_revoked(&server, &ada.token, quiet, true).await;
    set_revoked(&server, &ada.token, robot.token_id, true).await;
    just_before(&server, last_use.plus_days(90));
    assert_eq!(found(&server, &ada, "unused").await, Vec::<Value>::new());
    server.clock.turn_to(last_use.plus_days(90));
    assert_eq!(token_ids(&found(&server, &ada, "unused").await), [used]);
    // A use that is not written yet counts.
    forward_auth(&server, &secret, "GET").await.expect(200);
    let answer = server.as_(&ada.token).get("/api/reviews?rule=unused").await.expect(200).json();
    assert_eq!(answer["items"], json!([]));
}

async fn a_token_that_expires_is_found_until_it_has_a_successor(server: TestServer) {
    let (ada, robot) =
        (server.person("Ada", Role::Admin).await, server.service_user("R", Role::Member).await);
    let (id, _) = service_token(&server, &ada, &robot, "ends", Some(60)).await;
    let end = server.clock.now().whole_second().plus_days(60);
    just_before(&server, end.plus_days(-30));
    assert_eq!(found(&server, &ada, "expiring").await, Vec::<Value>::new());
    server.clock.turn_to(end.plus_days(-30));
    let findings = found(&server, &ada, "expiring").await;
    assert_eq!(token_ids(&findings), [id]);
    assert_eq!(findings[0]["since"], json!(end.plus_days(-30)));
    assert_eq!((&findings[0]["severity"], &findings[0]["fix"]), (&json!("medium"), &json!("rotate")));
    server.clock.turn_to(end.plus_days(-7));
    assert_eq!(found(&server, &ada, "expiring").await[0]["severity"], "high");
    let successor = server
        .as_(&ada.token)
        .post(&format!("/api/user-tokens/{id}/rotate"), &json!({}))
        .await
        .expect(201)
        .id();
    assert_eq!(found(&server, &ada, "expiring").await, Vec::<Value>::new());
    set_revoked(&server, &ada.token, successor, true).await;
    assert_eq!(token_ids(&found(&server, &ada, "expiring").await), [id]);
    server.clock.turn_to(end);
    assert_eq!(found(&server, &ada, "expiring").await, Vec::<Value>::new(), "it has expired");
}

async fn a_plan_leaves_a_token_in_peace_until_it_is_due(server: TestServer) {
    let (ada, robot) =
        (server.person("Ada", Role::Admin).await, server.service_user("R", Role::Member).await);
    let (id, _) = service_token(&server, &ada, &robot, "planned", Some(60)).await;
    let (other, _) = service_token(&server, &ada, &robot, "by its owner's plan", Some(60)).await;
    let end = server.clock.now().whole_second().plus_days(60);
    let plan =
        |responsible: &str, days: i64| json!({ "plan": { "responsible": responsible, "days_before": days } });
    let path = format!("/api/user-tokens/{id}/rotation");
    let planned = server.as_(&ada.token).put(&path, &plan("deploy job", 5)).await.expect(200).json();
    assert_eq!(planned["rotation"]["plan"], json!({ "responsible": "deploy job", "days_before": 5 }));
    let of_user = format!("/api/users/{}/rotation", robot.id);
    let user = server.as_(&ada.token).put(&of_user, &plan("platform team", 10)).await.expect(200).json();
    assert_eq!(user["rotation_plan"]["responsible"], "platform team");
    just_before(&server, end.plus_days(-10));
    assert_eq!(found(&server, &ada, "expiring").await, Vec::<Value>::new());
    server.clock.turn_to(end.plus_days(-10));
    let findings = found(&server, &ada, "expiring").await;
    assert_eq!(token_ids(&findings), [other]);
    assert_eq!(
        (&findings[0]["who"], &findings[0]["since"]),
        (&json!("platform team"), &json!(end.plus_days(-10)))
    );
    just_before(&server, end.plus_days(-5));
    assert_eq!(token_ids(&found(&server, &ada, "expiring").await), [other]);
    server.clock.turn_to(end.plus_days(-5));
    let findings = found(&server, &ada, "expiring").await;
    assert_eq!(token_ids(&findings), [id, other]);
    assert_eq!(findings[0]["who"], "deploy job");
    for (plan, field) in [
        (json!({ "plan": { "responsible": " ", "days_before": 5 } }), "plan.responsible"),
        (json!({ "plan": { "responsible": "x", "days_before": 0 } }), "plan.days_before"),
        (json!({ "plan": { "responsible": "x", "days_before": 366 } }), "plan.days_before"),
    ] {
        let refused = server.as_(&ada.token).put(&path, &plan).await.expect(422).json();
        assert_eq!(refused["errors"][0]["field"], field);
    }
    let taken_back = server.as_(&ada.token).put(&path, &json!({ "plan": null })).await.expect(200).json();
    assert_eq!(taken_back.get("rotation"), None);
    let person = format!("/api/users/{}/rotation", ada.id);
    server.as_(&ada.token).put(&person, &plan("me", 5)).await.expect(422);
}

async fn dead_tokens_that_are_tried_are_found(server: TestServer) {
    let (ada, robot) =
        (server.person("Ada", Role::Admin).await, server.service_user("R", Role::Member).await);
    let (id, secret) = service_token(&server, &ada, &robot, "dead", None).await;
    set_revoked(&server, &ada.token, id, true).await;
    let revoked = server.clock.now();
    server.app.dead_tokens.flush(&server.app.store, &server.app.alerts.routes).await.unwrap();
    assert_eq!(found(&server, &ada, "still_tried").await, Vec::<Value>::new());
    server.pass_days(2);
    let tried = server.clock.now();
    forward_auth(&server, &secret, "GET").await.expect(401);
    server.app.dead_tokens.flush(&server.app.store, &server.app.alerts.routes).await.unwrap();
    let findings = found(&server, &ada, "still_tried").await;
    assert_eq!(token_ids(&findings), [id]);
    assert_eq!(findings[0]["severity"], "high");
    assert_eq!((&findings[0]["since"], &findings[0]["last_tried"]), (&json!(revoked), &json!(tried)));
    assert_eq!(findings[0]["last_tried_ip"], "127.0.0.1");
    server.clock.turn_to(tried.plus_days(30));
    assert_eq!(token_ids(&found(&server, &ada, "still_tried").await), [id]);
    server.clock.turn_to(Timestamp::from_micros(tried.plus_days(30).micros() + 1));
    assert_eq!(found(&server, &ada, "still_tried").await, Vec::<Value>::new(), "that is long ago");
    forward_auth(&server, &secret, "GET").await.expect(401);
    server.app.dead_tokens.flush(&server.app.store, &server.app.alerts.routes).await.unwrap();
    assert_eq!(token_ids(&found(&server, &ada, "still_tried").await), [id]);
    set_revoked(&server, &ada.token, id, false).await;
    assert_eq!(found(&server, &ada, "still_tried").await, Vec::<Value>::new(), "it works again");
    // So is one that has expired, from that instant on, and one whose owner is deactivated, as long as that is so.
    let (ends, secret) = service_token(&server, &ada, &robot, "ends", Some(1)).await;
    server.clock.turn_to(server.clock.now().whole_second().plus_days(1));
    forward_auth(&server, &secret, "GET").await.expect(401);
    server.app.dead_tokens.flush(&server.app.store, &server.app.alerts.routes).await.unwrap();
    assert_eq!(token_ids(&found(&server, &ada, "still_tried").await), [ends]);
    let path = format!("/api/users/{}", robot.id);
    server.as_(&ada.token).delete(&path).await.expect(204);
    forward_auth(&server, &robot.token, "GET").await.expect(401);
    server.app.dead_tokens.flush(&server.app.store, &server.app.alerts.routes).await.unwrap();
    let mut tried = token_ids(&found(&server, &ada, "still_tried").await);
    tried.sort_unstable();
    assert_eq!(tried, [robot.token_id, id, ends]);
    server.as_(&ada.token).post(&format!("{path}/reactivate"), &json!({})).await.expect(200);
    assert_eq!(token_ids(&found(&server, &ada, "still_tried").await), [ends]);
}

async fn service_users_are_found_by_what_is_wrong_with_them(server: TestServer) {
    let ada = server.person("Ada", Role::Admin).await;
    let robot = server.service_user("Robot", Role::Admin).await;
    let users = |findings: Vec<Value>| -> Vec<i64> {
        findings.iter().map(|finding| finding["user"]["id"].as_i64().unwrap()).collect()
    };
    assert_eq!(users(found(&server, &ada, "admin_role").await), [robot.id]);
    assert_eq!(users(found(&server, &ada, "nobody_answers").await), [robot.id]);
    assert_eq!(token_ids(&found(&server, &ada, "never_expires").await), [robot.token_id]);
    let path = format!("/api/users/{}", robot.id);
    // Half of it isn't enough, and Managers may not do everything.
    let half = json!({ "role": "Manager", "purpose": "deploys" });
    server.as_(&ada.token).put(&path, &half).await.expect(200);
    assert_eq!(users(found(&server, &ada, "admin_role").await), [0; 0]);
    assert_eq!(users(found(&server, &ada, "nobody_answers").await), [robot.id]);
    let mended = json!({ "role": "Member", "owner": "platform team" });
    server.as_(&ada.token).put(&path, &mended).await.expect(200);
    assert_eq!(users(found(&server, &ada, "admin_role").await), [0; 0]);
    assert_eq!(users(found(&server, &ada, "nobody_answers").await), [0; 0]);
    let (revoked, _) = service_token(&server, &ada, &robot, "revoked", None).await;
    set_revoked(&server, &ada.token, revoked, true).await;
    // Deactivated, its tokens would come back with it; nothing else is said of them.
    let since = server.clock.now();
    server.as_(&ada.token).delete(&path).await.expect(204);
    let findings = found(&server, &ada, "orphaned").await;
    assert_eq!(token_ids(&findings), [robot.token_id]);
    assert_eq!((&findings[0]["since"], &findings[0]["who"]), (&json!(since), &json!("platform team")));
    assert_eq!(found(&server, &ada, "never_expires").await, Vec::<Value>::new());
    let all = server.as_(&ada.token).get("/api/reviews").await.expect(200).json();
    assert_eq!((&all["total"], &all["items"][0]["rule"]), (&json!(1), &json!("orphaned")));
    server.as_(&ada.token).get("/api/reviews?rule=else").await.expect(422);
}

async fn a_sign_off_is_a_record_with_what_was_left(server: TestServer) {
    let ada = server.person("Ada", Role::Admin).await;
    server.service_user("Robot", Role::Member).await;
    let path = "/api/reviews/sign-offs";
    server.as_(&ada.token).post(path, &json!({ "comment": " " })).await.expect(422);
    let signed =
        server.as_(&ada.token).post(path, &json!({ "comment": "all known" })).await.expect(201).json();
    assert_eq!(signed["action"], "review.signed_off");
    assert_eq!(signed["entity"]["name"], "2026-Q1");
    assert_eq!(signed["changes"]["comment"], json!([null, "all known"]));
    assert_eq!(signed["changes"]["findings"], json!([null, 2]));
    assert_eq!(signed["changes"]["by_rule"][1]["never_expires"], 1);
    assert_eq!(signed["actor"]["id"], json!(ada.id));
    server.pass_days(100);
    server.as_(&ada.token).post(path, &json!({ "comment": "again" })).await.expect(201);
    let history = server.as_(&ada.token).get(path).await.expect(200).json();
    let quarters: Vec<_> =
        history["items"].as_array().unwrap().iter().map(|record| &record["entity"]["name"]).collect();
    assert_eq!(quarters, [&json!("2026-Q2"), &json!("2026-Q1")]);
}

async fn files_have_every_finding_and_the_head_of_the_trail(server: TestServer) {
    let ada = server.person("Ada", Role::Admin).await;
    let robot = server.service_user("=cmd|'x", Role::Member).await;
    let mut reader = server.app.store.read().await.unwrap();
    let (head, _) = tokenhouse_store::audit::head(&mut reader).await.unwrap();
    drop(reader);
    let hash = tokenhouse_core::audit::hex(&head.hash);
    let csv = server.as_(&ada.token).get("/api/reviews.csv").await;
    assert_eq!(csv.expect(200).header("x-audit-head"), Some(&*format!("{}:{hash}", head.seq)));
    let lines: Vec<_> = csv.text().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert!(lines[0].starts_with("rule,severity,since,who,fix,token_id,"), "{lines:#?}");
    assert!(
        lines.iter().skip(1).all(|line| line.contains("'=cmd|'x") && line.ends_with(&hash)),
        "{lines:#?}"
    );
    let json = server.as_(&ada.token).get("/api/reviews.json").await.expect(200).json();
    assert_eq!(json["head"], json!({ "seq": head.seq, "hash": hash }));
    let rules: Vec<_> = json["items"].as_array().unwrap().iter().map(|item| &item["rule"]).collect();
    assert_eq!(rules, [&json!("nobody_answers"), &json!("never_expires")]);
    assert_eq!(json["items"][1]["token"]["id"], json!(robot.token_id));
}

async fn many_findings_are_read_in_parts(server: TestServer) {
    let (ada, robot) =
        (server.person("Ada", Role::Admin).await, server.service_user("R", Role::Member).await);
    // More than a file reads at once, and than a page has.
    let mut writer = server.app.begin_unchecked().await.unwrap();
    let call = tokenhouse::auth::guard::Call::command_line();
    let at = writer.now().whole_second();
    for number in 0..1_203 {
        let name = tokenhouse_core::people::Name::parse(&format!("t{number}")).unwrap();
        let mut hash = [7; 32];
        hash[..8].copy_from_slice(&u64::to_be_bytes(number));
        let new = tokenhouse_store::tokens::NewToken {
            owner: tokenhouse_core::id::UserId(robot.id),
            name: &name,
            hash: tokenhouse_core::token::TokenHash::from_bytes(hash),
            scim_only: false,
            created_at: at,
            created_by: tokenhouse_core::id::UserId(ada.id),
            expires_at: Some(at.plus_days(200)),
            parent_id: None,
            rotates: None,
        };
        let id = tokenhouse_store::tokens::insert(&mut writer, &new).await.unwrap();
        let draft = call.draft(
            tokenhouse_core::audit::Action::TokenGenerated,
            id.0,
            name.as_str(),
            serde_json::Map::new(),
        );
        writer.record(draft).await.unwrap();
    }
    server.app.commit(writer).await.unwrap();
    server.pass_days(40);
    let json = server.as_(&ada.token).get("/api/reviews.json?rule=unused").await.expect(200).json();
    let mut ids: Vec<_> =
        json["items"].as_array().unwrap().iter().map(|item| item["token"]["id"].as_i64().unwrap()).collect();
    assert_eq!(ids.len(), 1_204);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 1_204, "each once");
    // Unused ones are between service users and what never expires: pages run over the borders of rules.
    let mut seen = Vec::new();
    for page in 1..=13 {
        let path = format!("/api/reviews?page={page}&size=100");
        let answer = server.as_(&ada.token).get(&path).await.expect(200).json();
        assert_eq!(answer["total"], 1_206);
        seen.extend(
            answer["items"].as_array().unwrap().iter().map(|item| item["rule"].as_str().unwrap().to_owned()),
        );
    }
    let of = |rule: &str| seen.iter().filter(|known| *known == rule).count();
    assert_eq!((seen.len(), of("unused"), of("nobody_answers"), of("never_expires")), (1_206, 1_204, 1, 1));
    // Used by now, though the index doesn't know it: a whole part of the file has nothing to tell.
    let now = Use { at: server.clock.now(), ip: [192, 0, 2, 1].into() };
    let uses: Vec<_> = ids[..600].iter().map(|id| (TokenId(*id), now)).collect();
    tokenhouse_store::usage::record(&server.app.store, &uses).await.unwrap();
    let json = server.as_(&ada.token).get("/api/reviews.json?rule=unused").await.expect(200).json();
    assert_eq!(json["items"].as_array().unwrap().len(), 604);
}
