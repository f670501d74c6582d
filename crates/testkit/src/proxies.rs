//! nginx, Caddy and HAProxy in front of Tokenhouse, run from the very example files that users copy.
//!
//! Each runs as one process on a loopback address of its own and ends when it is dropped, or with
//! the process of the test, whichever comes first.

use std::convert::Infallible;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const NGINX_EXAMPLE: &str = include_str!("../../../docs/nginx.conf.example");
const CADDY_EXAMPLE: &str = include_str!("../../../docs/Caddyfile.example");
const NGINX_FLEET_EXAMPLE: &str = include_str!("../../../docs/fleet-nginx.conf.example");
const HAPROXY_FLEET_EXAMPLE: &str = include_str!("../../../docs/fleet-haproxy.cfg.example");

/// What stands around the example: one process in the foreground that keeps all files in its folder.
const NGINX_MAIN: &str = "
daemon off;
master_process off;
pid nginx.pid;
error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include example.conf;
}
";

const START_LIMIT: Duration = Duration::from_secs(30);

/// nginx, configured by `docs/nginx.conf.example`.
#[derive(Debug)]
pub struct Nginx {
    /// Where it listens, for plain HTTP.
    pub address: SocketAddr,
    _program: Program,
}

impl Nginx {
    /// Starts nginx, which asks `tokenhouse` about every request and passes the good ones on to
    /// `upstream`. Returns when it accepts connections; the error says what nginx said.
    pub fn start(tokenhouse: SocketAddr, upstream: SocketAddr) -> io::Result<Self> {
        let address = own_address();
        let example = substitute(NGINX_EXAMPLE, "listen 80;", &format!("listen {address};"))?;
        let example = substitute_upstreams(&example, tokenhouse, upstream)?;
        Self::run(address, &example)
    }

    /// Starts nginx in front of a fleet, configured by `docs/fleet-nginx.conf.example`.
    pub fn of_fleet(nodes: [SocketAddr; 3]) -> io::Result<Self> {
        let address = own_address();
        let example = substitute(NGINX_FLEET_EXAMPLE, "listen 8080;", &format!("listen {address};"))?;
        Self::run(address, &substitute_nodes(&example, nodes)?)
    }

    fn run(address: SocketAddr, example: &str) -> io::Result<Self> {
        let directory = tempfile::tempdir()?;
        fs::write(directory.path().join("example.conf"), example)?;
        fs::write(directory.path().join("nginx.conf"), NGINX_MAIN)?;
        let mut command = bound_to_parent("nginx");
        command.arg("-p").arg(directory.path()).args(["-c", "nginx.conf", "-e", "stderr"]);
        Ok(Self { address, _program: Program::start(command, directory, address)? })
    }
}

/// Caddy, configured by `docs/Caddyfile.example`.
#[derive(Debug)]
pub struct Caddy {
    /// Where it listens, for plain HTTP.
    pub address: SocketAddr,
    _program: Program,
}

impl Caddy {
    /// Starts Caddy, which asks `tokenhouse` about every request and passes the good ones on to
    /// `upstream`. Returns when it accepts connections; the error says what Caddy said.
    pub fn start(tokenhouse: SocketAddr, upstream: SocketAddr) -> io::Result<Self> {
        let address = own_address();
        let site = format!("http://:{}", address.port());
        let example = substitute(CADDY_EXAMPLE, "api.example.com", &site)?;
        let example = substitute_upstreams(&example, tokenhouse, upstream)?;
        let global = format!("{{\n\tadmin off\n\tauto_https off\n\tdefault_bind {}\n}}\n", address.ip());
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("Caddyfile");
        fs::write(&file, global + &example)?;
        let mut command = bound_to_parent("caddy");
        command.arg("run").arg("--config").arg(file).args(["--adapter", "caddyfile"]);
        for home in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
            command.env(home, directory.path());
        }
        Ok(Self { address, _program: Program::start(command, directory, address)? })
    }
}

/// HAProxy in front of a fleet, configured by `docs/fleet-haproxy.cfg.example`.
#[derive(Debug)]
pub struct Haproxy {
    /// Where it listens, for plain HTTP.
    pub address: SocketAddr,
    _program: Program,
}

impl Haproxy {
    /// Starts HAProxy. Returns when it accepts connections; the error says what HAProxy said.
    pub fn of_fleet(nodes: [SocketAddr; 3]) -> io::Result<Self> {
        let address = own_address();
        let example = substitute(HAPROXY_FLEET_EXAMPLE, "bind :8080", &format!("bind {address}"))?;
        let example = substitute_nodes(&example, nodes)?;
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("haproxy.cfg");
        fs::write(&file, example)?;
        let mut command = bound_to_parent("haproxy");
        command.arg("-db").arg("-f").arg(file);
        Ok(Self { address, _program: Program::start(command, directory, address)? })
    }
}

/// An address that nobody else on this machine uses: neither program can say which port the system
/// chose for it, so the loopback address is made from the process id and the port is counted up.
fn own_address() -> SocketAddr {
    static NEXT_PORT: AtomicU16 = AtomicU16::new(20_000);
    // Process ids have 22 bits at most; the bit above them keeps clear of 127.0.0.1.
    let [_, a, b, c] = (process::id() | 1 << 22).to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(127, a, b, c), NEXT_PORT.fetch_add(1, Ordering::Relaxed)))
}

fn substitute_upstreams(example: &str, tokenhouse: SocketAddr, upstream: SocketAddr) -> io::Result<String> {
    let example = substitute(example, "127.0.0.1:8080", &tokenhouse.to_string())?;
    substitute(&example, "127.0.0.1:9000", &upstream.to_string())
}

fn substitute_nodes(example: &str, nodes: [SocketAddr; 3]) -> io::Result<String> {
    let ports = ["127.0.0.1:8081", "127.0.0.1:8082", "127.0.0.1:8083"];
    ports
        .into_iter()
        .zip(nodes)
        .try_fold(example.to_owned(), |example, (port, node)| substitute(&example, port, &node.to_string()))
}

/// Replaces the one place where the example says `from`, so that a changed example can't slip
/// through untested.
fn substitute(example: &str, from: &str, to: &str) -> io::Result<String> {
    if example.matches(from).count() == 1 {
        Ok(example.replace(from, to))
    } else {
        Err(io::Error::other(format!("the example must say `{from}` exactly once")))
    }
}

/// A command that the kernel kills when the thread that spawned it ends. Daemons live in
/// `/usr/sbin`, which Debian leaves out of the path of ordinary users.
fn bound_to_parent(program: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", program]).env("PATH", format!("{path}:/usr/sbin"));
    command
}

/// A running program and the folder it works in.
#[derive(Debug)]
struct Program {
    /// Dropping it ends the program.
    stop: Option<Sender<Infallible>>,
    keeper: Option<JoinHandle<()>>,
    _directory: TempDir,
}

impl Program {
    /// Spawns the program from a thread that lives as long as the program shall, because the kernel
    /// counts that thread as the parent, and waits until `address` accepts connections.
    fn start(mut command: Command, directory: TempDir, address: SocketAddr) -> io::Result<Self> {
        let log = directory.path().join("log");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?);
        let (stop, stopped) = mpsc::channel();
        let (report, reported) = mpsc::channel();
        let keeper = thread::spawn(move || keep(command, address, &report, &stopped));
        let program = Self { stop: Some(stop), keeper: Some(keeper), _directory: directory };
        match reported.recv() {
            Ok(Ok(())) => Ok(program),
            Ok(Err(error)) => {
                let said = fs::read_to_string(log).unwrap_or_default();
                Err(io::Error::other(format!(
                    "{error}; `cargo xtask install` installs what is missing\n{said}"
                )))
            }
            Err(_) => Err(io::Error::other("the thread that starts the program ended")),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(keeper) = self.keeper.take() {
            // An error means that the thread panicked, and then the kernel has killed the program.
            let _ = keeper.join();
        }
    }
}

/// Runs the program until the other end of `stopped` is dropped.
fn keep(
    mut command: Command,
    address: SocketAddr,
    report: &Sender<io::Result<()>>,
    stopped: &Receiver<Infallible>,
) {
    let started = command.spawn().and_then(|mut child| match wait_until_ready(&mut child, address) {
        Ok(()) => Ok(child),
        Err(error) => {
            end(&mut child);
            Err(error)
        }
    });
    match started {
        Ok(mut child) => {
            let _ = report.send(Ok(()));
            let _ = stopped.recv();
            end(&mut child);
        }
        Err(error) => {
            let _ = report.send(Err(error));
        }
    }
}

/// Errors only say that the program has ended already.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// Tries to connect until it works, the one sign of readiness that both programs give.
fn wait_until_ready(child: &mut Child, address: SocketAddr) -> io::Result<()> {
    let started = Instant::now();
    while TcpStream::connect(address).is_err() {
        if let Some(status) = child.try_wait()? {
            return Err(io::Error::other(format!("ended at once with {status}")));
        }
        if started.elapsed() > START_LIMIT {
            return Err(io::Error::other(format!("does not listen on {address} after {START_LIMIT:?}")));
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
