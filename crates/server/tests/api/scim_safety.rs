//! What a directory may rely on, and what it can't break.

use http::Method;
use serde_json::{Value, json};
use tokenhouse::auth::guard::Call;
use tokenhouse::service::tokens;
use tokenhouse_core::id::UserId;
use tokenhouse_core::people::Role;
use tokenhouse_core::policy::Caller;
use tokenhouse_testkit::server::{Bearer, TestServer};

use super::scim::{Scim, id, path, refused};
use super::{generate, head, is_accepted};

on_both_databases!(
    deactivating_somebody_stops_their_tokens_at_once,
    removing_somebody_kills_their_tokens_for_good,
    the_last_active_admin_stays,
    service_users_are_not_there,
    a_change_of_role_acts_at_once,
    records_name_the_token_that_came_in,
    bad_input_changes_nothing,
);

/// A personal token of a person who was made by a directory.
async fn token_of(server: &TestServer, person: &Value) -> Bearer {
    let user = UserId(id(person).parse().unwrap());
    let call = Call::command_line();
    let call = Call { caller: Caller { id: user, ..call.caller }, ..call };
    let wanted =
        tokens::Wanted { name: "laptop", expires_in_days: None, scim_endpoints_only: false, user_id: None };
    Bearer::new(tokens::generate(&server.app, &call, wanted).await.unwrap().bearer_token.expose())
}

async fn deactivating_somebody_stops_their_tokens_at_once(server: TestServer) {
    let people = server.people().await;
    let scim = Scim::of(&server, &people.admin).await;
    let eve = scim.person(json!({ "userName": "eve" })).await;
    let token = token_of(&server, &eve).await;
    let off = [
        json!([{ "op": "replace", "path": "active", "value": false }]),
        json!([{ "op": "Replace", "value": { "active": "False" } }]),
    ];
    for off in off {
        assert!(is_accepted(&server, &token).await);
        scim.patch(&path(&eve), off).await.expect(200);
        assert!(!is_accepted(&server, &token).await);
        let on = json!([{ "op": "add", "path": "active", "value": "True" }]);
        assert_eq!(scim.patch(&path(&eve), on).await.expect(200).json()["active"], true);
    }
    scim.put(&path(&eve), &json!({ "userName": "eve", "active": false })).await.expect(200);
    assert!(!is_accepted(&server, &token).await);
    // Sessions end, too.
    let browser = server.browser(&people.member).await;
    browser.get("/settings/tokens").await.expect(200);
    let off = json!([{ "op": "replace", "path": "active", "value": false }]);
    scim.patch(&format!("/Users/{}", people.member.id), off).await.expect(200);
    assert_ne!(browser.get("/settings/tokens").await.status, 200);
    assert!(!is_accepted(&server, &people.member.token).await);
    // Whoever is made inactive never begins.
    let cy = scim.person(json!({ "userName": "cy", "active": false })).await;
    assert_eq!(cy["active"], false);
}

async fn removing_somebody_kills_their_tokens_for_good(server: TestServer) {
    let people = server.people().await;
    let scim = Scim::of(&server, &people.admin).await;
    let second = generate(&server, &people.member.token, "second", None).await.bearer();
    let group = scim.group("Data", &[&people.member.id.to_string()]).await;
    let before = head(&server).await;
    scim.delete(&format!("/Users/{}", people.member.id)).await.expect(204);
    for token in [&people.member.token, &second] {
        assert!(!is_accepted(&server, token).await);
        // Told as revoked, not as deactivated.
        let refusal = server.as_(token).get("/api/user-tokens/current").await;
        assert!(refusal.header("www-authenticate").unwrap().contains("revoked"), "{refusal}");
    }
    let admin = server.as_(&people.admin.token);
    let activity = admin.get("/api/activity").await.expect(200).json();
    let actions: Vec<_> =
        activity["items"].as_array().unwrap().iter().map(|record| &record["action"]).collect();
    assert_eq!(actions[..3], ["user.removed", "token.revoked", "token.revoked"]);
    assert_eq!(head(&server).await, before + 3);
    assert_eq!(activity["items"][0]["changes"]["teams"], json!([["Public", "Data"], ["Public"]]));
    assert!(scim.members(id(&group)).await.is_empty());
    let listed = admin.get("/api/users?include_deleted=true").await.json();
    assert!(listed["items"].as_array().unwrap().iter().all(|user| user["id"] != people.member.id));
    admin.get(&format!("/api/users/{}", people.member.id)).await.problem(404);
    // The name is free for somebody else, who has none of it.
    let again = scim.person(json!({ "userName": "Mia.Member@example.com" })).await;
    assert_ne!(id(&again), people.member.id.to_string());
    assert!(!is_accepted(&server, &people.member.token).await);
}

async fn the_last_active_admin_stays(server: TestServer) {
    let people = server.people().await;
    let robot = server.service_user("Robot", Role::Admin).await;
    let scim = Scim::of(&server, &robot).await;
    let admin = format!("/Users/{}", people.admin.id);
    let shown = scim.get(&admin).await.json();
    let before = head(&server).await;
    let replace = |path: &str, value: Value| json!([{ "op": "replace", "path": path, "value": value }]);
    for answer in [
        scim.patch(&admin, replace("active", json!(false))).await,
        scim.patch(&admin, replace("roles", json!([{ "value": "Manager" }]))).await,
        scim.patch(&admin, json!([{ "op": "remove", "path": "roles" }])).await,
        scim.put(&admin, &json!({ "userName": "ada.admin@example.com", "roles": [] })).await,
        scim.put(
            &admin,
            &json!({ "userName": "ada.admin@example.com", "roles": ["Admin"], "active": false }),
        )
        .await,
        scim.delete(&admin).await,
    ] {
        refused(&answer, 409, None);
    }
    assert_eq!(head(&server).await, before);
    assert_eq!(scim.get(&admin).await.json(), shown);
    assert!(is_accepted(&server, &people.admin.token).await);
    // With another one, it can be done, also both at once.
    scim.person(json!({ "userName": "second", "roles": ["Admin"] })).await;
    let both = json!({ "userName": "ada.admin@example.com", "active": false });
    scim.put(&admin, &both).await.expect(200);
    assert!(!is_accepted(&server, &people.admin.token).await);
    scim.delete(&admin).await.expect(204);
}

async fn service_users_are_not_there(server: TestServer) {
    let people = server.people().await;
    let scim = Scim::of(&server, &people.admin).await;
    let robot = format!("/Users/{}", people.service.id);
    let before = head(&server).await;
    for answer in [
        scim.get(&robot).await,
        scim.delete(&robot).await,
        scim.put(&robot, &json!({ "userName": "pipeline" })).await,
        scim.patch(&robot, json!([{ "op": "replace", "path": "active", "value": false }])).await,
    ] {
        refused(&answer, 404, None);
    }
    for filter in
        [r#"userName eq "pipeline""#, r#"displayName eq "Pipeline""#, r#"emails.value co "service""#]
    {
        assert!(scim.found("/Users", filter, "id").await.is_empty(), "{filter}");
    }
    let by_id = format!("id eq \"{}\"", people.service.id);
    assert!(scim.found("/Users", &by_id, "id").await.is_empty());
    assert_eq!(scim.get("/Users").await.json()["totalResults"], 3);
    assert_eq!(head(&server).await, before);
    assert!(is_accepted(&server, &people.service.token).await);
}

async fn a_change_of_role_acts_at_once(server: TestServer) {
    let people = server.people().await;
    let scim = Scim::of(&server, &people.admin).await;
    let mia = format!("/Users/{}", people.member.id);
    let api = server.as_(&people.member.token);
    api.get("/api/users").await.problem(403);
    scim.patch(&mia, json!([{ "op": "add", "path": "roles", "value": [{ "value": "manager" }] }]))
        .await
        .expect(200);
    api.get("/api/users").await.expect(200);
    scim.patch(&mia, json!([{ "op": "replace", "path": "roles", "value": [{ "value": "Root" }] }]))
        .await
        .expect(200);
    api.get("/api/users").await.problem(403);
    // Somebody who loses the role loses the way in.
    let second = scim.person(json!({ "userName": "second", "roles": ["Admin"] })).await;
    let theirs = Scim::with(&server, &token_of(&server, &second).await);
    theirs.get("/Users").await.expect(200);
    scim.put(&path(&second), &json!({ "userName": "second" })).await.expect(200);
    refused(&theirs.get("/Users").await, 403, None);
}

async fn records_name_the_token_that_came_in(server: TestServer) {
    let people = server.people().await;
    let (scim_token, bearer) = server.scim_token(&people.admin).await;
    let (scim, plain) = (Scim::with(&server, &bearer), Scim::with(&server, &people.admin.token));
    let eve = scim.person(json!({ "userName": "eve", "externalId": "e-1", "title": "T" })).await;
    plain.patch(&path(&eve), json!([{ "op": "replace", "path": "title", "value": "U" }])).await.expect(200);
    scim.patch(&path(&eve), json!([{ "op": "replace", "path": "active", "value": false }])).await.expect(200);
    scim.delete(&path(&eve)).await.expect(204);
    let records = server.as_(&people.admin.token).get("/api/activity").await.json()["items"].clone();
    let expected = [
        ("user.removed", scim_token),
        ("user.deactivated", scim_token),
        ("user.updated", people.admin.token_id),
        ("user.created", scim_token),
    ];
    for (record, (action, token)) in records.as_array().unwrap().iter().zip(expected) {
        assert_eq!(
            (&record["action"], &record["via"]),
            (&json!(action), &json!({ "kind": "scim", "token_id": token }))
        );
        assert_eq!(
            (&record["actor"]["id"], &record["entity"]["id"]),
            (&json!(people.admin.id), &json!(id(&eve).parse::<i64>().unwrap()))
        );
    }
    assert_eq!(records[2]["changes"], json!({ "title": ["T", "U"] }));
    assert_eq!(
        (&records[3]["changes"]["external_id"], &records[3]["changes"]["role"]),
        (&json!([null, "e-1"]), &json!([null, "Member"]))
    );
}

async fn bad_input_changes_nothing(server: TestServer) {
    let people = server.people().await;
    let scim = Scim::of(&server, &people.admin).await;
    let eve = scim.person(json!({ "userName": "eve" })).await;
    let before = head(&server).await;
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let deep_object = format!("{}1{}", "{\"name\":".repeat(10_000), "}".repeat(10_000));
    for (method, at) in [
        (Method::POST, "/Users".to_owned()),
        (Method::PUT, path(&eve)),
        (Method::PATCH, path(&eve)),
        (Method::POST, "/Bulk".to_owned()),
    ] {
        for body in [
            "",
            "{",
            "nonsense",
            "[]",
            "\"text\"",
            "7",
            "null",
            "{} {}",
            "{\"userName\":\"\\ud800\"}",
            &deep,
            &deep_object,
        ] {
            refused(&scim.send(method.clone(), &at, body).await, 400, Some("invalidSyntax"));
        }
        for media_type in
            [None, Some("text/plain"), Some("application/xml"), Some("application/json-patch+json")]
        {
            let sent = scim.client.send(method.clone(), &format!("/scim/v2{at}"), media_type, "{}").await;
            refused(&sent, 415, None);
        }
        let huge = format!("{{\"userName\":\"{}\"}}", "x".repeat(1_100_000));
        refused(&scim.send(method, &at, huge).await, 413, None);
    }
    for body in [
        json!({ "userName": 7 }),
        json!({ "userName": "x\u{0}" }),
        json!({ "userName": ["a", "b"] }),
        json!({ "userName": "x".repeat(256) }),
        json!({ "userName": "x", "active": 1 }),
        json!({ "userName": "x", "active": "perhaps" }),
        json!({ "userName": "x", "name": "Eve" }),
        json!({ "userName": "x", "emails": 7 }),
        json!({ "userName": "x", "emails": [{ "value": {} }] }),
        json!({ "userName": "x", "externalId": 7 }),
        json!({ "userName": "x", "schemas": 7 }),
        json!({ "userName": "x", "schemas": [7] }),
        json!({ "userName": "x", "schemas": ["urn:x"] }),
        json!({ "userName": "x", "roles": [true] }),
        json!({ "userName": "x", "title": {} }),
        json!({ "userName": "x", "displayName": "a\u{1}" }),
    ] {
        refused(&scim.post("/Users", &body).await, 400, Some("invalidValue"));
        refused(&scim.put(&path(&eve), &body).await, 400, Some("invalidValue"));
    }
    for unknown in ["0", "-1", "+1", "01", "999999", "9223372036854775808", "x", "%00", "1%20", "%2e%2e"] {
        for answer in [
            scim.get(&format!("/Users/{unknown}")).await,
            scim.get(&format!("/Groups/{unknown}")).await,
            scim.delete(&format!("/Users/{unknown}")).await,
            scim.put(&format!("/Users/{unknown}"), &json!({ "userName": "x" })).await,
            scim.patch(&format!("/Groups/{unknown}"), json!([{ "op": "remove", "path": "members" }])).await,
        ] {
            assert_eq!(answer.status, 404, "{answer}");
        }
    }
    assert_eq!(head(&server).await, before);
    assert_eq!(scim.get(&path(&eve)).await.json(), eve);
}
