//! Who may use the SCIM endpoints: every route times every kind of caller.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};
use tokenhouse::scim;
use tokenhouse_core::people::{Role, UserType};
use tokenhouse_testkit::server::{Bearer, TestServer};

use super::permissions::{fresh, spare};
use super::scim::{GROUP, Scim, USER, id, refused};
use super::{head, set_revoked};

on_both_databases!(
    every_route_answers_every_caller_as_the_table_says,
    a_scim_token_of_a_service_user_works_while_it_is_active,
    a_scim_token_of_a_human_works_while_they_are_an_admin,
    a_cookie_opens_nothing,
);

/// What a row is about; `{id}` in its path is the id of a fresh one for every call.
#[derive(Clone, Copy)]
enum Target {
    Nothing,
    Person,
    Team,
}
use Target::{Nothing, Person, Team};

/// Method, path, what it is about, body, and the status for those who may.
type Row = (&'static str, &'static str, Target, fn(i64) -> Value, u16);

const NO_BODY: fn(i64) -> Value = |_| Value::Null;
const A_USER: fn(i64) -> Value = |n| json!({ "schemas": [USER], "userName": format!("user{n}") });
const A_GROUP: fn(i64) -> Value = |n| json!({ "schemas": [GROUP], "displayName": format!("group{n}") });
const A_PATCH: fn(i64) -> Value =
    |n| json!({ "Operations": [{ "op": "replace", "path": "displayName", "value": format!("n{n}") }] });

/// Every route there is.
const TABLE: &[Row] = &[
    ("GET", "/ServiceProviderConfig", Nothing, NO_BODY, 200),
    ("GET", "/ResourceTypes", Nothing, NO_BODY, 200),
    ("GET", "/ResourceTypes/{name}", Nothing, NO_BODY, 404),
    ("GET", "/Schemas", Nothing, NO_BODY, 200),
    ("GET", "/Schemas/{id}", Nothing, NO_BODY, 404),
    ("POST", "/Bulk", Nothing, |_| json!({ "Operations": [] }), 200),
    ("POST", "/.search", Nothing, |_| json!({}), 501),
    ("GET", "/Me", Nothing, NO_BODY, 501),
    ("POST", "/Me", Nothing, A_USER, 501),
    ("PUT", "/Me", Nothing, A_USER, 501),
    ("PATCH", "/Me", Nothing, A_PATCH, 501),
    ("DELETE", "/Me", Nothing, NO_BODY, 501),
    ("GET", "/Users", Nothing, NO_BODY, 200),
    ("POST", "/Users", Nothing, A_USER, 201),
    ("POST", "/Users/.search", Nothing, |_| json!({}), 200),
    ("GET", "/Users/{id}", Person, NO_BODY, 200),
    ("PUT", "/Users/{id}", Person, A_USER, 200),
    ("PATCH", "/Users/{id}", Person, A_PATCH, 200),
    ("DELETE", "/Users/{id}", Person, NO_BODY, 204),
    ("GET", "/Groups", Nothing, NO_BODY, 200),
    ("POST", "/Groups", Nothing, A_GROUP, 201),
    ("POST", "/Groups/.search", Nothing, |_| json!({}), 200),
    ("GET", "/Groups/{id}", Team, NO_BODY, 200),
    ("PUT", "/Groups/{id}", Team, A_GROUP, 200),
    ("PATCH", "/Groups/{id}", Team, A_PATCH, 200),
    ("DELETE", "/Groups/{id}", Team, NO_BODY, 204),
];

#[test]
fn every_route_has_a_row_and_every_row_a_route() {
    let routes: BTreeSet<_> =
        scim::resources().iter().map(|route| (route.method.to_string(), route.path.to_owned())).collect();
    let rows: BTreeSet<_> = TABLE.iter().map(|row| (row.0.to_owned(), row.1.to_owned())).collect();
    assert_eq!(rows.len(), TABLE.len(), "a row is there twice");
    assert_eq!(rows, routes);
}

async fn target(scim: &Scim, wanted: Target) -> String {
    match wanted {
        Nothing => fresh().to_string(),
        Person => id(&scim.person(json!({ "userName": format!("target{}", fresh()) })).await).to_owned(),
        Team => id(&scim.group(&format!("target{}", fresh()), &[]).await).to_owned(),
    }
}

async fn every_route_answers_every_caller_as_the_table_says(server: TestServer) {
    let people = server.people().await;
    let robot = server.service_user("Robot", Role::Admin).await;
    let directory = Scim::of(&server, &robot).await;
    let (human, service) = (UserType::Human, UserType::Service);
    // Who, with which token, and the status if it isn't that of the row.
    let callers = [
        ("no token", None, Some(401)),
        ("garbage", None, Some(401)),
        ("SCIM token", Some((&people.admin, human, true)), None),
        ("Member", Some((&people.member, human, false)), Some(403)),
        ("Manager", Some((&people.manager, human, false)), Some(403)),
        ("Admin", Some((&people.admin, human, false)), None),
        ("service Member", Some((&people.service, service, false)), Some(403)),
        ("service Admin", Some((&robot, service, false)), None),
    ];
    for (method, template, about, body, status) in TABLE {
        for (position, (caller, account, other)) in callers.iter().enumerate() {
            let client = match account {
                None if *caller == "garbage" => server.as_(&Bearer::new("garbage")),
                None => server.client(),
                Some((account, user_type, scim)) => {
                    server.as_(&spare(&server, account, *user_type, *scim).await)
                }
            };
            let id = target(&directory, *about).await;
            let path = template.replace("{id}", &id).replace("{name}", &id);
            // Both places are one and the same.
            let path = format!("{}{path}", scim::PREFIXES[position % 2]);
            let (before, body) = (head(&server).await, body(fresh()));
            let method: Method = method.parse().unwrap();
            let sent = if body.is_null() { String::new() } else { body.to_string() };
            let media_type = (!body.is_null()).then_some("application/scim+json");
            let answer = client.send(method, &path, media_type, sent).await;
            assert_eq!(answer.status, other.unwrap_or(*status), "{caller}: {answer}");
            if answer.status >= 400 {
                refused(&answer, answer.status, None);
                assert_eq!(head(&server).await, before, "{caller} was refused, but: {answer}");
            }
            if answer.status == 401 {
                let challenge = answer.header("www-authenticate").unwrap();
                assert!(challenge.starts_with(r#"Bearer realm="tokenhouse""#), "{challenge}");
            }
        }
    }
}

async fn a_scim_token_of_a_service_user_works_while_it_is_active(server: TestServer) {
    let people = server.people().await;
    let scim = Scim::of(&server, &people.service).await;
    scim.get("/Users").await.expect(200);
    scim.person(json!({ "userName": "eve" })).await;
    server.as_(&people.admin.token).delete(&format!("/api/users/{}", people.service.id)).await.expect(204);
    refused(&scim.get("/Users").await, 401, None);
}

async fn a_scim_token_of_a_human_works_while_they_are_an_admin(server: TestServer) {
    let people = server.people().await;
    let (token, bearer) = server.scim_token(&people.admin).await;
    let scim = Scim::with(&server, &bearer);
    scim.get("/Users").await.expect(200);
    let other = server.person("Other Admin", Role::Admin).await;
    let admin = server.as_(&other.token);
    let user = format!("/api/users/{}", people.admin.id);
    admin.put(&user, &json!({ "role": "Manager" })).await.expect(200);
    let before = head(&server).await;
    refused(&scim.get("/Users").await, 403, None);
    refused(&scim.post("/Users", &json!({ "userName": "eve" })).await, 403, None);
    assert_eq!(head(&server).await, before);
    admin.put(&user, &json!({ "role": "Admin" })).await.expect(200);
    scim.get("/Users").await.expect(200);
    set_revoked(&server, &people.admin.token, token, true).await;
    refused(&scim.get("/Users").await, 401, None);
}

async fn a_cookie_opens_nothing(server: TestServer) {
    let people = server.people().await;
    let browser = server.browser(&people.admin).await;
    refused(&browser.get("/scim/v2/Users").await, 401, None);
}
