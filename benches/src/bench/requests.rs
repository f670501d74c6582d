//! What the log of requests costs: forward-auth with it against forward-auth without it; and its questions, over
//! very many requests: how long they take, in how much memory, and what checks lose meanwhile.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use std::{fs, thread};

use clap::Subcommand;
use serde_json::json;
use tokenhouse_benches::Failure;
use tokenhouse_benches::fill::Filled;
use tokenhouse_benches::logged::{Mix, fill};
use tokenhouse_benches::report::{self, Rounds};
use tokenhouse_benches::request::Request;
use tokenhouse_benches::rounds::{Measuring, all, ratio};
use tokenhouse_benches::tokenhouse::{Options, Tokenhouse, make_admin};
use tokenhouse_benches::wrk::Wrk;
use tokenhouse_core::clock::Clock;

/// What the log of requests costs
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
pub(crate) enum What {
    /// Forward-auth with the log and without
    Recording {
        #[command(flatten)]
        measuring: Measuring,
    },
    /// Questions about very many requests
    Questions {
        /// How many requests there are, over 30 days
        #[arg(long, default_value_t = 100_000_000)]
        rows: usize,
        /// How often each question is asked, each time about another token
        #[arg(long, default_value_t = 200)]
        asked: usize,
        #[command(flatten)]
        measuring: Measuring,
    },
}

/// Tokens in the store, and of how many owners.
const TOKENS: usize = 10_000;
const OWNERS: usize = 1_000;

/// So many days are filled and asked about.
const DAYS: usize = 30;

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.what {
        What::Recording { measuring } => recording(&measuring),
        What::Questions { rows, asked, measuring } => questions(&measuring, rows, asked),
    }
}

fn recording(measuring: &Measuring) -> Result<(), Failure> {
    let runtime = tokio::runtime::Runtime::new()?;
    let core = measuring.cores()?.server;
    fs::create_dir_all(&measuring.results)?;
    let folders = [tempfile::tempdir_in(&measuring.results)?, tempfile::tempdir_in(&measuring.results)?];
    let mut servers = Vec::new();
    for (folder, request_log) in folders.iter().zip([false, true]) {
        let filled = runtime.block_on(Filled::new(folder.path(), TOKENS, OWNERS))?;
        let requests: Vec<_> = filled
            .presented(TOKENS)
            .map(|token| Request::forward_auth(&token).with("User-Agent", "curl/8.5.0"))
            .collect();
        let server = Tokenhouse::start(&filled, Options { core, request_log, ..Options::default() })?;
        servers.push((server, requests));
    }
    let wrk = Wrk::new(measuring)?;
    let mut cases = Vec::new();
    for (name, count) in [("one token", 1), ("10,000 tokens", TOKENS)] {
        for (server, requests) in &servers {
            cases.push((name, server, wrk.prepare(server.address, &requests[..count], 200)?));
        }
    }
    let runs = measuring.take_turns(cases.len(), |case| {
        let (_, server, requests) = &cases[case];
        server.await_written_uses()?;
        wrk.run(requests, &[server])
    })?;
    let mut table =
        vec![["", "log", "requests/s", "CPU µs/request", "requests/s / without", "by CPU"].map(String::from)];
    let mut figures = Vec::new();
    for (case, (name, ..)) in cases.iter().enumerate() {
        let (rounds, base, log) =
            (&runs[case], &runs[case / 2 * 2], if case % 2 == 0 { "off" } else { "on" });
        let (per_second, cpu) = (all(rounds, |run| run.per_second), all(rounds, |run| run.cpu_micros));
        let (rate, by_cpu) =
            (ratio(rounds, base, |run| run.per_second), ratio(base, rounds, |run| run.cpu_micros));
        let cells = [per_second.text(0), cpu.text(2), rate.text(2), by_cpu.text(2)];
        let [per_second_text, cpu_text, rate_text, by_cpu_text] = cells;
        table.push([(*name).into(), log.into(), per_second_text, cpu_text, rate_text, by_cpu_text]);
        figures.push(json!({
            "case": name,
            "log": log,
            "requests_per_second": per_second.json(),
            "cpu_micros_per_request": cpu.json(),
            "ratio_to_without": { "requests_per_second": rate.json(), "cpu": by_cpu.json() },
        }));
    }
    report::print(&table);
    report::write(&measuring.results, &measuring.name("recording"), &json!({ "cases": figures }))
}

fn questions(measuring: &Measuring, rows: usize, asked: usize) -> Result<(), Failure> {
    let runtime = tokio::runtime::Runtime::new()?;
    fs::create_dir_all(&measuring.results)?;
    let folder = tempfile::tempdir_in(&measuring.results)?;
    let filled = runtime.block_on(async {
        let filled = Filled::new(folder.path(), TOKENS, OWNERS).await?;
        // All but those of every tenth owner are service tokens then.
        filled.share_out(1, 0).await?;
        Ok::<_, Failure>(filled)
    })?;
    let (_, admin) = make_admin(&filled)?;
    let (log, end) = (filled_log(measuring, &runtime, rows)?, Clock::system().now());
    let options = Options { request_log: true, log_folder: Some(&log), ..Options::default() };
    let server = Tokenhouse::start(&filled, options)?;
    let from = end.plus_days(-i64::try_from(DAYS)?);
    let mut table = vec![["question", "p50 ms", "p95 ms", "most ms"].map(String::from)];
    let mut figures = Vec::new();
    for (name, path) in [
        ("last 50 requests of a token", "requests?limit=50".to_owned()),
        ("requests per hour of a token, 30 days", format!("requests/summary?per=hour&from={from}")),
        ("refused requests of a token", "requests?limit=50&decision=denied".to_owned()),
        ("top addresses, paths, agents of a token, 7 days", "requests/top".to_owned()),
    ] {
        let mut taken = Vec::new();
        for number in 0..asked {
            let request = ask(&admin, number, &path);
            let started = Instant::now();
            request.expect(server.address, 200)?;
            taken.push(started.elapsed().as_secs_f64() * 1_000.0);
        }
        let taken = Rounds::new(taken);
        let [p50, p95] = [0.5, 0.95].map(|share| taken.percentile(share));
        table.push([name.into(), format!("{p50:.1}"), format!("{p95:.1}"), format!("{:.1}", taken.most())]);
        figures.push(json!({ "question": name, "p50_ms": p50, "p95_ms": p95, "most_ms": taken.most() }));
    }
    report::print(&table);
    let resident = server.resident_bytes()?;
    println!("the server has {} MB then", resident / 1_000_000);
    let slowed = slowed(measuring, &filled, &server, &admin, from)?;
    println!("requests/s of forward-auth while questions are asked / while none are: {}", slowed.text(2));
    let figures = json!({ "rows": rows, "questions": figures, "resident_bytes": resident, "checks_meanwhile": slowed.json() });
    report::write(&measuring.results, "questions", &figures)
}

/// A question about a service token.
fn ask(admin: &str, number: usize, what: &str) -> Request {
    // Any number but those whose owner is every tenth.
    let token = (number * 37 % (TOKENS / 10)) * 10 + 1;
    Request::get(format!("/api/user-tokens/{token}/{what}")).bearer(admin)
}

/// The log with so many requests, made once and kept beside the figures, as if it ended now.
fn filled_log(
    measuring: &Measuring,
    runtime: &tokio::runtime::Runtime,
    rows: usize,
) -> Result<PathBuf, Failure> {
    let folder = measuring.results.join("logs").join(rows.to_string());
    let whole = folder.join("whole");
    if !whole.exists() {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        let started = Instant::now();
        let mix = Mix { rows, days: DAYS, tokens: TOKENS, owners: OWNERS };
        runtime.block_on(fill(&folder, mix, Clock::system().now()))?;
        fs::write(&whole, "")?;
        println!(
            "{rows} requests were recorded and moved into files in {:.0} s",
            started.elapsed().as_secs_f64()
        );
    }
    #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
    let each = bytes_in(&folder.join("files"))? as f64 / rows as f64;
    println!("{rows} requests, {each:.1} bytes each on disk");
    Ok(folder.canonicalize()?)
}

fn bytes_in(folder: &Path) -> Result<u64, Failure> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() { bytes_in(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}

/// What forward-auth still does while two Admins ask one question after the other.
fn slowed(
    measuring: &Measuring,
    filled: &Filled,
    server: &Tokenhouse,
    admin: &str,
    from: tokenhouse_core::clock::Timestamp,
) -> Result<Rounds, Failure> {
    let token = filled.presented(1).next().ok_or("no token to present")?;
    let wrk = Wrk::new(measuring)?;
    let checks = wrk.prepare(server.address, &[Request::forward_auth(&token)], 200)?;
    let runs = measuring.take_turns(2, |case| {
        let ended = AtomicBool::new(case == 0);
        thread::scope(|scope| {
            for asker in 0..2 {
                let ended = &ended;
                scope.spawn(move || {
                    for number in asker.. {
                        if ended.load(Ordering::Relaxed) {
                            return;
                        }
                        let path = format!("requests/summary?per=hour&from={from}");
                        let _ = ask(admin, number, &path).send(server.address);
                    }
                });
            }
            let run = wrk.run(&checks, &[server]);
            ended.store(true, Ordering::Relaxed);
            run
        })
    })?;
    Ok(ratio(&runs[1], &runs[0], |run| run.per_second))
}
