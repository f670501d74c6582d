//! `tokenhouse scanner-rule`

use std::process::ExitCode;

use tokenhouse_core::codec;

use super::{Failure, say};

/// Prints a rule for gitleaks.
pub(super) fn run() -> Result<ExitCode, Failure> {
    say("[[rules]]")?;
    say("id = \"tokenhouse-token\"")?;
    say("description = \"Tokenhouse access token\"")?;
    say(format_args!("regex = '''{}'''", codec::scanner_pattern()))?;
    say(format_args!("keywords = [\"{}\"]", codec::SCANNER_PREFIX))?;
    Ok(ExitCode::SUCCESS)
}
