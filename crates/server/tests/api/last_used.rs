//! When and from where a token was last accepted.

use serde_json::{Value, json};
use tokenhouse_core::people::Role;
use tokenhouse_testkit::server::TestServer;

use super::token_pages::names;
use super::{forward_auth, generate, token};

on_both_databases!(every_kind_of_check_counts, a_refusal_is_no_use, what_was_gathered_is_written_at_the_stop,);

async fn every_kind_of_check_counts(server: TestServer) {
    let ada = server.person("Ada", Role::Admin).await;
    let made = generate(&server, &ada.token, "used", None).await;
    let (id, secret) = (made.id(), made.bearer());
    assert_eq!(token(&server, &ada.token, id).await["last_used"], Value::Null);
    for (check, address) in
        [("own", "198.51.100.1"), ("forward", "198.51.100.2"), ("introspect", "198.51.100.3")]
    {
        server.pass_days(1);
        let client = server.as_(&secret).with("x-forwarded-for", address);
        let answer = match check {
            "own" => client.get("/api/users/me").await,
            "forward" => {
                let asked = client.with("x-forwarded-method", "GET").with("x-forwarded-uri", "/a");
                asked.get("/forward-auth").await
            }
            _ => {
                let asked = client.as_(&ada.token);
                asked.post_form("/oauth/introspect", &[("token", secret.expose())]).await
            }
        };
        answer.expect(200);
        let seen = token(&server, &ada.token, id).await;
        assert_eq!(seen["last_used"], json!(server.clock.now().to_string()), "{check}");
        assert_eq!(seen["last_used_ip"], address, "{check}");
        let listed = server.as_(&ada.token).get("/api/user-tokens").await.json();
        assert_eq!(listed[0]["last_used"], seen["last_used"], "{check}");
    }
}

async fn a_refusal_is_no_use(server: TestServer) {
    let people = server.people().await;
    let made = generate(&server, &people.member.token, "revoked", None).await;
    super::set_revoked(&server, &people.member.token, made.id(), true).await;
    forward_auth(&server, &made.bearer(), "GET").await.expect(401);
    server.as_(&made.bearer()).get("/api/users/me").await.problem(401);
    assert_eq!(token(&server, &people.member.token, made.id()).await["last_used"], Value::Null);
}

async fn what_was_gathered_is_written_at_the_stop(server: TestServer) {
    let ada = server.person("Ada", Role::Member).await;
    let mut made = Vec::new();
    for number in 0..5 {
        made.push(generate(&server, &ada.token, &number.to_string(), None).await);
    }
    let mut used = Vec::new();
    for token in made.iter().rev() {
        server.clock.turn_to(server.clock.now().plus_seconds(1));
        forward_auth(&server, &token.bearer(), "GET").await.expect(200);
        used.push((token.id(), json!(server.clock.now().to_string())));
    }
    let server = server.restart().await;
    assert_eq!(server.app.feed.index().unsaved(), 0);
    server.pass_days(1);
    for (id, used) in used {
        assert_eq!(token(&server, &ada.token, id).await["last_used"], used);
    }
    // Also where tokens are sorted by it.
    let list = server.browser(&ada).await.get("/settings/tokens?sort=last_used").await;
    assert_eq!(names(&list)[..5], ["0", "1", "2", "3", "4"]);
}
