//! Every page times every kind of caller, and where a change may come from.

use std::collections::BTreeSet;

use http::Method;
use tokenhouse::auth::guard::Call;
use tokenhouse::service::{passwords, users};
use tokenhouse::ui;
use tokenhouse_core::id::UserId;
use tokenhouse_core::people::Role;
use tokenhouse_testkit::client::{Answer, Client};
use tokenhouse_testkit::server::{PASSWORD, PUBLIC_URL, TestServer};

use super::head;

type Fields = &'static [(&'static str, &'static str)];

/// Method, path, form, and the status (401: sent to sign in first) for: nobody, the token of an Admin, a wrong cookie, a Member, a
/// Manager, an Admin who are signed in.
type Row = (&'static str, &'static str, Fields, [u16; 6]);

const SIGNED_IN: [u16; 6] = [401, 401, 401, 200, 200, 200];
const DONE: [u16; 6] = [401, 401, 401, 303, 303, 303];
/// No token has the number 0.
const NO_SUCH: [u16; 6] = [401, 401, 401, 404, 404, 404];
const NEW: Fields = &[("form", "f-1"), ("name", "new"), ("expires_in_days", "30")];

const POLICIES: Fields = &[
    ("personal_days", "365"),
    ("service_days", "365"),
    ("default_expires_in_days", "90"),
    ("revoke_unused_after_days", ""),
    ("restore_within_days", ""),
];

const CHOSEN: Fields = &[("password", PASSWORD)];

/// For Managers and Admins.
const MANAGERS_200: [u16; 6] = [401, 401, 401, 403, 200, 200];
const MANAGERS_404: [u16; 6] = [401, 401, 401, 403, 404, 404];

/// For Admins, who get this status.
const fn admins(status: u16) -> [u16; 6] {
    [401, 401, 401, 403, 403, status]
}

/// To a question that was never asked.
const ANSWER: Fields = &[
    ("redirect_uri", "http://127.0.0.1:1/"),
    ("hostname", "host"),
    ("form", "guessed"),
    ("expires_in_days", "30"),
    ("decision", "allow"),
];

/// Every page there is.
const TABLE: &[Row] = &[
    ("GET", "/", &[], [200; 6]),
    ("POST", "/settings/theme", &[("theme", "dark"), ("back", "/")], [303; 6]),
    ("GET", "/login", &[], [200, 200, 200, 303, 303, 303]),
    ("POST", "/login", &[("user_name", "mia.member@example.com"), ("password", PASSWORD)], [303; 6]),
    ("POST", "/logout", &[], [303; 6]),
    ("GET", "/setup/{code}", &[], [404; 6]),
    ("POST", "/setup/{code}", &[("name", "x"), ("email", "x@example.com"), ("password", PASSWORD)], [404; 6]),
    ("GET", "/invite/{code}", &[], [200; 6]),
    ("POST", "/invite/{code}", CHOSEN, [303; 6]),
    ("GET", "/settings/tokens", &[], SIGNED_IN),
    ("GET", "/settings/tokens/generate", &[], SIGNED_IN),
    ("POST", "/settings/tokens/generate", NEW, SIGNED_IN),
    ("GET", "/settings/tokens/revoke-all", &[], SIGNED_IN),
    ("POST", "/settings/tokens/revoke-all", &[], DONE),
    ("GET", "/settings/tokens/{id}", &[], NO_SUCH),
    ("GET", "/settings/tokens/{id}/rotate", &[], NO_SUCH),
    ("POST", "/settings/tokens/{id}/rotate", NEW, NO_SUCH),
    ("GET", "/settings/tokens/{id}/revoke", &[], NO_SUCH),
    ("POST", "/settings/tokens/{id}/revoke", &[], NO_SUCH),
    ("POST", "/settings/tokens/{id}/restore", &[], NO_SUCH),
    ("GET", "/settings/tokens/{id}/delete", &[], NO_SUCH),
    ("POST", "/settings/tokens/{id}/delete", &[], NO_SUCH),
    ("GET", "/settings/tokens/{id}/requests", &[], NO_SUCH),
    ("GET", "/settings/tokens/{id}/report", &[], NO_SUCH),
    ("GET", "/settings/tokens/{id}/report.md", &[], NO_SUCH),
    ("GET", "/settings/people/users/{id}/report", &[], [401, 401, 401, 403, 404, 404]),
    ("GET", "/settings/people/users/{id}/report.md", &[], [401, 401, 401, 403, 404, 404]),
    ("GET", "/settings/people/users/{id}/requests", &[], [401, 401, 401, 403, 403, 404]),
    ("GET", "/settings/requests", &[], [401, 401, 401, 403, 403, 200]),
    ("GET", "/settings/tokens/service", &[], [401, 401, 401, 403, 403, 200]),
    ("GET", "/api/cli/authorize", &[], [401, 401, 401, 200, 200, 200]),
    ("POST", "/api/cli/authorize", ANSWER, [401, 401, 401, 409, 409, 409]),
    ("GET", "/settings/audit", &[], [401, 401, 401, 403, 403, 200]),
    ("GET", "/settings/audit.csv", &[], [401, 401, 401, 403, 403, 200]),
    ("POST", "/settings/audit/verify", &[], [401, 401, 401, 403, 403, 303]),
    ("POST", "/settings/tokens/{id}/plan", &[("responsible", ""), ("days_before", "")], NO_SUCH),
    ("POST", "/settings/tokens/{id}/closing", &[], NO_SUCH),
    ("GET", "/settings/reviews", &[], admins(200)),
    ("GET", "/settings/reviews.csv", &[], admins(200)),
    ("GET", "/settings/reviews.json", &[], admins(200)),
    ("POST", "/settings/reviews/sign-off", &[("comment", "seen")], admins(303)),
    ("GET", "/settings/policies", &[], [401, 401, 401, 403, 403, 200]),
    ("POST", "/settings/policies", POLICIES, admins(303)),
    ("GET", "/settings/alerts", &[], SIGNED_IN),
    ("POST", "/settings/alerts/deliveries/{id}/retry", &[], NO_SUCH),
    ("POST", "/settings/alerts/channels/{name}/test", &[], [401, 401, 401, 403, 403, 404]),
    ("GET", "/settings/account", &[], [401, 401, 401, 200, 200, 200]),
    ("POST", "/settings/account/sign-out-everywhere", &[], [401, 401, 401, 303, 303, 303]),
    (
        "POST",
        "/settings/account/password",
        &[("present_password", PASSWORD), ("password", PASSWORD)],
        [401, 401, 401, 303, 303, 303],
    ),
    ("POST", "/settings/account/sessions/{id}/end", &[], [401, 401, 401, 404, 404, 404]),
    ("GET", "/settings/people/users", &[], MANAGERS_200),
    ("GET", "/settings/people/users/{id}", &[], MANAGERS_404),
    ("GET", "/settings/people/teams", &[], MANAGERS_200),
    ("GET", "/settings/people/teams/{id}", &[], MANAGERS_404),
    ("GET", "/settings/people/users/add-service-user", &[], admins(200)),
    (
        "POST",
        "/settings/people/users/add-service-user",
        &[
            ("form", "f-1"),
            ("name", "CI"),
            ("role", "Member"),
            ("purpose", ""),
            ("owner", ""),
            ("then", "finish"),
        ],
        admins(303),
    ),
    ("GET", "/settings/people/users/add-person", &[], admins(200)),
    (
        "POST",
        "/settings/people/users/add-person",
        &[("name", "Eve"), ("email", "eve@example.com"), ("role", "Member")],
        admins(200),
    ),
    ("GET", "/settings/people/users/{id}/edit", &[], admins(404)),
    ("POST", "/settings/people/users/{id}/edit", &[("name", "Eve"), ("role", "Member")], admins(404)),
    ("GET", "/settings/people/users/{id}/deactivate", &[], admins(404)),
    ("POST", "/settings/people/users/{id}/deactivate", &[], admins(404)),
    ("GET", "/settings/people/users/{id}/reactivate", &[], admins(404)),
    ("POST", "/settings/people/users/{id}/reactivate", &[], admins(404)),
    ("GET", "/settings/people/users/{id}/revoke-tokens", &[], admins(404)),
    ("POST", "/settings/people/users/{id}/revoke-tokens", &[], admins(404)),
    ("GET", "/settings/people/users/{id}/invite", &[], admins(404)),
    ("POST", "/settings/people/users/{id}/invite", &[], admins(404)),
    ("GET", "/settings/people/requests", &[], [401, 401, 401, 200, 200, 200]),
    ("GET", "/settings/people/requests/ask", &[], [401, 401, 401, 200, 200, 403]),
    (
        "POST",
        "/settings/people/requests/ask",
        &[("name", "Wanted"), ("role", "Member"), ("purpose", "p"), ("owner", "")],
        [401, 401, 401, 303, 303, 403],
    ),
    ("POST", "/settings/people/requests/{id}/withdraw", &[], [401, 401, 401, 404, 404, 404]),
    ("GET", "/settings/people/requests/{id}/approve", &[], admins(404)),
    ("POST", "/settings/people/requests/{id}/approve", &[("role", "Member"), ("comment", "")], admins(404)),
    ("GET", "/settings/people/requests/{id}/decline", &[], admins(404)),
    ("POST", "/settings/people/requests/{id}/decline", &[("comment", "no")], admins(404)),
    ("GET", "/settings/people/teams/add", &[], admins(200)),
    ("POST", "/settings/people/teams/add", &[("name", "Data"), ("description", "")], admins(303)),
    ("GET", "/settings/people/teams/{id}/edit", &[], admins(404)),
    ("POST", "/settings/people/teams/{id}/edit", &[("name", "Data"), ("description", "")], admins(404)),
    ("GET", "/settings/people/teams/{id}/delete", &[], admins(404)),
    ("POST", "/settings/people/teams/{id}/delete", &[], admins(404)),
    ("GET", "/settings/people/teams/{id}/add-member", &[], admins(404)),
    ("POST", "/settings/people/teams/{id}/add-member", &[("user", "1")], admins(404)),
    ("POST", "/settings/people/teams/{id}/remove-member", &[("user", "1")], admins(404)),
];

#[test]
fn every_page_has_a_row_and_every_row_a_page() {
    let pages: BTreeSet<_> =
        ui::pages().into_iter().map(|page| (page.method.to_string(), page.path)).collect();
    let rows: BTreeSet<_> = TABLE.iter().map(|row| (row.0.to_owned(), row.1)).collect();
    assert_eq!((rows.len(), &rows), (TABLE.len(), &pages));
}

async fn ask(client: &Client, method: &str, path: &str, fields: Fields) -> Answer {
    match method {
        "GET" => client.get(path).await,
        _ => client.post_form(path, fields).await,
    }
}

/// The path with a code of its own for every call: some use it up.
async fn fill(server: &TestServer, path: &str, person: i64) -> String {
    let link = users::invite_again(&server.app, &Call::command_line(), UserId(person)).await.unwrap();
    let path = match path {
        "/api/cli/authorize" => "/api/cli/authorize?redirect_uri=http://127.0.0.1:1/",
        other => other,
    };
    path.replace("{id}", "0").replace("{code}", link.rsplit('/').next().unwrap())
}

#[tokio::test]
async fn every_page_answers_every_caller_as_the_table_says() {
    let server = TestServer::start().await;
    let people = server.people().await;
    drop(server.browser(&people.member).await);
    let invited = server.person("Ivy Invited", Role::Member).await.id;
    for (method, template, fields, statuses) in TABLE {
        let anybody = server.client().on_our_page();
        let callers = [
            ("nobody", anybody.clone()),
            ("a token", anybody.as_(&people.admin.token)),
            ("a wrong cookie", anybody.with("cookie", "__Host-tokenhouse=guessed")),
            ("Member", server.browser(&people.member).await),
            ("Manager", server.browser(&people.manager).await),
            ("Admin", server.browser(&people.admin).await),
        ];
        for ((caller, client), status) in callers.iter().zip(statuses) {
            let path = fill(&server, template, invited).await;
            let before = head(&server).await;
            let answer = ask(client, method, &path, fields).await;
            let sent_away = answer.header("location").is_some_and(|to| to.starts_with("/login?next="));
            let seen = if sent_away { 401 } else { answer.status };
            assert_eq!(seen, *status, "{caller}: {answer}");
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer}");
            if seen >= 400 {
                assert_eq!(head(&server).await, before, "{caller} was refused, but: {answer}");
            }
        }
    }
}

#[tokio::test]
async fn a_change_comes_from_our_own_page_or_not_at_all() {
    let server = TestServer::start().await;
    let people = server.people().await;
    let browser = server.browser(&people.member).await;
    let cookie = server.browser(&people.member).await;
    drop(browser);
    let origin = |client: &Client, fields: &[(&str, &str)]| {
        fields.iter().fold(client.clone(), |client, (name, value)| client.with(name, value))
    };
    for (method, template, fields, _) in TABLE.iter().filter(|row| row.0 != "GET") {
        let path = fill(&server, template, people.manager.id).await;
        let before = head(&server).await;
        for foreign in [
            &[("sec-fetch-site", "cross-site")][..],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "cross-site"), ("origin", PUBLIC_URL)],
            &[("origin", "https://evil.example")],
            &[("origin", "null")],
            &[],
        ] {
            // One that is signed in says that it is on our page, which a second value contradicts.
            ask(&origin(&server.client(), foreign), method, &path, fields).await.expect(403);
            let contradicting = origin(&cookie, foreign);
            if foreign.first().is_some_and(|(name, _)| *name == "sec-fetch-site") {
                ask(&contradicting, method, &path, fields).await.expect(403);
            }
        }
        assert_eq!(head(&server).await, before, "{path}");
    }
    let fields = [("user_name", "mia.member@example.com"), ("password", PASSWORD)];
    for own in [("sec-fetch-site", "same-origin"), ("sec-fetch-site", "none"), ("origin", PUBLIC_URL)] {
        origin(&server.client(), &[own]).post_form("/login", &fields).await.expect(303);
    }
}

#[tokio::test]
async fn a_page_never_goes_upstream_however_it_is_spelled() {
    let server = TestServer::start().await;
    let ada = server.person("Ada", Role::Admin).await;
    passwords::offer_setup(&server.app).await.unwrap();
    for path in ["/LOGIN", "/Logout/", "/%73ettings/account/x", "/setup", "/Setup/x/y"] {
        server.as_(&ada.token).send(Method::GET, path, None, "").await.problem(404);
    }
}

#[tokio::test]
async fn whoever_is_signed_in_stays_in_the_frame_where_there_is_nothing() {
    let server = TestServer::start().await;
    let mia = server.person("Mia", Role::Member).await;
    let framed = async |client: Client| {
        let answer = client.with("accept", "text/html").get("/settings/nothing").await;
        answer.expect(404).text().contains("<nav class=\"rail\"")
    };
    assert!(framed(server.browser(&mia).await).await);
    assert!(!framed(server.client()).await);
    assert!(!framed(server.client().with("cookie", "__Host-tokenhouse=guessed")).await);
}
