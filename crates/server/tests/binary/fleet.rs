//! Three servers on one PostgreSQL, as processes: behind proxies, killed, stopped, and over TLS.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tokenhouse_testkit::postgres;
use tokenhouse_testkit::process::{Installation, Server, until};
use tokenhouse_testkit::proxies::{Haproxy, Nginx};

use crate::client::{Client, complaint, install, person, run};

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

const PATIENCE: Duration = Duration::from_secs(30);

/// An installation of the server that is called `name`.
pub(crate) fn node(url: &str, name: &str) -> Installation {
    let mut node = install();
    node.configure(&format!("[store]\nurl = \"{url}\"\n[fleet]\nnode = \"{name}\""));
    node.set("TOKENHOUSE_MASTER_KEY", KEY);
    node
}

struct Fleet {
    installations: [Installation; 3],
    servers: Vec<Server>,
    admin: String,
}

impl Fleet {
    async fn start() -> Self {
        let url = postgres::database().await;
        let installations = ["gate-1", "gate-2", "gate-3"].map(|name| node(&url, name));
        let admin = person(&installations[0], "root@example.com", "Admin");
        let servers = installations.iter().map(Installation::serve).collect();
        Self { installations, servers, admin }
    }

    fn addresses(&self) -> [SocketAddr; 3] {
        [0, 1, 2].map(|number| self.servers[number].address)
    }
}

/// The name of each node, and whether its lease has ended.
fn listed(installation: &Installation) -> Vec<(String, bool)> {
    let list = run(installation, &["nodes"]);
    let line = |line: &str| (line.split(' ').next().unwrap().to_owned(), line.contains(" ended "));
    list.lines().skip(1).map(line).collect()
}

/// A proxy: its address, and what keeps it running.
type Proxy = (SocketAddr, Box<dyn Send>);

/// A fleet behind a proxy: what is revoked is refused by all, and a server that dies is not noticed.
async fn behind(start: fn([SocketAddr; 3]) -> Proxy) {
    let mut fleet = Fleet::start().await;
    let (address, _program) = start(fleet.addresses());
    let client = Client::at(address, &fleet.admin);
    for round in 0..5 {
        let (id, secret) = client.mint(&format!("t{round}")).await;
        client.revoke(id).await.expect(200);
        for server in &fleet.servers {
            Client::new(server, &secret).check("GET", "/").await.expect(401);
        }
    }
    let (_, kept) = client.mint("kept").await;
    let direct = fleet.addresses().map(|address| Client::at(address, &kept));
    for node in &direct {
        // It hears of the token within milliseconds.
        let accepted = async { while node.check("GET", "/").await.status != 200 {} };
        tokio::time::timeout(PATIENCE, accepted).await.expect("the token is accepted");
    }
    fleet.servers.remove(1).kill();
    let kept = Client::at(address, &kept);
    for _ in 0..50 {
        kept.check("GET", "/").await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_behind_nginx() {
    behind(|nodes| {
        let nginx = Nginx::of_fleet(nodes).unwrap();
        (nginx.address, Box::new(nginx))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_behind_haproxy() {
    behind(|nodes| {
        let haproxy = Haproxy::of_fleet(nodes).unwrap();
        (haproxy.address, Box::new(haproxy))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_are_listed_as_long_as_they_are_there() {
    let mut fleet = Fleet::start().await;
    let live = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), false)).collect::<Vec<_>>();
    assert_eq!(listed(&fleet.installations[0]), live(&["gate-1", "gate-2", "gate-3"]));
    let mut stopped = fleet.servers.remove(2);
    stopped.terminate();
    assert!(stopped.wait().success());
    assert_eq!(listed(&fleet.installations[0]), live(&["gate-1", "gate-2"]));
    fleet.servers.remove(1).kill();
    until("the killed one is taken off the list", || {
        (listed(&fleet.installations[0]).len() == 1).then_some(())
    });
    assert_eq!(listed(&fleet.installations[0]), live(&["gate-1"]));
    let url = postgres_url(&fleet.installations[0]);
    let mut database = PgConnection::connect(&url).await.unwrap();
    let name = url.rsplit('/').next().unwrap();
    let setting = format!("ALTER DATABASE {name} SET default_transaction_read_only = on");
    database.execute(AssertSqlSafe(setting)).await.unwrap();
    assert!(listed(&fleet.installations[0]).len() == 1, "looking changes nothing");

    let alone = install();
    person(&alone, "root@example.com", "Admin");
    let refused = alone.run(&["nodes"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(complaint(&refused).contains("a fleet needs PostgreSQL"), "{}", complaint(&refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_of_one_name_ends_with_a_message() {
    let mut fleet = Fleet::start().await;
    // As on another machine.
    fleet.installations[0].set("TOKENHOUSE_REQUEST_LOG__DIRECTORY", "elsewhere");
    let refused = fleet.installations[0].run(&["serve"]);
    assert_eq!(refused.status.code(), Some(1));
    let said = complaint(&refused);
    assert!(said.contains("another server of this store is called gate-1"), "{said}");
    assert!(said.contains("fleet.node"), "{said}");
}

/// The clock of one machine is hours off: it would accept tokens long after their expiry.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_clock_is_off_ends_with_a_message() {
    let fleet = Fleet::start().await;
    let late = node(&postgres_url(&fleet.installations[0]), "late");
    let output = late.command_through(&["faketime", "-f", "-3h"], &["serve"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = complaint(&output);
    assert!(said.contains("differ by 10") && said.contains("set them right"), "{said}");
}

fn postgres_url(installation: &Installation) -> String {
    let text = fs::read_to_string(installation.file("tokenhouse.toml")).unwrap();
    let table: toml::Table = toml::from_str(&text).unwrap();
    table["store"]["url"].as_str().unwrap().to_owned()
}

/// Gives the database a certificate, with which it speaks TLS from then on.
async fn certify(url: &str) -> String {
    let mut database = PgConnection::connect(url).await.unwrap();
    let folder: String = sqlx::query_scalar("SHOW data_directory").fetch_one(&mut database).await.unwrap();
    let folder = Path::new(&folder);
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let owner = fs::metadata(folder).unwrap();
    for (name, text) in [("server.crt", made.cert.pem()), ("server.key", made.signing_key.serialize_pem())] {
        let file = folder.join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        chown(&file, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    for statement in ["ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"] {
        database.execute(sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))).await.unwrap();
    }
    made.cert.pem()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_is_reached_over_tls() {
    let url = postgres::database().await;
    let mut certificate = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut certificate, certify(&url).await.as_bytes()).unwrap();
    let secured = format!("{url}?sslmode=verify-full&sslrootcert={}", certificate.path().display());
    let secure = node(&secured, "secure");
    let admin = person(&secure, "root@example.com", "Admin");
    let server = secure.serve();
    Client::new(&server, &admin).check("GET", "/").await.expect(200);
    let mut database = PgConnection::connect(&url).await.unwrap();
    let (plain, all): (i64, i64) = sqlx::query_as(
        "SELECT count(*) FILTER (WHERE NOT ssl), count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    .fetch_one(&mut database)
    .await
    .unwrap();
    assert!(plain == 0 && all > 3, "{plain} of {all} connections are not encrypted");

    let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    fs::write(certificate.path(), other.cert.pem()).unwrap();
    let refused = node(&secured, "other").run(&["serve"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(complaint(&refused).contains("does not answer"), "{}", complaint(&refused));
}
