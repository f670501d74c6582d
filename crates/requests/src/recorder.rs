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
    flushes: Mutex<Vec<oneshot::Sender<()>>>,
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
            flushes: Mutex::default(),
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

    /// Returns when the writer has gone through all that was handed over before the call.
    pub(crate) async fn flush(&self) {
        if self.is_closing() {
            return;
        }
        let (sender, flushed) = oneshot::channel();
        lock(&self.flushes).push(sender);
        self.wake();
        // An error is a writer that has ended, after which nothing is left.
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
    /// From now on the calling thread is woken when there is something to do before its time.
    pub(crate) fn attend(&self) {
        let _ = self.writer.set(std::thread::current());
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
        let flushes = std::mem::take(&mut *lock(&self.flushes));
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
