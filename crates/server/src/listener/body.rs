//! Bodies on their way through the listener.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use axum::body::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use super::activity::InFlight;

/// The client paused for too long in the middle of its request's body.
#[derive(Debug, thiserror::Error)]
#[error("the request's body stopped coming")]
pub(super) struct Stalled;

/// The body of a request, given up when the client pauses for too long. The time in which nobody
/// reads doesn't count.
pub struct RequestBody {
    body: Incoming,
    limit: Duration,
    /// Made at the first pause; `pausing` while it runs.
    timer: Option<Pin<Box<Sleep>>>,
    pausing: bool,
}

impl RequestBody {
    pub(super) fn new(body: Incoming, limit: Duration) -> Self {
        Self { body, limit, timer: None, pausing: false }
    }
}

impl Body for RequestBody {
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
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep(this.limit)));
        if !this.pausing {
            timer.as_mut().reset(Instant::now() + this.limit);
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
pub(super) struct ResponseBody {
    body: axum::body::Body,
    _in_flight: InFlight,
}

impl ResponseBody {
    pub(super) fn new(body: axum::body::Body, in_flight: InFlight) -> Self {
        Self { body, _in_flight: in_flight }
    }
}

impl Body for ResponseBody {
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
