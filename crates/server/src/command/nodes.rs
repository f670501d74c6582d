//! `tokenhouse nodes`

use std::process::ExitCode;

use tokenhouse_core::clock::Timestamp;
use tokenhouse_store::nodes::{self, Node};

use super::{Context, Failure, say};
use crate::fleet::lease::LEASE;

/// Lists the servers of a fleet as they are at this moment.
pub(super) async fn list(context: Context) -> Result<ExitCode, Failure> {
    let fleet = nodes::at(&context.config.store.url.0).await?;
    let fleet = fleet.ok_or("a SQLite store belongs to one server; a fleet needs PostgreSQL")?;
    say(format_args!("{:<32} {:>10} {:>8} {:>10}  STARTED", "NODE", "APPLIED", "BEHIND", "LEASE"))?;
    for Node { name, applied, started_at, renewed_at, .. } in fleet.nodes {
        let behind = fleet.head - applied;
        let lease = lease(renewed_at, fleet.now);
        say(format_args!("{name:<32} {applied:>10} {behind:>8} {lease:>10}  {}", started_at.whole_second()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What is left of the lease of a node that renewed then, by the database's clock, which is near enough for
/// people to read.
fn lease(renewed_at: Timestamp, now: Timestamp) -> String {
    let since = now.micros().saturating_sub(renewed_at.micros());
    let lease = i64::try_from(LEASE.as_micros()).unwrap_or(i64::MAX);
    match lease - since {
        left @ 1.. => format!("{}.{} s", left / 1_000_000, left / 100_000 % 10),
        _ => "ended".to_owned(),
    }
}
