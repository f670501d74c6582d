//! No filter, and no path of an operation, makes a parser panic or run away.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Map, json};
use tokenhouse::scim::schema::{GROUPS, PEOPLE};
use tokenhouse::scim::{filter, patch};

fuzz_target!(|text: &str| {
    for resource in [&PEOPLE, &GROUPS] {
        let _ = filter::parse(resource, text);
    }
    let body = json!({ "Operations": [
        { "op": "add", "path": text, "value": text },
        { "op": "replace", "path": text, "value": [{ "value": text, "primary": true }] },
        { "op": "add", "value": { text: text } },
        { "op": "remove", "path": text },
    ] });
    for operation in body["Operations"].as_array().into_iter().flatten() {
        let body = Map::from_iter([("Operations".to_owned(), json!([operation]))]);
        if let Ok(operations) = patch::operations(&body) {
            let _ = patch::apply(&PEOPLE, &mut Map::new(), &operations);
        }
    }
});
