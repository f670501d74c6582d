//! Users and service users.

use serde_json::{Value, json};
use tokenhouse_core::people::Role;
use tokenhouse_testkit::server::{PUBLIC_URL, TestServer};

use super::{forward_auth, head};

on_both_databases!(
    a_service_user_is_made_with_who_answers_for_it,
    slugs_are_made_by_the_rule,
    a_person_is_invited,
    names_that_are_taken_conflict,
    a_page_has_the_size_that_was_asked_for,
    users_are_filtered,
    users_are_sorted,
    an_update_changes_what_is_there_and_nothing_else,
    teams_act_at_once,
    deactivation_is_idempotent,
);

fn names(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().unwrap();
    items.iter().map(|user| user["name"].as_str().unwrap().to_owned()).collect()
}

async fn a_service_user_is_made_with_who_answers_for_it(server: TestServer) {
    let people = server.people().await;
    let admin = server.as_(&people.admin.token);
    admin.post("/api/teams", &json!({ "name": "Data" })).await.expect(201);
    let wanted = json!({
        "name": " Pipeline  Automation ", "role": "Manager", "teams": ["data", "Public"],
        "purpose": "Nightly loads\nand more", "owner": "Data Team",
    });
    let made = admin.post("/api/users", &wanted).await;
    let id = made.expect(201).id();
    assert_eq!(made.header("location"), Some(&*format!("/api/users/{id}")));
    let expected = json!({
        "id": id, "user_id": "pipeline_automation@service", "user_name": "pipeline_automation",
        "email": "pipeline_automation@service", "name": "Pipeline  Automation", "role": "Manager", "user_type": "Service",
        "teams": ["Public", "Data"], "last_login": null, "created_at": "2026-01-15T10:30:00.25Z", "deleted_at": null,
        "created_by": people.admin.id, "purpose": "Nightly loads\nand more", "owner": "Data Team",
    });
    assert_eq!(made.json(), expected);
    assert_eq!(admin.get(&format!("/api/users/{id}")).await.expect(200).json(), expected);
    // It outlives who made it.
    let other = server.person("Other Admin", Role::Admin).await;
    server.as_(&other.token).delete(&format!("/api/users/{}", people.admin.id)).await.expect(204);
    assert_eq!(server.as_(&other.token).get(&format!("/api/users/{id}")).await.json(), expected);
}

async fn slugs_are_made_by_the_rule(server: TestServer) {
    let admin = server.person("Ada", Role::Admin).await;
    let admin = server.as_(&admin.token);
    let longest = "x".repeat(255);
    for (name, slug) in [
        ("Pipeline Automation", "pipeline_automation"),
        ("Émile \u{2003}\t K-9!", "mile_k-9"),
        ("CI/CD @home", "cicd_home"),
        ("__", "__"),
        ("-", "-"),
        (&longest, &longest),
    ] {
        let made = admin.post("/api/users", &json!({ "name": name, "role": "Member" })).await;
        // A tab is a control character, which no name holds.
        if name.contains('\t') {
            assert_eq!(made.wrong_fields(), ["name"]);
            continue;
        }
        let made = made.expect(201).json();
        assert_eq!((&made["user_name"], &made["user_id"]), (&json!(slug), &json!(format!("{slug}@service"))));
    }
    for empty in ["日本語", "!?", "@"] {
        let refused = admin.post("/api/users", &json!({ "name": empty, "role": "Member" })).await;
        assert_eq!(refused.wrong_fields(), ["name"], "{empty}");
    }
    for taken in ["pipeline automation", "Pipeline_Automation!"] {
        admin.post("/api/users", &json!({ "name": taken, "role": "Member" })).await.problem(409);
    }
}

async fn a_person_is_invited(server: TestServer) {
    let admin = server.person("Ada", Role::Admin).await;
    let client = server.as_(&admin.token);
    let wanted =
        json!({ "user_type": "Human", "name": "Ben", "role": "Member", "email": " ben@example.com " });
    let made = client.post("/api/users", &wanted).await;
    assert_eq!(made.expect(201).header("cache-control"), Some("no-store"));
    let shown = made.json();
    assert_eq!(
        (&shown["email"], &shown["user_name"]),
        (&json!("ben@example.com"), &json!("ben@example.com"))
    );
    assert!(shown["user_id"].as_str().unwrap().starts_with("local|"));
    let link = shown["invite_url"].as_str().unwrap();
    let code = link.strip_prefix(&format!("{PUBLIC_URL}/invite/")).unwrap();
    assert!(code.len() >= 43, "{} characters are too few", code.len());
    for path in [format!("/api/users/{}", made.id()), "/api/activity".into(), "/api/users".into()] {
        assert!(!client.get(&path).await.text().contains(code), "{path} shows the link");
    }
    let other = client.post("/api/users", &json!({ "name": "Robot", "role": "Member" })).await;
    assert!(other.expect(201).json().get("invite_url").is_none());
}

async fn names_that_are_taken_conflict(server: TestServer) {
    let admin = server.person("Ada", Role::Admin).await;
    let admin = server.as_(&admin.token);
    let person =
        |email: &str| json!({ "user_type": "Human", "name": "Ben", "role": "Member", "email": email });
    let ben = admin.post("/api/users", &person("Ben@example.com")).await.expect(201).id();
    let before = head(&server).await;
    admin.post("/api/users", &person("ben@EXAMPLE.com")).await.problem(409);
    // Deactivated is not gone.
    admin.delete(&format!("/api/users/{ben}")).await.expect(204);
    admin.post("/api/users", &person("ben@example.com")).await.problem(409);
    assert_eq!(head(&server).await - before, 1);
    // Display names are nobody's.
    admin.post("/api/users", &person("ben2@example.com")).await.expect(201);
}

/// Ada, Ben, ben, Zoë and a service user, of whom Ada is asked about.
async fn crowd(server: &TestServer) -> tokenhouse_testkit::client::Client {
    let ada = server.person("Ada", Role::Admin).await;
    for (days, name, role) in
        [(1, "ben", Role::Manager), (1, "Zoë", Role::Member), (1, "Ben II", Role::Member)]
    {
        server.pass_days(days);
        server.person(name, role).await;
    }
    server.pass_days(1);
    server.service_user("Robot 100%", Role::Admin).await;
    server.as_(&ada.token)
}

async fn a_page_has_the_size_that_was_asked_for(server: TestServer) {
    let client = crowd(&server).await;
    let whole = client.get("/api/users").await.expect(200).json();
    assert_eq!((&whole["total"], &whole["page"], &whole["size"]), (&json!(5), &json!(1), &json!(50)));
    let mut gathered = Vec::new();
    for page in 1..=3 {
        let part = client.get(&format!("/api/users?page={page}&size=2")).await.expect(200).json();
        assert_eq!((&part["total"], &part["page"], &part["size"]), (&json!(5), &json!(page), &json!(2)));
        gathered.extend(names(&part));
    }
    assert_eq!(gathered, names(&whole));
    for beyond in ["4", "1000000000"] {
        let part = client.get(&format!("/api/users?page={beyond}&size=2")).await.expect(200).json();
        assert_eq!((&part["total"], &part["items"]), (&json!(5), &json!([])));
    }
    client.get("/api/users?size=100").await.expect(200);
}

async fn users_are_filtered(server: TestServer) {
    let client = crowd(&server).await;
    let page = client.get("/api/users?name=zo%C3%AB").await.json();
    let zoe = page["items"][0]["id"].clone();
    client.post("/api/teams", &json!({ "name": "Data & Co", "members": [zoe] })).await.expect(201);
    let robot = client.get("/api/users?type=Service").await.json()["items"][0]["id"].clone();
    client.delete(&format!("/api/users/{robot}")).await.expect(204);
    for (query, expected) in [
        ("", &["Ada", "ben", "Ben II", "Zoë"][..]),
        ("include_deleted=true", &["Ada", "ben", "Ben II", "Robot 100%", "Zoë"]),
        ("include_deleted=false", &["Ada", "ben", "Ben II", "Zoë"]),
        ("type=Service", &[]),
        ("type=Service&include_deleted=true", &["Robot 100%"]),
        ("type=Human&role=Member", &["Ben II", "Zoë"]),
        ("role=Admin", &["Ada"]),
        ("name=BEN", &["ben", "Ben II"]),
        ("name=ZO%C3%8B", &["Zoë"]),
        ("name=zoe%CC%88", &["Zoë"]),
        ("name=%25&include_deleted=true", &["Robot 100%"]),
        ("name=_", &[]),
        ("name=%27%20OR%201%3D1--", &[]),
        ("name=", &["Ada", "ben", "Ben II", "Zoë"]),
        ("team=data%20%26%20co", &["Zoë"]),
        ("team=Public", &["Ada", "ben", "Ben II", "Zoë"]),
        ("team=nobody", &[]),
    ] {
        let page = client.get(&format!("/api/users?{query}")).await.expect(200).json();
        assert_eq!(names(&page), expected, "{query}");
        assert_eq!(page["total"], expected.len(), "{query}");
    }
}

async fn users_are_sorted(server: TestServer) {
    let client = crowd(&server).await;
    for (sort, mut expected) in [
        ("name", ["Ada", "ben", "Ben II", "Robot 100%", "Zoë"]),
        ("created", ["Ada", "ben", "Zoë", "Ben II", "Robot 100%"]),
        ("role", ["Zoë", "Ben II", "ben", "Ada", "Robot 100%"]),
        ("last_login", ["Ada", "ben", "Zoë", "Ben II", "Robot 100%"]),
    ] {
        for direction in ["asc", "desc"] {
            let page =
                client.get(&format!("/api/users?sort={sort}&sort_dir={direction}")).await.expect(200).json();
            assert_eq!(names(&page), expected, "{sort} {direction}");
            expected.reverse();
        }
    }
}

async fn an_update_changes_what_is_there_and_nothing_else(server: TestServer) {
    let people = server.people().await;
    let admin = server.as_(&people.admin.token);
    let path = format!("/api/users/{}", people.service.id);
    let mut expected = admin.get(&path).await.json();
    for (field, value) in [
        ("name", json!("New Name")),
        ("role", json!("Manager")),
        ("purpose", json!("Loads")),
        ("owner", json!("Data Team")),
    ] {
        let answer = admin.put(&path, &json!({ field: value })).await;
        expected[field] = value;
        assert_eq!(answer.expect(200).json(), expected, "{field}");
    }
    // Its user_id stays, whatever its name becomes.
    assert_eq!(expected["user_id"], "pipeline@service");
    // The same again, and nothing at all, write nothing; empty removes; null stays.
    let before = head(&server).await;
    admin.put(&path, &json!({ "name": "New Name", "role": "Manager", "teams": [] })).await.expect(200);
    admin.put(&path, &json!({})).await.expect(200);
    admin.put(&path, &json!({ "purpose": null, "owner": null })).await.expect(200);
    assert_eq!(head(&server).await, before);
    let emptied = admin.put(&path, &json!({ "purpose": " ", "owner": "" })).await.expect(200).json();
    assert_eq!((&emptied["purpose"], &emptied["owner"]), (&Value::Null, &Value::Null));
    // A person has neither.
    let person = format!("/api/users/{}", people.member.id);
    assert_eq!(
        admin.put(&person, &json!({ "owner": "x", "purpose": "x" })).await.wrong_fields(),
        ["purpose", "owner"]
    );
}

async fn teams_act_at_once(server: TestServer) {
    let people = server.people().await;
    let admin = server.as_(&people.admin.token);
    for name in ["Data", "Ops"] {
        admin.post("/api/teams", &json!({ "name": name })).await.expect(201);
    }
    let path = format!("/api/users/{}", people.member.id);
    for (teams, told) in [
        (json!(["Ops"]), "Public,Ops"),
        (json!(["ops", "DATA", "Public", "Ops"]), "Public,Data,Ops"),
        (json!(["Data"]), "Public,Data"),
        (json!([]), "Public"),
    ] {
        admin.put(&path, &json!({ "teams": teams })).await.expect(200);
        let asked = forward_auth(&server, &people.member.token, "GET").await;
        assert_eq!(asked.expect(200).header("x-auth-teams"), Some(told));
    }
    let refused = admin.put(&path, &json!({ "teams": ["Data", "Nobody"] })).await;
    assert_eq!(refused.wrong_fields(), ["teams"]);
    let asked = forward_auth(&server, &people.member.token, "GET").await;
    assert_eq!(asked.header("x-auth-teams"), Some("Public"));
}

async fn deactivation_is_idempotent(server: TestServer) {
    let people = server.people().await;
    let admin = server.as_(&people.admin.token);
    let path = format!("/api/users/{}", people.member.id);
    let before = head(&server).await;
    admin.delete(&path).await.expect(204);
    let deactivated = admin.get(&path).await.expect(200).json();
    assert_eq!(deactivated["deleted_at"], "2026-01-15T10:30:00.25Z");
    server.pass_days(1);
    admin.delete(&path).await.expect(204);
    assert_eq!(admin.get(&path).await.json(), deactivated);
    for _ in 0..2 {
        let back = admin.post(&format!("{path}/reactivate"), &json!({})).await.expect(200).json();
        assert_eq!(back["deleted_at"], Value::Null);
    }
    assert_eq!(head(&server).await - before, 2);
    // Whoever asks sees themselves under both paths.
    let me = server.as_(&people.member.token).get("/api/users/me").await.expect(200).json();
    assert_eq!(me, server.as_(&people.member.token).get(&path).await.expect(200).json());
}
