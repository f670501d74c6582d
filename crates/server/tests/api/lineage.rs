//! Rules 10 and 11: what was made with a token, and what succeeds it.

use http::Method;
use serde_json::{Value, json};
use tokenhouse_core::people::Role;
use tokenhouse_testkit::server::TestServer;

use super::{generate, head, is_accepted, set_revoked, token};

on_both_databases!(
    rule_10_a_revoke_takes_all_descendants_along,
    rule_10_descendants_of_a_token_that_is_revoked_already,
    rule_10_a_demoted_owner_can_still_stop_what_a_token_made,
    rule_11_a_successor_has_owner_kind_and_lifetime_of_its_predecessor,
    rule_11_a_successors_name_is_free_and_fits,
    rule_11_what_is_dead_or_succeeded_is_not_rotated,
);

async fn rule_10_a_revoke_takes_all_descendants_along(server: TestServer) {
    let people = server.people().await;
    let safe = &people.admin.token;
    // stolen -> admin's own -> service Admin's -> another service user's -> (deleted) -> the last.
    let stolen = generate(&server, safe, "stolen", None).await;
    let own = generate(&server, &stolen.bearer(), "own", None).await;
    let bot = server.service_user("Bot", Role::Admin).await;
    let service_token = |user: i64, name: &'static str| json!({ "name": name, "user_id": user });
    let bots = server.as_(&own.bearer()).post("/api/user-tokens", &service_token(bot.id, "bots")).await;
    let of_bot = server.as_(&bots.expect(201).bearer());
    let pipelines = of_bot.post("/api/user-tokens", &service_token(people.service.id, "pipelines")).await;
    let gone = of_bot.post("/api/user-tokens", &service_token(bot.id, "gone")).await;
    let last = server.as_(&gone.expect(201).bearer());
    let last = last.post("/api/user-tokens", &service_token(people.service.id, "last")).await;
    for (child, parent) in [(&own, &stolen), (&bots, &own), (&pipelines, &bots), (&last, &gone)] {
        assert_eq!(child.expect(201).json()["parent_id"], parent.id());
    }
    set_revoked(&server, safe, gone.id(), true).await;
    server.as_(safe).delete(&format!("/api/user-tokens/{}", gone.id())).await.expect(204);
    // A link that is revoked already breaks nothing either.
    set_revoked(&server, safe, own.id(), true).await;
    for made in [&bots, &pipelines, &last] {
        assert!(is_accepted(&server, &made.bearer()).await, "{made}");
    }

    let change = json!({ "revoke": true, "descendants": true });
    let before = head(&server).await;
    server.as_(safe).put(&format!("/api/user-tokens/{}", stolen.id()), &change).await.expect(200);
    for made in [&stolen, &own, &bots, &pipelines, &last] {
        assert!(!is_accepted(&server, &made.bearer()).await, "{made}");
    }
    // One record for each that was not revoked yet.
    assert_eq!(head(&server).await - before, 4);
    for unharmed in [safe, &bot.token, &people.service.token] {
        assert!(is_accepted(&server, unharmed).await);
    }
    // Restoring brings back one only.
    set_revoked(&server, safe, stolen.id(), false).await;
    assert!(is_accepted(&server, &stolen.bearer()).await);
    for made in [&own, &bots, &pipelines, &last] {
        assert!(!is_accepted(&server, &made.bearer()).await, "{made}");
    }
    let change = json!({ "revoke": false, "descendants": true });
    let refused = server.as_(safe).put(&format!("/api/user-tokens/{}", stolen.id()), &change).await;
    assert_eq!(refused.wrong_fields(), ["descendants"]);
}

async fn rule_10_descendants_of_a_token_that_is_revoked_already(server: TestServer) {
    let ada = server.person("Ada", Role::Member).await;
    let parent = generate(&server, &ada.token, "parent", None).await;
    let child = generate(&server, &parent.bearer(), "child", None).await;
    set_revoked(&server, &ada.token, parent.id(), true).await;
    assert!(is_accepted(&server, &child.bearer()).await);
    let change = json!({ "revoke": true, "descendants": true });
    server.as_(&ada.token).put(&format!("/api/user-tokens/{}", parent.id()), &change).await.expect(200);
    assert!(!is_accepted(&server, &child.bearer()).await);
}

async fn rule_10_a_demoted_owner_can_still_stop_what_a_token_made(server: TestServer) {
    let people = server.people().await;
    let eve = server.person("Eve", Role::Admin).await;
    let stolen = generate(&server, &eve.token, "stolen", None).await;
    let wanted = json!({ "name": "made with it", "user_id": people.service.id });
    let made = server.as_(&stolen.bearer()).post("/api/user-tokens", &wanted).await;
    made.expect(201);
    let demotion = json!({ "role": "Member" });
    server.as_(&people.admin.token).put(&format!("/api/users/{}", eve.id), &demotion).await.expect(200);
    let change = json!({ "revoke": true, "descendants": true });
    server.as_(&eve.token).put(&format!("/api/user-tokens/{}", stolen.id()), &change).await.expect(200);
    assert!(!is_accepted(&server, &made.bearer()).await);
}

async fn rule_11_a_successor_has_owner_kind_and_lifetime_of_its_predecessor(server: TestServer) {
    let people = server.people().await;
    let wanted = json!({ "name": "ci", "user_id": people.service.id, "expires_in_days": 90 });
    let admin = server.as_(&people.admin.token);
    let old = admin.post("/api/user-tokens", &wanted).await;
    let path = format!("/api/user-tokens/{}/rotate", old.expect(201).id());
    server.pass_days(80);
    // Another Admin, with no body at all.
    let other = server.person("Other Admin", Role::Admin).await;
    let new = server.as_(&other.token).send(Method::POST, &path, None, "").await;
    new.expect(201);
    assert_eq!(new.header("cache-control"), Some("no-store"));
    assert_eq!(new.header("location"), Some(&*format!("/api/user-tokens/{}", new.id())));
    let shown = new.json();
    assert_eq!(shown["name"], "ci (rotated 2026-04-05)");
    assert_eq!(shown["expiration"], "2026-07-04T10:30:00Z");
    assert_eq!(shown["user"], old.json()["user"]);
    assert_eq!(shown["kind"], "service");
    assert_eq!(shown["rotates"], old.id());
    assert_eq!(shown["parent_id"], other.token_id);
    assert_eq!(shown["created_by"], other.id);
    let seen = token(&server, &people.admin.token, old.id()).await;
    assert_eq!(seen["rotated_by"], new.id());
    // Both work side by side, and the old one shows that it is still used.
    assert!(is_accepted(&server, &new.bearer()).await);
    assert!(is_accepted(&server, &old.bearer()).await);
    let seen = token(&server, &people.admin.token, old.id()).await;
    assert_eq!(seen["last_used"], "2026-04-05T10:30:00.25Z");
    // Without expiry stays without; what is asked for wins.
    let never = admin.post(&format!("/api/user-tokens/{}/rotate", people.admin.token_id), &json!({})).await;
    assert_eq!(never.expect(201).json()["expiration"], Value::Null);
    let asked = json!({ "name": "chosen", "expires_in_days": 7 });
    let chosen = admin.post(&format!("/api/user-tokens/{}/rotate", never.id()), &asked).await;
    let chosen = chosen.expect(201).json();
    assert_eq!((&chosen["name"], &chosen["expiration"]), (&json!("chosen"), &json!("2026-04-12T10:30:00Z")));
    // A SCIM token stays one.
    let (scim, _) = server.scim_token(&people.admin).await;
    let successor = admin.post(&format!("/api/user-tokens/{scim}/rotate"), &json!({})).await;
    assert_eq!(successor.expect(201).json()["scim_endpoints_only"], true);
}

async fn rule_11_a_successors_name_is_free_and_fits(server: TestServer) {
    let ada = server.person("Ada", Role::Member).await;
    let client = server.as_(&ada.token);
    for (old_name, kept) in [("ci".to_owned(), "ci"), ("é".repeat(255), &*"é".repeat(230))] {
        let old = generate(&server, &ada.token, &old_name, None).await.id();
        for number in 1..=3 {
            let new = client.post(&format!("/api/user-tokens/{old}/rotate"), &json!({})).await;
            let name = new.expect(201).json()["name"].as_str().unwrap().to_owned();
            assert!(name.starts_with(kept), "{name}");
            let counted = if number == 1 { String::new() } else { format!(" {number}") };
            assert!(name.ends_with(&format!(" (rotated 2026-01-15){counted}")), "{name}");
            assert_eq!(name.chars().count(), (old_name.chars().count() + 21 + counted.len()).min(255));
            set_revoked(&server, &ada.token, new.id(), true).await;
        }
        let taken = json!({ "name": "first" });
        client.post(&format!("/api/user-tokens/{old}/rotate"), &taken).await.problem(409);
    }
}

async fn rule_11_what_is_dead_or_succeeded_is_not_rotated(server: TestServer) {
    let people = server.people().await;
    let client = server.as_(&people.member.token);
    let rotate = |id: i64| {
        let client = client.clone();
        async move { client.post(&format!("/api/user-tokens/{id}/rotate"), &json!({})).await }
    };
    let old = generate(&server, &people.member.token, "old", Some(2)).await.id();
    let new = rotate(old).await.expect(201).id();
    rotate(old).await.problem(409);
    // The successor itself can be, and the old one again when its successor is gone.
    rotate(new).await.expect(201);
    set_revoked(&server, &people.member.token, new, true).await;
    rotate(new).await.problem(409);
    let short = json!({ "expires_in_days": 1 });
    client.post(&format!("/api/user-tokens/{old}/rotate"), &short).await.expect(201);
    server.pass_days(1);
    // That successor has expired at this instant, the old one hasn't.
    rotate(old).await.expect(201);
    server.pass_days(1);
    rotate(old).await.problem(409);
    // Nor what belongs to somebody who is deactivated.
    let admin = server.as_(&people.admin.token);
    admin.delete(&format!("/api/users/{}", people.service.id)).await.expect(204);
    admin
        .post(&format!("/api/user-tokens/{}/rotate", people.service.token_id), &json!({}))
        .await
        .problem(409);
}
