//! When what was committed is on disk.
//!
//! SQLite writes a commit into its log, the `-wal` file, without waiting for the disk (`synchronous =
//! NORMAL`). One sync of that file makes durable whatever was committed before it, however many commits
//! there were: whoever finds nobody syncing does it, and those who come meanwhile wait for the next one,
//! which one of them does for all. So a commit alone is visible and survives a crash of the process, and
//! only [`Durability::settle`] makes it survive a loss of power. `PostgreSQL` does all of this by itself.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::Mutex;

use crate::sql::Query;
use crate::turns::Turn;
use crate::{Cause, Error};

/// Commits transactions and makes them durable. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Durability(Option<Arc<Syncs>>);

/// Which commits are on disk. They are numbered in the order in which they begin, which is that in which
/// they are written, since one connection writes.
struct Syncs {
    /// The newest commit that has begun: others may see it before it has ended.
    begun: AtomicU64,
    /// The newest commit that has ended.
    ended: AtomicU64,
    /// The newest commit that is known to be on disk, with all before it.
    durable: AtomicU64,
    /// Why nothing can be made durable any more.
    failure: OnceLock<Cause>,
    /// Whoever has it syncs.
    turn: Arc<Mutex<()>>,
    sync: Box<dyn Fn() -> io::Result<()> + Send + Sync>,
}

impl fmt::Debug for Syncs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Syncs").field("failure", &self.failure).finish_non_exhaustive()
    }
}

impl Durability {
    /// Of a database that answers a commit when it is on disk.
    pub(crate) const fn of_every_commit() -> Self {
        Self(None)
    }

    /// Of a SQLite database with this log. What is in it already may be from a process that was killed
    /// between commit and sync, so it counts as a commit to be made durable.
    pub(crate) fn of_log(path: PathBuf) -> Self {
        let log = std::sync::Mutex::new(Log { path, file: None });
        Self::by(move || log.lock().map_err(|_| io::Error::other("a sync panicked"))?.sync())
    }

    fn by(sync: impl Fn() -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(Syncs {
            begun: AtomicU64::new(1),
            ended: AtomicU64::new(1),
            durable: AtomicU64::new(0),
            failure: OnceLock::new(),
            turn: Arc::default(),
            sync: Box::new(sync),
        })))
    }

    /// Commits. What it changed is visible then; to have it on disk, [`Self::settle`].
    pub(crate) async fn commit(&self, turn: &mut Turn) -> Result<(), Error> {
        self.while_committing(turn.commit()).await
    }

    /// The same with the last statement of the transaction.
    pub(crate) async fn commit_with(&self, turn: &mut Turn, last: Query) -> Result<(), Error> {
        self.while_committing(turn.commit_with(last)).await
    }

    async fn while_committing(&self, commit: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
        let Some(syncs) = &self.0 else { return commit.await };
        syncs.check()?;
        let number = syncs.begin();
        // Given up half-way it may still be written. It then ends with the next one, and until then
        // counts as not durable.
        let committed = commit.await;
        syncs.end(number);
        committed
    }

    /// Returns when everything that can be seen at the call is on disk: at once if it is.
    ///
    /// # Errors
    /// [`Error::SyncFailed`] if that can't be known, now and for ever.
    pub(crate) async fn settle(&self) -> Result<(), Error> {
        match &self.0 {
            Some(syncs) => syncs.settle().await,
            None => Ok(()),
        }
    }

    /// # Errors
    /// [`Error::SyncFailed`] if a sync has failed.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.0.as_ref().map_or(Ok(()), |syncs| syncs.check())
    }
}

impl Syncs {
    fn begin(&self) -> u64 {
        self.begun.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn end(&self, number: u64) {
        self.ended.fetch_max(number, Ordering::SeqCst);
    }

    fn check(&self) -> Result<(), Error> {
        self.failure.get().map_or(Ok(()), |cause| Err(Error::SyncFailed(cause.clone())))
    }

    async fn settle(self: &Arc<Self>) -> Result<(), Error> {
        let seen = self.begun.load(Ordering::SeqCst);
        if !self.is_durable(seen) {
            let turn = Arc::clone(&self.turn).lock_owned().await;
            // Somebody else may have synced meanwhile. If not, a sync that begins now has all that was
            // visible at the call, also of a commit that hasn't ended.
            if !self.is_durable(seen) {
                self.check()?;
                let syncs = Arc::clone(self);
                // What it comes to is noted there: whoever waits for it may go away.
                let synced = tokio::task::spawn_blocking(move || {
                    let _turn = turn;
                    syncs.sync();
                });
                synced.await.map_err(|_| Error::Unavailable(Cause("a sync did not end".into())))?;
            }
        }
        self.check()
    }

    fn is_durable(&self, number: u64) -> bool {
        self.durable.load(Ordering::SeqCst) >= number
    }

    fn sync(&self) {
        // A commit that is being written may come too late for this sync.
        let ended = self.ended.load(Ordering::SeqCst);
        match (self.sync)() {
            Ok(()) => self.durable.store(ended, Ordering::SeqCst),
            // For good: Linux tells an error once and forgets what it couldn't write, so a later sync would
            // succeed without it.
            Err(error) => {
                let _ = self.failure.set(Cause(error.to_string()));
            }
        }
    }
}

/// The file that is synced.
struct Log {
    path: PathBuf,
    /// Kept open: a file that was opened later wouldn't hear of an error that SQLite, which syncs it before it
    /// empties it, has been told already. Closing it drops none of SQLite's locks, which belong to the process and
    /// lie on the database itself and its `-shm`.
    file: Option<File>,
}

impl Log {
    fn sync(&mut self) -> io::Result<()> {
        let now = match fs::metadata(&self.path) {
            Ok(found) => (found.dev(), found.ino()),
            // SQLite deletes it with its last connection, after everything in it is in the database, and synced.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.file = None;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let known = self.file.take().filter(|file| is(file, now));
        let file = known.map_or_else(|| File::open(&self.path), Ok)?;
        self.file.insert(file).sync_data()
    }
}

/// Whether it is the file with these numbers, and not one that was made in its place.
fn is(file: &File, (device, inode): (u64, u64)) -> bool {
    file.metadata().is_ok_and(|found| (found.dev(), found.ino()) == (device, inode))
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::mpsc;
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
    use tokio::time::timeout;

    use super::*;

    /// How long a sync may take to begin or to end.
    const PATIENCE: Duration = Duration::from_secs(10);

    /// A disk that tells when a sync begins, and ends it as it is told.
    struct Disk {
        begun: UnboundedReceiver<()>,
        end: mpsc::Sender<io::Result<()>>,
    }

    impl Disk {
        fn new() -> (Arc<Syncs>, Self) {
            let (begins, begun) = unbounded_channel();
            let (end, ended) = mpsc::channel();
            let ended = std::sync::Mutex::new(ended);
            let Durability(syncs) = Durability::by(move || {
                begins.send(()).unwrap();
                ended.lock().unwrap().recv_timeout(PATIENCE).unwrap()
            });
            (syncs.unwrap(), Self { begun, end })
        }

        /// One that has nothing to sync.
        async fn settled() -> (Arc<Syncs>, Self) {
            let (syncs, mut disk) = Self::new();
            disk.end.send(Ok(())).unwrap();
            syncs.settle().await.unwrap();
            disk.begins().await;
            (syncs, disk)
        }

        /// Waits until a sync begins.
        async fn begins(&mut self) {
            timeout(PATIENCE, self.begun.recv()).await.unwrap().unwrap();
        }

        async fn end(&mut self, outcome: io::Result<()>) {
            self.begins().await;
            self.end.send(outcome).unwrap();
        }

        fn is_idle(&mut self) -> bool {
            self.begun.try_recv().is_err()
        }
    }

    fn commit(syncs: &Syncs) {
        syncs.end(syncs.begin());
    }

    /// Somebody who waits to be settled, and has come before this returns.
    fn waiting(syncs: &Arc<Syncs>) -> tokio::task::JoinHandle<Result<(), Error>> {
        let syncs = Arc::clone(syncs);
        let mut settling = Box::pin(async move { syncs.settle().await });
        assert!(settling.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        tokio::spawn(settling)
    }

    fn is_settled(syncs: &Arc<Syncs>) -> bool {
        let settled = pin!(syncs.settle()).poll(&mut Context::from_waker(Waker::noop()));
        matches!(settled, Poll::Ready(Ok(())))
    }

    fn is_failed(settled: Result<(), Error>) -> bool {
        matches!(settled, Err(Error::SyncFailed(_)))
    }

    #[tokio::test]
    async fn what_is_on_disk_is_not_synced_again() {
        let (syncs, mut disk) = Disk::settled().await;
        assert!(is_settled(&syncs));
        commit(&syncs);
        let first = waiting(&syncs);
        disk.end(Ok(())).await;
        first.await.unwrap().unwrap();
        assert!(is_settled(&syncs) && disk.is_idle());
    }

    #[tokio::test]
    async fn what_an_earlier_process_left_is_synced() {
        let (syncs, mut disk) = Disk::new();
        let first = waiting(&syncs);
        disk.end(Ok(())).await;
        first.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn one_sync_is_for_all_who_came_during_the_last_one() {
        let (syncs, mut disk) = Disk::settled().await;
        commit(&syncs);
        let first = waiting(&syncs);
        disk.begins().await;
        let others: Vec<_> = std::iter::repeat_with(|| {
            commit(&syncs);
            waiting(&syncs)
        })
        .take(5)
        .collect();
        disk.end.send(Ok(())).unwrap();
        first.await.unwrap().unwrap();
        disk.begins().await;
        assert!(others.iter().all(|other| !other.is_finished()), "the sync that was under way is too early");
        disk.end.send(Ok(())).unwrap();
        for other in others {
            other.await.unwrap().unwrap();
        }
        assert!(is_settled(&syncs) && disk.is_idle());
    }

    #[tokio::test]
    async fn what_can_be_seen_before_its_commit_has_ended_is_synced() {
        let (syncs, mut disk) = Disk::settled().await;
        let number = syncs.begin();
        let reader = waiting(&syncs);
        disk.end(Ok(())).await;
        reader.await.unwrap().unwrap();
        // It may have been written too late for that sync.
        assert!(!is_settled(&syncs));
        disk.end(Ok(())).await;
        syncs.end(number);
        let writer = waiting(&syncs);
        disk.end(Ok(())).await;
        writer.await.unwrap().unwrap();
        assert!(is_settled(&syncs));
    }

    #[tokio::test]
    async fn a_commit_that_was_given_up_ends_with_the_next_one() {
        let (syncs, mut disk) = Disk::settled().await;
        syncs.begin();
        commit(&syncs);
        let next = waiting(&syncs);
        disk.end(Ok(())).await;
        next.await.unwrap().unwrap();
        assert!(is_settled(&syncs));
    }

    #[tokio::test]
    async fn after_a_failed_sync_no_other_is_believed() {
        let (syncs, mut disk) = Disk::settled().await;
        commit(&syncs);
        let first = waiting(&syncs);
        disk.begins().await;
        let second = waiting(&syncs);
        disk.end.send(Err(io::Error::other("medium error"))).unwrap();
        assert!(is_failed(first.await.unwrap()));
        assert!(is_failed(second.await.unwrap()));
        assert!(is_failed(syncs.settle().await));
        assert!(is_failed(syncs.check()));
        assert!(disk.is_idle());
    }

    #[tokio::test]
    async fn a_failed_sync_counts_also_if_nobody_waits_for_it_any_more() {
        let (syncs, mut disk) = Disk::settled().await;
        commit(&syncs);
        assert!(!is_settled(&syncs), "begun and dropped");
        disk.begins().await;
        let next = waiting(&syncs);
        disk.end.send(Err(io::Error::other("medium error"))).unwrap();
        assert!(is_failed(next.await.unwrap()));
        assert!(disk.is_idle());
    }

    #[test]
    fn a_log_that_was_made_anew_is_the_one_that_is_synced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = Log { path: path.clone(), file: None };
        log.sync().unwrap();
        assert!(log.file.is_none());
        for _ in 0..2 {
            File::create_new(&path).unwrap();
            log.sync().unwrap();
            log.sync().unwrap();
            let found = fs::metadata(&path).unwrap();
            assert!(is(log.file.as_ref().unwrap(), (found.dev(), found.ino())));
            // The next one is another file, since this one is still open.
            fs::remove_file(&path).unwrap();
        }
        log.sync().unwrap();
        assert!(log.file.is_none());
    }
}
