//! What Okta sends, as its documentation of SCIM 2.0 has it: applications of the catalogue change people by
//! PATCH, those made with the wizard by PUT of everything.

use serde_json::{Value, json};
use tokenhouse_core::people::Role;
use tokenhouse_testkit::server::TestServer;

use super::is_accepted;
use super::scim::{GROUP, Scim, USER, escaped, id, path};

on_both_databases!(
    a_person_is_made_and_deactivated_by_patch,
    a_person_is_changed_and_deactivated_by_put,
    somebody_who_is_here_already_is_taken_over,
    a_put_without_roles_leaves_a_role_that_was_given_here,
    people_are_imported_page_by_page,
    groups_are_pushed_by_patch,
    groups_are_pushed_by_put,
);

async fn okta(server: &TestServer) -> Scim {
    let admin = server.person("Ada Admin", Role::Admin).await;
    Scim::of(server, &admin)
        .await
        .header("accept", "application/scim+json")
        .header("user-agent", "Okta SCIM Client 1.0.0")
}

/// The whole account, as it is sent to make one.
fn profile(user_name: &str) -> Value {
    json!({
        "schemas": [USER],
        "userName": user_name,
        "name": { "givenName": "Isaac", "familyName": "Brock" },
        "emails": [{ "primary": true, "value": user_name, "type": "work" }],
        "displayName": "Isaac Brock",
        "locale": "en-US",
        "externalId": "00ujl29u0le5T6Aj10h7",
        "groups": [],
        "password": "1mz050nq",
        "active": true,
    })
}

/// How it looks whether there is somebody.
async fn look_up(scim: &Scim, user_name: &str) -> Value {
    let filter = escaped(&format!(r#"userName eq "{user_name}""#));
    scim.get(&format!("/Users?filter={filter}&startIndex=1&count=100")).await.expect(200).json()
}

async fn made(scim: &Scim, user_name: &str) -> Value {
    let nobody = look_up(scim, user_name).await;
    assert_eq!((&nobody["totalResults"], &nobody["Resources"]), (&json!(0), &json!([])));
    let made = scim.post("/Users", &profile(user_name)).await.expect(201).json();
    assert_eq!(made.get("password"), None);
    assert_eq!(made.get("groups"), None);
    assert_eq!(look_up(scim, user_name).await["Resources"], json!([made]));
    made
}

async fn a_person_is_made_and_deactivated_by_patch(server: TestServer) {
    let scim = okta(&server).await;
    let isaac = made(&scim, "isaac.brock@example.com").await;
    for active in [false, true] {
        let operations = json!([{ "op": "replace", "value": { "active": active } }]);
        let answer = scim.patch(&path(&isaac), operations).await.expect(200).json();
        assert_eq!((&answer["active"], &answer["id"]), (&json!(active), &isaac["id"]));
    }
}

async fn a_person_is_changed_and_deactivated_by_put(server: TestServer) {
    let scim = okta(&server).await;
    let isaac = made(&scim, "isaac.brock@example.com").await;
    // What was answered comes back, with the changes in it.
    let mut whole = scim.get(&path(&isaac)).await.expect(200).json();
    whole["name"]["familyName"] = json!("Brook");
    whole["displayName"] = json!("Isaac Brook");
    whole["nickName"] = json!("Izzy");
    let changed = scim.put(&path(&isaac), &whole).await.expect(200).json();
    assert_eq!(changed["name"], json!({ "givenName": "Isaac", "familyName": "Brook" }));
    assert_eq!((&changed["displayName"], &changed["nickName"]), (&json!("Isaac Brook"), &json!("Izzy")));
    let mut off = changed.clone();
    off["active"] = json!(false);
    assert_eq!(scim.put(&path(&isaac), &off).await.expect(200).json()["active"], false);
    // Changed while deactivated: a PUT that doesn't say so activates nobody.
    let mut silent = off.clone();
    silent.as_object_mut().unwrap().remove("active");
    silent["title"] = json!("Sergeant");
    assert_eq!(scim.put(&path(&isaac), &silent).await.expect(200).json()["active"], false);
}

async fn somebody_who_is_here_already_is_taken_over(server: TestServer) {
    let scim = okta(&server).await;
    let bob = server.person("Bob", Role::Member).await;
    let shown = scim.get(&format!("/Users/{}", bob.id)).await.expect(200).json();
    let user_name = shown["userName"].as_str().unwrap().to_owned();
    let found = look_up(&scim, &user_name).await;
    assert_eq!(found["totalResults"], 1);
    let mut whole = profile(&user_name);
    whole["id"] = found["Resources"][0]["id"].clone();
    let taken = scim.put(&format!("/Users/{}", bob.id), &whole).await.expect(200).json();
    assert_eq!(taken["externalId"], "00ujl29u0le5T6Aj10h7");
    assert!(is_accepted(&server, &bob.token).await);
    whole["active"] = json!(false);
    scim.put(&format!("/Users/{}", bob.id), &whole).await.expect(200);
    assert!(!is_accepted(&server, &bob.token).await);
}

async fn a_put_without_roles_leaves_a_role_that_was_given_here(server: TestServer) {
    let scim = okta(&server).await;
    let role = async |person: &str| {
        let shown = scim.get(person).await.expect(200).json();
        let roles = shown["roles"].as_array().cloned().unwrap_or_default();
        roles.iter().map(|role| role["value"].clone()).collect::<Vec<_>>()
    };
    // A directory that never speaks of roles has no say in them.
    let mia = server.person("Mia Manager", Role::Manager).await;
    let person = format!("/Users/{}", mia.id);
    let user_name = scim.get(&person).await.expect(200).json()["userName"].as_str().unwrap().to_owned();
    scim.put(&person, &profile(&user_name)).await.expect(200);
    assert_eq!(role(&person).await, ["Manager"]);
    let title = json!([{ "op": "replace", "value": { "title": "Boss" } }]);
    scim.patch(&person, title).await.expect(200);
    scim.put(&person, &profile(&user_name)).await.expect(200);
    assert_eq!(role(&person).await, ["Manager"]);
    // One that did has, also by leaving them out.
    let mut whole = profile(&user_name);
    whole["roles"] = json!([{ "value": "Admin", "primary": true }]);
    scim.put(&person, &whole).await.expect(200);
    assert_eq!(role(&person).await, ["Admin"]);
    scim.put(&person, &profile(&user_name)).await.expect(200);
    assert!(role(&person).await.is_empty());
    whole["roles"] = json!([]);
    let nils = server.person("Nils", Role::Manager).await;
    let person = format!("/Users/{}", nils.id);
    whole["userName"] = json!("nils@elsewhere.example");
    scim.put(&person, &whole).await.expect(200);
    assert!(role(&person).await.is_empty());
}

async fn people_are_imported_page_by_page(server: TestServer) {
    let scim = okta(&server).await;
    for number in 0..5 {
        scim.person(json!({ "userName": format!("person{number}@example.com") })).await;
    }
    let (mut seen, mut start) = (Vec::new(), 1);
    loop {
        let page = scim.get(&format!("/Users?startIndex={start}&count=2")).await.expect(200).json();
        assert_eq!((&page["totalResults"], &page["startIndex"]), (&json!(6), &json!(start)));
        let people = page["Resources"].as_array().unwrap();
        assert_eq!(page["itemsPerPage"], people.len());
        if people.is_empty() {
            break;
        }
        seen.extend(people.iter().map(|person| id(person).to_owned()));
        start += people.len();
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 6);
}

async fn groups_are_pushed_by_patch(server: TestServer) {
    let scim = okta(&server).await;
    let (ann, ben) = (made(&scim, "ann@example.com").await, made(&scim, "ben@example.com").await);
    let body = json!({ "schemas": [GROUP], "displayName": "Test SCIMv2", "members": [] });
    let group = scim.post("/Groups", &body).await.expect(201).json();
    let listed = scim.get("/Groups?startIndex=1&count=100").await.expect(200).json();
    assert_eq!(listed["Resources"][0]["displayName"], "Test SCIMv2");
    let member = |person: &Value| json!({ "value": person["id"], "display": person["userName"] });
    let add = |person: &Value| json!([{ "op": "add", "path": "members", "value": [member(person)] }]);
    scim.patch(&path(&group), add(&ann)).await.expect(200);
    scim.patch(&path(&group), add(&ben)).await.expect(200);
    scim.patch(&path(&group), add(&ben)).await.expect(200);
    assert_eq!(scim.members(id(&group)).await, [id(&ann), id(&ben)]);
    let one = json!([
        { "op": "remove", "path": format!("members[value eq \"{}\"]", id(&ann)) },
        { "op": "replace", "value": { "id": group["id"], "displayName": "Renamed" } },
    ]);
    assert_eq!(scim.patch(&path(&group), one).await.expect(200).json()["displayName"], "Renamed");
    assert_eq!(scim.members(id(&group)).await, [id(&ben)]);
    let all = json!([{ "op": "replace", "path": "members", "value": [member(&ann)] }]);
    scim.patch(&path(&group), all).await.expect(200);
    assert_eq!(scim.members(id(&group)).await, [id(&ann)]);
    scim.delete(&path(&group)).await.expect(204);
}

async fn groups_are_pushed_by_put(server: TestServer) {
    let scim = okta(&server).await;
    let (ann, ben) = (made(&scim, "ann@example.com").await, made(&scim, "ben@example.com").await);
    let group = scim.group("Data", &[id(&ann)]).await;
    let whole = |name: &str, members: &[&Value]| {
        let members: Vec<Value> = members
            .iter()
            .map(|person| json!({ "value": person["id"], "display": person["userName"] }))
            .collect();
        json!({ "schemas": [GROUP], "id": group["id"], "displayName": name, "members": members })
    };
    scim.put(&path(&group), &whole("Data", &[&ann, &ben])).await.expect(200);
    assert_eq!(scim.members(id(&group)).await, [id(&ann), id(&ben)]);
    scim.put(&path(&group), &whole("Data", &[&ben])).await.expect(200);
    assert_eq!(scim.members(id(&group)).await, [id(&ben)]);
    scim.put(&path(&group), &whole("Numbers", &[])).await.expect(200);
    assert!(scim.members(id(&group)).await.is_empty());
}
