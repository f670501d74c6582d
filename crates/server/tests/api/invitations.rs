//! One-time links: the setup of the first Admin, and invitations.

use serde_json::json;
use tokenhouse::auth::guard::Call;
use tokenhouse::service::{passwords, users};
use tokenhouse_core::id::UserId;
use tokenhouse_core::people::Role;
use tokenhouse_testkit::server::{PASSWORD, TestServer};

use super::head;
use super::sign_in::{actions_since, invite, is_signed_in, log_in, path_of};

on_both_databases!(the_first_admin_is_made_once, an_invitation_is_used_once,);

async fn the_first_admin_is_made_once(server: TestServer) {
    let client = server.client().on_our_page();
    let dead = passwords::offer_setup(&server.app).await.unwrap().unwrap();
    let link = passwords::offer_setup(&server.app).await.unwrap().unwrap();
    let (dead, link) = (path_of(&dead), path_of(&link));
    let good = [("name", "Ada"), ("email", "ada@example.com"), ("password", PASSWORD)];
    for path in [dead, "/setup/guessed", "/setup/%ff", "/setup/%00"] {
        client.get(path).await.expect(404);
        client.post_form(path, &good).await.expect(404);
    }
    client.get(link).await.expect(200);
    let before = head(&server).await;
    let wrong = [("name", " "), ("email", "nobody"), ("password", "too short")];
    let again = client.post_form(link, &wrong).await;
    assert_eq!(again.expect(422).wrong_controls(), ["name", "email", "password"]);
    assert!(again.text().contains("value=\"nobody\"") && !again.text().contains("too short"), "{again}");
    assert_eq!(head(&server).await, before);
    let browser = client.in_session(client.post_form(link, &good).await.expect(303));
    assert!(is_signed_in(&browser).await);
    let expected = ["user.created", "setup.completed", "user.password_set", "user.signed_in"];
    assert_eq!(actions_since(&server, before).await, expected);
    // Gone for good, also for whoever has a link that was never used.
    client.get(link).await.expect(404);
    client.post_form(link, &good).await.expect(404);
    assert_eq!(passwords::offer_setup(&server.app).await.unwrap(), None);
    log_in(&server, "ada@example.com", PASSWORD).await.expect(303);
    let token = server.person("Other", Role::Admin).await.token;
    let ada = server.as_(&token).get("/api/users?name=Ada").await.json()["items"][0].clone();
    assert_eq!((&ada["role"], &ada["user_type"]), (&json!("Admin"), &json!("Human")));
    assert_eq!(ada["last_login"], "2026-01-15T10:30:00.25Z");
}

#[tokio::test]
async fn an_admin_who_is_made_elsewhere_closes_the_setup() {
    let server = TestServer::start().await;
    let link = passwords::offer_setup(&server.app).await.unwrap().unwrap();
    server.person("Max", Role::Manager).await;
    server.service_user("Robot", Role::Admin).await;
    server.client().get(path_of(&link)).await.expect(200);
    server.person("Ada", Role::Admin).await;
    server.client().get(path_of(&link)).await.expect(404);
    let fields = [("name", "Eve"), ("email", "eve@example.com"), ("password", PASSWORD)];
    server.client().on_our_page().post_form(path_of(&link), &fields).await.expect(404);
    assert_eq!(passwords::offer_setup(&server.app).await.unwrap(), None);
}

async fn an_invitation_is_used_once(server: TestServer) {
    let client = server.client().on_our_page();
    let mia = server.person("Mia", Role::Member).await;
    let (dead, link) = (invite(&server, &mia).await, invite(&server, &mia).await);
    let chosen = [("password", PASSWORD)];
    for path in [&dead, "/invite/guessed"] {
        client.get(path).await.expect(404);
        client.post_form(path, &chosen).await.expect(404);
    }
    client.get(&link).await.expect(200);
    for short in ["", "elevenchars"] {
        let again = client.post_form(&link, &[("password", short)]).await;
        assert_eq!(again.expect(422).wrong_controls(), ["password"]);
    }
    let before = head(&server).await;
    let browser = client.in_session(client.post_form(&link, &chosen).await.expect(303));
    assert!(is_signed_in(&browser).await);
    assert_eq!(actions_since(&server, before).await, ["user.password_set", "user.signed_in"]);
    client.get(&link).await.expect(404);
    client.post_form(&link, &chosen).await.expect(404);
    // Invited again, since the password was stolen: the thief is out as soon as there is a new one.
    let again = invite(&server, &mia).await;
    assert!(is_signed_in(&browser).await);
    client.post_form(&again, &[("password", "another good password")]).await.expect(303);
    assert!(!is_signed_in(&browser).await);
    log_in(&server, "mia@example.com", PASSWORD).await.expect(422);
    log_in(&server, "mia@example.com", "another good password").await.expect(303);
    // What was sent for a lost password is of no use once there is a new one, or nobody to have one.
    let lost = invite(&server, &mia).await;
    let browser =
        server.client().in_session(&log_in(&server, "mia@example.com", "another good password").await);
    let fields = [("present_password", "another good password"), ("password", PASSWORD)];
    browser.post_form("/settings/account/password", &fields).await.expect(303);
    client.post_form(&lost, &chosen).await.expect(404);
    let ada = server.person("Ada", Role::Admin).await;
    let (lost, path) = (invite(&server, &mia).await, format!("/api/users/{}", mia.id));
    server.as_(&ada.token).delete(&path).await.expect(204);
    server.as_(&ada.token).post(&format!("{path}/reactivate"), &json!({})).await.expect(200);
    client.post_form(&lost, &chosen).await.expect(404);
    // Over after seven days.
    let late = invite(&server, &mia).await;
    server.pass_days(7);
    client.get(&late).await.expect(404);
    client.post_form(&late, &chosen).await.expect(404);
}

#[tokio::test]
async fn only_an_active_person_is_invited_and_only_by_an_admin() {
    let server = TestServer::start().await;
    let people = server.people().await;
    let client = server.client().on_our_page();
    let open = invite(&server, &people.member).await;
    server.as_(&people.admin.token).delete(&format!("/api/users/{}", people.member.id)).await.expect(204);
    client.get(&open).await.expect(404);
    client.post_form(&open, &[("password", PASSWORD)]).await.expect(404);
    let before = head(&server).await;
    let line = Call::command_line();
    let manager = Call {
        caller: tokenhouse_core::policy::Caller { role: Role::Manager, ..line.caller },
        ..line.clone()
    };
    for (call, id, status) in [
        (&line, people.member.id, 409),
        (&line, people.service.id, 409),
        (&line, 999, 404),
        (&manager, 1, 403),
    ] {
        let refused = users::invite_again(&server.app, call, UserId(id)).await.unwrap_err();
        assert_eq!(refused.status(), status, "{refused}");
    }
    assert_eq!(head(&server).await, before);
}
