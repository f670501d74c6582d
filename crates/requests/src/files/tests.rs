use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use tempfile::TempDir;

use super::*;
use crate::row::Request;
use crate::row::tests::row;

async fn in_directory(folder: &TempDir) -> Files {
    let store = Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap());
    Files::open(store, Some(folder.path().to_owned()), "gate-1".into()).await.unwrap()
}

/// Writes rows and makes them known.
pub(crate) async fn add(files: &Files, number: u64, rows: &mut [Row<'_>]) {
    files.publish(files.write(number, rows).await.unwrap());
}

/// All rows of the files that count, in the order of time and token.
async fn requests(files: &Files) -> Vec<Request> {
    let mut requests = Vec::new();
    for file in files.snapshot().values().flat_map(|files| files.iter()) {
        let mut tables = files.reader().read_all(file, 1_000).await.unwrap();
        while let Some(table) = tables.next().await.unwrap() {
            requests.extend((0..table.rows()).map(|row| table.request(row)));
        }
    }
    requests.sort_by_key(|request| (request.time, request.subject.map(|subject| subject.token)));
    requests
}

fn names(files: &Files) -> Vec<(u64, u64)> {
    let snapshot = files.snapshot();
    let files = snapshot.values().flat_map(|files| files.iter());
    files.map(|file| (file.name.first, file.name.last)).collect()
}

/// The names of all files that are there, of which not all may count.
async fn there(files: &Files) -> usize {
    files_in(&**files.reader().store(), None).await.unwrap().len()
}

/// So many seconds after the instant where the rows of tests begin, which is the start of an hour.
fn at(seconds: i64) -> Timestamp {
    row(seconds, 1).time
}

fn expected(rows: &[Row<'_>]) -> Vec<Request> {
    let mut requests: Vec<_> = rows.iter().map(|row| Request::of(row, "gate-1")).collect();
    requests.sort_by_key(|request| (request.time, request.subject.map(|subject| subject.token)));
    requests
}

#[tokio::test]
async fn rows_lie_by_hour_and_are_there_after_a_start() {
    let folder = TempDir::new().unwrap();
    let files = in_directory(&folder).await;
    let mut rows = [row(3_601, 20), Row { subject: None, ..row(5, 1) }, row(5, 30), row(4, 30), row(9, 7)];
    add(&files, 4, &mut rows).await;
    assert_eq!(requests(&files).await, expected(&rows));
    assert_eq!(names(&files), [(4, 4), (4, 4)]);
    // A segment whose files were written before a crash comes again.
    add(&files, 4, &mut rows).await;
    std::fs::write(folder.path().join("date=2026-01-15").join("x"), "not ours").unwrap();
    std::fs::write(folder.path().join(UNFINISHED), "not whole").unwrap();
    let again = in_directory(&folder).await;
    add(&again, 4, &mut rows).await;
    assert_eq!(again.snapshot(), files.snapshot());
    assert_eq!(requests(&again).await, expected(&rows));
}

#[tokio::test]
async fn the_files_of_an_hour_that_is_over_become_one() {
    let folder = TempDir::new().unwrap();
    let files = in_directory(&folder).await;
    let mut all = Vec::new();
    for number in 0..5 {
        let mut rows: Vec<_> = (0..100).map(|place| row(place * 7 + number, 60 - place % 50)).collect();
        rows.push(Row { subject: None, ..row(number, 0) });
        add(&files, number.unsigned_abs(), &mut rows).await;
        all.extend(rows);
    }
    files.merge(at(3_600 + 59)).await.unwrap();
    assert_eq!(names(&files).len(), 5);
    files.merge(at(3_600 + 60)).await.unwrap();
    assert_eq!((names(&files), there(&files).await), (vec![(0, 4)], 6));
    assert_eq!(requests(&files).await, expected(&all));
    // What a crash leaves behind counts no more, and goes a minute after it was noticed.
    let files = in_directory(&folder).await;
    assert_eq!((names(&files), there(&files).await), (vec![(0, 4)], 6));
    add(&files, 3, &mut all).await;
    files.merge(at(3_600 + 70)).await.unwrap();
    files.merge(at(3_600 + 129)).await.unwrap();
    assert_eq!(there(&files).await, 6);
    files.merge(at(3_600 + 130)).await.unwrap();
    assert_eq!((names(&files), there(&files).await), (vec![(0, 4)], 1));
    assert_eq!(requests(&files).await, expected(&all));
}

#[tokio::test]
async fn a_merged_file_is_sorted() {
    let files = Files::open(Arc::new(InMemory::new()), None, "gate-1".into()).await.unwrap();
    for number in 0..3_i64 {
        let mut rows: Vec<_> =
            (0..3_000).map(|place| row(place * 3 % 700 + number, place * 7 % 90)).collect();
        add(&files, number.unsigned_abs(), &mut rows).await;
    }
    files.merge(at(4_000)).await.unwrap();
    let snapshot = files.snapshot();
    let mut tables = files.reader().read_all(&snapshot.values().next().unwrap()[0], 1_000).await.unwrap();
    let (mut last, mut rows) = (None, 0);
    while let Some(table) = tables.next().await.unwrap() {
        rows += table.rows();
        for row in 0..table.rows() {
            let (owner, token, time, request) = table.place_in_files(row);
            let place = Some((owner, token, time, request.to_owned()));
            assert!(last <= place);
            last = place;
        }
    }
    assert_eq!(rows, 9_000);
}

#[tokio::test]
async fn many_small_files_are_merged_while_their_hour_goes_on() {
    let files = Files::open(Arc::new(InMemory::new()), None, "gate-1".into()).await.unwrap();
    for number in 0..31 {
        add(&files, number, &mut [row(1, 1)]).await;
    }
    files.merge(at(5)).await.unwrap();
    assert_eq!(names(&files).len(), 31);
    add(&files, 31, &mut [row(2, 1)]).await;
    files.merge(at(6)).await.unwrap();
    assert_eq!(names(&files), [(0, 31)]);
    assert_eq!(requests(&files).await.len(), 32);
}

#[tokio::test]
async fn old_hours_go_and_their_folders_too() {
    let folder = TempDir::new().unwrap();
    let files = in_directory(&folder).await;
    add(&files, 1, &mut [row(0, 1), row(3_600, 1), row(86_400, 1)]).await;
    files.expire(at(2 * 3_600 + 86_400), 1).await.unwrap();
    assert_eq!(requests(&files).await.len(), 2);
    assert!(!folder.path().join("date=2026-01-15/hour=12").exists());
    files.expire(at(2 * 3_600 + 86_401), 1).await.unwrap();
    assert_eq!(requests(&files).await.len(), 1);
    assert!(!folder.path().join("date=2026-01-15").exists());
}

#[tokio::test]
async fn the_files_of_other_nodes_are_seen_and_left() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let one = Files::open(Arc::clone(&store), None, "gate-1".into()).await.unwrap();
    let other = Files::open(store, None, "gate-2".into()).await.unwrap();
    let now = at(100);
    one.refresh(now, |_| false).await.unwrap();
    add(&other, 1, &mut [row(1, 1)]).await;
    add(&other, 2, &mut [row(2, 1), row(-9_000, 1)]).await;
    add(&one, 1, &mut [row(3, 1)]).await;
    one.refresh(now.plus_seconds(4), |_| false).await.unwrap();
    assert_eq!(requests(&one).await.len(), 1);
    one.refresh(now.plus_seconds(5), |_| false).await.unwrap();
    assert_eq!(requests(&one).await.len(), 3);
    one.refresh(now.plus_seconds(600), |_| false).await.unwrap();
    assert_eq!(requests(&one).await.len(), 4);
    one.merge(at(4_000)).await.unwrap();
    one.merge(at(5_000)).await.unwrap();
    assert_eq!(there(&one).await, 4);
    // What another node merged is seen as what it is.
    other.merge(at(5_000)).await.unwrap();
    other.merge(at(5_060)).await.unwrap();
    one.refresh(at(5_100), |_| false).await.unwrap();
    assert_eq!((requests(&one).await.len(), there(&one).await), (4, 3));
}

#[tokio::test]
async fn what_is_no_file_of_ours_is_named() {
    let folder = TempDir::new().unwrap();
    let files = in_directory(&folder).await;
    add(&files, 1, &mut [row(1, 1)]).await;
    let path = files.snapshot().values().next().unwrap()[0].path.clone();
    std::fs::write(folder.path().join(path.as_ref()), vec![7; 3_000]).unwrap();
    let files = in_directory(&folder).await;
    let file = Arc::clone(&files.snapshot().values().next().unwrap()[0]);
    let error = files.reader().count(&file).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { file, .. } if file == path.as_ref()));
    std::fs::remove_file(folder.path().join(path.as_ref())).unwrap();
    assert!(matches!(files.reader().count(&file).await, Err(Error::Moved)));
}
