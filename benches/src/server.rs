//! Server processes on loopback.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::fill::Filled;
use crate::{Failure, ISSUER};

/// How often a starting server is asked whether it is ready.
const ASK_EVERY: Duration = Duration::from_millis(2);

/// How long a server may take to become ready.
const PATIENCE: Duration = Duration::from_secs(120);

/// In which units Linux tells CPU time to programs (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// A server that runs until this is dropped.
pub struct Server {
    process: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    /// Starts `tokenhouse serve` on a filled store and waits until it is ready. `metrics` is where it
    /// shows them.
    pub fn tokenhouse(filled: &Filled, metrics: SocketAddr, core: Option<usize>) -> Result<Self, Failure> {
        let address = free_address()?;
        let config = configure(filled, address, metrics)?;
        let arguments = [OsStr::new("--config"), config.as_os_str(), OsStr::new("serve")];
        Self::start(&beside_this("tokenhouse")?, &arguments, address, core, "/readyz")
    }

    /// Starts one of the bare servers of `yardstick`.
    pub fn yardstick(kind: &str, core: Option<usize>) -> Result<Self, Failure> {
        let address = free_address()?;
        let listen = address.to_string();
        let arguments = [OsStr::new(kind), OsStr::new(&listen)];
        Self::start(&beside_this("yardstick")?, &arguments, address, core, "/")
    }

    fn start(
        program: &Path,
        arguments: &[&OsStr],
        address: SocketAddr,
        core: Option<usize>,
        ready: &str,
    ) -> Result<Self, Failure> {
        let process = pinned(program, core).args(arguments).stdin(Stdio::null()).spawn()?;
        let mut server = Self { process, address };
        let started = Instant::now();
        while !get(address, ready, "").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 ")) {
            if server.process.try_wait()?.is_some() || started.elapsed() > PATIENCE {
                return Err(format!("{} did not become ready", program.display()).into());
            }
            thread::sleep(ASK_EVERY);
        }
        Ok(server)
    }

    /// The CPU time that the process has used so far, in seconds: `utime` and `stime` of proc(5), the
    /// 12th and 13th field after the name, which may hold anything but a closing parenthesis.
    pub fn cpu_seconds(&self) -> Result<f64, Failure> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        let (_, fields) = stat.rsplit_once(')').ok_or("no name in /proc/<pid>/stat")?;
        let ticks: Vec<f64> =
            fields.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
        Ok(ticks.iter().sum::<f64>() / TICKS_PER_SECOND)
    }
}

/// Writes the configuration of a server on a filled store.
fn configure(filled: &Filled, address: SocketAddr, metrics: SocketAddr) -> Result<PathBuf, Failure> {
    let config = filled.database.with_file_name("tokenhouse.toml");
    let text = format!(
        "[server]\nlisten = \"{address}\"\npublic_url = \"{ISSUER}\"\nmetrics_listen = \"{metrics}\"\n\
         [store]\nurl = \"sqlite://{}\"\n[log]\nlevel = \"warn\"\n",
        filled.database.display()
    );
    fs::write(&config, text)?;
    Ok(config)
}

/// Makes an Admin in a filled store that no server holds. Tells the path of their invitation and a token.
pub fn make_admin(filled: &Filled) -> Result<(String, String), Failure> {
    let config = configure(filled, free_address()?, free_address()?)?;
    let output = Command::new(beside_this("tokenhouse")?)
        .arg("--config")
        .arg(config)
        .args(["admin", "create", "--email", "admin@example.com", "--name", "Admin", "--role", "Admin"])
        .args(["--token", "first"])
        .stderr(Stdio::inherit())
        .output()?;
    let made: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let link = made["invite_url"].as_str().and_then(|link| link.strip_prefix(ISSUER));
    let (link, token) =
        link.zip(made["bearer_token"].as_str()).ok_or("no invitation or token was printed")?;
    Ok((link.to_owned(), token.to_owned()))
}

/// A command that runs on one core only, where one is given.
pub fn pinned(program: &Path, core: Option<usize>) -> Command {
    let Some(core) = core else { return Command::new(program) };
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string()]).arg(program);
    command
}

/// An address on loopback that nobody listens on, another one each time. Not one of those that the
/// system gives to connections: asking whether a server listens there could connect to itself.
pub fn free_address() -> Result<SocketAddr, Failure> {
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    loop {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        if port >= 30_000 {
            return Err("no free port from 20,000 to 29,999".into());
        }
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return Ok(listener.local_addr()?);
        }
    }
}

/// The answer to a GET on a connection of its own. `headers` are whole lines.
pub fn get(address: SocketAddr, path: &str, headers: &str) -> std::io::Result<String> {
    Ok(String::from_utf8_lossy(&ask(address, "GET", path, headers, "")?).into_owned())
}

/// The same with any method and body, as bytes.
pub fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n{body}"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// A program that was built together with this one.
fn beside_this(name: &str) -> Result<PathBuf, Failure> {
    let program = std::env::current_exe()?.with_file_name(name);
    if program.exists() { Ok(program) } else { Err(format!("{} is not built", program.display()).into()) }
}
