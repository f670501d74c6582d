//! How long pages of the web UI take, and how much is transferred when they are opened for the first
//! time, with 10,000 users and 100,000 tokens.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::json;
use tokenhouse_benches::Failure;
use tokenhouse_benches::fill::Filled;
use tokenhouse_benches::report::{self, Rounds};
use tokenhouse_benches::request::{Answer, Request};
use tokenhouse_benches::tokenhouse::{Options, Tokenhouse, choose_password, make_admin};

/// How long pages take, and how much is transferred
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many tokens are in the store; nine of ten are of service users
    #[arg(long, default_value_t = 100_000)]
    tokens: usize,
    /// How many users are in the store
    #[arg(long, default_value_t = 10_000)]
    users: usize,
    /// How often each page is asked for
    #[arg(long, default_value_t = 50)]
    rounds: usize,
    /// Folder for the figures as JSON
    #[arg(long, default_value = "bench-results")]
    results: PathBuf,
}

/// Tokens of the person who looks at the pages.
const OWN_TOKENS: usize = 1_000;

/// The first one does nothing.
const PAGES: [&str; 20] = [
    "/healthz",
    "/settings/tokens",
    "/settings/tokens?q=token-9",
    "/settings/tokens?sort=name",
    "/settings/tokens/service",
    "/settings/tokens/service?state=active",
    "/settings/tokens/service?sort=name",
    "/settings/tokens/service?sort=last_used",
    "/settings/tokens/service?q=token-9",
    "/settings/tokens/service?q=nobody-has-this",
    "/settings/tokens/service?page=1000",
    "/settings/tokens/generate",
    "/settings/tokens/1",
    "/settings/people/users",
    "/settings/people/users?q=ada",
    "/settings/people/users/1",
    "/settings/people/teams/2",
    "/settings/audit",
    "/settings/reviews",
    "/settings/reviews?rule=never_expires&page=100",
];

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { tokens, users, rounds, results } = arguments;
    let folder = tempfile::tempdir()?;
    let filled = Filled::new(folder.path(), tokens, users).await?;
    let (invitation, _) = make_admin(&filled)?;
    filled.share_out(i64::try_from(users)? + 1, OWN_TOKENS).await?;
    let server = Tokenhouse::start(&filled, Options::default())?;
    let cookie = choose_password(&server, &invitation)?;
    let mut millis: Vec<Vec<f64>> = vec![Vec::new(); PAGES.len()];
    for _ in 0..rounds {
        for (page, millis) in PAGES.iter().zip(&mut millis) {
            let started = Instant::now();
            open(server.address, page, &cookie)?;
            millis.push(started.elapsed().as_secs_f64() * 1e3);
        }
    }
    let mut table = vec![["", "ms", "KB at first"].map(String::from)];
    let mut figures = Vec::new();
    for (page, millis) in PAGES.iter().zip(millis) {
        let (millis, bytes) = (Rounds::new(millis), first_load(server.address, page, &cookie)?);
        table.push([(*page).to_owned(), millis.text(1), format!("{}", bytes.div_ceil(1_000))]);
        figures.push(json!({ "page": page, "milliseconds": millis.json(), "bytes_at_first": bytes }));
    }
    report::print(&table);
    report::write(&results, "pages", &json!({ "tokens": tokens, "users": users, "pages": figures }))
}

fn open(address: SocketAddr, path: &str, cookie: &str) -> Result<Answer, Failure> {
    Request::get(path).with("Accept-Encoding", "gzip").with("Cookie", cookie).expect(address, 200)
}

/// Bytes of a page, and of what it is made of.
fn first_load(address: SocketAddr, path: &str, cookie: &str) -> Result<usize, Failure> {
    let text = Request::get(path).with("Cookie", cookie).expect(address, 200)?.text();
    let parts: BTreeSet<&str> = text.split('"').filter(|part| part.starts_with("/assets/")).collect();
    let mut bytes = open(address, path, cookie)?.bytes.len();
    for part in parts {
        bytes += open(address, part, cookie)?.bytes.len();
    }
    Ok(bytes)
}
