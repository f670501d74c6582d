//! Who may call what: every route times every kind of caller, and what a caller may do to what.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};

use http::Method;
use serde_json::{Value, json};
use tokenhouse::auth::guard::Call;
use tokenhouse::service::{service_user_requests, teams, tokens};
use tokenhouse_core::id::{TokenId, UserId};
use tokenhouse_core::people::{Role, UserType};
use tokenhouse_core::policy::Caller;
use tokenhouse_testkit::client::{Answer, Client};
use tokenhouse_testkit::server::{Account, Bearer, TestServer};

use super::openapi::Contract;
use super::{generate, head, is_accepted, set_revoked};

on_both_databases!(
    every_route_answers_every_caller_as_the_table_says,
    another_humans_token_is_nobodys_to_know_of,
    a_service_token_is_known_to_admins_only,
    a_service_user_has_no_personal_tokens,
    a_service_token_is_made_for_a_service_user_only,
    all_tokens_of_a_user_are_revoked_by_admins_or_the_user,
    the_last_active_human_admin_stays,
    a_scim_token_opens_nothing_here,
);

/// What a row is about; `{id}` in its path is the number of a fresh one for every call.
#[derive(Clone, Copy)]
enum Target {
    Nothing,
    /// A service token.
    Token,
    /// A service token that is revoked.
    RevokedToken,
    /// A service user.
    User,
    Team,
    /// An open request of somebody else's.
    Request,
}
use Target::{Nothing, Request, RevokedToken, Team, Token, User};

/// Method, path, what it is about, body, and the status for: no token, garbage, the SCIM token of an
/// Admin, Member, Manager, Admin, service user with the role Member, service user with the role Admin.
type Row = (&'static str, &'static str, Target, fn(i64) -> Value, [u16; 8]);

const NO_BODY: fn(i64) -> Value = |_| Value::Null;

/// Every route there is.
const TABLE: &[Row] = &[
    ("GET", "/api/status", Nothing, NO_BODY, [200; 8]),
    ("GET", "/healthz", Nothing, NO_BODY, [200; 8]),
    ("GET", "/readyz", Nothing, NO_BODY, [200; 8]),
    ("GET", "/.well-known/jwks.json", Nothing, NO_BODY, [200; 8]),
    ("POST", "/oauth/revoke", Nothing, |_| json!({"token": "unknown"}), [200; 8]),
    ("POST", "/api/leaks", Nothing, |_| json!({"token": "unknown"}), [202; 8]),
    ("POST", "/api/leaks/github", Nothing, |_| json!([]), [404; 8]),
    (
        "POST",
        "/oauth/introspect",
        Nothing,
        |_| json!({"token": "unknown"}),
        [401, 401, 403, 403, 200, 200, 403, 200],
    ),
    ("GET", "/forward-auth", Nothing, NO_BODY, [401, 401, 403, 200, 200, 200, 200, 200]),
    ("GET", "/api/user-tokens", Nothing, NO_BODY, [401, 401, 403, 200, 200, 200, 403, 403]),
    (
        "POST",
        "/api/user-tokens",
        Nothing,
        |n| json!({"name": format!("t{n}")}),
        [401, 401, 403, 201, 201, 201, 403, 403],
    ),
    ("GET", "/api/user-tokens/service", Nothing, NO_BODY, [401, 401, 403, 403, 403, 200, 403, 200]),
    ("GET", "/api/user-tokens/current", Nothing, NO_BODY, [401, 401, 403, 200, 200, 200, 200, 200]),
    ("DELETE", "/api/user-tokens/current", Nothing, NO_BODY, [401, 401, 403, 204, 204, 204, 204, 204]),
    ("GET", "/api/alerts", Nothing, NO_BODY, [401, 401, 403, 200, 200, 200, 200, 200]),
    ("GET", "/api/alerts/deliveries", Nothing, NO_BODY, [401, 401, 403, 200, 200, 200, 200, 200]),
    (
        "POST",
        "/api/alerts/deliveries/{id}/retry",
        Nothing,
        |_| json!({}),
        [401, 401, 403, 404, 404, 404, 404, 404],
    ),
    (
        "POST",
        "/api/alerts/channels/{name}/test",
        Nothing,
        |_| json!({}),
        [401, 401, 403, 403, 403, 404, 403, 404],
    ),
    ("GET", "/api/user-tokens/{id}", Token, NO_BODY, [401, 401, 403, 404, 404, 200, 404, 200]),
    (
        "PUT",
        "/api/user-tokens/{id}",
        Token,
        |_| json!({"revoke": true}),
        [401, 401, 403, 404, 404, 200, 404, 200],
    ),
    ("DELETE", "/api/user-tokens/{id}", RevokedToken, NO_BODY, [401, 401, 403, 404, 404, 204, 404, 204]),
    ("POST", "/api/user-tokens/{id}/rotate", Token, |_| json!({}), [401, 401, 403, 404, 404, 201, 404, 201]),
    (
        "PUT",
        "/api/user-tokens/{id}/rotation",
        Token,
        |_| json!({"plan": null}),
        [401, 401, 403, 404, 404, 200, 404, 200],
    ),
    (
        "PUT",
        "/api/users/{id}/rotation",
        User,
        |_| json!({"plan": null}),
        [401, 401, 403, 403, 403, 200, 403, 200],
    ),
    ("GET", "/api/policies", Nothing, NO_BODY, [401, 401, 403, 403, 403, 200, 403, 200]),
    ("PUT", "/api/policies", Nothing, |_| json!({}), [401, 401, 403, 403, 403, 200, 403, 200]),
    ("GET", "/api/reviews", Nothing, NO_BODY, [401, 401, 403, 403, 403, 200, 403, 200]),
    ("GET", "/api/reviews.csv", Nothing, NO_BODY, [401, 401, 403, 403, 403, 200, 403, 200]),
    ("GET", "/api/reviews.json", Nothing, NO_BODY, [401, 401, 403, 403, 403, 200, 403, 200]),
    ("GET", "/api/reviews/sign-offs", Nothing, NO_BODY, [401, 401, 403, 403, 403, 200, 403, 200]),
    (
        "POST",
        "/api/reviews/sign-offs",
        Nothing,
        |_| json!({"comment": "seen"}),
        [401, 401, 403, 403, 403, 201, 403, 201],
    ),
    ("GET", "/api/user-tokens/{id}/requests", Token, NO_BODY, [401, 401, 403, 404, 404, 200, 404, 200]),
    (
        "GET",
        "/api/user-tokens/{id}/requests/summary",
        Token,
        NO_BODY,
        [401, 401, 403, 404, 404, 200, 404, 200],
    ),
    ("GET", "/api/user-tokens/{id}/requests/top", Token, NO_BODY, [401, 401, 403, 404, 404, 200, 404, 200]),
    ("GET", "/api/user-tokens/{id}/report", Token, NO_BODY, [401, 401, 403, 404, 404, 200, 404, 200]),
    ("GET", "/api/users/{id}/report", User, NO_BODY, [401, 401, 403, 403, 403, 200, 403, 200]),
    ("GET", "/api/users/{id}/requests", User, NO_BODY, [401, 401, 403, 403, 403, 200, 403, 200]),
    ("GET", "/api/users/{id}/requests/summary", User, NO_BODY, [401, 401, 403, 403, 403, 200, 403, 200]),
    ("GET", "/api/users/{id}/requests/top", User, NO_BODY, [401, 401, 403, 403, 403, 200, 403, 200]),
    ("GET", "/api/requests", Nothing, NO_BODY, [401, 401, 403, 403, 403, 200, 403, 200]),
    ("GET", "/api/requests/summary", Nothing, NO_BODY, [401, 401, 403, 403, 403, 200, 403, 200]),
    ("GET", "/api/requests/top", Nothing, NO_BODY, [401, 401, 403, 403, 403, 200, 403, 200]),
    ("GET", "/api/users", Nothing, NO_BODY, [401, 401, 403, 403, 200, 200, 403, 200]),
    (
        "POST",
        "/api/users",
        Nothing,
        |n| json!({"name": format!("u{n}"), "role": "Member"}),
        [401, 401, 403, 403, 403, 201, 403, 201],
    ),
    ("GET", "/api/service-user-requests", Nothing, NO_BODY, [401, 401, 403, 200, 200, 200, 200, 200]),
    (
        "POST",
        "/api/service-user-requests",
        Nothing,
        |n| json!({"name": format!("asked{n}"), "role": "Member", "purpose": "p"}),
        [401, 401, 403, 201, 201, 403, 403, 403],
    ),
    ("GET", "/api/service-user-requests/{id}", Request, NO_BODY, [401, 401, 403, 404, 404, 200, 404, 200]),
    ("DELETE", "/api/service-user-requests/{id}", Request, NO_BODY, [401, 401, 403, 404, 404, 403, 404, 403]),
    (
        "POST",
        "/api/service-user-requests/{id}/approve",
        Request,
        |_| json!({"role": "Member"}),
        [401, 401, 403, 403, 403, 200, 403, 200],
    ),
    (
        "POST",
        "/api/service-user-requests/{id}/decline",
        Request,
        |_| json!({"comment": "no"}),
        [401, 401, 403, 403, 403, 200, 403, 200],
    ),
    ("GET", "/api/users/me", Nothing, NO_BODY, [401, 401, 403, 200, 200, 200, 200, 200]),
    ("GET", "/api/users/{id}", User, NO_BODY, [401, 401, 403, 403, 200, 200, 403, 200]),
    (
        "PUT",
        "/api/users/{id}",
        User,
        |_| json!({"role": "Manager"}),
        [401, 401, 403, 403, 403, 200, 403, 200],
    ),
    ("DELETE", "/api/users/{id}", User, NO_BODY, [401, 401, 403, 403, 403, 204, 403, 204]),
    ("POST", "/api/users/{id}/reactivate", User, NO_BODY, [401, 401, 403, 403, 403, 200, 403, 200]),
    ("POST", "/api/users/{id}/revoke-tokens", User, NO_BODY, [401, 401, 403, 403, 403, 200, 403, 200]),
    ("GET", "/api/teams", Nothing, NO_BODY, [401, 401, 403, 403, 200, 200, 403, 200]),
    (
        "POST",
        "/api/teams",
        Nothing,
        |n| json!({"name": format!("new{n}")}),
        [401, 401, 403, 403, 403, 201, 403, 201],
    ),
    ("GET", "/api/teams/{id}", Team, NO_BODY, [401, 401, 403, 403, 200, 200, 403, 200]),
    (
        "PUT",
        "/api/teams/{id}",
        Team,
        |_| json!({"description": "x"}),
        [401, 401, 403, 403, 403, 200, 403, 200],
    ),
    ("DELETE", "/api/teams/{id}", Team, NO_BODY, [401, 401, 403, 403, 403, 204, 403, 204]),
    ("GET", "/api/activity", Nothing, NO_BODY, [401, 401, 403, 403, 403, 200, 403, 200]),
    ("GET", "/api/activity/insights", Nothing, NO_BODY, [401, 401, 403, 403, 403, 200, 403, 200]),
    ("GET", "/api/activity.csv", Nothing, NO_BODY, [401, 401, 403, 403, 403, 200, 403, 200]),
];

/// A number that no name has had yet.
pub(crate) fn fresh() -> i64 {
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    NUMBER.fetch_add(1, Ordering::Relaxed).into()
}

/// One more token of an account, for one call only: some calls end the token they are made with.
pub(crate) async fn spare(server: &TestServer, account: &Account, user_type: UserType, scim: bool) -> Bearer {
    let call = Call::command_line();
    let call = Call { caller: Caller { id: UserId(account.id), ..call.caller }, ..call };
    let wanted = tokens::Wanted {
        name: &format!("spare {}", fresh()),
        expires_in_days: None,
        scim_endpoints_only: scim,
        user_id: (user_type == UserType::Service).then_some(UserId(account.id)),
    };
    let made = tokens::generate(&server.app, &call, wanted).await.unwrap();
    Bearer::new(made.bearer_token.expose())
}

async fn target(server: &TestServer, wanted: Target) -> i64 {
    let call = Call::command_line();
    match wanted {
        Nothing => fresh(),
        User => server.service_user(&format!("target {}", fresh()), Role::Member).await.id,
        Token => server.service_user(&format!("target {}", fresh()), Role::Member).await.token_id,
        RevokedToken => {
            let id = server.service_user(&format!("target {}", fresh()), Role::Member).await.token_id;
            tokens::revoke(&server.app, &call, TokenId(id), false).await.unwrap();
            id
        }
        Request => {
            let asker = server.person(&format!("asker {}", fresh()), Role::Member).await.id;
            let caller = Caller { id: UserId(asker), role: Role::Member, ..call.caller };
            let name = format!("wanted {}", fresh());
            let wanted = service_user_requests::Wanted {
                name: &name,
                role: Role::Member,
                teams: &[],
                purpose: "p",
                owner: None,
            };
            let call = Call { caller, ..call };
            service_user_requests::ask(&server.app, &call, wanted).await.unwrap().id.0
        }
        Team => {
            let name = format!("team {}", fresh());
            let wanted = teams::Wanted { name: Some(&name), ..teams::Wanted::default() };
            teams::create(&server.app, &call, wanted).await.unwrap().0.id.0
        }
    }
}

async fn ask(client: &Client, method: &str, path: &str, body: &Value) -> Answer {
    let method: Method = method.parse().unwrap();
    if path.starts_with("/oauth/") {
        let fields: Vec<(&str, &str)> = body
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (&**name, value.as_str().unwrap()))
            .collect();
        client.post_form(path, &fields).await
    } else if path == "/forward-auth" {
        let asked = client.with("x-forwarded-method", "GET").with("x-forwarded-uri", "/a");
        asked.send(method, path, None, "").await
    } else if body.is_null() {
        client.send(method, path, None, "").await
    } else {
        client.json(method, path, body).await
    }
}

#[test]
fn every_route_has_a_row_and_every_row_a_route() {
    let routes = Contract::new().operations();
    let rows: BTreeSet<_> = TABLE.iter().map(|row| (row.0.to_owned(), row.1.to_owned())).collect();
    assert_eq!(rows.len(), TABLE.len(), "a row is there twice");
    assert_eq!(rows, routes);
}

async fn every_route_answers_every_caller_as_the_table_says(server: TestServer) {
    let contract = Contract::new();
    let people = server.people().await;
    let robot = server.service_user("Robot", Role::Admin).await;
    let (human, service) = (UserType::Human, UserType::Service);
    let callers = [
        ("no token", None),
        ("garbage", None),
        ("SCIM token", Some((&people.admin, human, true))),
        ("Member", Some((&people.member, human, false))),
        ("Manager", Some((&people.manager, human, false))),
        ("Admin", Some((&people.admin, human, false))),
        ("service Member", Some((&people.service, service, false))),
        ("service Admin", Some((&robot, service, false))),
    ];
    for (method, template, about, body, statuses) in TABLE {
        for ((caller, account), status) in callers.iter().zip(statuses) {
            let client = match account {
                None if *caller == "garbage" => server.as_(&Bearer::new("garbage")),
                None => server.client(),
                Some((account, user_type, scim)) => {
                    server.as_(&spare(&server, account, *user_type, *scim).await)
                }
            };
            let id = target(&server, *about).await;
            let path = template.replace("{id}", &id.to_string());
            let before = head(&server).await;
            let answer = ask(&client, method, &path, &body(id)).await;
            assert_eq!(answer.status, *status, "{caller}: {answer}");
            contract.check(method, template, &answer);
            if answer.status >= 400 {
                assert_eq!(head(&server).await, before, "{caller} was refused, but: {answer}");
            }
        }
    }
}

/// Everything that can be done to one token, each with what its owner would be answered.
async fn everything_done_to(client: &Client, id: i64) -> BTreeMap<&'static str, Answer> {
    let path = format!("/api/user-tokens/{id}");
    BTreeMap::from([
        ("1 see", client.get(&path).await),
        ("2 rotate", client.post(&format!("{path}/rotate"), &json!({})).await),
        ("3 restore", client.put(&path, &json!({ "revoke": false })).await),
        ("4 revoke", client.put(&path, &json!({ "revoke": true })).await),
        ("5 with descendants", client.put(&path, &json!({ "revoke": true, "descendants": true })).await),
        ("6 delete", client.delete(&path).await),
    ])
}

async fn another_humans_token_is_nobodys_to_know_of(server: TestServer) {
    let people = server.people().await;
    let robot = server.service_user("Robot", Role::Admin).await;
    let other_admin = server.person("Other Admin", Role::Admin).await;
    let before = head(&server).await;
    for caller in [&people.admin, &people.manager, &people.member, &people.service, &robot] {
        let client = server.as_(&caller.token);
        let hidden = everything_done_to(&client, other_admin.token_id).await;
        let unknown = everything_done_to(&client, 999_999).await;
        for (what, answer) in hidden {
            // Nothing tells it from a token that isn't there.
            assert_eq!(answer.problem(404)["detail"], unknown[what].problem(404)["detail"], "{what}");
        }
        let listed = client.get("/api/user-tokens").await.text();
        assert!(!listed.contains(&format!("\"id\":{},", other_admin.token_id)), "{listed}");
    }
    assert_eq!(head(&server).await, before);
    assert!(is_accepted(&server, &other_admin.token).await);
    let statuses: Vec<u16> = everything_done_to(&server.as_(&other_admin.token), {
        generate(&server, &other_admin.token, "own", None).await.id()
    })
    .await
    .values()
    .map(|answer| answer.status)
    .collect();
    assert_eq!(statuses, [200, 201, 200, 200, 200, 204]);
}

async fn a_service_token_is_known_to_admins_only(server: TestServer) {
    let people = server.people().await;
    let before = head(&server).await;
    // Not even the service user itself manages it.
    for caller in [&people.manager, &people.member, &people.service] {
        for answer in everything_done_to(&server.as_(&caller.token), people.service.token_id).await.values() {
            answer.problem(404);
        }
        server.as_(&caller.token).get("/api/user-tokens/service").await.problem(403);
    }
    assert_eq!(head(&server).await, before);
    assert!(is_accepted(&server, &people.service.token).await);
    let admin = server.as_(&people.admin.token);
    let other = server.service_user("Other", Role::Member).await;
    let all = admin.get("/api/user-tokens/service").await.expect(200).json();
    let ids: Vec<i64> = all.as_array().unwrap().iter().map(|token| token["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, [other.token_id, people.service.token_id]);
    let one = admin.get(&format!("/api/user-tokens/service?user_id={}", other.id)).await.json();
    assert_eq!((one.as_array().unwrap().len(), &one[0]["id"]), (1, &json!(other.token_id)));
    // A human's id narrows to nothing: personal tokens are none of these.
    let none = admin.get(&format!("/api/user-tokens/service?user_id={}", people.member.id)).await.json();
    assert_eq!(none, json!([]));
    let statuses: Vec<u16> = everything_done_to(&admin, people.service.token_id)
        .await
        .values()
        .map(|answer| answer.status)
        .collect();
    assert_eq!(statuses, [200, 201, 200, 200, 200, 204]);
}

async fn a_service_user_has_no_personal_tokens(server: TestServer) {
    let robot = server.service_user("Robot", Role::Admin).await;
    let client = server.as_(&robot.token);
    client.get("/api/user-tokens").await.problem(403);
    client.post("/api/user-tokens", &json!({ "name": "mine" })).await.problem(403);
    // With the Admin role it may make service tokens, also of its own.
    let made = client.post("/api/user-tokens", &json!({ "name": "mine", "user_id": robot.id })).await;
    let shown = made.expect(201).json();
    assert_eq!((&shown["kind"], &shown["created_by"]), (&json!("service"), &json!(robot.id)));
    assert_eq!(shown["parent_id"], robot.token_id);
}

async fn a_service_token_is_made_for_a_service_user_only(server: TestServer) {
    let people = server.people().await;
    let admin = server.as_(&people.admin.token);
    let before = head(&server).await;
    for user in [people.member.id, people.admin.id, 0, -1, 999_999] {
        let refused = admin.post("/api/user-tokens", &json!({ "name": "x", "user_id": user })).await;
        assert_eq!(refused.wrong_fields(), ["user_id"], "{user}");
    }
    for caller in [&people.member, &people.manager, &people.service] {
        for body in [
            json!({ "name": "x", "user_id": people.service.id }),
            json!({ "name": "x", "scim_endpoints_only": true }),
        ] {
            server.as_(&caller.token).post("/api/user-tokens", &body).await.problem(403);
        }
    }
    assert_eq!(head(&server).await, before);
    admin.delete(&format!("/api/users/{}", people.service.id)).await.expect(204);
    let refused = admin.post("/api/user-tokens", &json!({ "name": "x", "user_id": people.service.id })).await;
    assert_eq!(refused.wrong_fields(), ["user_id"]);
    let scim = admin.post("/api/user-tokens", &json!({ "name": "scim", "scim_endpoints_only": true })).await;
    assert_eq!(scim.expect(201).json()["scim_endpoints_only"], true);
}

async fn all_tokens_of_a_user_are_revoked_by_admins_or_the_user(server: TestServer) {
    let people = server.people().await;
    let all_of = |user: i64| format!("/api/users/{user}/revoke-tokens");
    let before = head(&server).await;
    for (caller, user, status) in [
        (&people.admin, people.member.id, 403),
        (&people.manager, people.member.id, 403),
        (&people.manager, people.service.id, 403),
        (&people.member, people.manager.id, 403),
        (&people.member, people.service.id, 403),
        (&people.service, people.member.id, 403),
        (&people.member, 999_999, 403),
        (&people.manager, 999_999, 404),
        (&people.admin, 999_999, 404),
    ] {
        server.as_(&caller.token).post(&all_of(user), &json!({})).await.problem(status);
    }
    assert_eq!(head(&server).await, before);
    let second = generate(&server, &people.member.token, "second", None).await;
    let dead = generate(&server, &people.member.token, "dead", None).await;
    set_revoked(&server, &people.member.token, dead.id(), true).await;
    let before = head(&server).await;
    let revoked = server.as_(&people.member.token).post(&all_of(people.member.id), &json!({})).await;
    assert_eq!(revoked.expect(200).json()["revoked"], 2);
    assert_eq!(head(&server).await - before, 2);
    assert!(!is_accepted(&server, &people.member.token).await);
    assert!(!is_accepted(&server, &second.bearer()).await);
    for revoked in [1, 0] {
        let answer = server.as_(&people.admin.token).post(&all_of(people.service.id), &json!({})).await;
        assert_eq!(answer.expect(200).json()["revoked"], revoked);
    }
    assert!(!is_accepted(&server, &people.service.token).await);
}

async fn the_last_active_human_admin_stays(server: TestServer) {
    let people = server.people().await;
    let robot = server.service_user("Robot", Role::Admin).await;
    let path = format!("/api/users/{}", people.admin.id);
    let before = head(&server).await;
    // A service user with the role doesn't count.
    for client in [server.as_(&people.admin.token), server.as_(&robot.token)] {
        client.delete(&path).await.problem(409);
        client.put(&path, &json!({ "role": "Manager" })).await.problem(409);
    }
    assert_eq!(head(&server).await, before);
    let admin = server.as_(&people.admin.token);
    admin.put(&path, &json!({ "name": "Still Admin" })).await.expect(200);
    admin.put(&format!("/api/users/{}", people.manager.id), &json!({ "role": "Admin" })).await.expect(200);
    // Nor does one who is deactivated.
    admin.delete(&format!("/api/users/{}", people.manager.id)).await.expect(204);
    admin.delete(&path).await.problem(409);
    admin.post(&format!("/api/users/{}/reactivate", people.manager.id), &json!({})).await.expect(200);
    admin.put(&path, &json!({ "role": "Member" })).await.expect(200);
    server.as_(&people.manager.token).delete(&format!("/api/users/{}", people.manager.id)).await.problem(409);
}

async fn a_scim_token_opens_nothing_here(server: TestServer) {
    let people = server.people().await;
    let (id, scim) = server.scim_token(&people.admin).await;
    for path in ["/api/user-tokens", "/api/user-tokens/current", "/api/users/me", "/api/activity"] {
        server.as_(&scim).get(path).await.problem(403);
    }
    // Its owner manages it like any other.
    assert_eq!(set_revoked(&server, &people.admin.token, id, true).await["status"], "revoked");
    server.as_(&scim).get("/api/user-tokens").await.problem(401);
    // The SCIM token of a human who has been demoted is refused as such.
    set_revoked(&server, &people.admin.token, id, false).await;
    let other = server.person("Other Admin", Role::Admin).await;
    let demotion = json!({ "role": "Member" });
    server.as_(&other.token).put(&format!("/api/users/{}", people.admin.id), &demotion).await.expect(200);
    server.as_(&scim).get("/api/user-tokens").await.problem(403);
    let introspected =
        server.as_(&other.token).post_form("/oauth/introspect", &[("token", scim.expose())]).await;
    assert_eq!(introspected.expect(200).json(), json!({ "active": false }));
    // A demoted owner makes no successor of it either.
    let rotated =
        server.as_(&people.admin.token).post(&format!("/api/user-tokens/{id}/rotate"), &json!({})).await;
    rotated.problem(403);
    // That of a service user works whatever its role.
    let (_, scim) = server.scim_token(&people.service).await;
    let introspected =
        server.as_(&other.token).post_form("/oauth/introspect", &[("token", scim.expose())]).await;
    assert_eq!(introspected.expect(200).json()["scope"], "scim");
}
