//! How a session goes on and ends, and what it opens.

use axum::extract::FromRequestParts;
use serde_json::json;
use tokenhouse::auth::guard::Call;
use tokenhouse::auth::session::{self, SignedIn};
use tokenhouse::error::Error;
use tokenhouse::service::{sessions, teams, users};
use tokenhouse_core::id::{SessionId, UserId};
use tokenhouse_core::people::Role;
use tokenhouse_testkit::client::Answer;
use tokenhouse_testkit::server::{PASSWORD, TestServer};

use super::head;
use super::sign_in::{actions_since, is_signed_in, log_in, recorded_since};

on_both_databases!(
    a_session_ends_when_it_is_told_to,
    a_session_ends_by_itself,
    a_session_ends_with_the_account,
    a_session_ends_when_its_browser_begins_another,
    what_waited_while_the_session_ended_is_not_done,
);

/// What a handler gets to know of a request with this cookie.
async fn seen<E: FromRequestParts<std::sync::Arc<tokenhouse::app::App>>>(
    server: &TestServer,
    cookie: &str,
) -> Result<E, E::Rejection> {
    let request = http::Request::get("/").header("cookie", cookie).body(()).unwrap();
    E::from_request_parts(&mut request.into_parts().0, &server.app).await
}

/// Signs somebody in who has the password, and gives their cookie.
async fn cookie(server: &TestServer, email: &str) -> String {
    let answer = log_in(server, email, PASSWORD).await;
    answer.expect(303).header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
}

async fn call(server: &TestServer, email: &str) -> Call {
    seen::<SignedIn>(server, &cookie(server, email).await).await.unwrap().0
}

async fn ids(server: &TestServer, call: &Call) -> Vec<i64> {
    sessions::list(&server.app, call).await.unwrap().into_iter().map(|session| session.id.0).collect()
}

/// Whether the answer is to sign in first.
fn is_sent_away(answer: &Answer) -> bool {
    answer.status == 303 && answer.header("location").is_some_and(|to| to.starts_with("/login?next="))
}

async fn a_session_ends_when_it_is_told_to(server: TestServer) {
    let (mia, ben) = (server.person("Mia", Role::Member).await, server.person("Ben", Role::Member).await);
    let (first, bens) = (server.browser(&mia).await, server.browser(&ben).await);
    let second = call(&server, "mia@example.com").await;
    let listed = ids(&server, &second).await;
    assert_eq!((listed.len(), listed[0]), (2, second.session().unwrap().0));
    // Somebody else's is not there.
    bens.post_form(&format!("/settings/account/sessions/{}/end", listed[0]), &[]).await.expect(404);
    let before = head(&server).await;
    let ended = first.post_form(&format!("/settings/account/sessions/{}/end", listed[0]), &[]).await;
    assert_eq!(ended.expect(303).header("location"), Some("/settings/account"));
    assert_eq!(actions_since(&server, before).await, ["user.signed_out"]);
    assert_eq!(ids(&server, &second).await, [listed[1]]);
    first.post_form(&format!("/settings/account/sessions/{}/end", listed[0]), &[]).await.expect(404);

    let out = first.post_form("/logout", &[]).await;
    assert_eq!(out.expect(303).header("location"), Some("/login"));
    assert!(out.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert!(!is_signed_in(&first).await);
    // Signing out twice, or without ever having signed in, is no error.
    first.post_form("/logout", &[]).await.expect(303);
    server.client().on_our_page().post_form("/logout", &[]).await.expect(303);

    let one = server.client().in_session(&log_in(&server, "mia@example.com", PASSWORD).await);
    let other = server.client().in_session(&log_in(&server, "mia@example.com", PASSWORD).await);
    let before = head(&server).await;
    one.post_form("/settings/account/sign-out-everywhere", &[]).await.expect(303);
    let records = recorded_since(&server, before).await;
    assert_eq!((records.len(), &*records[0].changes), (1, r#"{"sessions":[2,0]}"#));
    assert!(!is_signed_in(&one).await && !is_signed_in(&other).await);
    assert!(is_sent_away(&one.post_form("/settings/account/sign-out-everywhere", &[]).await));
    assert!(is_signed_in(&bens).await);
}

async fn a_session_ends_by_itself(server: TestServer) {
    let mia = server.person("Mia", Role::Member).await;
    let (used, idle) = (server.browser(&mia).await, {
        server.client().in_session(&log_in(&server, "mia@example.com", PASSWORD).await)
    });
    let start = server.clock.now();
    server.clock.turn_to(start.plus_days(7).plus_seconds(-1));
    assert!(is_signed_in(&used).await);
    server.pass_days(1);
    assert!(!is_signed_in(&idle).await, "seven days after its last use");
    assert!(is_signed_in(&used).await);
    for _ in 0..3 {
        server.pass_days(6);
        assert!(is_signed_in(&used).await);
    }
    server.clock.turn_to(start.plus_days(30).plus_seconds(-1));
    assert!(is_signed_in(&used).await);
    server.clock.turn_to(start.plus_days(30));
    assert!(!is_signed_in(&used).await, "thirty days after the sign-in");
}

#[tokio::test]
async fn a_use_is_noted_every_five_minutes() {
    let server = TestServer::start().await;
    let mia = server.person("Mia", Role::Member).await;
    let browser = server.browser(&mia).await;
    let command_line = Call::command_line();
    let as_mia = Call {
        caller: tokenhouse_core::policy::Caller { id: UserId(mia.id), ..command_line.caller },
        ..command_line
    };
    let seen_at = async || sessions::list(&server.app, &as_mia).await.unwrap()[0].seen_at;
    let start = server.clock.now();
    for (seconds, noted) in [(299, 0), (300, 300), (500, 300), (600, 600)] {
        server.clock.turn_to(start.plus_seconds(seconds));
        assert!(is_signed_in(&browser).await);
        assert_eq!(seen_at().await, start.plus_seconds(noted), "after {seconds} s");
    }
}

async fn a_session_ends_with_the_account(server: TestServer) {
    let people = server.people().await;
    let admin = server.as_(&people.admin.token);
    let path = format!("/api/users/{}", people.member.id);
    let browser = server.browser(&people.member).await;
    admin.delete(&path).await.expect(204);
    assert!(!is_signed_in(&browser).await);
    admin.post(&format!("{path}/reactivate"), &json!({})).await.expect(200);
    assert!(!is_signed_in(&browser).await, "it doesn't come back");
    log_in(&server, "mia.member@example.com", PASSWORD).await.expect(303);
}

async fn a_session_ends_when_its_browser_begins_another(server: TestServer) {
    let mia = server.person("Mia", Role::Member).await;
    let (browser, elsewhere) = (server.browser(&mia).await, {
        server.client().in_session(&log_in(&server, "mia@example.com", PASSWORD).await)
    });
    let fields = [("user_name", "mia@example.com"), ("password", PASSWORD)];
    let next = server.client().in_session(browser.post_form("/login", &fields).await.expect(303));
    assert!(is_signed_in(&next).await && is_signed_in(&elsewhere).await);
    assert!(!is_signed_in(&browser).await);
}

async fn what_waited_while_the_session_ended_is_not_done(server: TestServer) {
    let ada = server.person("Ada", Role::Admin).await;
    server.person("Root", Role::Admin).await;
    drop(server.browser(&ada).await);
    let create = async |call: &Call, name: &str| {
        let wanted = teams::Wanted { name: Some(name), ..teams::Wanted::default() };
        teams::create(&server.app, call, wanted).await.map(drop)
    };
    let command_line = Call::command_line();
    let of_ada = call(&server, "ada@example.com").await;
    create(&of_ada, "while signed in").await.unwrap();
    sessions::log_out(&server.app, &of_ada).await.unwrap();
    let before = head(&server).await;
    assert!(matches!(create(&of_ada, "a").await, Err(Error::SignedOut)));
    assert_eq!(head(&server).await, before);

    let of_ada = call(&server, "ada@example.com").await;
    let demotion = users::Update { role: Some(Role::Member), ..users::Update::default() };
    users::update(&server.app, &command_line, UserId(ada.id), demotion).await.unwrap();
    assert!(matches!(create(&of_ada, "b").await, Err(Error::Forbidden(_))));

    let of_ada = call(&server, "ada@example.com").await;
    users::deactivate(&server.app, &command_line, UserId(ada.id)).await.unwrap();
    assert!(matches!(create(&of_ada, "c").await, Err(Error::SignedOut)));

    users::reactivate(&server.app, &command_line, UserId(ada.id)).await.unwrap();
    let of_ada = call(&server, "ada@example.com").await;
    let end_of_it = server.clock.now().plus_days(7);
    server.clock.turn_to(end_of_it);
    assert!(matches!(create(&of_ada, "d").await, Err(Error::SignedOut)));
}

#[tokio::test]
async fn what_is_done_in_a_session_is_recorded_so() {
    let server = TestServer::start().await;
    let ada = server.person("Ada", Role::Admin).await;
    drop(server.browser(&ada).await);
    let of_ada = call(&server, "ada@example.com").await;
    let wanted = teams::Wanted { name: Some("Data"), ..teams::Wanted::default() };
    teams::create(&server.app, &of_ada, wanted).await.unwrap();
    let records = server.as_(&ada.token).get("/api/activity").await.expect(200).json();
    let record = &records["items"][0];
    assert_eq!((&record["action"], &record["via"]), (&json!("team.created"), &json!({ "kind": "session" })));
    assert_eq!(record["actor"]["id"], ada.id);
}

#[tokio::test]
async fn a_cookie_opens_pages_and_nothing_else() {
    let server = TestServer::start().await;
    let ada = server.person("Ada", Role::Admin).await;
    let browser = server.browser(&ada).await;
    for path in ["/api/users/me", "/api/user-tokens", "/api/activity", "/forward-auth"] {
        let forwarded = browser.with("x-forwarded-method", "GET").with("x-forwarded-uri", "/");
        assert_eq!(forwarded.get(path).await.status, 401, "{path}");
    }
    browser.post_form("/oauth/introspect", &[("token", "x")]).await.problem(401);
    browser.post("/api/user-tokens", &json!({ "name": "x" })).await.problem(401);
}

#[tokio::test]
async fn what_is_no_session_is_told_without_a_challenge() {
    let server = TestServer::start().await;
    let client = server.client().on_our_page();
    for cookie in ["", "__Host-tokenhouse=", "__Host-tokenhouse=guessed", "tokenhouse=guessed"] {
        let answer =
            client.with("cookie", cookie).post_form("/settings/account/sign-out-everywhere", &[]).await;
        assert!(is_sent_away(&answer));
        assert_eq!(answer.header("www-authenticate"), None);
    }
}

#[tokio::test]
async fn an_argument_says_what_a_session_must_be_allowed() {
    let server = TestServer::start().await;
    let people = server.people().await;
    for (person, email, permitted) in [
        (&people.member, "mia.member@example.com", [false, false, false, false]),
        (&people.manager, "max.manager@example.com", [true, false, false, false]),
        (&people.admin, "ada.admin@example.com", [true, true, true, true]),
    ] {
        drop(server.browser(person).await);
        let cookie = cookie(&server, email).await;
        let allowed = |refusal: Option<Error>| match refusal {
            None => true,
            Some(Error::Forbidden(_)) => false,
            Some(other) => panic!("{other}"),
        };
        let outcome = [
            allowed(seen::<session::SeesPeople>(&server, &cookie).await.err()),
            allowed(seen::<session::ManagesPeople>(&server, &cookie).await.err()),
            allowed(seen::<session::ManagesServiceTokens>(&server, &cookie).await.err()),
            allowed(seen::<session::Audits>(&server, &cookie).await.err()),
        ];
        assert_eq!(outcome, permitted, "{email}");
    }
    let signed_out = seen::<session::SeesPeople>(&server, "__Host-tokenhouse=guessed").await.err();
    assert!(matches!(signed_out, Some(Error::SignedOut)));
}

#[tokio::test]
async fn one_cannot_end_what_is_not_ones_own_by_its_number() {
    let server = TestServer::start().await;
    let (mia, ben) = (server.person("Mia", Role::Member).await, server.person("Ben", Role::Member).await);
    drop((server.browser(&mia).await, server.browser(&ben).await));
    let (of_mia, of_ben) = (call(&server, "mia@example.com").await, call(&server, "ben@example.com").await);
    for id in ids(&server, &of_ben).await {
        let refused = sessions::end(&server.app, &of_mia, SessionId(id)).await;
        assert!(matches!(refused, Err(Error::NotFound(_))));
    }
    assert_eq!(ids(&server, &of_ben).await.len(), 2);
}
