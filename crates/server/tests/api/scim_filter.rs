//! Filters: how much of one is let through, and what isn't quite the grammar.

use http::Method;
use serde_json::json;
use tokenhouse_testkit::server::TestServer;

use super::scim::{escaped, refused};
use super::scim_query::start;

on_both_databases!(
    a_filter_that_is_too_much_is_refused_at_once,
    few_comparisons_look_at_everybody,
    a_not_needs_no_space,
    brackets_hold_a_whole_filter,
);

async fn a_filter_that_is_too_much_is_refused_at_once(server: TestServer) {
    let (scim, _) = start(&server).await;
    let deep = format!("{}title pr{}", "not (".repeat(10_000), ")".repeat(10_000));
    let brackets = "emails[".repeat(1_000);
    let equal = "title eq \"x\"";
    let wide = [equal; 201].join(" or ");
    let spaces = format!("title{}pr", " ".repeat(8_000));
    let quotes = format!("title eq \"{}", "\\\"".repeat(4_000));
    for filter in [&deep, &brackets, &wide, &quotes, &deep[..8_000], &format!("({deep})")] {
        refused(&scim.post("/Users/.search", &json!({ "filter": filter })).await, 400, Some("invalidFilter"));
    }
    scim.post("/Users/.search", &json!({ "filter": spaces })).await.expect(200);
    // A hundred at once is an ordinary question.
    let hundred: Vec<_> = (0..100).map(|number| format!("id eq \"{number}\"")).collect();
    scim.post("/Users/.search", &json!({ "filter": hundred.join(" or ") })).await.expect(200);
    // The deepest and widest that are let through are no trouble for the databases.
    let depth = format!("{}title pr{}", "not (".repeat(60), ")".repeat(60));
    scim.post("/Users/.search", &json!({ "filter": depth })).await.expect(200);
    let both = format!("{}{}{}", "not (".repeat(60), [equal; 20].join(" or "), ")".repeat(60));
    scim.post("/Users/.search", &json!({ "filter": both })).await.expect(200);
    let million = format!("title eq \"{}\"", "x".repeat(1_000_000));
    refused(&scim.post("/Users/.search", &json!({ "filter": million })).await, 400, Some("invalidFilter"));
    let larger = json!({ "filter": "x".repeat(1_100_000) }).to_string();
    refused(&scim.send(Method::POST, "/Users/.search", larger).await, 413, None);
}

async fn few_comparisons_look_at_everybody(server: TestServer) {
    let (scim, _) = start(&server).await;
    let equal = "userName eq \"cy\" or emails[value eq \"x\"]";
    for costly in [
        "title pr",
        "title ne \"x\"",
        "title co \"x\"",
        "emails[value sw \"x\"]",
        "not (title gt \"x\")",
        "not (title eq \"x\")",
        "emails[not (value eq \"x\")]",
        "not (emails[value eq \"x\"])",
    ] {
        let most = format!("{equal} or {}", [costly; 20].join(" or "));
        scim.post("/Users/.search", &json!({ "filter": most })).await.expect(200);
        let too_many = format!("{most} or {costly}");
        refused(
            &scim.post("/Users/.search", &json!({ "filter": too_many })).await,
            400,
            Some("invalidFilter"),
        );
    }
}

async fn a_not_needs_no_space(server: TestServer) {
    let (scim, _) = start(&server).await;
    for (filter, expected) in [
        ("not(active eq true)", vec!["cy"]),
        ("NOT(title pr) and NOT(not(userType pr))", vec!["Émile"]),
        ("title pr and not(active eq true)", vec!["cy"]),
        ("(not(active eq true) or title eq \"Boss\")", vec!["Bob@Example.com", "cy"]),
        (r#"emails[not(value ew "home.example")] and title pr"#, vec!["Bob@Example.com"]),
        (r#"displayName eq "not(x)""#, vec![]),
    ] {
        assert_eq!(scim.found("/Users", filter, "userName").await, expected, "{filter}");
    }
}

async fn brackets_hold_a_whole_filter(server: TestServer) {
    let (scim, _) = start(&server).await;
    for filter in [
        r#"emails[type eq "a") or (value pr].value eq "x""#,
        r#"emails[type eq "a") or not (value pr].value pr"#,
        r#"emails[(type eq "a"].value eq "x""#,
        r#"emails[].value eq "x""#,
        r#"emails[type eq "a"].value eq "x") or (id pr"#,
    ] {
        refused(&scim.get(&format!("/Users?filter={}", escaped(filter))).await, 400, Some("invalidFilter"));
    }
}
