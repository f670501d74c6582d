//! Bodies on their way through the listener.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use axum::body::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use super::pulse::Beat;

/// The client paused for too long in the middle of its request's body.
#[derive(Debug, thiserror::Error)]
#[error("the request's body stopped coming")]
pub(super) struct Stalled;

/// The body of a request, given up when the client pauses for too long. The time in which nobody
/// reads doesn't count.
pub(super) struct Patient {
    body: Incoming,
    patience: Duration,
    /// Made at the first pause; `pausing` while it runs.
    timer: Option<Pin<Box<Sleep>>>,
    pausing: bool,
}

impl Patient {
    pub(super) fn new(body: Incoming, patience: Duration) -> Self {
        Self { body, patience, timer: None, pausing: false }
    }
}

impl Body for Patient {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            this.pausing = false;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep(this.patience)));
        if !this.pausing {
            timer.as_mut().reset(Instant::now() + this.patience);
            this.pausing = true;
        }
        timer.as_mut().poll(context).map(|()| Some(Err(Stalled.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer; its request is in flight until it is dropped.
pub(super) struct Answer {
    body: axum::body::Body,
    _beat: Beat,
}

impl Answer {
    pub(super) fn new(body: axum::body::Body, beat: Beat) -> Self {
        Self { body, _beat: beat }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
