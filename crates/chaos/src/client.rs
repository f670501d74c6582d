//! Those who make, revoke and check tokens, all at once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::connection::{Answer, Connection};
use crate::fleet::{Fleet, NODES, Node};
use crate::history::{Check, History, Revoke, Verdict};
use crate::tokens::{State, Token, Tokens};

const MINTERS: u64 = 4;
const REVOKERS: u64 = 6;
const CHECKERS_OF_EACH_NODE: u64 = 4;

/// How long a revoke or a new token is waited for before another node is asked.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the answer to a check is waited for: longer than a node is stopped, since what it says when it goes
/// on again is what matters.
const CHECK_PATIENCE: Duration = Duration::from_secs(10);

/// How long nobody asks a node again that failed or is not there.
const AFTER_FAILURE: Duration = Duration::from_millis(10);

/// The pause between two checks of one client: without it nothing else would get a turn.
const CHECKER_PAUSE: Duration = Duration::from_millis(2);

/// The longest pause, in milliseconds, that a revoker makes, so that there is time to check.
const REVOKER_PAUSE: u64 = 100;

/// What all clients share.
pub(crate) struct Clients {
    addresses: Vec<watch::Receiver<SocketAddr>>,
    names: Vec<String>,
    admin: HeaderValue,
    /// Held by who changes something at a node, or by who keeps everybody from it.
    doors: Vec<Arc<RwLock<()>>>,
    tokens: Tokens,
    pub(crate) history: History,
    stop: CancellationToken,
}

impl Clients {
    /// Of a fleet, with the token of an Admin.
    pub(crate) fn new(fleet: &Fleet, admin: &str) -> Self {
        let mut admin = HeaderValue::try_from(format!("Bearer {admin}")).expect("a token fits in a header");
        admin.set_sensitive(true);
        Self {
            addresses: fleet.nodes.iter().map(Node::address).collect(),
            names: fleet.nodes.iter().map(|node| node.name.clone()).collect(),
            admin,
            doors: fleet.nodes.iter().map(|_| Arc::default()).collect(),
            tokens: Tokens::default(),
            history: History::begin(),
            stop: CancellationToken::new(),
        }
    }

    /// Lets all of them work. Returns when there are enough tokens and all have begun.
    pub(crate) async fn start(self: &Arc<Self>, seed: u64) -> JoinSet<()> {
        let mut working = JoinSet::new();
        let mut random = StdRng::seed_from_u64(seed);
        let mut fork = || StdRng::from_rng(&mut random);
        for _ in 0..MINTERS {
            working.spawn(Arc::clone(self).mint(fork()));
        }
        self.tokens.enough().await;
        for _ in 0..REVOKERS {
            working.spawn(Arc::clone(self).revoke(fork()));
        }
        for node in 0..NODES {
            for _ in 0..CHECKERS_OF_EACH_NODE {
                working.spawn(Arc::clone(self).check(node, fork()));
            }
        }
        working
    }

    /// Lets them end what they have begun, and returns when they have.
    pub(crate) async fn stop(&self, working: JoinSet<()>) {
        self.stop.cancel();
        working.join_all().await;
    }

    /// Lets nobody change anything at this node as long as the guard is there, as where a balancer knows better.
    /// Returns when nobody does.
    pub(crate) async fn spare(&self, node: usize) -> OwnedRwLockWriteGuard<()> {
        Arc::clone(&self.doors[node]).write_owned().await
    }

    /// A node at which something may be changed as long as the guard is there: this one, if possible.
    fn enter(&self, node: usize) -> (usize, OwnedRwLockReadGuard<()>) {
        let mut nodes = (node..node + NODES).map(|node| node % NODES);
        let entered = nodes.find_map(|node| {
            let guard = Arc::clone(&self.doors[node]).try_read_owned();
            Some((node, guard.ok()?))
        });
        entered.expect("at most one node is spared at a time")
    }

    fn connections(&self) -> Vec<Connection> {
        self.addresses.iter().cloned().map(Connection::new).collect()
    }

    async fn mint(self: Arc<Self>, mut random: StdRng) {
        let mut nodes = self.connections();
        while let Some(()) = self.stop.run_until_cancelled(self.tokens.wanted()).await {
            let (node, _guard) = self.enter(random.random_range(0..NODES));
            if !self.mint_one(&mut nodes[node], &mut random).await {
                sleep(AFTER_FAILURE).await;
            }
        }
    }

    /// Whether a token was made: without an answer there may be one, but nobody knows it.
    async fn mint_one(&self, node: &mut Connection, random: &mut StdRng) -> bool {
        let name = format!("{:016x}", random.random::<u64>());
        let wanted = json!({ "name": name });
        let answer = node.send(Method::POST, "/api/user-tokens", &self.admin, &wanted, PATIENCE).await;
        let Some(made) = answer.filter(|answer| answer.status == StatusCode::CREATED) else { return false };
        let made = made.json();
        let (id, secret) = (made["id"].as_i64(), made["bearer_token"].as_str());
        self.tokens.add(id.expect("the number of a token"), secret.expect("the secret of a token"));
        true
    }

    async fn revoke(self: Arc<Self>, mut random: StdRng) {
        let mut nodes = self.connections();
        while !self.stop.is_cancelled() {
            sleep(Duration::from_millis(random.random_range(0..REVOKER_PAUSE))).await;
            if let Some(token) = self.tokens.take(&mut random) {
                self.revoke_one(&mut nodes, &token, &mut random).await;
            }
        }
    }

    /// Asks until it is acknowledged, each time another node, and gives the answer.
    async fn revoke_one(&self, nodes: &mut [Connection], token: &Token, random: &mut StdRng) -> Value {
        let (began, path) = (self.history.now(), format!("/api/user-tokens/{}", token.id));
        let (mut preferred, mut attempts) = (random.random_range(0..NODES), 0);
        loop {
            attempts += 1;
            let (node, guard) = self.enter(preferred);
            let wanted = json!({ "revoke": true });
            let answer = nodes[node].send(Method::PUT, &path, &self.admin, &wanted, PATIENCE).await;
            if let Some(acknowledged) = answer.filter(|answer| answer.status == StatusCode::OK) {
                let ended = self.history.now();
                let revoke = Revoke { token: token.number, node, began, ended, attempts };
                self.history.events().revokes.push(revoke);
                self.tokens.acknowledge(token.number);
                return acknowledged.json();
            }
            drop(guard);
            sleep(AFTER_FAILURE).await;
            preferred = (node + random.random_range(1..NODES)) % NODES;
        }
    }

    async fn check(self: Arc<Self>, node: usize, mut random: StdRng) {
        let mut connection = Connection::new(self.addresses[node].clone());
        while !self.stop.is_cancelled() {
            let Some(token) = self.tokens.choose(&mut random) else {
                sleep(AFTER_FAILURE).await;
                continue;
            };
            let began = self.history.now();
            let verdict = verdict(connection.check(&token.bearer, CHECK_PATIENCE).await);
            let ended = self.history.now();
            let check = Check { token: token.number, node, began, ended, verdict };
            self.history.events().checks.push(check);
            sleep(if verdict == Verdict::Unanswered { AFTER_FAILURE } else { CHECKER_PAUSE }).await;
        }
    }

    /// Looks at every token on every node when all is well and nobody else does anything. Gives what is wrong,
    /// in words.
    pub(crate) async fn check_all(&self, random: &mut StdRng) -> Vec<String> {
        let mut nodes = self.connections();
        self.reach_all(&mut nodes, random).await;
        let tokens = self.tokens.all();
        let checks = nodes.iter_mut().zip(&self.names).map(|(node, name)| check_all_at(node, name, &tokens));
        let mut wrong = Vec::new();
        for check in checks {
            wrong.extend(check.await);
        }
        wrong
    }

    /// Revokes one more (there are far more than can be needed) until every node is heard to show that: then each shows all that was before.
    async fn reach_all(&self, nodes: &mut [Connection], random: &mut StdRng) {
        loop {
            let token = self.tokens.take(random).expect("a good token");
            let answer = self.revoke_one(nodes, &token, random).await;
            let lines = answer["receipt"]["nodes"].as_array().cloned().unwrap_or_default();
            let acknowledged = lines.iter().filter(|line| line.get("acknowledged_after_ms").is_some());
            if acknowledged.count() == NODES {
                return;
            }
        }
    }
}

async fn check_all_at(node: &mut Connection, name: &str, tokens: &[(Arc<Token>, State)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (token, state) in tokens {
        let found = verdict(node.check(&token.bearer, CHECK_PATIENCE).await);
        let expected = if *state == State::Good { Verdict::Accepted } else { Verdict::Refused };
        if found != expected {
            wrong.push(format!("{name}: token {} is {state:?} and {found:?}", token.number));
        }
    }
    wrong
}

fn verdict(answer: Option<Answer>) -> Verdict {
    match answer.map(|answer| answer.status) {
        None => Verdict::Unanswered,
        Some(StatusCode::OK) => Verdict::Accepted,
        Some(StatusCode::UNAUTHORIZED) => Verdict::Refused,
        Some(StatusCode::SERVICE_UNAVAILABLE) => Verdict::Unavailable,
        Some(other) => panic!("a check was answered {other}"),
    }
}
