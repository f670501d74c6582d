//! The HTTP API from outside: a whole server, a real database, requests over a socket. What is
//! expected is the contract, not what the code happens to do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, SqliteConnection};
use tokenhouse::config::RuleLine;
use tokenhouse_core::people::Role;
use tokenhouse_core::rules::Pattern;
use tokenhouse_testkit::client::Answer;
use tokenhouse_testkit::server::{Bearer, TestServer};

/// Makes two tests of each function: one on SQLite, one on PostgreSQL.
macro_rules! on_both_databases {
    ($($name:ident),+ $(,)?) => {
        on_both_databases!(sqlite Sqlite $($name)+);
        on_both_databases!(postgres Postgres $($name)+);
    };
    ($module:ident $database:ident $($name:ident)+) => {
        mod $module {
            use tokenhouse_testkit::server::{Database, TestServer};

            $(
                #[tokio::test]
                async fn $name() {
                    super::$name(TestServer::builder().on(Database::$database).start().await).await;
                }
            )+
        }
    };
}
mod activity;
mod alert_channels;
mod alert_clock;
mod alert_mail;
mod alerts;
mod audit_export;
mod audit_page;
mod bad_input;
mod bad_requests;
mod closing;
mod concurrency;
mod errors;
mod fleet;
mod fleet_trouble;
mod forward_auth;
mod gateway;
mod hand_over;
mod invitations;
mod last_used;
mod leaks;
mod lifecycle;
mod lineage;
mod oauth;
mod openapi;
mod overload;
mod pages;
mod people;
mod people_pages;
mod permissions;
mod policies;
mod promises;
mod report;
mod request_log;
mod request_pages;
mod requests;
mod reviews;
mod scim;
mod scim_bulk;
mod scim_discovery;
mod scim_entra;
mod scim_filter;
mod scim_groups;
mod scim_okta;
mod scim_parsers;
mod scim_patch;
mod scim_permissions;
mod scim_query;
mod scim_safety;
mod scim_users;
mod scim_values;
mod service_user_pages;
mod service_user_requests;
mod sessions;
mod sign_in;
mod statements;
mod team_pages;
mod teams;
mod token_forms;
mod token_pages;

/// Makes a personal token.
async fn generate(server: &TestServer, with: &Bearer, name: &str, days: Option<i64>) -> Answer {
    server.as_(with).post("/api/user-tokens", &json!({ "name": name, "expires_in_days": days })).await
}

/// Asks forward-auth whether a request may pass.
async fn forward_auth(server: &TestServer, token: &Bearer, method: &str) -> Answer {
    let asked = server.as_(token).with("x-forwarded-method", method).with("x-forwarded-uri", "/anything");
    asked.get("/forward-auth").await
}

/// Whether a token is accepted, by forward-auth and by our own API, which must agree.
#[track_caller]
fn agreed(forward: &Answer, own: &Answer) -> bool {
    match (forward.status, own.status) {
        (200, 200) => true,
        (401, 401) => false,
        _ => panic!("{forward}, but {own}"),
    }
}

async fn is_accepted(server: &TestServer, token: &Bearer) -> bool {
    let forward = forward_auth(server, token, "GET").await;
    agreed(&forward, &server.as_(token).get("/api/user-tokens/current").await)
}

/// Number of the newest audit record.
async fn head(server: &TestServer) -> i64 {
    let mut reader = server.app.store.read().await.unwrap();
    tokenhouse_store::audit::head(&mut reader).await.unwrap().0.seq
}

/// Changes the SQLite file behind the server's back.
async fn tamper(server: &TestServer, statements: String) {
    let mut connection = SqliteConnection::connect(&server.app.config.store.url.0).await.unwrap();
    connection.execute(sqlx::raw_sql(AssertSqlSafe(statements))).await.unwrap();
    connection.close().await.unwrap();
}

/// One token as its owner, or an Admin, sees it.
async fn token(server: &TestServer, with: &Bearer, id: i64) -> Value {
    server.as_(with).get(&format!("/api/user-tokens/{id}")).await.expect(200).json()
}

/// Revokes (or restores) a token.
async fn set_revoked(server: &TestServer, with: &Bearer, id: i64, revoke: bool) -> Value {
    let change = json!({ "revoke": revoke });
    server.as_(with).put(&format!("/api/user-tokens/{id}"), &change).await.expect(200).json()
}

/// Members may post to data stores, only Admins touch a report.
fn rules() -> Vec<RuleLine> {
    let rule = |methods: Option<&[&str]>, path: &str, role| RuleLine {
        methods: methods.map(|methods| methods.iter().map(|&method| method.to_owned()).collect()),
        path: Pattern::parse(path).unwrap(),
        role,
    };
    vec![
        rule(Some(&["POST"]), "/api/datastores/{*rest}", Role::Member),
        rule(None, "/reports/{id}", Role::Admin),
        rule(None, "/reports/{id}", Role::Member),
    ]
}

/// Paths that two programs could read differently.
const PATH_TRICKS: &[&str] = &[
    "//",
    "//a",
    "/a//b",
    "/.",
    "/..",
    "/a/./b",
    "/a/../b",
    "/a/..",
    "/%2e/b",
    "/a/%2e%2e/b",
    "/a/%2E./b",
    "/a/.%2e/b",
    "/a/..;/b",
    "/a/..;x=y/b",
    "/a%2fb",
    "/a%2Fb",
    "/a%5cb",
    "/a\\b",
    "/a%00b",
    "/a%0d%0ab",
    "/a%09b",
    "/a%7fb",
    "/a%c2%85b",
    "/a%",
    "/a%2",
    "/a%zz",
    "/a%c0%af",
    "/a%ff",
    "/api/users/%2e%2e/x",
    "/x/%2e%2e/api/users",
    "/api%2fusers",
];
