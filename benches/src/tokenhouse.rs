//! Tokenhouse itself, as a process on a filled store.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::certificate::Certificate;
use crate::commits::with_slow_syncs;
use crate::fill::Filled;
use crate::request::Request;
use crate::server::{Server, beside_this, free_address, listens};
use crate::{Failure, ISSUER};

/// Last uses that are written so fast that no measurement shows it.
const UNNOTICED: f64 = 1_000.0;

/// Rules as a user of the gateway has them; the one that every request of ours meets is the last.
const RULES: &str = "
[[gateway.rules]]
methods = [\"POST\", \"PUT\", \"DELETE\"]
path = \"/api/datastores/{*rest}\"
role = \"Manager\"
[[gateway.rules]]
path = \"/api/admin/{*rest}\"
role = \"Admin\"
[[gateway.rules]]
methods = [\"GET\"]
path = \"/api/orders/{*rest}\"
role = \"Member\"
";

/// How it is started.
#[derive(Clone, Copy, Default)]
pub struct Options<'a> {
    /// What the gateway stands in front of.
    pub upstream: Option<SocketAddr>,
    /// Whether requests of one token within a second carry the same assertion.
    pub reuse_assertions: bool,
    /// For TLS.
    pub certificate: Option<&'a Certificate>,
    /// By how many microseconds its syncs of files take longer.
    pub slow_sync: u32,
    /// The only core it may use.
    pub core: Option<usize>,
    /// Another store than the filled one, with the same tokens.
    pub store: Option<&'a str>,
    /// Whether requests are recorded.
    pub request_log: bool,
    /// Where, if not beside the store.
    pub log_folder: Option<&'a Path>,
}

/// A running Tokenhouse.
pub struct Tokenhouse {
    server: Server,
    metrics: SocketAddr,
}

impl Deref for Tokenhouse {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl Tokenhouse {
    /// Starts `tokenhouse serve` on a filled store and waits until it is ready.
    pub fn start(filled: &Filled, options: Options<'_>) -> Result<Self, Failure> {
        let (address, metrics) = (free_address()?, free_address()?);
        let config = configure(filled, address, metrics, options)?;
        let (program, mut arguments) = with_slow_syncs(beside_this("tokenhouse")?, options.slow_sync)?;
        arguments.extend(["--config".into(), config.into_os_string(), "serve".into()]);
        let arguments: Vec<&OsStr> = arguments.iter().map(OsString::as_os_str).collect();
        let ready = |address| match options.certificate {
            Some(_) => listens(address),
            None => Request::get("/readyz").send(address).is_ok_and(|answer| answer.status == 200),
        };
        let server = Server::start(&program, &arguments, address, options.core, ready)?;
        Ok(Self { server, metrics })
    }

    /// What `/metrics` shows under this name, which has no labels.
    pub fn metric(&self, name: &str) -> Result<f64, Failure> {
        let shown = Request::get("/metrics").expect(self.metrics, 200)?.text();
        let value = shown.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(value.ok_or_else(|| format!("there is no metric {name}"))?.parse()?)
    }

    /// How many answers there were so far, by status.
    pub fn answers(&self) -> Result<BTreeMap<u16, f64>, Failure> {
        let shown = Request::get("/metrics").expect(self.metrics, 200)?.text();
        let counters = shown.lines().filter_map(|line| {
            let rest = line.strip_prefix("tokenhouse_http_answers_total{status=\"")?;
            let (status, count) = rest.split_once("\"} ")?;
            Some((status.parse().ok()?, count.parse().ok()?))
        });
        let answers: BTreeMap<_, _> = counters.collect();
        if answers.is_empty() { Err("there are no counted answers".into()) } else { Ok(answers) }
    }

    /// What one measurement has left to be written would be counted as the next one's.
    pub fn await_written_uses(&self) -> Result<(), Failure> {
        let started = Instant::now();
        while self.metric("tokenhouse_pending_uses")? > UNNOTICED {
            if started.elapsed() > Duration::from_secs(60) {
                return Err("last uses are not written".into());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

/// Writes the configuration of a server on a filled store.
fn configure(
    filled: &Filled,
    address: SocketAddr,
    metrics: SocketAddr,
    options: Options<'_>,
) -> Result<PathBuf, Failure> {
    let config = filled.database.with_file_name(format!("tokenhouse-{}.toml", address.port()));
    let file = format!("sqlite://{}", filled.database.display());
    let store = options.store.unwrap_or(&file);
    let key = filled.database.with_file_name("master.key");
    let tls = options.certificate.map_or_else(String::new, |Certificate { certificate, key }| {
        format!("tls = {{ cert = \"{}\", key = \"{}\" }}\n", certificate.display(), key.display())
    });
    let upstream = options.upstream.map_or_else(String::new, |upstream| {
        format!("upstream = \"http://{upstream}\"\nreuse_assertions = {}\n", options.reuse_assertions)
    });
    let log =
        options.log_folder.map_or_else(String::new, |log| format!("directory = \"{}\"\n", log.display()));
    let text = format!(
        "[server]\nlisten = \"{address}\"\npublic_url = \"{ISSUER}\"\nmetrics_listen = \"{metrics}\"\n\
         master_key_file = \"{}\"\n{tls}[store]\nurl = \"{store}\"\n[log]\nlevel = \"warn\"\n[request_log]\nenabled = {}\n{log}[gateway]\n{upstream}{RULES}",
        key.display(),
        options.request_log,
    );
    fs::write(&config, text)?;
    Ok(config)
}

/// Makes an Admin in a filled store that no server holds. Tells the path of their invitation and a token.
pub fn make_admin(filled: &Filled) -> Result<(String, String), Failure> {
    let config = configure(filled, free_address()?, free_address()?, Options::default())?;
    let output = Command::new(beside_this("tokenhouse")?)
        .arg("--config")
        .arg(config)
        .args(["admin", "create", "--email", "admin@example.com", "--name", "Admin", "--role", "Admin"])
        .args(["--token", "first"])
        .stderr(Stdio::inherit())
        .output()?;
    let made: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let link = made["invite_url"].as_str().and_then(|link| link.strip_prefix(ISSUER));
    let (link, token) =
        link.zip(made["bearer_token"].as_str()).ok_or("no invitation or token was printed")?;
    Ok((link.to_owned(), token.to_owned()))
}

/// The password of whoever accepts an invitation here.
pub const PASSWORD: &str = "correct-horse-battery";

/// Accepts an invitation with [`PASSWORD`], and tells the cookie of the session.
pub fn choose_password(server: &Server, invitation: &str) -> Result<String, Failure> {
    let form = Request::post(invitation, format!("password={PASSWORD}"));
    let answer = form.with("Sec-Fetch-Site", "same-origin").send(server.address)?.text();
    let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: "));
    let cookie = cookie.and_then(|cookie| cookie.split(';').next());
    Ok(cookie.ok_or("no session began with the invitation")?.to_owned())
}
