//! Whoever edits the SQLite file without the master key is found out by `audit verify`.

use std::fs;

use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, Row as _, SqliteConnection};
use tokenhouse_core::audit::{Head, Record, Seal};
use tokenhouse_core::keys::MasterKey;
use tokenhouse_core::random::Random;
use tokenhouse_store::{Store, audit};
use tokenhouse_testkit::process::Installation;

use crate::client::{Client, complaint, install, person, run};

/// A stopped installation with a trail of seven records, all in one file, and its head.
async fn stopped() -> (Installation, String) {
    let installation = install();
    let root = person(&installation, "root@example.com", "Admin");
    let mut server = installation.serve();
    let client = Client::new(&server, &root);
    let (id, _) = client.mint("one").await;
    client.revoke(id).await.expect(200);
    client.post("/api/teams", &json!({ "name": "Data", "members": [1] })).await.expect(201);
    client.post("/api/users", &json!({ "name": "Robot", "role": "Member" })).await.expect(201);
    client.delete(&format!("/api/user-tokens/{id}")).await.expect(204);
    server.terminate();
    server.wait();
    edit(&installation, "PRAGMA wal_checkpoint(TRUNCATE)").await;
    let head = run(&installation, &["audit", "verify"]);
    assert!(head.starts_with("7:"), "{head}");
    (installation, head.trim().to_owned())
}

async fn connect(installation: &Installation) -> SqliteConnection {
    SqliteConnection::connect(&format!("sqlite://{}", installation.database().display())).await.unwrap()
}

async fn edit(installation: &Installation, statements: &str) {
    let mut connection = connect(installation).await;
    connection.execute(sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))).await.unwrap();
    connection.close().await.unwrap();
}

/// Puts another database in the place of the present one.
fn restore(installation: &Installation, database: &[u8]) {
    for ending in ["-wal", "-shm"] {
        match fs::remove_file(format!("{}{ending}", installation.database().display())) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
            _ => {}
        }
    }
    fs::write(installation.database(), database).unwrap();
}

/// What `audit verify` prints about a trail that it must find broken.
fn finding(installation: &Installation, options: &[&str]) -> String {
    let output = installation.run(&[&["audit", "verify"], options].concat());
    let told = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}{}", complaint(&output));
    assert!(told.starts_with("broken: "), "{told}{}", complaint(&output));
    told
}

/// The column's value changed as little as possible, in SQL.
const COLUMNS: [(&str, &str); 16] = [
    ("seq", "seq + 100"),
    ("at", "at + 1"),
    ("action", "action || 'x'"),
    ("entity_kind", "entity_kind || 'x'"),
    ("entity_id", "entity_id + 1"),
    ("entity_name", "entity_name || ' '"),
    ("actor_id", "coalesce(actor_id + 1, 1)"),
    ("actor_user_id", "coalesce(actor_user_id || 'x', 'x')"),
    ("actor_name", "CASE WHEN actor_name IS NULL THEN 'x' ELSE NULL END"),
    ("actor_type", "CASE actor_type WHEN 'Human' THEN 'Service' ELSE 'Human' END"),
    ("via_kind", "CASE via_kind WHEN 'cli' THEN 'token' ELSE 'cli' END"),
    ("via_token", "CASE WHEN via_token IS NULL THEN 0 ELSE NULL END"),
    ("ip", "CASE WHEN ip IS NULL THEN '' ELSE NULL END"),
    ("request_id", "coalesce(request_id || 'x', '')"),
    ("changes", "changes || ' '"),
    // Of 256 hashes, one ends with a zero already.
    (
        "hash",
        "CAST(substr(hash, 1, 31) || CASE substr(hash, 32) WHEN X'00' THEN X'01' ELSE X'00' END AS BLOB)",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_any_column_of_any_record_is_found() {
    let (installation, _) = stopped().await;
    let pristine = fs::read(installation.database()).unwrap();
    let mut connection = connect(&installation).await;
    let columns = connection.fetch_all("SELECT name FROM pragma_table_info('changes')").await.unwrap();
    let columns: Vec<String> = columns.iter().map(|row| row.get(0)).collect();
    assert_eq!(columns, COLUMNS.map(|(column, _)| column), "every column has its change");
    connection.close().await.unwrap();
    for seq in 1..=7 {
        for (column, changed) in COLUMNS {
            let statement = format!("UPDATE changes SET {column} = {changed} WHERE seq = {seq}");
            edit(&installation, &statement).await;
            let told = finding(&installation, &[]);
            assert!(told.contains(&format!("record {seq} ")), "{statement}: {told}");
            restore(&installation, &pristine);
        }
    }
    run(&installation, &["audit", "verify"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_are_cut_out_or_swapped_are_found() {
    for (edits, told) in [
        ("DELETE FROM changes WHERE seq = 1", "record 1 is missing"),
        ("DELETE FROM changes WHERE seq = 4", "record 4 is missing"),
        ("DELETE FROM changes WHERE seq = 7", "from 7 on were cut off"),
        ("DELETE FROM changes WHERE seq > 4", "from 5 on were cut off"),
        ("DELETE FROM changes", "from 1 on were cut off"),
        (
            "DELETE FROM changes WHERE seq = 3; UPDATE changes SET seq = seq - 1 WHERE seq > 3",
            "record 3 was changed",
        ),
        (
            "UPDATE changes SET seq = 99 WHERE seq = 4; UPDATE changes SET seq = 4 WHERE seq = 5; \
             UPDATE changes SET seq = 5 WHERE seq = 99",
            "record 4 was changed",
        ),
        (
            "INSERT INTO changes SELECT 8, at, action, entity_kind, entity_id, entity_name, actor_id, \
             actor_user_id, actor_name, actor_type, via_kind, via_token, ip, request_id, changes, hash \
             FROM changes WHERE seq = 7",
            "record 8 was changed",
        ),
        ("UPDATE audit_head SET seal = X'00'", "seal"),
    ] {
        let (installation, _) = stopped().await;
        edit(&installation, edits).await;
        let found = finding(&installation, &[]);
        assert!(found.contains(told), "{edits}: {found}");
    }
}

fn hex(bytes: &[u8]) -> String {
    format!("X'{}'", tokenhouse_core::audit::hex(bytes))
}

/// Rewrites the newest record but one and every hash after it, as whoever knows how it works but not
/// the key; `seal` is what they put under the new head.
async fn recompute(installation: &Installation, seal: Option<Seal>) {
    let key = fs::read_to_string(installation.data().join("master.key")).unwrap();
    let master = MasterKey::parse(&key).unwrap();
    let url = format!("sqlite://{}", installation.database().display());
    let now = tokenhouse_core::clock::Timestamp::from_seconds(0);
    let store = Store::open(&url, &master, now).await.unwrap();
    let everything = audit::AuditFilter::default();
    let mut stored =
        audit::before(&mut store.read().await.unwrap(), &everything, i64::MAX, 100).await.unwrap();
    store.close().await;
    stored.reverse();
    let mut head = Head::EMPTY;
    let mut statements = Vec::new();
    for stored in stored {
        let mut record: Record = stored.record;
        if record.seq == 6 {
            "Somebody else".clone_into(&mut record.entity.name);
        }
        head = head.after(&record);
        let (seq, hash, entity) = (head.seq, hex(&head.hash), record.entity.name);
        statements
            .push(format!("UPDATE changes SET entity_name = '{entity}', hash = {hash} WHERE seq = {seq}"));
    }
    statements.push(format!("UPDATE audit_head SET seq = {}, hash = {}", head.seq, hex(&head.hash)));
    if let Some(seal) = seal {
        statements.push(format!("UPDATE audit_head SET seal = {}", hex(&seal.of(&head))));
    }
    edit(installation, &statements.join("; ")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_was_recomputed_without_the_key_is_found() {
    let other_key = MasterKey::generate(&Random::seeded(7)).unwrap();
    for seal in [None, Some(Seal::new(&other_key))] {
        let (installation, _) = stopped().await;
        recompute(&installation, seal).await;
        let told = finding(&installation, &[]);
        assert!(told.contains("record 7") && told.contains("recomputed without the master key"), "{told}");
        // The server doesn't build on it either.
        let created = installation.run(&["admin", "create", "--email", "x@example.com", "--name", "x"]);
        assert_eq!(created.status.code(), Some(1), "{}", complaint(&created));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_is_found_by_a_head_that_was_kept() {
    let (installation, older) = stopped().await;
    let copy = fs::read(installation.database()).unwrap();
    person(&installation, "second@example.com", "Member");
    let newer = run(&installation, &["audit", "verify"]).trim().to_owned();
    for kept in [&older, &newer] {
        assert_eq!(run(&installation, &["audit", "verify", "--expect", kept]).trim(), newer);
    }
    let forged = format!("7:{}", "0".repeat(64));
    assert!(
        finding(&installation, &["--expect", &forged]).contains("record 7 does not have the expected hash")
    );

    restore(&installation, &copy);
    let told = finding(&installation, &["--expect", &newer]);
    assert!(told.contains("record 8") || told.contains("record 9"), "{told}");
    // Alone, the copy is whole: only the kept head tells.
    assert_eq!(run(&installation, &["audit", "verify"]).trim(), older);
}

#[test]
fn an_expectation_that_is_none_is_refused() {
    for expectation in ["7", "7:abc", "x:00", ":", "7:zz"] {
        let refused = install().run(&["audit", "verify", "--expect", expectation]);
        assert_eq!(refused.status.code(), Some(2));
        assert!(complaint(&refused).contains("SEQ:HASH"), "{}", complaint(&refused));
    }
}
