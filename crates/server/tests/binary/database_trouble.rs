//! A fleet whose PostgreSQL is in trouble: what was acknowledged stays, and nobody goes by an old state.

use std::time::Duration;

use serde_json::json;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokenhouse_testkit::postgres::{Postgres, Stop};
use tokenhouse_testkit::process::{Installation, Server};

use crate::client::{Client, person, run};
use crate::fleet::node;

const PATIENCE: Duration = Duration::from_secs(60);

/// Two servers of a fleet on a PostgreSQL of their own, and a token that was revoked beside one that is kept.
struct Fleet {
    installations: [Installation; 2],
    servers: [Server; 2],
    admin: Client,
    kept: String,
    revoked: String,
}

impl Fleet {
    async fn start(postgres: &Postgres) -> Self {
        let url = url(postgres);
        let installations = ["gate-1", "gate-2"].map(|name| node(&url, name));
        let token = person(&installations[0], "root@example.com", "Admin");
        let servers = [installations[0].serve(), installations[1].serve()];
        let admin = Client::new(&servers[0], &token);
        let (_, kept) = admin.mint("kept").await;
        let (id, revoked) = admin.mint("revoked").await;
        admin.revoke(id).await.expect(200);
        Self { installations, servers, admin, kept, revoked }
    }

    /// What each server answers to a check of this token.
    async fn checks(&self, token: &str) -> [u16; 2] {
        let [first, second] = &self.servers;
        let first = Client::new(first, token).check("GET", "/").await.status;
        [first, Client::new(second, token).check("GET", "/").await.status]
    }

    /// Returns when every server answers so to a check of the token that is kept. The one that was revoked is accepted
    /// by none, whatever they answer.
    async fn until_checks_are(&self, status: u16) {
        let looking = async {
            while self.checks(&self.kept).await != [status; 2] {
                assert!(!self.checks(&self.revoked).await.contains(&200));
            }
        };
        tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("not yet {status}"));
    }

    /// Changes are refused, and can be tried again.
    async fn refuses_changes(&self) {
        let refused = self.admin.post("/api/user-tokens", &json!({ "name": "not now" })).await;
        assert_eq!(refused.status, 503);
        assert!(refused.headers.contains_key("retry-after"));
    }

    /// Everything is as it was acknowledged, and goes on.
    async fn goes_on(&self) {
        self.until_checks_are(200).await;
        assert_eq!(self.checks(&self.revoked).await, [401; 2]);
        let (id, token) = self.admin.mint("after").await;
        self.admin.revoke(id).await.expect(200);
        assert_eq!(self.checks(&token).await, [401; 2]);
        run(&self.installations[0], &["audit", "verify"]);
    }
}

fn url(postgres: &Postgres) -> String {
    format!("postgres://postgres@{}/postgres", postgres.address())
}

/// The standby had everything that was acknowledged, because commits waited for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_takes_over() {
    let primary = Postgres::start();
    let mut standby = primary.standby();
    let mut database = PgConnection::connect(&url(&primary)).await.unwrap();
    for statement in ["ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"] {
        database.execute(statement).await.unwrap();
    }
    let fleet = Fleet::start(&primary).await;
    standby.take_over(primary);
    fleet.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_free_connections_ends_the_leases_and_nothing_is_lost() {
    let postgres = Postgres::start_with(&["max_connections=60"]);
    let fleet = Fleet::start(&postgres).await;
    let greedy = format!("{}?application_name=greedy", url(&postgres));
    let mut others = Vec::new();
    // Servers lose what they have, and somebody takes it until nothing is left.
    let taking = async {
        while fleet.checks(&fleet.kept).await != [503; 2] {
            while let Ok(other) = PgConnection::connect(&greedy).await {
                others.push(other);
            }
            let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                       WHERE backend_type = 'client backend' AND application_name <> 'greedy'";
            others[0].execute(end).await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, taking).await.expect("no lease is left");
    fleet.refuses_changes().await;
    assert_eq!(fleet.checks(&fleet.revoked).await, [503; 2]);
    drop(others);
    fleet.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_whose_disk_is_full_ends_the_leases_and_nothing_is_lost() {
    let mut postgres = Postgres::start();
    let fleet = Fleet::start(&postgres).await;
    let mut database = PgConnection::connect(&url(&postgres)).await.unwrap();
    let processes: Vec<i32> =
        sqlx::query_scalar("SELECT pid FROM pg_stat_activity").fetch_all(&mut database).await.unwrap();
    postgres.fill_disk(&processes);
    // PostgreSQL has no code for this error, as it has for a full disk (53100), so it may be 500.
    let refused = fleet.admin.post("/api/user-tokens", &json!({ "name": "not now" })).await.status;
    assert!(matches!(refused, 500 | 503), "{refused}");
    fleet.until_checks_are(503).await;
    postgres.restart(Stop::Immediate);
    fleet.goes_on().await;
}
