//! What a connection is doing, and whether it has been at it for too long.
//!
//! Costs a request a few atomic operations and one look at the clock; the one timer of a connection
//! is moved only when it has fired, or must fire earlier than it would.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::Limits;

/// What one connection is doing. Shared by its socket, its requests and its [`Deadline`].
pub(super) struct Activity {
    start: Instant,
    /// Requests that are not answered to the end.
    open: AtomicUsize,
    /// Several requests share the connection, so bytes don't mean that a header has begun.
    multiplexed: AtomicBool,
    /// When the last request ended.
    quiet: Moment,
    /// When the header that is being read began.
    header: Moment,
    /// Since when the client takes nothing of what waits for it.
    blocked: Moment,
}

/// An instant that may be unset: nanoseconds since the connection's start, plus one.
#[derive(Default)]
struct Moment(AtomicU64);

impl Moment {
    fn get(&self, start: Instant) -> Option<Instant> {
        self.0.load(Ordering::Relaxed).checked_sub(1).map(|nanos| start + Duration::from_nanos(nanos))
    }

    fn set(&self, start: Instant) {
        let nanos = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.0.store(nanos.saturating_add(1), Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }

    fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

impl Activity {
    /// A connection that has just begun; its first header is due.
    pub(super) fn new() -> Self {
        let start = Instant::now();
        let header = Moment::default();
        header.set(start);
        Self {
            start,
            open: AtomicUsize::new(0),
            multiplexed: AtomicBool::new(false),
            quiet: Moment::default(),
            header,
            blocked: Moment::default(),
        }
    }

    /// A request begins, and lasts until the [`InFlight`] is dropped.
    pub(super) fn begin(activity: &Arc<Self>, multiplexed: bool) -> InFlight {
        activity.multiplexed.store(multiplexed, Ordering::Relaxed);
        activity.open.fetch_add(1, Ordering::Relaxed);
        activity.header.clear();
        InFlight(Arc::clone(activity))
    }

    /// Bytes came in.
    pub(super) fn received(&self) {
        let between_requests = self.open.load(Ordering::Relaxed) == 0;
        if between_requests && !self.header.is_set() && !self.multiplexed.load(Ordering::Relaxed) {
            self.header.set(self.start);
        }
    }

    /// The client has taken bytes, or has to (`blocked`) before there can be more.
    pub(super) fn wrote(&self, blocked: bool) {
        if blocked != self.blocked.is_set() {
            if blocked { self.blocked.set(self.start) } else { self.blocked.clear() }
        }
    }

    /// The idle time begins anew.
    pub(super) fn restart_idle(&self) {
        self.quiet.set(self.start);
    }

    /// What must change by when, if anything.
    fn due(&self, limits: &Limits) -> Option<(Instant, Timeout)> {
        if let Some(since) = self.blocked.get(self.start) {
            return Some((since + limits.stall, Timeout::Stall));
        }
        if self.open.load(Ordering::Acquire) > 0 {
            return None;
        }
        Some(match self.header.get(self.start) {
            Some(since) => (since + limits.header, Timeout::Header),
            None => (self.quiet.get(self.start).unwrap_or(self.start) + limits.idle, Timeout::Idle),
        })
    }
}

/// A request in flight.
pub(super) struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.restart_idle();
        // Whoever sees that nothing is open sees since when.
        self.0.open.fetch_sub(1, Ordering::Release);
    }
}

/// What took too long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Timeout {
    /// A header took too long.
    Header,
    /// No request for too long.
    Idle,
    /// The client has taken nothing of an answer for too long.
    Stall,
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "the header of a request took too long",
            Self::Idle => "there was no request for too long",
            Self::Stall => "the client took nothing of an answer for too long",
        })
    }
}

/// When the connection runs out of time. Polled after the connection, in the same task.
pub(super) struct Deadline<'a> {
    activity: &'a Activity,
    limits: &'a Limits,
    timer: Pin<Box<Sleep>>,
}

impl<'a> Deadline<'a> {
    pub(super) fn new(activity: &'a Activity, limits: &'a Limits) -> Self {
        Self { activity, limits, timer: Box::pin(sleep_until(activity.start + limits.header)) }
    }

    /// Ready with what took too long.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Timeout> {
        loop {
            let due = self.activity.due(self.limits);
            if let Some((at, _)) = due
                && at < self.timer.deadline()
            {
                self.timer.as_mut().reset(at);
            }
            if self.timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            match due {
                Some((at, timeout)) if at <= self.timer.deadline() => return Poll::Ready(timeout),
                Some((at, _)) => self.timer.as_mut().reset(at),
                // A request is in flight. Whatever comes after it is due no earlier than this.
                None => self.timer.as_mut().reset(Instant::now() + self.limits.shortest()),
            }
        }
    }
}
