//! The configuration: built-in values, a TOML file over them, the environment over both.
//!
//! An unknown key or a bad value stops the start and says where it stands and what is allowed.

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer};
use tokenhouse_core::people::Role;
use tokenhouse_core::rules::{Pattern, Rule, Rules};
use tokenhouse_core::token::{LifetimePolicy, MAX_LIFETIME_DAYS};

/// The file that is read where no other is named, if it is there.
pub const DEFAULT_FILE: &str = "tokenhouse.toml";

/// Environment variables that begin with this and contain a double underscore override keys.
const ENVIRONMENT_PREFIX: &str = "TOKENHOUSE_";

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
}

/// `[limits]`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Failed bearer attempts per address and minute before the answer is 429.
    pub failed_bearer_per_minute: std::num::NonZeroU32,
    /// Calls of `/oauth/revoke` per address and minute before the answer is 429.
    pub revocations_per_minute: std::num::NonZeroU32,
    /// Failed sign-ins per address and minute before the answer is 429.
    pub failed_sign_ins_per_minute: std::num::NonZeroU32,
    /// Failed sign-ins per address, account and minute before the answer is 429.
    pub failed_sign_ins_per_account_per_minute: std::num::NonZeroU32,
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
            rules: Vec::new(),
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self { max_lifetime_days: MAX_LIFETIME_DAYS, allow_never: true }
    }
}

impl Default for Limits {
    fn default() -> Self {
        let number = |number: u32| std::num::NonZeroU32::MIN.saturating_add(number - 1);
        Self {
            failed_bearer_per_minute: number(1_000),
            revocations_per_minute: number(100),
            failed_sign_ins_per_minute: number(100),
            failed_sign_ins_per_account_per_minute: number(10),
        }
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

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("cannot read the configuration file {file}: {cause}", file = .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The file says something that isn't allowed.
    #[error("the configuration file {file} is wrong: {problem}", file = .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Line, column and what is allowed.
        problem: String,
    },
    /// An environment variable says something that isn't allowed.
    #[error("the environment variable {variable} is wrong: {problem}")]
    Environment {
        /// The variable.
        variable: String,
        /// What is allowed.
        problem: String,
    },
}

impl Config {
    /// Reads the file (the default file only if it is there) and the environment.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let path = file.unwrap_or(Path::new(DEFAULT_FILE));
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(cause) if file.is_none() && cause.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(cause) => return Err(ConfigError::Unreadable { file: path.into(), cause }),
        };
        let wrong = |error: toml::de::Error| ConfigError::File {
            file: path.into(),
            problem: format!("{}{}", position(&text, &error), error.message()),
        };
        // Read strictly on its own first, so that what is wrong in the file is told with its line.
        let from_file: Self = toml::from_str(&text).map_err(wrong)?;
        let mut table: toml::Table = toml::from_str(&text).map_err(wrong)?;
        let mut config = from_file;
        for (variable, value) in environment {
            let variable = variable.to_string_lossy();
            let Some(key) = variable.strip_prefix(ENVIRONMENT_PREFIX).filter(|key| key.contains("__")) else {
                continue;
            };
            let path: Vec<String> = key.split("__").map(str::to_lowercase).collect();
            let value = value.to_str().ok_or_else(|| "is not UTF-8".to_owned());
            config = value
                .and_then(|value| overridden(&mut table, &path, value))
                .map_err(|problem| ConfigError::Environment { variable: variable.to_string(), problem })?;
        }
        Ok(config)
    }
}

/// `line 3, column 7: ` of what a TOML error points at.
fn position(text: &str, error: &toml::de::Error) -> String {
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else { return String::new() };
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("line {line}, column {column}: ")
}

/// Sets one key and reads the whole again. The value is taken as TOML where it is TOML of the right
/// type, else as text.
fn overridden(table: &mut toml::Table, path: &[String], value: &str) -> Result<Config, String> {
    let as_text = toml::Value::String(value.to_owned());
    let as_toml =
        toml::from_str::<toml::Table>(&format!("value = {value}")).ok().and_then(|mut t| t.remove("value"));
    let mut problem = String::new();
    for candidate in as_toml.into_iter().chain([as_text]) {
        let mut changed = table.clone();
        set(&mut changed, path, candidate)?;
        match Config::deserialize(toml::Value::Table(changed.clone())) {
            Ok(config) => {
                *table = changed;
                return Ok(config);
            }
            Err(error) if problem.is_empty() => error.message().clone_into(&mut problem),
            Err(_) => {}
        }
    }
    Err(problem)
}

fn set(table: &mut toml::Table, path: &[String], value: toml::Value) -> Result<(), String> {
    match path {
        [] => Err("names no key".into()),
        [last] => {
            table.insert(last.clone(), value);
            Ok(())
        }
        [first, rest @ ..] => match table.entry(first).or_insert_with(|| toml::Table::new().into()) {
            toml::Value::Table(inner) => set(inner, rest, value),
            _ => Err(format!("`{first}` is not a table")),
        },
    }
}

fn invalid<E: serde::de::Error>(value: &str, problem: impl fmt::Display) -> E {
    E::custom(format!("`{value}`: {problem}"))
}

fn public_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let trimmed = text.trim_end_matches('/');
    let is_base = trimmed.parse::<http::Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() && uri.query().is_none()
    });
    if !is_base || trimmed.len() > 255 {
        return Err(invalid(
            &text,
            "must be a URL such as https://tokens.example.com, at most 255 characters",
        ));
    }
    Ok(trimmed.to_owned())
}

/// Doesn't repeat the URL: it may hold a password.
fn store_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.split_once("://") {
        Some(("sqlite" | "postgres" | "postgresql", rest)) if !rest.is_empty() => Ok(text),
        _ => Err(serde::de::Error::custom(
            "must be sqlite://path/to/file.db or postgres://user:password@host/database",
        )),
    }
}

fn optional_upstream<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<http::Uri>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let uri = text.parse::<http::Uri>().ok().filter(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some()
            && uri.path() == "/"
            && uri.query().is_none()
    });
    uri.map(Some)
        .ok_or_else(|| invalid(&text, "must be http:// or https:// with host and port and without a path"))
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse::<jiff::SignedDuration>()
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok())
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| invalid(&text, "must be a duration above zero such as \"60s\" or \"2m\""))
}

fn pattern<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Pattern, D::Error> {
    let text = String::deserialize(deserializer)?;
    Pattern::parse(&text).map_err(|problem| invalid(&text, problem))
}

fn lifetime_days<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let days = i64::deserialize(deserializer)?;
    if (1..=MAX_LIFETIME_DAYS).contains(&days) {
        Ok(days)
    } else {
        Err(invalid(&days.to_string(), format_args!("must be between 1 and {MAX_LIFETIME_DAYS}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokenhouse.toml");
        std::fs::write(&file, text).unwrap();
        let environment = environment.iter().map(|(k, v)| (OsString::from(k), OsString::from(v)));
        Config::load(Some(&file), environment)
    }

    #[test]
    fn the_example_file_is_the_built_in_configuration_spelled_out() {
        let example = include_str!("../../../tokenhouse.example.toml");
        let read = load(example, &[]).unwrap();
        assert_eq!(format!("{read:#?}"), format!("{:#?}", Config::default()));
        // With every comment sign before a setting taken away it still is a good configuration.
        let uncommented: String =
            example.lines().map(|line| line.strip_prefix("#: ").unwrap_or(line).to_owned() + "\n").collect();
        assert_ne!(uncommented, example);
        assert!(load(&uncommented, &[]).is_ok(), "{:?}", load(&uncommented, &[]).err());
    }

    #[test]
    fn an_unknown_key_is_told_with_its_line_and_what_is_allowed() {
        let error = load("[server]\nlisten = \"127.0.0.1:1\"\nlissten = 1\n", &[]).unwrap_err().to_string();
        for part in ["tokenhouse.toml", "line 3", "lissten", "public_url"] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_bad_value_is_told_with_what_is_allowed() {
        for (text, part) in [
            ("[server]\nlisten = \"here\"", "line 2"),
            ("[server]\npublic_url = \"ftp://x\"", "https://tokens.example.com"),
            ("[policy]\nmax_lifetime_days = 366", "between 1 and 365"),
            ("[gateway]\ntimeout = \"soon\"", "60s"),
            ("[gateway]\nupstream = \"http://x/base\"", "without a path"),
            ("[[gateway.rules]]\npath = \"/a/../b\"\nrole = \"Member\"", "dot segments"),
            ("[[gateway.rules]]\npath = \"/a\"\nrole = \"Root\"", "Member"),
            ("[limits]\nfailed_bearer_per_minute = 0", "line 2"),
            ("[store\n", "line 1"),
        ] {
            let error = load(text, &[]).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let config = load(
            "[server]\nlisten = \"127.0.0.1:1\"",
            &[
                ("TOKENHOUSE_SERVER__LISTEN", "127.0.0.1:2"),
                ("TOKENHOUSE_SERVER__TRUSTED_PROXIES", "[\"10.0.0.0/8\"]"),
                ("TOKENHOUSE_POLICY__ALLOW_NEVER", "false"),
                ("TOKENHOUSE_GATEWAY__AUDIENCE", "12"),
                ("TOKENHOUSE_SERVICE_HOST", "10.0.0.1"),
            ],
        )
        .unwrap();
        assert_eq!(config.server.listen.port(), 2);
        assert_eq!(config.server.trusted_proxies, ["10.0.0.0/8".parse().unwrap()]);
        assert!(!config.policy.allow_never);
        assert_eq!(config.gateway.audience, "12");
    }

    #[test]
    fn a_bad_variable_is_named() {
        let error = load("", &[("TOKENHOUSE_SERVER__LISSTEN", "x")]).unwrap_err().to_string();
        assert!(error.contains("TOKENHOUSE_SERVER__LISSTEN") && error.contains("listen"), "{error}");
        assert!(load("", &[("TOKENHOUSE_POLICY__MAX_LIFETIME_DAYS", "0")]).is_err());
    }

    #[test]
    fn a_missing_file_is_an_error_only_when_it_was_named() {
        assert!(Config::load(Some(Path::new("/nowhere/tokenhouse.toml")), []).is_err());
    }

    #[test]
    fn a_password_in_the_store_url_is_not_printed() {
        let config = load("[store]\nurl = \"postgres://u:hunter2@db/x\"", &[]).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
