//! How a session begins: setup, invitation, password.

use serde_json::json;
use tokenhouse::auth::guard::Call;
use tokenhouse::service::{passwords, users};
use tokenhouse_core::audit::Head;
use tokenhouse_core::id::UserId;
use tokenhouse_core::people::Role;
use tokenhouse_store::changes::{self, Change};
use tokenhouse_testkit::client::{Answer, Client};
use tokenhouse_testkit::server::{Account, PASSWORD, PUBLIC_URL, TestServer};

use super::head;

on_both_databases!(
    a_person_signs_in_by_user_name_or_address,
    every_refusal_is_told_alike,
    passwords_are_changed_by_who_knows_them,
);

/// Whether the browser is signed in: what isn't there is told only to somebody who is.
pub(crate) async fn is_signed_in(browser: &Client) -> bool {
    let answer = browser.post_form("/settings/account/sessions/0/end", &[]).await;
    match answer.status {
        404 => true,
        303 => false,
        _ => panic!("{answer}"),
    }
}

pub(crate) async fn log_in(server: &TestServer, user_name: &str, password: &str) -> Answer {
    let fields = [("user_name", user_name), ("password", password)];
    server.client().on_our_page().post_form("/login", &fields).await
}

/// What was recorded after number `seq`.
pub(crate) async fn recorded_since(server: &TestServer, seq: i64) -> Vec<Change> {
    let mut reader = server.app.store.read().await.unwrap();
    let (mut changes, _) = changes::after(&mut reader, Head::EMPTY, 1_000).await.unwrap();
    changes.retain(|change| change.seq > seq);
    changes
}

pub(crate) async fn actions_since(server: &TestServer, seq: i64) -> Vec<String> {
    recorded_since(server, seq).await.into_iter().map(|change| change.action).collect()
}

/// The path of a link to this server.
pub(super) fn path_of(link: &str) -> &str {
    link.strip_prefix(PUBLIC_URL).unwrap()
}

pub(super) async fn invite(server: &TestServer, account: &Account) -> String {
    let link = users::invite_again(&server.app, &Call::command_line(), UserId(account.id)).await.unwrap();
    path_of(&link).to_owned()
}

async fn a_person_signs_in_by_user_name_or_address(server: TestServer) {
    let mia = server.person("Mia", Role::Member).await;
    let first = server.browser(&mia).await;
    for spelling in ["mia@example.com", "MIA@EXAMPLE.COM", " mia@example.com "] {
        let before = head(&server).await;
        let answer = log_in(&server, spelling, PASSWORD).await;
        assert_eq!(answer.expect(303).header("location"), Some("/"));
        assert!(is_signed_in(&server.client().in_session(&answer)).await);
        let record = &recorded_since(&server, before).await[..];
        assert!(matches!(record, [one] if one.action == "user.signed_in" && one.entity_id == mia.id));
    }
    assert!(is_signed_in(&first).await, "a sign-in elsewhere ends nothing");
    for (next, location) in
        [("/settings/tokens?state=active", "/settings/tokens?state=active"), ("//evil.example", "/")]
    {
        let fields = [("user_name", "mia@example.com"), ("password", PASSWORD), ("next", next)];
        let answer = server.client().on_our_page().post_form("/login", &fields).await;
        assert_eq!(answer.expect(303).header("location"), Some(location));
    }
}

/// How many passwords the server has hashed or verified.
fn passwords_computed(server: &TestServer) -> u64 {
    let metrics = server.app.metrics.text(&server.app.feed, None, None, &[]);
    let line = metrics.lines().find_map(|line| line.strip_prefix("tokenhouse_passwords_total "));
    line.unwrap().parse().unwrap()
}

async fn every_refusal_is_told_alike(server: TestServer) {
    let people = server.people().await;
    for person in [&people.member, &people.manager] {
        drop(server.browser(person).await);
    }
    server.as_(&people.admin.token).delete(&format!("/api/users/{}", people.manager.id)).await.expect(204);
    let mut told = Vec::new();
    for (user_name, password, user) in [
        ("mia.member@example.com", "a wrong password", people.member.id),
        // Deactivated, without a password, a service user, nobody, what can't be anybody.
        ("max.manager@example.com", PASSWORD, people.manager.id),
        ("ada.admin@example.com", PASSWORD, people.admin.id),
        ("pipeline", PASSWORD, 0),
        ("pipeline@service", PASSWORD, 0),
        ("swordfish typed in the wrong field", PASSWORD, 0),
        ("swordfish\0", PASSWORD, 0),
        ("", "", 0),
    ] {
        let before = head(&server).await;
        let work = passwords_computed(&server);
        let answer = log_in(&server, user_name, password).await;
        assert_eq!(passwords_computed(&server) - work, 1, "as much work for {user_name}");
        assert_eq!(answer.expect(422).wrong_controls(), ["password"]);
        assert!(password.is_empty() || !answer.text().contains(password), "{answer}");
        let kept = format!(" value=\"{user_name}\"");
        assert!(answer.text().contains(&kept), "{answer}");
        told.push(answer.text().replace(&kept, ""));
        assert_eq!(answer.header("set-cookie"), None);
        let records = recorded_since(&server, before).await;
        assert_eq!((records.len(), &*records[0].action), (1, "user.sign_in_failed"), "{user_name}");
        assert_eq!(records[0].entity_id, user, "{user_name}");
        assert!(!format!("{records:?}").contains("swordfish"), "it may be a password");
    }
    assert!(told.iter().all(|one| *one == told[0]), "{told:#?}");
    let latest = server.as_(&people.admin.token).get("/api/activity?action=user.sign_in_failed").await;
    let latest = latest.expect(200).json()["items"][0].clone();
    assert_eq!((&latest["actor"], &latest["via"]["kind"]), (&json!(null), &json!("session")));
    assert_eq!(latest["ip"], "127.0.0.1");
}

async fn passwords_are_changed_by_who_knows_them(server: TestServer) {
    const NEW: &str = "  a new password, with spaces  ";
    let mia = server.person("Mia", Role::Member).await;
    let (browser, other) = (server.browser(&mia).await, {
        let answer = log_in(&server, "mia@example.com", PASSWORD).await;
        server.client().in_session(&answer)
    });
    let change = async |present: &str, new: &str| {
        browser
            .post_form("/settings/account/password", &[("present_password", present), ("password", new)])
            .await
    };
    let before = head(&server).await;
    let wrong = change("wrong password", NEW).await;
    assert_eq!(wrong.expect(422).wrong_controls(), ["present_password"]);
    assert_eq!(actions_since(&server, before).await, ["user.sign_in_failed"]);
    // The page that comes back leads to itself, not to the path of its form.
    let back = "name=\"back\" value=\"/settings/account\"";
    assert!(change("wrong password", NEW).await.expect(422).text().contains(back));
    let short = change(PASSWORD, "too short").await;
    assert_eq!(short.expect(422).wrong_controls(), ["password"]);
    assert!(is_signed_in(&other).await);
    let before = head(&server).await;
    let renewed = server.client().in_session(change(PASSWORD, NEW).await.expect(303));
    assert_eq!(actions_since(&server, before).await, ["user.password_changed", "user.signed_in"]);
    assert!(is_signed_in(&renewed).await);
    assert!(!is_signed_in(&browser).await, "the old cookie is dead");
    assert!(!is_signed_in(&other).await, "other browsers are out");
    log_in(&server, "mia@example.com", PASSWORD).await.expect(422);
    log_in(&server, "mia@example.com", NEW.trim()).await.expect(422);
    log_in(&server, "mia@example.com", NEW).await.expect(303);
}

/// Fails until the answer is 429, and tells how often that took.
async fn fail_until_limited(client: &Client, user_name: &str) -> usize {
    let fields = [("user_name", user_name), ("password", "wrong")];
    for failures in 0..50 {
        let answer = client.post_form("/login", &fields).await;
        if answer.status == 429 {
            assert!(matches!(answer.header("retry-after"), Some("6")), "{:?}", answer.headers);
            return failures;
        }
        answer.expect(422);
    }
    panic!("never limited")
}

#[tokio::test]
async fn who_fails_too_often_waits_and_nobody_else_does() {
    let server = TestServer::start().await;
    let mia = server.person("Mia", Role::Member).await;
    drop(server.browser(&mia).await);
    let right = [("user_name", "MIA@example.com"), ("password", PASSWORD)];
    let attacker = server.client().on_our_page().with("x-forwarded-for", "203.0.113.9");
    let at_home = server.client().on_our_page().with("x-forwarded-for", "198.51.100.1");
    // What succeeds doesn't count.
    for _ in 0..12 {
        attacker.post_form("/login", &right).await.expect(303);
    }
    assert_eq!(fail_until_limited(&attacker, "mia@example.com").await, 10);
    for same in [" mia@example.com", "mia@example.com  ", "\tMIA@EXAMPLE.COM"] {
        assert_eq!(fail_until_limited(&attacker, same).await, 0, "{same:?} is the same account");
    }
    let before = head(&server).await;
    attacker.post_form("/login", &right).await.expect(429);
    assert_eq!(head(&server).await, before, "it isn't even looked at");
    at_home.post_form("/login", &right).await.expect(303);
    // An account that isn't there is no different.
    assert_eq!(fail_until_limited(&attacker, "nobody@example.com").await, 10);
    server.clock.turn_to(server.clock.now().plus_seconds(6));
    attacker.post_form("/login", &right).await.expect(303);
}

#[tokio::test]
async fn an_address_that_tries_many_accounts_waits() {
    let few = 5.try_into().unwrap();
    let server = TestServer::builder()
        .configured(|config| config.limits.failed_sign_ins_per_minute = few)
        .start()
        .await;
    let attempt = async |number: usize, address: &str| {
        let name = format!("user{number}@example.com");
        let client = server.client().on_our_page().with("x-forwarded-for", address);
        client.post_form("/login", &[("user_name", &name), ("password", "wrong")]).await.status
    };
    for number in 0..5 {
        assert_eq!(attempt(number, "2001:db8::1").await, 422);
    }
    assert_eq!(attempt(5, "2001:db8::ffff").await, 429, "the same network");
    assert_eq!(attempt(6, "2001:db8:0:1::1").await, 422);
}

#[tokio::test]
async fn a_thief_of_a_session_cannot_guess_its_password() {
    let server = TestServer::start().await;
    let mia = server.person("Mia", Role::Member).await;
    let browser = server.browser(&mia).await;
    let guess = [("present_password", "wrong"), ("password", "a password for the thief")];
    for _ in 0..10 {
        browser.post_form("/settings/account/password", &guess).await.expect(422);
    }
    browser.post_form("/settings/account/password", &guess).await.expect(429);
}

#[tokio::test]
async fn whoever_signs_in_gets_where_they_were_going_and_nowhere_else() {
    let server = TestServer::start().await;
    let mia = server.person("Mia", Role::Member).await;
    let browser = server.browser(&mia).await;
    let client = server.client().on_our_page();
    for (next, kept) in [
        ("/settings/tokens?q=a%20b", true),
        ("//evil.example/", false),
        ("/\\evil.example", false),
        ("https://evil.example", false),
        ("\"><script>alert(1)</script>", false),
    ] {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("next", next).finish();
        let page = client.get(&format!("/login?{query}")).await;
        let field = page.expect(200).text().contains("name=\"next\"");
        assert_eq!(field, kept, "{page}");
        assert_eq!(page.text().contains(&format!("value=\"{next}\"")), kept, "{page}");
        // Who is signed in already needs no form.
        let on = browser.get(&format!("/login?{query}")).await;
        assert_eq!(on.expect(303).header("location"), Some(if kept { next } else { "/" }));
        // A wrong password doesn't lose the way.
        let wrong = [("user_name", "mia@example.com"), ("password", "wrong"), ("next", next)];
        let again = client.post_form("/login", &wrong).await;
        assert_eq!(again.expect(422).text().contains(&format!("value=\"{next}\"")), kept, "{again}");
    }
    assert!(!client.get("/login").await.text().contains("nothing was saved"));
    let sent = client.post_form("/settings/account/sign-out-everywhere", &[]).await;
    let to = sent.expect(303).header("location").unwrap().to_owned();
    assert_eq!(to, "/login?next=%2Fsettings%2Faccount&unsaved=yes");
    let page = client.get(&to).await;
    assert!(page.text().contains("nothing was saved") && page.text().contains("value=\"/settings/account\""));
}

#[tokio::test]
async fn hostile_names_are_text_on_the_pages_before_sign_in() {
    let server = TestServer::start().await;
    let client = server.client().on_our_page();
    let setup = passwords::offer_setup(&server.app).await.unwrap().unwrap();
    let mia = server.person("Mia", Role::Member).await;
    for hostile in ["<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "\u{202e}evil", "'🚀"] {
        let fields = [("user_name", hostile), ("password", "wrong"), ("next", "/x\"><script>")];
        let login = client.post_form("/login", &fields).await;
        let fields = [("name", hostile), ("email", hostile), ("password", "short")];
        let setup = client.post_form(path_of(&setup), &fields).await;
        let renamed = users::Update { name: Some(hostile), ..users::Update::default() };
        users::update(&server.app, &Call::command_line(), UserId(mia.id), renamed).await.unwrap();
        let invitation = client.get(&invite(&server, &mia).await).await;
        for page in [login.expect(422), setup.expect(422), invitation.expect(200)] {
            assert!(!page.text().contains("<script>") && !page.text().contains("<img"), "{page}");
        }
        assert!(invitation.text().contains("<bdi>"), "{invitation}");
    }
}

#[tokio::test]
async fn a_form_that_is_not_ours_is_refused() {
    let server = TestServer::start().await;
    let client = server.client().on_our_page();
    let good = [("user_name", "mia"), ("password", PASSWORD)];
    client.post_form("/login", &[("user_name", "mia")]).await.expect(400);
    client.post_form("/login", &[good[0], good[1], ("more", "x")]).await.expect(400);
    client.post_form("/login", &[good[0], good[0], good[1]]).await.expect(400);
    client.post("/login", &json!({ "user_name": "mia", "password": PASSWORD })).await.expect(415);
}
