//! Running out of file descriptors. One test, alone in its process, since it takes them all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokenhouse::listener::Limits;
use tokio::net::TcpSocket;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing::{Level, Metadata};

#[path = "support/mod.rs"]
mod support;
use support::{Clock, Raw, serve};

/// Counts warnings.
struct Warnings(Arc<AtomicUsize>);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN && metadata.target().starts_with("tokenhouse")
    }

    fn event(&self, _: &Event<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn running_out_of_file_descriptors_is_survived_with_a_warning() {
    let warnings = Arc::new(AtomicUsize::new(0));
    let _guard = tracing::subscriber::set_default(Warnings(Arc::clone(&warnings)));
    let server = serve(Router::new().fallback(async || "hello"), Limits::default(), None).await;
    let _clock = Clock::stop();

    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(100), maximum }).unwrap();
    let client = TcpSocket::new_v4().unwrap();
    let mut taken = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        taken.push(file);
    }
    let mut raw = Raw(client.connect(server.address).await.unwrap());
    raw.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    while warnings.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }

    drop(taken);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert!(raw.read_to_end().await.ends_with("hello"));
    assert_eq!(warnings.load(Ordering::SeqCst), 1, "it rests between attempts");
}
