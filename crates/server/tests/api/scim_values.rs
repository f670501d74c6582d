//! PATCH where values are named, empty or absent: only what is meant changes, and nobody gains a role or a team
//! by being looked for.

use serde_json::{Value, json};
use tokenhouse_core::people::Role;
use tokenhouse_testkit::server::TestServer;

use super::head;
use super::scim::{Scim, id, path, refused};
use super::scim_users::our_view;

on_both_databases!(
    a_value_that_is_taken_away_is_found_in_any_spelling,
    nobody_gains_a_role_by_being_looked_for,
    an_assigned_role_counts_whatever_was_given_here,
    a_null_takes_away_no_more_than_it_names,
    an_empty_list_takes_nobody_away,
    a_membership_is_not_turned_into_another,
    a_text_in_a_path_has_the_limits_of_values,
    what_is_empty_is_not_there,
    a_record_has_the_parts_of_a_name,
    too_many_operations_are_refused,
);

async fn start(server: &TestServer) -> Scim {
    Scim::of(server, &server.person("Ada Admin", Role::Admin).await).await
}

async fn eve(scim: &Scim) -> Value {
    scim.person(json!({
        "userName": "eve", "name": { "givenName": "Eve", "familyName": "Evans" },
        "emails": [{ "value": "eve@work.example", "type": "work" }, { "value": "eve@home.example", "type": "home" }],
    }))
    .await
}

async fn role(server: &TestServer, person: &Value) -> Value {
    our_view(server, person).await["role"].clone()
}

async fn a_value_that_is_taken_away_is_found_in_any_spelling(server: TestServer) {
    let scim = start(&server).await;
    let eve = eve(&scim).await;
    for named in [json!({ "value": "admin" }), json!({ "value": "ADMIN", "primary": false }), json!("Admin")]
    {
        let add = json!([{ "op": "add", "path": "roles", "value": [{ "value": "admin" }] }]);
        scim.patch(&path(&eve), add).await.expect(200);
        assert_eq!(role(&server, &eve).await, "Admin");
        let remove = json!([{ "op": "remove", "path": "roles", "value": [named] }]);
        scim.patch(&path(&eve), remove).await.expect(200);
        assert_eq!(role(&server, &eve).await, "Member", "{named}");
    }
    let remove = json!([{ "op": "remove", "path": "emails", "value": [{ "value": "EVE@work.example" }] }]);
    let left = scim.patch(&path(&eve), remove).await.expect(200).json();
    assert_eq!(left["emails"], json!([{ "value": "eve@home.example", "type": "home" }]));
}

async fn nobody_gains_a_role_by_being_looked_for(server: TestServer) {
    let scim = start(&server).await;
    let eve = eve(&scim).await;
    let before = scim.get(&path(&eve)).await.json();
    for (part, value) in [("primary", json!(false)), ("display", json!("The boss")), ("type", json!("x"))] {
        let named = format!("roles[value eq \"Admin\"].{part}");
        for verb in ["replace", "add"] {
            let operation = json!([{ "op": verb, "path": named, "value": value }]);
            refused(&scim.patch(&path(&eve), operation).await, 400, Some("noTarget"));
        }
        let nothing = json!([
            { "op": "replace", "path": named, "value": null },
            { "op": "add", "value": { "phoneNumbers[type eq \"mobile\"].value": null } },
        ]);
        scim.patch(&path(&eve), nothing).await.expect(200);
    }
    assert_eq!(role(&server, &eve).await, "Member");
    assert_eq!(scim.get(&path(&eve)).await.json(), before);
}

async fn an_assigned_role_counts_whatever_was_given_here(server: TestServer) {
    let scim = start(&server).await;
    let mia = server.person("Mia", Role::Admin).await;
    let person = scim.get(&format!("/Users/{}", mia.id)).await.expect(200).json();
    let assign =
        |role: &str| json!([{ "op": "Add", "path": "roles[primary eq \"True\"].value", "value": role }]);
    for assigned in ["Member", "Manager", "Member"] {
        scim.patch(&path(&person), assign(assigned)).await.expect(200);
        assert_eq!(role(&server, &person).await, assigned);
    }
}

async fn a_null_takes_away_no_more_than_it_names(server: TestServer) {
    let scim = start(&server).await;
    let eve = eve(&scim).await;
    let before = scim.get(&path(&eve)).await.json();
    let seen = head(&server).await;
    let noise = json!([
        { "op": "replace", "value": { "name": { "middleName": null } } },
        { "op": "add", "path": "name", "value": { "unknown": 1 } },
        { "op": "replace", "path": "emails[type eq \"work\"]", "value": { "display": null } },
    ]);
    scim.patch(&path(&eve), noise).await.expect(200);
    assert_eq!(scim.get(&path(&eve)).await.json(), before);
    assert_eq!(head(&server).await, seen);
    let named = json!([{ "op": "replace", "value": { "name": { "givenName": "Eva", "familyName": null } } }]);
    let changed = scim.patch(&path(&eve), named).await.expect(200).json();
    assert_eq!(changed["name"], json!({ "givenName": "Eva" }));
}

async fn an_empty_list_takes_nobody_away(server: TestServer) {
    let scim = start(&server).await;
    let eve = eve(&scim).await;
    for value in [json!([]), json!([{ "x": 1 }])] {
        let remove = json!([{ "op": "remove", "path": "emails", "value": value }]);
        assert_eq!(scim.patch(&path(&eve), remove).await.expect(200).json()["emails"], eve["emails"]);
    }
    let others = json!([{ "op": "remove", "path": "emails[not(type eq \"work\")]" }]);
    let left = scim.patch(&path(&eve), others).await.expect(200).json();
    assert_eq!(left["emails"], json!([{ "value": "eve@work.example", "type": "work" }]));
    let all = json!([{ "op": "remove", "path": "emails" }]);
    assert_eq!(scim.patch(&path(&eve), all).await.expect(200).json().get("emails"), None);
}

async fn a_membership_is_not_turned_into_another(server: TestServer) {
    let scim = start(&server).await;
    let (eve, bob) = (eve(&scim).await, scim.person(json!({ "userName": "bob" })).await);
    let group = scim.group("Data", &[id(&bob)]).await;
    let of_eve = format!("members[value eq \"{}\"]", id(&eve));
    for (path_of, value) in [
        (format!("{of_eve}.value"), json!(id(&bob))),
        (of_eve.clone(), json!({ "value": id(&bob) })),
        (of_eve.clone(), json!([{ "value": "nobody" }])),
    ] {
        let operation = json!([{ "op": "replace", "path": path_of, "value": value }]);
        refused(&scim.patch(&path(&group), operation).await, 400, Some("mutability"));
    }
    let nothing = json!([{ "op": "replace", "path": of_eve, "value": null }]);
    scim.patch(&path(&group), nothing).await.expect(200);
    assert_eq!(scim.members(id(&group)).await, [id(&bob)]);
    let herself = json!([{ "op": "add", "path": of_eve, "value": { "value": id(&eve) } }]);
    scim.patch(&path(&group), herself).await.expect(200);
    assert_eq!(scim.members(id(&group)).await, [id(&eve), id(&bob)]);
}

async fn a_text_in_a_path_has_the_limits_of_values(server: TestServer) {
    let scim = start(&server).await;
    let eve = eve(&scim).await;
    // No text that a database could make smaller.
    let long: String =
        (0..2_600_u32).map(|n| char::from(b'a' + u8::try_from(n * n % 977 % 26).unwrap())).collect();
    let operation =
        json!([{ "op": "add", "path": format!("emails[type eq \"{long}\"].value"), "value": "a@b.c" }]);
    refused(&scim.patch(&path(&eve), operation).await, 400, Some("invalidValue"));
    let terms = ["value co \"x\""; 11].join(" or ");
    let operation = json!([{ "op": "remove", "path": format!("emails[{terms}]") }]);
    refused(&scim.patch(&path(&eve), operation).await, 400, Some("invalidPath"));
    assert_eq!(scim.get(&path(&eve)).await.json(), eve);
}

async fn what_is_empty_is_not_there(server: TestServer) {
    let scim = start(&server).await;
    let eve = scim.person(json!({ "userName": "eve", "title": "", "externalId": "" })).await;
    assert_eq!((eve.get("title"), eve.get("externalId")), (None, None));
    assert!(scim.found("/Users", "title pr or externalId pr", "id").await.is_empty());
    refused(&scim.put(&path(&eve), &json!({ "userName": "" })).await, 400, Some("invalidValue"));
}

async fn a_record_has_the_parts_of_a_name(server: TestServer) {
    let admin = server.person("Ada Admin", Role::Admin).await;
    let scim = Scim::of(&server, &admin).await;
    let eve = eve(&scim).await;
    let rename = json!([{ "op": "replace", "path": "name.familyName", "value": "Smith" }]);
    scim.patch(&path(&eve), rename).await.expect(200);
    let activity = server.as_(&admin.token).get("/api/activity").await.expect(200).json();
    let changes = &activity["items"][0]["changes"];
    assert_eq!(changes["name"], json!(["Eve Evans", "Eve Smith"]));
    assert_eq!(
        changes["name_parts"],
        json!([{ "givenName": "Eve", "familyName": "Evans" }, { "givenName": "Eve", "familyName": "Smith" }])
    );
}

async fn too_many_operations_are_refused(server: TestServer) {
    let scim = start(&server).await;
    let eve = eve(&scim).await;
    let operations = vec![json!({ "op": "replace", "path": "title", "value": "x" }); 501];
    refused(&scim.patch(&path(&eve), json!(operations)).await, 400, Some("invalidValue"));
    scim.patch(&path(&eve), json!(operations[..500])).await.expect(200);
}
