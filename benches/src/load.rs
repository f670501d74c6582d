//! Load from wrk: 32 connections that are kept open, each with one request at a time.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::Failure;
use crate::server::{Server, pinned};

/// Connections at a time.
pub const CONNECTIONS: usize = 32;

/// What every script ends with: one line with all that is needed of a run.
const DONE: &str = "
function done(summary, latency)
    local errors = summary.errors
    local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
    io.write(string.format('figures %d %d %d %d\\n', summary.requests, summary.duration, failed, latency:percentile(99)))
end
";

/// Takes one request after the other from the file that is named behind `--`.
const ROTATE: &str = "
local requests, position = {}, 0
function init(arguments)
    for token in io.lines(arguments[1]) do
        wrk.headers['Authorization'] = 'Bearer ' .. token
        requests[#requests + 1] = wrk.format()
    end
end
function request()
    position = position % #requests + 1
    return requests[position]
end
";

/// The request that a proxy in front asks about, besides the token.
pub const ASKED_ABOUT: [(&str, &str); 3] = [
    ("X-Forwarded-Method", "GET"),
    ("X-Forwarded-Uri", "/api/orders/4711?page=2"),
    ("X-Forwarded-For", "203.0.113.7"),
];

/// Which requests are sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Requests {
    /// Without any header but `Host`.
    Bare,
    /// As a proxy asks, with one token.
    OneToken,
    /// As a proxy asks, with many tokens in turn.
    ManyTokens,
}

/// Scripts for wrk.
pub struct Scripts {
    bare: PathBuf,
    one: PathBuf,
    many: PathBuf,
    tokens: PathBuf,
}

/// What one run gave.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Answers per second.
    pub per_second: f64,
    /// CPU time of the server for each request, in microseconds.
    pub cpu_micros: f64,
    /// How much of the time the server was busy, 1 is one core.
    pub busy: f64,
    /// 99 of 100 answers came within this many microseconds.
    pub p99_micros: f64,
}

impl Scripts {
    /// Writes the scripts, which present `tokens`.
    pub fn write(folder: &Path, tokens: &[String]) -> Result<Self, Failure> {
        let headers =
            ASKED_ABOUT.map(|(name, value)| format!("wrk.headers['{name}'] = '{value}'\n")).concat();
        let first = tokens.first().ok_or("no tokens to present")?;
        let one = format!("{headers}wrk.headers['Authorization'] = 'Bearer {first}'\n{DONE}");
        let file = |name: &str, text: &str| {
            let file = folder.join(name);
            fs::write(&file, text).map(|()| file)
        };
        Ok(Self {
            bare: file("bare.lua", DONE)?,
            one: file("one.lua", &one)?,
            many: file("many.lua", &format!("{headers}{ROTATE}{DONE}"))?,
            tokens: file("tokens", &tokens.join("\n"))?,
        })
    }

    /// Loads a server for some seconds.
    ///
    /// # Errors
    /// Also where a single answer was an error.
    pub fn run(
        &self,
        server: &Server,
        path: &str,
        requests: Requests,
        seconds: u64,
        core: Option<usize>,
    ) -> Result<Run, Failure> {
        let script = match requests {
            Requests::Bare => &self.bare,
            Requests::OneToken => &self.one,
            Requests::ManyTokens => &self.many,
        };
        let mut wrk = pinned(Path::new("wrk"), core);
        wrk.args(["-t1", &format!("-c{CONNECTIONS}"), &format!("-d{seconds}s"), "--latency", "-s"]);
        wrk.arg(script).arg(url(server.address, path)).arg("--").arg(&self.tokens).stdin(Stdio::null());
        let before = server.cpu_seconds()?;
        let output = wrk.stderr(Stdio::inherit()).output()?;
        let cpu = server.cpu_seconds()? - before;
        let text = String::from_utf8_lossy(&output.stdout);
        figures(&text, cpu).ok_or_else(|| format!("wrk failed, or answers were errors:\n{text}").into())
    }
}

fn url(address: SocketAddr, path: &str) -> String {
    format!("http://{address}{path}")
}

/// Reads the line of [`DONE`]; `None` if there is none or something failed.
fn figures(text: &str, cpu: f64) -> Option<Run> {
    let line = text.lines().find_map(|line| line.strip_prefix("figures "))?;
    let numbers: Vec<f64> = line.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
    let [requests, micros, failed, p99_micros] = numbers[..] else { return None };
    let seconds = micros / 1e6;
    (requests > 0.0 && failed == 0.0).then(|| Run {
        per_second: requests / seconds,
        cpu_micros: cpu * 1e6 / requests,
        busy: cpu / seconds,
        p99_micros,
    })
}
