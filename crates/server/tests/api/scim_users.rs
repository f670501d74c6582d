//! People, as a directory makes, reads, replaces and removes them.

use serde_json::{Value, json};
use tokenhouse_core::people::Role;
use tokenhouse_testkit::server::{PUBLIC_URL, TestServer};

use super::head;
use super::scim::{ENTERPRISE, Scim, USER, id, path, refused};

on_both_databases!(
    a_person_is_made_as_they_were_sent,
    little_is_needed,
    what_is_sent_is_kept_and_noise_is_not,
    user_names_are_unique_without_regard_to_case,
    roles_give_the_highest_of_ours,
    our_own_changes_are_shown,
    a_replacement_replaces_everything,
    versions_are_entity_tags,
    a_removed_person_is_gone_and_their_name_is_free,
    people_made_elsewhere_are_shown,
);

async fn admin(server: &TestServer) -> Scim {
    Scim::of(server, &server.person("Ada Admin", Role::Admin).await).await
}

/// The example of RFC 7643, section 8.2 and 8.3, in parts.
fn barbara() -> Value {
    json!({
        "schemas": [USER, ENTERPRISE],
        "externalId": "701984",
        "userName": "bjensen@example.com",
        "name": {
            "formatted": "Ms. Barbara J Jensen, III", "familyName": "Jensen", "givenName": "Barbara",
            "middleName": "Jane", "honorificPrefix": "Ms.", "honorificSuffix": "III",
        },
        "displayName": "Babs Jensen",
        "nickName": "Babs",
        "profileUrl": "https://login.example.com/bjensen",
        "emails": [
            { "value": "bjensen@example.com", "type": "work", "primary": true },
            { "value": "babs@jensen.org", "type": "home" },
        ],
        "addresses": [{ "type": "work", "streetAddress": "100 Universal City Plaza", "locality": "Hollywood",
            "region": "CA", "postalCode": "91608", "country": "USA", "primary": true }],
        "phoneNumbers": [{ "value": "555-555-5555", "type": "work" }],
        "userType": "Employee", "title": "Tour Guide", "preferredLanguage": "en-US", "locale": "en-US",
        "timezone": "America/Los_Angeles", "active": true,
        "roles": [{ "value": "Manager", "primary": true, "type": "WindowsAzureActiveDirectoryRole" }],
        ENTERPRISE: { "employeeNumber": "701984", "costCenter": "4130", "department": "Tour Operations",
            "manager": { "value": "26118915", "$ref": "../Users/26118915", "displayName": "John Smith" } },
    })
}

async fn a_person_is_made_as_they_were_sent(server: TestServer) {
    let scim = admin(&server).await;
    let made = scim.post("/Users", &barbara()).await;
    let shown = made.expect(201).json();
    let location = format!("{PUBLIC_URL}/scim/v2/Users/{}", id(&shown));
    assert_eq!(made.header("location"), Some(&*location));
    assert_eq!(made.header("content-type"), Some("application/scim+json"));
    assert_eq!(made.header("etag"), shown["meta"]["version"].as_str());
    assert_eq!(shown["meta"]["resourceType"], "User");
    assert_eq!(shown["meta"]["created"], "2026-01-15T10:30:00.25Z");
    assert_eq!(shown["meta"]["location"], location);
    let mut rest = shown.clone();
    for ours in ["id", "meta"] {
        rest.as_object_mut().unwrap().remove(ours);
    }
    assert_eq!(rest, barbara());
    assert_eq!(scim.get(&path(&shown)).await.expect(200).json(), shown);
    assert_eq!(
        server
            .as_(&server.person("Other", Role::Admin).await.token)
            .get(&format!("/api/scim/v2{}", path(&shown)))
            .await
            .expect(200)
            .json(),
        shown
    );
    let ours = our_view(&server, &shown).await;
    assert_eq!((&ours["name"], &ours["role"]), (&json!("Babs Jensen"), &json!("Manager")));
    assert_eq!(
        (&ours["user_name"], &ours["email"]),
        (&json!("bjensen@example.com"), &json!("bjensen@example.com"))
    );
    assert!(ours["user_id"].as_str().unwrap().starts_with("local|"));
}

/// What our own API shows of a person.
pub(super) async fn our_view(server: &TestServer, shown: &Value) -> Value {
    let robot = server.service_user(&format!("Reader {}", super::permissions::fresh()), Role::Admin).await;
    server.as_(&robot.token).get(&format!("/api/users/{}", id(shown))).await.expect(200).json()
}

async fn little_is_needed(server: TestServer) {
    let scim = admin(&server).await;
    let shown = scim.person(json!({ "userName": "just.a.name" })).await;
    assert_eq!((shown.get("displayName"), shown.get("roles"), &shown["active"]), (None, None, &json!(true)));
    let ours = our_view(&server, &shown).await;
    assert_eq!((&ours["name"], &ours["email"]), (&json!("just.a.name"), &json!("just.a.name")));
    assert_eq!(ours["role"], "Member");
    for (name, expected) in [
        (json!({ "formatted": "Dr. Eve E." }), "Dr. Eve E."),
        (json!({ "givenName": "Eve", "familyName": "Evans" }), "Eve Evans"),
        (json!({ "familyName": "Evans" }), "Evans"),
    ] {
        let user_name = format!("eve{}", super::permissions::fresh());
        let shown = scim.person(json!({ "userName": user_name, "name": name })).await;
        assert_eq!(shown.get("displayName"), None);
        assert_eq!(our_view(&server, &shown).await["name"], expected);
    }
    for (emails, expected) in [
        (json!([{ "value": "a@x.org" }, { "value": "b@x.org", "type": "Work" }]), "b@x.org"),
        (json!([{ "value": "a@x.org", "type": "work" }, { "value": "b@x.org", "primary": true }]), "b@x.org"),
        (json!([{ "value": "a@x.org", "type": "home" }, { "value": "b@x.org" }]), "a@x.org"),
    ] {
        let user_name = format!("bob{}", super::permissions::fresh());
        let shown = scim.person(json!({ "userName": user_name, "emails": emails })).await;
        assert_eq!(our_view(&server, &shown).await["email"], expected);
    }
    for body in
        [json!({}), json!({ "displayName": "Eve" }), json!({ "userName": null }), json!({ "userName": " " })]
    {
        refused(&scim.post("/Users", &body).await, 400, Some("invalidValue"));
    }
}

async fn what_is_sent_is_kept_and_noise_is_not(server: TestServer) {
    let scim = admin(&server).await;
    let shown = scim
        .person(json!({
            "USERNAME": "Eve", "Name": { "GIVENNAME": "Eve", "familyName": null, "nonsense": 1 }, "active": "True",
            "title": null, "phoneNumbers": [], "password": "hunter2-hunter2", "groups": [{ "value": "1" }],
            "id": "17", "meta": { "version": "x" }, "favouriteColour": "blue", "emails": [{ "value": "e@x.org", "primary": "TRUE" }],
            "urn:example:nothing:2.0:User": { "a": 1 }, "urn:ietf:params:scim:schemas:extension:enterprise:2.0:user": { "Department": "D", "manager": "5" },
        }))
        .await;
    assert_ne!(id(&shown), "17");
    let mut rest = shown.clone();
    for ours in ["id", "meta", "schemas"] {
        rest.as_object_mut().unwrap().remove(ours);
    }
    let expected = json!({
        "userName": "Eve", "name": { "givenName": "Eve" }, "active": true,
        "emails": [{ "value": "e@x.org", "primary": true }],
        ENTERPRISE: { "department": "D", "manager": { "value": "5" } },
    });
    assert_eq!(rest, expected);
    assert_eq!(shown["schemas"], json!([USER, ENTERPRISE]));
    let file = server.app.config.store.url.sqlite_file();
    if let Some(file) = file {
        let wal = std::fs::read(format!("{}-wal", file.display())).unwrap_or_default();
        let all = [std::fs::read(file).unwrap(), wal].concat();
        assert!(!all.windows(15).any(|window| window == b"hunter2-hunter2"), "the password was kept");
    }
}

async fn user_names_are_unique_without_regard_to_case(server: TestServer) {
    let people = server.people().await;
    let scim = Scim::of(&server, &people.admin).await;
    scim.person(json!({ "userName": "Größe@example.com" })).await;
    let other = scim.person(json!({ "userName": "other" })).await;
    let before = head(&server).await;
    // Also those of service users, whom nobody sees here.
    for taken in ["GRÖSSE@example.com".replace("SS", "ß"), "PIPELINE".into(), "mia.member@EXAMPLE.com".into()]
    {
        let body = json!({ "userName": taken });
        refused(&scim.post("/Users", &body).await, 409, Some("uniqueness"));
        refused(&scim.put(&path(&other), &body).await, 409, Some("uniqueness"));
        let change = json!([{ "op": "replace", "path": "userName", "value": taken }]);
        refused(&scim.patch(&path(&other), change).await, 409, Some("uniqueness"));
    }
    assert_eq!(head(&server).await, before);
    assert_eq!(scim.get(&path(&other)).await.json(), other);
    // Its own name in another case is not taken.
    let renamed = scim.put(&path(&other), &json!({ "userName": "OTHER" })).await;
    assert_eq!(renamed.expect(200).json()["userName"], "OTHER");
}

async fn roles_give_the_highest_of_ours(server: TestServer) {
    let scim = admin(&server).await;
    for (roles, role, shown) in [
        (json!(["member", "ADMIN", "manager"]), "Admin", json!([{ "value": "Admin" }])),
        (
            json!([{ "value": "Astronaut", "primary": "True" }, { "value": "manager" }]),
            "Manager",
            json!([{ "value": "Astronaut", "primary": true }, { "value": "Manager" }]),
        ),
        // Member needn't be said, and is shown only then.
        (json!([{ "value": "Root" }]), "Member", json!([{ "value": "Root" }])),
        (json!(["Root", "member"]), "Member", json!([{ "value": "Root" }, { "value": "Member" }])),
        (json!(null), "Member", json!(null)),
    ] {
        let user_name = format!("eve{}", super::permissions::fresh());
        let person = scim.person(json!({ "userName": user_name, "roles": roles })).await;
        assert_eq!(our_view(&server, &person).await["role"], role);
        assert_eq!(person["roles"], shown);
        assert!(
            scim.found("/Users", &format!("roles.value eq \"{role}\""), "id")
                .await
                .contains(&id(&person).to_owned())
        );
    }
}

async fn our_own_changes_are_shown(server: TestServer) {
    let people = server.people().await;
    let (scim, api) = (Scim::of(&server, &people.admin).await, server.as_(&people.admin.token));
    let made = scim
        .person(json!({ "userName": "eve", "roles": [
        { "value": "Pilot" }, { "value": "Manager", "primary": true, "display": "The boss" }] }))
        .await;
    let ours = format!("/api/users/{}", id(&made));
    api.put(&ours, &json!({ "name": "Eve E.", "role": "Member" })).await.expect(200);
    let shown = scim.get(&path(&made)).await.json();
    assert_eq!(shown["displayName"], "Eve E.");
    assert_eq!(shown["roles"], json!([{ "value": "Pilot" }, { "value": "Member", "primary": true }]));
    assert_ne!(shown["meta"]["version"], made["meta"]["version"]);
    assert_eq!(
        scim.found("/Users", r#"roles[value eq "member"] and userName eq "eve""#, "id").await.len(),
        1
    );
    assert_eq!(
        scim.found("/Users", r#"roles.value eq "manager" and userName eq "eve""#, "id").await.len(),
        0
    );
    api.delete(&ours).await.expect(204);
    let inactive = scim.get(&path(&made)).await.json();
    assert_eq!(inactive["active"], false);
    assert_ne!(inactive["meta"]["version"], shown["meta"]["version"]);
    // A change of something else leaves them as they are.
    let patched = scim.patch(&path(&made), json!([{ "op": "add", "path": "title", "value": "T" }])).await;
    let patched = patched.expect(200).json();
    assert_eq!((&patched["active"], &patched["displayName"]), (&json!(false), &json!("Eve E.")));
    assert_eq!(patched["roles"], shown["roles"]);
}

async fn a_replacement_replaces_everything(server: TestServer) {
    let scim = admin(&server).await;
    let made = scim.post("/Users", &barbara()).await.expect(201).json();
    server.pass_days(1);
    let replaced =
        scim.put(&path(&made), &json!({ "schemas": [USER], "userName": "babs", "title": "Boss" })).await;
    let shown = replaced.expect(200).json();
    let expected = json!({
        "schemas": [USER], "id": id(&made), "userName": "babs", "title": "Boss", "active": true,
        "meta": shown["meta"],
    });
    assert_eq!(shown, expected);
    assert_eq!(shown["meta"]["lastModified"], "2026-01-16T10:30:00.25Z");
    assert_eq!(shown["meta"]["created"], made["meta"]["created"]);
    // What changes nothing writes nothing.
    let before = head(&server).await;
    assert_eq!(scim.put(&path(&made), &shown).await.expect(200).json(), shown);
    assert_eq!(head(&server).await, before);
    // Whoever is deactivated stays so unless it is said.
    scim.put(&path(&made), &json!({ "userName": "babs", "active": false })).await.expect(200);
    let silent = scim.put(&path(&made), &json!({ "userName": "babs", "title": "B" })).await;
    assert_eq!(silent.expect(200).json()["active"], false);
    let back = scim.put(&path(&made), &json!({ "userName": "babs", "active": true })).await;
    assert_eq!(back.expect(200).json()["active"], true);
}

async fn versions_are_entity_tags(server: TestServer) {
    let scim = admin(&server).await;
    let made = scim.person(json!({ "userName": "eve" })).await;
    let first = made["meta"]["version"].as_str().unwrap();
    assert!(first.starts_with("W/\"") && first.ends_with('"'), "{first}");
    let unchanged = scim.header("if-none-match", first).get(&path(&made)).await;
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0), "{unchanged}");
    assert_eq!(unchanged.header("etag"), Some(first));
    let change = json!([{ "op": "replace", "path": "title", "value": "T" }]);
    let changed = scim.header("if-match", first).patch(&path(&made), change.clone()).await;
    let second = changed.expect(200).header("etag").unwrap().to_owned();
    assert_ne!(second, first);
    scim.header("if-none-match", first).get(&path(&made)).await.expect(200);
    let before = head(&server).await;
    let stale = scim.header("if-match", first);
    refused(&stale.patch(&path(&made), change).await, 412, None);
    refused(&stale.put(&path(&made), &json!({ "userName": "eve" })).await, 412, None);
    refused(&stale.delete(&path(&made)).await, 412, None);
    refused(&scim.header("if-match", "\"nonsense\"").delete(&path(&made)).await, 412, None);
    assert_eq!(head(&server).await, before);
    scim.header("if-match", "*").put(&path(&made), &json!({ "userName": "eve" })).await.expect(200);
    scim.header("if-match", &format!("W/\"0\", {}", scim.get(&path(&made)).await.header("etag").unwrap()))
        .delete(&path(&made))
        .await
        .expect(204);
}

async fn a_removed_person_is_gone_and_their_name_is_free(server: TestServer) {
    let scim = admin(&server).await;
    let made = scim.post("/Users", &barbara()).await.expect(201).json();
    let group = scim.group("Guides", &[id(&made)]).await;
    scim.delete(&path(&made)).await.expect(204);
    for answer in [
        scim.get(&path(&made)).await,
        scim.delete(&path(&made)).await,
        scim.put(&path(&made), &barbara()).await,
        scim.patch(&path(&made), json!([{ "op": "remove", "path": "title" }])).await,
    ] {
        refused(&answer, 404, None);
    }
    for filter in
        [r#"userName eq "bjensen@example.com""#, r#"emails.value co "bjensen""#, r#"externalId eq "701984""#]
    {
        assert!(scim.found("/Users", filter, "id").await.is_empty(), "{filter}");
    }
    assert!(scim.members(id(&group)).await.is_empty());
    let again = scim.post("/Users", &barbara()).await.expect(201).json();
    assert_ne!(id(&again), id(&made));
    assert!(scim.members(id(&group)).await.is_empty());
}

async fn people_made_elsewhere_are_shown(server: TestServer) {
    let people = server.people().await;
    let scim = Scim::of(&server, &people.admin).await;
    let shown = scim.get(&format!("/Users/{}", people.member.id)).await.expect(200).json();
    let expected = json!({
        "schemas": [USER], "id": people.member.id.to_string(), "userName": "mia.member@example.com",
        "displayName": "Mia Member", "active": true, "emails": [{ "value": "mia.member@example.com" }],
        "meta": shown["meta"],
    });
    assert_eq!(shown, expected);
    let filter = r#"emails.value eq "MIA.member@example.com" and roles.value eq "Member""#;
    assert_eq!(scim.found("/Users", filter, "displayName").await, ["Mia Member"]);
    // What changes nothing writes nothing, here as well.
    let before = head(&server).await;
    let nothing = json!([{ "op": "replace", "value": { "active": true, "displayName": "Mia Member" } }]);
    scim.patch(&format!("/Users/{}", people.member.id), nothing).await.expect(200);
    assert_eq!(head(&server).await, before);
}
