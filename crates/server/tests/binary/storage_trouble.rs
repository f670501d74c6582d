//! A store that can't be written: changes are refused and can be tried again, checks go on.

use serde_json::json;
use sqlx::{Connection as _, Executor as _, SqliteConnection};

use crate::client::{Answer, Client, install, limit_files, person, run};

fn assert_unavailable(answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", String::from_utf8_lossy(&answer.body));
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert!(answer.headers["retry-after"].to_str().unwrap().parse::<u32>().unwrap() > 0);
    assert_eq!(answer.json()["request_id"], answer.headers["x-request-id"].to_str().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_changes_and_nothing_else() {
    let installation = install();
    let root = person(&installation, "root@example.com", "Admin");
    // Writing beyond the limit is an error (EFBIG) instead of a signal.
    let ignoring = ["sh", "-c", r#"trap "" XFSZ; exec "$0" "$@""#];
    let server = installation.start(installation.command_through(&ignoring, &["serve"])).ready();
    let client = Client::new(&server, &root);
    let (before, secret) = client.mint("before").await;

    // Not even what a file has room for already can be written.
    limit_files(&server, "0");
    for name in ["one", "two", "three"] {
        assert_unavailable(&client.post("/api/user-tokens", &json!({ "name": name })).await);
    }
    assert_unavailable(&client.revoke(before).await);
    // What was not acknowledged has not happened, and checks and reading go on.
    client.with_token(&secret).check("GET", "/").await.expect(200);
    assert_eq!(client.get(&format!("/api/user-tokens/{before}")).await.expect(200).json()["active"], true);
    assert_eq!(client.get("/api/user-tokens").await.json().as_array().unwrap().len(), 2);

    limit_files(&server, "unlimited");
    let (_, after) = client.mint("one").await;
    client.revoke(before).await.expect(200);
    client.with_token(&secret).check("GET", "/").await.expect(401);
    server.kill();
    run(&installation, &["audit", "verify"]);
    let server = installation.serve();
    Client::new(&server, &after).check("GET", "/").await.expect(200);
    Client::new(&server, &secret).check("GET", "/").await.expect(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_database_stops_changes_and_nothing_else() {
    let installation = install();
    let root = person(&installation, "root@example.com", "Admin");
    let server = installation.serve();
    let client = Client::new(&server, &root);
    let url = format!("sqlite://{}", installation.database().display());
    let mut other = SqliteConnection::connect(&url).await.unwrap();
    other.execute("BEGIN EXCLUSIVE").await.unwrap();
    assert_unavailable(&client.post("/api/user-tokens", &json!({ "name": "x" })).await);
    client.check("GET", "/").await.expect(200);
    other.execute("ROLLBACK").await.unwrap();
    client.mint("x").await;
    other.close().await.unwrap();
}
