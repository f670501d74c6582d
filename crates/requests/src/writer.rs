//! The one thread that writes: it empties the rings into the current segment, and begins a new one from time to
//! time.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokenhouse_core::clock::{Clock, Timestamp};

use crate::layout::Hour;
use crate::private;
use crate::recorder::Recorder;
use crate::segment::{Segment, decoded};

/// How long a row stays in memory, at most half of what is promised.
const FLUSH_EVERY: Duration = Duration::from_millis(50);

/// A segment of this many bytes is closed.
const LONGEST_SEGMENT: u64 = 16 * 1024 * 1024;

/// Why a folder can't be used.
const TAKEN: &str = "another server of this name writes its log of requests here; \
                     give one another `fleet.node` or `request_log.directory`";

/// What becomes of rows that can't be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WhenFull {
    /// They wait, and with them all further requests.
    Wait,
    /// They are lost, and counted.
    GoOn,
}

/// The segments of a node that are not in Parquet files yet.
pub(crate) struct Segments {
    folder: PathBuf,
    state: Mutex<State>,
    /// Nobody else may write here as long as it is open.
    lock: Mutex<Option<File>>,
}

#[derive(Default)]
pub(crate) struct State {
    /// The one that is written.
    current: Option<Segment>,
    /// Oldest first.
    closed: Vec<Segment>,
    trouble: Option<String>,
    lost: u64,
    /// Segments that were set aside because they are damaged.
    damaged: u64,
    newest: u64,
}

impl Segments {
    /// Takes over a folder. What an earlier process left there is closed.
    pub(crate) fn open(folder: PathBuf) -> io::Result<Self> {
        private::make_folder(&folder)?;
        let lock = private::empty_file(&folder.join("lock"))?;
        lock.try_lock().map_err(|_| io::Error::new(io::ErrorKind::ResourceBusy, TAKEN))?;
        let closed = Segment::find(&folder)?;
        let newest = closed.last().map_or(0, |segment| segment.number);
        let damaged = Segment::count_aside(&folder)?;
        let state = Mutex::new(State { closed, damaged, newest, ..State::default() });
        Ok(Self { folder, state, lock: Mutex::new(Some(lock)) })
    }

    /// From now on segments have higher numbers than this, even if the clock was set back.
    pub(crate) fn continue_after(&self, number: u64) {
        let mut state = self.state();
        state.newest = state.newest.max(number);
    }

    /// What is there now.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves the folder to others.
    pub(crate) fn leave(&self) {
        if let Some(lock) = self.lock.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Closing it is not enough: a process that is being started holds a copy until it runs its own program.
            // Where it fails, closing does the rest.
            let _ = lock.unlock();
        }
    }

    fn begin(&self, now: Timestamp) -> io::Result<Segment> {
        // By the clock, so that numbers rise also over a folder that was lost.
        let clock = u64::try_from(now.micros()).unwrap_or_default();
        let number = clock.max(self.state().newest + 1);
        let segment = Segment::begin(&self.folder, number)?;
        self.state().newest = number;
        Ok(segment)
    }
}

impl Drop for Segments {
    fn drop(&mut self) {
        self.leave();
    }
}

impl State {
    /// The segments that hold rows, oldest first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Segment> {
        self.closed.iter().chain(&self.current)
    }

    /// The closed ones, oldest first.
    pub(crate) fn closed(&self) -> &[Segment] {
        &self.closed
    }

    /// Forgets a closed one.
    pub(crate) fn forget(&mut self, number: u64) {
        self.closed.retain(|segment| segment.number != number);
    }

    /// Why rows can't be written at present.
    pub(crate) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// How many rows were lost.
    pub(crate) const fn lost(&self) -> u64 {
        self.lost
    }

    /// How many segments were set aside, and are still there as far as this process knows.
    pub(crate) const fn damaged(&self) -> u64 {
        self.damaged
    }

    /// One more was set aside.
    pub(crate) const fn one_more_damaged(&mut self) {
        self.damaged += 1;
    }
}

/// Writes what is recorded.
pub(crate) struct Writer {
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) segments: Arc<Segments>,
    pub(crate) clock: Clock,
    pub(crate) when_full: WhenFull,
    /// How long a segment is written at most.
    pub(crate) longest: Duration,
    pub(crate) current: Option<Current>,
    pub(crate) buffer: Vec<u8>,
}

/// The segment that is written.
pub(crate) struct Current {
    segment: Segment,
    begun: Timestamp,
}

impl Writer {
    /// Writes on a thread of its own until the recorder is closed.
    pub(crate) fn start(self) -> io::Result<JoinHandle<()>> {
        thread::Builder::new().name("requests".into()).spawn(move || self.run())
    }

    fn run(mut self) {
        let recorder = Arc::clone(&self.recorder);
        let _attending = recorder.attend();
        loop {
            recorder.wait(FLUSH_EVERY);
            let is_closing = recorder.is_closing();
            let now = self.clock.now();
            // Nobody comes back for what isn't written now.
            let gives_up = is_closing || self.when_full == WhenFull::GoOn;
            recorder.empty(|rows| self.write(rows, now, gives_up));
            if is_closing || self.is_due(now) {
                self.close();
            }
            if is_closing {
                let lost = self.segments.state().lost;
                if lost > 0 {
                    tracing::error!(
                        lost,
                        "requests could not be recorded since the start, and never will be"
                    );
                }
                return;
            }
        }
    }

    /// Whether the rows are done with: written, or given up and counted.
    fn write(&mut self, rows: &[&[u8]], now: Timestamp, gives_up: bool) -> bool {
        let written = self.append(rows, now);
        let mut state = self.segments.state();
        let Err(error) = written else {
            if state.trouble.take().is_some() {
                tracing::info!("the log of requests can be written again");
            }
            state.current = self.current.as_ref().map(|current| current.segment.clone());
            return true;
        };
        if state.trouble.is_none() {
            tracing::error!(%error, when_full = ?self.when_full, "the log of requests can't be written");
        }
        state.trouble = Some(error.to_string());
        if gives_up {
            // A row may lie over the end of the ring.
            let rows = rows.concat();
            state.lost += decoded(&rows).count() as u64;
        }
        gives_up
    }

    fn append(&mut self, rows: &[&[u8]], now: Timestamp) -> io::Result<()> {
        if self.current.is_none() {
            self.current = Some(Current { segment: self.segments.begin(now)?, begun: now });
        }
        match &mut self.current {
            Some(current) => current.segment.append(rows, &mut self.buffer),
            None => Ok(()),
        }
    }

    /// Whether it is time for another segment.
    fn is_due(&self, now: Timestamp) -> bool {
        let longest = i64::try_from(self.longest.as_micros()).unwrap_or(i64::MAX);
        self.current.as_ref().is_some_and(|Current { segment, begun }| {
            segment.len() >= LONGEST_SEGMENT
                || Hour::of(now) != Hour::of(*begun)
                || now.micros().saturating_sub(begun.micros()) >= longest
        })
    }

    fn close(&mut self) {
        if let Some(Current { segment, .. }) = self.current.take() {
            let mut state = self.segments.state();
            state.current = None;
            state.closed.push(segment);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Row;
    use crate::row::tests::row;

    fn start(
        folder: &std::path::Path,
        when_full: WhenFull,
    ) -> (Arc<Recorder>, Arc<Segments>, JoinHandle<()>) {
        let (recorder, segments) =
            (Arc::new(Recorder::new()), Arc::new(Segments::open(folder.to_owned()).unwrap()));
        let writer = Writer {
            recorder: Arc::clone(&recorder),
            segments: Arc::clone(&segments),
            clock: Clock::turned(row(0, 1).time),
            when_full,
            longest: Duration::from_mins(5),
            current: None,
            buffer: Vec::new(),
        };
        (recorder, segments, writer.start().unwrap())
    }

    fn numbers(segments: &Segments) -> Vec<i64> {
        let all: Vec<Segment> = segments.state().all().cloned().collect();
        let rows = all.iter().map(|segment| segment.read().unwrap().rows);
        let seconds = |row: Row<'_>| row.time.seconds() - super::tests::row(0, 1).time.seconds();
        rows.flat_map(|rows| decoded(&rows).map(seconds).collect::<Vec<_>>()).collect()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn every_row_of_every_thread_is_written_once() {
        let folder = tempfile::tempdir().unwrap();
        let (recorder, segments, writer) = start(folder.path(), WhenFull::Wait);
        // Some ten times what all rings hold.
        let (tasks, rows) = (8, 40_000);
        let path = "/x".repeat(100);
        let mut running = tokio::task::JoinSet::new();
        for task in 0..tasks {
            let (recorder, path) = (Arc::clone(&recorder), path.clone());
            running.spawn(async move {
                for number in 0..rows {
                    recorder.room().await;
                    assert!(recorder.record(&Row { path: &path, ..row(task * rows + number, 1) }));
                }
            });
        }
        running.join_all().await;
        assert!(recorder.waits() > 0, "nobody had to wait, so waiting isn't tested");
        recorder.flush().await;
        let mut written = numbers(&segments);
        written.sort_unstable();
        assert!(written.into_iter().eq(0..tasks * rows));
        recorder.close();
        writer.join().unwrap();
    }

    #[tokio::test]
    async fn a_disk_that_takes_nothing_lets_rows_wait_or_be_counted() {
        for (when_full, then) in [(WhenFull::Wait, (0, vec![1, 2])), (WhenFull::GoOn, (1, vec![2]))] {
            let folder = tempfile::tempdir().unwrap();
            let (recorder, segments, writer) = start(folder.path(), when_full);
            let gone = folder.path().with_extension("gone");
            std::fs::rename(folder.path(), &gone).unwrap();
            recorder.record(&row(1, 1));
            recorder.flush().await;
            assert!(segments.state().trouble().is_some());
            assert_eq!(numbers(&segments), Vec::<i64>::new());
            std::fs::rename(&gone, folder.path()).unwrap();
            recorder.record(&row(2, 1));
            recorder.flush().await;
            assert_eq!(segments.state().trouble(), None);
            let lost = segments.state().lost();
            assert_eq!((lost, numbers(&segments)), then, "{when_full:?}");
            recorder.close();
            writer.join().unwrap();
        }
    }

    #[test]
    fn what_waits_for_a_disk_when_the_process_ends_is_counted_as_lost() {
        let folder = tempfile::tempdir().unwrap();
        let (recorder, segments, writer) = start(folder.path(), WhenFull::Wait);
        std::fs::rename(folder.path(), folder.path().with_extension("gone")).unwrap();
        for second in 0..3 {
            assert!(recorder.record(&row(second, 1)));
        }
        recorder.close();
        writer.join().unwrap();
        assert_eq!(segments.state().lost(), 3);
    }

    #[tokio::test]
    async fn what_a_process_leaves_behind_is_found_by_the_next_and_by_nobody_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let (recorder, segments, writer) = start(folder.path(), WhenFull::Wait);
        recorder.record(&row(1, 1));
        recorder.close();
        assert!(Segments::open(folder.path().to_owned()).is_err());
        writer.join().unwrap();
        drop(segments);
        let (recorder, segments, writer) = start(folder.path(), WhenFull::Wait);
        recorder.record(&row(2, 1));
        recorder.flush().await;
        assert_eq!(segments.state().closed().len(), 1);
        assert_eq!(numbers(&segments), [1, 2]);
        recorder.close();
        writer.join().unwrap();
    }

    #[test]
    fn a_folder_is_left_though_a_process_that_is_being_started_holds_a_copy_of_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let segments = Segments::open(folder.path().to_owned()).unwrap();
        let copy = segments.lock.lock().unwrap().as_ref().unwrap().try_clone().unwrap();
        drop(segments);
        assert!(Segments::open(folder.path().to_owned()).is_ok());
        drop(copy);
    }
}
