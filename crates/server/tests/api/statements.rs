//! Checking tokens does no work in the database, and a directory little.

use std::cell::Cell;
use std::sync::Once;

use axum::Router;
use http::StatusCode;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tokenhouse_core::people::Role;
use tokenhouse_testkit::server::{Bearer, Builder, Database, TestServer};
use tokio::net::TcpListener;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Context, SubscriberExt as _};

use super::fleet::until_stale;
use super::forward_auth;

thread_local! {
    /// How many statements sqlx has reported on this thread.
    static STATEMENTS: Cell<usize> = const { Cell::new(0) };
}

fn statements() -> usize {
    STATEMENTS.get()
}

struct Counter;

impl<S: tracing::Subscriber> Layer<S> for Counter {
    fn on_event(&self, _: &tracing::Event<'_>, _: Context<'_, S>) {
        STATEMENTS.set(STATEMENTS.get() + 1);
    }
}

/// Counts from now on. For the whole process: a subscriber of one thread misses what other threads
/// have come across before.
fn count_statements() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        let counter = Counter.with_filter(filter_fn(|metadata| metadata.target() == "sqlx::query"));
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(counter)).unwrap();
    });
}

/// Every way of checking, good tokens and bad ones. Answers how many checks there were.
async fn check_all(server: &TestServer, token: &Bearer) -> usize {
    let garbage = Bearer::new("garbage");
    let mut checks = 0;
    for (token, statuses) in [(token, [200, 299, 200]), (&garbage, [401, 401, 401])] {
        for _ in 0..20 {
            let asked = super::forward_auth(server, token, "GET").await;
            asked.expect(statuses[0]);
            server.as_(token).get("/orders").await.expect(statuses[1]);
            for presented in [token, &garbage] {
                let form = [("token", presented.expose())];
                server.as_(token).post_form("/oauth/introspect", &form).await.expect(statuses[2]);
                checks += 1;
            }
            checks += 2;
        }
    }
    checks
}

async fn in_front_of_an_upstream(database: Database) -> TestServer {
    with_upstream(TestServer::builder().on(database)).await
}

async fn with_upstream(builder: Builder) -> TestServer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let router = Router::new().fallback(|| async { StatusCode::from_u16(299).unwrap() });
    tokio::spawn(async move { axum::serve(listener, router).await });
    builder.configured(|config| config.gateway.upstream = Some(uri)).start().await
}

/// On PostgreSQL, whose driver works on the thread of the test: the counter of this thread sees
/// no other test's statements.
#[tokio::test]
async fn no_statement_is_sent_for_a_check() {
    count_statements();
    let server = in_front_of_an_upstream(Database::Postgres).await;
    let server = server.without_background().await;
    let manager = server.person("Max", Role::Manager).await;
    let before = statements();
    server.as_(&manager.token).post("/api/user-tokens", &json!({ "name": "x" })).await.expect(201);
    assert!(statements() > before, "the counter counts");
    let before = statements();
    assert_eq!(check_all(&server, &manager.token).await, 160);
    assert_eq!(statements(), before);
}

/// Directories make very many people one after the other.
#[tokio::test]
async fn a_directory_makes_a_person_with_few_statements() {
    count_statements();
    let server = TestServer::builder().on(Database::Postgres).start().await.without_background().await;
    let admin = server.person("Max", Role::Admin).await;
    let person = json!({
        "userName": "ada@example.com",
        "name": { "givenName": "Ada", "familyName": "Lovelace" },
        "emails": [{ "value": "ada@example.com", "type": "work", "primary": true }],
    });
    let before = statements();
    server.as_(&admin.token).post("/scim/v2/Users", &person).await.expect(201);
    let sent = statements() - before;
    assert!((5..14).contains(&sent), "{sent} statements");
}

/// Begin and lock, head, token, record with the new head, commit; the index and the answer have what was written, and
/// the index knows the caller.
#[tokio::test]
async fn a_token_is_minted_with_few_statements() {
    count_statements();
    let server = TestServer::builder().on(Database::Postgres).start().await.without_background().await;
    let max = server.person("Max", Role::Member).await;
    let before = statements();
    let made = server.as_(&max.token).post("/api/user-tokens", &json!({ "name": "x" })).await;
    let sent = statements() - before;
    assert!((5..7).contains(&sent), "{sent} statements");
    let bearer = Bearer::new(made.expect(201).json()["bearer_token"].as_str().unwrap());
    super::forward_auth(&server, &bearer, "GET").await.expect(200);
}

/// With no database at all, checks go on.
#[tokio::test]
async fn checks_need_no_database_on_sqlite() {
    let server = in_front_of_an_upstream(Database::Sqlite).await;
    let manager = server.person("Max", Role::Manager).await;
    server.app.store.clone().close().await;
    server.as_(&manager.token).get("/api/users/me").await.problem(503);
    check_all(&server, &manager.token).await;
}

/// Of a fleet's node only while its lease holds.
#[tokio::test]
async fn a_node_without_a_database_refuses_when_its_lease_has_ended() {
    let server = with_upstream(TestServer::builder().on(Database::Postgres).in_fleet()).await;
    let manager = server.person("Max", Role::Manager).await;
    let url = server.app.config.store.url.0.clone();
    let (server_url, name) = url.rsplit_once('/').unwrap();
    let mut connection = PgConnection::connect(&format!("{server_url}/postgres")).await.unwrap();
    let gone = format!(
        "ALTER DATABASE {name} ALLOW_CONNECTIONS false; \
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    );
    connection.execute(sqlx::raw_sql(AssertSqlSafe(gone))).await.unwrap();
    until_stale(&server, &manager.token).await;
    let refused = forward_auth(&server, &manager.token, "GET").await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    server.as_(&manager.token).get("/api/users/me").await.problem(503);
    server.as_(&manager.token).get("/anything").await.problem(503);
    let form = [("token", manager.token.expose())];
    server.as_(&manager.token).post_form("/oauth/introspect", &form).await.problem(503);
    server.client().get("/readyz").await.problem(503);
    server.client().get("/healthz").await.expect(200);
}
