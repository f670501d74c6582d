//! A real PostgreSQL on a private port, started once for a test process and gone with it.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::{env, fs, process, thread};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;

use crate::process::signal;

/// What the folders of all servers are called, followed by the process they belong to.
const FOLDER: &str = "tokenhouse-postgres-";

/// Makes an empty database and gives its URL.
///
/// # Panics
/// If there is no PostgreSQL on this machine (Debian: `apt-get install postgresql`) or it does not
/// start.
pub async fn database() -> String {
    static PORT: OnceLock<u16> = OnceLock::new();
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    let port = PORT.get_or_init(start);
    let server = format!("postgres://postgres@127.0.0.1:{port}");
    let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let mut connection =
        PgConnection::connect(&format!("{server}/postgres")).await.expect("PostgreSQL accepts connections");
    let creation = AssertSqlSafe(format!("CREATE DATABASE {name}"));
    connection.execute(creation).await.expect("PostgreSQL makes a database");
    format!("{server}/{name}")
}

/// Starts the server and gives its port.
fn start() -> u16 {
    let (sender, receiver) = mpsc::channel();
    // The server ends when the thread that started it does, so this thread stays until the process ends.
    thread::spawn(move || {
        let mut postgres = Postgres::start();
        if sender.send(postgres.port).is_ok() {
            let ended = postgres.server.wait();
            panic!("PostgreSQL on port {} has ended: {ended:?}", postgres.port);
        }
    });
    receiver.recv().expect("PostgreSQL starts")
}

/// How PostgreSQL is stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// Disconnects everybody and writes what is pending.
    Fast,
    /// Ends all its processes at once: the next start recovers, as after a crash.
    Immediate,
}

/// A PostgreSQL that can be restarted and paused. Ends with the thread that started it, and when dropped.
#[derive(Debug)]
pub struct Postgres {
    folder: TempDir,
    settings: &'static [&'static str],
    port: u16,
    server: Child,
}

impl Postgres {
    /// Makes and starts one.
    ///
    /// # Panics
    /// If there is no PostgreSQL on this machine, or it does not start.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with settings, such as `max_connections=20`.
    ///
    /// # Panics
    /// As above.
    pub fn start_with(settings: &'static [&'static str]) -> Self {
        remove_leftovers();
        Self::run(initialize(), settings)
    }

    fn run(folder: TempDir, settings: &'static [&'static str]) -> Self {
        loop {
            let port = free_port();
            if let Some(server) = serve(folder.path(), port, settings) {
                return Self { folder, settings, port, server };
            }
        }
    }

    /// A standby that follows this one from now on.
    ///
    /// # Panics
    /// If it doesn't start.
    #[must_use]
    pub fn standby(&self) -> Self {
        let folder = folder();
        let copied = command("pg_basebackup")
            .args(["--host=127.0.0.1", "--username=postgres", "--write-recovery-conf", "--no-sync"])
            .args(["--checkpoint=fast", &format!("--port={}", self.port), "--pgdata"])
            .arg(folder.path())
            .output()
            .expect("pg_basebackup runs");
        assert!(copied.status.success(), "no standby: {}", String::from_utf8_lossy(&copied.stderr));
        Self::run(folder, self.settings)
    }

    /// Makes a standby, whose primary is gone, the primary, at that one's port.
    ///
    /// # Panics
    /// If it doesn't become one.
    pub fn take_over(&mut self, from: Self) {
        let promoted = command("pg_ctl")
            .args(["promote", "--pgdata"])
            .arg(self.folder.path())
            .output()
            .expect("pg_ctl runs");
        assert!(promoted.status.success(), "not promoted: {}", String::from_utf8_lossy(&promoted.stderr));
        self.port = from.port;
        drop(from);
        self.restart(Stop::Fast);
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Stops it and starts it again at the same port. Returns when it accepts connections.
    ///
    /// # Panics
    /// If it doesn't stop or start.
    pub fn restart(&mut self, stop: Stop) {
        signal(if stop == Stop::Fast { "INT" } else { "QUIT" }, self.server.id());
        self.server.wait().expect("postgres was started here");
        self.server = serve(self.folder.path(), self.port, self.settings).expect("its port is still free");
    }

    /// Lets none of these processes of it write anything any more, not even into a file that has room for it (EFBIG),
    /// until it is restarted. The first process is one of them.
    ///
    /// # Panics
    /// If the first process can't be held back.
    pub fn fill_disk(&self, processes: &[i32]) {
        let limit = |process: u32| {
            let mut command = as_owner("prlimit");
            command
                .args(["--pid", &process.to_string(), "--fsize=0:unlimited"])
                .output()
                .expect("prlimit runs")
        };
        let output = limit(self.id());
        assert!(output.status.success(), "no limit: {}", String::from_utf8_lossy(&output.stderr));
        for process in processes {
            // Some may have ended meanwhile.
            limit(process.unsigned_abs());
        }
    }

    /// Its first process.
    pub fn id(&self) -> u32 {
        self.server.id()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if matches!(self.server.try_wait(), Ok(None)) {
            signal("QUIT", self.server.id());
            let _ = self.server.wait();
        }
    }
}

/// The folder with the newest server programs; empty if they are in the `PATH`.
fn programs() -> PathBuf {
    let version = |folder: &Path| folder.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .max_by_key(|folder| version(folder))
        .map_or_else(PathBuf::new, |folder| folder.join("bin"))
}

/// A command that runs as somebody else than root, whom PostgreSQL refuses, and ends with this
/// thread: by SIGQUIT, upon which the server also frees its shared memory.
fn command(program: &str) -> Command {
    as_owner(programs().join(program))
}

/// Any command like that.
fn as_owner(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    if is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    command.args(["--pdeathsig", "QUIT"]).arg(program).current_dir(env::temp_dir());
    command
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// A folder for a server.
fn folder() -> TempDir {
    let prefix = format!("{FOLDER}{}-", process::id());
    let private = fs::Permissions::from_mode(0o700);
    let folder = tempfile::Builder::new().prefix(&prefix).permissions(private).tempdir();
    let folder = folder.expect("a folder for PostgreSQL");
    if is_root() {
        let owned = Command::new("chown").arg("postgres:postgres").arg(folder.path()).status();
        assert!(owned.expect("chown runs").success(), "there is no user postgres");
    }
    folder
}

/// Makes what a server starts with.
fn initialize() -> TempDir {
    let folder = folder();
    // A locale in which sorting differs from sorting by bytes, so that tests notice.
    let output = command("initdb")
        .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"])
        .args(["--locale-provider=icu", "--icu-locale=en", "--no-sync", "--pgdata"])
        .arg(folder.path())
        .output()
        .expect("initdb runs");
    assert!(output.status.success(), "initdb failed: {}", String::from_utf8_lossy(&output.stderr));
    folder
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound port").port()
}

/// Runs the server. Returns when it is ready; `None` if it never is, because somebody else took the port.
fn serve(folder: &Path, port: u16, settings: &[&str]) -> Option<Child> {
    let mut server = command("postgres")
        .arg("-D")
        .arg(folder)
        .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="])
        .args(["-c", "fsync=off", "-c", "max_connections=1000", "-c", "logging_collector=off"])
        .args(settings.iter().flat_map(|setting| ["-c", setting]))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("postgres runs");
    let log = BufReader::new(server.stderr.take().expect("the log of postgres"));
    let mut lines = log.lines().map_while(Result::ok);
    let mut told = String::new();
    for line in &mut lines {
        if line.contains("database system is ready to accept") {
            // Until its end, or it would wait for somebody to read.
            thread::spawn(move || lines.for_each(drop));
            return Some(server);
        }
        told.push_str(&line);
    }
    server.wait().expect("postgres was started here");
    assert!(told.contains("Address already in use"), "postgres did not start: {told}");
    None
}

/// Removes the folders of test processes that are gone.
fn remove_leftovers() {
    for entry in fs::read_dir(env::temp_dir()).into_iter().flatten().flatten() {
        let process = entry.file_name().to_str().and_then(|name| owner(name.strip_prefix(FOLDER)?));
        let gone = |id: u32| !Path::new(&format!("/proc/{id}")).exists();
        if process.is_some_and(gone) {
            // Another test process may be removing it too.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The process in the name of a folder, `4711-a8F3`.
fn owner(name: &str) -> Option<u32> {
    name.split('-').next()?.parse().ok()
}
