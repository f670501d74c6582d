//! Watches what a process asks of the system, and makes the disk slow or broken for it (strace).

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use regex::Regex;
use tokenhouse_testkit::process::{Installation, Server, until};

/// Something a process did, in the order in which it happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// A commit is written into the log of the database.
    Commit,
    /// A sync of that log begins, on this thread.
    SyncBegun(u32),
    /// It has ended, well or not.
    SyncEnded(u32, bool),
    /// Something is sent to a client or written to standard output. Its first bytes.
    Told(String),
}

/// What is put before the binary to trace it from the start on. It stays a child of the test.
pub(crate) fn tracing<'a>(trace: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let trace = trace.to_str().unwrap();
    let calls = "trace=pwrite64,fdatasync,write,writev,sendto";
    // Nothing of what is sent goes into the file but status lines: there are tokens behind them.
    let fixed = ["strace", "-D", "-f", "-y", "-xx", "-s", "24", "-o", trace, "-e", calls];
    fixed.into_iter().chain(more.iter().copied()).collect()
}

/// Lets every sync of a running server fail until it is dropped.
pub(crate) struct BrokenDisk(Child);

impl BrokenDisk {
    pub(crate) fn of(installation: &Installation, server: &Server) -> Self {
        let log = installation.file("strace.log");
        let inject = ["-e", "trace=fdatasync,fsync", "-e", "inject=fdatasync,fsync:error=EIO"];
        let tracer = Command::new("strace")
            .args(["-f", "-p", &server.id().to_string()])
            .args(inject)
            .stdin(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn();
        let mut broken = Self(tracer.expect("strace, of Debian's package of this name, can be run"));
        until("strace watches the server", || {
            let said = fs::read_to_string(&log).unwrap();
            let ended = broken.0.try_wait().unwrap();
            assert!(ended.is_none(), "this needs the right to trace processes (ptrace): {said}");
            said.contains("attached").then_some(())
        });
        broken
    }
}

impl Drop for BrokenDisk {
    fn drop(&mut self) {
        // It lets the server go when it is asked to end, and not when it is killed.
        let asked = Command::new("kill").arg(self.0.id().to_string()).status();
        if asked.is_ok_and(|status| status.success()) {
            let _ = self.0.wait();
        }
    }
}

/// What a trace tells. Waits until what the caller looks for is in it, since the tracer writes it a moment later.
pub(crate) fn events(trace: &Path, complete: impl Fn(&[Event]) -> bool) -> Vec<Event> {
    until("the trace is complete", || {
        let text = fs::read_to_string(trace).unwrap_or_default();
        let denied = ["ptrace", "PTRACE"].iter().any(|word| text.contains(word));
        assert!(!denied, "this needs the right to trace processes (ptrace): {text}");
        Some(parse(&text)).filter(|events| complete(events))
    })
}

fn parse(text: &str) -> Vec<Event> {
    let call = r#"^(?<thread>\d+) +(?<call>\w+)\(\d+<(?<file>[^>]*)>(?:, (?:\[\{iov_base=)?"(?<data>[^"]*)"(?<cut>\.\.\.)?)?"#;
    let call = Regex::new(call).unwrap();
    let resumed = Regex::new(r"^(?<thread>\d+) +<\.\.\. (?<call>\w+) resumed>").unwrap();
    let succeeded = Regex::new(r"\) += \d+( \(DELAYED\))?$").unwrap();
    let mut events = Vec::new();
    // Threads that are inside a call that writes a commit.
    let mut committing = Vec::new();
    for line in text.lines() {
        let (found, is_begin) = match (call.captures(line), resumed.captures(line)) {
            (Some(found), _) => (found, true),
            (None, Some(found)) => (found, false),
            _ => continue,
        };
        let thread: u32 = found["thread"].parse().unwrap();
        let has_ended = !line.ends_with("<unfinished ...>");
        let group = |name| found.name(name).map(|part| unescape(part.as_str())).unwrap_or_default();
        let is_log = group("file").ends_with(b".db-wal");
        match &found["call"] {
            "fdatasync" => {
                if is_begin && is_log {
                    events.push(Event::SyncBegun(thread));
                }
                if has_ended {
                    events.push(Event::SyncEnded(thread, succeeded.is_match(line)));
                }
            }
            "pwrite64" => {
                if is_begin && is_log && found.name("cut").is_none() && is_commit(&group("data")) {
                    committing.push(thread);
                }
                if has_ended && committing.contains(&thread) {
                    committing.retain(|known| *known != thread);
                    events.push(Event::Commit);
                }
            }
            _ if is_begin => events.push(Event::Told(String::from_utf8_lossy(&group("data")).into_owned())),
            _ => {}
        }
    }
    events
}

/// The head of a page in SQLite's log: 24 bytes, of which four are zero unless it ends a commit.
fn is_commit(head: &[u8]) -> bool {
    head.len() == 24 && head[4..8] != [0; 4]
}

fn unescape(text: &str) -> Vec<u8> {
    text.split("\\x").skip(1).map(|digits| u8::from_str_radix(digits, 16).unwrap()).collect()
}

/// How many commits were on disk when something was told for which `is_it` holds, each time.
pub(crate) fn durable_when(events: &[Event], is_it: impl Fn(&str) -> bool) -> Vec<usize> {
    let (mut commits, mut durable) = (0, 0);
    let mut syncs = Vec::new();
    let mut told = Vec::new();
    for event in events {
        match event {
            Event::Commit => commits += 1,
            Event::SyncBegun(thread) => syncs.push((*thread, commits)),
            Event::SyncEnded(thread, succeeded) => {
                let ended = syncs.iter().position(|(known, _)| known == thread).map(|at| syncs.remove(at));
                if let Some((_, covered)) = ended.filter(|_| *succeeded) {
                    durable = durable.max(covered);
                }
            }
            Event::Told(text) if is_it(text) => told.push(durable),
            Event::Told(_) => {}
        }
    }
    told
}

/// Where the trace of an installation is written.
pub(crate) fn trace_of(installation: &Installation) -> PathBuf {
    installation.file("trace")
}
