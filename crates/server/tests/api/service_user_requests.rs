//! Service users that people ask for.

use serde_json::{Value, json};
use tokenhouse_core::people::Role;
use tokenhouse_testkit::client::{Answer, Client};
use tokenhouse_testkit::server::{Account, TestServer};

use super::head;
use super::token_forms::between;

on_both_databases!(
    nothing_exists_before_an_admin_approves,
    whoever_asked_and_admins_see_a_request,
    a_request_is_decided_on_once,
    what_is_declined_or_withdrawn_makes_nothing,
    a_name_that_is_taken_leaves_the_request_open,
    two_admins_at_once_decide_once,
    nobody_approves_what_they_asked_for,
);

const PATH: &str = "/api/service-user-requests";

fn wish(name: &str) -> Value {
    json!({ "name": name, "role": "Manager", "teams": ["Public"], "purpose": "nightly loads", "owner": "Data" })
}

async fn ask(server: &TestServer, with: &Account, name: &str) -> i64 {
    server.as_(&with.token).post(PATH, &wish(name)).await.expect(201).json()["id"].as_i64().unwrap()
}

async fn approve(client: &Client, id: i64) -> Answer {
    client.post(&format!("{PATH}/{id}/approve"), &json!({})).await
}

/// Newest first: what was done, and to what.
async fn trail(server: &TestServer, admin: &Account, count: usize) -> Vec<(String, String)> {
    let page = server.as_(&admin.token).get(&format!("/api/activity?size={count}")).await.expect(200).json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let items = page["items"].as_array().unwrap().iter();
    items.map(|record| (text(&record["action"]), text(&record["entity"]["type"]))).collect()
}

async fn users(server: &TestServer, admin: &Account) -> u64 {
    let page = server.as_(&admin.token).get("/api/users?type=Service").await.expect(200).json();
    page["total"].as_u64().unwrap()
}

async fn nothing_exists_before_an_admin_approves(server: TestServer) {
    let people = server.people().await;
    let admin = server.as_(&people.admin.token);
    admin.post("/api/teams", &json!({ "name": "Data" })).await.expect(201);
    let body = json!({ "name": "Nightly Loads", "role": "Manager", "teams": ["Data", "Public", "data"], "purpose": " nightly loads ", "owner": "Data team" });
    let before = users(&server, &people.admin).await;
    let made = server.as_(&people.manager.token).post(PATH, &body).await;
    let asked = made.expect(201).json();
    let id = asked["id"].as_i64().unwrap();
    assert_eq!(made.header("location"), Some(&*format!("{PATH}/{id}")));
    let manager =
        json!({ "id": people.manager.id, "user_id": people.manager.user_id, "name": "Max Manager" });
    assert_eq!(
        asked,
        json!({ "id": id, "state": "open", "created_at": server.clock.now().to_string(), "created_by": manager,
            "name": "Nightly Loads", "role": "Manager", "teams": ["Data"], "purpose": "nightly loads", "owner": "Data team",
            "decided_at": null, "decided_by": null, "comment": null, "user": null })
    );
    assert_eq!(users(&server, &people.admin).await, before);
    // With less than was asked for.
    server.pass_days(1);
    let admin = server.as_(&people.admin.token);
    let approval = json!({ "comment": "Reading will do.", "role": "Member", "teams": [] });
    let approved = admin.post(&format!("{PATH}/{id}/approve"), &approval).await.expect(200).json();
    assert_eq!((&approved["state"], &approved["comment"]), (&json!("approved"), &json!("Reading will do.")));
    assert_eq!(
        (&approved["decided_by"]["id"], &approved["decided_at"]),
        (&json!(people.admin.id), &json!(server.clock.now().to_string()))
    );
    assert_eq!(approved["user"]["user_id"], "nightly_loads@service");
    let user = admin.get(&format!("/api/users/{}", approved["user"]["id"])).await.expect(200).json();
    for (field, value) in [
        ("role", json!("Member")),
        ("teams", json!(["Public"])),
        ("purpose", json!("nightly loads")),
        ("owner", json!("Data team")),
        ("created_by", json!(people.admin.id)),
    ] {
        assert_eq!(user[field], value, "{field}");
    }
    assert_eq!(
        server.as_(&people.manager.token).get(&format!("{PATH}/{id}")).await.expect(200).json(),
        approved
    );
    assert_eq!(
        trail(&server, &people.admin, 3).await,
        [("request.approved", "request"), ("user.created", "user"), ("request.made", "request")]
            .map(|(action, kind)| (action.to_owned(), kind.to_owned()))
    );
    let record = admin.get("/api/activity?size=1").await.json()["items"][0].clone();
    assert_eq!(
        (&record["entity"]["name"], &record["changes"]),
        (
            &json!("Nightly Loads"),
            &json!({ "state": ["open", "approved"], "comment": [null, "Reading will do."],
                "user_id": [null, "nightly_loads@service"], "role": ["Manager", "Member"] })
        )
    );
}

async fn whoever_asked_and_admins_see_a_request(server: TestServer) {
    let people = server.people().await;
    let (own, other) =
        (ask(&server, &people.member, "Own").await, ask(&server, &people.manager, "Other").await);
    let seen = async |caller: &Account, query: &str| {
        let page = server.as_(&caller.token).get(&format!("{PATH}{query}")).await.expect(200).json();
        let ids: Vec<_> =
            page["items"].as_array().unwrap().iter().map(|item| item["id"].as_i64().unwrap()).collect();
        assert_eq!(page["total"], ids.len());
        ids
    };
    assert_eq!(seen(&people.member, "").await, [own]);
    assert_eq!(seen(&people.manager, "").await, [other]);
    assert_eq!(seen(&people.admin, "").await, [other, own]);
    server.as_(&people.member.token).delete(&format!("{PATH}/{own}")).await.expect(204);
    assert_eq!(seen(&people.admin, "?state=open").await, [other]);
    assert_eq!(seen(&people.admin, "?state=withdrawn").await, [own]);
    let wrong = server.as_(&people.admin.token).get(&format!("{PATH}?state=lost")).await;
    assert_eq!(wrong.wrong_fields(), ["state"]);
    // The pages show the same.
    let member = server.browser(&people.member).await;
    let page = member.get("/settings/people/requests").await.expect(200).text();
    assert!(page.contains("own@service") && !page.contains("other@service"), "{page}");
    assert!(page.contains("Ask for a service user") && !page.contains("Max Manager"), "{page}");
    let rail = between(&page, r#"<nav class="rail""#, "</nav>");
    assert!(
        rail.contains(r#"href="/settings/people/requests""#) && !rail.contains("/settings/people/users"),
        "{rail}"
    );
    let admin = server.browser(&people.admin).await;
    let page = admin.get("/settings/people/requests").await.expect(200).text();
    assert!(
        page.contains("own@service") && page.contains("other@service") && page.contains("Max Manager"),
        "{page}"
    );
    assert!(
        page.contains(&format!("/requests/{other}/approve"))
            && !page.contains(&format!("/requests/{own}/approve")),
        "{page}"
    );
    assert!(page.contains(r#"Requests<span class="count">1</span>"#), "{page}");
    server
        .browser(&people.manager)
        .await
        .get(&format!("/settings/people/requests/{other}/approve"))
        .await
        .expect(403);
}

async fn a_request_is_decided_on_once(server: TestServer) {
    let people = server.people().await;
    let admin = server.as_(&people.admin.token);
    let id = ask(&server, &people.member, "Once").await;
    approve(&admin, id).await.expect(200);
    let before = head(&server).await;
    approve(&admin, id).await.problem(409);
    admin.post(&format!("{PATH}/{id}/decline"), &json!({ "comment": "no" })).await.problem(409);
    server.as_(&people.member.token).delete(&format!("{PATH}/{id}")).await.problem(409);
    assert_eq!(head(&server).await, before);
    for (method, status) in [("approve", 404), ("decline", 404)] {
        let path = format!("{PATH}/4711/{method}");
        admin.post(&path, &json!({ "comment": "x" })).await.problem(status);
    }
}

async fn what_is_declined_or_withdrawn_makes_nothing(server: TestServer) {
    let people = server.people().await;
    let (admin, member) = (server.as_(&people.admin.token), server.as_(&people.member.token));
    let before = users(&server, &people.admin).await;
    let declined = ask(&server, &people.member, "Declined").await;
    for body in [json!({}), json!({ "comment": " " }), json!({ "comment": "x".repeat(2_001) })] {
        let answer = admin.post(&format!("{PATH}/{declined}/decline"), &body).await;
        assert_eq!(answer.wrong_fields(), ["comment"]);
    }
    admin
        .post(&format!("{PATH}/{declined}/decline"), &json!({ "comment": "There is one already." }))
        .await
        .expect(200);
    let told = member.get(&format!("{PATH}/{declined}")).await.expect(200).json();
    assert_eq!(
        (&told["state"], &told["comment"], &told["user"]),
        (&json!("declined"), &json!("There is one already."), &Value::Null)
    );
    let withdrawn = ask(&server, &people.member, "Withdrawn").await;
    member.delete(&format!("{PATH}/{withdrawn}")).await.expect(204);
    approve(&admin, withdrawn).await.problem(409);
    assert_eq!(users(&server, &people.admin).await, before);
    let actions: Vec<_> =
        trail(&server, &people.admin, 4).await.into_iter().map(|(action, _)| action).collect();
    assert_eq!(actions, ["request.withdrawn", "request.made", "request.declined", "request.made"]);
    // Their page tells, with the words of whoever decided.
    let page = server.browser(&people.member).await.get("/settings/people/requests").await.expect(200).text();
    assert!(
        page.contains("Declined</span>")
            && page.contains("There is one already.")
            && page.contains("Ada Admin"),
        "{page}"
    );
}

async fn a_name_that_is_taken_leaves_the_request_open(server: TestServer) {
    let people = server.people().await;
    let admin = server.as_(&people.admin.token);
    let id = ask(&server, &people.member, "pipeline").await;
    let before = head(&server).await;
    approve(&admin, id).await.problem(409);
    // A team that is gone is said at its field.
    let other = json!({ "name": "Else", "role": "Member", "teams": ["Nowhere"], "purpose": "p" });
    let other =
        server.as_(&people.member.token).post(PATH, &other).await.expect(201).json()["id"].as_i64().unwrap();
    assert_eq!(approve(&admin, other).await.wrong_fields(), ["teams"]);
    assert_eq!(head(&server).await - before, 1);
    assert_eq!(admin.get(&format!("{PATH}/{id}")).await.json()["state"], "open");
    let browser = server.browser(&people.admin).await;
    let form = [("role", "Member"), ("comment", "")];
    let page = browser.post_form(&format!("/settings/people/requests/{id}/approve"), &form).await;
    assert!(page.expect(422).text().contains("There is a service user with this id already"), "{page}");
    admin.post(&format!("{PATH}/{other}/approve"), &json!({ "teams": [] })).await.expect(200);
}

async fn two_admins_at_once_decide_once(server: TestServer) {
    let people = server.people().await;
    let second = server.person("Second Admin", Role::Admin).await;
    for round in 0..5 {
        let id = ask(&server, &people.member, &format!("Race {round}")).await;
        let (one, other) = (server.as_(&people.admin.token), server.as_(&second.token));
        let decline = json!({ "comment": "no" });
        let path = format!("{PATH}/{id}/decline");
        let (approved, again, declined) =
            tokio::join!(approve(&one, id), approve(&other, id), other.post(&path, &decline));
        let mut statuses = [approved.status, again.status, declined.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409, 409]);
        let state = one.get(&format!("{PATH}/{id}")).await.json();
        assert_eq!(state["user"].is_null(), declined.status == 200, "{state}");
    }
}

async fn nobody_approves_what_they_asked_for(server: TestServer) {
    let people = server.people().await;
    let id = ask(&server, &people.manager, "Own").await;
    // Admins make them, so they don't ask; but somebody may become one.
    server.as_(&people.admin.token).post(PATH, &wish("Mine")).await.problem(403);
    let role = |role: &str| json!({ "role": role });
    let manager = format!("/api/users/{}", people.manager.id);
    server.as_(&people.admin.token).put(&manager, &role("Admin")).await.expect(200);
    approve(&server.as_(&people.manager.token), id).await.problem(403);
    // Unless there is nobody else.
    let admin = format!("/api/users/{}", people.admin.id);
    server.as_(&people.manager.token).put(&admin, &role("Member")).await.expect(200);
    approve(&server.as_(&people.manager.token), id).await.expect(200);
    // A demoted Admin decides on nothing.
    let other = ask(&server, &people.member, "Other").await;
    approve(&server.as_(&people.admin.token), other).await.problem(403);
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_told_at_once() {
    let server = TestServer::start().await;
    let people = server.people().await;
    let (member, manager) = (server.as_(&people.member.token), server.as_(&people.manager.token));
    for (field, value) in [
        ("name", json!(" ")),
        ("name", json!("!!!")),
        ("role", json!("Root")),
        ("purpose", json!("")),
        ("purpose", json!("x".repeat(2_001))),
        ("owner", json!("x".repeat(256))),
        ("teams", json!(["\u{1}"])),
        ("teams", json!(vec!["x"; 101])),
        ("typo", json!(1)),
    ] {
        let mut body = wish("Fine");
        body[field] = value;
        assert_eq!(member.post(PATH, &body).await.wrong_fields(), [field]);
    }
    // Whether there is such a team is for those to know who see teams.
    let mut body = wish("Fine");
    body["teams"] = json!(["Nowhere"]);
    assert_eq!(manager.post(PATH, &body).await.wrong_fields(), ["teams"]);
    member.post(PATH, &body).await.expect(201);
    // What policy asks of every service user is asked for at once, too.
    let policy = json!({ "require_purpose_and_owner": true });
    server.as_(&people.admin.token).put("/api/policies", &policy).await.expect(200);
    let mut body = wish("Fine");
    body["owner"] = Value::Null;
    assert_eq!(member.post(PATH, &body).await.wrong_fields(), ["owner"]);
    for number in 1..20 {
        ask(&server, &people.member, &format!("n{number}")).await;
    }
    member.post(PATH, &wish("one more")).await.problem(409);
    manager.post(PATH, &wish("one more")).await.expect(201);
}

#[tokio::test]
async fn a_member_asks_and_an_admin_approves_in_the_browser() {
    let server = TestServer::start().await;
    let people = server.people().await;
    let (member, admin) = (server.browser(&people.member).await, server.browser(&people.admin).await);
    let ask = "/settings/people/requests/ask";
    let dialog = member.get(ask).await.expect(200).text();
    assert!(dialog.contains("Send request") && !dialog.contains(r#"name="teams""#), "{dialog}");
    let page =
        member.post_form(ask, &[("name", ""), ("role", "Member"), ("purpose", ""), ("owner", "")]).await;
    assert_eq!(page.expect(422).wrong_controls(), ["name", "purpose"]);
    let form = [("name", "Night <b>ly"), ("role", "Admin"), ("purpose", "<i>loads</i>"), ("owner", "")];
    let sent = member.post_form(ask, &form).await;
    assert_eq!(sent.expect(303).header("location"), Some("/settings/people/requests"));
    let page = admin.get("/settings/people/requests").await.expect(200).text();
    assert!(
        page.contains("&#60;i&#62;loads") && !page.contains("<i>loads") && !page.contains("<b>ly"),
        "{page}"
    );
    let id = between(&page, "/settings/people/requests/", "/approve").to_owned();
    let dialog = admin.get(&format!("/settings/people/requests/{id}/approve")).await.expect(200).text();
    assert!(dialog.contains("Mia Member") && dialog.contains(r#"value="Admin" checked"#), "{dialog}");
    let page = admin.post_form(&format!("/settings/people/requests/{id}/decline"), &[("comment", "")]).await;
    assert_eq!(page.expect(422).wrong_controls(), ["comment"]);
    let form = [("role", "Member"), ("comment", "Fine.")];
    let done = admin.post_form(&format!("/settings/people/requests/{id}/approve"), &form).await;
    let user = done.expect(303).header("location").unwrap().to_owned();
    assert!(admin.get(&user).await.expect(200).text().contains("night_bly@service"));
    let page = member.get("/settings/people/requests").await.expect(200).text();
    assert!(
        page.contains("Approved</span>") && page.contains("Fine.") && !page.contains("Withdraw"),
        "{page}"
    );
    // Who sees teams may choose some.
    let dialog = server.browser(&people.manager).await.get(ask).await.expect(200).text();
    assert!(dialog.contains("Everybody is in Public"), "{dialog}");
    admin.get(ask).await.expect(403);
}
