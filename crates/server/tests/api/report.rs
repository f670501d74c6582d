//! What is told after a leak.

use std::net::IpAddr;

use serde_json::{Value, json};
use tokenhouse::auth::guard::Call;
use tokenhouse::service::tokens::{self, Wanted};
use tokenhouse_core::id::{TokenId, UserId};
use tokenhouse_core::people::Role;
use tokenhouse_core::policy::Caller;
use tokenhouse_core::token::TokenKind;
use tokenhouse_core::verdict::{Checkpoint, Subject};
use tokenhouse_requests::Row;
use tokenhouse_testkit::server::{Account, Bearer, TestServer};

use super::{forward_auth, generate, set_revoked};

on_both_databases!(
    a_report_tells_who_made_it_what_was_done_and_what_to_do,
    a_report_on_a_service_user_covers_all_its_tokens,
    the_making_is_told_to_those_who_audit_and_to_whoever_did_it,
    of_others_at_an_address_only_those_are_told_that_may_be_known,
);

async fn report(server: &TestServer, with: &Bearer, path: &str) -> Value {
    server.as_(with).get(&format!("{path}/report")).await.expect(200).json()
}

fn texts<'a>(rows: &'a Value, field: &str) -> Vec<&'a str> {
    rows.as_array().unwrap().iter().map(|row| row[field].as_str().unwrap()).collect()
}

async fn a_report_tells_who_made_it_what_was_done_and_what_to_do(server: TestServer) {
    let (ada, bob) = (server.person("Ada", Role::Admin).await, server.person("Bob", Role::Member).await);
    let from = |token: &Bearer| server.as_(token).with("x-forwarded-for", "198.51.100.7");
    let made = from(&ada.token).post("/api/user-tokens", &json!({ "name": "leaked" })).await;
    let (id, secret) = (made.id(), made.bearer());
    let child = from(&secret).post("/api/user-tokens", &json!({ "name": "its child" })).await;
    from(&secret).get("/api/users/me").await.expect(200);
    from(&bob.token).get("/api/users/me").await.expect(200);
    server.pass_days(1);
    let path = format!("/api/user-tokens/{id}");
    let before = report(&server, &ada.token, &path).await;
    assert_eq!(before["token"]["name"], "leaked");
    assert_eq!(
        (&before["made"]["action"], &before["made"]["ip"]),
        (&json!("token.generated"), &json!("198.51.100.7"))
    );
    assert_eq!(before["made"]["actor"]["user_id"], json!(ada.user_id));
    assert_eq!(before["descendants"][0]["token"]["name"], "its child");
    assert_eq!(
        (texts(&before["writes"], "path"), texts(&before["reads"], "path")),
        (vec!["/api/user-tokens"], vec!["/api/users/me"])
    );
    assert_eq!(texts(&before["changes"], "action"), ["token.generated"]);
    assert_eq!((&before["allowed"], &before["denied"]), (&json!(2), &json!(0)));
    let address = &before["addresses"][0];
    assert_eq!((&address["ip"], &address["allowed"]), (&json!("198.51.100.7"), &json!(2)));
    // Ada's own token is named, of Bob's only that it is his.
    let others: Vec<_> = address["others"].as_array().unwrap().iter().collect();
    let of = |user: i64| others.iter().find(|other| other["user_id"] == user).unwrap();
    assert_eq!(of(ada.id)["token_name"], "first");
    assert_eq!((&of(bob.id)["token_id"], &of(bob.id)["token_name"]), (&Value::Null, &Value::Null));
    assert_eq!(before["next_steps"][0]["call"]["body"], json!({ "revoke": true, "descendants": true }));
    // Revoked, and still tried.
    set_revoked(&server, &ada.token, id, true).await;
    forward_auth(&server, &secret, "GET").await.expect(401);
    let after = report(&server, &ada.token, &path).await;
    assert_eq!(after["last_accepted"]["path"], "/api/users/me");
    assert_eq!(
        (&after["first_refused"]["reason"], &after["first_refused"]["path"]),
        (&json!("revoked"), &json!("/anything"))
    );
    assert_eq!(after["attempts_since_dead"]["count"], 1);
    assert_eq!(after["next_steps"][0]["text"], "Revoke what was made with the token: it still works");
    // Bob, who may not audit, learns of nobody else at his address.
    let own = report(&server, &bob.token, &format!("/api/user-tokens/{}", bob.token_id)).await;
    assert_eq!(own["addresses"][0]["others"], json!([]));
    drop(child);
}

async fn a_report_on_a_service_user_covers_all_its_tokens(server: TestServer) {
    let people = server.people().await;
    let service = &people.service;
    let second = server.as_(&people.admin.token);
    let second =
        second.post("/api/user-tokens", &json!({ "name": "second", "user_id": service.id })).await.bearer();
    for token in [&service.token, &second] {
        forward_auth(&server, token, "GET").await.expect(200);
    }
    let told = report(&server, &people.admin.token, &format!("/api/users/{}", service.id)).await;
    assert_eq!((&told["allowed"], &told["user"]["user_id"]), (&json!(2), &json!("pipeline@service")));
    assert_eq!(told["tokens"].as_array().unwrap().len(), 2);
    assert_eq!(
        told["next_steps"][0]["call"]["path"],
        json!(format!("/api/users/{}/revoke-tokens", service.id))
    );
    // Even an Admin gets no report on a person.
    let path = format!("/api/users/{}/report", people.member.id);
    server.as_(&people.admin.token).get(&path).await.problem(403);
    server.as_(&people.member.token).get(&path).await.expect(200);
}

/// Somebody who was just made, with a token that they made themselves.
async fn with_token(server: &TestServer, user: Value) -> Account {
    let (id, user_id) = (user["id"].as_i64().unwrap(), user["user_id"].as_str().unwrap().to_owned());
    let call = Call::command_line();
    let call = Call { caller: Caller { id: UserId(id), ..call.caller }, ..call };
    let wanted = Wanted { name: "first", expires_in_days: None, scim_endpoints_only: false, user_id: None };
    let made = tokens::generate(&server.app, &call, wanted).await.unwrap();
    Account { id, user_id, token: Bearer::new(made.bearer_token.expose()), token_id: made.token.id.0 }
}

async fn the_making_is_told_to_those_who_audit_and_to_whoever_did_it(server: TestServer) {
    let people = server.people().await;
    let admin = server.as_(&people.admin.token).with("x-forwarded-for", "198.51.100.7");
    // Made by Ada, with a token that is hers alone.
    let person = json!({ "user_type": "Human", "name": "Eve", "email": "eve@example.com", "role": "Admin" });
    let eve = admin.post("/api/users", &person).await;
    let eve = with_token(&server, eve.expect(201).json()).await;
    let role = json!({ "role": "Member" });
    let own = format!("/api/users/{}", eve.id);
    // As long as Eve audits, she may know who made her.
    let told = report(&server, &eve.token, &own).await;
    assert_eq!(
        (&told["made"]["actor"]["id"], &told["made"]["ip"]),
        (&json!(people.admin.id), &json!("198.51.100.7"))
    );
    admin.put(&own, &role).await.expect(200);
    let told = report(&server, &eve.token, &own).await;
    assert_eq!(told["made"], Value::Null, "neither who, nor from where, nor with which token");
    let browser = server.browser(&eve).await;
    let page = browser.get(&format!("/settings/people/users/{}/report", eve.id)).await.expect(200).text();
    assert!(!page.contains("198.51.100.7") && !page.contains(&people.admin.user_id), "{page}");
    // Whoever made a token themselves is told.
    let made = generate(&server, &eve.token, "own", None).await;
    let told = report(&server, &eve.token, &format!("/api/user-tokens/{}", made.id())).await;
    assert_eq!(told["made"]["actor"]["id"], json!(eve.id));
    // Nobody gets a report on a token of somebody else's at all, so nothing of its making either.
    for other in [&people.admin, &people.manager, &people.member] {
        server.as_(&other.token).get(&format!("/api/user-tokens/{}/report", made.id())).await.problem(404);
    }
}

async fn of_others_at_an_address_only_those_are_told_that_may_be_known(server: TestServer) {
    let people = server.people().await;
    for account in [&people.admin, &people.manager, &people.member, &people.service] {
        forward_auth(&server, &account.token, "GET").await.expect(200);
    }
    let others = async |caller: &Account, id: i64| {
        let told = report(&server, &caller.token, &format!("/api/user-tokens/{id}")).await;
        let mut others: Vec<_> = told["addresses"][0]["others"].as_array().unwrap().clone();
        others.sort_by_key(|other| other["user_id"].as_i64());
        others.iter().map(|other| (other["user_id"].clone(), other["token_id"].clone())).collect::<Vec<_>>()
    };
    let hidden = |account: &Account| (json!(account.id), Value::Null);
    let named = |account: &Account| (json!(account.id), json!(account.token_id));
    // An Admin: service tokens by number, of people only who they are, and one's own.
    assert_eq!(
        others(&people.admin, people.admin.token_id).await,
        [hidden(&people.manager), hidden(&people.member), named(&people.service)]
    );
    assert_eq!(
        others(&people.admin, people.service.token_id).await,
        [named(&people.admin), hidden(&people.manager), hidden(&people.member)]
    );
    // Everybody else: nothing of anybody.
    for caller in [&people.manager, &people.member] {
        assert_eq!(others(caller, caller.token_id).await, []);
        let browser = server.browser(caller).await;
        let path = format!("/settings/tokens/{}/report", caller.token_id);
        let page = browser.get(&path).await.expect(200).text();
        assert!(!page.contains("also from there"), "{page}");
    }
    let browser = server.browser(&people.admin).await;
    let page = browser.get(&format!("/settings/tokens/{}/report", people.service.token_id)).await;
    let page = page.expect(200).text();
    assert!(page.contains("a personal token of"), "{page}");
    for personal in [people.manager.token_id, people.member.token_id] {
        assert!(!page.contains(&format!("/settings/tokens/{personal}\"")), "{page}");
    }
}

#[tokio::test]
async fn a_report_that_would_leave_something_out_is_an_error() {
    let server = TestServer::start().await;
    let people = server.people().await;
    let log = server.app.requests.as_ref().unwrap();
    // More paths than are ranked.
    for number in 0..=20_000 {
        log.room().await;
        log.record(&Row {
            time: server.clock.now(),
            subject: Some(Subject {
                token: TokenId(people.service.token_id),
                owner: UserId(people.service.id),
                kind: TokenKind::Service,
            }),
            at: Checkpoint::ForwardAuth,
            method: "GET",
            path: &format!("/{number}"),
            refused: None,
            status: Some(200),
            ip: IpAddr::from([192, 0, 2, 7]),
            user_agent: "curl/8.5",
            request_id: "AAAAAAAAAAAAAAAA",
        });
    }
    let until = server.clock.now();
    server.clock.turn_to(until.plus_seconds(60));
    let admin = server.as_(&people.admin.token);
    for path in
        [format!("/api/user-tokens/{}", people.service.token_id), format!("/api/users/{}", people.service.id)]
    {
        let problem = admin.get(&format!("{path}/report")).await.problem(400).to_string();
        assert!(problem.contains("narrow the window"), "{problem}");
        let problem = admin.get(&format!("{path}/report?format=markdown")).await.problem(400).to_string();
        assert!(problem.contains("narrow the window"), "{problem}");
        admin.get(&format!("{path}/report?to={until}")).await.expect(200);
    }
    let browser = server.browser(&people.admin).await;
    browser.get(&format!("/settings/tokens/{}/report", people.service.token_id)).await.expect(400);
}

#[tokio::test]
async fn a_report_can_be_kept_as_markdown_whatever_strangers_wrote() {
    let server = TestServer::start().await;
    let ada = server.person("Ada", Role::Admin).await;
    let secret = generate(&server, &ada.token, "a `|\n# name", None).await;
    assert_eq!(secret.status, 422, "no control characters in names");
    let made = generate(&server, &ada.token, "a `|# name", None).await;
    let client = server.as_(&made.bearer()).with("user-agent", "a`|<script>");
    client
        .with("x-forwarded-method", "GET")
        .with("x-forwarded-uri", "/a`|b")
        .get("/forward-auth")
        .await
        .expect(200);
    let answer =
        server.as_(&ada.token).get(&format!("/api/user-tokens/{}/report?format=markdown", made.id())).await;
    let text = answer.expect(200).text();
    assert_eq!(answer.header("content-type"), Some("text/markdown; charset=utf-8"));
    assert!(text.starts_with("# Incident report: token `a \u{fffd}\u{fffd}# name`"), "{text}");
    assert!(
        text.contains("| `/a\u{fffd}\u{fffd}b` | 200 |") && text.contains("`a\u{fffd}\u{fffd}<script>`"),
        "{text}"
    );
    let browser = server.browser(&ada).await;
    let page = browser.get(&format!("/settings/tokens/{}/report", made.id())).await;
    let html = page.expect(200).text();
    assert!(html.contains("a`|&#60;script&#62;") && html.contains("What to do next"), "{html}");
    let kept = browser.get(&format!("/settings/tokens/{}/report.md", made.id())).await;
    assert!(kept.expect(200).text().starts_with("# Incident report"));
    for wrong in ["format=pdf", "from=never", "to=x"] {
        let answer =
            server.as_(&ada.token).get(&format!("/api/user-tokens/{}/report?{wrong}", made.id())).await;
        assert_eq!(answer.wrong_fields(), [wrong.split('=').next().unwrap()]);
    }
}
