//! PATCH of people, in all the forms that directories send.

use serde_json::{Value, json};
use tokenhouse_core::people::Role;
use tokenhouse_testkit::server::TestServer;

use super::head;
use super::scim::{ENTERPRISE, Scim, USER, id, path, refused};
use super::scim_users::our_view;

on_both_databases!(
    operations_change_attributes_and_their_parts,
    operations_change_those_values_that_are_chosen,
    operations_change_the_extension,
    an_object_without_a_path_may_hold_paths,
    roles_and_names_follow,
    noise_does_no_harm,
    what_cannot_be_done_changes_nothing,
    what_changes_nothing_writes_nothing,
    what_is_too_much_is_refused,
);

async fn start(server: &TestServer) -> Scim {
    Scim::of(server, &server.person("Ada Admin", Role::Admin).await).await
}

async fn bob(scim: &Scim) -> Value {
    scim.person(json!({
        "userName": format!("bob{}", super::permissions::fresh()), "displayName": "Bob", "title": "Boss",
        "name": { "givenName": "Bob", "familyName": "Baker" },
        "emails": [{ "value": "bob@work.example", "type": "work", "primary": true },
            { "value": "bob@home.example", "type": "home" }],
        ENTERPRISE: { "department": "R&D", "manager": { "value": "7", "displayName": "Eve" } },
    }))
    .await
}

/// Each operation, done to another Bob, makes this of what the pointer names; in the extension, if so said.
async fn make(server: &TestServer, in_extension: bool, changes: Vec<(Value, &str, Value)>) {
    let scim = start(server).await;
    for (operation, pointer, expected) in changes {
        let person = bob(&scim).await;
        let answer = scim.patch(&path(&person), json!([operation])).await;
        let patched = answer.expect(200).json();
        let whole = if in_extension { &patched[ENTERPRISE] } else { &patched };
        assert_eq!(whole.pointer(pointer).unwrap_or(&Value::Null), &expected, "{operation}");
        assert_eq!(scim.get(&path(&person)).await.json(), patched, "{operation}");
        assert_eq!(answer.header("etag"), patched["meta"]["version"].as_str());
    }
}

async fn operations_change_attributes_and_their_parts(server: TestServer) {
    let changes = vec![
        (json!({ "op": "replace", "path": "title", "value": "T" }), "/title", json!("T")),
        (json!({ "op": "Add", "path": "NICKNAME", "value": "B" }), "/nickName", json!("B")),
        (json!({ "op": "REMOVE", "path": "title" }), "/title", json!(null)),
        (json!({ "op": "replace", "path": "title", "value": null }), "/title", json!(null)),
        (json!({ "op": "replace", "path": format!("{USER}:title"), "value": "T" }), "/title", json!("T")),
        (json!({ "op": "replace", "path": "active", "value": "False" }), "/active", json!(false)),
        (
            json!({ "op": "replace", "path": "name.givenName", "value": "Rob" }),
            "/name",
            json!({ "givenName": "Rob", "familyName": "Baker" }),
        ),
        (
            json!({ "op": "add", "path": "name", "value": { "givenName": "Rob" } }),
            "/name",
            json!({ "givenName": "Rob", "familyName": "Baker" }),
        ),
        (json!({ "op": "remove", "path": "name.givenName" }), "/name", json!({ "familyName": "Baker" })),
        (json!({ "op": "remove", "path": "name" }), "/name", json!(null)),
        (json!({ "op": "replace", "path": "externalId", "value": "x-1" }), "/externalId", json!("x-1")),
        // Nobody but they themselves choose it.
        (json!({ "op": "replace", "path": "password", "value": "secret" }), "/password", json!(null)),
    ];
    make(&server, false, changes).await;
}

async fn operations_change_those_values_that_are_chosen(server: TestServer) {
    let (work, home) = (
        json!({ "value": "bob@work.example", "type": "work", "primary": true }),
        json!({ "value": "bob@home.example", "type": "home" }),
    );
    let changes = vec![
        (
            json!({ "op": "add", "path": "emails", "value": { "value": "c@x.org" } }),
            "/emails",
            json!([work, home, { "value": "c@x.org" }]),
        ),
        (json!({ "op": "add", "path": "emails", "value": [home] }), "/emails", json!([work, home])),
        (
            json!({ "op": "add", "path": "emails", "value": [{ "value": "c@x.org", "primary": true }] }),
            "/emails",
            json!([{ "value": "bob@work.example", "type": "work", "primary": false }, home, { "value": "c@x.org", "primary": true }]),
        ),
        (
            json!({ "op": "replace", "path": "emails", "value": [{ "value": "c@x.org" }] }),
            "/emails",
            json!([{ "value": "c@x.org" }]),
        ),
        (json!({ "op": "replace", "path": "emails", "value": [] }), "/emails", json!(null)),
        (json!({ "op": "remove", "path": "emails" }), "/emails", json!(null)),
        (json!({ "op": "remove", "path": "emails[type eq \"HOME\"]" }), "/emails", json!([work])),
        (json!({ "op": "remove", "path": "emails[type eq \"other\"]" }), "/emails", json!([work, home])),
        (
            json!({ "op": "remove", "path": "emails", "value": [{ "value": "bob@home.example" }] }),
            "/emails",
            json!([work]),
        ),
        (
            json!({ "op": "replace", "path": "emails[type eq \"home\"].value", "value": "c@x.org" }),
            "/emails/1",
            json!({ "value": "c@x.org", "type": "home" }),
        ),
        (
            json!({ "op": "replace", "path": "emails[type eq \"work\" and value ew \"work.example\"]", "value": { "display": "W" } }),
            "/emails/0",
            json!({ "value": "bob@work.example", "type": "work", "primary": true, "display": "W" }),
        ),
        (
            json!({ "op": "remove", "path": "emails[primary eq true].primary" }),
            "/emails/0",
            json!({ "value": "bob@work.example", "type": "work" }),
        ),
        // What isn't there is made.
        (
            json!({ "op": "add", "path": "phoneNumbers[type eq \"mobile\"].value", "value": "1" }),
            "/phoneNumbers",
            json!([{ "type": "mobile", "value": "1" }]),
        ),
        (
            json!({ "op": "Replace", "path": "addresses[type eq \"work\" and primary eq true].locality", "value": "X" }),
            "/addresses",
            json!([{ "type": "work", "primary": true, "locality": "X" }]),
        ),
    ];
    make(&server, false, changes).await;
}

async fn operations_change_the_extension(server: TestServer) {
    let extended = |attribute: &str| format!("{ENTERPRISE}:{attribute}");
    let changes = vec![
        (json!({ "op": "replace", "path": extended("department"), "value": "Y" }), "/department", json!("Y")),
        (json!({ "op": "add", "path": extended("costCenter"), "value": "1" }), "/costCenter", json!("1")),
        (json!({ "op": "add", "path": extended("manager"), "value": "9" }), "/manager/value", json!("9")),
        (
            json!({ "op": "add", "path": extended("manager.value"), "value": "9" }),
            "/manager/value",
            json!("9"),
        ),
        (
            json!({ "op": "replace", "path": extended("manager"), "value": [{ "value": "9", "$ref": "../Users/9" }] }),
            "/manager/$ref",
            json!("../Users/9"),
        ),
        (json!({ "op": "remove", "path": extended("manager") }), "", json!({ "department": "R&D" })),
        (
            json!({ "op": "replace", "path": ENTERPRISE, "value": { "department": "Y" } }),
            "/department",
            json!("Y"),
        ),
        (json!({ "op": "remove", "path": ENTERPRISE }), "", json!(null)),
    ];
    make(&server, true, changes).await;
}

async fn an_object_without_a_path_may_hold_paths(server: TestServer) {
    let scim = start(&server).await;
    for op in ["add", "Replace"] {
        let person = bob(&scim).await;
        let value = json!({
            "displayName": "Robert", "name.familyName": "Smith", "active": "False", "title": null,
            "emails[type eq \"work\"].value": "rob@work.example", "phoneNumbers[type eq \"mobile\"].value": "1",
            format!("{ENTERPRISE}:department"): "Ops", ENTERPRISE: { "division": "D" },
        });
        let patched =
            scim.patch(&path(&person), json!([{ "op": op, "value": value }])).await.expect(200).json();
        assert_eq!((&patched["displayName"], &patched["active"]), (&json!("Robert"), &json!(false)));
        assert_eq!(patched["name"], json!({ "givenName": "Bob", "familyName": "Smith" }));
        assert_eq!(patched.get("title"), None);
        assert_eq!(patched["emails"][0]["value"], "rob@work.example");
        assert_eq!(patched["phoneNumbers"], json!([{ "type": "mobile", "value": "1" }]));
        assert_eq!(
            (&patched[ENTERPRISE]["department"], &patched[ENTERPRISE]["division"]),
            (&json!("Ops"), &json!("D"))
        );
        assert_eq!(patched[ENTERPRISE]["manager"]["value"], "7");
    }
}

async fn roles_and_names_follow(server: TestServer) {
    let scim = start(&server).await;
    let person =
        scim.person(json!({ "userName": "eve", "name": { "givenName": "Eve", "familyName": "E" } })).await;
    for (operation, name, roles) in [
        (json!({ "op": "replace", "path": "name.familyName", "value": "Evans" }), "Eve Evans", json!(null)),
        (
            json!({ "op": "add", "path": "roles[primary eq \"True\"].value", "value": "manager" }),
            "Eve Evans",
            json!([{ "primary": true, "value": "Manager" }]),
        ),
        (
            json!({ "op": "replace", "path": "roles[primary eq \"True\"].value", "value": "Member" }),
            "Eve Evans",
            json!([{ "primary": true, "value": "Member" }]),
        ),
        (
            json!({ "op": "replace", "path": "displayName", "value": "E." }),
            "E.",
            json!([{ "primary": true, "value": "Member" }]),
        ),
        (
            json!({ "op": "replace", "path": "name.givenName", "value": "Eva" }),
            "E.",
            json!([{ "primary": true, "value": "Member" }]),
        ),
        (
            json!({ "op": "add", "path": "roles", "value": [{ "value": "Admin" }, "Pilot"] }),
            "E.",
            json!([{ "value": "Pilot" }, { "value": "Admin" }]),
        ),
        (json!({ "op": "remove", "path": "roles[value eq \"Admin\"]" }), "E.", json!([{ "value": "Pilot" }])),
        (
            json!({ "op": "replace", "path": "roles", "value": [{ "value": "Manager" }] }),
            "E.",
            json!([{ "value": "Manager" }]),
        ),
        (json!({ "op": "remove", "path": "roles" }), "E.", json!(null)),
        (json!({ "op": "remove", "path": "displayName" }), "Eva Evans", json!(null)),
    ] {
        let patched = scim.patch(&path(&person), json!([operation])).await.expect(200).json();
        assert_eq!(patched["roles"], roles, "{operation}");
        assert_eq!(our_view(&server, &patched).await["name"], name, "{operation}");
    }
}

async fn noise_does_no_harm(server: TestServer) {
    let scim = start(&server).await;
    let person = bob(&scim).await;
    let noise = json!([
        { "op": "replace", "value": { "id": id(&person), "schemas": [USER], "meta": { "version": "x" }, "groups": [{ "value": "1" }],
            "nonsense": { "a": [1] }, "nickName": null, "photos": [], "urn:example:2.0:User": { "a": 1 }, "urn:example:2.0:User:b": "c",
            "a[b": 1, "emails[type eq \"work\"": "x", "password": "secret", "": 1 } },
        { "op": "add", "path": "urn:ietf:params:scim:schemas:extension:CustomExtensionName:2.0:User:tag", "value": "x" },
        { "op": "add", "path": "photos", "value": [] },
        { "op": "remove", "path": "nickName" },
        { "op": "add", "path": null, "value": {} },
        { "op": "add", "path": "emails", "value": [{ "value": "bob@home.example", "type": "home", "$ref": null, "display": null, "x": 1 }] },
    ]);
    let before = head(&server).await;
    assert_eq!(scim.patch(&path(&person), noise).await.expect(200).json(), person);
    assert_eq!(head(&server).await, before);
}

async fn what_cannot_be_done_changes_nothing(server: TestServer) {
    let scim = start(&server).await;
    let person = bob(&scim).await;
    let before = head(&server).await;
    for (operation, scim_type) in [
        (json!({ "op": "remove" }), "noTarget"),
        (json!({ "op": "remove", "path": "", "value": { "title": "x" } }), "noTarget"),
        (json!({ "op": "replace", "path": "photos[type ne \"x\"].value", "value": "x" }), "noTarget"),
        (json!({ "op": "move", "path": "title", "value": "x" }), "invalidSyntax"),
        (json!({ "path": "title", "value": "x" }), "invalidSyntax"),
        (json!({ "op": 7, "path": "title", "value": "x" }), "invalidSyntax"),
        (json!("replace"), "invalidSyntax"),
        (json!({ "op": "replace", "path": "shoeSize", "value": 42 }), "invalidPath"),
        (json!({ "op": "replace", "path": "name.shoeSize", "value": "x" }), "invalidPath"),
        (json!({ "op": "replace", "path": "emails[type eq", "value": "x" }), "invalidPath"),
        (json!({ "op": "replace", "path": "emails[type eq \"work\"].value.x", "value": "x" }), "invalidPath"),
        (json!({ "op": "replace", "path": "name[givenName eq \"Bob\"]", "value": "x" }), "invalidPath"),
        (json!({ "op": "replace", "path": 7, "value": "x" }), "invalidPath"),
        (json!({ "op": "replace", "path": "a..b", "value": "x" }), "invalidPath"),
        (json!({ "op": "replace", "path": format!("{USER}:department"), "value": "x" }), "invalidPath"),
        (
            json!({ "op": "replace", "path": "emails[shoeSize eq \"1\"].value", "value": "x" }),
            "invalidFilter",
        ),
        (json!({ "op": "replace", "path": "id", "value": "7" }), "mutability"),
        (json!({ "op": "remove", "path": "meta" }), "mutability"),
        (json!({ "op": "add", "path": "groups", "value": [{ "value": "1" }] }), "mutability"),
        (json!({ "op": "replace", "path": "meta.version", "value": "x" }), "mutability"),
        (json!({ "op": "replace", "path": "title" }), "invalidValue"),
        (json!({ "op": "replace", "value": "x" }), "invalidValue"),
        (json!({ "op": "replace" }), "invalidValue"),
        (json!({ "op": "replace", "path": "title", "value": 7 }), "invalidValue"),
        (json!({ "op": "replace", "path": "title", "value": "a\u{0}b" }), "invalidValue"),
        (json!({ "op": "replace", "path": "active", "value": "perhaps" }), "invalidValue"),
        (json!({ "op": "replace", "path": "emails", "value": [["x"]] }), "invalidValue"),
        (json!({ "op": "replace", "path": "addresses", "value": "home" }), "invalidValue"),
        (json!({ "op": "remove", "path": "userName" }), "mutability"),
        (json!({ "op": "remove", "path": "active" }), "mutability"),
        (json!({ "op": "replace", "path": "userName", "value": "" }), "invalidValue"),
        (json!({ "op": "replace", "path": "displayName", "value": "x".repeat(256) }), "invalidValue"),
    ] {
        // A good operation before it isn't done either.
        let operations = json!([{ "op": "replace", "path": "nickName", "value": "N" }, operation]);
        refused(&scim.patch(&path(&person), operations).await, 400, Some(scim_type));
    }
    for body in
        [json!({}), json!({ "Operations": [] }), json!({ "Operations": {} }), json!({ "Operations": null })]
    {
        let answer = scim.send(http::Method::PATCH, &path(&person), body.to_string()).await;
        refused(&answer, 400, Some("invalidSyntax"));
    }
    let other = json!({ "schemas": [USER], "Operations": [{ "op": "remove", "path": "title" }] });
    refused(
        &scim.send(http::Method::PATCH, &path(&person), other.to_string()).await,
        400,
        Some("invalidValue"),
    );
    assert_eq!(head(&server).await, before);
    assert_eq!(scim.get(&path(&person)).await.json(), person);
}

async fn what_changes_nothing_writes_nothing(server: TestServer) {
    let scim = start(&server).await;
    let person = bob(&scim).await;
    let before = head(&server).await;
    for operations in [
        json!([{ "op": "replace", "path": "title", "value": "Boss" }]),
        json!([{ "op": "replace", "path": "active", "value": true }]),
        json!([{ "op": "replace", "value": person }]),
        json!([{ "op": "replace", "path": "title", "value": "x" }, { "op": "replace", "path": "title", "value": "Boss" }]),
        json!([{ "op": "remove", "path": "emails[type eq \"other\"].value" }]),
    ] {
        assert_eq!(scim.patch(&path(&person), operations).await.expect(200).json(), person);
    }
    assert_eq!(head(&server).await, before);
    scim.patch(&path(&person), json!([{ "op": "replace", "path": "title", "value": "x" }])).await.expect(200);
    assert_eq!(head(&server).await, before + 1);
}

async fn what_is_too_much_is_refused(server: TestServer) {
    let scim = start(&server).await;
    let person = bob(&scim).await;
    let before = head(&server).await;
    let emails =
        |count: usize| (0..count).map(|n| json!({ "value": format!("e{n}@x.org") })).collect::<Value>();
    let set = |name: &str, value: Value| json!([{ "op": "add", "path": name, "value": value }]);
    let texts = ["title", "nickName", "userType"].map(|name| (name.to_owned(), json!("x".repeat(2_001))));
    for (name, value) in texts.into_iter().chain([
        ("emails".to_owned(), emails(101)),
        // Two more than there may be, with those that are there.
        ("emails".to_owned(), emails(99)),
        // Without case it is eleven times as long.
        ("title".to_owned(), json!("\u{fdfa}".repeat(600))),
        ("userName".to_owned(), json!("\u{fdfa}".repeat(255))),
        ("displayName".to_owned(), json!("x".repeat(256))),
        ("userName".to_owned(), json!("a\u{7}b")),
    ]) {
        refused(&scim.patch(&path(&person), set(&name, value)).await, 400, Some("invalidValue"));
    }
    let large: Vec<Value> =
        (0..40).map(|n| json!({ "value": format!("{n}{}", "x".repeat(1_900)) })).collect();
    refused(&scim.patch(&path(&person), set("photos", json!(large))).await, 400, Some("invalidValue"));
    for path_of_operation in [
        "x".repeat(9_000),
        format!("emails[{}", "(".repeat(2_000)),
        format!("emails[{}type pr{}]", "not (".repeat(500), ")".repeat(500)),
    ] {
        let operations = json!([{ "op": "remove", "path": path_of_operation }]);
        refused(&scim.patch(&path(&person), operations).await, 400, Some("invalidPath"));
    }
    assert_eq!(head(&server).await, before);
    let fits = scim.patch(&path(&person), set("emails", emails(98))).await.expect(200).json();
    assert_eq!(fits["emails"].as_array().unwrap().len(), 100);
}
