//! The log of requests while something is in its way: a disk that takes nothing, a client that leaves, a question
//! that isn't answered.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;

use futures_util::FutureExt as _;
use http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::json;
use tokenhouse::auth::guard::Call;
use tokenhouse::request_log::Pending;
use tokenhouse::service::tokens;
use tokenhouse_core::id::{TokenId, UserId};
use tokenhouse_core::people::Role;
use tokenhouse_core::policy::Caller;
use tokenhouse_core::verdict::Checkpoint;
use tokenhouse_requests::{LONGEST_TEXT, Log, Row};
use tokenhouse_testkit::server::{Account, TestServer};

use super::forward_auth;

fn log(server: &TestServer) -> &Log {
    server.app.requests.as_ref().unwrap()
}

fn folder(server: &TestServer, name: &str) -> PathBuf {
    server.app.config.request_log.directory.clone().unwrap().join(name)
}

/// Files with this ending in a folder and all below it.
fn files(folder: PathBuf, ending: &str) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.extension().is_some_and(|found| found == ending) {
                found.push(entry);
            }
        }
    }
    found
}

/// A log that takes nothing: its disk is away, and the memory of the thread that answers, which is this one, is full.
struct Full<'a>(&'a TestServer);

impl<'a> Full<'a> {
    /// Of a server that has answered nothing yet.
    fn of(server: &'a TestServer) -> Self {
        fs::rename(folder(server, "segments"), folder(server, "away")).unwrap();
        let long = "x".repeat(LONGEST_TEXT);
        while log(server).has_room() {
            log(server).record(&Row {
                time: server.clock.now(),
                subject: None,
                at: Checkpoint::ForwardAuth,
                method: "GET",
                path: &long,
                refused: None,
                status: None,
                ip: IpAddr::from([192, 0, 2, 7]),
                user_agent: &long,
                request_id: "",
            });
        }
        Self(server)
    }

    /// Waits until somebody waits.
    async fn waited_for(&self) {
        let mut turns = 0;
        while log(self.0).state().waits == 0 {
            turns += 1;
            assert!(turns < 1_000_000, "nobody waits");
            tokio::task::yield_now().await;
        }
    }

    /// The disk is there again.
    fn end(self) {
        fs::rename(folder(self.0, "away"), folder(self.0, "segments")).unwrap();
    }
}

/// A call of somebody, without a request.
fn call(account: &Account) -> Call {
    let call = Call::command_line();
    Call { caller: Caller { id: UserId(account.id), ..call.caller }, ..call }
}

#[tokio::test]
async fn introspection_checks_no_token_before_it_can_record_it() {
    let server = TestServer::start().await;
    let (ada, mia) = (server.person("Ada", Role::Admin).await, server.person("Mia", Role::Member).await);
    let full = Full::of(&server);
    let asking = tokio::spawn({
        let (client, secret) = (server.as_(&ada.token), mia.token.clone());
        async move { client.post_form("/oauth/introspect", &[("token", secret.expose())]).await }
    });
    full.waited_for().await;
    // What was true when it was asked isn't any more when it is answered.
    tokens::revoke(&server.app, &call(&mia), TokenId(mia.token_id), false).await.unwrap();
    full.end();
    assert_eq!(asking.await.unwrap().expect(200).json(), json!({ "active": false }));
    assert_eq!(log(&server).state().lost, 0);
}

#[tokio::test]
async fn a_client_that_leaves_while_the_log_waits_leaves_a_row() {
    let server = TestServer::start().await;
    let mia = server.person("Mia", Role::Member).await;
    let full = Full::of(&server);
    let app = &server.app;
    let (method, uri, headers) = (Method::PUT, Uri::from_static("/left"), HeaderMap::new());
    let ip = IpAddr::from([198, 51, 100, 7]);
    let id = app.request_numbers.next().unwrap();
    let pending = Pending::of(app, (&method, &uri, &headers), ip, id).unwrap();
    let used = app.used_from(ip);
    let checked = app.check(Checkpoint::Api, mia.token.expose().as_bytes(), used);
    pending.checked(Checkpoint::Api, used.at, checked.as_ref().map_err(|denied| *denied));
    // It waits for room, and ends there.
    assert!(pending.answered(Some(StatusCode::OK)).now_or_never().is_none());
    drop(pending);
    full.end();
    let path = format!("/api/user-tokens/{}/requests", mia.token_id);
    let rows = server.as_(&mia.token).get(&path).await.expect(200).json();
    let row = &rows["items"].as_array().unwrap()[0];
    assert_eq!((&row["method"], &row["path"]), (&json!("PUT"), &json!("/left")));
    assert_eq!(row.get("status"), None, "nobody was told: {row}");
}

#[tokio::test]
async fn a_dialog_waits_no_longer_than_two_seconds_for_the_log() {
    let server = TestServer::start().await;
    let ada = server.person("Ada", Role::Admin).await;
    let browser = server.browser(&ada).await;
    // A question begins when what was recorded is written.
    let summary = format!("/api/user-tokens/{}/requests/summary", ada.token_id);
    let written = async || server.as_(&ada.token).get(&summary).await.expect(200).status;
    forward_auth(&server, &ada.token, "GET").await.expect(200);
    written().await;
    // In a file, once its hour is over.
    server.clock.turn_to(server.clock.now().plus_seconds(3_600));
    let mut turns = 0;
    while files(folder(&server, "files"), "parquet").is_empty() {
        turns += 1;
        assert!(turns < 1_000, "nothing is moved");
        forward_auth(&server, &ada.token, "GET").await.expect(200);
        written().await;
        log(&server).maintain().await.unwrap();
    }
    let file = files(folder(&server, "files"), "parquet").pop().unwrap();
    fs::remove_file(&file).unwrap();
    // Whoever opens such a file to read it waits until somebody writes.
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    for path in [format!("/settings/tokens/{}/revoke", ada.token_id), "/settings/tokens/revoke-all".into()] {
        let html = browser.get(&path).await.expect(200).text();
        let dialog = html.split_once("<dialog").unwrap().1;
        let told = "in the last 24 hours can’t be told. The log of requests didn’t answer in time.";
        assert!(dialog.contains(told), "{dialog}");
        assert!(dialog.contains("Revoke"), "{dialog}");
    }
    // The last use is known elsewhere.
    let html = browser.get(&format!("/settings/tokens/{}/revoke", ada.token_id)).await.expect(200).text();
    assert!(html.contains("127.0.0.1</span> used it"), "{html}");
    drop(fs::File::options().read(true).write(true).open(&file).unwrap());
}

#[tokio::test]
async fn damaged_segments_are_told_where_the_server_is_watched() {
    let server = TestServer::start().await;
    let ready = server.client().get("/readyz").await.expect(200).text();
    assert_eq!(ready, "ready\n");
    let segments = files(folder(&server, "segments"), "segment");
    assert!(segments.is_empty());
    let node = fs::read_dir(folder(&server, "segments")).unwrap().next().unwrap().unwrap().path();
    fs::write(node.join("00000000000000000007.segment"), "no segment at all").unwrap();
    let server = server.restart().await;
    log(&server).maintain().await.unwrap();
    let ready = server.client().get("/readyz").await.expect(200).text();
    assert_eq!(ready, "ready\nrequest log: damaged segments are kept aside: 1\n");
    let metrics = server.app.metrics.text(&server.app.feed, None, server.app.requests.as_ref(), &[]);
    assert!(metrics.contains("\ntokenhouse_request_log_damaged 1\n"), "{metrics}");
    assert_eq!(files(folder(&server, "segments"), "damaged").len(), 1);
}
