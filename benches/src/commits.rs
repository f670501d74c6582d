//! The least that a durable write costs: a bare loop of one-row commits; and disks that are slower than this one.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection as _, Executor as _};

use crate::Failure;
use crate::server::beside_this;

/// Program and arguments that run `program` with so many microseconds added to each sync of a file.
pub fn with_slow_syncs(program: PathBuf, micros: u32) -> Result<(PathBuf, Vec<OsString>), Failure> {
    if micros == 0 {
        return Ok((program, Vec::new()));
    }
    let mut preload = OsString::from("LD_PRELOAD=");
    preload.push(beside_this("libtokenhouse_slow_syncs.so")?);
    let arguments = vec![preload, format!("SLOW_SYNC_MICROS={micros}").into(), program.into_os_string()];
    Ok((PathBuf::from("env"), arguments))
}

/// [`per_second`] in a process of its own, whose syncs take longer by so many microseconds.
pub fn per_second_with_slow_syncs(file: &Path, time: Duration, micros: u32) -> Result<f64, Failure> {
    let (program, arguments) = with_slow_syncs(beside_this("tokenhouse-bench")?, micros)?;
    let mut command = Command::new(program);
    command.args(arguments).arg("commits").arg(file).arg(time.as_secs().to_string());
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    let told = String::from_utf8(output.stdout)?;
    let per_second: f64 = told.trim().parse().map_err(|_| format!("the bare loop told: {told:?}"))?;
    if micros > 0 && per_second > 1e6 / f64::from(micros) {
        return Err(format!("{per_second:.0} commits a second, although each sync takes {micros} µs").into());
    }
    Ok(per_second)
}

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
