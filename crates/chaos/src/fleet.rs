//! Three real servers, each with its own way to a real PostgreSQL.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::Value;
use tokenhouse_testkit::postgres::Postgres;
use tokenhouse_testkit::process::{Installation, Server};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::proxy::Proxy;

/// How many servers there are.
pub(crate) const NODES: usize = 3;

/// Of this test alone.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// How many lines of its log a server shows where something went wrong.
const LINES: usize = 30;

/// Everything that runs. It ends with the thread that started it.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) nodes: Vec<Node>,
    pub(crate) postgres: Postgres,
}

/// A server.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    installation: Installation,
    server: Option<Server>,
    pub(crate) proxy: Proxy,
    address: watch::Sender<SocketAddr>,
}

impl Fleet {
    /// Starts everything. Gives the token of an Admin with it.
    pub(crate) fn start(binary: &Path, runtime: &Runtime) -> (Self, String) {
        let postgres = Postgres::start();
        let installed: Vec<_> =
            (1..=NODES).map(|number| install(binary, number, &postgres, runtime)).collect();
        // Makes the schema, too.
        let admin = create_admin(&installed[0].1);
        let nodes = installed.into_iter().map(|(name, installation, proxy)| {
            let server = installation.serve();
            let address = watch::Sender::new(server.address);
            Node { name, installation, server: Some(server), proxy, address }
        });
        (Self { nodes: nodes.collect(), postgres }, admin)
    }

    /// Returns when every node can answer checks.
    pub(crate) fn recover(&mut self) {
        for node in &mut self.nodes {
            node.server = node.server.take().map(Server::ready);
        }
    }

    /// Walks the audit trail, and gives its head.
    pub(crate) fn verify_audit(&self) -> String {
        run(&self.nodes[0].installation, &["audit", "verify"])
    }

    /// The ends of the logs of all servers.
    pub(crate) fn logs(&self) -> String {
        let end = |node: &Node| {
            let log = node.server.as_ref().map(Server::log).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            format!("{}:\n{}\n", node.name, lines[lines.len().saturating_sub(LINES)..].join("\n"))
        };
        self.nodes.iter().map(end).collect()
    }
}

impl Node {
    /// Where it listens; it changes with each start.
    pub(crate) fn address(&self) -> watch::Receiver<SocketAddr> {
        self.address.subscribe()
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.server.as_ref().expect("a server that runs").id()
    }

    /// Kills it (SIGKILL) and starts it again. Returns when it can answer checks.
    pub(crate) fn kill_and_start(&mut self) {
        self.server.take().expect("a server that runs").kill();
        let server = self.installation.serve();
        self.address.send_replace(server.address);
        self.server = Some(server);
    }
}

fn install(
    binary: &Path,
    number: usize,
    postgres: &Postgres,
    runtime: &Runtime,
) -> (String, Installation, Proxy) {
    let name = format!("node-{number}");
    let proxy = runtime.block_on(Proxy::start(postgres.address())).expect("a proxy");
    let mut installation = Installation::new(binary.to_str().expect("a path in UTF-8"));
    installation.configure(&format!(
        "[store]\nurl = \"postgres://postgres@{}/postgres\"\n[fleet]\nnode = \"{name}\"",
        proxy.address
    ));
    installation.set("TOKENHOUSE_MASTER_KEY", KEY);
    (name, installation, proxy)
}

fn create_admin(installation: &Installation) -> String {
    let options = ["--email", "root@example.com", "--name", "Root", "--token", "first"];
    let created = run(installation, &[&["admin", "create"][..], &options].concat());
    let created: Value = serde_json::from_str(&created).expect("JSON");
    created["bearer_token"].as_str().expect("a token").to_owned()
}

/// Runs a command that must succeed, and gives what it printed.
fn run(installation: &Installation, arguments: &[&str]) -> String {
    let output = installation.run(arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).expect("text")
}
