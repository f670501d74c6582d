//! The audit trail on its way to others: whole, in order, once.

use std::io::Read as _;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, StatusCode};
use ring::hmac;
use serde_json::Value;
use tokenhouse::config::Config;
use tokenhouse::export;
use tokenhouse_core::audit::Action;
use tokenhouse_core::people::Role;
use tokenhouse_testkit::server::{Database, TestServer};
use tokio::net::TcpListener;

use super::alerts::quiet;
use super::{generate, head, tamper};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A server with one export.
async fn server_with(database: Database, format: &str, to: &str) -> TestServer {
    let text = format!("[[audit_export]]\nname = 'siem'\nformat = '{format}'\nto = {to}\n");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokenhouse.toml");
    std::fs::write(&file, text).unwrap();
    let read = Config::load(Some(&file), []).unwrap();
    quiet(TestServer::builder().on(database).configured(|config| config.audit_export = read.audit_export))
        .await
}

async fn run(server: &TestServer) -> Result<(), String> {
    export::run(&server.app, &server.app.exports[0]).await.map_err(|error| error.to_string())
}

fn lines(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn seqs(records: &[Value]) -> Vec<i64> {
    records.iter().map(|record| record["seq"].as_i64().unwrap()).collect()
}

async fn all(server: &TestServer) -> Vec<i64> {
    (1..=head(server).await).collect()
}

#[tokio::test]
async fn a_file_has_every_record_once_whenever_the_process_ended() {
    for database in [Database::Sqlite, Database::Postgres] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("audit.jsonl");
        let server = server_with(database, "json", &format!("{{ file = '{}' }}", file.display())).await;
        let mia = server.person("Mia", Role::Member).await;
        run(&server).await.unwrap();
        assert_eq!(seqs(&lines(&file)), all(&server).await);
        for number in 0..450 {
            generate(&server, &mia.token, &format!("t{number}"), None).await.expect(201);
        }
        run(&server).await.unwrap();
        let whole = std::fs::read_to_string(&file).unwrap();
        assert_eq!(seqs(&lines(&file)), all(&server).await);
        // Written, and not noted; then cut in the midst of a line.
        for kept in [whole.len(), whole.len() - 1, whole.len() - 700] {
            std::fs::write(&file, &whole[..kept]).unwrap();
            let back = "UPDATE positions SET at = 7 WHERE name = 'export.siem'".to_owned();
            match database {
                Database::Sqlite => tamper(&server, back).await,
                Database::Postgres => set_back(&server, back).await,
            }
            run(&server).await.unwrap();
            assert_eq!(std::fs::read_to_string(&file).unwrap(), whole);
        }
        // A file that was moved away begins where it ended.
        std::fs::rename(&file, folder.path().join("audit.1")).unwrap();
        generate(&server, &mia.token, "one more", None).await.expect(201);
        run(&server).await.unwrap();
        assert_eq!(seqs(&lines(&file)), [head(&server).await]);
        let record = &lines(&file)[0];
        assert_eq!(
            (&record["action"], &record["entity"]["name"]),
            (&"token.generated".into(), &"one more".into())
        );
        // One of another store is left alone.
        std::fs::write(&file, "{\"seq\":99999}\n").unwrap();
        generate(&server, &mia.token, "another", None).await.expect(201);
        assert!(run(&server).await.unwrap_err().contains("another store"));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "{\"seq\":99999}\n");
    }
}

async fn set_back(server: &TestServer, statement: String) {
    use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
    let mut connection = sqlx::AnyConnection::connect(&server.app.config.store.url.0).await.unwrap();
    connection.execute(sqlx::raw_sql(AssertSqlSafe(statement))).await.unwrap();
}

/// The messages of a stream, which says how long each is.
fn messages(mut stream: &[u8]) -> Vec<String> {
    let mut all = Vec::new();
    while !stream.is_empty() {
        let space = stream.iter().position(|byte| *byte == b' ').unwrap();
        let length: usize = std::str::from_utf8(&stream[..space]).unwrap().parse().unwrap();
        let (message, rest) = stream[space + 1..].split_at(length);
        all.push(String::from_utf8(message.to_vec()).unwrap());
        stream = rest;
    }
    all
}

/// The records in messages that are as RFC 5424 wants them.
fn records(messages: &[String]) -> Vec<Value> {
    let one = |message: &String| {
        let parts: Vec<_> = message.splitn(8, ' ').collect();
        let [start, at, host, app, process, id, data, text] = parts[..] else { panic!("{message}") };
        assert_eq!((start, app, process, data), ("<110>1", "tokenhouse", "-", "-"), "{message}");
        let record: Value = serde_json::from_str(text).unwrap();
        assert_eq!((record["at"].as_str(), record["action"].as_str()), (Some(at), Some(id)));
        assert!(!host.is_empty());
        record
    };
    messages.iter().map(one).collect()
}

#[tokio::test]
async fn syslog_gets_every_record_and_what_failed_again() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let server = server_with(Database::Sqlite, "json", &format!("{{ syslog = 'tcp://{address}' }}")).await;
    server.person("Mia é", Role::Member).await;
    let accept = |listener: std::net::TcpListener| {
        std::thread::spawn(move || {
            let mut got = Vec::new();
            listener.accept().unwrap().0.read_to_end(&mut got).unwrap();
            (listener, got)
        })
    };
    let accepted = accept(listener);
    run(&server).await.unwrap();
    let (listener, got) = accepted.join().unwrap();
    assert_eq!(seqs(&records(&messages(&got))), all(&server).await);
    drop(listener);
    let before = head(&server).await;
    server.person("Max", Role::Member).await;
    run(&server).await.unwrap_err();
    assert_eq!(server.app.exports[0].behind(), head(&server).await - before);
    let accepted = accept(std::net::TcpListener::bind(address).unwrap());
    run(&server).await.unwrap();
    let (_, got) = accepted.join().unwrap();
    assert_eq!(seqs(&records(&messages(&got))), all(&server).await[usize::try_from(before).unwrap()..]);
    assert_eq!(server.app.exports[0].behind(), 0);
}

#[tokio::test]
async fn syslog_over_tls_needs_a_certificate_that_is_trusted() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, made.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let got = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&got);
    let serving = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut bytes = Vec::new();
            tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut bytes).await.unwrap();
            kept.lock().unwrap().extend(bytes);
            break;
        }
    });
    let to = format!("{{ syslog = 'tls://localhost:{port}' }}");
    let server = server_with(Database::Sqlite, "json", &to).await;
    server.person("Mia", Role::Member).await;
    assert!(run(&server).await.unwrap_err().contains("certificate"));
    let to = format!("{{ syslog = 'tls://localhost:{port}', ca = '{}' }}", ca.display());
    let server = server_with(Database::Sqlite, "json", &to).await;
    server.person("Mia", Role::Member).await;
    run(&server).await.unwrap();
    serving.await.unwrap();
    let got = got.lock().unwrap().clone();
    assert_eq!(seqs(&records(&messages(&got))), all(&server).await);
}

#[tokio::test]
async fn a_webhook_gets_each_record_until_it_takes_it() {
    type Got = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;
    let (got, kept) = (Got::default(), Got::default());
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let received = Arc::clone(&got);
    // Refuses the third request.
    let routes = axum::Router::new().fallback(async move |headers: HeaderMap, body: Bytes| {
        let mut got = received.lock().unwrap();
        got.push((headers, body));
        if got.len() == 3 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
    });
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let to = format!("{{ webhook = '{url}', secret = '{SECRET}' }}");
    let server = server_with(Database::Sqlite, "json", &to).await;
    server.person("Mia", Role::Member).await;
    server.person("Max", Role::Member).await;
    run(&server).await.unwrap_err();
    run(&server).await.unwrap();
    run(&server).await.unwrap();
    let key = BASE64_STANDARD.decode(&SECRET["whsec_".len()..]).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    for (headers, body) in std::mem::take(&mut *got.lock().unwrap()) {
        let text = |name: &str| headers[name].to_str().unwrap();
        let signed = [text("webhook-id").as_bytes(), text("webhook-timestamp").as_bytes(), &body].join(&b'.');
        let signature =
            BASE64_STANDARD.decode(text("webhook-signature").strip_prefix("v1,").unwrap()).unwrap();
        hmac::verify(&key, &signed, &signature).unwrap();
        kept.lock().unwrap().push((headers, body));
    }
    let kept = kept.lock().unwrap().clone();
    let seq = |body: &Bytes| serde_json::from_slice::<Value>(body).unwrap()["seq"].as_i64().unwrap();
    let mut expected = all(&server).await;
    expected.insert(2, 3);
    assert_eq!(kept.iter().map(|(_, body)| seq(body)).collect::<Vec<_>>(), expected);
    for (headers, body) in &kept {
        assert_eq!(headers["webhook-id"], format!("siem-{}", seq(body)));
    }
}

#[tokio::test]
async fn one_server_of_a_fleet_exports_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let one =
        server_with(Database::Postgres, "json", &format!("{{ file = '{}' }}", file("one").display())).await;
    let two = TestServer::builder().beside(&one, "two").configured(|config| {
        config.audit_export = one.app.config.audit_export.clone();
        config.audit_export[0].to = tokenhouse::config::export::Target::File(file("two"));
    });
    let two = quiet(two).await;
    let mia = one.person("Mia", Role::Member).await;
    run(&one).await.unwrap();
    generate(&one, &mia.token, "second", None).await.expect(201);
    run(&two).await.unwrap();
    assert!(!file("two").exists(), "the first one has it");
    one.clock.turn_to(one.clock.now().plus_seconds(60));
    run(&two).await.unwrap();
    run(&one).await.unwrap();
    let mut seen = seqs(&lines(&file("one")));
    seen.extend(seqs(&lines(&file("two"))));
    assert_eq!(seen, all(&one).await);
}

#[tokio::test]
async fn an_export_that_fails_leaves_its_turn_to_another_server() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let nowhere = file("nowhere").join("one");
    let one = server_with(Database::Postgres, "json", &format!("{{ file = '{}' }}", nowhere.display())).await;
    let two = TestServer::builder().beside(&one, "two").configured(|config| {
        config.audit_export = one.app.config.audit_export.clone();
        config.audit_export[0].to = tokenhouse::config::export::Target::File(file("two"));
    });
    let two = quiet(two).await;
    one.person("Mia", Role::Member).await;
    run(&one).await.unwrap_err();
    run(&two).await.unwrap();
    assert_eq!(seqs(&lines(&file("two"))), all(&one).await);
}

/// Each answer takes twenty seconds by the clock of the servers, and all together longer than a claim lasts.
#[tokio::test]
async fn a_slow_receiver_gets_nothing_from_two_servers() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let to = format!("{{ webhook = 'http://{}/', secret = '{SECRET}' }}", listener.local_addr().unwrap());
    let one = Arc::new(server_with(Database::Postgres, "json", &to).await);
    let two = TestServer::builder().beside(&one, "two").configured(|config| {
        config.audit_export = one.app.config.audit_export.clone();
    });
    let two = quiet(two).await;
    let (got, waiting) = (Arc::new(Mutex::new(Vec::new())), Arc::new(tokio::sync::Semaphore::new(4)));
    let (received, may_answer, clock) = (Arc::clone(&got), Arc::clone(&waiting), one.clock.clone());
    let routes = axum::Router::new().fallback(async move |body: Bytes| {
        clock.turn_to(clock.now().plus_seconds(20));
        received.lock().unwrap().push(serde_json::from_slice::<Value>(&body).unwrap());
        may_answer.acquire().await.unwrap().forget();
        StatusCode::OK
    });
    tokio::spawn(async move { axum::serve(listener, routes).await });
    one.people().await;
    let sending = tokio::spawn({
        let one = Arc::clone(&one);
        async move { run(&one).await }
    });
    while got.lock().unwrap().len() < 5 {
        tokio::task::yield_now().await;
    }
    run(&two).await.unwrap();
    assert_eq!(got.lock().unwrap().len(), 5, "the other server is at it");
    waiting.add_permits(1_000);
    sending.await.unwrap().unwrap();
    let expected = all(&one).await;
    assert_eq!(seqs(&got.lock().unwrap()), expected);
}

/// Prints the JSON schemas of three classes as they are published.
const SCHEMAS: &str = "
import json
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema
schemas = OcsfJsonSchemaEmbedded(get_ocsf_schema('1.5.0'))
classes = (3001, 3002, 3004)
print(json.dumps({n: schemas.get_class_schema(schemas.lookup_class_name_from_uid(n), []) for n in classes}))
";

#[tokio::test]
async fn events_are_what_the_published_schema_says() {
    let home = std::env::var("HOME").unwrap();
    let python = format!("{home}/.cache/tokenhouse/tools/ocsf/bin/python");
    let printed = Command::new(python).args(["-c", SCHEMAS]).output().expect("`cargo xtask install` has run");
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    let schemas: Value = serde_json::from_slice(&printed.stdout).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.jsonl");
    let server = server_with(Database::Sqlite, "ocsf", &format!("{{ file = '{}' }}", file.display())).await;
    let people = server.people().await;
    server.browser(&people.admin).await;
    // Every action there is, and one that only a newer server knows; with and without an actor.
    let known = Action::ALL.iter().map(|action| (action.as_str(), action.entity()));
    for (action, kind) in known.chain([("review.signed_off", "review"), ("user.renamed", "user")]) {
        for actor in
            ["NULL, NULL, NULL, NULL", "1, 'local|1', 'Ada', 'Human'", "2, 'x@service', 'X', 'Service'"]
        {
            let insert = format!(
                "INSERT INTO changes (seq, at, action, entity_kind, entity_id, entity_name, actor_id, actor_user_id, \
                 actor_name, actor_type, via_kind, via_token, ip, request_id, changes, hash) SELECT \
                 (SELECT max(seq) FROM changes) + 1, 1, '{action}', '{kind}', 7, 'a name', {actor}, 'token', 3, \
                 '2001:db8::1', 'r-1', '{{\"role\":[\"Member\",\"Admin\"]}}', hash FROM changes WHERE seq = 1"
            );
            tamper(&server, insert).await;
        }
    }
    tamper(&server, "UPDATE audit_head SET seq = (SELECT max(seq) FROM changes)".into()).await;
    run(&server).await.unwrap();
    let events = lines(&file);
    assert!(events.len() > 3 * Action::ALL.len());
    let mut classes = std::collections::BTreeMap::<i64, usize>::new();
    for event in &events {
        let class = event["class_uid"].as_i64().unwrap();
        *classes.entry(class).or_default() += 1;
        let schema = jsonschema::validator_for(&schemas[class.to_string()]).unwrap();
        let errors: Vec<_> = schema.iter_errors(event).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}: {event}");
        assert_eq!(event["type_uid"], class * 100 + event["activity_id"].as_i64().unwrap());
    }
    assert_eq!(classes.keys().copied().collect::<Vec<_>>(), [3001, 3002, 3004]);
    // The schema is one that can fail.
    let mut wrong = events[0].clone();
    wrong["metadata"]["product"] = Value::from(1);
    let schema = &schemas[events[0]["class_uid"].to_string()];
    assert!(!jsonschema::is_valid(schema, &wrong));
    let failed = events.iter().find(|event| event["message"] == "user.sign_in_failed").unwrap();
    assert_eq!((&failed["class_uid"], &failed["status_id"]), (&3002.into(), &2.into()));
}
