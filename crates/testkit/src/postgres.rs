//! A real PostgreSQL on a private port, started once for a test process and gone with it.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::{env, fs, process, thread};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

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
    // The server ends when the thread that started it does, so this thread stays until the process
    // ends: it reads the server's log.
    thread::spawn(move || {
        remove_leftovers();
        let programs = programs();
        let folder = initialize(&programs);
        let port = loop {
            let port = free_port();
            if serve(&programs, &folder, port, || sender.send(port).is_ok()) {
                break port;
            }
        };
        panic!("PostgreSQL on port {port} has ended");
    });
    receiver.recv().expect("PostgreSQL starts")
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

/// Runs the server as long as it runs and tells when it is ready. `false` if it never was, because
/// somebody else took the port.
fn serve(programs: &Path, folder: &Path, port: u16, ready: impl Fn() -> bool) -> bool {
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
    let mut told = String::new();
    let mut is_ready = false;
    for line in log.lines().map_while(Result::ok) {
        if is_ready {
            continue;
        }
        is_ready = line.contains("ready to accept connections") && ready();
        told.push_str(&line);
    }
    server.wait().expect("postgres was started here");
    assert!(is_ready || told.contains("Address already in use"), "postgres did not start: {told}");
    is_ready
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
