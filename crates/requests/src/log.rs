//! The log as the server sees it.

use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use object_store::local::LocalFileSystem;
use tokenhouse_core::clock::Clock;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::bucket;
use crate::error::Error;
use crate::files::Files;
use crate::layout::node_in_names;
use crate::private;
use crate::query::{self, Bucket, Cursor, Filter, Order, Page, Per, Segment, Top, Used, View};
use crate::recorder::Recorder;
use crate::row::Row;
use crate::segment::decoded;
use crate::writer::{Segments, WhenFull, Writer};

/// A segment of a log whose files are on this machine is written for so long at most.
const LONGEST_ALONE: Duration = Duration::from_mins(5);

/// The same where other nodes shall find the rows too.
const LONGEST_SHARED: Duration = Duration::from_secs(10);

/// How long a question may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How much longer it may take to put together what was found until then.
const GRACE: Duration = Duration::from_secs(1);

/// How many questions are answered at a time.
const QUESTIONS: usize = 2;

/// Where so many segments wait for being moved, a question moves them first: it holds in memory what it reads.
const MANY_SEGMENTS: usize = 4;

/// How often a question is asked again because files were merged meanwhile.
const ATTEMPTS: usize = 3;

/// How far the threads that move and look for rows stand back behind all others, as nice(2) counts.
const NICENESS: i32 = 19;

/// How the log is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where this node's segments are, and the files where they are nowhere else.
    pub folder: PathBuf,
    /// Where the files are that all nodes share: `s3://bucket/folder`.
    pub url: Option<String>,
    /// What this server is called.
    pub node: String,
    /// How many days rows are kept.
    pub retention_days: u32,
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
    /// Segments that were found to be damaged. What could be read of them is in files; they are kept beside the others.
    pub damaged: u64,
}

/// The log of requests.
pub struct Log {
    writer: Mutex<Option<JoinHandle<()>>>,
    when_full: WhenFull,
    keep_one_in: u64,
    seen: AtomicU64,
    without_room: AtomicU64,
    contents: Arc<Contents>,
    /// Threads that stand back.
    aside: Aside,
    questions: Semaphore,
}

/// What was recorded.
struct Contents {
    recorder: Arc<Recorder>,
    segments: Arc<Segments>,
    files: Files,
    clock: Clock,
    node: String,
    retention_days: u32,
    moving: tokio::sync::Mutex<()>,
}

impl Log {
    /// Opens the log and begins to write. How an object store is reached stands in the variables of the process,
    /// as for other programs that speak S3: `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL` and so on.
    ///
    /// # Errors
    /// If the folder or the object store can't be used, or another server writes in the folder.
    pub async fn open(options: Options, clock: Clock) -> Result<Self, Error> {
        let variables = std::env::vars_os();
        let texts =
            variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self::open_with(options, texts.collect(), clock).await
    }

    /// The same with these variables instead of those of the process.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_with(
        options: Options,
        variables: Vec<(String, String)>,
        clock: Clock,
    ) -> Result<Self, Error> {
        let aside = Aside::start()?;
        let segments = options.folder.join("segments").join(node_in_names(&options.node));
        let (recorder, segments) = (Arc::new(Recorder::new()), Arc::new(Segments::open(segments)?));
        let files = aside.run(open_files(options.clone(), variables)).await?;
        for segment in segments.state().closed() {
            files.forget(segment.number);
        }
        segments.continue_after(files.newest());
        let writer = Writer {
            recorder: Arc::clone(&recorder),
            segments: Arc::clone(&segments),
            clock: clock.clone(),
            when_full: options.when_full,
            longest: if options.url.is_some() { LONGEST_SHARED } else { LONGEST_ALONE },
            current: None,
            buffer: Vec::new(),
        };
        Ok(Self {
            writer: Mutex::new(Some(writer.start()?)),
            when_full: options.when_full,
            keep_one_in: options.keep_one_in,
            seen: AtomicU64::new(0),
            without_room: AtomicU64::new(0),
            contents: Arc::new(Contents {
                recorder,
                segments,
                files,
                clock,
                node: options.node,
                retention_days: options.retention_days,
                moving: tokio::sync::Mutex::default(),
            }),
            aside,
            questions: Semaphore::new(QUESTIONS),
        })
    }

    /// Whether the calling thread can record two rows at once.
    pub fn has_room(&self) -> bool {
        self.contents.recorder.has_room()
    }

    /// Returns when the thread that goes on can record two rows at once.
    pub async fn room(&self) {
        self.contents.recorder.room().await;
    }

    /// Records a row, which is in the segment 100 ms later. Wherever there may be no room for it,
    /// [`Self::room`] has to be waited for on the same thread before; a row without room is lost and counted.
    pub fn record(&self, row: &Row<'_>) {
        let is_kept = self.keep_one_in <= 1
            || row.refused.is_some()
            || self.seen.fetch_add(1, Ordering::Relaxed).is_multiple_of(self.keep_one_in);
        if is_kept && !self.contents.recorder.record(row) {
            self.without_room.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What it is doing.
    pub fn state(&self) -> State {
        let state = self.contents.segments.state();
        State {
            trouble: state.trouble().map(str::to_owned),
            is_blocked: state.trouble().is_some() && self.when_full == WhenFull::Wait,
            lost: state.lost() + self.without_room.load(Ordering::Relaxed),
            waits: self.contents.recorder.waits(),
            segments: state.all().count() as u64,
            damaged: state.damaged(),
        }
    }

    /// Moves rows from closed segments into files, merges small files and deletes old ones. To be called every few
    /// seconds; what fails is tried again then.
    pub async fn maintain(&self) -> Result<(), Error> {
        let contents = Arc::clone(&self.contents);
        self.aside.run(async move { contents.maintain().await }).await
    }

    /// Some requests that meet a filter, in an order, from a place on. Those that were recorded before the call
    /// are among them.
    pub async fn page(
        &self,
        filter: Filter,
        order: Order,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page, Error> {
        self.ask(filter, move |view, filter, deadline| async move {
            query::page(&view, &filter, order, after, limit, deadline).await
        })
        .await
    }

    /// How many requests there were in each hour or day that had any.
    pub async fn counts(&self, filter: Filter, per: Per) -> Result<Vec<Bucket>, Error> {
        self.ask(filter, move |view, filter, deadline| async move {
            query::counts(&view, &filter, per, deadline).await
        })
        .await
    }

    /// The most frequent addresses, paths and user agents.
    pub async fn top(&self, filter: Filter, most: usize) -> Result<Top, Error> {
        self.ask(filter, move |view, filter, deadline| async move {
            query::top(&view, &filter, most, deadline).await
        })
        .await
    }

    /// The tokens that were used, with the addresses they were used from.
    pub async fn tokens(&self, filter: Filter, most: usize) -> Result<Vec<Used>, Error> {
        self.ask(filter, move |view, filter, deadline| async move {
            query::tokens(&view, &filter, most, deadline).await
        })
        .await
    }

    /// Writes what has been recorded, moves it into files if that can be done in a few seconds, and ends. Nothing
    /// may be recorded any more.
    pub async fn close(&self) {
        self.end_writer();
        let contents = Arc::clone(&self.contents);
        let moved = self.aside.run(async move { contents.move_segments().await });
        match tokio::time::timeout(PATIENCE, moved).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the newest requests stay in their segment"),
            Err(_) => tracing::warn!("the newest requests stay in their segment: moving them takes too long"),
        }
        self.contents.segments.leave();
    }

    fn end_writer(&self) {
        self.contents.recorder.close();
        let writer = lock(&self.writer).take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the writer of the log of requests panicked");
        }
    }

    /// Answers a question in its turn, again if files were merged meanwhile.
    async fn ask<T: Send + 'static, F: Future<Output = Result<T, Error>> + Send + 'static>(
        &self,
        filter: Filter,
        question: impl Fn(View, Filter, Instant) -> F + Send + Sync + 'static,
    ) -> Result<T, Error> {
        let deadline = Instant::now() + PATIENCE;
        let turn = tokio::time::timeout_at(deadline, self.questions.acquire()).await;
        let _turn = turn.map_err(|_| Error::TooLong)?.map_err(Error::storage)?;
        let contents = Arc::clone(&self.contents);
        let answer = self.aside.run(async move {
            let mut attempt = 1;
            loop {
                match question(contents.view().await?, filter.clone(), deadline).await {
                    Err(Error::Moved) if attempt < ATTEMPTS => {
                        attempt += 1;
                        contents.files.doubt();
                    }
                    answer => return answer,
                }
            }
        });
        // An object store may take its time before any row is looked at. A part of an answer comes a little later.
        tokio::time::timeout_at(deadline + GRACE, answer).await.map_err(|_| Error::TooLong)?
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.end_writer();
    }
}

/// Threads that stand back behind all others.
struct Aside(Option<Runtime>);

impl Aside {
    fn start() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(QUESTIONS)
            .max_blocking_threads(8)
            .thread_name("request-log")
            .enable_all()
            .on_thread_start(|| {
                // On Linux of this thread alone. Where it isn't allowed everything works, only not as evenly.
                let _ = rustix::process::setpriority_process(None, NICENESS);
            })
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// Does something there; it ends when nobody waits for it any more.
    async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        match &self.0 {
            Some(runtime) => AbortOnDropHandle::new(runtime.spawn(work)).await.map_err(Error::storage)?,
            None => work.await,
        }
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // It may be dropped where nobody may wait.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Contents {
    /// All that is recorded at this moment: every row once, in a segment or in a file.
    async fn view(&self) -> Result<View, Error> {
        self.recorder.flush().await;
        if self.segments.state().closed().len() > MANY_SEGMENTS {
            self.move_segments().await?;
        }
        self.refresh().await?;
        // Both at once: a row goes from one to the other under this lock.
        let (segments, view) = {
            let state = self.segments.state();
            let segments: Vec<_> = state.all().cloned().collect();
            (segments, self.files.view())
        };
        let read = tokio::task::spawn_blocking(move || {
            segments.iter().map(|segment| Ok(segment.read()?.rows)).collect::<std::io::Result<Vec<_>>>()
        });
        let node: Arc<str> = self.node.as_str().into();
        let rows = read.await.map_err(Error::storage)??;
        Ok(view.with(rows.into_iter().map(|bytes| Segment { node: Arc::clone(&node), bytes }).collect()))
    }

    async fn refresh(&self) -> Result<(), Error> {
        let in_segments =
            |number| self.segments.state().closed().iter().any(|segment| segment.number == number);
        self.files.refresh(self.clock.now(), in_segments).await
    }

    async fn maintain(&self) -> Result<(), Error> {
        self.move_segments().await?;
        self.refresh().await?;
        let now = self.clock.now();
        self.files.merge(now).await?;
        self.files.expire(now, self.retention_days).await
    }

    /// Moves the rows of closed segments into files, oldest first.
    async fn move_segments(&self) -> Result<(), Error> {
        let _moving = self.moving.lock().await;
        loop {
            let Some(segment) = self.segments.state().closed().first().cloned() else { return Ok(()) };
            let content = segment.read()?;
            let mut rows: Vec<Row<'_>> = decoded(&content.rows).collect();
            let written = self.files.write(segment.number, &mut rows).await?;
            let mut state = self.segments.state();
            self.files.publish(written);
            state.forget(segment.number);
            if !content.is_damaged {
                drop(state);
                segment.remove()?;
                continue;
            }
            state.one_more_damaged();
            drop(state);
            let kept = segment.set_aside()?;
            tracing::error!(segment = %kept.display(), rows = rows.len(), "a segment of the log of requests is damaged: what can be read is in the log, the rest is lost unless somebody restores it from this file");
        }
    }
}

async fn open_files(options: Options, variables: Vec<(String, String)>) -> Result<Files, Error> {
    let Options { folder, url, node, .. } = options;
    let Some(url) = url else {
        let folder = folder.join("files");
        private::make_folder(&folder)?;
        let store = LocalFileSystem::new_with_prefix(&folder)?;
        return Files::open(Arc::new(store), Some(folder), node).await;
    };
    Files::open(bucket::open(&url, variables)?, None, node).await
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
