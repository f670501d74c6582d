//! What a fleet costs: how long a revoke waits until it is in effect on every node, how many checks a node
//! answers against a server alone, how long a node takes to join.
#![allow(clippy::print_stdout, reason = "prints its result")]

use std::time::Instant;

use clap::Parser;
use serde_json::{Value, json};
use tokenhouse_benches::Failure;
use tokenhouse_benches::fill::Filled;
use tokenhouse_benches::report::{self, Rounds};
use tokenhouse_benches::request::Request;
use tokenhouse_benches::rounds::{Measuring, all, ratio};
use tokenhouse_benches::tokenhouse::{Options, Tokenhouse};
use tokenhouse_benches::wrk::Wrk;
use tokenhouse_core::people::Role;
use tokenhouse_testkit::postgres;
use tokenhouse_testkit::server::{Database, TestServer};

/// What a fleet costs
#[derive(Parser)]
struct Arguments {
    /// Of how many nodes fleets are made to revoke in
    #[arg(long, value_delimiter = ',', default_value = "1,3,10,30,100")]
    nodes: Vec<usize>,
    /// How many tokens are revoked in each
    #[arg(long, default_value_t = 300)]
    revokes: usize,
    /// How many tokens are in the store of checks and joining, ten for each owner
    #[arg(long, default_value_t = 1_000_000)]
    tokens: usize,
    #[command(flatten)]
    measuring: Measuring,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let Arguments { nodes, revokes, tokens, measuring } = Arguments::parse();
    let mut table =
        vec![["nodes", "revoke, ms", "p99", "restore, ms", "p99", "p99 of the wait"].map(String::from)];
    let mut figures = Vec::new();
    for nodes in nodes {
        figures.push(revoke(nodes, revokes, &mut table).await?);
    }
    report::print(&table);
    let checks = check(&measuring, tokens).await?;
    report::write(
        &measuring.results,
        &measuring.name("fleet"),
        &json!({ "revokes": figures, "checks": checks }),
    )
}

/// Revokes and restores one token in turn: the same transaction, after which only the revoke waits for all nodes.
/// The nodes are in this process, each with an index, connections and a lease of its own.
async fn revoke(nodes: usize, rounds: usize, table: &mut Vec<[String; 6]>) -> Result<Value, Failure> {
    let first = TestServer::builder().on(Database::Postgres).in_fleet().start().await;
    let mut others = Vec::new();
    for number in 1..nodes {
        others.push(TestServer::builder().beside(&first, &format!("node-{number}")).start().await);
    }
    let admin = first.person("Ada", Role::Admin).await;
    let token = first.service_user("Pipeline", Role::Member).await.token_id;
    let client = first.as_(&admin.token);
    let mut millis = [Vec::new(), Vec::new()];
    for round in 0..=rounds {
        for (revoke, millis) in [true, false].into_iter().zip(&mut millis) {
            let path = format!("/api/user-tokens/{token}");
            let started = Instant::now();
            let answer = client.put(&path, &json!({ "revoke": revoke })).await;
            let took = started.elapsed().as_secs_f64() * 1e3;
            let answer = answer.expect(200).json();
            // The first of each makes connections.
            if round > 0 {
                millis.push(took);
            }
            let all =
                !revoke || answer["receipt"]["nodes"].as_array().is_some_and(|lines| lines.len() == nodes);
            if !all {
                return Err(format!("not every node has acknowledged: {}", answer["receipt"]).into());
            }
        }
    }
    let [revoked, restored] = millis.map(Rounds::new);
    let [slow, base] = [&revoked, &restored].map(|millis| millis.percentile(0.99));
    let ms = |millis: f64| format!("{millis:.1}");
    table.push([nodes.to_string(), revoked.text(1), ms(slow), restored.text(1), ms(base), ms(slow - base)]);
    Ok(json!({
        "nodes": nodes, "revoke_ms": revoked.json(), "revoke_p99_ms": slow,
        "restore_ms": restored.json(), "restore_p99_ms": base,
    }))
}

/// Forward-auth by a node of three against a server alone, with the same tokens; and how long the third took to
/// join.
async fn check(measuring: &Measuring, tokens: usize) -> Result<Value, Failure> {
    let core = measuring.cores()?.server;
    let (filled, _) = Filled::shared(&measuring.results, tokens).await?;
    let url = postgres::database().await;
    filled.copy_to_postgres(&url).await?;
    let alone = Tokenhouse::start(&filled, Options { core, ..Options::default() })?;
    let mut fleet = Vec::new();
    let mut joined = 0.0;
    for _ in 0..3 {
        let started = Instant::now();
        fleet.push(Tokenhouse::start(&filled, Options { core, store: Some(&url), ..Options::default() })?);
        joined = started.elapsed().as_secs_f64();
    }
    let wrk = Wrk::new(measuring)?;
    let requests: Vec<_> = filled.presented(10_000).map(|token| Request::forward_auth(&token)).collect();
    let servers = [&alone, &fleet[0]];
    let prepared = servers.map(|server| wrk.prepare(server.address, &requests, 200));
    let [by_alone, by_node] = prepared;
    let prepared = [by_alone?, by_node?];
    let runs = measuring.take_turns(servers.len(), |case| {
        for server in servers {
            server.await_written_uses()?;
        }
        wrk.run(&prepared[case], &[servers[case]])
    })?;
    let per_second = |case: usize| all(&runs[case], |run| run.per_second);
    let by_requests = ratio(&runs[1], &runs[0], |run| run.per_second);
    let by_cpu = ratio(&runs[0], &runs[1], |run| run.cpu_micros);
    report::print(&[
        ["forward-auth", "requests/s", "of a server alone", "by CPU time"].map(String::from),
        ["a server alone".into(), per_second(0).text(0), String::new(), String::new()],
        ["a node of three".into(), per_second(1).text(0), by_requests.text(2), by_cpu.text(2)],
    ]);
    println!("a node joined with {tokens} tokens in {joined:.2} s");
    Ok(json!({
        "tokens": tokens, "joined_in_seconds": joined, "of_alone": by_requests.json(), "of_alone_by_cpu": by_cpu.json(),
    }))
}
