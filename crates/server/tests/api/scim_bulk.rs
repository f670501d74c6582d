//! Many changes in one request.

use serde_json::{Value, json};
use tokenhouse_core::people::Role;
use tokenhouse_testkit::server::{PUBLIC_URL, TestServer};

use super::head;
use super::scim::{Scim, id, path, refused};

on_both_databases!(
    operations_are_done_in_order,
    references_are_resolved,
    what_waits_goes_on_as_soon_as_it_can,
    each_operation_stands_for_itself,
    what_is_no_bulk_request_is_refused,
);

async fn start(server: &TestServer) -> Scim {
    Scim::of(server, &server.person("Ada Admin", Role::Admin).await).await
}

async fn bulk(scim: &Scim, operations: Value, fail_on_errors: Option<u64>) -> Vec<Value> {
    let schemas = ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"];
    let body = json!({ "schemas": schemas, "failOnErrors": fail_on_errors, "Operations": operations });
    let done = scim.post("/Bulk", &body).await.expect(200).json();
    assert_eq!(done["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:BulkResponse"]));
    done["Operations"].as_array().unwrap().clone()
}

fn statuses(done: &[Value]) -> Vec<&str> {
    done.iter().map(|operation| operation["status"].as_str().unwrap()).collect()
}

async fn operations_are_done_in_order(server: TestServer) {
    let scim = start(&server).await;
    let eve = scim.person(json!({ "userName": "eve" })).await;
    let max = scim.person(json!({ "userName": "max" })).await;
    let change = json!({ "Operations": [{ "op": "replace", "path": "title", "value": "T" }] });
    let done = bulk(
        &scim,
        json!([
            { "method": "POST", "path": "/Users", "bulkId": "a", "data": { "userName": "bob" } },
            { "method": "patch", "path": path(&eve), "version": eve["meta"]["version"], "data": change },
            { "method": "PUT", "path": path(&max), "data": { "userName": "maximilian" } },
            { "method": "DELETE", "path": path(&max).trim_start_matches('/') },
            { "method": "DELETE", "path": "Users/999999" },
            { "method": "POST", "path": "Groups", "data": { "displayName": "Data", "members": [{ "value": id(&eve) }] } },
        ]),
        None,
    )
    .await;
    assert_eq!(statuses(&done), ["201", "200", "200", "204", "404", "201"]);
    assert_eq!((&done[0]["bulkId"], &done[0]["method"]), (&json!("a"), &json!("POST")));
    let location = done[0]["location"].as_str().unwrap();
    let bob =
        scim.get(location.strip_prefix(&format!("{PUBLIC_URL}/scim/v2")).unwrap()).await.expect(200).json();
    assert_eq!((&bob["userName"], &bob["meta"]["version"]), (&json!("bob"), &done[0]["version"]));
    let with_response = done.iter().filter(|operation| operation.get("response").is_some());
    assert_eq!(with_response.count(), 1);
    assert_eq!(scim.get(&path(&eve)).await.json()["title"], "T");
    assert_eq!(done[3]["location"], format!("{PUBLIC_URL}/scim/v2{}", path(&max)));
    assert_eq!(done[4]["location"], format!("{PUBLIC_URL}/scim/v2/Users/999999"));
    refused(&scim.get(&path(&max)).await, 404, None);
}

async fn references_are_resolved(server: TestServer) {
    let scim = start(&server).await;
    let done = bulk(
        &scim,
        json!([
            // What it refers to comes later.
            { "method": "POST", "path": "/Groups", "bulkId": "g", "data": { "displayName": "Data", "members": [{ "value": "bulkId:u" }] } },
            { "method": "POST", "path": "/Users", "bulkId": "u", "data": { "userName": "bob" } },
            { "method": "PATCH", "path": "/Users/bulkId:u", "data": { "Operations": [
                { "op": "add", "value": { "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "manager": { "value": "bulkId:u" } } } }] } },
            { "method": "PATCH", "path": "/Groups/bulkId:g", "data": { "Operations": [{ "op": "replace", "path": "displayName", "value": "Ops" }] } },
            { "method": "POST", "path": "/Groups", "bulkId": "x", "data": { "displayName": "Circle", "members": [{ "value": "bulkId:x" }] } },
            { "method": "DELETE", "path": "/Users/bulkId:unknown" },
            { "method": "POST", "path": "/Users", "bulkId": "u", "data": { "userName": "twice" } },
        ]),
        None,
    )
    .await;
    assert_eq!(statuses(&done), ["201", "201", "200", "200", "409", "409", "400"]);
    let [group] = &scim.found("/Groups", "displayName eq \"ops\"", "id").await[..] else {
        panic!("no group")
    };
    let [bob] = &scim.found("/Users", "userName eq \"bob\"", "id").await[..] else { panic!("nobody") };
    assert_eq!(scim.members(group).await, std::slice::from_ref(bob));
    assert!(scim.found("/Users", &format!("manager.value eq \"{bob}\""), "id").await.contains(bob));
}

async fn what_waits_goes_on_as_soon_as_it_can(server: TestServer) {
    let scim = start(&server).await;
    let person = |number: usize, managers: &[usize]| {
        let references: Vec<Value> =
            managers.iter().map(|manager| json!({ "value": format!("bulkId:{manager}") })).collect();
        json!({ "method": "POST", "path": "/Users", "bulkId": number.to_string(),
            "data": { "userName": format!("p{number}"), "manager": references.first(), "emails": references } })
    };
    // Each refers to the next one, the last one to nothing; then one that never waited.
    let mut operations: Vec<Value> = (0..40).map(|number| person(number, &[number + 1])).collect();
    operations.extend([person(40, &[]), person(41, &[])]);
    let done = bulk(&scim, json!(operations), None).await;
    assert!(statuses(&done).iter().all(|status| *status == "201"), "{done:?}");
    let ids: Vec<i64> = done
        .iter()
        .map(|operation| operation["location"].as_str().unwrap().rsplit('/').next().unwrap().parse().unwrap())
        .collect();
    assert!(ids[..=40].is_sorted_by(|one, next| one > next), "{ids:?}");
    assert!(ids[0] < ids[41], "{ids:?}");
    let first = scim.get(&format!("/Users/{}", ids[0])).await.expect(200).json();
    assert_eq!(first[super::scim::ENTERPRISE]["manager"]["value"], ids[1].to_string());
    // Who refers to two waits for both; who refers to nobody is told in the end, if that isn't given up.
    let operations = json!([
        person(50, &[51, 52, 51]),
        person(51, &[]),
        person(53, &[54]),
        person(52, &[]),
        person(55, &[53])
    ]);
    let done = bulk(&scim, operations.clone(), None).await;
    assert_eq!(statuses(&done), ["201", "201", "409", "201", "409"]);
    let renamed = operations.to_string().replace("\"p5", "\"q5");
    let done = bulk(&scim, serde_json::from_str(&renamed).unwrap(), Some(1)).await;
    assert_eq!(statuses(&done), ["201", "201", "409", "201"]);
}

async fn each_operation_stands_for_itself(server: TestServer) {
    let scim = start(&server).await;
    let make = |name: &str| json!({ "method": "POST", "path": "/Users", "bulkId": name, "data": { "userName": name } });
    let wrong = [
        json!({ "method": "POST", "path": "/Users", "data": { "userName": "BOB" } }),
        json!({ "method": "DELETE", "path": "/Users/999999" }),
        json!({ "method": "PATCH", "path": "/Groups/1", "data": { "Operations": [{ "op": "remove", "path": "members" }] } }),
        json!({ "method": "PUT", "path": "/Users", "data": { "userName": "x" } }),
        json!({ "method": "GET", "path": "/Users" }),
        json!({ "method": "POST", "path": "/Nothing", "data": {} }),
        json!({ "method": "POST", "path": "/Users", "data": "x" }),
        json!({ "method": "DELETE", "path": "/Users/1", "version": "W/\"0\"" }),
    ];
    let operations: Vec<Value> = [make("bob")].into_iter().chain(wrong.clone()).chain([make("cy")]).collect();
    let done = bulk(&scim, json!(operations), None).await;
    assert_eq!(statuses(&done), ["201", "409", "404", "404", "404", "400", "404", "400", "412", "201"]);
    let error = &done[1]["response"];
    assert_eq!(error["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:Error"]));
    assert_eq!((&error["status"], &error["scimType"]), (&json!("409"), &json!("uniqueness")));
    assert_eq!(scim.found("/Users", "userName eq \"cy\"", "userName").await, ["cy"]);
    // After so many errors the rest is given up.
    let operations: Vec<Value> = [make("dot")].into_iter().chain(wrong).chain([make("eve")]).collect();
    let done = bulk(&scim, json!(operations), Some(2)).await;
    assert_eq!(statuses(&done), ["201", "409", "404"]);
    assert!(scim.found("/Users", "userName eq \"eve\"", "id").await.is_empty());
}

async fn what_is_no_bulk_request_is_refused(server: TestServer) {
    let scim = start(&server).await;
    let before = head(&server).await;
    let make = json!({ "method": "POST", "path": "/Users", "data": { "userName": "bob" } });
    for (body, scim_type) in [
        (json!({}), "invalidSyntax"),
        (json!({ "Operations": {} }), "invalidSyntax"),
        (json!({ "Operations": [make, 7] }), "invalidSyntax"),
        (json!({ "Operations": [make, { "path": "/Users" }] }), "invalidSyntax"),
        (json!({ "Operations": [make, { "method": 7, "path": "/Users" }] }), "invalidSyntax"),
        (json!({ "Operations": [make], "failOnErrors": 0 }), "invalidValue"),
        (json!({ "Operations": [make], "failOnErrors": "x" }), "invalidValue"),
        (json!({ "schemas": ["urn:x"], "Operations": [make] }), "invalidValue"),
    ] {
        refused(&scim.post("/Bulk", &body).await, 400, Some(scim_type));
    }
    let many: Vec<Value> = (0..1_001).map(|_| make.clone()).collect();
    refused(&scim.post("/Bulk", &json!({ "Operations": many })).await, 413, None);
    assert_eq!(head(&server).await, before);
}

#[tokio::test]
async fn the_limits_are_those_of_the_configuration() {
    let server = TestServer::builder()
        .configured(|config| {
            config.scim.max_operations = 2;
            config.scim.max_payload = 1_000;
        })
        .start()
        .await;
    let scim = start(&server).await;
    let shown = scim.get("/ServiceProviderConfig").await.json();
    assert_eq!(
        (&shown["bulk"]["maxOperations"], &shown["bulk"]["maxPayloadSize"]),
        (&json!(2), &json!(1_000))
    );
    let operation = json!({ "method": "DELETE", "path": "/Users/999999" });
    scim.post("/Bulk", &json!({ "Operations": [operation, operation] })).await.expect(200);
    refused(
        &scim.post("/Bulk", &json!({ "Operations": [operation, operation, operation] })).await,
        413,
        None,
    );
    let large = json!({ "userName": "bob", "title": "x".repeat(1_000) });
    refused(&scim.post("/Users", &large).await, 413, None);
}
