//! `/api/cli/authorize`: a command line gets a token by way of the browser.

use serde_json::Value;
use tokenhouse_core::people::Role;
use tokenhouse_testkit::client::{Answer, Client};
use tokenhouse_testkit::server::{Account, Bearer, PASSWORD, TestServer};

use super::sign_in::{actions_since, log_in};
use super::token_forms::{number, shows_none};
use super::{head, is_accepted};

on_both_databases!(
    whoever_allows_it_hands_a_token_over,
    one_answer_makes_one_token,
    two_answers_at_the_same_moment_make_one_token,
);

const CALLBACK: &str = "http://127.0.0.1:53682/callback?from=cli";
const HOST: &str = "mara-thinkpad.fritz.box";

fn address(callback: &str, state: &str, host: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("redirect_uri", callback).append_pair("state", state).append_pair("hostname", host);
    format!("/api/cli/authorize?{}", query.finish())
}

async fn answer(browser: &Client, form: &str, days: &str, decision: &str) -> Answer {
    let fields = [
        ("redirect_uri", CALLBACK),
        ("state", "a&b c"),
        ("hostname", HOST),
        ("form", form),
        ("expires_in_days", days),
        ("decision", decision),
    ];
    browser.post_form("/api/cli/authorize", &fields).await
}

async fn open(browser: &Client) -> String {
    number(browser.get(&address(CALLBACK, "a&b c", HOST)).await.expect(200))
}

/// The token in the address that an answer leads to.
fn token_in(answer: &Answer) -> Bearer {
    let to = answer.expect(303).header("location").unwrap();
    let rest = to.strip_prefix(&format!("{CALLBACK}&token=")).unwrap_or_else(|| panic!("not to the client"));
    let (token, state) = rest.split_once("&state=").unwrap();
    assert_eq!(state, "a%26b+c");
    Bearer::new(token)
}

async fn tokens(server: &TestServer, account: &Account) -> Vec<Value> {
    let listed = server.as_(&account.token).get("/api/user-tokens").await.json();
    listed.as_array().unwrap().clone()
}

async fn whoever_allows_it_hands_a_token_over(server: TestServer) {
    let mia = server.person("Mia", Role::Member).await;
    let browser = server.browser(&mia).await;
    let page = browser.get(&address(CALLBACK, "a&b c", HOST)).await;
    for shown in [HOST, "127.0.0.1", "Mia", "Member", "http://127.0.0.1:53682/callback?from=cli"] {
        assert!(page.expect(200).text().contains(shown), "{shown}: {page}");
    }
    assert_eq!(page.header("cache-control"), Some("no-store"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.ends_with("form-action 'self' http://127.0.0.1:53682"), "{policy}");
    let before = head(&server).await;
    let made = token_in(&answer(&browser, &number(&page), "30", "allow").await);
    assert!(is_accepted(&server, &made).await);
    assert_eq!(actions_since(&server, before).await, ["token.generated"]);
    let current = server.as_(&made).get("/api/user-tokens/current").await.expect(200).json();
    assert_eq!((&current["name"], &current["kind"]), (&HOST.into(), &"personal".into()));
    assert_eq!(current["expiration"], "2026-02-14T10:30:00Z");
    // The same computer again gets a token of another name.
    let page = browser.get(&address(CALLBACK, "a&b c", HOST)).await;
    assert!(page.text().contains(&format!("{HOST} (2)")), "{page}");
    let second = token_in(&answer(&browser, &number(&page), "never", "allow").await);
    let current = server.as_(&second).get("/api/user-tokens/current").await.expect(200).json();
    assert_eq!((&current["name"], &current["expiration"]), (&format!("{HOST} (2)").into(), &Value::Null));
}

async fn one_answer_makes_one_token(server: TestServer) {
    let mia = server.person("Mia", Role::Member).await;
    let browser = server.browser(&mia).await;
    let first = open(&browser).await;
    token_in(&answer(&browser, &first, "30", "allow").await);
    // A double click, a reload, Back: asked again, with another number.
    let before = head(&server).await;
    for days in ["30", "90"] {
        let again = answer(&browser, &first, days, "allow").await;
        assert!(again.expect(409).text().contains("answered already") && shows_none(&again), "{again}");
        assert_ne!(number(&again), first);
    }
    assert_eq!(head(&server).await, before);
    // Asked again and allowed, it makes another.
    token_in(&answer(&browser, &open(&browser).await, "30", "allow").await);
    assert_eq!(tokens(&server, &mia).await.len(), 3);
}

async fn two_answers_at_the_same_moment_make_one_token(server: TestServer) {
    let mia = server.person("Mia", Role::Member).await;
    let browser = server.browser(&mia).await;
    let form = open(&browser).await;
    let sent = (0..4).map(|_| answer(&browser, &form, "30", "allow"));
    let answers = futures_util::future::join_all(sent).await;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 409, 409, 409]);
    assert_eq!(tokens(&server, &mia).await.len(), 2);
}

#[tokio::test]
async fn only_what_this_session_was_asked_is_answered() {
    let server = TestServer::start().await;
    let mia = server.person("Mia", Role::Member).await;
    let browser = server.browser(&mia).await;
    let elsewhere = log_in(&server, "mia@example.com", PASSWORD).await;
    let elsewhere = server.client().in_session(&elsewhere);
    let ben = server.person("Ben", Role::Member).await;
    let mine = open(&browser).await;
    let of_ben = open(&server.browser(&ben).await).await;
    let of_another_session = open(&elsewhere).await;
    let other = number(&browser.get(&address("http://localhost:1/", "a&b c", HOST)).await);
    let of_a_dialog = number(&browser.get("/settings/tokens/generate").await);
    let before = head(&server).await;
    for form in [&*of_ben, &of_another_session, &other, &of_a_dialog, "guessed", ""] {
        for decision in ["allow", "deny"] {
            let refused = answer(&browser, form, "30", decision).await;
            assert_eq!(refused.expect(409).header("location"), None, "{refused}");
        }
    }
    assert_eq!(head(&server).await, before);
    token_in(&answer(&browser, &mine, "30", "allow").await);
}

#[tokio::test]
async fn whoever_denies_it_hands_nothing_over() {
    let server = TestServer::start().await;
    let mia = server.person("Mia", Role::Member).await;
    let browser = server.browser(&mia).await;
    let before = head(&server).await;
    let denied = answer(&browser, &open(&browser).await, "90", "deny").await;
    let expected = format!("{CALLBACK}&error=access_denied&state=a%26b+c");
    assert_eq!(denied.expect(303).header("location"), Some(&*expected));
    assert_eq!(head(&server).await, before);
}

#[tokio::test]
async fn whoever_is_signed_out_signs_in_and_comes_back() {
    let server = TestServer::start().await;
    let mia = server.person("Mia", Role::Member).await;
    let browser = server.browser(&mia).await;
    let stranger = server.client().on_our_page();
    let asked = address(CALLBACK, "a&b c", HOST);
    for sent in [stranger.get(&asked).await, answer(&stranger, &open(&browser).await, "30", "allow").await] {
        let to = sent.expect(303).header("location").unwrap().to_owned();
        let (_, query) = to.split_once("/login?").unwrap();
        let next = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "next").unwrap().1;
        let fields = [("user_name", "mia@example.com"), ("password", PASSWORD), ("next", &*next)];
        let in_again = stranger.post_form("/login", &fields).await;
        assert_eq!(in_again.expect(303).header("location"), Some(&*next));
        let page = stranger.in_session(&in_again).get(&next).await;
        assert!(page.expect(200).text().contains(HOST), "{page}");
    }
}

#[tokio::test]
async fn an_address_elsewhere_is_a_page_and_never_a_redirect() {
    let server = TestServer::start().await;
    let mia = server.person("Mia", Role::Member).await;
    let browser = server.browser(&mia).await;
    let before = head(&server).await;
    for callback in [
        "https://127.0.0.1:1/",
        "http://127.0.0.1/",
        "http://127.1:1/",
        "http://evil.example:1/",
        "http://127.0.0.1:1@evil.example:1/",
        "http://user@localhost:1/",
        "http://localhost:1/#x",
        "http://localhost.evil.example:1/",
        "javascript:alert(1)",
        "\"><script>alert(1)</script>",
        "",
    ] {
        let fields = [
            ("redirect_uri", callback),
            ("hostname", HOST),
            ("form", "x"),
            ("expires_in_days", "30"),
            ("decision", "allow"),
        ];
        for client in [&browser, &server.client().on_our_page()] {
            for page in [
                client.get(&address(callback, "s", HOST)).await,
                client.post_form("/api/cli/authorize", &fields).await,
            ] {
                assert_eq!(page.expect(400).header("location"), None, "{page}");
                assert!(!page.text().contains("<script>"), "{page}");
                assert!(!page.header("content-security-policy").unwrap().contains("evil"), "{page}");
            }
        }
    }
    let more = "&redirect_uri=http://localhost:2/";
    for query in [
        String::new(),
        "?hostname=x".to_owned(),
        address(CALLBACK, "s", HOST)["/api/cli/authorize".len()..].to_owned() + more,
    ] {
        browser.get(&format!("/api/cli/authorize{query}")).await.expect(400);
    }
    for host in ["", "a\nb", "gpj\u{202e}exe", &"a".repeat(254)] {
        browser.get(&address(CALLBACK, "s", host)).await.expect(400);
    }
    browser.get(&address(CALLBACK, &"s".repeat(1_001), HOST)).await.expect(400);
    assert_eq!(head(&server).await, before);
}

#[tokio::test]
async fn a_hostile_computer_is_shown_as_text() {
    let server = TestServer::start().await;
    let mia = server.person("Mia", Role::Member).await;
    let browser = server.browser(&mia).await;
    for hostile in ["<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "'🚀'"] {
        let page = browser.get(&address("http://[::1]:7/?x=\"><script>", hostile, hostile)).await;
        // The address with quotes is no address at all.
        page.expect(400);
        let page = browser.get(&address("http://[::1]:7/?x=1", hostile, hostile)).await;
        assert!(page.expect(200).text().contains("<bdi>"), "{page}");
        assert!(!page.text().contains("<script>") && !page.text().contains("<img"), "{page}");
    }
}

#[tokio::test]
async fn what_is_proposed_is_never_more_than_policy_wants() {
    for (most, never, proposed) in [(60, true, "60"), (20, false, "20"), (365, true, "90")] {
        let server = TestServer::builder()
            .configured(move |config| {
                config.policy.max_lifetime_days = most;
                config.policy.allow_never = never;
            })
            .start()
            .await;
        let browser = server.browser(&server.person("Mia", Role::Member).await).await;
        let page = browser.get(&address(CALLBACK, "s", HOST)).await;
        let checked = format!("value=\"{proposed}\" checked");
        assert_eq!(page.expect(200).text().matches("\" checked").count(), 1, "{page}");
        assert!(page.text().contains(&checked), "{checked}: {page}");
        token_in(&answer(&browser, &open(&browser).await, proposed, "allow").await);
    }
}

#[tokio::test]
async fn a_policy_limits_what_is_offered_and_taken() {
    let server = TestServer::builder()
        .configured(|config| {
            config.policy.max_lifetime_days = 60;
            config.policy.allow_never = false;
        })
        .start()
        .await;
    let mia = server.person("Mia", Role::Member).await;
    let browser = server.browser(&mia).await;
    let page = browser.get(&address(CALLBACK, "a&b c", HOST)).await;
    for (value, offered) in [("30", true), ("60", true), ("90", false), ("365", false), ("never", false)] {
        assert_eq!(page.text().contains(&format!("value=\"{value}\"")), offered, "{value}: {page}");
    }
    assert!(page.text().contains("value=\"60\" checked"), "{page}");
    let before = head(&server).await;
    for refused in ["90", "never", "0", "-1", "x", ""] {
        let again = answer(&browser, &open(&browser).await, refused, "allow").await;
        assert!(again.expect(422).text().contains("id=\"g-lifetime-error\""), "{again}");
    }
    assert_eq!(head(&server).await, before);
    token_in(&answer(&browser, &open(&browser).await, "45", "allow").await);
}
