//! Teams and who is in them.

use serde_json::{Value, json};
use tokenhouse_core::people::Role;
use tokenhouse_testkit::server::TestServer;

use super::{forward_auth, head};

on_both_databases!(
    a_team_has_its_members,
    public_is_everybodys,
    names_are_unique_without_regard_to_case,
    a_page_of_teams,
    memberships_act_at_once,
    unknown_members_are_told,
);

async fn a_team_has_its_members(server: TestServer) {
    let people = server.people().await;
    let admin = server.as_(&people.admin.token);
    let (member, service) = (people.member.id, people.service.id);
    let wanted =
        json!({ "name": " Data ", "description": "Loads\nthings", "members": [service, member, member] });
    let made = admin.post("/api/teams", &wanted).await;
    let id = made.expect(201).id();
    assert_eq!(made.header("location"), Some(&*format!("/api/teams/{id}")));
    let expected = json!({
        "id": id, "name": "Data", "description": "Loads\nthings", "created_at": "2026-01-15T10:30:00.25Z",
        "member_count": 2, "members": [
            { "id": member, "user_id": people.member.user_id, "name": "Mia Member" },
            { "id": service, "user_id": "pipeline@service", "name": "Pipeline" },
        ],
    });
    assert_eq!(made.json(), expected);
    let path = format!("/api/teams/{id}");
    assert_eq!(server.as_(&people.manager.token).get(&path).await.expect(200).json(), expected);
    let changed =
        admin.put(&path, &json!({ "members": [service], "description": "" })).await.expect(200).json();
    assert_eq!((&changed["member_count"], &changed["description"]), (&json!(1), &Value::Null));
    assert_eq!(changed["name"], "Data");
    // What changes nothing writes nothing.
    let before = head(&server).await;
    for nothing in [
        json!({}),
        json!({ "name": "Data" }),
        json!({ "members": [service, service] }),
        json!({ "name": null }),
    ] {
        admin.put(&path, &nothing).await.expect(200);
    }
    assert_eq!(head(&server).await, before);
    admin.delete(&path).await.expect(204);
    admin.delete(&path).await.problem(404);
    admin.get(&path).await.problem(404);
}

async fn public_is_everybodys(server: TestServer) {
    let people = server.people().await;
    let admin = server.as_(&people.admin.token);
    let before = head(&server).await;
    let public = admin.get("/api/teams/1").await.expect(200).json();
    assert_eq!((&public["name"], &public["member_count"]), (&json!("Public"), &json!(4)));
    assert_eq!(public["members"].as_array().unwrap().len(), 4);
    admin.delete("/api/teams/1").await.problem(409);
    for change in [json!({ "name": "Private" }), json!({ "members": [] }), json!({ "description": "x" })] {
        admin.put("/api/teams/1", &change).await.problem(409);
    }
    for name in ["Public", "public", " PUBLIC "] {
        admin.post("/api/teams", &json!({ "name": name })).await.problem(409);
    }
    assert_eq!(head(&server).await, before);
}

async fn names_are_unique_without_regard_to_case(server: TestServer) {
    let admin = server.person("Ada", Role::Admin).await;
    let admin = server.as_(&admin.token);
    let data = admin.post("/api/teams", &json!({ "name": "Größe" })).await.expect(201).id();
    let ops = admin.post("/api/teams", &json!({ "name": "Ops" })).await.expect(201).id();
    admin.post("/api/teams", &json!({ "name": "GRÖßE" })).await.problem(409);
    admin.put(&format!("/api/teams/{ops}"), &json!({ "name": "gro\u{308}ße" })).await.problem(409);
    // Its own name in another case is not taken.
    let renamed = admin.put(&format!("/api/teams/{data}"), &json!({ "name": "größe" })).await;
    assert_eq!(renamed.expect(200).json()["name"], "größe");
    admin.delete(&format!("/api/teams/{data}")).await.expect(204);
    admin.put(&format!("/api/teams/{ops}"), &json!({ "name": "Größe" })).await.expect(200);
}

async fn a_page_of_teams(server: TestServer) {
    let admin = server.person("Ada", Role::Admin).await;
    let admin = server.as_(&admin.token);
    for name in ["beta", "Alpha", "Gamma"] {
        admin.post("/api/teams", &json!({ "name": name })).await.expect(201);
    }
    let mut seen = Vec::new();
    for page in 1..=3 {
        let part = admin.get(&format!("/api/teams?page={page}&size=2")).await.expect(200).json();
        assert_eq!((&part["total"], &part["page"], &part["size"]), (&json!(4), &json!(page), &json!(2)));
        for team in part["items"].as_array().unwrap() {
            assert!(team.get("members").is_none());
            seen.push(team["name"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(seen, ["Public", "Alpha", "beta", "Gamma"]);
}

async fn memberships_act_at_once(server: TestServer) {
    let people = server.people().await;
    let admin = server.as_(&people.admin.token);
    let told = || async {
        let asked = forward_auth(&server, &people.member.token, "GET").await;
        asked.expect(200).header("x-auth-teams").unwrap().to_owned()
    };
    let data = admin.post("/api/teams", &json!({ "name": "Data", "members": [people.member.id] })).await.id();
    let path = format!("/api/teams/{data}");
    assert_eq!(told().await, "Public,Data");
    admin.put(&path, &json!({ "name": "Zeta" })).await.expect(200);
    assert_eq!(told().await, "Public,Zeta");
    admin.put(&path, &json!({ "members": [people.service.id] })).await.expect(200);
    assert_eq!(told().await, "Public");
    admin.put(&path, &json!({ "members": [people.service.id, people.member.id] })).await.expect(200);
    assert_eq!(told().await, "Public,Zeta");
    admin.delete(&path).await.expect(204);
    assert_eq!(told().await, "Public");
    let me = server.as_(&people.member.token).get("/api/users/me").await.json();
    assert_eq!(me["teams"], json!(["Public"]));
}

async fn unknown_members_are_told(server: TestServer) {
    let people = server.people().await;
    let admin = server.as_(&people.admin.token);
    let before = head(&server).await;
    let refused =
        admin.post("/api/teams", &json!({ "name": "x", "members": [people.member.id, 999, 0, -1] })).await;
    assert_eq!(refused.wrong_fields(), ["members", "members", "members"]);
    let many: Vec<i64> = (1_000..4_000).collect();
    assert_eq!(
        admin.post("/api/teams", &json!({ "name": "x", "members": many })).await.wrong_fields().len(),
        3_000
    );
    assert_eq!(head(&server).await, before);
}
