//! What was acknowledged survives a crash, and a graceful stop ends what is under way.
//!
//! SIGKILL loses nothing that the system has taken over from the process. What survives a loss of power is
//! seen in `power_loss.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::Method;
use serde_json::{Value, json};
use tokenhouse_testkit::process::{Installation, Server, until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::{Client, install, person, run};

const ROUNDS: usize = 6;
const WORKERS: usize = 32;

/// What is known of something: what was acknowledged last, and what a request in flight may have
/// made of it.
#[derive(Clone, PartialEq, Debug)]
struct Fact<T> {
    acknowledged: T,
    in_flight: Option<T>,
}

impl<T: Clone + PartialEq + std::fmt::Debug> Fact<T> {
    fn new(acknowledged: T) -> Self {
        Self { acknowledged, in_flight: None }
    }

    fn begin(&mut self, next: T) {
        self.in_flight = Some(next);
    }

    fn acknowledge(&mut self) {
        self.acknowledged = self.in_flight.take().unwrap();
    }

    /// Takes over what was found after a crash, if it is one of the two.
    fn settle(&mut self, found: T, what: &str) {
        let is_known = found == self.acknowledged || Some(&found) == self.in_flight.as_ref();
        assert!(is_known, "{what}: found {found:?}, known {self:?}");
        *self = Self::new(found);
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum State {
    Active,
    Revoked,
    Deleted,
}

/// One client and everything it was told.
struct Worker {
    client: Client,
    number: usize,
    turn: usize,
    user: i64,
    purpose: Fact<String>,
    tokens: BTreeMap<i64, (String, Fact<State>)>,
    teams: BTreeMap<i64, Fact<Option<String>>>,
    /// How many records there are, by action and entity.
    records: BTreeMap<(&'static str, i64), Fact<usize>>,
}

impl Worker {
    async fn new(client: Client, number: usize) -> Self {
        let user = json!({ "name": format!("Worker {number}"), "role": "Member", "purpose": "0" });
        let user = client.post("/api/users", &user).await.expect(201).json()["id"].as_i64().unwrap();
        let mut worker = Self {
            client,
            number,
            turn: 0,
            user,
            purpose: Fact::new("0".into()),
            tokens: BTreeMap::new(),
            teams: BTreeMap::new(),
            records: BTreeMap::new(),
        };
        worker.note("user.created", user);
        worker
    }

    /// Works until the server is gone.
    async fn work(mut self, acknowledged: Arc<AtomicUsize>) -> Self {
        while self.step().await.is_ok() {
            acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        self
    }

    async fn step(&mut self) -> Result<(), reqwest::Error> {
        self.turn += 1;
        let name = format!("{}-{}", self.number, self.turn);
        let newest = self.tokens.last_key_value().map_or(0, |(id, _)| *id);
        match self.turn % 9 {
            1 => {
                self.mint(
                    "token.generated",
                    "/api/user-tokens",
                    json!({ "name": name, "user_id": self.user }),
                )
                .await
            }
            2 | 5 => self.change_token(newest, State::Revoked).await,
            3 => self.change_token(newest, State::Active).await,
            4 if self.is_active(newest) => {
                self.mint("token.rotated", &format!("/api/user-tokens/{newest}/rotate"), json!({})).await
            }
            6 => self.change_token(newest, State::Deleted).await,
            7 => self.change_user(name).await,
            8 => self.make_team(name).await,
            4 => Ok(()),
            _ => self.change_team(name).await,
        }
    }

    fn is_active(&self, id: i64) -> bool {
        self.tokens.get(&id).is_some_and(|(_, fact)| fact.acknowledged == State::Active)
    }

    async fn send(&self, method: Method, path: &str, body: &Value) -> Result<Value, reqwest::Error> {
        let answer = self.client.try_json(method, path, body).await?;
        assert!((200..300).contains(&answer.status), "{path}: {}", String::from_utf8_lossy(&answer.body));
        Ok(serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    fn note(&mut self, action: &'static str, id: i64) {
        let fact = self.begin_record(action, id);
        fact.acknowledge();
    }

    fn begin_record(&mut self, action: &'static str, id: i64) -> &mut Fact<usize> {
        let fact = self.records.entry((action, id)).or_insert(Fact::new(0));
        fact.begin(fact.acknowledged + 1);
        fact
    }

    async fn mint(&mut self, action: &'static str, path: &str, body: Value) -> Result<(), reqwest::Error> {
        let minted = self.send(Method::POST, path, &body).await?;
        let (id, secret) = (minted["id"].as_i64().unwrap(), minted["bearer_token"].as_str().unwrap());
        self.tokens.insert(id, (secret.to_owned(), Fact::new(State::Active)));
        self.note(action, id);
        Ok(())
    }

    async fn change_token(&mut self, id: i64, to: State) -> Result<(), reqwest::Error> {
        let Some((_, fact)) = self.tokens.get_mut(&id) else { return Ok(()) };
        // A crash may have left the step before undone; then this one would do nothing.
        let (before, method, action, body) = match to {
            State::Revoked => (State::Active, Method::PUT, "token.revoked", json!({ "revoke": true })),
            State::Active => (State::Revoked, Method::PUT, "token.restored", json!({ "revoke": false })),
            State::Deleted => (State::Revoked, Method::DELETE, "token.deleted", json!({})),
        };
        if fact.acknowledged != before {
            return Ok(());
        }
        fact.begin(to);
        self.begin_record(action, id);
        self.send(method, &format!("/api/user-tokens/{id}"), &body).await?;
        self.tokens.get_mut(&id).unwrap().1.acknowledge();
        self.records.get_mut(&(action, id)).unwrap().acknowledge();
        Ok(())
    }

    async fn change_user(&mut self, purpose: String) -> Result<(), reqwest::Error> {
        self.purpose.begin(purpose.clone());
        self.begin_record("user.updated", self.user);
        self.send(Method::PUT, &format!("/api/users/{}", self.user), &json!({ "purpose": purpose })).await?;
        self.purpose.acknowledge();
        self.records.get_mut(&("user.updated", self.user)).unwrap().acknowledge();
        Ok(())
    }

    async fn make_team(&mut self, name: String) -> Result<(), reqwest::Error> {
        let body = json!({ "name": name, "members": [self.user] });
        let id = self.send(Method::POST, "/api/teams", &body).await?["id"].as_i64().unwrap();
        self.teams.insert(id, Fact::new(Some(name)));
        self.note("team.created", id);
        Ok(())
    }

    /// Deletes every second team and renames the others.
    async fn change_team(&mut self, name: String) -> Result<(), reqwest::Error> {
        let Some((&id, fact)) = self.teams.iter_mut().next_back() else { return Ok(()) };
        if fact.acknowledged.is_none() {
            return Ok(());
        }
        let (method, action, to) = match self.turn % 2 {
            0 => (Method::PUT, "team.updated", Some(name.clone())),
            _ => (Method::DELETE, "team.deleted", None),
        };
        fact.begin(to);
        self.begin_record(action, id);
        self.send(method, &format!("/api/teams/{id}"), &json!({ "name": name })).await?;
        self.teams.get_mut(&id).unwrap().acknowledge();
        self.records.get_mut(&(action, id)).unwrap().acknowledge();
        Ok(())
    }

    /// Compares everything that was acknowledged with what is there now.
    async fn settle(&mut self, client: Client, trail: &BTreeMap<(String, i64), usize>) {
        self.client = client;
        for (id, (secret, fact)) in &mut self.tokens {
            let accepted = self.client.with_token(secret).check("GET", "/").await.status;
            let shown = self.client.get(&format!("/api/user-tokens/{id}")).await;
            let state = match (accepted, shown.status) {
                (200, 200) => State::Active,
                (401, 200) => State::Revoked,
                (401, 404) => State::Deleted,
                other => panic!("token {id}: {other:?}"),
            };
            if state != State::Deleted {
                assert_eq!(shown.json()["active"], state == State::Active, "token {id}");
            }
            fact.settle(state, "a token");
        }
        let user = self.client.get(&format!("/api/users/{}", self.user)).await.expect(200).json();
        self.purpose.settle(user["purpose"].as_str().unwrap().into(), "a user");
        for (id, fact) in &mut self.teams {
            let team = self.client.get(&format!("/api/teams/{id}")).await;
            let name = (team.status == 200).then(|| team.json()["name"].as_str().unwrap().to_owned());
            fact.settle(name, "a team");
        }
        for ((action, id), fact) in &mut self.records {
            let found = trail.get(&((*action).to_owned(), *id)).copied().unwrap_or_default();
            fact.settle(found, &format!("records of {action} {id}"));
        }
    }
}

/// How many records the trail has, by action and entity; checks that it has no gaps.
async fn trail(client: &Client) -> BTreeMap<(String, i64), usize> {
    let text = client.get("/api/activity.csv").await.expect(200).body;
    let mut rows = csv::Reader::from_reader(text.as_slice());
    let mut trail = BTreeMap::new();
    let mut numbers = Vec::new();
    for row in rows.deserialize::<BTreeMap<String, String>>() {
        let row = row.unwrap();
        numbers.push(row["seq"].parse::<usize>().unwrap());
        *trail.entry((row["action"].clone(), row["entity_id"].parse().unwrap())).or_default() += 1;
    }
    assert_eq!(numbers, (1..=numbers.len()).rev().collect::<Vec<_>>());
    trail
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_in_a_crash() {
    let installation = install();
    let root = person(&installation, "root@example.com", "Admin");
    let mut server = installation.serve();
    let mut workers = Vec::new();
    for number in 0..WORKERS {
        workers.push(Worker::new(Client::new(&server, &root), number).await);
    }
    for round in 0..ROUNDS {
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let running: Vec<_> =
            workers.drain(..).map(|worker| tokio::spawn(worker.work(Arc::clone(&acknowledged)))).collect();
        // A different moment of the workers' steps in each round.
        until("the workers make progress", || {
            (acknowledged.load(Ordering::Relaxed) >= WORKERS * (2 + round)).then_some(())
        });
        server.kill();
        for worker in running {
            workers.push(worker.await.unwrap());
        }
        run(&installation, &["audit", "verify"]);
        server = installation.serve();
        let client = Client::new(&server, &root);
        let trail = trail(&client).await;
        for worker in &mut workers {
            worker.settle(client.clone(), &trail).await;
        }
    }
    let states = workers.iter().flat_map(|worker| worker.tokens.values()).map(|(_, fact)| fact.acknowledged);
    let count = |state| states.clone().filter(|known| *known == state).count();
    assert!(count(State::Active) > ROUNDS && count(State::Deleted) > 0, "the workers did their work");
    server.kill();
    run(&installation, &["audit", "verify"]);
}

/// Sends the head of a request that makes a token and waits until the server reads its body.
async fn begin_minting(server: &Server, token: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST /api/user-tokens HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream
}

async fn stops_gracefully(installation: &Installation, root: &str) -> (i64, String) {
    let mut server = installation.serve();
    let client = Client::new(&server, root);
    let (used, secret) = client.mint("used").await;
    client.with_token(&secret).check("GET", "/").await.expect(200);
    let body = json!({ "name": "in flight" }).to_string();
    let mut stream = begin_minting(&server, root, &body).await;
    server.terminate();
    until("it takes no more connections", || std::net::TcpStream::connect(server.address).err());
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{}", answer.lines().next().unwrap());
    let json: Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(server.wait().code(), Some(0));
    (used, json["bearer_token"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_what_is_in_flight_and_writes_last_uses() {
    let installation = install();
    let root = person(&installation, "root@example.com", "Admin");
    let (used, in_flight) = stops_gracefully(&installation, &root).await;
    let server = installation.serve();
    let client = Client::new(&server, &root);
    client.with_token(&in_flight).check("GET", "/").await.expect(200);
    let used = client.get(&format!("/api/user-tokens/{used}")).await.expect(200).json();
    assert!(used["last_used"].is_string(), "{used}");
    assert_eq!(used["last_used_ip"], "127.0.0.1");
}
