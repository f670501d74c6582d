//! Every benchmark, one after the other.

use crate::shell::{Shell, ShellError};

const BUILD: &str =
    "cargo build --release --locked -p tokenhouse -p tokenhouse-benches -p tokenhouse-slow-syncs";

/// Figures of an earlier run would be drawn among those of this one.
const BEGIN: &str = "rm -rf bench-results && mkdir bench-results";

/// The stores of ten million tokens and the logs are large, and of no use for another run.
const END: &str = "rm -rf bench-results/stores bench-results/logs";

const QUICK: [&str; 19] = [
    "hmac --seconds 1",
    "verify --seconds 1",
    "memory --tokens 10000",
    "memory --tokens 100000",
    "load --rounds 2 --seconds 1 --presented 500 --tokens 1000,100000",
    "load --rounds 1 --seconds 1 --presented 500 --tokens 1000 --unpinned",
    "transports --rounds 1 --seconds 1",
    "gateway --rounds 1 --seconds 1",
    "latency --rounds 1 --seconds 1",
    "writes --rounds 1 --seconds 1 --unpinned",
    "writes --rounds 1 --seconds 1 --unpinned --slow-sync 1000",
    "overload --rounds 1 --seconds 1 --connections 64,512",
    "connections",
    "startup --rounds 2 --tokens 1000,100000",
    "pages --rounds 3",
    "directory --rounds 20 --made 800",
    "requests recording --rounds 1 --seconds 1",
    "requests questions --rows 500000 --asked 30 --rounds 1 --seconds 1",
    "fleet --rounds 1 --seconds 1 --nodes 1,3,10 --revokes 50 --tokens 100000",
];

const FULL: [&str; 22] = [
    "hmac",
    "verify --tokens 1000,1000000,10000000",
    "memory --tokens 1000000",
    "memory --tokens 10000000",
    "load --tokens 1000,1000000,10000000",
    "load --tokens 1000000 --unpinned",
    "transports",
    "transports --unpinned",
    "gateway",
    "gateway --unpinned",
    "latency",
    "latency --unpinned",
    "writes --unpinned",
    "writes --unpinned --slow-sync 1000",
    "overload",
    "connections",
    "startup --tokens 1000,1000000,10000000",
    "pages",
    "directory",
    "requests recording",
    "requests questions --rows 10000000",
    "fleet",
];

/// Measures. Figures and plots go to `bench-results`, which is emptied first.
pub(crate) fn run(shell: &Shell, quick: bool) -> Result<(), ShellError> {
    let programs: &[&str] = if quick { &QUICK } else { &FULL };
    shell.run(BUILD)?;
    shell.run(BEGIN)?;
    for program in programs.iter().chain(&["plots"]) {
        shell.run(&format!("\"$CARGO_TARGET_DIR\"/release/tokenhouse-bench {program}"))?;
    }
    shell.run(END)?;
    println!("\nThe figures and the plots are in bench-results/.");
    Ok(())
}
