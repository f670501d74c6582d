//! The log as the server sees it.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokenhouse_core::clock::Clock;

use crate::layout::node_in_names;
use crate::recorder::Recorder;
use crate::row::Row;
use crate::writer::{Segments, WhenFull, Writer};

/// A segment of a log whose files are on this machine is written for so long at most.
const LONGEST_ALONE: Duration = Duration::from_mins(5);

/// How the log is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where this node's segments are, and the files where they are nowhere else.
    pub folder: PathBuf,
    /// What this server is called.
    pub node: String,
    /// What becomes of rows that can't be written.
    pub when_full: WhenFull,
    /// Of so many allowed requests one is kept; refused ones are kept all.
    pub keep_one_in: u64,
}

/// What the log is doing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct State {
    /// Why rows can't be written at present.
    pub trouble: Option<String>,
    /// Whether requests wait until they can.
    pub is_blocked: bool,
    /// How many rows were lost since the start.
    pub lost: u64,
    /// How many requests had to wait for the writer since the start.
    pub waits: u64,
    /// Segments that are not moved into files yet.
    pub segments: u64,
}

/// The log of requests.
pub struct Log {
    recorder: Arc<Recorder>,
    segments: Arc<Segments>,
    writer: Mutex<Option<JoinHandle<()>>>,
    when_full: WhenFull,
    keep_one_in: u64,
    seen: AtomicU64,
    unexpected: AtomicU64,
}

impl Log {
    /// Opens the log and begins to write.
    ///
    /// # Errors
    /// If the folder can't be used, or another server does.
    pub fn open(options: Options, clock: Clock) -> io::Result<Self> {
        let folder = options.folder.join("segments").join(node_in_names(&options.node));
        let (recorder, segments) = (Arc::new(Recorder::new()), Arc::new(Segments::open(folder)?));
        let writer = Writer {
            recorder: Arc::clone(&recorder),
            segments: Arc::clone(&segments),
            clock,
            when_full: options.when_full,
            longest: LONGEST_ALONE,
            current: None,
            buffer: Vec::new(),
        };
        Ok(Self {
            writer: Mutex::new(Some(writer.start()?)),
            recorder,
            segments,
            when_full: options.when_full,
            keep_one_in: options.keep_one_in,
            seen: AtomicU64::new(0),
            unexpected: AtomicU64::new(0),
        })
    }

    /// Whether the calling thread can record a row at once.
    pub fn has_room(&self) -> bool {
        self.recorder.has_room()
    }

    /// Returns when the thread that goes on can record a row at once.
    pub async fn room(&self) {
        self.recorder.room().await;
    }

    /// Records a row, which is in the segment 100 ms later. Wherever there may be no room for it,
    /// [`Self::room`] has to be waited for on the same thread before; a row without room is lost and counted.
    pub fn record(&self, row: &Row<'_>) {
        let is_kept = self.keep_one_in <= 1
            || row.refused.is_some()
            || self.seen.fetch_add(1, Ordering::Relaxed).is_multiple_of(self.keep_one_in);
        if is_kept && !self.recorder.record(row) {
            self.unexpected.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What it is doing.
    pub fn state(&self) -> State {
        let state = self.segments.state();
        State {
            trouble: state.trouble().map(str::to_owned),
            is_blocked: state.trouble().is_some() && self.when_full == WhenFull::Wait,
            lost: state.lost() + self.unexpected.load(Ordering::Relaxed),
            waits: self.recorder.waits(),
            segments: state.all().count() as u64,
        }
    }

    /// Writes what has been recorded and ends the writer. Nothing may be recorded any more.
    pub fn close(&self) {
        self.recorder.close();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the writer of the log of requests panicked");
        }
        self.segments.leave();
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.close();
    }
}
