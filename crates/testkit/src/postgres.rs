//! A real PostgreSQL on a private port, started once for a test process and gone with it.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::{env, fs, process, thread};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

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
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
    server: Child,
}

impl Postgres {
    /// Makes and starts one: one at a time in a process.
    ///
    /// # Panics
    /// If there is no PostgreSQL on this machine, or it does not start.
    pub fn start() -> Self {
        remove_leftovers();
        let programs = programs();
        let folder = initialize(&programs);
        loop {
            let port = free_port();
            if let Some(server) = serve(&programs, &folder, port) {
                return Self { programs, folder, port, server };
            }
        }
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
        self.server = serve(&self.programs, &self.folder, self.port).expect("its port is still free");
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
        // What can't be removed is removed by the next one.
        let _ = fs::remove_dir_all(&self.folder);
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
fn command(program: &Path) -> Command {
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

/// Makes the server's folder.
fn initialize(programs: &Path) -> PathBuf {
    let folder = env::temp_dir().join(format!("{FOLDER}{}", process::id()));
    fs::create_dir(&folder).expect("a folder for PostgreSQL");
    if is_root() {
        let owned = Command::new("chown").arg("postgres:postgres").arg(&folder).status();
        assert!(owned.expect("chown runs").success(), "there is no user postgres");
    }
    // A locale in which sorting differs from sorting by bytes, so that tests notice.
    let output = command(&programs.join("initdb"))
        .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"])
        .args(["--locale-provider=icu", "--icu-locale=en", "--no-sync", "--pgdata"])
        .arg(&folder)
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
fn serve(programs: &Path, folder: &Path, port: u16) -> Option<Child> {
    let mut server = command(&programs.join("postgres"))
        .arg("-D")
        .arg(folder)
        .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="])
        .args(["-c", "fsync=off", "-c", "max_connections=1000", "-c", "logging_collector=off"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("postgres runs");
    let log = BufReader::new(server.stderr.take().expect("the log of postgres"));
    let mut lines = log.lines().map_while(Result::ok);
    let mut told = String::new();
    for line in &mut lines {
        if line.contains("ready to accept connections") {
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

/// Removes the folders of test processes that are gone, also of one that had our number.
fn remove_leftovers() {
    for entry in fs::read_dir(env::temp_dir()).into_iter().flatten().flatten() {
        let process =
            entry.file_name().to_str().and_then(|name| name.strip_prefix(FOLDER)?.parse::<u32>().ok());
        let gone = |id: u32| id == process::id() || !Path::new(&format!("/proc/{id}")).exists();
        if process.is_some_and(gone) {
            // Another test process may be removing it too.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
