//! What Microsoft Entra sends, as its documentation of SCIM has it: without the flag `aadOptscim062020`
//! (capital verbs, one path for each value, truth as text) and with it.

use serde_json::{Value, json};
use tokenhouse_core::people::Role;
use tokenhouse_testkit::server::TestServer;

use super::is_accepted;
use super::scim::{ENTERPRISE, GROUP, Scim, USER, escaped, id, path};

on_both_databases!(
    the_connection_is_tested,
    a_person_lives_and_leaves_without_the_flag,
    a_person_lives_and_leaves_with_the_flag,
    a_role_comes_by_app_role,
    members_come_and_go_without_the_flag,
    members_come_and_go_with_the_flag,
);

async fn entra(server: &TestServer) -> Scim {
    let admin = server.person("Ada Admin", Role::Admin).await;
    Scim::of(server, &admin).await
}

async fn count(scim: &Scim, path: &str, filter: &str) -> Value {
    let found = scim.get(&format!("{path}filter={}", escaped(filter))).await.expect(200).json();
    assert_eq!(found["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:ListResponse"]));
    assert!(found["Resources"].is_array());
    found["totalResults"].clone()
}

async fn the_connection_is_tested(server: TestServer) {
    let scim = entra(&server).await;
    let nobody = r#"userName eq "3a1c8b9e-2f6d-4a55-b0a7-5d2f2c1c7c11""#;
    assert_eq!(count(&scim, "/Users?", nobody).await, 0);
    assert_eq!(count(&scim, "/Users?aadOptscim062020&", nobody).await, 0);
    let no_group = r#"displayName eq "AzureAD_Test-5b1f""#;
    assert_eq!(count(&scim, "/Groups?excludedAttributes=members&", no_group).await, 0);
}

/// The account as it is made: with the schema of companies, and attributes that have no value.
async fn made(scim: &Scim, user_name: &str) -> Value {
    let body = json!({
        "schemas": [USER, ENTERPRISE],
        "externalId": "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef",
        "userName": user_name,
        "active": true,
        "addresses": null,
        "displayName": "Omar Test",
        "emails": [{ "primary": true, "type": "work", "value": user_name }],
        "meta": { "resourceType": "User" },
        "name": { "formatted": "Omar Test", "familyName": "Test", "givenName": "Omar" },
        "preferredLanguage": null,
        "roles": [],
        ENTERPRISE: { "department": "Sales" },
    });
    let made = scim.post("/Users", &body).await.expect(201).json();
    assert_eq!(made[ENTERPRISE]["department"], "Sales");
    assert_eq!(made["active"], true);
    made
}

async fn a_person_lives_and_leaves_without_the_flag(server: TestServer) {
    let scim = entra(&server).await;
    let omar = made(&scim, "omar@example.com").await;
    assert_eq!(count(&scim, "/Users?", r#"emails[type eq "work"].value eq "OMAR@example.com""#).await, 1);
    let changed = scim
        .patch(
            &path(&omar),
            json!([
                { "op": "Replace", "path": "emails[type eq \"work\"].value", "value": "omar@new.example" },
                { "op": "Replace", "path": "name.familyName", "value": "Tester" },
                { "op": "Add", "path": "phoneNumbers[type eq \"mobile\"].value", "value": "+49 1" },
                { "op": "Add", "path": "addresses[type eq \"work\"].locality", "value": "Berlin" },
                { "op": "Add", "path": format!("{ENTERPRISE}:employeeNumber"), "value": "7" },
                { "op": "Replace", "path": format!("{ENTERPRISE}:department"), "value": "Support" },
                { "op": "Replace", "path": "displayName", "value": "Omar Tester" },
            ]),
        )
        .await
        .expect(200)
        .json();
    assert_eq!(changed["emails"], json!([{ "primary": true, "type": "work", "value": "omar@new.example" }]));
    assert_eq!(changed["name"]["familyName"], "Tester");
    assert_eq!(changed["phoneNumbers"], json!([{ "type": "mobile", "value": "+49 1" }]));
    assert_eq!(changed["addresses"], json!([{ "type": "work", "locality": "Berlin" }]));
    assert_eq!(changed[ENTERPRISE], json!({ "department": "Support", "employeeNumber": "7" }));
    assert_eq!(changed["displayName"], "Omar Tester");
    for (said, active) in [("False", false), ("True", true), ("False", false)] {
        let operations = json!([{ "op": "Replace", "path": "active", "value": said }]);
        assert_eq!(scim.patch(&path(&omar), operations).await.expect(200).json()["active"], active);
    }
    // Deactivated people are found; only deleted ones aren't.
    assert_eq!(count(&scim, "/Users?", r#"userName eq "omar@example.com""#).await, 1);
    scim.delete(&path(&omar)).await.expect(204);
    assert_eq!(count(&scim, "/Users?", r#"userName eq "omar@example.com""#).await, 0);
    made(&scim, "omar@example.com").await;
}

async fn a_person_lives_and_leaves_with_the_flag(server: TestServer) {
    let scim = entra(&server).await;
    let bob = server.person("Bob", Role::Member).await;
    let person = format!("/Users/{}?aadOptscim062020", bob.id);
    let changed = scim
        .patch(
            &person,
            json!([
                { "op": "add", "value": { "externalId": "f81d4fae", "title": "Boss" } },
                { "op": "replace", "value": {
                    "displayName": "Bob B.", "name.givenName": "Bob", "name.familyName": "Builder",
                    format!("{ENTERPRISE}:department"): "Sales",
                } },
                { "op": "replace", "path": "emails[type eq \"work\"].value", "value": "bob@work.example" },
            ]),
        )
        .await
        .expect(200)
        .json();
    assert_eq!((&changed["externalId"], &changed["title"]), (&json!("f81d4fae"), &json!("Boss")));
    assert_eq!(changed["name"], json!({ "givenName": "Bob", "familyName": "Builder" }));
    assert_eq!(changed[ENTERPRISE], json!({ "department": "Sales" }));
    let emails = changed["emails"].as_array().unwrap();
    assert!(emails.contains(&json!({ "type": "work", "value": "bob@work.example" })), "{emails:?}");
    for active in [false, true] {
        scim.patch(&person, json!([{ "op": "replace", "path": "active", "value": active }]))
            .await
            .expect(200);
        assert_eq!(is_accepted(&server, &bob.token).await, active);
    }
}

async fn a_role_comes_by_app_role(server: TestServer) {
    let scim = entra(&server).await;
    let bob = server.person("Bob", Role::Member).await;
    let person = format!("/Users/{}", bob.id);
    let role = async || {
        server.as_(&bob.token).get(&format!("/api/users/{}", bob.id)).await.expect(200).json()["role"].clone()
    };
    let assign =
        |value: &str| json!([{ "op": "Add", "path": "roles[primary eq \"True\"].value", "value": value }]);
    scim.patch(&person, assign("Manager")).await.expect(200);
    assert_eq!(role().await, "Manager");
    scim.patch(&person, assign("Admin")).await.expect(200);
    assert_eq!(role().await, "Admin");
    // A role that isn't one of ours grants nothing, not even what was granted before.
    scim.patch(&person, assign("Superhero")).await.expect(200);
    assert_eq!(role().await, "Member");
    scim.patch(&person, assign("manager")).await.expect(200);
    assert_eq!(role().await, "Manager");
    scim.patch(&person, json!([{ "op": "Remove", "path": "roles[primary eq \"True\"].value" }]))
        .await
        .expect(200);
    assert_eq!(role().await, "Member");
}

async fn group_of(scim: &Scim) -> (Value, Value, Value) {
    let (ann, ben) = (made(scim, "ann@example.com").await, made(scim, "ben@example.com").await);
    let body = json!({
        "schemas": [GROUP, "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],
        "externalId": "8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159",
        "displayName": "Engineers",
        "members": [],
        "meta": { "resourceType": "Group" },
    });
    (scim.post("/Groups", &body).await.expect(201).json(), ann, ben)
}

async fn members_come_and_go_without_the_flag(server: TestServer) {
    let scim = entra(&server).await;
    let (group, ann, ben) = group_of(&scim).await;
    let by_name = r#"displayName eq "Engineers""#;
    assert_eq!(count(&scim, "/Groups?excludedAttributes=members&", by_name).await, 1);
    let members = |verb: &str, people: &[&Value]| {
        let value: Vec<Value> =
            people.iter().map(|person| json!({ "$ref": null, "value": person["id"] })).collect();
        json!([{ "op": verb, "path": "members", "value": value }])
    };
    scim.patch(&path(&group), members("Add", &[&ann, &ben])).await.expect(200);
    assert_eq!(scim.members(id(&group)).await, [id(&ann), id(&ben)]);
    scim.patch(&path(&group), members("Add", &[&ann])).await.expect(200);
    scim.patch(&path(&group), members("Remove", &[&ann])).await.expect(200);
    assert_eq!(scim.members(id(&group)).await, [id(&ben)]);
    let rename = json!([{ "op": "Replace", "path": "displayName", "value": "Makers" }]);
    scim.patch(&path(&group), rename).await.expect(200);
    let shown = scim.get(&format!("{}?excludedAttributes=members", path(&group))).await.expect(200).json();
    assert_eq!((&shown["displayName"], shown.get("members")), (&json!("Makers"), None));
}

async fn members_come_and_go_with_the_flag(server: TestServer) {
    let scim = entra(&server).await;
    let (group, ann, ben) = group_of(&scim).await;
    let add = json!([{ "op": "add", "path": "members", "value": [{ "value": ann["id"] }, { "value": ben["id"] }] }]);
    scim.patch(&path(&group), add).await.expect(200);
    let filter = format!(r#"id eq "{}" and members eq "{}""#, id(&group), id(&ann));
    assert_eq!(count(&scim, "/Groups?excludedAttributes=members&", &filter).await, 1);
    let remove = json!([{ "op": "remove", "path": format!("members[value eq \"{}\"]", id(&ann)) }]);
    scim.patch(&path(&group), remove).await.expect(200);
    assert_eq!(scim.members(id(&group)).await, [id(&ben)]);
    assert_eq!(count(&scim, "/Groups?excludedAttributes=members&", &filter).await, 0);
    let rename = json!([{ "op": "replace", "value": { "displayName": "Makers", "externalId": "x" } }]);
    assert_eq!(scim.patch(&path(&group), rename).await.expect(200).json()["externalId"], "x");
}
