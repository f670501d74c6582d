//! The forms of the web UI that make tokens.

use regex::Regex;
use serde_json::json;
use tokenhouse::auth::guard::Call;
use tokenhouse::service::users;
use tokenhouse_core::id::UserId;
use tokenhouse_core::people::Role;
use tokenhouse_testkit::client::{Answer, Client};
use tokenhouse_testkit::server::{Bearer, TestServer};

use super::{head, is_accepted, set_revoked, tamper, token};

on_both_databases!(
    a_form_makes_one_token_however_often_it_is_sent,
    two_forms_at_the_same_moment_make_one_token,
    a_rotation_makes_one_successor,
    nul_in_any_field_reaches_no_database,
);

const GENERATE: &str = "/settings/tokens/generate";

/// What stands between two texts, once.
#[track_caller]
pub(super) fn between<'h>(html: &'h str, start: &str, end: &str) -> &'h str {
    let (_, rest) = html.split_once(start).unwrap_or_else(|| panic!("no {start:?}"));
    rest.split_once(end).unwrap_or_else(|| panic!("no {end:?} after {start:?}")).0
}

/// The number of the form on a page.
pub(super) fn number(answer: &Answer) -> String {
    between(&answer.text(), r#"name="form" value=""#, "\"").to_owned()
}

/// The secret that a page shows.
pub(super) fn shown(answer: &Answer) -> Bearer {
    let html = answer.expect(200).text();
    let (_, rest) = html.split_once(r#"id="secret""#).expect("a secret");
    let secret = between(rest, ">", "<");
    assert_eq!(html.matches(secret).count(), 1, "the secret stands there once");
    Bearer::new(secret)
}

/// Whether a page shows any secret.
pub(super) fn shows_none(answer: &Answer) -> bool {
    !answer.text().contains("eyJ")
}

/// Opens the dialog and sends it with these fields.
async fn send(browser: &Client, fields: &[(&str, &str)]) -> Answer {
    let form = number(browser.get(GENERATE).await.expect(200));
    browser.post_form(GENERATE, &[&[("form", &*form)], fields].concat()).await
}

/// The message at a field.
#[track_caller]
fn message(answer: &Answer, id: &str) -> String {
    let html = answer.text();
    let error = between(&html, &format!(r#"id="{id}-error">"#), "</p>");
    between(error, "<span>", "</span>").to_owned()
}

async fn a_form_makes_one_token_however_often_it_is_sent(server: TestServer) {
    let mia = server.person("Mia", Role::Member).await;
    let browser = server.browser(&mia).await;
    let form = number(browser.get(GENERATE).await.expect(200));
    let fields = [("form", &*form), ("name", " deploy "), ("expires_in_days", "30")];
    let made = browser.with("accept-encoding", "gzip").post_form(GENERATE, &fields).await;
    assert_eq!((made.header("cache-control"), made.header("content-encoding")), (Some("no-store"), None));
    let secret = shown(&made);
    assert!(is_accepted(&server, &secret).await);
    let html = made.text();
    assert!(html.contains(r#"data-download="deploy-token.txt""#), "{made}");
    assert!(html.contains("https://tokens.example.com/api/user-tokens/current"), "{made}");
    assert!(html.contains("Saturday, 14 February 2026 at 10:30 (UTC)"), "{made}");
    let current = server.as_(&secret).get("/api/user-tokens/current").await.json();
    assert_eq!((&current["name"], &current["parent_id"]), (&json!("deploy"), &json!(null)));
    assert_eq!(current["expiration"], "2026-02-14T10:30:00Z");

    let before = head(&server).await;
    let path = format!(r#"href="/settings/tokens/{}""#, current["id"]);
    for name in [" deploy ", "another name"] {
        let again = [("form", &*form), ("name", name), ("expires_in_days", "30")];
        let answer = browser.post_form(GENERATE, &again).await;
        assert!(answer.expect(409).text().contains("This token was made already"), "{answer}");
        assert!(answer.text().contains(&path) && shows_none(&answer), "{answer}");
    }
    assert_eq!(head(&server).await, before);
    // Somebody else's form of the same number is another form.
    let ben = server.person("Ben", Role::Member).await;
    drop(shown(&server.browser(&ben).await.post_form(GENERATE, &fields).await));
    // Not even when the token is gone.
    set_revoked(&server, &secret, current["id"].as_i64().unwrap(), true).await;
    browser.post_form(&format!("/settings/tokens/{}/delete", current["id"]), &[]).await.expect(303);
    let answer = browser.post_form(GENERATE, &fields).await;
    assert!(!answer.expect(409).text().contains("Go to the token"), "{answer}");
    assert!(shows_none(&browser.get(GENERATE).await));
}

async fn two_forms_at_the_same_moment_make_one_token(server: TestServer) {
    let mia = server.person("Mia", Role::Member).await;
    let browser = server.browser(&mia).await;
    let fields = [("form", "f-1"), ("name", "a"), ("expires_in_days", "never")];
    let sent = (0..4).map(|_| browser.post_form(GENERATE, &fields));
    let answers = futures_util::future::join_all(sent).await;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409, 409, 409]);
    assert!(answers.iter().filter(|answer| answer.status == 409).all(shows_none));
}

async fn nul_in_any_field_reaches_no_database(server: TestServer) {
    let ada = server.person("Ada", Role::Admin).await;
    let browser = server.browser(&ada).await;
    server.service_user("Robot", Role::Member).await;
    let good = [
        ("form", "f-1"),
        ("name", "new"),
        ("kind", "service"),
        ("user_id", "robot"),
        ("searched", "robot"),
        ("listed", "robot@service"),
        ("expires_in_days", "30"),
    ];
    let before = head(&server).await;
    for (field, nul, status) in [
        ("name", "a\0b", 422),
        ("name", "\0", 422),
        ("user_id", "a\0b", 422),
        ("user_id", "robot\0", 422),
        ("listed", "robot@service\0", 422),
        ("expires_in_days", "30\0", 422),
        // What no page of ours sends.
        ("form", "f-1\0", 400),
        ("kind", "service\0", 400),
    ] {
        let fields = good.map(|(name, value)| (name, if name == field { nul } else { value }));
        browser.post_form(GENERATE, &fields).await.expect(status);
    }
    browser.get(&format!("{GENERATE}?kind=service&user_id=a%00b")).await.expect(422);
    let rotate = format!("/settings/tokens/{}/rotate", ada.token_id);
    for field in ["name", "expires_in_days"] {
        let fields = [("form", "f-1"), ("name", "new"), ("expires_in_days", "30")];
        let fields = fields.map(|(name, value)| (name, if name == field { "a\0b" } else { value }));
        browser.post_form(&rotate, &fields).await.expect(422);
    }
    assert_eq!(head(&server).await, before);
    // The table is right about what is good, and only compared is what was searched for.
    let fields = good.map(|(name, value)| (name, if name == "searched" { "robot\0" } else { value }));
    drop(shown(&browser.post_form(GENERATE, &fields).await));
}

#[tokio::test]
async fn a_wrong_form_comes_back_with_what_was_typed_and_makes_nothing() {
    let server = TestServer::start().await;
    let mia = server.person("Mia", Role::Member).await;
    let browser = server.browser(&mia).await;
    let before = head(&server).await;
    let control = Regex::new(r#"id="g-name"[^>]* aria-invalid="true"[^>]* autofocus"#).unwrap();
    let (long, hostile) = ("é".repeat(256), "\"><script>alert(1)</script>");
    for (name, days, status, field, said) in [
        ("  ", "30", 422, "g-name", "Must"),
        (&*long, "30", 422, "g-name", "Must"),
        ("a\u{7}b", "30", 422, "g-name", "Must"),
        ("first", "30", 409, "g-name", "You already have a token with this name."),
        (hostile, "", 422, "g-lifetime", "Choose one of these."),
        (hostile, "0", 422, "g-lifetime", "Must be between 1 and 365 days."),
        (hostile, "366", 422, "g-lifetime", "Must be between 1 and 365 days."),
        (hostile, "ten", 422, "g-lifetime", "Must be between 1 and 365 days."),
    ] {
        let answer = send(&browser, &[("name", name), ("expires_in_days", days)]).await;
        assert!(message(answer.expect(status), field).starts_with(said), "{answer}");
        let kept = name.replace('"', "&#34;").replace('<', "&#60;").replace('>', "&#62;");
        assert!(answer.text().contains(&format!(r#"value="{kept}""#)), "{answer}");
        let chosen = format!(r#"value="{days}" checked"#);
        assert_eq!(answer.text().contains(&chosen), days == "30", "{answer}");
        assert!(!answer.text().contains("<script>alert"), "{answer}");
        if field == "g-name" {
            assert!(control.is_match(&answer.text()), "{answer}");
        }
        // The form that came back can be corrected.
        assert!(!number(&answer).is_empty() && shows_none(&answer));
    }
    for (form, name) in [("", "a"), ("a b", "a"), (&*"x".repeat(65), "a"), ("<b>", "a")] {
        let fields = [("form", form), ("name", name), ("expires_in_days", "30")];
        browser.post_form(GENERATE, &fields).await.expect(400);
    }
    for fields in [&[("name", "a")][..], &[("form", "f"), ("name", "a"), ("typo", "b")]] {
        browser.post_form(GENERATE, fields).await.expect(400);
    }
    assert_eq!(head(&server).await, before);
    // Corrected, it works.
    let wrong = send(&browser, &[("name", ""), ("expires_in_days", "30")]).await;
    let fields = [("form", &*number(&wrong)), ("name", "right"), ("expires_in_days", "30")];
    drop(shown(&browser.post_form(GENERATE, &fields).await));
}

#[tokio::test]
async fn a_token_is_not_made_where_the_page_that_shows_it_could_not_be() {
    let server = TestServer::start().await;
    let ada = server.person("Ada", Role::Admin).await;
    let browser = server.browser(&ada).await;
    let made = super::generate(&server, &ada.token, "made by it", None).await.id();
    let odd = server.person("Odd", Role::Member).await.id;
    let rotate = format!("/settings/tokens/{}/rotate", ada.token_id);
    let before = head(&server).await;
    // What none of these changes reads, but the page behind each dialog shows.
    tamper(&server, format!("UPDATE tokens SET hash = X'00' WHERE id = {made}")).await;
    let no_role = format!("UPDATE users SET role = 'Root' WHERE id = {odd}");
    tamper(&server, format!("PRAGMA ignore_check_constraints = ON; {no_role}")).await;
    let token = [("form", "f-1"), ("name", "new"), ("expires_in_days", "30")];
    browser.post_form(GENERATE, &token).await.expect(500);
    browser.post_form(&rotate, &token).await.expect(500);
    let account = [("form", "f-1"), ("name", "Robot"), ("role", "Member"), ("purpose", ""), ("owner", "")];
    let first = [("token", "first"), ("expires_in_days", "30"), ("then", "generate")];
    let add = "/settings/people/users/add-service-user";
    browser.post_form(add, &[&account[..], &first].concat()).await.expect(500);
    assert_eq!(head(&server).await, before);
}

#[tokio::test]
async fn only_admins_are_offered_service_and_scim_tokens() {
    let server = TestServer::start().await;
    let people = server.people().await;
    for (person, offered) in [(&people.member, false), (&people.manager, false), (&people.admin, true)] {
        let browser = server.browser(person).await;
        let html = browser.get(GENERATE).await.text();
        assert_eq!(html.contains(r#"name="kind""#), offered);
        assert_eq!(html.contains(r#"name="scim_endpoints_only""#), offered);
        assert_eq!(html.contains(&people.service.user_id), offered);
        let status = if offered { 200 } else { 403 };
        let scim = [("name", "s"), ("expires_in_days", "30"), ("scim_endpoints_only", "yes")];
        let answer = send(&browser, &scim).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.text().contains("/scim/v2/Users"), offered);
        let service =
            [("name", "s"), ("kind", "service"), ("user_id", "pipeline"), ("expires_in_days", "30")];
        assert_eq!(send(&browser, &service).await.status, status);
    }
}

#[tokio::test]
async fn a_service_user_is_found_by_id_slug_or_name() {
    let server = TestServer::start().await;
    let ada = server.person("Ada", Role::Admin).await;
    let browser = server.browser(&ada).await;
    let automation = server.service_user("Pipeline Automation", Role::Member).await;
    let preview = server.service_user("Pipeline Preview", Role::Member).await;
    let gone = server.service_user("Gone", Role::Member).await;
    users::deactivate(&server.app, &Call::command_line(), UserId(gone.id)).await.unwrap();
    let fields = |name, user_id| {
        [("name", name), ("kind", "service"), ("user_id", user_id), ("expires_in_days", "30")]
    };
    for (name, text) in
        [("a", "pipeline_automation@service"), ("b", " Pipeline_Automation "), ("c", "pipeline automation")]
    {
        let answer = send(&browser, &fields(name, text)).await;
        let current = server.as_(&shown(&answer)).get("/api/user-tokens/current").await.json();
        assert_eq!(current["user"]["id"], automation.id, "{text}");
        assert!(answer.text().contains("pipeline_automation@service"), "{answer}");
    }
    let before = head(&server).await;
    let several = send(&browser, &fields("d", "pipe")).await;
    assert!(message(several.expect(422), "g-user").contains("choose one"), "{several}");
    for offered in [&automation.user_id, &preview.user_id] {
        assert!(several.text().contains(&format!(r#"name="listed" value="{offered}""#)), "{several}");
    }
    for (text, said) in
        [("nobody", "No active service user"), ("", "Type its name"), ("gone", "No active"), ("ada", "No")]
    {
        let answer = send(&browser, &fields("d", text)).await;
        assert!(message(answer.expect(422), "g-user").starts_with(said), "{text}: {answer}");
    }
    // All that is wrong is told at once.
    let both = send(&browser, &fields("", "nobody")).await;
    assert!(message(&both, "g-name").starts_with("Must") && !message(&both, "g-user").is_empty());
    assert_eq!(head(&server).await, before);
    // The one that is chosen below the text, unless the text was changed afterwards.
    let chosen = |text| [("searched", "pipe"), ("listed", &*preview.user_id), ("user_id", text)];
    let rest = [("name", "d"), ("kind", "service"), ("expires_in_days", "30")];
    for (text, owner) in [("pipe", preview.id), ("pipeline_automation", automation.id)] {
        let answer = send(&browser, &[&chosen(text)[..], &rest].concat()).await;
        let current = server.as_(&shown(&answer)).get("/api/user-tokens/current").await.json();
        assert_eq!(current["user"]["id"], owner);
    }
    let taken = send(&browser, &fields("a", "pipeline_automation")).await;
    assert!(message(taken.expect(409), "g-name").contains("Pipeline Automation\u{2069} already has"));
}

#[tokio::test]
async fn what_policy_forbids_is_not_offered() {
    let limited = TestServer::builder().configured(|config| {
        config.policy.max_lifetime_days = 45;
        config.policy.allow_never = false;
    });
    let server = limited.start().await;
    let mia = server.person("Mia", Role::Member).await;
    let browser = server.browser(&mia).await;
    let html = browser.get(GENERATE).await.text();
    let offered = Regex::new(r#"name="expires_in_days" value="([^"]+)"( checked)?"#).unwrap();
    let values: Vec<&str> =
        offered.captures_iter(&html).map(|found| found.get(1).unwrap().as_str()).collect();
    assert_eq!(values, ["30", "45"]);
    assert!(html.contains(r#"value="45" checked"#) && html.contains("Tokens may live 45 days at most here."));
    let never = send(&browser, &[("name", "a"), ("expires_in_days", "never")]).await;
    assert!(message(never.expect(422), "g-lifetime").contains("tokens without expiry are not allowed"));
    send(&browser, &[("name", "a"), ("expires_in_days", "90")]).await.expect(422);
}

async fn a_rotation_makes_one_successor(server: TestServer) {
    let mia = server.person("Mia", Role::Member).await;
    let browser = server.browser(&mia).await;
    let made = super::generate(&server, &mia.token, "deploy", Some(40)).await;
    let (old, secret) = (made.id(), made.bearer());
    let path = format!("/settings/tokens/{old}/rotate");
    server.pass_days(3);
    let dialog = browser.get(&path).await;
    let html = dialog.expect(200).text();
    assert!(html.contains(r#"value="deploy (rotated 2026-01-18)""#), "{dialog}");
    assert!(html.contains(r#"value="40" checked"#) && html.contains("40 days, as before"), "{dialog}");
    let form = number(&dialog);
    let fields = |name, days| [("form", form.clone()), ("name", name), ("expires_in_days", days)];
    for (name, days, status, field) in
        [("", "40", 422, "r-name"), ("deploy", "40", 409, "r-name"), ("new", "", 422, "g-lifetime")]
    {
        let sent = fields(name.to_owned(), days.to_owned());
        let sent: Vec<(&str, &str)> = sent.iter().map(|(field, value)| (*field, &**value)).collect();
        let answer = browser.post_form(&path, &sent).await;
        assert!(!message(answer.expect(status), field).is_empty());
        assert!(answer.text().contains(&format!(r#"value="{name}""#)), "{answer}");
    }
    let sent = [("form", &*form), ("name", "new"), ("expires_in_days", "never")];
    let answer = browser.post_form(&path, &sent).await;
    let successor = shown(&answer);
    assert!(answer.text().contains("which goes on working until you revoke it"), "{answer}");
    assert!(is_accepted(&server, &secret).await && is_accepted(&server, &successor).await);
    let current = server.as_(&successor).get("/api/user-tokens/current").await.json();
    assert_eq!((&current["rotates"], &current["expiration"]), (&json!(old), &json!(null)));
    let before = head(&server).await;
    let again = browser.post_form(&path, &sent).await;
    assert!(again.expect(409).text().contains("made already") && shows_none(&again), "{again}");
    // Another form finds that there is a successor, and so does the dialog.
    let other = [("form", "f-2"), ("name", "other"), ("expires_in_days", "30")];
    let refused = browser.post_form(&path, &other).await;
    assert!(refused.expect(409).text().contains("active successor already"), "{refused}");
    browser.get(&path).await.expect(409);
    assert_eq!(head(&server).await, before);
    assert_eq!(token(&server, &mia.token, old).await["rotated_by"], current["id"]);
}
