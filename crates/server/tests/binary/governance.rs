//! What the clock brings about, by the clock of the machine: one second before its instant nothing, and then all of it.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_testkit::process::{Installation, Server};

use crate::client::{Client, install};

/// When everything is made; what is looked at is what happens 90 days later.
const MADE: Timestamp = Timestamp::from_seconds(1_925_000_000);

const PATIENCE: Duration = Duration::from_secs(30);

/// The work in the background whose first round is waited for; at first that of a server with the usual grace.
const WORK: [&str; 3] = ["alerts_clock", "closing", "unused"];

/// A server whose clock stands still.
struct At {
    server: Server,
    admin: Client,
}

impl At {
    /// Returns when the clock has been looked at.
    async fn start(installation: &Installation, at: Timestamp, admin: &str) -> Self {
        Self::begin(installation, command(installation, at, &["serve"]), &WORK, admin).await
    }

    async fn begin(installation: &Installation, command: Command, work: &[&str], admin: &str) -> Self {
        let server = installation.start(command).ready();
        let metrics = server.logged("listening", "metrics").unwrap().parse().unwrap();
        let metrics = Client::at(metrics, admin).without_token();
        let is_done = |text: &str| {
            let rounds = |work: &str| format!("tokenhouse_background_rounds_total{{work=\"{work}\"}} ");
            work.iter()
                .all(|work| text.lines().any(|line| line.starts_with(&rounds(work)) && !line.ends_with(" 0")))
        };
        let looked = async {
            while !is_done(&String::from_utf8(metrics.get("/metrics").await.expect(200).body).unwrap()) {}
        };
        tokio::time::timeout(PATIENCE, looked).await.expect("the background has done a round");
        let admin = Client::new(&server, admin);
        Self { server, admin }
    }

    fn end(mut self) {
        self.server.terminate();
        assert!(self.server.wait().success());
    }

    async fn items(&self, path: &str) -> Vec<Value> {
        let page = self.admin.get(path).await.expect(200).json();
        let items = page["items"].as_array().unwrap().clone();
        assert_eq!(page["total"], items.len(), "one page is enough");
        items
    }

    /// The names of the tokens that a review finds, with how bad it is.
    async fn found(&self, rule: &str) -> BTreeSet<(String, String)> {
        let found = self.items(&format!("/api/reviews?rule={rule}&size=100")).await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        found.iter().map(|one| (text(&one["token"]["name"]), text(&one["severity"]))).collect()
    }

    /// The titles of alerts of a kind.
    async fn told(&self, kind: &str) -> BTreeSet<String> {
        let alerts = self.items("/api/alerts?size=100").await.into_iter();
        alerts
            .filter(|one| one["kind"] == kind)
            .map(|one| one["title"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The names of the tokens with a record of this.
    async fn recorded(&self, action: &str) -> BTreeSet<String> {
        let records =
            self.items(&format!("/api/activity?action={action}&timeframe=month&size=100")).await.into_iter();
        let by_itself = records.filter(|record| record["via"]["kind"] == "system");
        by_itself.map(|record| record["entity"]["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Makes a service token, and gives its number and its secret.
    async fn make(&self, owner: i64, name: &str, days: i64, scim: bool) -> (i64, String) {
        let wanted =
            json!({ "name": name, "user_id": owner, "expires_in_days": days, "scim_endpoints_only": scim });
        let made = self.admin.post("/api/user-tokens", &wanted).await.expect(201).json();
        (made["id"].as_i64().unwrap(), made["bearer_token"].as_str().unwrap().to_owned())
    }

    async fn rotate(&self, id: i64, hours: i64, deadline_days: Option<i64>, name: &str) {
        let closing = json!({ "hours": hours, "deadline_days": deadline_days });
        let wanted = json!({ "name": name, "close_when_quiet": closing, "expires_in_days": 300 });
        self.admin.post(&format!("/api/user-tokens/{id}/rotate"), &wanted).await.expect(201);
    }
}

/// The binary with a clock that stands still. The program `faketime` would stand between it and signals.
fn command(installation: &Installation, at: Timestamp, arguments: &[&str]) -> Command {
    let library = Command::new("faketime").args(["-f", "+0", "printenv", "LD_PRELOAD"]).output();
    let library = String::from_utf8(library.expect("faketime is installed").stdout).unwrap();
    let mut command = installation.command(arguments);
    command.env("LD_PRELOAD", library.trim()).env("TZ", "UTC");
    command.env("FAKETIME", at.to_string().replace('T', " ").replace('Z', ""));
    // Pauses and timeouts go on.
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    command
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn names(found: &BTreeSet<(String, String)>) -> BTreeSet<String> {
    found.iter().map(|(name, _)| name.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_rule_of_the_clock_fires_at_its_instant_and_not_before() {
    let installation = install();
    installation.configure(
        "[server]\nmetrics_listen = \"127.0.0.1:0\"\n[policy]\ngrace_after_start = \"1ms\"\n[alerts]\nunused_days = 90\nscim_silence = \"720h\"",
    );
    let create = ["admin", "create", "--email", "root@example.com", "--name", "Root", "--token", "first"];
    let created = command(&installation, MADE, &create).output().unwrap();
    let created: Value = serde_json::from_slice(&created.stdout).unwrap();
    let admin = created["bearer_token"].as_str().unwrap();

    let at = At::start(&installation, MADE, admin).await;
    let policy = json!({ "revoke_unused_after_days": 97 });
    at.admin.try_json(Method::PUT, "/api/policies", &policy).await.unwrap().expect(200);
    let robot = json!({ "name": "Robot", "role": "Member" });
    let robot = at.admin.post("/api/users", &robot).await.expect(201).json()["id"].as_i64().unwrap();
    for (name, days) in [("thirty", 120), ("seven", 97), ("one", 91)] {
        at.make(robot, name, days, false).await;
    }
    let (_, used) = at.make(robot, "used", 365, false).await;
    at.admin.with_token(&used).check("GET", "/").await.expect(200);
    let (closing, quiet) = at.make(robot, "closing", 365, false).await;
    let (deadline, _) = at.make(robot, "deadline", 365, false).await;
    let (dead, tried) = at.make(robot, "dead", 365, false).await;
    let (_, scim) = at.make(robot, "scim", 365, true).await;
    at.end();

    let instant = MADE.plus_days(90);
    let at = At::start(&installation, instant.plus_days(-30), admin).await;
    at.make(robot, "fresh", 300, false).await;
    at.admin.with_token(&quiet).check("GET", "/").await.expect(200);
    at.rotate(closing, 720, None, "closing 2").await;
    at.rotate(deadline, 2_160, Some(30), "deadline 2").await;
    at.admin.revoke(dead).await.expect(200);
    at.admin.with_token(&tried).check("GET", "/").await.expect(401);
    at.admin.with_token(&scim).get("/scim/v2/Users").await.expect(200);
    at.end();

    let at = At::start(&installation, instant.plus_seconds(-1), admin).await;
    let unused = ["thirty", "seven", "one", "deadline"];
    assert_eq!(names(&at.found("unused").await), set(&unused));
    let medium = |name: &str| (name.to_owned(), "medium".to_owned());
    let high = |name: &str| (name.to_owned(), "high".to_owned());
    assert_eq!(at.found("expiring").await, [medium("seven"), high("one")].into());
    assert_eq!(at.found("rotation_unfinished").await, [].into());
    assert_eq!(names(&at.found("still_tried").await), set(&["dead"]));
    let told = ["Token “seven” of Robot expires in 30 days", "Token “one” of Robot expires in 7 days"];
    assert_eq!(at.told("token.expiring").await, set(&told));
    assert_eq!((at.told("token.unused").await, at.told("scim.silent").await), (set(&[]), set(&[])));
    assert_eq!(at.recorded("token.idle_announced").await, set(&[]));
    assert_eq!(at.recorded("token.revoked").await, set(&[]));
    at.end();

    // While no server was there, nobody could use a token.
    let mut patient = command(&installation, instant, &["serve"]);
    patient.env("TOKENHOUSE_POLICY__GRACE_AFTER_START", "1h");
    let at = At::begin(&installation, patient, &WORK[..1], admin).await;
    assert_eq!(at.recorded("token.revoked").await, set(&[]));
    at.end();

    let at = At::start(&installation, instant, admin).await;
    let unused = ["thirty", "seven", "one", "deadline", "used", "fresh", "closing 2", "deadline 2"];
    assert_eq!(names(&at.found("unused").await), set(&unused));
    assert_eq!(at.found("expiring").await, [medium("thirty"), high("seven"), high("one")].into());
    assert_eq!(names(&at.found("rotation_unfinished").await), set(&["deadline"]));
    assert_eq!(names(&at.found("still_tried").await), set(&["dead"]));
    let now_told = [
        "Token “thirty” of Robot expires in 30 days",
        "Token “seven” of Robot expires in 7 days",
        "Token “one” of Robot expires within a day",
    ];
    assert_eq!(at.told("token.expiring").await, set(&[&told[..], &now_told].concat()));
    assert_eq!(at.told("token.unused").await, set(&["5 service tokens have not been used for 90 days"]));
    let silent = "Token “scim” of Robot is not used by its directory any more";
    assert_eq!(at.told("scim.silent").await, set(&[silent]));
    let announced = set(&["thirty", "seven", "one", "used", "deadline"]);
    assert_eq!(at.recorded("token.idle_announced").await, announced);
    assert_eq!(at.recorded("token.revoked").await, set(&["closing"]));
    at.admin.with_token(&quiet).check("GET", "/").await.expect(401);
    at.end();

    let at = At::start(&installation, instant.plus_seconds(1), admin).await;
    assert_eq!(names(&at.found("still_tried").await), set(&["closing"]), "the other was tried 30 days ago");
    at.end();

    let at = At::start(&installation, instant.plus_days(7).plus_seconds(-1), admin).await;
    assert_eq!(at.recorded("token.revoked").await, set(&["closing"]));
    at.end();

    // One that expires at that instant isn't revoked any more, and one has expired before.
    let at = At::start(&installation, instant.plus_days(7), admin).await;
    assert_eq!(at.recorded("token.revoked").await, set(&["closing", "thirty", "used", "deadline"]));
    assert_eq!(at.recorded("token.idle_announced").await, announced);
    at.admin.with_token(&used).check("GET", "/").await.expect(401);
    at.end();
}
