//! The log of requests, over crashes and full disks.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use tokenhouse_testkit::process::{Installation, Server, until};

use crate::client::{Client, install, limit_files, person};

/// How often the server is killed.
const CRASHES: usize = 5;

/// How many requests there are before each crash.
const REQUESTS: usize = 60;

/// So many of the longest rows fill all rings several times over.
const FLOOD: usize = 600;

/// A path of this many bytes, and a user agent as well.
const LONG: usize = 7_000;

/// The files with the newest rows, in their order.
fn segments(installation: &Installation) -> Vec<PathBuf> {
    let nodes = fs::read_dir(installation.data().join("requests/segments")).unwrap();
    let files = nodes.flat_map(|node| fs::read_dir(node.unwrap().path()).unwrap());
    let mut segments: Vec<_> = files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "segment"))
        .collect();
    segments.sort();
    segments
}

/// Waits until these paths stand in the newest segment, which has its texts as they are.
fn until_written(installation: &Installation, paths: &[String]) {
    until("the requests are in a segment", || {
        let content = fs::read(segments(installation).last()?).ok()?;
        let has = |path: &String| content.windows(path.len()).any(|found| found == path.as_bytes());
        paths.iter().all(has).then_some(())
    });
}

/// The paths of all requests of a token, with repetitions, in their order.
async fn recorded(client: &Client, token: i64) -> Vec<String> {
    let (mut paths, mut cursor) = (Vec::new(), String::new());
    loop {
        let url = format!("/api/user-tokens/{token}/requests?limit=100{cursor}");
        let page = client.get(&url).await.expect(200).json();
        let items = page["items"].as_array().unwrap();
        paths.extend(items.iter().map(|item| item["path"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    paths.sort();
    paths
}

/// Checks a token for each of the paths at once; all are allowed.
async fn check_all(client: &Client, paths: &[String]) {
    for answer in join_all(paths.iter().map(|path| client.check("GET", path))).await {
        answer.expect(200);
    }
}

fn paths(of: &str, count: usize) -> Vec<String> {
    // None is the beginning of another.
    (0..count).map(|number| format!("/{of}/{number}.")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_that_was_written_is_there_once_after_each_crash() {
    let installation = install();
    let root = person(&installation, "root@example.com", "Admin");
    let mut server = installation.serve();
    let (token, secret) = Client::new(&server, &root).mint("used").await;
    let mut expected = Vec::new();
    for crash in 0..CRASHES {
        // What the last process left is being moved meanwhile.
        let asked = paths(&format!("before-{crash}"), REQUESTS);
        check_all(&Client::new(&server, &secret), &asked).await;
        until_written(&installation, &asked);
        server.kill();
        expected.extend(asked);
        expected.sort();
        server = installation.serve();
        assert_eq!(recorded(&Client::new(&server, &root), token).await, expected);
    }
    until("all segments but the newest are moved", || (segments(&installation).len() <= 1).then_some(()));
    assert_eq!(recorded(&Client::new(&server, &root), token).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_that_was_cut_off_shows_all_before_the_cut() {
    let installation = install();
    let root = person(&installation, "root@example.com", "Admin");
    let server = installation.serve();
    let (token, secret) = Client::new(&server, &root).mint("used").await;
    let (mut whole, cut) = (paths("whole", 20), paths("cut", 1));
    let client = Client::new(&server, &secret);
    check_all(&client, &whole).await;
    until_written(&installation, &whole);
    check_all(&client, &cut).await;
    until_written(&installation, &cut);
    server.kill();
    let segment = segments(&installation).pop().unwrap();
    let length = fs::metadata(&segment).unwrap().len();
    File::options().write(true).open(&segment).unwrap().set_len(length - 3).unwrap();

    let server = installation.serve();
    let later = paths("later", 1);
    check_all(&Client::new(&server, &secret), &later).await;
    whole.extend(later);
    whole.sort();
    assert_eq!(recorded(&Client::new(&server, &root), token).await, whole);
}

/// A server whose disk can be full, and its metrics.
fn serve_limited(installation: &Installation, when_full: &str) -> Server {
    let configuration =
        format!("[server]\nmetrics_listen = \"127.0.0.1:0\"\n[request_log]\nwhen_full = \"{when_full}\"");
    installation.configure(&configuration);
    // Writing beyond the limit is an error (EFBIG) instead of a signal.
    let ignoring = ["sh", "-c", r#"trap "" XFSZ; exec "$0" "$@""#];
    installation.start(installation.command_through(&ignoring, &["serve"])).ready()
}

/// The value of a metric of the log of requests.
async fn metric(server: &Server, name: &str) -> usize {
    let address: SocketAddr = server.logged("listening", "metrics").unwrap().parse().unwrap();
    let text = Client::at(address, "").without_token().get("/metrics").await.expect(200).body;
    let text = String::from_utf8(text).unwrap();
    let name = format!("tokenhouse_request_log_{name} ");
    text.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_wait_while_the_disk_is_full_and_go_on_then() {
    let installation = install();
    let root = person(&installation, "root@example.com", "Admin");
    let server = serve_limited(&installation, "wait");
    let client = Client::new(&server, &root);
    let (token, secret) = client.mint("used").await;
    limit_files(&server, "0");
    let long = "x".repeat(LONG);
    let mut asked: Vec<String> = (0..FLOOD).map(|number| format!("/{number}/{long}")).collect();
    let answered = Arc::new(AtomicUsize::new(0));
    let running: Vec<_> = asked
        .iter()
        .map(|path| {
            let (client, answered, path) = (client.with_token(&secret), Arc::clone(&answered), path.clone());
            let agent = long.clone();
            tokio::spawn(async move {
                let request = client.request(reqwest::Method::GET, "/forward-auth");
                let request = request
                    .header("x-original-method", "GET")
                    .header("x-original-uri", path)
                    .header("user-agent", agent);
                Client::send(request).await.unwrap().expect(200);
                answered.fetch_add(1, Ordering::Relaxed);
            })
        })
        .collect();
    // Each is answered, or waits.
    let mut turns = 0;
    loop {
        let waits = metric(&server, "waits_total").await;
        if waits > 0 && waits + answered.load(Ordering::Relaxed) >= FLOOD {
            break;
        }
        turns += 1;
        assert!(turns < 1_000, "in vain: {waits} of {FLOOD} wait, {answered:?} are answered");
    }
    let before = answered.load(Ordering::Relaxed);
    assert!(before < FLOOD);
    assert_eq!((metric(&server, "trouble").await, metric(&server, "lost_total").await), (1, 0));
    let state = client.without_token().get("/readyz").await.expect(503).json().to_string();
    assert!(state.contains("File too large"), "{state}");
    assert_eq!(answered.load(Ordering::Relaxed), before, "answered without being recorded");

    limit_files(&server, "unlimited");
    join_all(running).await.into_iter().for_each(Result::unwrap);
    let server = server.ready();
    asked.sort();
    assert_eq!(metric(&server, "trouble").await, 0);
    let found = recorded(&client, token).await;
    assert_eq!(found.len(), FLOOD);
    assert!(found == asked, "other rows than were asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_go_on_while_the_disk_is_full_and_are_counted() {
    let installation = install();
    let root = person(&installation, "root@example.com", "Admin");
    let server = serve_limited(&installation, "go_on");
    let client = Client::new(&server, &root);
    let (token, secret) = client.mint("used").await;
    let used = client.with_token(&secret);
    let before = paths("before", 20);
    check_all(&used, &before).await;
    until_written(&installation, &before);
    limit_files(&server, "0");
    let during = paths("during", 50);
    check_all(&used, &during).await;
    let mut turns = 0;
    while metric(&server, "lost_total").await < during.len() {
        turns += 1;
        assert!(turns < 10_000, "rows that can't be written are not counted");
    }
    assert_eq!(metric(&server, "trouble").await, 1);
    client.without_token().get("/readyz").await.expect(200);
    limit_files(&server, "unlimited");
    let after = paths("after", 20);
    check_all(&used, &after).await;
    let expected: BTreeSet<_> = before.into_iter().chain(after).collect();
    let found = recorded(&client, token).await;
    assert!(found.iter().eq(&expected), "{found:?}");
    assert_eq!((metric(&server, "lost_total").await, metric(&server, "trouble").await), (during.len(), 0));
}
