//! What is offered, and that it is true.

use http::Method;
use serde_json::{Value, json};
use tokenhouse_core::people::Role;
use tokenhouse_testkit::server::{PUBLIC_URL, TestServer};

use super::scim::{ENTERPRISE, GROUP, Scim, USER, escaped, refused};

async fn start() -> (TestServer, Scim) {
    let server = TestServer::start().await;
    let admin = server.person("Ada", Role::Admin).await;
    let scim = Scim::of(&server, &admin).await;
    (server, scim)
}

#[tokio::test]
async fn what_is_supported_is_told() {
    let (_server, scim) = start().await;
    let shown = scim.get("/ServiceProviderConfig").await.expect(200).json();
    assert_eq!(shown["schemas"], json!(["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"]));
    for supported in ["patch", "bulk", "filter", "sort", "etag"] {
        assert_eq!(shown[supported]["supported"], true, "{supported}");
    }
    assert_eq!(shown["changePassword"]["supported"], false);
    assert_eq!(shown["bulk"]["maxOperations"], 1_000);
    assert_eq!(shown["bulk"]["maxPayloadSize"], 1_048_576);
    assert_eq!(shown["filter"]["maxResults"], 1_000);
    assert_eq!(shown["authenticationSchemes"][0]["type"], "oauthbearertoken");
    assert_eq!(shown["meta"]["location"], format!("{PUBLIC_URL}/scim/v2/ServiceProviderConfig"));
    assert_eq!(shown["meta"]["resourceType"], "ServiceProviderConfig");
}

#[tokio::test]
async fn types_and_schemas_are_listed_and_found_where_they_say_they_are() {
    let (_server, scim) = start().await;
    for (path, ids) in
        [("/ResourceTypes", vec!["User", "Group"]), ("/Schemas", vec![USER, ENTERPRISE, GROUP])]
    {
        let listed = scim.get(path).await.expect(200).json();
        assert_eq!(listed["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:ListResponse"]));
        assert_eq!(
            (&listed["totalResults"], &listed["itemsPerPage"]),
            (&json!(ids.len()), &json!(ids.len()))
        );
        let resources = listed["Resources"].as_array().unwrap();
        let found: Vec<_> = resources.iter().map(|resource| resource["id"].as_str().unwrap()).collect();
        assert_eq!(found, ids);
        for resource in resources {
            let location = resource["meta"]["location"].as_str().unwrap();
            let path = location.strip_prefix(&format!("{PUBLIC_URL}/scim/v2")).unwrap();
            assert_eq!(scim.get(path).await.expect(200).json(), *resource);
        }
        refused(&scim.get(&format!("{path}/Nothing")).await, 404, None);
        refused(&scim.get(&format!("{path}?filter={}", escaped("id pr"))).await, 403, None);
    }
    let user = scim.get("/ResourceTypes/User").await.json();
    assert_eq!((&user["endpoint"], &user["schema"]), (&json!("/Users"), &json!(USER)));
    assert_eq!(user["schemaExtensions"], json!([{ "schema": ENTERPRISE, "required": false }]));
}

fn attribute<'a>(attributes: &'a Value, name: &str) -> &'a Value {
    let found = attributes.as_array().unwrap().iter().find(|attribute| attribute["name"] == name);
    found.unwrap_or_else(|| panic!("no {name}"))
}

#[tokio::test]
async fn schemas_say_how_attributes_behave() {
    let (_server, scim) = start().await;
    let user = scim.get(&format!("/Schemas/{USER}")).await.expect(200).json()["attributes"].clone();
    let user_name = attribute(&user, "userName");
    assert_eq!((&user_name["required"], &user_name["caseExact"]), (&json!(true), &json!(false)));
    assert_eq!(user_name["uniqueness"], "server");
    assert_eq!(attribute(&user, "password")["mutability"], "writeOnly");
    assert_eq!(attribute(&user, "password")["returned"], "never");
    assert_eq!(attribute(&user, "groups")["mutability"], "readOnly");
    let emails = attribute(&user, "emails");
    assert_eq!((&emails["type"], &emails["multiValued"]), (&json!("complex"), &json!(true)));
    assert_eq!(attribute(&emails["subAttributes"], "primary")["type"], "boolean");
    let group = scim.get(&format!("/Schemas/{GROUP}")).await.json()["attributes"].clone();
    let reference = attribute(&attribute(&group, "members")["subAttributes"], "$ref").clone();
    assert_eq!((&reference["type"], &reference["referenceTypes"]), (&json!("reference"), &json!(["User"])));
    let enterprise = scim.get(&format!("/Schemas/{ENTERPRISE}")).await.json()["attributes"].clone();
    assert_eq!(attribute(&enterprise, "manager")["type"], "complex");
}

#[tokio::test]
async fn what_is_not_there_is_told_in_scims_form() {
    let (server, scim) = start().await;
    for path in ["", "/", "/Nothing", "/Users/1/x", "/Bulk/1"] {
        refused(&scim.get(path).await, 404, None);
        refused(&server.client().post(&format!("/api/scim/v2{path}"), &json!({})).await, 404, None);
    }
    for (method, path) in [
        (Method::DELETE, "/Users"),
        (Method::POST, "/Users/1"),
        (Method::GET, "/Bulk"),
        (Method::POST, "/Schemas"),
        (Method::PUT, "/ServiceProviderConfig"),
    ] {
        let answer = scim.send(method, path, "{}").await;
        refused(&answer, 405, None);
        assert!(answer.header("allow").is_some(), "{answer}");
    }
    refused(&scim.get("/Me").await, 501, None);
    refused(&scim.post("/.search", &json!({})).await, 501, None);
}
