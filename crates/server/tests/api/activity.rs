//! The audit trail: one record for every change, and what can be asked of them.

use serde_json::{Value, json};
use tokenhouse_core::people::Role;
use tokenhouse_testkit::client::{Answer, Client};
use tokenhouse_testkit::server::{People, TestServer};

use super::{generate, head, set_revoked};

on_both_databases!(
    every_change_writes_exactly_one_record,
    the_command_line_and_tokens_are_told_apart,
    windows_end_with_the_day_that_is_asked_for,
    records_are_filtered,
    insights_are_figures_of_the_same_records,
    the_csv_holds_the_same_rows,
    the_chain_holds_together,
);

async fn newest(admin: &Client) -> Value {
    admin.get("/api/activity?size=1").await.expect(200).json()["items"][0].clone()
}

/// Answers the one record that `answer` wrote, after looking at what all have in common.
async fn record(
    server: &TestServer,
    people: &People,
    before: i64,
    answer: &Answer,
    action: &str,
    entity: i64,
) -> Value {
    assert_eq!(answer.status / 100, 2, "{answer}");
    assert_eq!(head(server).await, before + 1, "{answer}");
    let record = newest(&server.as_(&people.admin.token)).await;
    assert_eq!(record["seq"], before + 1);
    assert_eq!(record["action"], action);
    assert_eq!(record["at"], "2026-01-15T10:30:00.25Z");
    let kind = action.split('.').next().unwrap();
    assert_eq!((&record["entity"]["type"], &record["entity"]["id"]), (&json!(kind), &json!(entity)));
    assert_eq!(
        record["actor"],
        json!({ "id": people.admin.id, "user_id": people.admin.user_id, "name": "Ada Admin", "user_type": "Human" })
    );
    assert_eq!(record["via"], json!({ "kind": "token", "token_id": people.admin.token_id }));
    assert_eq!(record["ip"], "198.51.100.7");
    assert_eq!(record["request_id"].as_str(), answer.header("x-request-id"));
    assert_eq!(record["hash"].as_str().unwrap().len(), 64);
    record["changes"].clone()
}

async fn every_change_writes_exactly_one_record(server: TestServer) {
    let people = server.people().await;
    let admin = server.as_(&people.admin.token).with("x-forwarded-for", "198.51.100.7");
    macro_rules! changes {
        ($answer:expr, $action:literal, $id:expr) => {{
            let before = head(&server).await;
            let answer = $answer.await;
            let id = if $id == 0 { answer.id() } else { $id };
            (id, record(&server, &people, before, &answer, $action, id).await)
        }};
    }
    let body = json!({ "name": "made", "expires_in_days": 1 });
    let (token, changed) = changes!(admin.post("/api/user-tokens", &body), "token.generated", 0);
    let made = json!({
        "name": [null, "made"], "owner": [null, people.admin.user_id], "kind": [null, "personal"],
        "expiration": [null, "2026-01-16T10:30:00Z"], "scim_endpoints_only": [null, false],
    });
    assert_eq!(changed, made);
    let path = format!("/api/user-tokens/{token}");
    let (_, changed) = changes!(admin.put(&path, &json!({ "revoke": true })), "token.revoked", token);
    assert_eq!(changed, json!({ "active": [true, false] }));
    let (_, changed) = changes!(admin.put(&path, &json!({ "revoke": false })), "token.restored", token);
    assert_eq!(changed, json!({ "active": [false, true] }));
    let (successor, changed) =
        changes!(admin.post(&format!("{path}/rotate"), &json!({})), "token.rotated", 0);
    assert_eq!(changed["rotates"], json!([null, token]));
    set_revoked(&server, &people.admin.token, successor, true).await;
    let path = format!("/api/user-tokens/{successor}");
    let (_, changed) = changes!(admin.delete(&path), "token.deleted", successor);
    assert_eq!(changed, json!({ "name": ["made (rotated 2026-01-15)", null] }));

    let body = json!({ "name": "Robot", "role": "Member", "purpose": "p" });
    let (user, changed) = changes!(admin.post("/api/users", &body), "user.created", 0);
    assert_eq!((&changed["role"], &changed["purpose"]), (&json!([null, "Member"]), &json!([null, "p"])));
    let path = format!("/api/users/{user}");
    let body = json!({ "name": "Robot", "role": "Manager", "purpose": "" });
    let (_, changed) = changes!(admin.put(&path, &body), "user.updated", user);
    assert_eq!(changed, json!({ "role": ["Member", "Manager"], "purpose": ["p", null] }));
    let (_, changed) = changes!(admin.delete(&path), "user.deactivated", user);
    assert_eq!(changed, json!({ "deleted_at": [null, "2026-01-15T10:30:00.25Z"] }));
    let reactivate = format!("{path}/reactivate");
    let (_, changed) = changes!(admin.post(&reactivate, &json!({})), "user.reactivated", user);
    assert_eq!(changed, json!({ "deleted_at": ["2026-01-15T10:30:00.25Z", null] }));

    let body = json!({ "name": "Data", "members": [user] });
    let (team, changed) = changes!(admin.post("/api/teams", &body), "team.created", 0);
    assert_eq!(changed, json!({ "name": [null, "Data"], "members": [null, [user]] }));
    let (_, changed) = changes!(admin.put(&path, &json!({ "teams": [] })), "user.updated", user);
    assert_eq!(changed, json!({ "teams": [["Public", "Data"], ["Public"]] }));
    let path = format!("/api/teams/{team}");
    let body = json!({ "name": "Ops", "members": [people.member.id] });
    let (_, changed) = changes!(admin.put(&path, &body), "team.updated", team);
    assert_eq!(changed, json!({ "name": ["Data", "Ops"], "members": [[], [people.member.id]] }));
    let (_, changed) = changes!(admin.delete(&path), "team.deleted", team);
    assert_eq!(changed["name"], json!(["Ops", null]));
}

async fn the_command_line_and_tokens_are_told_apart(server: TestServer) {
    let people = server.people().await;
    let admin = server.as_(&people.admin.token);
    let made_there = newest(&admin).await;
    assert_eq!((&made_there["actor"], &made_there["via"]), (&Value::Null, &json!({ "kind": "cli" })));
    assert_eq!((&made_there["ip"], &made_there["request_id"]), (&Value::Null, &Value::Null));
    // Failed attempts and reading write nothing.
    let before = head(&server).await;
    server.client().get("/api/activity").await.problem(401);
    server.as_(&people.member.token).get("/api/activity").await.problem(403);
    admin.post("/api/users", &json!({ "name": "" })).await.problem(422);
    admin.get("/api/activity.csv").await.expect(200);
    assert_eq!(head(&server).await, before);
    // The record says what was, also when the actor is called otherwise later.
    generate(&server, &people.member.token, "t", None).await.expect(201);
    let path = format!("/api/users/{}", people.member.id);
    admin.put(&path, &json!({ "name": "Somebody Else" })).await.expect(200);
    let page = admin.get("/api/activity?action=token.generated&size=1").await.json();
    assert_eq!(page["items"][0]["actor"]["name"], "Mia Member");
}

async fn windows_end_with_the_day_that_is_asked_for(server: TestServer) {
    // Three records a person: 2026-01-15, and then days later.
    let ada = server.person("Ada", Role::Admin).await;
    let client = server.as_(&ada.token);
    for days in [6, 1, 30, 100] {
        server.pass_days(days);
        generate(&server, &ada.token, &format!("after {days}"), None).await.expect(201);
    }
    // Now: 2026-06-01; records on 01-15 (2), 01-21, 01-22, 02-21, 06-01.
    for (query, total) in [
        ("", 1),
        ("timeframe=week", 1),
        ("timeframe=year", 6),
        ("date=2026-06-07", 1),
        ("date=2026-06-08", 0),
        ("date=2026-05-31", 0),
        ("date=2026-01-21", 3),
        ("date=2026-01-22", 2),
        ("date=2026-01-15", 2),
        ("date=2026-01-14", 0),
        ("date=2026-02-13&timeframe=month", 4),
        ("date=2026-02-14&timeframe=month", 2),
        ("date=2026-04-14&timeframe=quarter", 5),
        ("date=2026-04-15&timeframe=quarter", 3),
        ("date=2027-01-14&timeframe=year", 6),
        ("date=2027-01-15&timeframe=year", 4),
        ("date=9999-12-30", 0),
        ("date=0001-01-01&timeframe=year", 0),
    ] {
        let page = client.get(&format!("/api/activity?{query}")).await.expect(200).json();
        assert_eq!(page["total"], total, "{query}");
        let figures = client.get(&format!("/api/activity/insights?{query}")).await.expect(200).json();
        assert_eq!(figures["total_actions"], total, "{query}");
        let rows = client.get(&format!("/api/activity.csv?{query}")).await.expect(200).text();
        assert_eq!(rows.lines().count(), total + 1, "{query}");
    }
}

async fn records_are_filtered(server: TestServer) {
    let people = server.people().await;
    let robot = server.service_user("Robot", Role::Admin).await;
    let admin = server.as_(&people.admin.token);
    server.pass_days(10);
    generate(&server, &people.member.token, "a", None).await.expect(201);
    generate(&server, &people.member.token, "b", None).await.expect(201);
    admin.post("/api/teams", &json!({ "name": "Data" })).await.expect(201);
    server
        .as_(&robot.token)
        .post("/api/users", &json!({ "name": "Other", "role": "Member" }))
        .await
        .expect(201);
    server.service_user("By Command Line", Role::Member).await;
    let (member, robot) = (people.member.id, robot.id);
    for (query, total) in [
        (String::new(), 6),
        (format!("user={member}"), 2),
        (format!("user={robot}"), 1),
        ("user=999".into(), 0),
        ("action=token.generated".into(), 3),
        ("action=team.created".into(), 1),
        ("action=team.deleted".into(), 0),
        ("entity=user".into(), 2),
        ("entity=token".into(), 3),
        ("entity=team".into(), 1),
        ("hide_internal=true".into(), 3),
        ("hide_internal=false".into(), 6),
        (format!("hide_internal=true&entity=token&user={member}&action=token.generated"), 2),
        (format!("hide_internal=true&user={robot}"), 0),
    ] {
        let page = admin.get(&format!("/api/activity?{query}")).await.expect(200).json();
        assert_eq!(page["total"], total, "{query}");
        assert_eq!(page["items"].as_array().unwrap().len(), total, "{query}");
    }
    let page = admin.get("/api/activity?size=2&page=2").await.json();
    let seqs: Vec<i64> =
        page["items"].as_array().unwrap().iter().map(|r| r["seq"].as_i64().unwrap()).collect();
    let head = head(&server).await;
    assert_eq!(seqs, [head - 2, head - 3]);
}

async fn insights_are_figures_of_the_same_records(server: TestServer) {
    let people = server.people().await;
    let admin = server.as_(&people.admin.token);
    server.pass_days(10);
    let empty = admin.get("/api/activity/insights").await.expect(200).json();
    let none =
        (&empty["active_users"], &empty["total_actions"], &empty["most_active_user"], &empty["top_category"]);
    assert_eq!(none, (&json!(0), &json!(0), &Value::Null, &Value::Null));
    for name in ["a", "b", "c"] {
        generate(&server, &people.member.token, name, None).await.expect(201);
    }
    server.pass_days(2);
    admin.post("/api/teams", &json!({ "name": "Data" })).await.expect(201);
    server.service_user("By Command Line", Role::Member).await;
    let figures = admin.get("/api/activity/insights").await.expect(200).json();
    assert_eq!((&figures["active_users"], &figures["total_actions"]), (&json!(2), &json!(6)));
    assert_eq!(figures["top_category"], "token");
    assert_eq!(
        figures["most_active_user"],
        json!({ "id": people.member.id, "user_id": people.member.user_id, "name": "Mia Member", "user_type": "Human", "actions": 3 })
    );
    let buckets: Vec<(String, i64, i64)> = figures["buckets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|bucket| {
            let count = |name: &str| bucket[name].as_i64().unwrap();
            (bucket["start"].as_str().unwrap().to_owned(), count("user"), count("automated"))
        })
        .collect();
    let day = |day: u32, user, automated| (format!("2026-01-{day}T00:00:00Z"), user, automated);
    let expected = [
        day(21, 0, 0),
        day(22, 0, 0),
        day(23, 0, 0),
        day(24, 0, 0),
        day(25, 3, 0),
        day(26, 0, 0),
        day(27, 1, 2),
    ];
    assert_eq!(buckets, expected);
    let month = admin.get("/api/activity/insights?timeframe=year").await.json();
    assert_eq!(month["buckets"].as_array().unwrap().len(), 365);
}

async fn the_csv_holds_the_same_rows(server: TestServer) {
    let people = server.people().await;
    let admin = server.as_(&people.admin.token);
    for name in ["=1+1", "+1", "-1", "@SUM(A1)", "a,\"b\"", "=cmd|' /C calc'!A0"] {
        generate(&server, &people.admin.token, name, None).await.expect(201);
    }
    let answer = admin.get("/api/activity.csv").await;
    assert_eq!(answer.expect(200).header("content-type"), Some("text/csv; charset=utf-8"));
    assert_eq!(answer.header("content-disposition"), Some("attachment; filename=\"activity.csv\""));
    let mut reader = csv::Reader::from_reader(&*answer.body);
    let heads: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let rows: Vec<Vec<String>> =
        reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect();
    let page = admin.get("/api/activity?size=100").await.json();
    let items = page["items"].as_array().unwrap();
    assert_eq!(rows.len(), items.len());
    let cell = |row: &[String], name: &str| row[heads.iter().position(|head| head == name).unwrap()].clone();
    for (row, item) in rows.iter().zip(items) {
        // No cell begins a formula.
        assert!(row.iter().all(|cell| !cell.starts_with(['=', '+', '-', '@', '\t', '\r'])), "{row:?}");
        let shown = cell(row, "entity_name");
        assert_eq!(shown.strip_prefix('\'').unwrap_or(&shown), item["entity"]["name"].as_str().unwrap());
        assert_eq!(cell(row, "seq"), item["seq"].to_string());
        for (name, value) in [("at", &item["at"]), ("action", &item["action"]), ("hash", &item["hash"])] {
            assert_eq!(cell(row, name), value.as_str().unwrap());
        }
        assert_eq!(serde_json::from_str::<Value>(&cell(row, "changes")).unwrap(), item["changes"]);
        assert_eq!(cell(row, "actor_user_id"), item["actor"]["user_id"].as_str().unwrap_or_default());
    }
    // Of no rows, the heads of the columns are left.
    let none = admin.get("/api/activity.csv?action=team.deleted").await.expect(200).text();
    assert_eq!(none.lines().count(), 1);
}

async fn the_chain_holds_together(server: TestServer) {
    let people = server.people().await;
    for name in ["a", "b"] {
        generate(&server, &people.member.token, name, None).await.expect(201);
    }
    let server = server.restart().await;
    generate(&server, &people.member.token, "c", None).await.expect(201);
    let head = head(&server).await;
    let verified = tokenhouse_store::audit::verify(&server.app.store, None).await.unwrap().unwrap();
    assert_eq!(verified.seq, head);
    let page = server.as_(&people.admin.token).get("/api/activity?size=100").await.json();
    let seqs: Vec<i64> =
        page["items"].as_array().unwrap().iter().map(|r| r["seq"].as_i64().unwrap()).collect();
    assert_eq!(seqs, (1..=head).rev().collect::<Vec<_>>());
}
