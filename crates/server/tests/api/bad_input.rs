//! Whatever is wrong with a request is told with the field's name, changes nothing, and is never a
//! fault of ours.

use http::Method;
use serde_json::{Value, json};
use tokenhouse_core::people;
use tokenhouse_testkit::client::{Answer, Client};
use tokenhouse_testkit::server::{People, TestServer};

use super::head;

on_both_databases!(
    every_wrong_value_of_every_field_is_told,
    missing_unknown_and_doubled_fields_are_told,
    a_body_that_is_no_object_is_refused,
    names_that_grow_without_their_case_are_never_our_fault,
);

/// What a field holds, and so what it takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Name,
    /// Free text of at most so many characters; null and nothing but white space are no text.
    Text(usize),
    /// Free text where there may be none at all.
    NoText,
    Days,
    Bool,
    /// A number that is no service user's.
    ServiceUser,
    Role,
    UserType,
    Email,
    TeamNames,
    UserIds,
}
use Kind::{Bool, Days, Email, Name, NoText, Role, ServiceUser, TeamNames, Text, UserIds, UserType};

/// Whether a field must be there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Presence {
    Required,
    /// May be left out.
    Optional,
    /// May be left out, and null is the same.
    Nullable,
}
use Presence::{Nullable, Optional, Required};

/// A field, what it holds, and whether it must be there.
type Field = (&'static str, Kind, Presence);

/// A body that is accepted, and its fields.
pub(super) struct Body {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) valid: Value,
    fields: &'static [Field],
}

pub(super) fn bodies(people: &People) -> Vec<Body> {
    let body = |method, path: String, valid, fields| Body { method, path, valid, fields };
    let user = |id: i64| format!("/api/users/{id}");
    vec![
        body(
            Method::POST,
            "/api/user-tokens".into(),
            json!({ "name": "valid" }),
            &[
                ("name", Name, Required),
                ("expires_in_days", Days, Nullable),
                ("scim_endpoints_only", Bool, Optional),
                ("user_id", ServiceUser, Nullable),
            ],
        ),
        body(
            Method::PUT,
            format!("/api/user-tokens/{}", people.service.token_id),
            json!({ "revoke": true }),
            &[("revoke", Bool, Required), ("descendants", Bool, Optional)],
        ),
        body(
            Method::POST,
            format!("/api/user-tokens/{}/rotate", people.service.token_id),
            json!({}),
            &[("name", Name, Nullable), ("expires_in_days", Days, Nullable)],
        ),
        body(
            Method::POST,
            "/api/users".into(),
            json!({ "name": "Valid", "role": "Member" }),
            &[
                ("name", Name, Required),
                ("role", Role, Required),
                ("teams", TeamNames, Optional),
                ("user_type", UserType, Optional),
                ("email", NoText, Nullable),
                ("purpose", Text(2_000), Nullable),
                ("owner", Text(255), Nullable),
            ],
        ),
        body(
            Method::POST,
            "/api/users".into(),
            json!({ "name": "Valid", "role": "Member", "user_type": "Human", "email": "valid@example.com" }),
            &[("email", Email, Required), ("purpose", NoText, Nullable), ("owner", NoText, Nullable)],
        ),
        body(
            Method::PUT,
            user(people.service.id),
            json!({}),
            &[
                ("name", Name, Nullable),
                ("role", Role, Nullable),
                ("teams", TeamNames, Nullable),
                ("purpose", Text(2_000), Nullable),
                ("owner", Text(255), Nullable),
            ],
        ),
        body(
            Method::POST,
            "/api/teams".into(),
            json!({ "name": "Valid" }),
            &[
                ("name", Name, Required),
                ("description", Text(2_000), Nullable),
                ("members", UserIds, Nullable),
            ],
        ),
        body(
            Method::PUT,
            "/api/teams/2".into(),
            json!({}),
            &[
                ("name", Name, Nullable),
                ("description", Text(2_000), Nullable),
                ("members", UserIds, Nullable),
            ],
        ),
    ]
}

/// The kinds of field that take a value.
type Takers = fn(Kind) -> bool;

/// Values as JSON text, each with the kinds that take it.
fn values() -> Vec<(String, Takers)> {
    let text = |text: String| serde_json::to_string(&text).unwrap();
    let short: Takers = |kind| matches!(kind, Name | Text(_));
    let nobody: Takers = |_| false;
    let mut values: Vec<(String, Takers)> = vec![
        ("true".into(), |kind| kind == Bool),
        ("false".into(), |kind| kind == Bool),
        ("7".into(), |kind| kind == Days),
        ("[]".into(), |kind| matches!(kind, TeamNames | UserIds)),
        (text(String::new()), |kind| matches!(kind, Text(_))),
        (text(" \t ".into()), |kind| matches!(kind, Text(_))),
        (text("a\tb\nc".into()), |kind| matches!(kind, Text(_))),
        (text(format!("x{}", "é".repeat(254))), short),
        (text("é".repeat(2_000)), |kind| kind == Text(2_000)),
        (text("é".repeat(2_001)), nobody),
        (text("x".repeat(100_000)), nobody),
        (text("a\u{0}b".into()), nobody),
        (text("a\u{1b}b".into()), nobody),
        (text("a\u{85}b".into()), nobody),
    ];
    values.extend(["x", "admin", "1", "true"].map(|short_text| (text(short_text.into()), short)));
    let never = [
        "0",
        "-1",
        "366",
        "1.0",
        "1.5",
        "1e3",
        "-0",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775809",
        "99999999999999999999999999",
        "{}",
        r#"{"x":1}"#,
        r#"{"Admin":null}"#,
        r#"{"Member":[]}"#,
        "[null]",
        "[7.5]",
        "[[]]",
        r#"["x"]"#,
        r#"["a\u0000b"]"#,
        "[999999]",
    ];
    values.extend(never.map(|raw| (raw.to_owned(), nobody)));
    values
}

/// What no JSON reader can take, or none should: not well formed, out of any range, or too deep.
fn not_json() -> Vec<String> {
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
    vec![
        r#""\ud800""#.into(),
        r#""\udc00\ud800""#.into(),
        "\"a\u{1}b\"".into(),
        "1e999".into(),
        "01".into(),
        "NaN".into(),
        "'x'".into(),
        deep("[", "]"),
        deep("{\"a\":", "}"),
    ]
}

/// The body with one field set to a raw text.
fn with(valid: &Value, field: &str, raw: &str) -> String {
    let mut body = valid.clone();
    body[field] = json!("@");
    body.to_string().replacen("\"@\"", raw, 1)
}

/// An answer without a megabyte of what was sent.
fn shown(text: &str) -> String {
    text.chars().take(200).collect()
}

async fn send(client: &Client, body: &Body, text: String) -> Answer {
    client.send(body.method.clone(), &body.path, Some("application/json"), text).await
}

/// The people, a team with the number 2, and an Admin's client.
pub(super) async fn setting(server: &TestServer) -> (People, Client) {
    let people = server.people().await;
    let admin = server.as_(&people.admin.token);
    assert_eq!(admin.post("/api/teams", &json!({ "name": "Data" })).await.expect(201).id(), 2);
    (people, admin)
}

async fn every_wrong_value_of_every_field_is_told(server: TestServer) {
    let (people, admin) = setting(&server).await;
    let before = head(&server).await;
    for body in bodies(&people) {
        for (field, kind, presence) in body.fields {
            let null = (*presence != Nullable).then(|| "null".to_owned());
            let wrong =
                values().into_iter().filter(|(_, takes)| !takes(*kind)).map(|(raw, _)| raw).chain(null);
            for raw in wrong {
                let answer = send(&admin, &body, with(&body.valid, field, &raw)).await;
                let asked = format!("{field} = {}", shown(&raw));
                assert_eq!(answer.status, 422, "{asked}: {}", shown(&answer.to_string()));
                let told = answer.wrong_fields();
                let names_it = |told: &String| told == field || told.starts_with(&format!("{field}["));
                assert!(told.iter().all(names_it), "{asked}: {told:?}");
            }
            for raw in not_json() {
                let answer = send(&admin, &body, with(&body.valid, field, &raw)).await;
                assert!([400, 422].contains(&answer.status), "{field} = {}: {answer}", shown(&raw));
                answer.problem(answer.status);
            }
        }
    }
    assert_eq!(head(&server).await, before);
    // The table is right about what is valid, or the rest would prove nothing.
    for body in bodies(&people) {
        for (field, kind, presence) in body.fields {
            let null = (*presence == Nullable).then(|| "null".to_owned());
            let taken =
                values().into_iter().filter(|(_, takes)| takes(*kind)).map(|(raw, _)| raw).chain(null);
            for raw in taken {
                let answer = send(&admin, &body, with(&body.valid, field, &raw)).await;
                let fine = matches!(answer.status, 200 | 201 | 409);
                assert!(fine, "{field} = {}: {}", shown(&raw), shown(&answer.to_string()));
            }
        }
    }
}

async fn missing_unknown_and_doubled_fields_are_told(server: TestServer) {
    let (people, admin) = setting(&server).await;
    let before = head(&server).await;
    for body in bodies(&people) {
        for (field, _, presence) in body.fields {
            if *presence == Required {
                let mut without = body.valid.clone();
                without.as_object_mut().unwrap().remove(*field);
                let answer = send(&admin, &body, without.to_string()).await;
                assert_eq!(answer.wrong_fields(), [*field], "{answer}");
            }
        }
        for unknown in ["expires_in_day", "Name", "id", "", "a b", "`", "x field `y`"] {
            let answer = send(&admin, &body, with(&body.valid, unknown, "1")).await;
            assert_eq!(answer.wrong_fields().len(), 1, "{answer}");
            if !unknown.contains('`') {
                assert_eq!(answer.wrong_fields(), [unknown], "{answer}");
            }
        }
        if let Some((field, value)) = body.valid.as_object().unwrap().iter().next() {
            let twice = format!(r#"{{"{field}":{value},"{field}":{value}}}"#);
            assert_eq!(send(&admin, &body, twice).await.wrong_fields(), [&**field]);
        }
    }
    assert_eq!(head(&server).await, before);
}

async fn a_body_that_is_no_object_is_refused(server: TestServer) {
    let (people, admin) = setting(&server).await;
    let before = head(&server).await;
    for body in bodies(&people) {
        // A list of the values in their order is no object either.
        let in_order = ["null"; 8].join(",");
        for text in [
            "[]",
            "null",
            "1",
            "\"x\"",
            "true",
            r#"["x",null,false,null]"#,
            "[true,false,null,null,null]",
            r#"["x",null]"#,
            r#"["x","Member",[],"Service",null,null,null]"#,
            r#"["x",null,null]"#,
            &format!("[{in_order}]"),
        ] {
            let answer = send(&admin, &body, text.to_owned()).await;
            assert_eq!(answer.status, 422, "{text}: {answer}");
            assert!(!answer.wrong_fields().is_empty());
        }
        for broken in
            ["", " ", "{", "}", "{]", "nonsense", &format!("{}}}", body.valid), "{,}", "{a:1}", "\u{feff}{}"]
        {
            // Rotate takes no body at all, too.
            if broken.is_empty() && body.path.ends_with("/rotate") {
                continue;
            }
            send(&admin, &body, broken.to_owned()).await.problem(400);
        }
        let not_utf8 = admin
            .send(body.method.clone(), &body.path, Some("application/json"), &b"{\"name\":\"\xff\"}"[..])
            .await;
        assert!([400, 422].contains(&not_utf8.status), "{not_utf8}");
        not_utf8.problem(not_utf8.status);
    }
    assert_eq!(head(&server).await, before);
}

#[tokio::test]
async fn the_description_says_what_is_required_and_what_may_be_null() {
    let server = TestServer::start().await;
    let description = serde_json::to_value(tokenhouse::router::openapi()).unwrap();
    for body in bodies(&server.people().await) {
        let segments = body.path.split('/').map(|s| if s.parse::<i64>().is_ok() { "{id}" } else { s });
        let path = segments.collect::<Vec<_>>().join("/");
        let operation = &description["paths"][&path][body.method.as_str().to_lowercase()];
        let schema =
            operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str().unwrap();
        let schema = description.pointer(schema.trim_start_matches('#')).unwrap();
        for (field, _, presence) in body.fields {
            let described = &schema["properties"][field];
            let null = described["type"].as_array().is_some_and(|types| types.contains(&json!("null")));
            assert_eq!(null, *presence == Nullable || *field == "email", "{path} {field}: {described}");
            // What a person needs, a service user doesn't.
            let required = schema["required"].as_array().is_some_and(|names| names.contains(&json!(field)));
            assert_eq!(required, *presence == Required && *field != "email", "{path} {field}");
        }
    }
}

/// The longest names whose form without case is as long as can be: of different characters, of one, and of some.
fn growing_names() -> [String; 3] {
    let stays =
        |c: &char| people::Name::parse(&c.to_string()).is_ok_and(|name| name.as_str().chars().eq([*c]));
    let mut all: Vec<char> = ('\u{80}'..=char::MAX).filter(stays).collect();
    all.sort_by_cached_key(|c| std::cmp::Reverse(people::fold(&c.to_string()).len()));
    // The last letter is the id of a service user.
    [(people::NAME_LIMIT, 'a'), (1, 'b'), (60, 'c')].map(|(different, last)| {
        all[..different].iter().cycle().take(people::NAME_LIMIT - 1).chain(&[last]).collect()
    })
}

/// PostgreSQL has limits for what stands in an index.
async fn names_that_grow_without_their_case_are_never_our_fault(server: TestServer) {
    let admin = server.people().await.admin;
    let with = server.as_(&admin.token);
    for name in growing_names() {
        assert!(people::fold(&name).len() > 2_000, "it grows");
        with.post("/api/teams", &json!({ "name": name })).await.expect(201);
        let robot = json!({ "name": name, "user_type": "Service", "role": "Member", "teams": [name] });
        let robot = with.post("/api/users", &robot).await.expect(201).json()["id"].clone();
        with.post("/api/user-tokens", &json!({ "name": name, "user_id": robot })).await.expect(201);
        with.delete(&format!("/api/users/{robot}")).await.expect(204);
        // What a directory says is bounded by bytes.
        for person in [json!({ "userName": name }), json!({ "userName": "ada", "displayName": name })] {
            with.post("/scim/v2/Users", &person).await.expect(400);
        }
        with.post("/scim/v2/Groups", &json!({ "displayName": name })).await.expect(400);
    }
}
