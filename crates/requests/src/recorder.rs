//! Hands rows over to the one writer without a lock and without memory of its own for each: every thread that
//! answers requests has a ring of bytes, which only it fills and only the writer empties.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use rtrb::{Consumer, Producer, RingBuffer};
use thread_local::ThreadLocal;
use tokio::sync::{Notify, oneshot};

use crate::row::{LONGEST_ROW, Row};

/// How many bytes of rows a thread can hand over before it has to wait for the writer.
const RING: usize = 1024 * 1024;

/// A ring that is filled so far wakes the writer before its time.
const FILLED: usize = RING / 2;

const _: () = assert!(2 * LONGEST_ROW < FILLED);

/// Where rows are handed over.
pub(crate) struct Recorder {
    rings: ThreadLocal<RefCell<Ring>>,
    /// The other ends.
    emptied: Mutex<Vec<Consumer<u8>>>,
    writer: OnceLock<Thread>,
    is_woken: AtomicBool,
    room: Notify,
    waits: AtomicU64,
    /// Those who wait for the writer; `None` once it has ended.
    flushes: Mutex<Option<Vec<oneshot::Sender<()>>>>,
    is_closing: AtomicBool,
}

/// A thread's own end.
struct Ring {
    producer: Producer<u8>,
    /// Where a row is put together, so that the writer never finds half of one.
    row: Vec<u8>,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self {
            rings: ThreadLocal::new(),
            emptied: Mutex::default(),
            writer: OnceLock::new(),
            is_woken: AtomicBool::new(false),
            room: Notify::new(),
            waits: AtomicU64::new(0),
            flushes: Mutex::new(Some(Vec::new())),
            is_closing: AtomicBool::new(false),
        }
    }

    fn ring(&self) -> &RefCell<Ring> {
        self.rings.get_or(|| {
            let (producer, consumer) = RingBuffer::new(RING);
            lock(&self.emptied).push(consumer);
            RefCell::new(Ring { producer, row: Vec::with_capacity(LONGEST_ROW) })
        })
    }

    /// Whether this thread can hand over two rows at once, however long they are: introspection decides on two tokens.
    pub(crate) fn has_room(&self) -> bool {
        self.ring().borrow().producer.slots() >= 2 * LONGEST_ROW
    }

    /// Returns when the thread that goes on has room.
    pub(crate) async fn room(&self) {
        if self.has_room() {
            return;
        }
        self.waits.fetch_add(1, Ordering::Relaxed);
        loop {
            let mut emptied = std::pin::pin!(self.room.notified());
            // From here on no notice is missed.
            emptied.as_mut().enable();
            if self.has_room() {
                return;
            }
            self.wake();
            emptied.await;
        }
    }

    /// Hands a row over; `false` if there is no room for it.
    pub(crate) fn record(&self, row: &Row<'_>) -> bool {
        let Ring { producer, row: bytes } = &mut *self.ring().borrow_mut();
        bytes.clear();
        row.encode(bytes);
        if producer.push_entire_slice(bytes).is_err() {
            return false;
        }
        if RING - producer.slots() >= FILLED {
            self.wake();
        }
        true
    }

    /// How often a request had to wait for room.
    pub(crate) fn waits(&self) -> u64 {
        self.waits.load(Ordering::Relaxed)
    }

    /// Returns when the writer has gone through all that was handed over before the call, or has ended.
    pub(crate) async fn flush(&self) {
        let (sender, flushed) = oneshot::channel();
        match &mut *lock(&self.flushes) {
            Some(waiting) => waiting.push(sender),
            None => return,
        }
        self.wake();
        // An error is a writer that has ended meanwhile.
        let _ = flushed.await;
    }

    /// Lets the writer end once it has gone through everything.
    pub(crate) fn close(&self) {
        self.is_closing.store(true, Ordering::Release);
        self.wake();
    }

    fn wake(&self) {
        if let Some(writer) = self.writer.get()
            && !self.is_woken.swap(true, Ordering::AcqRel)
        {
            writer.unpark();
        }
    }
}

/// The writer's side.
impl Recorder {
    /// From now on the calling thread is woken when there is something to do before its time. It has ended when
    /// what this returns is dropped.
    pub(crate) fn attend(&self) -> Attending<'_> {
        let _ = self.writer.set(std::thread::current());
        Attending(self)
    }

    /// Waits until there is something to do, `pause` at most.
    pub(crate) fn wait(&self, pause: Duration) {
        if !self.is_woken.load(Ordering::Acquire) {
            std::thread::park_timeout(pause);
        }
        self.is_woken.store(false, Ordering::Release);
    }

    /// Whether the writer shall end.
    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }

    /// Gives what was handed over to `write`, ring by ring; what that isn't done with stays where it is. Then
    /// tells those who wait.
    pub(crate) fn empty(&self, mut write: impl FnMut(&[&[u8]]) -> bool) {
        let flushes = lock(&self.flushes).as_mut().map(std::mem::take).unwrap_or_default();
        let mut is_emptied = false;
        for ring in lock(&self.emptied).iter_mut() {
            let Ok(chunk) = ring.read_chunk(ring.slots()) else { continue };
            let (first, second) = chunk.as_slices();
            if first.is_empty() {
                continue;
            }
            if write(&[first, second]) {
                chunk.commit_all();
                is_emptied = true;
            }
        }
        // Else whoever waits would only wake the writer again, which is to wait itself before it tries anew.
        if is_emptied {
            self.room.notify_waiters();
        }
        for flush in flushes {
            // Whoever asked may have gone.
            let _ = flush.send(());
        }
    }
}

/// A writer that hasn't ended yet.
pub(crate) struct Attending<'a>(&'a Recorder);

impl Drop for Attending<'_> {
    fn drop(&mut self) {
        // Also when it panics: nobody shall wait for it any more.
        *lock(&self.0.flushes) = None;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;

    use super::*;
    use crate::row::LONGEST_TEXT;
    use crate::row::tests::row;

    #[tokio::test]
    async fn a_writer_that_has_ended_is_not_waited_for() {
        let recorder = Recorder::new();
        let attending = recorder.attend();
        let mut before = pin!(recorder.flush());
        assert!(before.as_mut().now_or_never().is_none());
        drop(attending);
        assert!(before.now_or_never().is_some());
        assert!(recorder.flush().now_or_never().is_some());
    }

    #[tokio::test]
    async fn on_a_full_disk_nobody_drives_the_writer() {
        let recorder = Recorder::new();
        let _attending = recorder.attend();
        let long = "x".repeat(LONGEST_TEXT);
        while recorder.has_room() {
            assert!(recorder.record(&Row { path: &long, user_agent: &long, ..row(0, 1) }));
        }
        let mut requests: Vec<_> = (0..100).map(|_| Box::pin(recorder.room())).collect();
        let mut attempts = 0;
        // As long as it is woken the writer doesn't wait at all before the next attempt.
        let mut is_woken = true;
        while is_woken {
            recorder.wait(Duration::ZERO);
            recorder.empty(|_| {
                attempts += 1;
                assert!(attempts < 10, "attempts follow each other without a pause");
                false
            });
            for request in &mut requests {
                assert!(request.now_or_never().is_none());
            }
            is_woken = recorder.is_woken.load(Ordering::Acquire);
        }
        // Of those who came meanwhile the first one woke it, once.
        assert_eq!(attempts, 2);
        recorder.empty(|_| true);
        for request in requests {
            assert!(request.now_or_never().is_some());
        }
    }
}
