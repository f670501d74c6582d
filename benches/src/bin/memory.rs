//! How much memory a process needs for each token in its index.
#![allow(clippy::print_stdout, reason = "prints its result")]

use std::fs;
use std::path::PathBuf;

use clap::Parser;
use serde_json::json;
use tokenhouse_benches::{Failure, NOW, codec, index_of_owners, mint, put_token, report};

/// How much memory a process needs for each token in its index
#[derive(Parser)]
struct Arguments {
    /// How many tokens
    tokens: usize,
    /// How many owners share them
    #[arg(default_value_t = 1_000, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    owners: usize,
    /// Folder for the figures as JSON
    #[arg(long, default_value = "bench-results")]
    results: PathBuf,
}

fn main() -> Result<(), Failure> {
    let Arguments { tokens, owners, results } = Arguments::parse();
    let codec = codec()?;

    let empty = resident_bytes()?;
    let index = index_of_owners(owners, tokens);
    for number in 0..tokens {
        put_token(&index, &mint(&codec, number, NOW).1, number, owners);
    }
    let full = resident_bytes()?;

    let each = full.saturating_sub(empty) / index.len().max(1);
    println!("{} tokens of {owners} owners: {each} bytes for each token", index.len());
    let figures = json!({ "tokens": index.len(), "owners": owners, "bytes_per_token": each });
    report::write(&results, &format!("memory-{tokens}"), &figures)
}

/// Resident memory of this process, from `VmRSS` in proc(5), which is in kibibytes.
fn resident_bytes() -> Result<usize, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS in /proc")?;
    let kibibytes = line.trim().strip_suffix(" kB").ok_or("VmRSS is not in kB")?;
    Ok(kibibytes.parse::<usize>()? * 1024)
}
