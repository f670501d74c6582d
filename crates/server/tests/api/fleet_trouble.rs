//! What a fleet does when something goes wrong: it refuses or waits, and never goes by an old state.

use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tokenhouse::app::App;
use tokenhouse::fleet::FleetError;
use tokenhouse::fleet::lease::{ENDED, LEASE};
use tokenhouse_core::keys::MasterKey;
use tokenhouse_core::people::Role;
use tokenhouse_core::random::Random;
use tokenhouse_testkit::server::{Database, TestServer};

use super::fleet::{members, nodes, pair, until, until_accepted, until_stale};
use super::{forward_auth, generate, is_accepted, set_revoked};

const END_THE_OTHERS: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                              WHERE datname = current_database() AND pid <> pg_backend_pid()";

/// Does something to the database that no server does.
async fn meddle(server: &TestServer, statements: &str) {
    let mut connection = PgConnection::connect(&server.app.config.store.url.0).await.unwrap();
    connection.execute(sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))).await.unwrap();
}

/// Another node of the fleet that has not joined.
async fn opened(beside: &TestServer, name: &str) -> std::sync::Arc<App> {
    let mut config = beside.app.config.clone();
    config.fleet.node = Some(name.to_owned());
    let master = MasterKey::generate(&Random::seeded(0)).unwrap().expose();
    App::open(config, Some(master), beside.clock.clone(), Random::system()).await.unwrap()
}

#[tokio::test]
async fn a_node_that_is_gone_is_waited_for_until_its_lease_has_ended_and_only_once() {
    let (first, second) = pair().await;
    let ada = first.person("Ada", Role::Member).await;
    let (one, two) =
        (generate(&first, &ada.token, "one", None).await, generate(&first, &ada.token, "two", None).await);
    // Registered, and silent from then on.
    assert!(first.app.store.membership("ghost", "ghost").register(0, 1).await.unwrap());
    let started = Instant::now();
    let path = format!("/api/user-tokens/{}", one.id());
    let answer = first.as_(&ada.token).put(&path, &json!({ "revoke": true })).await.expect(200).json();
    assert!(started.elapsed() > LEASE, "{answer}");
    assert_eq!(nodes(&answer["receipt"]), (vec!["first", "second"], vec!["ghost"]));
    until("the ghost is forgotten", async || members(&first).await == 2).await;
    let path = format!("/api/user-tokens/{}", two.id());
    let answer = first.as_(&ada.token).put(&path, &json!({ "revoke": true })).await.expect(200).json();
    assert_eq!(nodes(&answer["receipt"]), (vec!["first", "second"], vec![]));
    drop(second);
}

#[tokio::test]
async fn a_node_that_was_stopped_is_not_waited_for() {
    let (first, second) = pair().await;
    let ada = first.person("Ada", Role::Member).await;
    second.stop().await;
    let path = format!("/api/user-tokens/{}", ada.token_id);
    let answer = first.as_(&ada.token).put(&path, &json!({ "revoke": true })).await.expect(200).json();
    assert_eq!(nodes(&answer["receipt"]), (vec!["first"], vec![]));
}

/// Its index was loaded before the change, its first lease comes after.
#[tokio::test]
async fn who_joins_knows_what_was_answered_before() {
    let (first, second) = pair().await;
    let ada = first.person("Ada", Role::Member).await;
    let late = opened(&first, "late").await;
    set_revoked(&second, &ada.token, ada.token_id, true).await;
    assert!(!late.is_fresh());
    late.join().await.unwrap();
    assert!(late.is_fresh());
    assert!(late.feed.applied() >= super::head(&first).await);
}

#[tokio::test]
async fn two_nodes_of_one_name_are_not_let_in() {
    let (first, _second) = pair().await;
    let refused = opened(&first, "second").await.join().await.unwrap_err();
    assert!(refused.to_string().contains("another server of this store is called second"), "{refused}");
}

#[tokio::test]
async fn the_name_of_a_node_that_was_killed_is_free_when_its_lease_has_ended() {
    let (first, second) = pair().await;
    assert!(first.app.store.membership("killed", "third").register(0, 1).await.unwrap());
    let started = Instant::now();
    opened(&first, "third").await.join().await.unwrap();
    assert!(started.elapsed() >= ENDED);
    drop(second);
}

#[tokio::test]
async fn a_clock_that_is_hours_off_keeps_a_node_out() {
    let first = TestServer::builder().on(Database::Postgres).in_fleet().start().await;
    let mut config = first.app.config.clone();
    config.fleet.node = Some("late".into());
    config.fleet.max_clock_skew = Duration::from_secs(10);
    let master = MasterKey::generate(&Random::seeded(0)).unwrap().expose();
    // Its clock shows the day on which all tests begin.
    let app = App::open(config, Some(master), first.clock.clone(), Random::system()).await.unwrap();
    let fleet = app.fleet.as_ref().unwrap();
    let refused = fleet.join(&app.feed, &app.clock).await.unwrap_err();
    assert!(matches!(refused, FleetError::ClockSkew { .. }), "{refused}");
    assert!(!app.is_fresh());
}

/// Sets what sessions are that begin from now on, and ends the others.
async fn read_only(server: &TestServer, setting: &str) {
    let name = server.app.config.store.url.0.rsplit_once('/').unwrap().1;
    meddle(
        server,
        &format!(
            "SET TRANSACTION READ WRITE; \
             ALTER DATABASE {name} SET default_transaction_read_only = {setting}; {END_THE_OTHERS}"
        ),
    )
    .await;
}

#[tokio::test]
async fn a_database_that_lets_nobody_write_ends_the_lease_and_nothing_is_lost() {
    let (first, second) = pair().await;
    let ada = first.person("Ada", Role::Member).await;
    until_accepted(&second, &ada.token).await;
    let made = generate(&first, &ada.token, "made", None).await;
    // As a standby does.
    read_only(&first, "on").await;
    for server in [&first, &second] {
        until_stale(server, &ada.token).await;
    }
    read_only(&first, "off").await;
    for server in [&first, &second] {
        until_accepted(server, &made.bearer()).await;
    }
}

#[tokio::test]
async fn lost_connections_are_made_again() {
    let (first, second) = pair().await;
    let ada = first.person("Ada", Role::Member).await;
    for round in 0..3 {
        meddle(&first, END_THE_OTHERS).await;
        until_accepted(&second, &ada.token).await;
        let wanted = json!({ "name": format!("t{round}") });
        let client = first.as_(&ada.token);
        let mut made = client.post("/api/user-tokens", &wanted).await;
        while made.status == 503 {
            made = client.post("/api/user-tokens", &wanted).await;
        }
        let made = made.expect(201);
        until_accepted(&second, &made.bearer()).await;
        set_revoked(&first, &ada.token, made.id(), true).await;
        assert!(!is_accepted(&second, &made.bearer()).await);
    }
}

/// Checks go on, changes wait, and what was answered is in effect.
#[tokio::test]
async fn a_long_transaction_that_holds_tokens_delays_changes_and_nothing_else() {
    let (first, second) = pair().await;
    let ada = first.person("Ada", Role::Member).await;
    let made = generate(&first, &ada.token, "made", None).await;
    until_accepted(&second, &made.bearer()).await;
    let mut other = PgConnection::connect(&first.app.config.store.url.0).await.unwrap();
    other.execute("BEGIN; LOCK TABLE tokens IN SHARE MODE").await.unwrap();
    let client = first.as_(&ada.token);
    let path = format!("/api/user-tokens/{}", made.id());
    let revoking = tokio::spawn(async move { client.put(&path, &json!({ "revoke": true })).await });
    for _ in 0..50 {
        forward_auth(&second, &made.bearer(), "GET").await.expect(200);
    }
    assert!(!revoking.is_finished());
    other.execute("ROLLBACK").await.unwrap();
    revoking.await.unwrap().expect(200);
    assert!(!is_accepted(&second, &made.bearer()).await);
}

/// As after a standby took over that had not received the newest change, or an older copy was put back.
#[tokio::test]
async fn a_node_that_followed_a_history_that_is_lost_stops() {
    let (first, second) = pair().await;
    let ada = first.person("Ada", Role::Member).await;
    until_accepted(&second, &ada.token).await;
    let last = "UPDATE audit_head SET seq = seq - 1, hash = (SELECT hash FROM changes WHERE seq = audit_head.seq - 1); \
                DELETE FROM changes WHERE seq > (SELECT seq FROM audit_head)";
    meddle(&first, last).await;
    for server in [&first, &second] {
        until("the loss is noticed", async || server.app.fleet.as_ref().unwrap().is_lost()).await;
        assert!(!server.app.is_fresh());
    }
}

/// Who may what is asked of the index, so a change may not begin where the index knows more than the database.
#[tokio::test]
async fn nothing_is_changed_by_what_a_lost_history_says() {
    let (first, _second) = pair().await;
    let ada = first.person("Ada", Role::Admin).await;
    drop(first.app.begin_unchecked().await.unwrap());
    meddle(&first, "CREATE TABLE kept AS SELECT * FROM audit_head").await;
    generate(&first, &ada.token, "lost", None).await;
    let standby = "UPDATE audit_head SET (seq, hash, seal) = (SELECT seq, hash, seal FROM kept); \
                   DELETE FROM changes WHERE seq > (SELECT seq FROM audit_head)";
    meddle(&first, standby).await;
    let begun = first.app.begin_unchecked().await.map(drop);
    assert!(format!("{begun:?}").contains("HistoryLost"), "{begun:?}");
}

/// The same, and another change has taken the number of the lost one.
#[tokio::test]
async fn a_node_notices_that_another_change_has_the_number_of_its_newest() {
    let (first, second) = pair().await;
    let ada = first.person("Ada", Role::Member).await;
    until_accepted(&second, &ada.token).await;
    let other = "UPDATE audit_head SET hash = sha256('another'); \
                 UPDATE changes SET hash = sha256('another') WHERE seq = (SELECT seq FROM audit_head)";
    meddle(&first, other).await;
    for server in [&first, &second] {
        until("the loss is noticed", async || server.app.fleet.as_ref().unwrap().is_lost()).await;
        assert!(!server.app.is_fresh());
    }
}
