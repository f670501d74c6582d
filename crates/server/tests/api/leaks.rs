//! Tokens that were found where they don't belong.

use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::get;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{Method, StatusCode};
use rcgen::{KeyPair, SigningKey as _};
use serde_json::{Value, json};
use tokenhouse_core::people::Role;
use tokenhouse_testkit::client::Answer;
use tokenhouse_testkit::server::{Bearer, TestServer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::{generate, head, is_accepted, set_revoked, token};

on_both_databases!(
    a_leaked_token_is_dead_with_all_that_was_made_with_it,
    what_is_dead_already_is_marked_only,
    a_thief_saves_nothing_by_deleting_the_token,
    every_text_is_answered_alike,
    what_a_finder_tells_is_kept_without_the_token,
);

async fn report(server: &TestServer, body: &Value) -> Answer {
    server.client().post("/api/leaks", body).await
}

async fn leaked(server: &TestServer, token: &Bearer) {
    let answer = report(server, &json!({ "token": token.expose() })).await;
    assert_eq!(answer.expect(202).json(), json!({ "received": 1 }));
}

/// The newest audit records, oldest first.
async fn records(server: &TestServer, admin: &Bearer, count: i64) -> Vec<Value> {
    let page = server.as_(admin).get(&format!("/api/activity?size={count}")).await.expect(200).json();
    page["items"].as_array().unwrap().iter().rev().cloned().collect()
}

async fn a_leaked_token_is_dead_with_all_that_was_made_with_it(server: TestServer) {
    let people = server.people().await;
    let stolen = generate(&server, &people.admin.token, "stolen", None).await;
    // Whoever had it made a personal token and a service token, and with that another one.
    let thief = server.as_(&stolen.bearer());
    let child = generate(&server, &stolen.bearer(), "child", None).await;
    let service = json!({ "name": "back door", "user_id": people.service.id });
    let service = thief.post("/api/user-tokens", &service).await.expect(201).bearer();
    let before = head(&server).await;
    let body = json!({ "token": format!(" {}\n", stolen.bearer().expose()), "source": "gitleaks", "url": "https://git.example.com/a#L3" });
    let answer = server.client().with("x-forwarded-for", "198.51.100.7").post("/api/leaks", &body).await;
    assert_eq!(answer.expect(202).json(), json!({ "received": 1 }));
    for dead in [&stolen.bearer(), &child.bearer(), &service] {
        assert!(!is_accepted(&server, dead).await);
    }
    // Neither the owner's other tokens nor those of the service user.
    assert!(
        is_accepted(&server, &people.admin.token).await && is_accepted(&server, &people.service.token).await
    );
    assert_eq!(head(&server).await - before, 4);
    let records = records(&server, &people.admin.token, 4).await;
    let actions: Vec<_> = records.iter().map(|record| record["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["token.leaked", "token.revoked", "token.revoked", "token.revoked"]);
    let told = &records[0];
    assert_eq!((&told["entity"]["id"], &told["entity"]["name"]), (&json!(stolen.id()), &json!("stolen")));
    assert_eq!(
        told["changes"],
        json!({ "revoked": [null, 3], "source": [null, "gitleaks"], "url": [null, "https://git.example.com/a#L3"] })
    );
    for record in &records {
        assert_eq!((&record["actor"], &record["via"]["kind"]), (&Value::Null, &json!("system")));
        assert_eq!(
            (&record["ip"], record["request_id"].as_str()),
            (&json!("198.51.100.7"), answer.header("x-request-id"))
        );
    }
    let shown = token(&server, &people.admin.token, stolen.id()).await;
    assert_eq!(
        (&shown["leaked_at"], &shown["status"]),
        (&json!(server.clock.now().to_string()), &json!("revoked"))
    );
    assert_eq!(
        token(&server, &people.admin.token, child.id()).await["leaked_at"],
        Value::Null,
        "it didn't leak"
    );
    // The word stands in list and details, and nowhere else.
    let browser = server.browser(&people.admin).await;
    let text = async |path: String| browser.get(&path).await.expect(200).text();
    assert_eq!(text("/settings/tokens".into()).await.matches("Leaked</span>").count(), 1);
    let page = text(format!("/settings/tokens/{}", stolen.id())).await;
    assert!(
        page.contains("Leaked</span>")
            && page.contains("<b>It has leaked.</b> Somebody found it and reported it <time"),
        "{page}"
    );
    assert!(!text(format!("/settings/tokens/{}", child.id())).await.contains("Leaked"));
    assert!(text("/settings/audit".into()).await.contains("reported as leaked the token"));
    // It stays dead, unless the policies allow more.
    let restored = json!({ "revoke": false });
    let path = format!("/api/user-tokens/{}", stolen.id());
    server.as_(&people.admin.token).put(&path, &restored).await.problem(409);
    // Neither can what was made with it.
    let made = format!("/api/user-tokens/{}", child.id());
    server.as_(&people.admin.token).put(&made, &restored).await.problem(409);
    // Told once more, nothing is left to do.
    let before = head(&server).await;
    leaked(&server, &stolen.bearer()).await;
    assert_eq!(head(&server).await, before);
}

async fn what_is_dead_already_is_marked_only(server: TestServer) {
    let people = server.people().await;
    let revoked = generate(&server, &people.member.token, "revoked", None).await;
    set_revoked(&server, &people.member.token, revoked.id(), true).await;
    let before = head(&server).await;
    leaked(&server, &revoked.bearer()).await;
    assert_eq!(head(&server).await - before, 1);
    assert_ne!(token(&server, &people.member.token, revoked.id()).await["leaked_at"], Value::Null);
    let record = records(&server, &people.admin.token, 1).await.remove(0);
    assert_eq!(
        (&record["action"], &record["changes"]),
        (&json!("token.leaked"), &json!({ "revoked": [null, 0] }))
    );
    // One whose owner is deactivated is revoked, so that it doesn't come back with the owner.
    let admin = server.as_(&people.admin.token);
    admin.delete(&format!("/api/users/{}", people.service.id)).await.expect(204);
    leaked(&server, &people.service.token).await;
    admin.post(&format!("/api/users/{}/reactivate", people.service.id), &json!({})).await.expect(200);
    assert!(!is_accepted(&server, &people.service.token).await);
}

async fn a_thief_saves_nothing_by_deleting_the_token(server: TestServer) {
    let people = server.people().await;
    let stolen = generate(&server, &people.member.token, "stolen", None).await;
    let child = generate(&server, &stolen.bearer(), "child", None).await.bearer();
    let thief = server.as_(&child);
    set_revoked(&server, &child, stolen.id(), true).await;
    thief.delete(&format!("/api/user-tokens/{}", stolen.id())).await.expect(204);
    assert!(is_accepted(&server, &child).await);
    leaked(&server, &stolen.bearer()).await;
    assert!(!is_accepted(&server, &child).await);
    assert!(is_accepted(&server, &people.member.token).await);
}

async fn every_text_is_answered_alike(server: TestServer) {
    let people = server.people().await;
    let genuine = people.member.token.expose().to_owned();
    let forged = format!("{}A", &genuine[..genuine.len() - 1]);
    let before = head(&server).await;
    let unknown = ["", "garbage", "a.b.c", &forged, "\u{0}\u{202e}", &"x".repeat(20_000)];
    let mut answers = Vec::new();
    for text in unknown {
        answers.push(report(&server, &json!({ "token": text })).await);
    }
    assert_eq!(head(&server).await, before);
    answers.push(report(&server, &json!({ "token": genuine })).await);
    answers.push(report(&server, &json!({ "token": genuine })).await);
    let headers = |answer: &Answer| {
        let names = ["content-type", "content-length", "cache-control", "x-content-type-options"];
        names.map(|name| answer.header(name).map(str::to_owned))
    };
    for answer in &answers {
        assert_eq!((answer.expect(202).text(), headers(answer)), (answers[0].text(), headers(&answers[0])));
    }
    // Several at once: what is no token keeps no other from being dealt with.
    let many: Vec<&str> = unknown.into_iter().chain([people.service.token.expose()]).collect();
    let answer = report(&server, &json!({ "tokens": many })).await;
    assert_eq!(answer.expect(202).json(), json!({ "received": 7 }));
    assert!(!is_accepted(&server, &people.service.token).await);
    // What is wrong is told without what was sent.
    for (body, field) in [
        (json!({}), "token"),
        (json!({ "token": genuine, "tokens": [genuine] }), "token"),
        (json!({ "tokens": [] }), "tokens"),
        (json!({ "tokens": vec!["x"; 101] }), "tokens"),
        (json!({ "tokens": genuine }), "tokens"),
        (json!({ "token": [genuine] }), "token"),
        (json!({ "token": "x", "where": genuine }), "where"),
    ] {
        let answer = report(&server, &body).await;
        assert_eq!(answer.wrong_fields(), [field]);
        assert!(!answer.text().contains(&genuine));
    }
    let many = vec!["x"; 100];
    assert_eq!(report(&server, &json!({ "tokens": many })).await.expect(202).json()["received"], 100);
}

async fn what_a_finder_tells_is_kept_without_the_token(server: TestServer) {
    let people = server.people().await;
    let secret = people.member.token.expose();
    let url = format!("https://example.com/?token={secret}&a=\u{1b}[31m{}", "x".repeat(5_000));
    report(
        &server,
        &json!({ "token": secret, "source": format!("{secret} {}", "y".repeat(500)), "url": url }),
    )
    .await
    .expect(202);
    let answer = server.as_(&people.admin.token).get("/api/activity?size=5").await;
    let trail = answer.expect(200).text();
    let parts: Vec<&str> = secret.split('.').collect();
    assert!(parts.iter().all(|part| !trail.contains(part)), "a part of the token is in the trail");
    let records = records(&server, &people.admin.token, 2).await;
    let told = &records[0]["changes"];
    let url = told["url"][1].as_str().unwrap();
    assert!(
        url.starts_with("https://example.com/?token=(token)&a=\u{fffd}[31mxxx") && url.len() <= 2_002,
        "{url}"
    );
    assert!(told["source"][1].as_str().unwrap().len() <= 255, "{told}");
}

#[tokio::test]
async fn reports_are_limited_per_address() {
    let server = TestServer::builder().configured(|config| {
        config.limits.leaks_per_minute = 3.try_into().unwrap();
    });
    let server = server.start().await;
    let ada = server.person("Ada", Role::Member).await;
    let from = |address: &str| server.client().with("x-forwarded-for", address);
    for _ in 0..3 {
        from("198.51.100.7").post("/api/leaks", &json!({ "token": "x" })).await.expect(202);
    }
    let genuine = json!({ "token": ada.token.expose() });
    let refused = from("198.51.100.7").post("/api/leaks", &genuine).await;
    refused.problem(429);
    assert!(refused.header("retry-after").is_some());
    assert!(is_accepted(&server, &ada.token).await);
    from("198.51.100.8").post("/api/leaks", &genuine).await.expect(202);
    assert!(!is_accepted(&server, &ada.token).await);
}

/// What stands in for GitHub: tells its public keys, and signs with one of them.
struct Github {
    url: String,
    /// Its keys, with their names, and whether it still tells of them.
    keys: Arc<Mutex<Vec<(String, KeyPair, bool)>>>,
    asked: Arc<AtomicUsize>,
    status: Arc<AtomicU16>,
    /// So many questions are answered.
    answers: Arc<Semaphore>,
}

impl Github {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let github = Self {
            url: format!("http://{}/meta/public_keys/secret_scanning", listener.local_addr().unwrap()),
            keys: Arc::default(),
            asked: Arc::default(),
            status: Arc::new(AtomicU16::new(200)),
            answers: Arc::new(Semaphore::new(1_000)),
        };
        github.new_key("first");
        let (keys, asked, status) =
            (Arc::clone(&github.keys), Arc::clone(&github.asked), Arc::clone(&github.status));
        let answers = Arc::clone(&github.answers);
        let tell = async move || {
            asked.fetch_add(1, Ordering::SeqCst);
            answers.acquire().await.unwrap().forget();
            let mut told = vec![json!({ "key_identifier": "of another kind", "key": "x" })];
            for (name, pair, _) in keys.lock().unwrap().iter().filter(|(.., is_told)| *is_told) {
                let key = pair.public_key_pem();
                told.push(json!({ "key_identifier": name, "key": key, "is_current": true }));
            }
            let status = StatusCode::from_u16(status.load(Ordering::SeqCst)).unwrap();
            (status, axum::Json(json!({ "public_keys": told })))
        };
        let routes = Router::new().route("/meta/public_keys/secret_scanning", get(tell));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        github
    }

    fn new_key(&self, name: &str) {
        self.keys.lock().unwrap().push((name.to_owned(), KeyPair::generate().unwrap(), true));
    }

    /// The header lines of a text that is signed with a key.
    fn signed(&self, key: &str, body: &str) -> [(&'static str, String); 2] {
        let keys = self.keys.lock().unwrap();
        let (_, pair, _) = keys.iter().find(|(name, ..)| name == key).unwrap();
        let signature = BASE64_STANDARD.encode(pair.sign(body.as_bytes()).unwrap());
        [("github-public-key-identifier", key.to_owned()), ("github-public-key-signature", signature)]
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// A server that believes it.
    async fn believed(&self) -> TestServer {
        let url = self.url.parse().unwrap();
        let server = TestServer::builder().configured(|config| {
            config.leaks.github.enabled = true;
            config.leaks.github.keys_url = url;
            config.limits.leaks_per_minute = 10.try_into().unwrap();
        });
        server.start().await
    }
}

async fn send(server: &TestServer, headers: &[(&'static str, String)], body: &str) -> Answer {
    let client = headers.iter().fold(server.client(), |client, (name, value)| client.with(name, value));
    client.send(Method::POST, "/api/leaks/github", Some("application/json"), body.to_owned()).await
}

fn found(texts: &[&str]) -> String {
    let one = |text: &&str| {
        json!({ "token": text, "type": "tokenhouse_token", "url": "https://github.com/o/r/blob/1/.env",
            "source": "content", "something": "new" })
    };
    Value::Array(texts.iter().map(one).collect()).to_string()
}

#[tokio::test]
async fn github_tells_what_it_has_found() {
    // Nothing is taken unless that is configured.
    send(&TestServer::start().await, &[], "[]").await.problem(404);
    let github = Github::start().await;
    let server = github.believed().await;
    let people = server.people().await;
    let child = generate(&server, &people.member.token, "child", None).await.bearer();
    let secret = people.member.token.expose();
    let body = found(&[secret, "eyJhbGci-no-token"]);
    let feedback = send(&server, &github.signed("first", &body), &body).await;
    let hash = |text: &str| {
        use sha2::Digest as _;
        tokenhouse_core::audit::hex(&sha2::Sha256::digest(text))
    };
    assert_eq!(
        feedback.expect(200).json(),
        json!([
            { "token_hash": hash(secret), "token_type": "tokenhouse_token", "label": "true_positive" },
            { "token_hash": hash("eyJhbGci-no-token"), "token_type": "tokenhouse_token", "label": "false_positive" },
        ])
    );
    for dead in [&people.member.token, &child] {
        assert!(!is_accepted(&server, dead).await);
    }
    let told = records(&server, &people.admin.token, 3).await.remove(0);
    assert_eq!(
        (&told["action"], &told["changes"]["source"][1], &told["changes"]["url"][1]),
        (&json!("token.leaked"), &json!("GitHub, content"), &json!("https://github.com/o/r/blob/1/.env"))
    );
    assert_eq!(github.asked(), 1);
    // The same again is still true, and does nothing.
    let before = head(&server).await;
    let again = send(&server, &github.signed("first", &body), &body).await;
    assert_eq!(again.expect(200).json()[0]["label"], "true_positive");
    assert_eq!(head(&server).await, before);
    assert_eq!(send(&server, &github.signed("first", "[]"), "[]").await.expect(200).json(), json!([]));
    assert_eq!(github.asked(), 1, "the key is known");
}

#[tokio::test]
async fn what_github_has_not_signed_does_nothing() {
    let github = Github::start().await;
    let server = github.believed().await;
    let ada = server.person("Ada", Role::Admin).await;
    let other = Github::start().await;
    let body = found(&[ada.token.expose()]);
    let before = head(&server).await;
    let good = github.signed("first", &body);
    let [name, signature] = good.clone();
    let cut = |text: &str| text[..text.len() - 8].to_owned();
    for headers in [
        vec![],
        vec![name.clone()],
        vec![signature.clone()],
        vec![name.clone(), (signature.0, cut(&signature.1))],
        vec![name.clone(), (signature.0, "no base64".to_owned())],
        vec![(name.0, "of another kind".to_owned()), signature.clone()],
    ] {
        send(&server, &headers, &body).await.problem(403);
    }
    // Another one's signature, and one of another text.
    send(&server, &other.signed("first", &body), &body).await.problem(403);
    send(&server, &github.signed("first", &found(&["x"])), &body).await.problem(403);
    let mut statuses = Vec::new();
    for _ in 0..30 {
        statuses.push(send(&server, &[], &body).await.status);
    }
    assert_eq!(statuses.last(), Some(&429), "too many of them: {statuses:?}");
    assert_eq!(head(&server).await, before);
    assert!(is_accepted(&server, &ada.token).await);
    // Others' failures are no obstacle to what is signed.
    send(&server, &good, &body).await.expect(200);
    assert!(!is_accepted(&server, &ada.token).await);
    let broken = "{\"token\"";
    send(&server, &github.signed("first", broken), broken).await.problem(400);
}

#[tokio::test]
async fn githubs_keys_are_asked_for_when_one_is_unknown_but_not_too_often() {
    let github = Github::start().await;
    let server = github.believed().await;
    let later = |seconds: i64| server.clock.turn_to(server.clock.now().plus_seconds(seconds));
    let try_with = async |key: &str| send(&server, &github.signed(key, "[]"), "[]").await.status;
    assert_eq!((try_with("first").await, github.asked()), (200, 1));
    github.new_key("second");
    assert_eq!((try_with("second").await, github.asked()), (403, 1), "it was asked just now");
    later(299);
    assert_eq!((try_with("second").await, github.asked()), (403, 1));
    later(1);
    assert_eq!((try_with("second").await, github.asked()), (200, 2));
    // A key that was taken back is good for a day at most.
    github.keys.lock().unwrap()[0].2 = false;
    later(86_399);
    assert_eq!((try_with("first").await, github.asked()), (200, 2));
    later(1);
    assert_eq!((try_with("first").await, github.asked()), (403, 3));
    assert_eq!((try_with("second").await, github.asked()), (200, 3));
    // As long as it doesn't answer what is known counts, and for what isn't it has to try again.
    github.status.store(500, Ordering::SeqCst);
    github.new_key("third");
    later(86_400);
    assert_eq!((try_with("second").await, github.asked()), (200, 4));
    assert_eq!((try_with("third").await, github.asked()), (503, 4));
    github.status.store(200, Ordering::SeqCst);
    later(300);
    assert_eq!((try_with("third").await, github.asked()), (200, 5));
}

#[tokio::test]
async fn while_github_is_asked_for_its_keys_what_needs_none_is_answered() {
    let github = Github::start().await;
    let server = Arc::new(github.believed().await);
    let sent = |key: &'static str| {
        let (server, headers) = (Arc::clone(&server), github.signed(key, "[]"));
        tokio::spawn(async move { send(&server, &headers, "[]").await.status })
    };
    assert_eq!(sent("first").await.unwrap(), 200);
    github.new_key("second");
    server.clock.turn_to(server.clock.now().plus_seconds(300));
    // It doesn't answer yet.
    github.answers.forget_permits(1_000);
    let second = [sent("second"), sent("second"), sent("second")];
    while github.asked() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(sent("first").await.unwrap(), 200);
    // Whoever began to ask may leave.
    let [first, others @ ..] = second;
    first.abort();
    github.answers.add_permits(1);
    for one in others {
        assert_eq!(one.await.unwrap(), 200);
    }
    assert_eq!(github.asked(), 2, "one asks for all");
}
