//! The file of an export has every record once, over crashes.

use std::fs;

use serde_json::Value;
use tokenhouse_testkit::process::until;

use crate::client::{Client, install, person};

const CRASHES: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn a_file_has_every_record_once_over_crashes() {
    let installation = install();
    let root = person(&installation, "root@example.com", "Admin");
    installation
        .configure("[[audit_export]]\nname = 'siem'\nformat = 'json'\nto = { file = 'audit.jsonl' }\n");
    let file = installation.file("audit.jsonl");
    let text = || fs::read_to_string(&file).unwrap_or_default();
    for crash in 0..CRASHES {
        let server = installation.serve();
        let client = Client::new(&server, &root);
        let before = text().len();
        let mut number = 0;
        // While it is written, at another moment each time.
        while text().len() <= before + crash * 700 {
            number += 1;
            client.mint(&format!("t-{crash}-{number}")).await;
        }
        server.kill();
    }
    let server = installation.serve();
    let head = {
        let page = Client::new(&server, &root).get("/api/activity?size=1").await.expect(200).json();
        page["items"][0]["seq"].as_i64().unwrap()
    };
    let seqs = || {
        let whole = |line: &str| serde_json::from_str::<Value>(line).ok()?["seq"].as_i64();
        text().lines().map(whole).collect::<Option<Vec<i64>>>().unwrap_or_default()
    };
    until("all records are in the file", || (seqs().last() == Some(&head)).then_some(()));
    assert_eq!(seqs(), (1..=head).collect::<Vec<_>>());
}
