//! A directory, as these tests play it.

use http::Method;
use serde_json::{Value, json};
use tokenhouse_testkit::client::{Answer, Client};
use tokenhouse_testkit::server::{Account, Bearer, PUBLIC_URL, TestServer};

pub(crate) const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
pub(crate) const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
pub(crate) const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

/// A client of the SCIM endpoints.
#[derive(Clone)]
pub(crate) struct Scim {
    pub(crate) client: Client,
}

impl Scim {
    /// With the SCIM token of this account.
    pub(crate) async fn of(server: &TestServer, account: &Account) -> Self {
        let (_, token) = server.scim_token(account).await;
        Self::with(server, &token)
    }

    /// With this token.
    pub(crate) fn with(server: &TestServer, token: &Bearer) -> Self {
        Self { client: server.as_(token) }
    }

    /// With one more header line.
    pub(crate) fn header(&self, name: &str, value: &str) -> Self {
        Self { client: self.client.with(name, value) }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.client.get(&format!("/scim/v2{path}")).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.client.delete(&format!("/scim/v2{path}")).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, body.to_string()).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PUT, path, body.to_string()).await
    }

    /// PATCH with these operations.
    pub(crate) async fn patch(&self, path: &str, operations: Value) -> Answer {
        let schemas = ["urn:ietf:params:scim:api:messages:2.0:PatchOp"];
        let body = json!({ "schemas": schemas, "Operations": operations });
        self.send(Method::PATCH, path, body.to_string()).await
    }

    /// Any body, as SCIM's media type.
    pub(crate) async fn send(&self, method: Method, path: &str, body: impl Into<String>) -> Answer {
        let path = format!("/scim/v2{path}");
        self.client.send(method, &path, Some("application/scim+json"), body.into()).await
    }

    /// A person who was made with this, besides the schemas.
    pub(crate) async fn person(&self, attributes: Value) -> Value {
        let mut body = json!({ "schemas": [USER] });
        for (name, value) in attributes.as_object().unwrap() {
            body[name] = value.clone();
        }
        self.post("/Users", &body).await.expect(201).json()
    }

    /// A group of this name with these members.
    pub(crate) async fn group(&self, name: &str, members: &[&str]) -> Value {
        let members: Vec<Value> = members.iter().map(|id| json!({ "value": id })).collect();
        let body = json!({ "schemas": [GROUP], "displayName": name, "members": members });
        self.post("/Groups", &body).await.expect(201).json()
    }

    /// What a filter finds at `/Users` or `/Groups`: the values of this attribute, in order.
    pub(crate) async fn found(&self, path: &str, filter: &str, attribute: &str) -> Vec<String> {
        let found = self.get(&format!("{path}?filter={}", escaped(filter))).await.expect(200).json();
        let resources = found["Resources"].as_array().unwrap();
        assert_eq!(found["totalResults"], resources.len(), "{filter}");
        resources.iter().map(|resource| resource[attribute].as_str().unwrap().to_owned()).collect()
    }

    /// The ids of the members of a group.
    pub(crate) async fn members(&self, group: &str) -> Vec<String> {
        let shown = self.get(&format!("/Groups/{group}")).await.expect(200).json();
        let members = shown["members"].as_array().cloned().unwrap_or_default();
        members.iter().map(|member| member["value"].as_str().unwrap().to_owned()).collect()
    }
}

/// A text for a query.
pub(crate) fn escaped(text: &str) -> String {
    text.bytes()
        .map(
            |byte| {
                if byte.is_ascii_alphanumeric() {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            },
        )
        .collect()
}

/// The id of a resource.
pub(crate) fn id(resource: &Value) -> &str {
    resource["id"].as_str().unwrap()
}

/// The path of a person or a group.
pub(crate) fn path(resource: &Value) -> String {
    let location = resource["meta"]["location"].as_str().unwrap();
    location.strip_prefix(&format!("{PUBLIC_URL}/scim/v2")).unwrap().to_owned()
}

/// The error in SCIM's form, checked to be a correct one.
#[track_caller]
pub(crate) fn refused(answer: &Answer, status: u16, scim_type: Option<&str>) -> Value {
    assert_eq!(answer.status, status, "{answer}");
    assert_eq!(answer.header("content-type"), Some("application/scim+json"), "{answer}");
    let error = answer.json();
    assert_eq!(error["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:Error"]), "{answer}");
    assert_eq!(error["status"], status.to_string(), "{answer}");
    assert_eq!(error.get("scimType").and_then(Value::as_str), scim_type, "{answer}");
    assert!(error["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{answer}");
    error
}
