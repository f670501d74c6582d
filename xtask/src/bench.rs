//! Every benchmark, one after the other.

use crate::shell::{Shell, ShellError};

const BUILD: &str = "cargo build --release --locked -p tokenhouse -p tokenhouse-benches";

const QUICK: [&str; 6] = [
    "TOKENHOUSE_BENCH_TOKENS=1000,1000000 cargo bench --locked -p tokenhouse-benches --bench verify -- --quick",
    "\"$CARGO_TARGET_DIR\"/release/memory 1000000",
    "\"$CARGO_TARGET_DIR\"/release/load --rounds 5 --seconds 2",
    "\"$CARGO_TARGET_DIR\"/release/startup --rounds 5",
    "\"$CARGO_TARGET_DIR\"/release/pages",
    "\"$CARGO_TARGET_DIR\"/release/directory",
];

const FULL: [&str; 6] = [
    "TOKENHOUSE_BENCH_TOKENS=1000,1000000,10000000 cargo bench --locked -p tokenhouse-benches --bench verify",
    "\"$CARGO_TARGET_DIR\"/release/memory 1000000 && \"$CARGO_TARGET_DIR\"/release/memory 10000000",
    "\"$CARGO_TARGET_DIR\"/release/load --rounds 9 --seconds 5",
    "\"$CARGO_TARGET_DIR\"/release/startup --rounds 5",
    "\"$CARGO_TARGET_DIR\"/release/pages",
    "\"$CARGO_TARGET_DIR\"/release/directory",
];

/// Measures. Figures go to `bench-results`, those of criterion to its own folder.
pub(crate) fn run(shell: &Shell, quick: bool) -> Result<(), ShellError> {
    shell.run(BUILD)?;
    (if quick { QUICK } else { FULL }).iter().try_for_each(|line| shell.run(line))?;
    println!("\nThe figures are in bench-results/ and, of criterion, in $CARGO_TARGET_DIR/criterion/.");
    Ok(())
}
