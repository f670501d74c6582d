//! A fleet to which one thing after the other happens.

use clap::Args;

use crate::shell::{Shell, ShellError};

/// How long it goes on; without anything until every kind of fault has been there, which takes about half a minute.
#[derive(Args, Default)]
pub(crate) struct Length {
    /// For so long at least
    #[arg(long, default_value_t = 0)]
    seconds: u64,
    /// For so many checks at least; a million take some five minutes
    #[arg(long, default_value_t = 0)]
    checks: u64,
    /// Decides on the faults and on what the clients do
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// File for the figures as JSON
    #[arg(long)]
    results: Option<String>,
}

const BUILD: &str = "cargo build --locked -p tokenhouse -p tokenhouse-chaos";

/// What a server may lack so that the same faults must show it.
const PARTS: [&str; 2] = ["unfenced", "unleased"];

/// Builds and runs it, and then with servers that lack a part: whether the test would notice.
pub(crate) fn run(shell: &Shell, length: &Length) -> Result<(), ShellError> {
    let Length { seconds, checks, seed, results } = length;
    shell.run(BUILD)?;
    for part in PARTS {
        shell.run(&format!("{BUILD} --features tokenhouse/{part} --bin tokenhouse-{part}"))?;
    }
    let program = "\"$CARGO_TARGET_DIR\"/debug/tokenhouse";
    let results = results.as_ref().map(|file| format!(" --results '{file}'")).unwrap_or_default();
    shell.run(&format!(
        "{program}-chaos --binary {program} --seconds {seconds} --checks {checks} --seed {seed}{results}"
    ))?;
    PARTS.iter().try_for_each(|part| {
        shell.run(&format!("{program}-chaos --binary {program}-{part} --weakened --seed {seed}"))
    })
}
