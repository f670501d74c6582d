//! Nodes of a fleet share files in an object store, a real server that speaks S3.

use std::net::SocketAddr;

use tempfile::TempDir;
use tokenhouse_core::clock::{Clock, Timestamp};
use tokenhouse_requests::{Error, Filter, Log, Options, Order, Per, Whose};
use tokenhouse_testkit::s3::{BUCKET, S3};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::common::{START, all, options, record, row, settled};

/// After so many seconds a segment is closed, and others' files are found.
const SHARED_AFTER: i64 = 10;

const HOUR: i64 = 3_600;

/// A node with a folder of its own.
struct Node {
    folder: TempDir,
    name: &'static str,
}

impl Node {
    fn new(name: &'static str) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), name }
    }

    async fn start(&self, s3: &S3, address: SocketAddr, clock: &Clock) -> Log {
        let options = Options {
            url: Some(format!("s3://{BUCKET}/some/folder")),
            node: self.name.into(),
            retention_days: 2,
            ..options(self.folder.path())
        };
        Log::open_with(options, s3.variables(address), clock.clone()).await.unwrap()
    }
}

const fn at(seconds: i64) -> Timestamp {
    START.plus_seconds(seconds)
}

/// Moves what is due into files, and does what else is to be done at that time.
async fn maintain(log: &Log, clock: &Clock, seconds: i64) {
    pass(log, clock, seconds).await;
    log.maintain().await.unwrap();
}

/// Lets it be that time, after what was recorded before has been written.
async fn pass(log: &Log, clock: &Clock, seconds: i64) {
    settled(log).await;
    clock.turn_to(at(seconds));
    settled(log).await;
}

/// Seconds and nodes of all rows.
async fn found(log: &Log) -> Vec<(i64, String)> {
    let rows = all(log).await;
    rows.into_iter().map(|request| (request.time.seconds() - START.seconds(), request.node)).collect()
}

fn rows(rows: &[(i64, &str)]) -> Vec<(i64, String)> {
    rows.iter().map(|(second, node)| (*second, (*node).to_owned())).collect()
}

#[tokio::test]
async fn nodes_find_each_others_rows_and_each_merges_its_own() {
    let s3 = S3::start();
    let clock = Clock::turned(START);
    let (first, second) = (Node::new("gate_1"), Node::new("gate_2"));
    let (one, other) =
        (first.start(&s3, s3.address, &clock).await, second.start(&s3, s3.address, &clock).await);
    let mut expected = Vec::new();
    for round in 0..3 {
        let begin = round * 20;
        clock.turn_to(at(begin));
        record(&one, &row(begin, 7)).await;
        record(&other, &row(begin + 1, 7)).await;
        // What is in another node's segment can't be found.
        let own = |rows: &[(i64, String)], node: &str, row: i64| {
            let mut all = rows.to_owned();
            all.push((row, node.to_owned()));
            all
        };
        assert_eq!(found(&one).await, own(&expected, "gate_1", begin));
        assert_eq!(found(&other).await, own(&expected, "gate_2", begin + 1));
        expected.extend(rows(&[(begin, "gate_1"), (begin + 1, "gate_2")]));
        maintain(&one, &clock, begin + SHARED_AFTER).await;
        maintain(&other, &clock, begin + SHARED_AFTER).await;
        clock.turn_to(at(begin + SHARED_AFTER + 5));
        assert_eq!(found(&one).await, expected);
        assert_eq!(found(&other).await, expected);
    }
    assert_eq!((one.state().segments, other.state().segments, s3.names().len()), (0, 0, 6));

    let of = |node: &str| s3.names().iter().filter(|name| name.contains(node)).count();
    maintain(&one, &clock, HOUR + 60).await;
    assert_eq!((of("gate_1"), of("gate_2")), (4, 3));
    maintain(&one, &clock, HOUR + 120).await;
    assert_eq!((of("gate_1"), of("gate_2")), (1, 3));
    assert_eq!((found(&one).await, found(&other).await), (expected.clone(), expected.clone()));
    maintain(&other, &clock, HOUR + 125).await;
    maintain(&other, &clock, HOUR + 185).await;
    assert_eq!((of("gate_1"), of("gate_2")), (1, 1));
    assert_eq!((found(&one).await, found(&other).await), (expected.clone(), expected));
    assert!(s3.names().iter().all(|name| name.starts_with("some/folder/date=2026-01-15/hour=12/")));

    // Any node deletes what is too old, also that of others.
    let late = 3 * 24 * HOUR;
    clock.turn_to(at(late));
    record(&one, &row(late, 7)).await;
    maintain(&one, &clock, late + SHARED_AFTER).await;
    assert_eq!(s3.names().len(), 1);
    assert_eq!(found(&one).await, rows(&[(late, "gate_1")]));
    other.maintain().await.unwrap();
    assert_eq!(found(&other).await, rows(&[(late, "gate_1")]));
}

#[tokio::test]
async fn files_of_long_ago_that_another_node_merges_are_found_again() {
    let s3 = S3::start();
    let clock = Clock::turned(START);
    let (first, second) = (Node::new("gate_1"), Node::new("gate_2"));
    let other = second.start(&s3, s3.address, &clock).await;
    for second in [0, 20] {
        clock.turn_to(at(second));
        record(&other, &row(second, 7)).await;
        maintain(&other, &clock, second + SHARED_AFTER).await;
    }
    // It is away while its hour ends.
    other.close().await;
    drop(other);
    clock.turn_to(at(5 * HOUR));
    let one = first.start(&s3, s3.address, &clock).await;
    let expected = rows(&[(0, "gate_2"), (20, "gate_2")]);
    assert_eq!(found(&one).await, expected);
    let other = second.start(&s3, s3.address, &clock).await;
    maintain(&other, &clock, 5 * HOUR + 5).await;
    maintain(&other, &clock, 5 * HOUR + 65).await;
    assert_eq!(s3.names().len(), 1);
    assert_eq!(found(&one).await, expected);
}

/// What stands between a node and the object store; where it is aborted, nothing is there any more.
async fn relay(listener: TcpListener, to: SocketAddr) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((mut from, _)) = listener.accept().await {
        connections.spawn(async move {
            let mut to = TcpStream::connect(to).await?;
            tokio::io::copy_bidirectional(&mut from, &mut to).await
        });
    }
}

async fn relay_at(address: SocketAddr, to: SocketAddr) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind(address).await.unwrap();
    (listener.local_addr().unwrap(), tokio::spawn(relay(listener, to)))
}

#[tokio::test]
async fn rows_wait_in_segments_while_the_store_is_away() {
    let s3 = S3::start();
    let clock = Clock::turned(START);
    let (first, second) = (Node::new("gate_1"), Node::new("gate_2"));
    let (address, running) = relay_at(SocketAddr::from(([127, 0, 0, 1], 0)), s3.address).await;
    let (one, other) = (first.start(&s3, address, &clock).await, second.start(&s3, s3.address, &clock).await);
    record(&one, &row(0, 7)).await;
    maintain(&one, &clock, SHARED_AFTER).await;

    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    for second in [20, 40, 60] {
        clock.turn_to(at(second));
        record(&one, &row(second, 7)).await;
        pass(&one, &clock, second + SHARED_AFTER).await;
    }
    assert!(matches!(one.maintain().await, Err(Error::Storage(_))));
    let state = one.state();
    assert_eq!((state.segments, state.trouble, state.lost), (3, None, 0), "segments are on this machine");
    record(&one, &row(80, 7)).await;

    let (_, running) = relay_at(address, s3.address).await;
    maintain(&one, &clock, 100).await;
    assert_eq!(one.state().segments, 0);
    let expected = rows(&[(0, "gate_1"), (20, "gate_1"), (40, "gate_1"), (60, "gate_1"), (80, "gate_1")]);
    assert_eq!(found(&one).await, expected);
    assert_eq!(found(&other).await, expected);
    running.abort();
}

#[tokio::test]
async fn a_node_starts_and_records_while_the_store_is_away_and_finds_all_when_it_is_back() {
    let s3 = S3::start();
    let clock = Clock::turned(START);
    let node = Node::new("gate_1");
    let (address, running) = relay_at(SocketAddr::from(([127, 0, 0, 1], 0)), s3.address).await;
    let log = node.start(&s3, address, &clock).await;
    record(&log, &row(0, 7)).await;
    maintain(&log, &clock, SHARED_AFTER).await;
    record(&log, &row(20, 7)).await;
    settled(&log).await;
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    // Killed: what was in its segment stays there.
    drop(log);
    let log = node.start(&s3, address, &clock).await;
    record(&log, &row(40, 7)).await;
    let unanswered = log.page(Filter::of(Whose::Everyone), Order::OldestFirst, None, 10).await;
    assert!(
        matches!(unanswered, Err(Error::Storage(_))),
        "a part of the rows would be no answer: {unanswered:?}"
    );
    let (_, running) = relay_at(address, s3.address).await;
    let expected = rows(&[(0, "gate_1"), (20, "gate_1"), (40, "gate_1")]);
    assert_eq!(found(&log).await, expected);
    maintain(&log, &clock, 100).await;
    assert_eq!((log.state().segments, found(&log).await), (0, expected));
    running.abort();
}

/// An error and what is behind it.
fn reasons(error: &Error) -> String {
    let first: &dyn std::error::Error = error;
    std::iter::successors(Some(first), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

#[tokio::test]
async fn the_store_is_reached_through_tls() {
    let s3 = S3::with_tls();
    let node = Node::new("gate_1");
    let options = Options { url: Some(format!("s3://{BUCKET}/folder")), ..options(node.folder.path()) };
    let mut variables = s3.variables(s3.address);
    let open = |variables| Log::open_with(options.clone(), variables, Clock::turned(START));
    // It begins all the same, and tells why it has no answer.
    let asked = async |log: Log| log.counts(Filter::of(Whose::Everyone), Per::Day).await.unwrap_err();
    let refused = asked(open(variables.clone()).await.unwrap()).await;
    assert!(reasons(&refused).contains("certificate"), "{}", reasons(&refused));
    variables.push(("AWS_ALLOW_INVALID_CERTIFICATES".into(), "true".into()));
    let refused = asked(open(variables).await.unwrap()).await;
    assert!(reasons(&refused).contains("NoSuchBucket"), "the store itself says: {}", reasons(&refused));
}
