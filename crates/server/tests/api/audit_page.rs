//! `/settings/audit` and `/settings/policies`.

use tokenhouse::auth::guard::Call;
use tokenhouse::service::users;
use tokenhouse_core::id::UserId;
use tokenhouse_core::people::Role;
use tokenhouse_testkit::client::Client;
use tokenhouse_testkit::server::TestServer;

use super::{generate, head, set_revoked, tamper};

on_both_databases!(the_audit_page_shows_what_happened, the_filters_of_the_page_are_those_of_the_api);

async fn rename(server: &TestServer, id: i64, name: &str) {
    let renamed = users::Update { name: Some(name), ..users::Update::default() };
    users::update(&server.app, &Call::command_line(), UserId(id), renamed).await.unwrap();
}

/// How many records a page lists.
async fn listed(browser: &Client, query: &str) -> usize {
    let page = browser.get(&format!("/settings/audit{query}")).await;
    page.expect(200).text().matches("<summary>").count() - page.text().matches("Show as a table").count()
}

async fn the_audit_page_shows_what_happened(server: TestServer) {
    let people = server.people().await;
    let made = generate(&server, &people.member.token, "laptop", Some(30)).await.id();
    set_revoked(&server, &people.member.token, made, true).await;
    rename(&server, people.manager.id, "Max <b>Power</b>").await;
    let browser = server.browser(&people.admin).await;
    let page = browser.get("/settings/audit").await;
    let text = page.expect(200).text();
    for shown in [
        "Active users",
        "Total actions",
        "Most active user",
        "Top category",
        "revoked the token <b><bdi>laptop</bdi></b>",
        "Thursday, 15 January 2026 (UTC)",
        "<del><bdi>Max Manager</bdi></del>",
        "<ins><bdi>Max &#60;b&#62;Power&#60;/b&#62;</bdi></ins>",
        "API, token",
        "role=\"img\"",
        "<th scope=\"row\">15 Jan 2026</th>",
        "/settings/audit.csv",
    ] {
        assert!(text.contains(shown), "{shown}: {page}");
    }
    // As many bars as days, and more weeks than fit a month.
    for (query, bars) in
        [("", 7), ("?timeframe=month", 30), ("?timeframe=quarter", 90), ("?timeframe=year", 53)]
    {
        let page = browser.get(&format!("/settings/audit{query}")).await;
        assert_eq!(page.expect(200).text().matches("class=\"hit\"").count(), bars, "{query}");
    }
    let empty = browser.get("/settings/audit?date=2020-01-01").await;
    assert!(empty.expect(200).text().contains("Nothing on record here"), "{empty}");
}

async fn the_filters_of_the_page_are_those_of_the_api(server: TestServer) {
    let people = server.people().await;
    let made = generate(&server, &people.member.token, "laptop", Some(30)).await.id();
    set_revoked(&server, &people.member.token, made, true).await;
    let browser = server.browser(&people.admin).await;
    let api = server.as_(&people.admin.token);
    let member = people.member.id;
    for query in [
        String::new(),
        "?date=2026-01-15&timeframe=week&user=&action=".to_owned(),
        "?action=token.revoked".to_owned(),
        format!("?user={member}"),
        "?hide_internal=true".to_owned(),
        "?date=2026-01-14".to_owned(),
        "?user=999".to_owned(),
    ] {
        let narrowed = query.replace("&user=&action=", "");
        let found = api.get(&format!("/api/activity{narrowed}")).await.expect(200).json();
        assert_eq!(listed(&browser, &query).await, found["items"].as_array().unwrap().len(), "{query}");
        let own = browser.get(&format!("/settings/audit.csv{query}")).await;
        let csv = api.get(&format!("/api/activity.csv{narrowed}")).await;
        assert_eq!(own.expect(200).text(), csv.text(), "{query}");
        assert_eq!(own.header("content-disposition"), Some("attachment; filename=\"activity.csv\""));
    }
    for (query, control) in [("?date=tomorrow", "date"), ("?action=token.sold&date=2026-01-15", "action")] {
        let page = browser.get(&format!("/settings/audit{query}")).await;
        assert_eq!(page.expect(422).wrong_controls(), [control]);
    }
    for query in ["?timeframe=decade", "?user=x", "?hide_internal=perhaps"] {
        browser.get(&format!("/settings/audit{query}")).await.expect(400);
    }
}

#[tokio::test]
async fn the_log_is_read_page_by_page() {
    let server = TestServer::start().await;
    let ada = server.person("Ada", Role::Admin).await;
    let browser = server.browser(&ada).await;
    for number in 0..60 {
        rename(&server, ada.id, &format!("Ada {number}")).await;
    }
    let total = usize::try_from(head(&server).await).unwrap();
    assert_eq!(listed(&browser, "").await, 50);
    assert_eq!(listed(&browser, "?page=2").await, total - 50);
    assert_eq!(listed(&browser, "?page=99").await, 0);
    let first = browser.get("/settings/audit?timeframe=month").await.text();
    assert!(first.contains("/settings/audit?timeframe=month&#38;page=2"), "{first}");
}

#[tokio::test]
async fn the_chain_is_verified_at_the_start_and_when_asked() {
    let server = TestServer::start().await;
    let start = head(&server).await;
    let server = server.without_background().await;
    let ada = server.person("Ada", Role::Admin).await;
    let browser = server.browser(&ada).await;
    let unbroken = async |head: i64| {
        let page = browser.get("/settings/audit").await;
        assert!(page.text().contains(&format!("records 1 to {head}, unbroken")), "{page}");
    };
    unbroken(start).await;
    let verified = browser.post_form("/settings/audit/verify", &[]).await;
    assert_eq!(verified.expect(303).header("location"), Some("/settings/audit"));
    unbroken(head(&server).await).await;
}

#[tokio::test]
async fn a_trail_that_was_altered_is_told_with_the_record() {
    for (altered, told) in [
        ("UPDATE changes SET entity_name = 'Eve' WHERE seq = 2", "record 2 was changed"),
        ("DELETE FROM changes WHERE seq = 1", "record 1 is missing"),
    ] {
        let server = TestServer::start().await;
        let ada = server.person("Ada", Role::Admin).await;
        let browser = server.browser(&ada).await;
        tamper(&server, altered.to_owned()).await;
        browser.post_form("/settings/audit/verify", &[]).await.expect(303);
        let page = browser.get("/settings/audit").await;
        let text = page.expect(200).text();
        let (_, note) = text.split_once("<div class=\"note red\">").unwrap_or_else(|| panic!("{page}"));
        let (note, _) = note.split_once("</div>").unwrap();
        assert!(note.contains(&format!("<b>The chain is broken: {told}.</b>")), "{note}");
        assert!(!text.contains("unbroken"), "{page}");
    }
}

#[tokio::test]
async fn hostile_names_are_text_in_the_log_and_no_formula_in_its_file() {
    let server = TestServer::start().await;
    let ada = server.person("Ada", Role::Admin).await;
    let browser = server.browser(&ada).await;
    let rockets = "🚀".repeat(255);
    for hostile in
        ["<script>alert(1)</script>", "\"'><img src=x>", "=cmd|' /C calc'!A0", "\u{202e}evil", &rockets]
    {
        rename(&server, ada.id, hostile).await;
        generate(&server, &ada.token, hostile, Some(1)).await.expect(201);
        let page = browser.get("/settings/audit").await;
        assert!(!page.expect(200).text().contains("<script>") && !page.text().contains("<img"), "{page}");
        let csv = browser.get("/settings/audit.csv").await.text();
        assert!(csv.lines().all(|line| !line.contains(",=") && !line.contains(",\"=")), "{csv}");
    }
}

#[tokio::test]
async fn the_policies_that_hold_are_told() {
    let server = TestServer::builder()
        .configured(|config| {
            config.policy.max_lifetime_days = 60;
            config.policy.allow_never = false;
        })
        .start()
        .await;
    let ada = server.person("Ada", Role::Admin).await;
    let page = server.browser(&ada).await.get("/settings/policies").await;
    assert!(
        page.expect(200).text().contains("60 days") && page.text().contains("no token without an end"),
        "{page}"
    );
    assert!(page.text().contains("href=\"/settings/tokens/generate?kind=service\""), "{page}");
}
