//! `memory TOKENS [OWNERS]`: how much memory a process needs for each token in its index.
#![allow(clippy::print_stdout, reason = "prints its result")]

use std::error::Error;
use std::fs;

use tokenhouse_benches::{codec, index_of_owners, mint, put_token};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>());
    let tokens = arguments.next().ok_or("usage: memory TOKENS [OWNERS]")??;
    let owners = arguments.next().transpose()?.unwrap_or(1_000).max(1);
    let codec = codec()?;

    let empty = resident_bytes()?;
    let index = index_of_owners(owners, tokens);
    for number in 0..tokens {
        put_token(&index, &mint(&codec, number).1, number, owners);
    }
    let full = resident_bytes()?;

    let each = full.saturating_sub(empty) / index.len().max(1);
    println!("{} tokens of {owners} owners: {each} bytes for each token", index.len());
    Ok(())
}

/// Resident memory of this process, from `VmRSS` in proc(5), which is in kibibytes.
fn resident_bytes() -> Result<usize, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS in /proc")?;
    let kibibytes = line.trim().strip_suffix(" kB").ok_or("VmRSS is not in kB")?;
    Ok(kibibytes.parse::<usize>()? * 1024)
}
