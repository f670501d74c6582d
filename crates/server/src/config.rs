//! The configuration: built-in values, a TOML file over them, the environment over both.
//!
//! An unknown key or a bad value stops the start and says where it stands and what is allowed.

pub mod alerts;
pub mod export;
mod leaks;
mod loading;
mod values;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;
use tokenhouse_core::people::Role;
use tokenhouse_core::rules::{Pattern, Rule, Rules};
use tokenhouse_core::token::{LifetimePolicy, MAX_LIFETIME_DAYS};

pub use self::alerts::Alerts;
pub use self::leaks::{Github, Leaks};
pub use self::loading::{ConfigError, DEFAULT_FILE};
use self::values::{
    bucket, duration, lifetime_days, node_name, optional_upstream, pattern, public_url, store_url,
};

/// Everything that can be set.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where and how it listens.
    pub server: Server,
    /// Where it keeps what it knows.
    pub store: Store,
    /// The upstream it stands in front of, and the rules for requests to it.
    pub gateway: Gateway,
    /// What administrators allow new tokens.
    pub policy: Policy,
    /// How many failed attempts an address has.
    pub limits: Limits,
    /// How much a directory may send at once.
    pub scim: Scim,
    /// This server among others on the same PostgreSQL.
    pub fleet: Fleet,
    /// What is kept of requests.
    pub request_log: RequestLog,
    /// Who is told of what needs attention, and how.
    pub alerts: Alerts,
    /// Where the audit trail is sent as it grows.
    #[serde(deserialize_with = "export::exports")]
    pub audit_export: Vec<export::AuditExport>,
    /// Who tells of tokens that leaked.
    pub leaks: Leaks,
    /// What is logged and how.
    pub log: Log,
}

/// `[server]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Address and port of the API, the gateway and the pages.
    pub listen: SocketAddr,
    /// How others reach it: issuer of tokens and start of links. Without a slash at the end.
    #[serde(deserialize_with = "public_url")]
    pub public_url: String,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Certificate and key for TLS.
    pub tls: Option<Tls>,
    /// Address and port of `/metrics`; none is served without it.
    pub metrics_listen: Option<SocketAddr>,
    /// File of the master key.
    pub master_key_file: Option<PathBuf>,
}

/// `[server] tls = { cert = "…", key = "…" }`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// PEM file of the certificate and its chain.
    pub cert: PathBuf,
    /// PEM file of the private key.
    pub key: PathBuf,
}

/// `[store]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// `sqlite://path` or `postgres://…`
    pub url: StoreUrl,
}

/// Where the store is. May hold a password, so `Debug` prints only the kind.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct StoreUrl(#[serde(deserialize_with = "store_url")] pub String);

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://…", self.0.split("://").next().unwrap_or_default())
    }
}

impl StoreUrl {
    /// The file of an SQLite store.
    pub fn sqlite_file(&self) -> Option<PathBuf> {
        self.0.strip_prefix("sqlite://").map(PathBuf::from)
    }
}

/// `[gateway]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gateway {
    /// Where requests go that are not for Tokenhouse itself; none go anywhere without it.
    #[serde(deserialize_with = "optional_upstream")]
    pub upstream: Option<http::Uri>,
    /// How long the upstream may take until its answer begins.
    #[serde(deserialize_with = "duration")]
    pub timeout: Duration,
    /// Whether the upstream gets to see the bearer token.
    pub forward_authorization: bool,
    /// `aud` of the assertion.
    pub audience: String,
    /// Whether requests of one token within a second carry the same assertion.
    pub reuse_assertions: bool,
    /// Which role which request needs, for the gateway and for forward-auth.
    pub rules: Vec<RuleLine>,
}

/// `[[gateway.rules]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleLine {
    /// Methods; all of them if absent.
    pub methods: Option<Vec<String>>,
    /// Path with `{name}` for one segment and `{*rest}` for the rest.
    #[serde(deserialize_with = "pattern")]
    pub path: Pattern,
    /// The lowest role that passes.
    pub role: Role,
}

/// `[policy]`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// The longest lifetime of a new token, 1 to 365 days.
    #[serde(deserialize_with = "lifetime_days")]
    pub max_lifetime_days: i64,
    /// Whether a new token may have no expiry.
    pub allow_never: bool,
    /// How long a server has been there before it revokes tokens that nobody uses by itself.
    #[serde(deserialize_with = "duration")]
    pub grace_after_start: Duration,
}

/// `[limits]`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Failed bearer attempts per address and minute before the answer is 429.
    pub failed_bearer_per_minute: std::num::NonZeroU32,
    /// Calls of `/oauth/revoke` per address and minute before the answer is 429.
    pub revocations_per_minute: std::num::NonZeroU32,
    /// Calls of `/api/leaks` per address and minute before the answer is 429.
    pub leaks_per_minute: std::num::NonZeroU32,
    /// Failed sign-ins per address and minute before the answer is 429.
    pub failed_sign_ins_per_minute: std::num::NonZeroU32,
    /// Failed sign-ins per address, account and minute before the answer is 429.
    pub failed_sign_ins_per_account_per_minute: std::num::NonZeroU32,
}

/// `[scim]`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scim {
    /// The most operations in a bulk request.
    pub max_operations: usize,
    /// The most bytes in the body of any SCIM request.
    pub max_payload: usize,
}

/// `[fleet]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fleet {
    /// What this server is called; host name and port of `server.listen` if absent.
    #[serde(deserialize_with = "node_name")]
    pub node: Option<String>,
    /// How far the clocks of this machine and of the database may be apart.
    #[serde(deserialize_with = "duration")]
    pub max_clock_skew: Duration,
}

/// `[request_log]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RequestLog {
    /// Whether requests are recorded.
    pub enabled: bool,
    /// Where; `requests` beside the SQLite database if absent.
    pub directory: Option<PathBuf>,
    /// Where the files go that all nodes of a fleet share, `s3://bucket/folder`; into the directory if absent.
    #[serde(deserialize_with = "bucket")]
    pub url: Option<String>,
    /// How many days requests are kept.
    pub retention_days: std::num::NonZeroU16,
    /// What becomes of requests that can't be recorded.
    pub when_full: WhenFull,
    /// Of so many allowed requests one is recorded; refused ones are recorded all.
    pub keep_one_in: std::num::NonZeroU32,
}

/// What becomes of requests that can't be recorded.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// They wait until they can.
    Wait,
    /// They go on, and the rows that are lost are counted.
    GoOn,
}

/// `[log]`
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: LogLevel,
    /// `text` or `json`.
    pub format: LogFormat,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names of the levels say it")]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

/// The form of a line of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            public_url: "http://127.0.0.1:8080".into(),
            trusted_proxies: vec![IpNet::from(std::net::IpAddr::from([127, 0, 0, 1]))],
            tls: None,
            metrics_listen: None,
            master_key_file: None,
        }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self { url: StoreUrl("sqlite://tokenhouse-data/tokenhouse.db".into()) }
    }
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            upstream: None,
            timeout: Duration::from_secs(60),
            forward_authorization: false,
            audience: "upstream".into(),
            reuse_assertions: false,
            rules: Vec::new(),
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_lifetime_days: MAX_LIFETIME_DAYS,
            allow_never: true,
            grace_after_start: Duration::from_hours(1),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        let number = |number: u32| std::num::NonZeroU32::MIN.saturating_add(number - 1);
        Self {
            failed_bearer_per_minute: number(1_000),
            revocations_per_minute: number(100),
            leaks_per_minute: number(60),
            failed_sign_ins_per_minute: number(100),
            failed_sign_ins_per_account_per_minute: number(10),
        }
    }
}

impl Default for Fleet {
    fn default() -> Self {
        Self { node: None, max_clock_skew: Duration::from_secs(10) }
    }
}

impl Default for RequestLog {
    fn default() -> Self {
        Self {
            enabled: true,
            directory: None,
            url: None,
            retention_days: std::num::NonZeroU16::MIN.saturating_add(89),
            when_full: WhenFull::Wait,
            keep_one_in: std::num::NonZeroU32::MIN,
        }
    }
}

impl Default for Scim {
    fn default() -> Self {
        Self { max_operations: 1_000, max_payload: 1024 * 1024 }
    }
}

impl Config {
    /// What this server is called.
    pub fn node_name(&self) -> String {
        self.fleet.node.clone().unwrap_or_else(|| {
            let system = rustix::system::uname();
            format!("{}:{}", system.nodename().to_string_lossy(), self.server.listen.port())
        })
    }

    /// How requests are recorded by the server of this name, if they are.
    pub fn request_log(&self, node: &str) -> Option<tokenhouse_requests::Options> {
        let RequestLog { enabled, directory, url, retention_days, when_full, keep_one_in } =
            &self.request_log;
        let beside_the_store = || {
            let file = self.store.url.sqlite_file();
            let folder = file.as_deref().and_then(Path::parent).unwrap_or(Path::new("tokenhouse-data"));
            folder.join("requests")
        };
        enabled.then(|| tokenhouse_requests::Options {
            folder: directory.clone().unwrap_or_else(beside_the_store),
            url: url.clone(),
            node: node.to_owned(),
            retention_days: u32::from(retention_days.get()),
            when_full: match when_full {
                WhenFull::Wait => tokenhouse_requests::WhenFull::Wait,
                WhenFull::GoOn => tokenhouse_requests::WhenFull::GoOn,
            },
            keep_one_in: u64::from(keep_one_in.get()),
        })
    }
}

impl Gateway {
    /// The rules in the form in which they are applied.
    pub fn rules(&self) -> Rules {
        let rule = |line: &RuleLine| {
            let RuleLine { methods, path, role } = line.clone();
            Rule { methods, path, role }
        };
        Rules::new(self.rules.iter().map(rule).collect())
    }
}

impl From<Policy> for LifetimePolicy {
    fn from(policy: Policy) -> Self {
        Self { max_days: policy.max_lifetime_days, allow_never: policy.allow_never }
    }
}
