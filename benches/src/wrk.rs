//! Load from wrk: connections that are kept open, each with one request at a time.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;

use crate::Failure;
use crate::request::Request;
use crate::rounds::{Cores, Measuring};
use crate::server::{Server, pinned};

/// Connections at a time, where nothing else is said.
pub const CONNECTIONS: usize = 32;

/// What stands in a request in place of a number, another one in each.
pub const NUMBER: &str = "########";

/// Reads requests of `SIZE` bytes each from `FILE`. One alone is sent by wrk itself without asking again,
/// unless it has a place for a number; of more, one after the other is taken.
const SCRIPT: &str = "
local requests, position = {}, 0
local file = io.open('FILE', 'rb')
for text in function() return file:read(SIZE) end do requests[#requests + 1] = text end
local before, after = requests[1]:match('^(.*)########(.*)$')
if before then
    function request()
        position = position + 1
        return before .. string.format('%08d', position) .. after
    end
elseif #requests == 1 then
    wrk.format = function() return requests[1] end
else
    function request()
        position = position % #requests + 1
        return requests[position]
    end
end
function done(summary, latency)
    local errors = summary.errors
    local broken = errors.connect + errors.read + errors.write + errors.timeout
    io.write(string.format('figures %d %d %d %d %d\\n',
        summary.requests, summary.duration, errors.status, broken, latency:percentile(99)))
end
";

/// Load for servers.
pub struct Wrk {
    scripts: TempDir,
    cores: Cores,
    seconds: u64,
}

/// Requests that are ready to be sent.
pub struct Prepared {
    script: PathBuf,
    address: SocketAddr,
}

/// What one run gave.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Good answers per second.
    pub per_second: f64,
    /// Answers per second whose status was 400 or more.
    pub refused: f64,
    /// CPU time of the servers for each answer, in microseconds.
    pub cpu_micros: f64,
    /// How much of the time the servers were busy, 1 is one core.
    pub busy: f64,
    /// 99 of 100 answers came within this many microseconds.
    pub p99_micros: f64,
    /// How long it took.
    pub seconds: f64,
}

impl Wrk {
    /// Each run will take as long as `measuring` says.
    pub fn new(measuring: &Measuring) -> Result<Self, Failure> {
        Ok(Self { scripts: tempfile::tempdir()?, cores: measuring.cores()?, seconds: measuring.seconds })
    }

    /// Writes down requests that are sent in turn. All must have the same length.
    ///
    /// # Errors
    /// Also where the first or the last isn't answered with `status` when it is sent alone; a request with
    /// a [`NUMBER`] isn't tried.
    pub fn prepare(
        &self,
        address: SocketAddr,
        requests: &[Request],
        status: u16,
    ) -> Result<Prepared, Failure> {
        let texts: Vec<_> = requests.iter().map(|request| request.text(address)).collect();
        let size = texts.first().map_or(0, String::len);
        if size == 0 || texts.iter().any(|text| text.len() != size) {
            return Err("there must be requests, all of the same length".into());
        }
        if !texts.iter().any(|text| text.contains(NUMBER)) {
            for request in [requests.first(), requests.last()].into_iter().flatten() {
                request.expect(address, status)?;
            }
        }
        let number = fs::read_dir(&self.scripts)?.count();
        let file = |kind| self.scripts.path().join(format!("{number}.{kind}"));
        fs::write(file("requests"), texts.concat())?;
        let script = SCRIPT.replace("FILE", &file("requests").display().to_string());
        fs::write(file("lua"), script.replace("SIZE", &size.to_string()))?;
        Ok(Prepared { script: file("lua"), address })
    }

    /// Loads a server with [`CONNECTIONS`] connections. `servers` are all whose CPU time counts.
    ///
    /// # Errors
    /// Also where a single answer was an error.
    pub fn run(&self, prepared: &Prepared, servers: &[&Server]) -> Result<Run, Failure> {
        self.run_on(prepared, servers, CONNECTIONS)
    }

    /// The same on any number of connections.
    pub fn run_on(
        &self,
        prepared: &Prepared,
        servers: &[&Server],
        connections: usize,
    ) -> Result<Run, Failure> {
        let run = self.overload(prepared, servers, connections)?;
        if run.refused > 0.0 || run.per_second == 0.0 {
            let Run { per_second, refused, .. } = run;
            let problem =
                format!("{per_second:.0} good answers each second, {refused:.0} of status 400 or more");
            return Err(problem.into());
        }
        Ok(run)
    }

    /// The same where refusals are answers, too, and so is silence.
    pub fn overload(
        &self,
        prepared: &Prepared,
        servers: &[&Server],
        connections: usize,
    ) -> Result<Run, Failure> {
        let mut wrk = pinned(Path::new("wrk"), self.cores.load);
        wrk.args(["-t1", "--latency", "--timeout", "60s", &format!("-c{connections}")]);
        wrk.args([&format!("-d{}s", self.seconds), "-s"]).arg(&prepared.script);
        wrk.arg(format!("http://{}/", prepared.address)).stdin(Stdio::null()).stderr(Stdio::inherit());
        let before = cpu_seconds(servers)?;
        let output = wrk.output()?;
        let cpu = cpu_seconds(servers)? - before;
        let text = String::from_utf8_lossy(&output.stdout);
        figures(&text, cpu).ok_or_else(|| format!("wrk failed, or connections broke:\n{text}").into())
    }
}

/// CPU time of all of them together.
fn cpu_seconds(servers: &[&Server]) -> Result<f64, Failure> {
    servers.iter().map(|server| server.cpu_seconds()).sum()
}

/// Reads the line that the script writes; `None` if there is none or connections broke.
fn figures(text: &str, cpu: f64) -> Option<Run> {
    let line = text.lines().find_map(|line| line.strip_prefix("figures "))?;
    let numbers: Vec<f64> = line.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
    let [answers, micros, refused, broken, p99_micros] = numbers[..] else { return None };
    let seconds = micros / 1e6;
    (broken == 0.0).then(|| Run {
        per_second: (answers - refused) / seconds,
        refused: refused / seconds,
        cpu_micros: cpu * 1e6 / answers,
        busy: cpu / seconds,
        p99_micros,
        seconds,
    })
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "exact in binary")]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_no_good_answers_and_broken_connections_no_figures() {
        let run = figures("x\nfigures 1000 2000000 400 0 77\n", 1.0).unwrap();
        assert_eq!([run.per_second, run.refused, run.cpu_micros, run.busy], [300.0, 200.0, 1000.0, 0.5]);
        for broken in ["", "figures 1000 2000000 0 1 77", "figures 1 2"] {
            assert!(figures(broken, 1.0).is_none(), "{broken}");
        }
    }
}
