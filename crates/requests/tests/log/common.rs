//! A log, rows for it, and everything in it.

use std::net::IpAddr;
use std::path::Path;

use tokenhouse_core::clock::{Clock, Timestamp};
use tokenhouse_core::id::{TokenId, UserId};
use tokenhouse_core::token::TokenKind;
use tokenhouse_core::verdict::{Checkpoint, Subject};
use tokenhouse_requests::{Cursor, Filter, Log, Options, Order, Request, Row, WhenFull, Whose};

/// The start of an hour.
pub(crate) const START: Timestamp = Timestamp::from_seconds(1_768_478_400);

pub(crate) fn options(folder: &Path) -> Options {
    Options {
        folder: folder.to_owned(),
        url: None,
        node: "gate-1".into(),
        retention_days: 90,
        when_full: WhenFull::Wait,
        keep_one_in: 1,
    }
}

pub(crate) async fn open(folder: &Path, clock: &Clock) -> Log {
    Log::open(options(folder), clock.clone()).await.unwrap()
}

pub(crate) fn row(seconds: i64, token: i64) -> Row<'static> {
    Row {
        time: START.plus_seconds(seconds),
        subject: Some(Subject { token: TokenId(token), owner: UserId(1), kind: TokenKind::Service }),
        at: Checkpoint::ForwardAuth,
        method: "GET",
        path: "/api/datastores/7",
        refused: None,
        status: Some(200),
        ip: IpAddr::from([192, 0, 2, 7]),
        user_agent: "curl/8.5.0",
        request_id: "AAAAAAAAAAAAAAAB",
    }
}

pub(crate) async fn record(log: &Log, row: &Row<'_>) {
    log.room().await;
    log.record(row);
}

/// Everything that is in the log, oldest first, read page by page.
pub(crate) async fn all(log: &Log) -> Vec<Request> {
    let (mut found, mut after): (Vec<Request>, Option<Cursor>) = (Vec::new(), None);
    loop {
        let page = log.page(Filter::of(Whose::Everyone), Order::OldestFirst, after, 100).await.unwrap();
        found.extend(page.items);
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

/// Returns when the writer has closed what is due by the clock: it looks at the clock, writes, tells those who wait,
/// and closes, so the first time it may have looked before the clock was turned, and the second it is not done.
pub(crate) async fn settled(log: &Log) {
    for _ in 0..3 {
        // A question begins with it, even where it can't be answered then.
        let _ = log.page(Filter::of(Whose::Everyone), Order::OldestFirst, None, 1).await;
    }
}
