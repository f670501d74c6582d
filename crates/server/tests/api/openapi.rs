//! The description of the API is complete and true.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokenhouse_testkit::client::Answer;
use tokenhouse_testkit::server::TestServer;

/// The description, to hold answers against.
pub(crate) struct Contract(Value);

impl Contract {
    pub(crate) fn new() -> Self {
        Self(serde_json::to_value(tokenhouse::router::openapi()).unwrap())
    }

    /// Every method and path.
    pub(crate) fn operations(&self) -> BTreeSet<(String, String)> {
        let methods_of = |(path, item): (&String, &Value)| {
            let methods = item.as_object().unwrap().keys();
            methods.map(|method| (method.to_uppercase(), path.clone())).collect::<Vec<_>>()
        };
        self.0["paths"].as_object().unwrap().iter().flat_map(methods_of).collect()
    }

    /// An answer is one of those that are described, down to the last field.
    #[track_caller]
    pub(crate) fn check(&self, method: &str, path: &str, answer: &Answer) {
        let responses = &self.0["paths"][path][method.to_lowercase()]["responses"];
        let family = format!("{}XX", answer.status / 100);
        let described = responses.get(answer.status.to_string()).or_else(|| responses.get(family));
        let described = described.unwrap_or_else(|| panic!("not described: {answer}"));
        for name in described.get("headers").and_then(Value::as_object).into_iter().flat_map(|map| map.keys())
        {
            assert!(answer.header(name).is_some(), "no {name}: {answer}");
        }
        let Some(content) = described.get("content").and_then(Value::as_object) else {
            assert!(answer.body.is_empty(), "a body that is not described: {answer}");
            return;
        };
        let sent = answer.header("content-type").and_then(|sent| sent.split(';').next());
        let media_type =
            sent.and_then(|sent| content.get(sent)).unwrap_or_else(|| panic!("{sent:?}: {answer}"));
        if !sent.is_some_and(|sent| sent.ends_with("json")) {
            return;
        }
        let validator = self.validator(&media_type["schema"]);
        let body = answer.json();
        let wrong: Vec<String> =
            validator.iter_errors(&body).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(wrong.is_empty(), "{wrong:#?}\n{answer}");
    }

    fn validator(&self, schema: &Value) -> jsonschema::Validator {
        let mut strict = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "components": self.0["components"],
            "allOf": [schema],
        });
        // Nothing that isn't described, at the top and in the items of a list or a page.
        if schema["type"] == "array" {
            strict["items"] = json!({ "$ref": schema["items"]["$ref"], "unevaluatedProperties": false });
        } else {
            strict["unevaluatedProperties"] = json!(false);
        }
        jsonschema::options().should_validate_formats(true).build(&strict).unwrap()
    }
}

#[tokio::test]
async fn the_description_is_served_and_is_openapi_3_1() {
    let server = TestServer::start().await;
    let mut shown = server.client().get("/api/openapi.json").await.expect(200).json();
    assert_eq!(shown, Contract::new().0);
    assert!(shown["openapi"].as_str().unwrap().starts_with("3.1"));
    shown["info"]["version"] = json!("[version]");
    insta::assert_json_snapshot!("openapi", shown);
}

#[test]
fn every_route_that_needs_a_token_says_so_and_the_others_do_not() {
    let Contract(description) = Contract::new();
    let open = [
        "/api/leaks",
        "/api/leaks/github",
        "/api/status",
        "/healthz",
        "/readyz",
        "/.well-known/jwks.json",
        "/oauth/revoke",
    ];
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let secured = operation["security"] == json!([{ "bearer": [] }]);
            assert_eq!(secured, !open.contains(&&**path), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn the_page_to_browse_it_loads_nothing_from_other_hosts() {
    let server = TestServer::start().await;
    let client = server.client();
    let page = client.get("/api/docs/").await;
    let page = page.expect(200).text();
    let attributes = ["src=\"", "href=\"", "src='", "href='"];
    let mut loaded = 0;
    for attribute in attributes {
        for start in page.match_indices(attribute).map(|(at, _)| at + attribute.len()) {
            let target = page[start..].split(['"', '\'']).next().unwrap();
            assert!(!target.contains("//"), "{target}");
            client.get(&format!("/api/docs/{}", target.trim_start_matches("./"))).await.expect(200);
            loaded += 1;
        }
    }
    assert!(loaded >= 3, "{page}");
    // Swagger UI asks a validator at swagger.io unless it is told not to.
    let started = client.get("/api/docs/swagger-initializer.js").await.expect(200).text();
    assert!(started.contains(r#""validatorUrl": "none""#), "{started}");
    assert!(started.contains(r#""/api/openapi.json""#), "{started}");
    let elsewhere = started.match_indices("://").count();
    assert_eq!(elsewhere, 0, "{started}");
    // And it is found without the slash too.
    let redirected = client.get("/api/docs").await;
    assert!(redirected.status == 200 || redirected.status / 100 == 3, "{redirected}");
}
