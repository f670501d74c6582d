//! The body of a request on its way to the upstream.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};
use tokio::time::Instant;

use super::fields;

/// How far a request has come.
pub(super) struct Progress {
    last: Mutex<Instant>,
    broke: AtomicBool,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { last: Mutex::new(Instant::now()), broke: AtomicBool::new(false) }
    }

    /// When the request began, or the upstream took the last piece of its body.
    pub(super) fn last(&self) -> Instant {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the client broke off.
    pub(super) fn broke(&self) -> bool {
        self.broke.load(Ordering::Relaxed)
    }
}

/// The body of a request, which notes its [`Progress`].
pub(super) struct Upload {
    body: Body,
    progress: Arc<Progress>,
}

impl Upload {
    pub(super) fn new(body: Body, progress: Arc<Progress>) -> Self {
        Self { body, progress }
    }
}

impl hyper::body::Body for Upload {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut frame = Pin::new(&mut self.body).poll_frame(context);
        // Some upstreams read trailers like headers.
        if let Poll::Ready(Some(Ok(frame))) = &mut frame
            && let Some(trailers) = frame.trailers_mut()
        {
            fields::remove(trailers, fields::is_ours);
        }
        if let Poll::Ready(frame) = &frame {
            *self.progress.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            self.progress.broke.fetch_or(matches!(frame, Some(Err(_))), Ordering::Relaxed);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
