//! How long a directory's lookups take, and how fast it can make people: SCIM with 100,000 people and 1,000
//! teams. What makes people is compared with a bare loop of one-row commits on the same disk.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokenhouse_benches::fill::Filled;
use tokenhouse_benches::report::{self, Rounds};
use tokenhouse_benches::tokenhouse::{Options, Tokenhouse, make_admin};
use tokenhouse_benches::{Failure, commits};
use tokio::task::JoinSet;

/// How long a directory's lookups take, and how fast it can make people
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many people there are
    #[arg(long, default_value_t = 100_000)]
    people: usize,
    /// How many teams there are, of ten people each; one more has all
    #[arg(long, default_value_t = 1_000)]
    teams: usize,
    /// How often each lookup is made
    #[arg(long, default_value_t = 200)]
    rounds: usize,
    /// How many people are made
    #[arg(long, default_value_t = 10_000)]
    made: usize,
    /// Folder for the figures as JSON
    #[arg(long, default_value = "bench-results")]
    results: PathBuf,
}

/// How long the bare loop runs, before people are made each time.
const BARE: Duration = Duration::from_secs(1);

/// On how many connections people are made.
const CONNECTIONS: [usize; 2] = [1, 8];

/// The first one does nothing.
const LOOKUPS: [(&str, &str); 8] = [
    ("nothing", "/healthz"),
    ("userName eq", r#"/scim/v2/Users?filter=userName eq "person-00050000@example.com""#),
    ("userName eq, nobody", r#"/scim/v2/Users?filter=userName eq "nobody""#),
    ("externalId eq", r#"/scim/v2/Users?filter=externalId eq "external-00050000""#),
    ("one person", "/scim/v2/Users/50000"),
    ("displayName eq, team", r#"/scim/v2/Groups?filter=displayName eq "Team 000500""#),
    ("team of all, without members", "/scim/v2/Groups/2?excludedAttributes=members"),
    ("100 people from 50,000", "/scim/v2/Users?startIndex=50000&count=100"),
];

#[derive(Clone)]
struct Directory {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl Directory {
    async fn get(&self, path: &str) -> Result<(), Failure> {
        let answer = self.http.get(format!("{}{path}", self.base)).bearer_auth(&self.token).send().await?;
        answer.error_for_status()?.bytes().await?;
        Ok(())
    }

    /// Makes a person as directories do: is there one already, and if not, make one.
    async fn make(&self, number: usize) -> Result<(), Failure> {
        let name = format!("made-{number:06}@example.com");
        let body = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "userName": name,
            "externalId": format!("made-{number:06}"),
            "name": { "givenName": "Grace", "familyName": "Hopper" },
            "displayName": "Grace Hopper",
            "emails": [{ "value": name, "type": "work", "primary": true }],
            "active": true,
        });
        let request = self.http.post(format!("{}/scim/v2/Users", self.base)).bearer_auth(&self.token);
        let request = request.header("Content-Type", "application/scim+json").body(body.to_string());
        request.send().await?.error_for_status()?.bytes().await?;
        Ok(())
    }
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    // Not in memory, as a temporary folder may be: writing is what is measured.
    std::fs::create_dir_all(&arguments.results)?;
    let folder = tempfile::tempdir_in(&arguments.results)?;
    let filled = Filled::new(folder.path(), 10, arguments.people).await?;
    filled.provision(arguments.teams).await?;
    let (_, token) = make_admin(&filled)?;
    let server = Tokenhouse::start(&filled, Options::default())?;
    // Refuses where it has been done already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().no_proxy().build()?;
    let directory = Directory { http, base: format!("http://{}", server.address), token };

    let lookups = look_up(&directory, arguments.rounds).await?;
    let made = make_people(&directory, arguments.made, folder.path()).await?;
    let figures = json!({
        "people": arguments.people, "teams": arguments.teams, "lookups": lookups, "made": made,
    });
    report::write(&arguments.results, "directory", &figures)
}

async fn look_up(directory: &Directory, rounds: usize) -> Result<Vec<Value>, Failure> {
    let mut millis: Vec<Vec<f64>> = vec![Vec::new(); LOOKUPS.len()];
    for _ in 0..rounds {
        for ((_, path), millis) in LOOKUPS.iter().zip(&mut millis) {
            let started = Instant::now();
            directory.get(path).await?;
            millis.push(started.elapsed().as_secs_f64() * 1e3);
        }
    }
    let mut table = vec![["", "ms"].map(String::from)];
    let mut figures = Vec::new();
    for ((name, path), millis) in LOOKUPS.iter().zip(millis) {
        let millis = Rounds::new(millis);
        table.push([(*name).to_owned(), millis.text(2)]);
        figures.push(json!({ "lookup": path, "milliseconds": millis.json() }));
    }
    report::print(&table);
    Ok(figures)
}

/// People made in each second, between two runs of the bare loop.
async fn make_people(directory: &Directory, people: usize, folder: &Path) -> Result<Vec<Value>, Failure> {
    let mut table = vec![["", "each second"].map(String::from)];
    let mut figures = Vec::new();
    let mut note = |name: String, per_second: f64| {
        table.push([name.clone(), format!("{per_second:.0}")]);
        figures.push(json!({ "what": name, "per_second": per_second }));
    };
    for (round, connections) in CONNECTIONS.into_iter().enumerate() {
        note("bare commits of one row".into(), commits::per_second(&folder.join("bare.db"), BARE).await?);
        let share = people / CONNECTIONS.len() / connections;
        let first = round * people;
        let started = Instant::now();
        let mut workers = JoinSet::new();
        for worker in 0..connections {
            let directory = directory.clone();
            workers.spawn(async move {
                for number in 0..share {
                    directory
                        .make(first + worker * share + number)
                        .await
                        .map_err(|error| error.to_string())?;
                }
                Ok::<(), String>(())
            });
        }
        for worker in workers.join_all().await {
            worker?;
        }
        let per_second = f64::from(u32::try_from(share * connections)?) / started.elapsed().as_secs_f64();
        note(format!("people made on {connections} connections"), per_second);
    }
    report::print(&table);
    Ok(figures)
}
