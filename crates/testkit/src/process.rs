//! The real binary as a process: its configuration and data in a folder of their own, its output in
//! files, its end by signals.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long anything may take that is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How often a condition is looked at while it is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// What every server here starts from: a free port, and a log that can be read by machines.
const BASE: &str = "
[server]
listen = \"127.0.0.1:0\"
[log]
format = \"json\"
";

/// Waits until `look` gives something.
///
/// # Panics
/// If it doesn't within half a minute.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "in vain: {what}");
        thread::sleep(LOOK_EVERY);
    }
}

/// A program that `cargo xtask install` has put into its folder. The kernel kills it when the thread that spawns it
/// ends.
pub fn tool(name: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let home = std::env::var("HOME").unwrap_or_default();
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", name]);
    command.env("PATH", format!("{home}/.cache/tokenhouse/tools/bin:{path}"));
    command
}

/// The binary with a folder in which it runs: its configuration, its data and its output.
#[derive(Debug)]
pub struct Installation {
    binary: PathBuf,
    folder: TempDir,
    environment: Vec<(String, String)>,
    runs: AtomicUsize,
}

impl Installation {
    /// An empty folder. Nothing is run yet.
    ///
    /// # Panics
    /// If no folder can be made.
    pub fn new(binary: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the binary");
        let installation =
            Self { binary: binary.into(), folder, environment: Vec::new(), runs: AtomicUsize::new(0) };
        installation.configure("");
        installation
    }

    /// Writes the configuration file anew: a free port and a JSON log, and this TOML on top.
    ///
    /// # Panics
    /// If the file can't be written, or `extra` is not TOML.
    pub fn configure(&self, extra: &str) {
        let mut table: toml::Table = toml::from_str(BASE).expect("the base is TOML");
        let extra: toml::Table = toml::from_str(extra).expect("the configuration is TOML");
        for (section, value) in extra {
            match (table.get_mut(&section), value) {
                (Some(toml::Value::Table(base)), toml::Value::Table(more)) => base.extend(more),
                (_, value) => {
                    table.insert(section, value);
                }
            }
        }
        fs::write(self.file("tokenhouse.toml"), table.to_string()).expect("a configuration file");
    }

    /// Sets an environment variable for everything that is run from now on.
    pub fn set(&mut self, variable: &str, value: &str) {
        self.environment.push((variable.to_owned(), value.to_owned()));
    }

    /// A file in the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder of an SQLite store and its master key, where nothing else is configured.
    pub fn data(&self) -> PathBuf {
        self.file("tokenhouse-data")
    }

    /// The SQLite file.
    pub fn database(&self) -> PathBuf {
        self.data().join("tokenhouse.db")
    }

    /// The binary with these arguments, in the folder and without the variables of whoever runs the
    /// test. The kernel kills it when the thread that spawns it ends.
    pub fn command(&self, arguments: &[impl AsRef<OsStr>]) -> Command {
        self.command_through(&[], arguments)
    }

    /// The same through another program, which has to `exec` it.
    pub fn command_through(&self, program: &[&str], arguments: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).args(program).arg(&self.binary).args(arguments);
        command.current_dir(self.folder.path()).stdin(Stdio::null()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.envs(self.environment.iter().map(|(variable, value)| (variable, value)));
        command
    }

    /// Runs a command to its end, at most for as long as anything is waited for.
    ///
    /// # Panics
    /// If it can't be run, or doesn't end.
    pub fn run(&self, arguments: &[impl AsRef<OsStr>]) -> Output {
        let seconds = PATIENCE.as_secs().to_string();
        let limited = ["timeout", "--foreground", "--signal=KILL", &seconds];
        let output = self.command_through(&limited, arguments).output().expect("the binary runs");
        // `timeout` shares the end of what it kills.
        assert!(output.status.code().is_some_and(|code| code < 128), "the binary did not end by itself");
        output
    }

    /// Starts a server and waits until `/readyz` says that it can answer.
    ///
    /// # Panics
    /// If it ends instead.
    pub fn serve(&self) -> Server {
        self.start(self.command(&["serve"])).ready()
    }

    /// Starts a server that was prepared with [`Self::command`], and waits until it listens.
    ///
    /// # Panics
    /// If it ends instead.
    pub fn start(&self, command: Command) -> Server {
        let mut server = self.spawn(command);
        let address = until("the server listens", || {
            server.expect_running();
            server.logged("listening", "address")
        });
        server.address = address.parse().expect("the server logs its address");
        server
    }

    fn spawn(&self, mut command: Command) -> Server {
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        let log = self.file(&format!("server-{run}.log"));
        let out = self.file(&format!("server-{run}.out"));
        command.stdout(File::create(&out).expect("a file for the output"));
        command.stderr(File::create(&log).expect("a file for the log"));
        let child = command.spawn().expect("the binary runs");
        Server { child, address: SocketAddr::from(([127, 0, 0, 1], 0)), log }
    }

    /// Everything that servers have written so far to standard output and to the log.
    ///
    /// # Panics
    /// If it can't be read.
    pub fn output(&self) -> Vec<u8> {
        let runs = self.runs.load(Ordering::Relaxed);
        let names = (0..runs).flat_map(|run| [format!("server-{run}.log"), format!("server-{run}.out")]);
        names.flat_map(|name| fs::read(self.file(&name)).expect("the output of a server")).collect()
    }
}

/// A running server. Killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    log: PathBuf,
}

impl Server {
    /// `http://` and the address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its log until now.
    ///
    /// # Panics
    /// If it can't be read.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("the server's log")
    }

    /// A field of the first line of the log with this message.
    pub fn logged(&self, message: &str, field: &str) -> Option<String> {
        let log = self.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let mut fields = lines.map(|line| line["fields"].clone());
        let found = fields.find(|fields| fields["message"] == message)?;
        found[field].as_str().map(str::to_owned)
    }

    /// Waits until `/readyz`, over plain HTTP, says that it can answer.
    ///
    /// # Panics
    /// If it ends instead.
    #[must_use]
    pub fn ready(mut self) -> Self {
        until("the server is ready", || {
            self.expect_running();
            (status_of(self.address, "/readyz") == Some(200)).then_some(())
        });
        self
    }

    fn expect_running(&mut self) {
        if let Some(status) = self.child.try_wait().expect("the server is our child") {
            panic!("the server ended with {status}: {}", self.log());
        }
    }

    /// Ends it at once (SIGKILL), as a crash does.
    ///
    /// # Panics
    /// If it had ended before.
    pub fn kill(mut self) {
        self.expect_running();
        self.child.kill().expect("the server can be killed");
        self.child.wait().expect("the server was killed");
    }

    /// Asks it to end (SIGTERM).
    ///
    /// # Panics
    /// If it has ended before.
    pub fn terminate(&mut self) {
        self.expect_running();
        signal("TERM", self.id());
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it doesn't end.
    pub fn wait(mut self) -> ExitStatus {
        until("the server ends", || self.child.try_wait().expect("the server is our child"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error only says that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal, such as `TERM`.
pub(crate) fn signal(name: &str, process: u32) {
    let sent = Command::new("kill").args(["-s", name, &process.to_string()]).status();
    assert!(sent.expect("kill runs").success(), "SIG{name} can't be sent to {process}");
}

/// Stops a process and those that it has started, for so long.
const PAUSE: &str = "kill -s STOP $1
all=\"$1 $(cat /proc/$1/task/$1/children)\"
kill -s STOP $all
sleep $2
kill -s CONT $all";

/// Stops a process and those that it has started (SIGSTOP) and lets them go on after that time (SIGCONT), even if
/// the caller has been killed by then.
///
/// # Panics
/// If one of them ends meanwhile.
pub fn pause(process: u32, time: Duration) {
    let mut shell = Command::new("sh");
    shell.args(["-c", PAUSE, "sh", &process.to_string(), &time.as_secs_f64().to_string()]);
    assert!(shell.status().expect("sh runs").success(), "process {process} can't be paused");
}

/// The status that a server answers to a GET, over plain HTTP.
fn status_of(address: SocketAddr, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split(' ').nth(1)?.parse().ok()
}

/// The content of every file in a folder and the folders in it, by path, in order.
///
/// # Panics
/// If it can't be read.
pub fn files_of(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry of a folder");
        let (name, path) = (entry.file_name().to_string_lossy().into_owned(), entry.path());
        if path.is_dir() {
            let inside = files_of(&path).into_iter();
            files.extend(inside.map(|(inner, content)| (format!("{name}/{inner}"), content)));
        } else {
            files.push((name, fs::read(path).expect("a file of the folder")));
        }
    }
    files.sort();
    files
}
