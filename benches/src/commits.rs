//! The least that a durable write costs: a bare loop of one-row commits.

use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection as _, Executor as _};

use crate::Failure;

/// Commits one row after the other for some time and tells how many each second. `file` may exist from a
/// time before. As durable as the server's: each commit waits for the disk.
pub async fn per_second(file: &Path, time: Duration) -> Result<f64, Failure> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    connection.execute("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, name TEXT)").await?;
    let (started, mut commits) = (Instant::now(), 0.0);
    while started.elapsed() < time {
        connection.execute("INSERT INTO t (name) VALUES ('Grace Hopper')").await?;
        commits += 1.0;
    }
    let per_second = commits / started.elapsed().as_secs_f64();
    connection.close().await?;
    Ok(per_second)
}
