//! Bodies in another form, wrong queries and numbers, and what no database may be asked.

use http::Method;
use serde_json::json;
use tokenhouse_testkit::server::TestServer;

use super::bad_input::{bodies, setting};
use super::head;

on_both_databases!(
    a_body_in_another_form_is_refused,
    wrong_queries_are_told,
    ids_that_name_nothing_are_not_found,
    nul_bytes_reach_no_database,
);

async fn a_body_in_another_form_is_refused(server: TestServer) {
    let (people, admin) = setting(&server).await;
    let before = head(&server).await;
    for body in bodies(&people) {
        let text = body.valid.to_string();
        for content_type in [
            None,
            Some("text/plain"),
            Some("application/x-www-form-urlencoded"),
            Some("application/jsonp"),
            Some(""),
        ] {
            let answer = admin.send(body.method.clone(), &body.path, content_type, text.clone()).await;
            answer.problem(415);
        }
        // White space around JSON is JSON, but no more than a mebibyte.
        let padded = |length: usize| format!("{text}{}", " ".repeat(length - text.len()));
        let too_large = admin
            .send(body.method.clone(), &body.path, Some("application/json"), padded(1024 * 1024 + 1))
            .await;
        too_large.problem(413);
    }
    assert_eq!(head(&server).await, before);
    let text = json!({ "name": "just fits" }).to_string();
    let padded = format!("{text}{}", " ".repeat(1024 * 1024 - text.len()));
    let fits = admin.send(Method::POST, "/api/teams", Some("Application/JSON; charset=utf-8"), padded).await;
    fits.expect(201);
    for path in ["/oauth/introspect", "/oauth/revoke"] {
        admin.send(Method::POST, path, Some("application/json"), r#"{"token":"x"}"#).await.problem(415);
        admin.post_form(path, &[]).await.problem(400);
        admin.post_form(path, &[("token", "")]).await.problem(400);
        admin.post_form(path, &[("token", "a"), ("token", "b")]).await.problem(400);
        admin.post_form(path, &[("token", &"x".repeat(1024 * 1024))]).await.problem(413);
    }
}

async fn wrong_queries_are_told(server: TestServer) {
    let (_, admin) = setting(&server).await;
    let page = [
        ("page=0", "page"),
        ("page=-1", "page"),
        ("page=1.0", "page"),
        ("page=x", "page"),
        ("page=", "page"),
        ("page=99999999999999999999", "page"),
        ("page=9223372036854775807", "page"),
        ("size=0", "size"),
        ("size=-1", "size"),
        ("size=101", "size"),
        ("size=x", "size"),
        ("page=1&page=2", "page"),
        ("page=%00", "page"),
    ];
    let users = [
        ("sort=id", "sort"),
        ("sort=", "sort"),
        ("sort=Name", "sort"),
        ("sort_dir=up", "sort_dir"),
        ("role=admin", "role"),
        ("role=", "role"),
        ("type=human", "type"),
        ("include_deleted=1", "include_deleted"),
        ("include_deleted=yes", "include_deleted"),
        ("sort=x%20field%20%60y%60", "sort"),
    ];
    let window = [
        ("date=yesterday", "date"),
        ("date=2026-02-30", "date"),
        ("date=2026-01-15T10:00:00Z", "date"),
        ("date=", "date"),
        ("date=-9999-01-05", "date"),
        ("timeframe=day", "timeframe"),
        ("timeframe=", "timeframe"),
        ("user=ada", "user"),
        ("action=token.stolen", "action"),
        ("action=", "action"),
        ("entity=house", "entity"),
        ("hide_internal=2", "hide_internal"),
    ];
    let tokens = [("user_id=x", "user_id"), ("user_id=", "user_id"), ("user_id=1&user_id=2", "user_id")];
    for (paths, queries) in [
        (&["/api/users", "/api/teams", "/api/activity"][..], &page[..]),
        (&["/api/users"], &users),
        (&["/api/activity", "/api/activity/insights", "/api/activity.csv"], &window),
        (&["/api/user-tokens/service"], &tokens),
    ] {
        for path in paths {
            for (query, field) in queries {
                let answer = admin.get(&format!("{path}?{query}")).await;
                assert_eq!(answer.wrong_fields(), [*field], "{answer}");
            }
        }
    }
}

async fn ids_that_name_nothing_are_not_found(server: TestServer) {
    let (_, admin) = setting(&server).await;
    for id in [
        "0",
        "-1",
        "999999",
        "9223372036854775807",
        "9223372036854775808",
        "1.0",
        "x",
        "%00",
        "%31x",
        "1%2F",
        "me2",
    ] {
        for path in ["/api/user-tokens", "/api/users", "/api/teams"] {
            let path = format!("{path}/{id}");
            admin.get(&path).await.problem(404);
            admin.delete(&path).await.problem(404);
        }
        admin.put(&format!("/api/user-tokens/{id}"), &json!({ "revoke": true })).await.problem(404);
        admin.put(&format!("/api/users/{id}"), &json!({})).await.problem(404);
        admin.put(&format!("/api/teams/{id}"), &json!({})).await.problem(404);
        admin.post(&format!("/api/user-tokens/{id}/rotate"), &json!({})).await.problem(404);
        admin.post(&format!("/api/users/{id}/reactivate"), &json!({})).await.problem(404);
        admin.post(&format!("/api/users/{id}/revoke-tokens"), &json!({})).await.problem(404);
    }
}

/// PostgreSQL takes none, so what holds one must be answered before it gets there.
async fn nul_bytes_reach_no_database(server: TestServer) {
    let (_, admin) = setting(&server).await;
    for path in ["/api/users?name=a%00b", "/api/users?team=a%00b"] {
        let answer = admin.get(path).await;
        assert!(answer.status < 500, "{answer}");
        if answer.status == 200 {
            assert_eq!(answer.json()["total"], 0, "{answer}");
        }
    }
    let body = json!({ "name": "x", "role": "Member", "teams": ["a\u{0}b"] });
    assert_eq!(admin.post("/api/users", &body).await.wrong_fields(), ["teams"]);
    let like = admin.get("/api/users?name=%25").await.expect(200).json();
    assert_eq!(like["total"], 0);
}

/// A secret in the wrong place is not repeated.
#[tokio::test]
async fn what_was_sent_is_not_repeated() {
    let server = TestServer::start().await;
    let (_, admin) = setting(&server).await;
    let secret = "a-secret-in-the-wrong-place";
    for (path, body) in [
        ("/api/user-tokens", json!({ "name": "x", "expires_in_days": secret })),
        ("/api/user-tokens", json!({ "name": "x", "scim_endpoints_only": secret })),
        ("/api/users", json!({ "name": "x", "role": secret })),
        ("/api/users", json!({ "name": "x", "role": "Member", "user_type": secret })),
        ("/api/users", json!({ "name": "x", "role": "Member", "user_type": "Human", "email": secret })),
        ("/api/users", json!({ "name": "x", "role": "Member", "teams": [secret] })),
        ("/api/teams", json!({ "name": "x", "members": [secret] })),
    ] {
        let answer = admin.post(path, &body).await;
        answer.problem(422);
        assert!(!answer.text().contains(secret), "{answer}");
    }
    for query in ["sort", "role", "type", "page", "include_deleted"] {
        let answer = admin.get(&format!("/api/users?{query}={secret}")).await;
        assert!(!answer.text().contains(secret), "{answer}");
    }
}
