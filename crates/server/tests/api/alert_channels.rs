//! How alerts leave: signed, again and again until they arrive, and to nobody else.

use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::response::IntoResponse as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, StatusCode, header};
use ring::hmac;
use serde_json::{Value, json};
use tokenhouse::alerts::delivery::{self, PAUSES};
use tokenhouse::alerts::trail;
use tokenhouse::config;
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::people::Role;
use tokenhouse_testkit::server::{Account, TestServer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::alert_mail::{Encryption, Mail};
use super::alerts::quiet;
use super::tamper;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

type Got = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

/// Whoever is told by webhooks.
struct Receiver {
    url: String,
    got: Got,
    status: Arc<AtomicU16>,
    /// So many requests are answered.
    answers: Arc<Semaphore>,
}

impl Receiver {
    async fn start() -> Self {
        let receiver = Self::hanging(&[]).await;
        receiver.answers.add_permits(Semaphore::MAX_PERMITS);
        receiver
    }

    /// One that answers only what has one of these numbers.
    async fn hanging(answered: &'static [&'static str]) -> Self {
        let (got, status) = (Got::default(), Arc::new(AtomicU16::new(204)));
        let answers = Arc::new(Semaphore::new(0));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/hook?key=hunter2", listener.local_addr().unwrap());
        let (kept, told, may_answer) = (Arc::clone(&got), Arc::clone(&status), Arc::clone(&answers));
        let routes = axum::Router::new().fallback(async move |headers: HeaderMap, body: Bytes| {
            let is_answered = answered.iter().any(|id| headers["webhook-id"] == **id);
            kept.lock().unwrap().push((headers, body));
            if !is_answered {
                may_answer.acquire().await.unwrap().forget();
            }
            let status = StatusCode::from_u16(told.load(Ordering::SeqCst)).unwrap();
            (status, [(header::LOCATION, "/elsewhere")]).into_response()
        });
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { url, got, status, answers }
    }

    /// Waits until so many requests have come.
    async fn asked(&self, count: usize) {
        let come = async {
            while self.got.lock().unwrap().len() < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, come).await.expect("a request comes");
    }

    fn answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    fn take(&self) -> Vec<(HeaderMap, Bytes)> {
        std::mem::take(&mut *self.got.lock().unwrap())
    }

    fn bodies(&self) -> Vec<Value> {
        self.take().iter().map(|(_, body)| serde_json::from_slice(body).unwrap()).collect()
    }
}

/// The signature, computed by other means.
fn is_signed(headers: &HeaderMap, body: &[u8]) -> bool {
    let text = |name: &str| headers[name].to_str().unwrap();
    let key = BASE64_STANDARD.decode(&SECRET["whsec_".len()..]).unwrap();
    let signed = [text("webhook-id").as_bytes(), text("webhook-timestamp").as_bytes(), body].join(&b'.');
    let signature = text("webhook-signature").strip_prefix("v1,").unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    hmac::verify(&key, &signed, &BASE64_STANDARD.decode(signature).unwrap()).is_ok()
}

/// `[alerts]` as it would be read from a file.
fn alerts(text: &str) -> config::Alerts {
    let config = format!("[alerts]\n{text}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokenhouse.toml");
    std::fs::write(&file, config).unwrap();
    config::Config::load(Some(&file), []).unwrap().alerts
}

fn webhook(name: &str, receiver: &Receiver) -> String {
    format!("[[alerts.webhooks]]\nname = '{name}'\nurl = '{}'\nsecret = '{SECRET}'\n", receiver.url)
}

pub(crate) async fn server_with(text: &str) -> TestServer {
    quiet(TestServer::builder().configured(|config| config.alerts = alerts(text))).await
}

/// Follows the trail and empties the outbox.
pub(crate) async fn tell(server: &TestServer) {
    trail::follow(&server.app).await.unwrap();
    deliver(server).await;
}

/// Empties the outbox.
async fn deliver(server: &TestServer) {
    for channel in &server.app.alerts.channels {
        delivery::deliver(&server.app, &channel.name).await.unwrap();
    }
}

pub(crate) async fn deliveries(server: &TestServer, with: &Account, query: &str) -> Vec<Value> {
    let page = server.as_(&with.token).get(&format!("/api/alerts/deliveries{query}")).await;
    page.expect(200).json()["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_webhook_is_signed_and_slack_gets_a_text() {
    let (hook, slack) = (Receiver::start().await, Receiver::start().await);
    let chat = format!("[[alerts.slack]]\nname = 'chat'\nurl = '{}'\n", slack.url);
    let server = server_with(&(webhook("ops", &hook) + &chat)).await;
    let ada = server.service_user("Ada <b> & co", Role::Admin).await;
    tell(&server).await;
    let (headers, body) = hook.take().remove(0);
    assert!(is_signed(&headers, &body));
    assert!(!is_signed(&headers, b"{}"), "the test sees a wrong signature");
    assert_eq!(headers["webhook-id"], "alert-1");
    assert_eq!(headers["webhook-timestamp"], server.clock.now().seconds().to_string());
    assert_eq!(headers["content-type"], "application/json");
    let told: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&told["type"], &told["data"]["user_id"]), (&json!("user.admin_given"), &json!(ada.id)));
    assert_eq!(told["data"]["title"], "Ada <b> & co is now an Admin");
    assert_eq!(told["data"]["url"], format!("https://tokens.example.com/settings/people/users/{}", ada.id));
    let text = slack.bodies()[0]["text"].as_str().unwrap().to_owned();
    assert!(text.starts_with("*Ada &lt;b&gt; &amp; co is now an Admin*\n"), "{text}");
    tell(&server).await;
    assert!(hook.take().is_empty() && slack.take().is_empty(), "what has arrived isn't sent again");
}

#[tokio::test]
async fn what_does_not_arrive_is_tried_ever_less_often_until_it_is_dead() {
    let hook = Receiver::start().await;
    let server = server_with(&webhook("ops", &hook)).await;
    let people = server.people().await;
    let ada = &people.admin;
    hook.answer(503);
    tell(&server).await;
    let id = hook.take().remove(0).0["webhook-id"].clone();
    let mut answered = 503;
    for (number, pause) in PAUSES.into_iter().enumerate() {
        let pending = deliveries(&server, ada, "?state=pending").await;
        assert_eq!((pending.len(), &pending[0]["attempts"]), (1, &json!(number + 1)));
        assert_eq!(pending[0]["last_error"], format!("the receiver answered {answered}"));
        let due = server.clock.now().micros() + i64::try_from(pause.as_micros()).unwrap();
        server.clock.turn_to(Timestamp::from_micros(due - 1));
        tell(&server).await;
        assert!(hook.take().is_empty(), "attempt {number} came too early");
        server.clock.turn_to(Timestamp::from_micros(due));
        // A redirect is not followed: it would lead where nobody wanted it.
        answered = if number % 2 == 0 { 307 } else { 503 };
        hook.answer(answered);
        tell(&server).await;
        let got = hook.take();
        assert_eq!(got.len(), 1);
        assert_eq!(got[0].0["webhook-id"], id, "the same thing keeps its number");
        assert!(is_signed(&got[0].0, &got[0].1));
    }
    let dead = deliveries(&server, ada, "?state=dead").await;
    assert_eq!((dead.len(), &dead[0]["attempts"]), (1, &json!(9)));
    assert_eq!(dead[0]["next_attempt_at"], Value::Null);
    server.pass_days(100);
    tell(&server).await;
    assert!(hook.take().is_empty());
    // By hand, from the page.
    hook.answer(200);
    let browser = server.browser(ada).await;
    let page = browser.get("/settings/alerts").await.expect(200).text();
    assert!(page.contains("the receiver answered") && page.contains("Retry"), "{page}");
    let retry = format!("/settings/alerts/deliveries/{}/retry", dead[0]["id"]);
    browser.post_form(&retry, &[]).await.expect(303);
    tell(&server).await;
    assert_eq!(hook.take().len(), 1);
    assert_eq!(deliveries(&server, ada, "?state=dead").await.len(), 0);
    browser.post_form(&retry, &[]).await.expect(409);
}

/// Through the background, as it is.
#[tokio::test]
async fn a_receiver_that_never_answers_keeps_no_other_waiting() {
    let (hanging, hook) = (Receiver::hanging(&[]).await, Receiver::start().await);
    // So many that it would take too long to wait for one after the other.
    let all_hanging: String = (0..5).map(|number| webhook(&format!("hanging-{number}"), &hanging)).collect();
    let config = alerts(&(all_hanging + &webhook("ops", &hook)));
    let server = TestServer::builder().configured(|all| all.alerts = config).start().await;
    // More than are sent at the same time.
    for number in 0..60 {
        server.service_user(&format!("Robot {number}"), Role::Admin).await;
    }
    hook.asked(60).await;
    assert!(!hanging.take().is_empty());
}

#[tokio::test]
async fn what_is_being_sent_does_not_begin_anew() {
    let hook = Receiver::hanging(&[]).await;
    let server = server_with(&webhook("ops", &hook)).await;
    let ada = server.person("Ada", Role::Admin).await;
    trail::follow(&server.app).await.unwrap();
    let app = Arc::clone(&server.app);
    let sending = tokio::spawn(async move { delivery::deliver(&app, "ops").await });
    hook.asked(1).await;
    let retry = async || server.as_(&ada.token).post("/api/alerts/deliveries/1/retry", &json!({})).await;
    let refused = retry().await.expect(409).json();
    assert!(refused["detail"].as_str().unwrap().starts_with("it is being sent at this moment"), "{refused}");
    let page = server.browser(&ada).await.post_form("/settings/alerts/deliveries/1/retry", &[]).await;
    assert!(page.expect(409).text().contains("being sent"));
    hook.answer(503);
    hook.answers.add_permits(1);
    sending.await.unwrap().unwrap();
    assert_eq!(retry().await.expect(200).json()["attempts"], 0);
    hook.answer(204);
    hook.answers.add_permits(1);
    deliver(&server).await;
    assert_eq!(hook.take().len(), 2);
}

#[tokio::test]
async fn what_is_under_way_arrives_although_something_else_can_not_be_noted() {
    let hook = Receiver::hanging(&["alert-1"]).await;
    let server = server_with(&webhook("ops", &hook)).await;
    let ada = server.person("Ada", Role::Admin).await;
    server.service_user("Robot", Role::Admin).await;
    let refuse = "CREATE TRIGGER refuse BEFORE UPDATE ON deliveries WHEN NEW.id = 1 AND NEW.state = 'sent' \
                  BEGIN SELECT RAISE(ABORT, 'no'); END";
    tamper(&server, refuse.into()).await;
    trail::follow(&server.app).await.unwrap();
    let app = Arc::clone(&server.app);
    let sending = tokio::spawn(async move { delivery::deliver(&app, "ops").await });
    hook.asked(2).await;
    // By now the first one's failure is known.
    for number in 0..5 {
        server.person(&format!("P{number}"), Role::Member).await;
    }
    hook.answers.add_permits(1);
    sending.await.unwrap().unwrap_err();
    let arrived = deliveries(&server, &ada, "?state=sent").await;
    assert_eq!((arrived.len(), &arrived[0]["id"]), (1, &json!(2)));
    // The other one is sent once more when its claim has ended, with the same number.
    tamper(&server, "DROP TRIGGER refuse".into()).await;
    server.clock.turn_to(server.clock.now().plus_seconds(90));
    deliver(&server).await;
    let mut ids: Vec<_> = hook.take().iter().map(|(headers, _)| headers["webhook-id"].clone()).collect();
    ids.sort();
    assert_eq!(ids, ["alert-1", "alert-1", "alert-2"]);
}

#[tokio::test]
async fn a_channel_that_is_gone_fails_until_it_is_back() {
    let hook = Receiver::start().await;
    let server = server_with(&webhook("ops", &hook)).await;
    let ada = server.person("Ada", Role::Admin).await;
    trail::follow(&server.app).await.unwrap();
    tamper(&server, "UPDATE deliveries SET channel = 'gone'".into()).await;
    deliver(&server).await;
    delivery::work_for_missing_channels(Arc::clone(&server.app)).await;
    let pending = deliveries(&server, &ada, "?state=pending").await;
    assert_eq!(pending[0]["last_error"], "this channel is not configured any more");
    assert_eq!((pending[0]["attempts"].as_i64(), hook.take().len()), (Some(1), 0));
    tamper(&server, "UPDATE deliveries SET channel = 'ops'".into()).await;
    server.clock.turn_to(server.clock.now().plus_seconds(5));
    tell(&server).await;
    assert_eq!(hook.take().len(), 1);
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_not_asked_again() {
    let hook = Receiver::start().await;
    let server = server_with(&webhook("ops", &hook)).await;
    let ada = server.person("Ada", Role::Admin).await;
    hook.answer(410);
    tell(&server).await;
    let dead = deliveries(&server, &ada, "?state=dead").await;
    assert_eq!((hook.take().len(), &dead[0]["attempts"]), (1, &json!(1)));
    server.as_(&ada.token).get("/api/alerts/deliveries?state=gone").await.problem(422);
}

#[tokio::test]
async fn nothing_that_is_told_holds_the_secrets_of_a_channel() {
    // Nobody listens there.
    let closed = TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap();
    let hook = Receiver {
        url: format!("http://me:hunter2@{closed}/hunter2?key=hunter2"),
        got: Got::default(),
        status: Arc::default(),
        answers: Arc::new(Semaphore::new(0)),
    };
    let server = server_with(&webhook("ops", &hook)).await;
    let ada = server.person("Ada", Role::Admin).await;
    tell(&server).await;
    let pending = deliveries(&server, &ada, "").await;
    let error = pending[0]["last_error"].as_str().unwrap();
    assert!(error.contains("onnection refused") && !error.contains("hunter2"), "{error}");
    let tested = server.as_(&ada.token).post("/api/alerts/channels/ops/test", &json!({})).await;
    let tested = tested.expect(200).json();
    assert_eq!(tested["delivered"], false);
    assert!(!tested.to_string().contains("hunter2"), "{tested}");
}

#[tokio::test]
async fn what_is_about_a_persons_own_goes_to_that_person_and_nowhere_else() {
    let hook = Receiver::start().await;
    let mail = Mail::start(Encryption::None);
    let server = server_with(&(webhook("ops", &hook) + &mail.config())).await;
    let people = server.people().await;
    tell(&server).await;
    hook.take();
    mail.take();
    // Mia's own token is used elsewhere.
    for ip in ["198.51.100.7", "203.0.113.9"] {
        let from = server.as_(&people.member.token).with("x-forwarded-for", ip);
        from.get("/api/user-tokens/current").await.expect(200);
        tokenhouse::alerts::checks::new_networks(&server.app).await.unwrap();
    }
    mail.stop();
    deliver(&server).await;
    assert!(hook.take().is_empty(), "no webhook is told");
    let own = deliveries(&server, &people.member, "").await;
    assert_eq!((own.len(), &own[0]["kind"]), (1, &json!("token.new_network")));
    assert_eq!(own[0]["alert"]["token_id"], people.member.token_id);
    // An Admin sees that something to Mia didn't arrive, and nothing of what.
    let shown = deliveries(&server, &people.admin, "?state=pending").await;
    let hidden: Vec<_> = shown.iter().filter(|one| one["kind"] == "personal").collect();
    assert_eq!((hidden.len(), &hidden[0]["alert"]), (1, &Value::Null));
    let text = hidden[0].to_string();
    assert!(!text.contains("first") && !text.contains("token_id") && !text.contains("203.0.113"), "{text}");
    assert!(deliveries(&server, &people.manager, "").await.is_empty());
    let retry = format!("/api/alerts/deliveries/{}/retry", own[0]["id"]);
    server.as_(&people.manager.token).post(&retry, &json!({})).await.problem(404);
    let retried = server.as_(&people.admin.token).post(&retry, &json!({})).await.expect(200).json();
    assert_eq!((&retried["kind"], &retried["alert"]), (&json!("personal"), &Value::Null));
    let page = server.browser(&people.admin).await.get("/settings/alerts").await.expect(200).text();
    assert!(!page.contains("Your token"), "{page}");
    // The record of it names the channel only.
    let records = server.as_(&people.admin.token).get("/api/activity?action=alert.retried").await.json();
    assert_eq!(records["items"][0]["entity"]["name"], "email");
}

#[tokio::test]
async fn an_admin_who_is_none_any_more_is_told_nothing() {
    let mail = Mail::start(Encryption::None);
    let server = server_with(&mail.config()).await;
    let people = server.people().await;
    trail::follow(&server.app).await.unwrap();
    let other = server.person("Eve", Role::Admin).await;
    let path = format!("/api/users/{}", people.admin.id);
    server.as_(&other.token).put(&path, &json!({ "role": "Member" })).await.expect(200);
    deliver(&server).await;
    assert!(mail.take().is_empty());
    let dead = deliveries(&server, &other, "?state=dead").await;
    assert_eq!(dead[0]["last_error"], "the account may not know of it any more");
}

#[tokio::test]
async fn a_channel_is_tested_from_page_and_api() {
    let hook = Receiver::start().await;
    let mail = Mail::start(Encryption::None);
    let server = server_with(&(webhook("ops", &hook) + &mail.config())).await;
    let ada = server.person("Ada", Role::Admin).await;
    let browser = server.browser(&ada).await;
    let page = browser.get("/settings/alerts").await.expect(200).text();
    assert!(page.contains("/settings/alerts/channels/ops/test") && page.contains("Webhook"), "{page}");
    browser.post_form("/settings/alerts/channels/ops/test", &[]).await.expect(303);
    let (headers, body) = hook.take().remove(0);
    assert!(is_signed(&headers, &body));
    hook.answer(500);
    let page = browser.post_form("/settings/alerts/channels/ops/test", &[]).await.expect(422).text();
    assert!(page.contains("The test alert did not arrive") && page.contains("answered 500"), "{page}");
    let admin = server.as_(&ada.token);
    let test = async |name: &str| admin.post(&format!("/api/alerts/channels/{name}/test"), &json!({})).await;
    assert_eq!(test("ops").await.expect(200).json()["error"], "the receiver answered 500");
    assert_eq!(test("email").await.expect(200).json(), json!({ "delivered": true, "error": null }));
    let got = mail.take();
    assert!(got.len() == 1 && got[0].contains("X-RcptTo: ada@example.com"), "{got:?}");
    test("nothing").await.problem(404);
    let records = admin.get("/api/activity?action=alert.tested").await.json();
    assert_eq!(records["total"], 4);
}

#[tokio::test]
async fn a_page_without_alerts_says_how_there_will_be_some() {
    let server = server_with("").await;
    let people = server.people().await;
    let page = server.browser(&people.admin).await.get("/settings/alerts").await.expect(200).text();
    assert!(page.contains("Nobody is told yet") && page.contains("[[alerts.webhooks]]"), "{page}");
    assert!(page.contains("Nothing needs attention"), "{page}");
    let page = server.browser(&people.member).await.get("/settings/alerts").await.expect(200).text();
    assert!(!page.contains("[[alerts.webhooks]]") && page.contains("Nobody else sees it"), "{page}");
}
