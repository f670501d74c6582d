//! Secrets appear in the one answer that shows them and nowhere else: not in files, logs or errors.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use regex::bytes::Regex;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, SqliteConnection};
use tokenhouse_testkit::postgres;
use tokenhouse_testkit::process::{Installation, files_of};

use crate::client::{Answer, Client, install, person, run};

/// Something that must not be found, and what it is called.
struct Needle {
    name: String,
    bytes: Vec<u8>,
    pattern: Regex,
}

fn needle(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Needle {
    let bytes = bytes.into();
    let escaped = bytes.iter().fold("(?-u)".to_owned(), |text, byte| format!("{text}\\x{byte:02x}"));
    Needle { name: name.into(), pattern: Regex::new(&escaped).unwrap(), bytes }
}

/// The parts of a token that nobody can know without it: its signature, its id, and the piece of the
/// encoded payload that holds the id.
fn parts_of(name: &str, token: &str) -> Vec<Needle> {
    let [_, payload, signature] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
    let claims = BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap();
    let jti = serde_json::from_slice::<Value>(&claims).unwrap()["jti"].as_str().unwrap().to_owned();
    let start = claims.windows(jti.len()).position(|window| window == jti.as_bytes()).unwrap();
    let encoded = &payload[start.div_ceil(3) * 4..(start + jti.len()) / 3 * 4];
    let raw = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
    vec![
        needle(format!("{name}: signature"), signature),
        needle(format!("{name}: bytes of the signature"), raw),
        needle(format!("{name}: id"), jti),
        needle(format!("{name}: payload"), encoded),
    ]
}

fn parts_of_key(text: &str) -> Vec<Needle> {
    let bytes = BASE64_STANDARD.decode(text.trim()).unwrap();
    vec![
        needle("master key: base64", text.trim().trim_end_matches('=')),
        needle("master key: base64url", BASE64_URL_SAFE_NO_PAD.encode(&bytes)),
        needle("master key: hexadecimal", tokenhouse_core::audit::hex(&bytes)),
        needle("master key: bytes", bytes),
    ]
}

/// The names of the needles that are in the haystack.
fn found<'a>(needles: &'a [Needle], haystack: &[u8]) -> Vec<&'a str> {
    let is_in = |needle: &&Needle| needle.pattern.is_match(haystack);
    needles.iter().filter(is_in).map(|needle| needle.name.as_str()).collect()
}

/// Everything that an installation has written, by name, without the file of the master key.
fn written(installation: &Installation) -> Vec<(String, Vec<u8>)> {
    let mut files = match fs::exists(installation.data()) {
        Ok(true) => files_of(&installation.data()),
        _ => Vec::new(),
    };
    files.retain(|(name, _)| name != "master.key");
    files.push(("output".to_owned(), installation.output()));
    files
}

/// Which needles are in what was written, and where.
fn leaks(needles: &[Needle], installation: &Installation) -> Vec<String> {
    let in_file = |(name, content): (String, Vec<u8>)| {
        found(needles, &content).into_iter().map(|needle| format!("{needle} in {name}")).collect::<Vec<_>>()
    };
    written(installation).into_iter().flat_map(in_file).collect()
}

/// Sends requests and looks for secrets in the answers.
struct Prober {
    client: Client,
    needles: Vec<Needle>,
    leaks: BTreeSet<String>,
    statuses: BTreeSet<u16>,
}

impl Prober {
    async fn probe(&mut self, what: &str, request: RequestBuilder) -> Answer {
        let answer = Client::send(request).await.unwrap();
        let mut all = answer.body.clone();
        for (name, value) in &answer.headers {
            all.extend_from_slice(name.as_str().as_bytes());
            all.extend_from_slice(value.as_bytes());
        }
        for name in found(&self.needles, &all) {
            self.leaks.insert(format!("{name} in the answer {} to {what}", answer.status));
        }
        self.statuses.insert(answer.status);
        answer
    }

    /// Puts a secret everywhere that a request to this operation has room for it.
    async fn plant(&mut self, method: &str, path: &str, operation: &Value, secret: &str) {
        let client = self.client.clone();
        let verb = Method::from_bytes(method.as_bytes()).unwrap();
        let request = |client: &Client, path: &str| client.request(verb.clone(), path);
        let real = path.replace("{id}", "1");
        let wrong = client.with_token(&format!("{secret}x"));
        let what = format!("{method} {path}");
        self.probe(&format!("{what}, in the path"), request(&client, &path.replace("{id}", secret))).await;
        self.probe(&format!("{what}, behind the path"), request(&client, &format!("{real}/{secret}"))).await;
        self.probe(&format!("{what}, as a forged token"), request(&wrong, &real)).await;
        let basic = client.without_token();
        self.probe(
            &format!("{what}, as a user name"),
            request(&basic, &real).basic_auth(secret, Some(secret)),
        )
        .await;
        let cookie = request(&basic, &real).header("cookie", format!("session={secret}"));
        self.probe(&format!("{what}, in a cookie"), cookie.header("x-api-key", secret)).await;
        let query = operation["parameters"].as_array().cloned().unwrap_or_default();
        let names = query.iter().filter(|one| one["in"] == "query").filter_map(|one| one["name"].as_str());
        for name in names.chain(["token", "access_token"]) {
            let path = format!("{real}?{name}={secret}");
            self.probe(&format!("{what}, in the query as {name}"), request(&client, &path)).await;
        }
        if method == "GET" || method == "DELETE" {
            return;
        }
        for body in bodies(secret) {
            let what = format!("{what}, in {}", body.to_string().replace(secret, "SECRET"));
            self.probe(&what, request(&client, &real).json(&body)).await;
        }
        for (kind, body) in [
            ("application/json", secret.to_owned()),
            ("application/json", format!("{{\"name\": \"{secret}")),
            ("text/plain", secret.to_owned()),
            ("application/x-www-form-urlencoded", format!("token={secret}&token={secret}")),
            ("application/x-www-form-urlencoded", format!("tokem={secret}")),
            ("application/x-www-form-urlencoded", format!("token={secret}x")),
            ("application/x-www-form-urlencoded", secret.to_owned()),
        ] {
            let what = format!("{what}, as {}", body.replace(secret, "SECRET"));
            self.probe(&what, request(&client, &real).header("content-type", kind).body(body)).await;
        }
    }
}

/// Bodies with a secret where something else belongs. A good field comes before, so that no missing
/// one is found first.
fn bodies(secret: &str) -> Vec<Value> {
    let mut bodies = vec![json!(secret), json!([secret])];
    for field in ["role", "user_type", "expires_in_days", "user_id", "scim_endpoints_only", "revoke"] {
        bodies.push(json!({ field: secret }));
    }
    for field in ["name", "email", "purpose", "owner", "description", "teams", "members", "descendants"] {
        bodies.push(json!({ field: [[secret]] }));
        bodies.push(json!({ field: { secret: secret } }));
    }
    bodies.push(json!({ "members": [secret] }));
    bodies.push(json!({ "name": "x", "role": "Member", "teams": [secret] }));
    bodies.push(json!({ "teams": [secret] }));
    bodies.push(json!({ "name": "x", "role": "Member", "user_type": "Human", "email": secret }));
    bodies
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_in_the_one_answer_that_shows_them_and_nowhere_else() {
    let installation = install();
    installation.configure("[log]\nlevel = \"trace\"\n[limits]\nfailed_bearer_per_minute = 1000000\nrevocations_per_minute = 1000000");
    let root = person(&installation, "root@example.com", "Admin");
    let server = installation.serve();
    let client = Client::new(&server, &root);
    let (_, planted) = client.mint("planted").await;
    let (revoked_id, revoked) = client.mint("revoked").await;
    client.revoke(revoked_id).await.expect(200);
    let person = json!({ "name": "Ada", "role": "Member", "user_type": "Human", "email": "ada@example.com" });
    let invited = client.post("/api/users", &person).await.expect(201).json();
    let invitation = invited["invite_url"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let mut needles = parts_of_key(&fs::read_to_string(installation.data().join("master.key")).unwrap());
    needles.push(needle("invitation", invitation.as_str()));
    for (name, token) in [("root", &root), ("planted", &planted), ("revoked", &revoked)] {
        needles.extend(parts_of(name, token));
    }
    let mut prober = Prober { client, needles, leaks: BTreeSet::new(), statuses: BTreeSet::new() };

    let api = prober.client.get("/api/openapi.json").await.expect(200).json();
    for (path, operations) in api["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            for secret in [&planted, &invitation] {
                // Nobody ends the token or the people that the others are tried with.
                let ends =
                    path.contains("/current") || path.ends_with("/revoke-tokens") || path == "/oauth/revoke";
                if !(ends && method != "get") {
                    prober.plant(&method.to_uppercase(), path, operation, secret).await;
                }
            }
        }
    }
    for path in [format!("/{planted}"), format!("/invite/{invitation}"), format!("/login?token={planted}")] {
        let what = format!("a page, {}", &path[..4]);
        prober.probe(&what, prober.client.request(Method::GET, &path)).await;
    }
    let refused = prober.client.with_token(&revoked);
    prober.probe("a revoked token", refused.request(Method::GET, "/api/user-tokens")).await;
    for secret in [&planted, &revoked] {
        let form = prober.client.request(Method::POST, "/oauth/revoke").form(&[("token", secret)]);
        prober.probe("a revocation", form).await;
    }
    // A fault behind the server: nobody can write.
    let url = format!("sqlite://{}", installation.database().display());
    let mut other = SqliteConnection::connect(&url).await.unwrap();
    other.execute("BEGIN EXCLUSIVE").await.unwrap();
    let failing = prober.client.request(Method::POST, &format!("/api/user-tokens?token={planted}"));
    prober.probe("a change while the store is locked", failing.json(&json!({ "name": "late" }))).await;
    other.execute("ROLLBACK").await.unwrap();
    other.execute("DROP TABLE team_members").await.unwrap();
    let failing = prober.client.request(Method::GET, &format!("/api/users?token={planted}"));
    prober.probe("a store that was meddled with", failing).await;

    for status in [200, 400, 401, 404, 405, 415, 422, 500, 503] {
        assert!(prober.statuses.contains(&status), "no answer was {status}: {:?}", prober.statuses);
    }
    assert!(server.log().contains("\"DEBUG\""), "the log has more than the usual");
    assert!(prober.leaks.is_empty(), "{:#?}", prober.leaks);
    assert_eq!(leaks(&prober.needles, &installation), Vec::<String>::new());
    server.kill();
    assert_eq!(leaks(&prober.needles, &installation), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_in_the_stores_url_is_not_repeated() {
    const PASSWORD: &str = "hunter2-hunter2";
    let needles = [needle("password", PASSWORD)];
    let mut installation = install();
    installation.set("TOKENHOUSE_MASTER_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
    for url in [
        format!("postgres://u:{PASSWORD}@127.0.0.1:1/d"),
        format!("postgres://u:{PASSWORD}@[bad/d"),
        format!("postgres://u:{PASSWORD}@127.0.0.1:99999/d"),
        format!("mysql://u:{PASSWORD}@h/d"),
        format!("{PASSWORD}\" junk"),
    ] {
        let text = format!("[store]\nurl = \"{url}\"\n[log]\nlevel = \"trace\"\n");
        fs::write(installation.file("tokenhouse.toml"), text).unwrap();
        for command in [&["serve"][..], &["audit", "verify"]] {
            let output = installation.run(command);
            assert!(!output.status.success() && output.stdout.is_empty());
            assert!(
                found(&needles, &output.stderr).is_empty(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
    // Trusted without a password, so any will do.
    let url = postgres::database().await.replace("postgres@", &format!("postgres:{PASSWORD}@"));
    installation.configure(&format!("[store]\nurl = \"{url}\"\n[log]\nlevel = \"trace\""));
    let root = person(&installation, "root@example.com", "Admin");
    let server = installation.serve();
    Client::new(&server, &root).mint("x").await;
    run(&installation, &["audit", "verify"]);
    assert_eq!(leaks(&needles, &installation), Vec::<String>::new());
}

#[tokio::test]
async fn a_secret_that_leaks_is_found() {
    let installation = install();
    let root = person(&installation, "root@example.com", "Admin");
    let server = installation.serve();
    let key = fs::read_to_string(installation.data().join("master.key")).unwrap();
    let needles: Vec<_> = parts_of_key(&key).into_iter().chain(parts_of("root", &root)).collect();
    // It would write over what is planted here.
    server.kill();
    assert_eq!(leaks(&needles, &installation), Vec::<String>::new());
    for planted in &needles {
        for file in ["tokenhouse-data/tokenhouse.db-wal", "server-0.log"] {
            let path = installation.file(file);
            let before = fs::read(&path).unwrap();
            let mut opened = fs::OpenOptions::new().append(true).open(&path).unwrap();
            opened.write_all(&[b"before ", &planted.bytes[..], b" after"].concat()).unwrap();
            let told = leaks(&needles, &installation);
            assert!(
                told.iter().any(|leak| leak.starts_with(&planted.name)),
                "{} in {file}: {told:?}",
                planted.name
            );
            fs::write(&path, before).unwrap();
        }
    }
}
