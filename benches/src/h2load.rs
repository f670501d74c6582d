//! Load from h2load, for what wrk doesn't speak: HTTP/2, and TLS 1.3.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use crate::Failure;
use crate::request::Request;
use crate::rounds::Measuring;
use crate::server::{Server, pinned};
use crate::wrk::{CONNECTIONS, Run};

/// What it speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// HTTP/2 without TLS, known beforehand.
    Http2,
    /// HTTP/1.1 over TLS 1.3.
    Http1Tls,
    /// HTTP/2 over TLS 1.3.
    Http2Tls,
}

/// Loads a server with one GET, on [`CONNECTIONS`] connections with one request at a time on each.
///
/// # Errors
/// Also where a single answer wasn't 2xx or the protocol was another.
pub fn run(
    measuring: &Measuring,
    protocol: Protocol,
    request: &Request,
    server: &Server,
) -> Result<Run, Failure> {
    let mut h2load = pinned(Path::new("h2load"), measuring.cores()?.load);
    h2load.args(["-t1", &format!("-c{CONNECTIONS}"), "-m1", &format!("-D{}", measuring.seconds)]);
    if protocol == Protocol::Http1Tls {
        h2load.arg("--h1");
    }
    for (name, value) in &request.headers {
        h2load.args(["-H", &format!("{name}: {value}")]);
    }
    h2load.arg(url(protocol, server.address, &request.path)).stdin(Stdio::null()).stderr(Stdio::inherit());
    let before = server.cpu_seconds()?;
    let output = h2load.output()?;
    let cpu = server.cpu_seconds()? - before;
    let text = String::from_utf8_lossy(&output.stdout);
    figures(&text, protocol, measuring.seconds, cpu)
        .ok_or_else(|| format!("h2load failed, or answers were errors:\n{text}").into())
}

fn url(protocol: Protocol, address: SocketAddr, path: &str) -> String {
    let scheme = if protocol == Protocol::Http2 { "http" } else { "https" };
    format!("{scheme}://{address}{path}")
}

/// Reads what h2load prints; `None` if something failed or another protocol was spoken. It knows the
/// spread of the times only roughly, so there is no percentile.
fn figures(text: &str, protocol: Protocol, seconds: u64, cpu: f64) -> Option<Run> {
    let (spoken, secured) = match protocol {
        Protocol::Http2 => ("h2c", "finished in "),
        Protocol::Http1Tls => ("http/1.1", "TLS Protocol: TLSv1.3"),
        Protocol::Http2Tls => ("h2", "TLS Protocol: TLSv1.3"),
    };
    let says = |line: &str| text.lines().any(|said| said.starts_with(line));
    let numbers = |prefix: &str| -> Option<Vec<u32>> {
        let line = text.lines().find_map(|line| line.strip_prefix(prefix))?;
        line.split(", ").map(|part| part.split(' ').next()?.parse().ok()).collect()
    };
    let [total, _, _, succeeded, ..] = numbers("requests: ")?[..] else { return None };
    let [good, 0, 0, 0] = numbers("status codes: ")?[..] else { return None };
    let whole = good > 0 && good == total && good == succeeded;
    let (good, seconds) = (f64::from(good), f64::from(u32::try_from(seconds).ok()?));
    (whole && says(&format!("Application protocol: {spoken}")) && says(secured)).then(|| Run {
        per_second: good / seconds,
        refused: 0.0,
        cpu_micros: cpu * 1e6 / good,
        busy: cpu / seconds,
        p99_micros: f64::NAN,
        seconds,
    })
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "exact in binary")]
mod tests {
    use super::*;

    const PRINTED: &str = "TLS Protocol: TLSv1.3\nApplication protocol: h2\nfinished in 2.00s, 50 req/s\n\
        requests: 100 total, 132 started, 100 done, 100 succeeded, 0 failed, 0 errored, 0 timeout\n\
        status codes: 100 2xx, 0 3xx, 0 4xx, 0 5xx\n";

    #[test]
    fn figures_are_of_good_answers_in_the_protocol_that_is_meant() {
        let run = figures(PRINTED, Protocol::Http2Tls, 2, 1.0).unwrap();
        assert_eq!([run.per_second, run.cpu_micros, run.busy], [50.0, 10_000.0, 0.5]);
        assert!(figures(PRINTED, Protocol::Http1Tls, 2, 1.0).is_none());
        for (from, to) in [("v1.3", "v1.2"), ("0 5xx", "1 5xx"), ("100 succeeded, 0", "99 succeeded, 1")] {
            assert!(figures(&PRINTED.replace(from, to), Protocol::Http2Tls, 2, 1.0).is_none(), "{to}");
        }
    }
}
