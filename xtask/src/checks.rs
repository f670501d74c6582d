//! Everything that has to pass.

use crate::chaos::{self, Length};
use crate::shell::{Shell, ShellError};

const BEFORE_TESTS: [&str; 3] = [
    "cargo fmt --all --check",
    "cargo clippy --workspace --all-targets --locked -- -D warnings",
    "cargo-deny --locked check --hide-inclusion-graph bans licenses sources",
];

const TESTS: [&str; 5] = [
    "cargo test --workspace --locked",
    "RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked",
    // The pages in a browser, served by the binary as it is built alone.
    "cargo build --locked -p tokenhouse",
    "npm --prefix e2e ci --prefer-offline --no-audit --no-fund",
    "npm --prefix e2e test",
];

/// Runs the checks in order, up to the first that fails.
pub(crate) fn run(shell: &Shell) -> Result<(), ShellError> {
    BEFORE_TESTS.iter().try_for_each(|line| shell.run(line))?;
    check_advisories(shell)?;
    TESTS.iter().try_for_each(|line| shell.run(line))?;
    chaos::run(shell, &Length::default())?;
    println!("\nAll checks passed.");
    Ok(())
}

/// The advisory database lives on GitHub. Where that can't be reached, the tests still count.
fn check_advisories(shell: &Shell) -> Result<(), ShellError> {
    if shell.succeeds("cargo-deny fetch db") {
        shell.run("cargo-deny --locked check --disable-fetch --hide-inclusion-graph advisories")
    } else {
        println!(
            "\nSKIPPED: known vulnerabilities were not looked up, because the advisory database\n\
             (https://github.com/RustSec/advisory-db) could not be fetched."
        );
        Ok(())
    }
}
