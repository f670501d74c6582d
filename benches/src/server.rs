//! Server processes on loopback.

use std::ffi::OsStr;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::Failure;
use crate::certificate::Certificate;

/// How often a starting server is asked whether it is ready.
const ASK_EVERY: Duration = Duration::from_millis(2);

/// How long a server may take to become ready.
const PATIENCE: Duration = Duration::from_secs(300);

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
    /// Starts one of the bare servers of `yardstick`, over TLS where there is a certificate.
    pub fn yardstick(
        kind: &str,
        certificate: Option<&Certificate>,
        core: Option<usize>,
    ) -> Result<Self, Failure> {
        let address = free_address()?;
        let listen = address.to_string();
        let mut arguments = vec![OsStr::new(kind), OsStr::new(&listen)];
        if let Some(Certificate { certificate, key }) = certificate {
            arguments.extend(["--certificate".as_ref(), certificate.as_os_str()]);
            arguments.extend(["--key".as_ref(), key.as_os_str()]);
        }
        Self::start(&beside_this("yardstick")?, &arguments, address, core, listens)
    }

    /// Starts a program and waits until it is ready.
    pub fn start(
        program: &Path,
        arguments: &[&OsStr],
        address: SocketAddr,
        core: Option<usize>,
        ready: impl Fn(SocketAddr) -> bool,
    ) -> Result<Self, Failure> {
        // What it says goes nowhere: the link for the first Admin is a secret. Errors are still shown.
        let mut command = pinned(program, core);
        let process = command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let mut server = Self { process, address };
        let started = Instant::now();
        while !ready(address) {
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

    /// How much memory the process has now, in bytes.
    pub fn resident_bytes(&self) -> Result<usize, Failure> {
        resident_bytes(&self.process.id().to_string())
    }
}

/// Whether somebody listens there.
pub fn listens(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}

/// Lets this process, and those that it starts, have as many files open as the system allows.
pub fn raise_file_limit() -> Result<(), Failure> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?)
}

/// Keeps the present thread, and what it starts, on one core, where one is given.
pub fn pin_this_thread(core: Option<usize>) -> Result<(), Failure> {
    let Some(core) = core else { return Ok(()) };
    let mut cores = CpuSet::new();
    cores.set(core);
    Ok(sched_setaffinity(None, &cores)?)
}

/// Resident memory of a process, named by its id or `self`: `VmRSS` of proc(5), which is in kibibytes.
pub fn resident_bytes(process: &str) -> Result<usize, Failure> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS in /proc")?;
    let kibibytes = line.trim().strip_suffix(" kB").ok_or("VmRSS is not in kB")?;
    Ok(kibibytes.parse::<usize>()? * 1024)
}

/// Starts something on one core, where one is given, with whatever it starts later; this thread goes on as it was.
pub fn on_core<T>(core: Option<usize>, start: impl FnOnce() -> T) -> Result<T, Failure> {
    let before = sched_getaffinity(None)?;
    pin_this_thread(core)?;
    let started = start();
    sched_setaffinity(None, &before)?;
    Ok(started)
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

/// A program that was built together with this one.
pub fn beside_this(name: &str) -> Result<PathBuf, Failure> {
    let program = std::env::current_exe()?.with_file_name(name);
    if program.exists() { Ok(program) } else { Err(format!("{} is not built", program.display()).into()) }
}
