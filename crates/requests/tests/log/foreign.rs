//! Other programs read the files: `DuckDB` finds in them what the log answers.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use tokenhouse_core::clock::Clock;
use tokenhouse_core::id::{TokenId, UserId};
use tokenhouse_core::token::TokenKind;
use tokenhouse_core::verdict::{Checkpoint, Reason, Subject};
use tokenhouse_requests::{Log, Request, Row};
use tokenhouse_testkit::process::tool;

use crate::common::{START, all, open, record, row, settled};

const HOSTILE: &str = "/a\u{7}\u{1b}[31m\"'<script>&\\\r\n\u{202e}\u{fffd}💥%00%2e%2e;--";

/// How many seconds the rows are apart: they lie in three hours of two days.
const APART: i64 = 70;
const ROWS: i64 = 150;

/// What `DuckDB` answers to a question about `requests`, the files of a log.
fn ask(folder: &Path, question: &str) -> Vec<Value> {
    let files = folder.join("files/**/*.parquet");
    let query = format!(
        "SET TimeZone = 'UTC'; WITH requests AS \
         (SELECT * FROM read_parquet('{}', hive_partitioning = true)) {question}",
        files.display()
    );
    let output = tool("duckdb").args(["-json", "-c", &query]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Rows of two people's tokens, of service tokens and of none, with every reason.
fn rows() -> Vec<Row<'static>> {
    // The last hour of a day.
    (0..ROWS)
        .map(|number| {
            let place = usize::try_from(number).unwrap();
            let refused = (place % 3 == 0).then(|| Reason::ALL[place / 3 % Reason::ALL.len()]);
            let kind = if number % 2 == 0 { TokenKind::Personal } else { TokenKind::Service };
            let subject = Subject { token: TokenId(number % 11), owner: UserId(number % 11 / 4), kind };
            let is_known = !matches!(refused, Some(Reason::Malformed | Reason::Unknown));
            Row {
                subject: is_known.then_some(subject),
                at: Checkpoint::ALL[place % Checkpoint::ALL.len()],
                refused,
                status: (place % 7 != 0).then_some(if refused.is_some() { 401 } else { 200 }),
                path: if number == 77 { HOSTILE } else { "/api/datastores/7" },
                user_agent: if number == 77 { HOSTILE } else { "curl/8.5.0" },
                ..row(11 * 3_600 + number * APART, 0)
            }
        })
        .collect()
}

/// Records them, moves them into files, and merges and deletes these as it is done with hours that are over.
async fn fill(log: &Log, clock: &Clock) {
    for (number, row) in (0..).zip(rows()) {
        clock.turn_to(row.time);
        record(log, &row).await;
        if number % 10 == 9 {
            settled(log).await;
            log.maintain().await.unwrap();
        }
    }
    for hours in [16, 17, 18] {
        clock.turn_to(START.plus_seconds(hours * 3_600));
        settled(log).await;
        log.maintain().await.unwrap();
    }
}

/// How many rows have the same of something, as the log says.
fn counts<K: Ord>(requests: &[Request], of: impl Fn(&Request) -> K) -> BTreeMap<K, u64> {
    let mut counts = BTreeMap::new();
    for request in requests {
        *counts.entry(of(request)).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn duckdb_reads_what_the_log_answers() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::turned(START));
    let log = open(folder.path(), &clock).await;
    fill(&log, &clock).await;
    let requests = all(&log).await;
    assert_eq!((requests.len(), log.state().segments), (rows().len(), 0));

    let per_token = ask(
        folder.path(),
        "SELECT owner_id, token_id, kind, count(*) AS n FROM requests GROUP BY ALL \
         ORDER BY owner_id NULLS FIRST, token_id NULLS FIRST, kind",
    );
    let subject = |request: &Request| {
        let kind = |subject: Subject| if subject.kind == TokenKind::Service { "service" } else { "personal" };
        request.subject.map(|subject| (subject.owner.0, subject.token.0, kind(subject)))
    };
    let expected: Vec<_> = counts(&requests, subject)
        .into_iter()
        .map(|(subject, n)| {
            let (owner, token, kind) = subject
                .map_or((None, None, None), |(owner, token, kind)| (Some(owner), Some(token), Some(kind)));
            json!({ "owner_id": owner, "token_id": token, "kind": kind, "n": n })
        })
        .collect();
    assert_eq!(per_token, expected);

    let per_reason = ask(
        folder.path(),
        "SELECT reason, via, status, count(*) AS n FROM requests GROUP BY ALL ORDER BY reason, via, status NULLS FIRST",
    );
    let of = |request: &Request| {
        let reason = request.refused.clone().unwrap_or_else(|| "ok".into());
        (reason, request.via.clone(), request.status)
    };
    let expected: Vec<_> = counts(&requests, of)
        .into_iter()
        .map(|((reason, via, status), n)| json!({ "reason": reason, "via": via, "status": status, "n": n }))
        .collect();
    assert_eq!(per_reason, expected);

    // Each row lies in the folder of its hour, of which one file is left.
    let hours = ask(
        folder.path(),
        "SELECT epoch_us(min(time)) AS first, epoch_us(max(time)) AS last, \
         count(DISTINCT (date, hour)) AS hours, count(DISTINCT date) AS days, \
         count(*) FILTER (date != time::DATE OR hour != hour(time)) AS misplaced FROM requests",
    );
    let (first, last) = (requests.first().unwrap().time, requests.last().unwrap().time);
    let expected =
        json!({ "first": first.micros(), "last": last.micros(), "hours": 3, "days": 2, "misplaced": 0 });
    assert_eq!(hours, [expected]);

    let hostile = ask(
        folder.path(),
        "SELECT hex(encode(path)) AS path, hex(encode(user_agent)) AS agent, method, ip, node, request_id \
         FROM requests WHERE path != '/api/datastores/7'",
    );
    let hex = HOSTILE.bytes().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().concat();
    let expected = json!({
        "path": hex, "agent": hex, "method": "GET", "ip": "192.0.2.7", "node": "gate-1",
        "request_id": "AAAAAAAAAAAAAAAB",
    });
    assert_eq!(hostile, [expected]);
}
