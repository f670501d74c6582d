//! No alert is lost over crashes, whatever the receiver does meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use http::{HeaderMap, StatusCode};
use reqwest::Method;
use serde_json::{Value, json};
use tokenhouse_testkit::process::until;
use tokio::net::TcpListener;

use crate::client::{Client, install, person};

/// How often the server is killed.
const CRASHES: usize = 6;

/// How many alerts are due before each crash.
const ALERTS: usize = 12;

/// What has arrived: the alert about each account, by its number as a message.
type Arrived = Arc<Mutex<BTreeMap<String, i64>>>;

/// A receiver that refuses every third request, but nothing twice.
async fn receiver() -> (String, Arrived, Arc<AtomicUsize>) {
    let (arrived, asked) = (Arrived::default(), Arc::new(AtomicUsize::new(0)));
    let (kept, count) = (Arc::clone(&arrived), Arc::clone(&asked));
    let refused = Arc::new(Mutex::new(BTreeSet::new()));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let routes = axum::Router::new().fallback(async move |headers: HeaderMap, body: Bytes| {
        let id = headers["webhook-id"].to_str().unwrap().to_owned();
        if count.fetch_add(1, Ordering::SeqCst) % 3 == 2 && refused.lock().unwrap().insert(id.clone()) {
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        let body: Value = serde_json::from_slice(&body).unwrap();
        let user = body["data"]["user_id"].as_i64().unwrap();
        let before = kept.lock().unwrap().insert(id, user);
        assert!(before.is_none_or(|before| before == user), "one number for two alerts");
        StatusCode::NO_CONTENT
    });
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (url, arrived, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_alert_is_lost_or_made_twice_over_crashes() {
    let (url, arrived, asked) = receiver().await;
    let installation = install();
    let root = person(&installation, "root@example.com", "Admin");
    installation.configure(&format!(
        "[[alerts.webhooks]]\nname = 'ops'\nurl = '{url}'\nsecret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'\n"
    ));
    let mut made = BTreeSet::new();
    for crash in 0..CRASHES {
        let server = installation.serve();
        let client = Client::new(&server, &root);
        let before = asked.load(Ordering::SeqCst);
        for number in 0..ALERTS {
            let user = json!({ "name": format!("Robot {crash}-{number}"), "role": "Admin" });
            let answer = client.try_json(Method::POST, "/api/users", &user).await.unwrap().expect(201);
            made.insert(answer.json()["id"].as_i64().unwrap());
        }
        // In the midst of sending them, at another moment each time.
        until("alerts are being sent", || (asked.load(Ordering::SeqCst) >= before + 1 + crash).then_some(()));
        server.kill();
    }
    let server = installation.serve();
    let told = || arrived.lock().unwrap().values().copied().collect::<Vec<_>>();
    until("every alert has arrived", || made.is_subset(&told().into_iter().collect()).then_some(()));
    let mut all = told();
    all.sort_unstable();
    let distinct = all.iter().copied().collect::<BTreeSet<_>>();
    assert_eq!(all.len(), distinct.len(), "an alert was made twice");
    drop(server);
}
