//! What was acknowledged is on disk, and not only in what the system remembers: a loss of power can't be staged,
//! but the order of writing, syncing and answering can be watched, and a sync can fail.

use std::sync::Arc;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;
use tokenhouse_testkit::process::{Installation, Server};

use crate::client::{Client, complaint, install, person, run};
use crate::trace::{BrokenDisk, Event, durable_when, events, trace_of, tracing};

/// Holds every sync of the log for so many microseconds, so that others come meanwhile.
const SLOW: &str = "inject=fdatasync:delay_enter=100000";

fn serve_traced(installation: &Installation, more: &[&str]) -> Server {
    let trace = trace_of(installation);
    installation.start(installation.command_through(&tracing(&trace, more), &["serve"])).ready()
}

fn is_answer(told: &str) -> bool {
    told.starts_with("HTTP/1.1 201") || told.starts_with("HTTP/1.1 409")
}

fn answers(events: &[Event]) -> usize {
    durable_when(events, is_answer).len()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_is_answered_before_it_is_on_disk_and_one_sync_is_for_many() {
    let installation = install();
    let root = person(&installation, "root@example.com", "Admin");
    let server = serve_traced(&installation, &["-e", SLOW]);
    let client = Client::new(&server, &root);
    for turn in 0..5 {
        client.mint(&format!("alone {turn}")).await;
    }
    let names: Vec<_> = (0..32).map(|number| format!("together {number}")).collect();
    join_all(names.iter().map(|name| client.mint(name))).await;

    let events = events(&trace_of(&installation), |events| answers(events) == 37);
    for (answered, durable) in durable_when(&events, is_answer).into_iter().enumerate() {
        assert!(durable > answered, "{durable} commits on disk when token {} was answered", answered + 1);
    }
    let is_told = |event: &Event| matches!(event, Event::Told(told) if is_answer(told));
    let mut told = events.iter().enumerate().filter(|(_, event)| is_told(event));
    let (fifth, _) = told.nth(4).unwrap();
    let syncs = events[fifth..].iter().filter(|event| matches!(event, Event::SyncBegun(_))).count();
    assert!(syncs < 32, "{syncs} syncs for 32 tokens");
}

/// Whoever sees a change that somebody else is still waiting for is told of it no earlier.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_told_of_a_change_before_it_is_on_disk() {
    let installation = install();
    let root = person(&installation, "root@example.com", "Admin");
    let server = serve_traced(&installation, &["-e", SLOW]);
    let client = Arc::new(Client::new(&server, &root));
    for turn in 0..5 {
        let wanted = json!({ "name": format!("twice {turn}") });
        let (one, other) =
            tokio::join!(client.post("/api/user-tokens", &wanted), client.post("/api/user-tokens", &wanted));
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409]);
    }
    let events = events(&trace_of(&installation), |events| answers(events) == 10);
    for (answered, durable) in durable_when(&events, is_answer).into_iter().enumerate() {
        assert!(durable > answered / 2, "{durable} commits on disk at answer {}", answered + 1);
    }
}

#[test]
fn a_command_prints_what_it_made_when_it_is_on_disk() {
    let installation = install();
    let trace = trace_of(&installation);
    let arguments = ["admin", "create", "--email", "root@example.com", "--name", "Root", "--token", "first"];
    let output = installation.command_through(&tracing(&trace, &[]), &arguments).output().unwrap();
    assert!(output.status.success(), "{}", complaint(&output));
    let is_printed = |told: &str| told.starts_with("{\"bearer_token\"");
    let events = events(&trace, |events| durable_when(events, is_printed).len() == 1);
    let printed = events.iter().position(|event| matches!(event, Event::Told(told) if is_printed(told)));
    let commits = events[..printed.unwrap()].iter().filter(|event| **event == Event::Commit).count();
    assert!(commits > 0);
    assert_eq!(durable_when(&events, is_printed), [commits]);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failed_sync_nothing_is_acknowledged_until_another_start() {
    let installation = install();
    let root = person(&installation, "root@example.com", "Admin");
    let server = installation.serve();
    let client = Client::new(&server, &root);
    let (kept, secret) = client.mint("kept").await;

    let broken = BrokenDisk::of(&installation, &server);
    let names: Vec<_> = (0..8).map(|number| json!({ "name": format!("refused {number}") })).collect();
    for answer in join_all(names.iter().map(|wanted| client.post("/api/user-tokens", wanted))).await {
        assert_eq!(answer.expect(503).headers["content-type"], "application/problem+json");
    }
    drop(broken);

    // The disk works again, but nobody knows what it has forgotten.
    client.post("/api/user-tokens", &json!({ "name": "later" })).await.expect(503);
    client.revoke(kept).await.expect(503);
    client.get("/api/user-tokens").await.expect(503);
    client.get("/readyz").await.expect(503);
    client.get("/healthz").await.expect(200);
    client.with_token(&secret).check("GET", "/").await.expect(200);
    let asked = client.request(Method::POST, "/oauth/introspect").form(&[("token", &secret)]);
    assert_eq!(Client::send(asked).await.unwrap().expect(200).json()["active"], true);
    assert!(server.log().contains("see to the disk and start tokenhouse again"));
    server.kill();

    run(&installation, &["audit", "verify"]);
    let server = installation.serve();
    let client = Client::new(&server, &root);
    client.with_token(&secret).check("GET", "/").await.expect(200);
    client.mint("later").await;
    client.revoke(kept).await.expect(200);
}
