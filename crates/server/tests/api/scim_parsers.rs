//! What parsers of filters and operations do with any text.

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tokenhouse::scim::schema::{GROUPS, PEOPLE};
use tokenhouse::scim::{filter, patch};

/// What filters and paths are made of, and what they are not.
const PIECES: [&str; 30] = [
    "userName",
    "emails",
    "value",
    "type",
    "active",
    "members",
    "meta.created",
    "name.givenName",
    "nonsense",
    "urn:ietf:params:scim:schemas:core:2.0:User:",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
    "eq",
    "ne",
    "co",
    "gt",
    "pr",
    "and",
    "or",
    "not",
    "\"x\"",
    "\"",
    "\\",
    "true",
    "null",
    "7",
    "(",
    ")",
    "[",
    "]",
    ".",
];

fn soup() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(&PIECES[..]);
    prop::collection::vec((piece, prop::sample::select(vec!["", " "])), 0..40)
        .prop_map(|pieces| pieces.into_iter().flat_map(|(piece, gap)| [piece, gap]).collect())
}

/// Filters as the grammar has them.
fn good() -> impl Strategy<Value = String> {
    let text = "[a-z\\\\\"Ä🚀 ]{1,8}".prop_map(|text| Value::String(text).to_string());
    let comparison = prop::sample::select(vec!["eq", "NE", "co", "sw", "ew", "gt", "Ge", "lt", "le"]);
    let name = prop::sample::select(vec![
        "userName",
        "TITLE",
        "name.givenName",
        "emails.value",
        "emails",
        "externalId",
        "urn:ietf:params:scim:schemas:core:2.0:User:nickName",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department",
    ]);
    let compared = (name.clone(), comparison, text)
        .prop_map(|(name, comparison, text)| format!("{name} {comparison} {text}"));
    let present = name.prop_map(|name| format!("{name} pr"));
    let inside = Just(r#"emails[type eq "work" and not (primary eq true)]"#.to_owned());
    prop_oneof![4 => compared, 1 => present, 1 => inside].prop_recursive(4, 24, 3, |part| {
        prop_oneof![
            (part.clone(), part.clone()).prop_map(|(a, b)| format!("{a} and {b}")),
            (part.clone(), part.clone()).prop_map(|(a, b)| format!("({a}) OR {b}")),
            part.clone().prop_map(|part| format!("not ({part})")),
            part.prop_map(|part| format!("not({part})")),
        ]
    })
}

/// What an operation makes of somebody.
fn patched(operation: &Value) -> Map<String, Value> {
    let before = json!({
        "userName": "eve", "title": "Boss", "name": { "givenName": "Eve" },
        "emails": [{ "value": "eve@example.com", "type": "work", "primary": true }],
    });
    let mut document = before.as_object().unwrap().clone();
    let body = Map::from_iter([("Operations".to_owned(), json!([operation]))]);
    if let Ok(operations) = patch::operations(&body) {
        let _ = patch::apply(&PEOPLE, &mut document, &operations);
    }
    document
}

proptest! {
    #[test]
    fn any_text_is_a_filter_or_an_error(text in any::<String>(), soup in soup()) {
        for resource in [&PEOPLE, &GROUPS] {
            let _ = filter::parse(resource, &text);
            let _ = filter::parse(resource, &soup);
        }
    }

    #[test]
    fn what_the_grammar_has_is_a_filter(text in good()) {
        prop_assert!(filter::parse(&PEOPLE, &text).is_ok(), "{}", text);
    }

    /// Whatever is changed: a name is text, several values are a list of objects, and no secret is kept.
    #[test]
    fn any_operation_leaves_a_whole_document(
        verb in prop::sample::select(vec!["add", "replace", "remove", "nonsense"]),
        path in prop_oneof![soup(), Just("password".to_owned()), Just("emails[type eq \"work\"].value".to_owned())],
        value in prop_oneof![Just(json!("x")), Just(json!(null)), Just(json!([{ "value": "y", "primary": "True" }])), Just(json!({ "password": "hunter2" }))],
    ) {
        for operation in [json!({ "op": verb, "path": path, "value": value }), json!({ "op": verb, "value": { path.clone(): value.clone() } })] {
            let document = patched(&operation);
            prop_assert!(document.values().all(|value| !value.is_null()));
            prop_assert!(document.get("emails").is_none_or(|emails| emails.as_array().is_some_and(|emails| emails.iter().all(Value::is_object))));
            prop_assert!(document.get("userName").is_none_or(Value::is_string));
            prop_assert!(!Value::Object(document).to_string().contains("hunter2"));
        }
    }
}
