//! The dialog that adds a service user with its first token, and what is done to all its tokens.

use regex::Regex;
use serde_json::json;
use tokenhouse_testkit::client::Answer;
use tokenhouse_testkit::server::{Bearer, TestServer};

use super::people_pages::{
    ADD_PERSON, ADD_SERVICE, PIPELINE, USERS, admin, hides, leads_to, message_at, secret, shows, with,
};
use super::{head, is_accepted};

on_both_databases!(two_forms_at_the_same_moment_make_one_account_with_one_token,);

#[tokio::test]
async fn a_service_user_is_made_with_its_first_token_or_not_at_all() {
    let server = TestServer::start().await;
    let (ada, browser) = admin(&server).await;
    server.as_(&ada.token).post("/api/teams", &json!({ "name": "Data" })).await.expect(201);
    let asked = browser.get(ADD_SERVICE).await;
    shows(asked.expect(200), &["value=\"Member\" checked", "Starts at Member", "value=\"Data\"", " inert"]);

    let before = head(&server).await;
    let next = with(&PIPELINE, &[("then", "next")]);
    let second = browser.post_form(ADD_SERVICE, &next).await;
    shows(second.expect(200), &["pipeline_automation@service", "value=\"90\" checked", "Stops working on"]);
    let back = browser.post_form(ADD_SERVICE, &with(&PIPELINE, &[("then", "back"), ("token", "x")])).await;
    shows(
        back.expect(200),
        &["value=\"Pipeline  Automation\"", "value=\"Data\" checked", "Nightly &#60;loads&#62;"],
    );
    shows(
        &back,
        &[
            "value=\"Manager\" checked",
            "<output class=\"mono\" for=\"u-name\"",
            "pipeline_automation@service",
        ],
    );
    let unnamed = with(&PIPELINE, &[("then", "generate"), ("token", " "), ("expires_in_days", "60")]);
    let refused = browser.post_form(ADD_SERVICE, &unnamed).await;
    assert_eq!(message_at(refused.expect(422), "t-name"), "Must not be empty.");
    shows(&refused, &["value=\"60\" checked", "value=\"Pipeline  Automation\""]);
    for days in ["0", "366", "x", ""] {
        let wrong = with(&PIPELINE, &[("then", "generate"), ("token", "ci"), ("expires_in_days", days)]);
        message_at(browser.post_form(ADD_SERVICE, &wrong).await.expect(422), "g-lifetime");
    }
    assert_eq!(head(&server).await, before, "nothing was made so far");

    let generate = with(&PIPELINE, &[("then", "generate"), ("token", "ci"), ("expires_in_days", "30")]);
    let shown = browser.post_form(ADD_SERVICE, &generate).await;
    let token = Bearer::new(secret(&shown));
    assert!(is_accepted(&server, &token).await);
    let made = server.as_(&token).get("/api/user-tokens/current").await.json();
    assert_eq!((&made["name"], &made["expiration"]), (&json!("ci"), &json!("2026-02-14T10:30:00Z")));
    assert_eq!((&made["user"]["role"], &made["scim_endpoints_only"]), (&json!("Manager"), &json!(false)));

    let before = head(&server).await;
    let again = browser.post_form(ADD_SERVICE, &generate).await;
    shows(again.expect(409), &["This token was made already", &format!("/settings/tokens/{}", made["id"])]);
    hides(&again, &["eyJ"]);
    let other = browser.post_form(ADD_SERVICE, &with(&generate, &[("form", "f-2")])).await;
    assert!(message_at(other.expect(422), "u-name").contains("choose another name"));
    browser.post_form(ADD_SERVICE, &with(&generate, &[("form", "")])).await.expect(400);
    assert_eq!(head(&server).await, before, "sent twice, it makes nothing more");
}

async fn two_forms_at_the_same_moment_make_one_account_with_one_token(server: TestServer) {
    let (ada, browser) = admin(&server).await;
    let more = [("teams", "Public"), ("then", "generate"), ("token", "ci"), ("expires_in_days", "30")];
    let fields = with(&PIPELINE, &more);
    let sent = (0..4).map(|_| browser.post_form(ADD_SERVICE, &fields));
    let answers = futures_util::future::join_all(sent).await;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409, 409, 409]);
    let listed = server.as_(&ada.token).get("/api/user-tokens/service").await.json();
    assert_eq!(listed.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_service_user_can_do_without_a_token() {
    let server = TestServer::start().await;
    let (ada, browser) = admin(&server).await;
    for (name, message) in
        [("", "Must not be empty."), ("!?", "Must contain at least one of a-z, 0-9, _ or - for the user id.")]
    {
        for then in ["next", "finish"] {
            let fields = with(&PIPELINE, &[("name", name), ("teams", ""), ("then", then)]);
            let refused = browser.post_form(ADD_SERVICE, &fields).await;
            assert_eq!(message_at(refused.expect(422), "u-name"), message);
            message_at(&refused, "teams");
            shows(&refused, &["value=\"Data Team\"", "Nightly &#60;loads&#62;"]);
        }
    }
    let fields = with(&PIPELINE[..3], &[("purpose", ""), ("owner", ""), ("then", "finish")]);
    let made = browser.post_form(ADD_SERVICE, &fields).await;
    let page = browser.get(leads_to(&made)).await;
    shows(
        page.expect(200),
        &["Pipeline  Automation", "No token yet", "Nobody answers for this service user"],
    );
    let taken = browser.post_form(ADD_SERVICE, &with(&fields, &[("name", "pipeline automation")])).await;
    message_at(taken.expect(422), "u-name");
    let found = server.as_(&ada.token).get("/api/users?type=Service").await.json();
    assert_eq!((&found["total"], &found["items"][0]["purpose"]), (&json!(1), &json!(null)));
    let odd = with(&PIPELINE, &[("role", "Root")]);
    browser.post_form(ADD_SERVICE, &odd).await.expect(400);
}

#[tokio::test]
async fn only_lifetimes_that_policy_allows_are_offered() {
    let server = TestServer::builder().configured(|config| {
        config.policy.max_lifetime_days = 20;
        config.policy.allow_never = false;
    });
    let server = server.start().await;
    let (_, browser) = admin(&server).await;
    let fields = with(&PIPELINE[..3], &[("purpose", ""), ("owner", ""), ("then", "next")]);
    let second = browser.post_form(ADD_SERVICE, &fields).await;
    shows(second.expect(200), &["value=\"20\" checked"]);
    hides(&second, &["value=\"30\"", "value=\"365\"", "value=\"never\""]);
    for days in ["30", "never"] {
        let wrong = with(&fields, &[("then", "generate"), ("token", "ci"), ("expires_in_days", days)]);
        message_at(browser.post_form(ADD_SERVICE, &wrong).await.expect(422), "g-lifetime");
    }
}

#[tokio::test]
async fn enter_goes_on_and_a_double_click_sends_once() {
    let server = TestServer::start().await;
    let (_, browser) = admin(&server).await;
    let buttons = |answer: &Answer| -> Vec<String> {
        let button = Regex::new(r#"<button[^>]* name="then" value="(\w+)""#).unwrap();
        button.captures_iter(&answer.expect(200).text()).map(|found| found[1].to_owned()).collect()
    };
    let first = browser.get(ADD_SERVICE).await;
    assert_eq!(buttons(&first), ["next", "finish"]);
    let fields = with(&PIPELINE[..3], &[("purpose", ""), ("owner", "")]);
    let before = head(&server).await;
    let second = browser.post_form(ADD_SERVICE, &fields).await;
    assert_eq!(buttons(&second), ["generate", "back", "finish"]);
    assert_eq!(head(&server).await, before, "no button is no wish to finish");
    for page in [first, second, browser.get(ADD_PERSON).await] {
        shows(&page, &[" novalidate data-once>", "/dialog."]);
    }
}

#[tokio::test]
async fn all_tokens_of_a_service_user_are_revoked_at_once() {
    let server = TestServer::start().await;
    let people = server.people().await;
    let browser = server.browser(&people.admin).await;
    let page = format!("{USERS}/{}", people.service.id);
    let shown = browser.get(&page).await;
    shows(shown.expect(200), &["first", &format!("/settings/tokens/{}", people.service.token_id), "Active"]);
    let all = format!("/settings/tokens/service?user_id={}", people.service.id);
    shows(&shown, &[&all, "/settings/tokens/generate?kind=service&amp;user_id=pipeline@service"]);
    shows(browser.get(&all).await.expect(200), &["first"]);
    let generate = browser.get("/settings/tokens/generate?kind=service&user_id=pipeline@service").await;
    shows(generate.expect(200), &["value=\"service\" checked", "value=\"pipeline@service\""]);
    let revoke = format!("{page}/revoke-tokens");
    shows(browser.get(&revoke).await.expect(200), &["<b>1 active token</b>", "stops"]);
    assert_eq!(leads_to(&browser.post_form(&revoke, &[]).await), page);
    assert!(!is_accepted(&server, &people.service.token).await);
    shows(&browser.get(&page).await, &["Revoked"]);
    // A person's tokens are nobody else's to revoke.
    let person = format!("{USERS}/{}/revoke-tokens", people.member.id);
    browser.get(&person).await.expect(403);
    browser.post_form(&person, &[]).await.expect(403);
    assert!(is_accepted(&server, &people.member.token).await);
}
