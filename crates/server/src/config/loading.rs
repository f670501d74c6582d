//! Reads the configuration from file and environment.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::Deserialize as _;

use super::Config;

/// The file that is read where no other is named, if it is there.
pub const DEFAULT_FILE: &str = "tokenhouse.toml";

/// Environment variables that begin with this and contain a double underscore override keys.
const ENVIRONMENT_PREFIX: &str = "TOKENHOUSE_";

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
        let example = include_str!("../../../../tokenhouse.example.toml");
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
