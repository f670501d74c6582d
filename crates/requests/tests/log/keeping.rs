//! What is recorded is found, as long as it is kept.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokenhouse_core::clock::Clock;
use tokenhouse_core::verdict::Reason;
use tokenhouse_requests::{Filter, Log, Options, Per, Row, Whose};

use crate::common::{START, all, open, options, record, row, settled};

async fn seconds(log: &Log) -> Vec<i64> {
    all(log).await.iter().map(|request| request.time.seconds() - START.seconds()).collect()
}

#[tokio::test]
async fn what_was_recorded_is_found_at_once_and_after_it_was_moved_and_after_a_start() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::turned(START));
    let log = open(folder.path(), &clock).await;
    let refused = Row { refused: Some(Reason::Revoked), status: Some(401), ..row(2, 8) };
    for row in [row(1, 7), refused, Row { subject: None, refused: Some(Reason::Unknown), ..row(3, 7) }] {
        record(&log, &row).await;
    }
    let newest = all(&log).await;
    assert_eq!(newest.len(), 3);
    let refused = &newest[1];
    assert_eq!(
        (refused.refused.as_deref(), refused.status, &*refused.node),
        (Some("revoked"), Some(401), "gate-1")
    );
    assert_eq!(newest[2].subject, None);
    // The hour is over, so the segment is closed.
    clock.turn_to(START.plus_seconds(3_700));
    record(&log, &row(3_700, 7)).await;
    record(&log, &row(3_701, 7)).await;
    all(&log).await;
    log.maintain().await.unwrap();
    let moved = all(&log).await;
    assert_eq!((&moved[..3], moved.len()), (&newest[..], 5));
    log.close().await;
    drop(log);
    let log = open(folder.path(), &clock).await;
    assert_eq!(all(&log).await, moved);
    let counts = log.counts(Filter::of(Whose::Everyone), Per::Hour).await.unwrap();
    let counts: Vec<_> = counts.iter().map(|bucket| (bucket.allowed, bucket.denied)).collect();
    assert_eq!(counts, [(1, 2), (2, 0)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_is_found_once_while_rows_are_recorded_moved_and_merged() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::turned(START));
    // The clock is turned by years.
    let options = Options { retention_days: 1_000_000, ..options(folder.path()) };
    let log = Arc::new(Log::open(options, clock.clone()).await.unwrap());
    let ended = Arc::new(AtomicBool::new(false));
    let moving = tokio::spawn({
        let (log, clock, ended) = (Arc::clone(&log), clock.clone(), Arc::clone(&ended));
        async move {
            // Every six minutes a segment is closed, so files are merged within the hours and after them.
            for step in 1.. {
                clock.turn_to(START.plus_seconds(step * 360));
                log.maintain().await.unwrap();
                if ended.load(Ordering::Relaxed) {
                    return step;
                }
            }
            0
        }
    });
    let mut recorded = 0;
    for _ in 0..60 {
        for _ in 0..50 {
            record(&log, &Row { time: clock.now(), ..row(0, recorded) }).await;
            recorded += 1;
        }
        let mut tokens: Vec<i64> =
            all(&log).await.iter().map(|request| request.subject.unwrap().token.0).collect();
        tokens.sort_unstable();
        assert!(tokens.into_iter().eq(0..recorded), "not each of {recorded} once");
    }
    ended.store(true, Ordering::Relaxed);
    assert!(moving.await.unwrap() > 10, "nothing was moved, so nothing was tested");
}

#[tokio::test]
async fn rows_that_are_too_old_are_deleted() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::turned(START));
    let log =
        Log::open(Options { retention_days: 2, ..options(folder.path()) }, clock.clone()).await.unwrap();
    for day in 0..4 {
        clock.turn_to(START.plus_days(day));
        record(&log, &row(day * 86_400, 7)).await;
        assert_eq!(all(&log).await.len(), usize::try_from(day.min(2)).unwrap() + 1);
        clock.turn_to(START.plus_days(day).plus_seconds(4_000));
        log.maintain().await.unwrap();
        all(&log).await;
        log.maintain().await.unwrap();
    }
    assert_eq!(seconds(&log).await, [172_800, 259_200]);
}

#[tokio::test]
async fn of_allowed_requests_some_may_be_kept_and_of_refused_ones_all_are() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::turned(START));
    let log = Log::open(Options { keep_one_in: 10, ..options(folder.path()) }, clock).await.unwrap();
    for second in 0..100 {
        record(&log, &row(second, 7)).await;
        record(&log, &Row { refused: Some(Reason::Expired), ..row(second, 7) }).await;
    }
    let refused = all(&log).await.iter().filter(|request| request.refused.is_some()).count();
    assert_eq!((refused, all(&log).await.len()), (100, 110));
}

#[tokio::test]
async fn hostile_texts_are_kept_as_they_are_up_to_their_limit() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::turned(START));
    let log = open(folder.path(), &clock).await;
    let endless = "é".repeat(8_000);
    let texts = ["", "/a\u{7}\u{1b}[31m\"'<script>&\\\r\n", "/\u{202e}\u{fffd}💥", "/%00%2e%2e/", &endless];
    for (second, text) in (0..).zip(texts) {
        record(&log, &Row { path: text, user_agent: text, ..row(second, 7) }).await;
    }
    clock.turn_to(START.plus_seconds(4_000));
    let before = all(&log).await;
    record(&log, &row(4_000, 7)).await;
    all(&log).await;
    log.maintain().await.unwrap();
    let after = all(&log).await;
    assert_eq!(before, after[..5]);
    for (request, text) in after.iter().zip(texts) {
        assert_eq!(request.path, request.user_agent);
        assert!(
            text.starts_with(&request.path) && request.path.len() >= text.len().min(8_191),
            "{}",
            text.len()
        );
    }
}

#[tokio::test]
async fn a_folder_has_one_server() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::turned(START));
    let log = open(folder.path(), &clock).await;
    assert!(Log::open(options(folder.path()), clock.clone()).await.is_err());
    let other = Log::open(Options { node: "gate-2".into(), ..options(folder.path()) }, clock.clone()).await;
    assert!(other.is_ok(), "another node of a fleet has a folder of its own");
    log.close().await;
    assert!(Log::open(options(folder.path()), clock).await.is_ok());
}

#[tokio::test]
async fn a_clock_that_was_set_back_before_a_start_loses_nothing() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::turned(START));
    let log = open(folder.path(), &clock).await;
    for second in [0, 600] {
        clock.turn_to(START.plus_seconds(second));
        record(&log, &row(second, 7)).await;
        all(&log).await;
        clock.turn_to(START.plus_seconds(second + 300));
        settled(&log).await;
        log.maintain().await.unwrap();
    }
    // Both files become one, whose name says: from the first segment to the second.
    clock.turn_to(START.plus_seconds(3_700));
    log.maintain().await.unwrap();
    log.close().await;
    drop(log);
    clock.turn_to(START.plus_seconds(400));
    let log = open(folder.path(), &clock).await;
    record(&log, &row(400, 7)).await;
    assert_eq!(seconds(&log).await, [0, 400, 600]);
    log.close().await;
    drop(log);
    let log = open(folder.path(), &clock).await;
    assert_eq!(seconds(&log).await, [0, 400, 600]);
}

/// The files of the newest rows whose names end so.
fn ending(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let nodes = std::fs::read_dir(folder.join("segments")).unwrap();
    let files = nodes.flat_map(|node| std::fs::read_dir(node.unwrap().path()).unwrap());
    files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == ending))
        .collect()
}

/// What is left of three rows, each of which was written by itself, when the file of them was changed.
async fn left_of_three(change: impl FnOnce(&mut Vec<u8>)) -> (Vec<i64>, u64, tempfile::TempDir) {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::turned(START));
    let log = open(folder.path(), &clock).await;
    for second in 1..=3 {
        record(&log, &row(second, 7)).await;
        settled(&log).await;
    }
    drop(log);
    let segment = ending(folder.path(), "segment").pop().unwrap();
    let mut content = std::fs::read(&segment).unwrap();
    change(&mut content);
    std::fs::write(&segment, content).unwrap();
    let log = open(folder.path(), &clock).await;
    let before = seconds(&log).await;
    log.maintain().await.unwrap();
    assert_eq!(ending(folder.path(), "segment"), Vec::<PathBuf>::new());
    assert_eq!(seconds(&log).await, before, "what was read from it is kept");
    (before, log.state().damaged, folder)
}

#[tokio::test]
async fn a_segment_that_was_damaged_is_read_and_kept() {
    let mut whole = Vec::new();
    let (left, damaged, folder) = left_of_three(|content| {
        let middle = content.len() / 2;
        content[middle] ^= 1;
        whole.clone_from(content);
    })
    .await;
    assert_eq!((left, damaged), (vec![1, 3], 1));
    let kept = ending(folder.path(), "damaged").pop().unwrap();
    assert_eq!(std::fs::read(kept).unwrap(), whole);
    // The next process finds it still there.
    let log = open(folder.path(), &Clock::turned(START)).await;
    assert_eq!((seconds(&log).await, log.state().damaged), (vec![1, 3], 1));
}

#[tokio::test]
async fn a_segment_whose_end_is_missing_is_nothing_to_speak_of() {
    let (left, damaged, folder) = left_of_three(|content| content.truncate(content.len() - 1)).await;
    assert_eq!((left, damaged), (vec![1, 2], 0));
    assert_eq!(ending(folder.path(), "damaged"), Vec::<PathBuf>::new());
}
