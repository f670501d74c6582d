//! `tokenhouse demo`
use std::process::ExitCode;
use super::{Context, Failure};
pub(super) async fn run(_context: Context, _exit: bool) -> Result<ExitCode, Failure> {
    Err("not yet".into())
}
