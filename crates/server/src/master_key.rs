//! Where the master key comes from: the environment, a file, or, at the very first start, the system's
//! randomness. There is no default key.

use std::env::VarError;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokenhouse_core::keys::{MasterKey, NotAMasterKey};
use tokenhouse_core::random::{NoRandomness, Random};
use zeroize::Zeroizing;

use crate::config::Config;

/// Name of the environment variable that wins over the file.
pub const VARIABLE: &str = "TOKENHOUSE_MASTER_KEY";

/// Why there is no master key.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// The variable holds something else.
    #[error("{VARIABLE} is wrong: {0}")]
    Variable(NotAMasterKey),
    /// The file holds something else.
    #[error("the master key file {file} is wrong: {cause}", file = .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What it has to hold.
        cause: NotAMasterKey,
    },
    /// The file can't be read or written.
    #[error("cannot use the master key file {file}: {cause}", file = .file.display())]
    Unusable {
        /// The file.
        file: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The store is there, but its key is not. A new key would make every token dead.
    #[error("the store exists, but its master key file {file} does not: put the file back or set {VARIABLE}", file = .0.display())]
    Missing(PathBuf),
    /// PostgreSQL has no place for a key of its own.
    #[error(
        "PostgreSQL needs a master key from outside: set {VARIABLE} or server.master_key_file (for example from `openssl rand -base64 32`)"
    )]
    Required,
    /// Nothing secret can be made.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// What the environment variable holds, if it is set.
pub fn variable() -> Result<Option<Zeroizing<String>>, MasterKeyError> {
    match std::env::var(VARIABLE) {
        Ok(text) => Ok(Some(Zeroizing::new(text))),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(MasterKeyError::Variable(NotAMasterKey)),
    }
}

/// Finds the master key, or makes one where there is neither a file nor a store yet.
pub fn find(
    config: &Config,
    variable: Option<Zeroizing<String>>,
    store_exists: bool,
    random: &Random,
) -> Result<MasterKey, MasterKeyError> {
    if let Some(text) = variable {
        return MasterKey::parse(&text).map_err(MasterKeyError::Variable);
    }
    let named = config.server.master_key_file.clone();
    let beside = || Some(config.store.url.sqlite_file()?.with_file_name("master.key"));
    let file = named.or_else(beside).ok_or(MasterKeyError::Required)?;
    match std::fs::read_to_string(&file).map(Zeroizing::new) {
        Ok(text) => {
            warn_if_readable_by_others(&file);
            MasterKey::parse(&text).map_err(|cause| MasterKeyError::File { file, cause })
        }
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
            Err(MasterKeyError::Unusable { file, cause })
        }
        Err(_) if store_exists => Err(MasterKeyError::Missing(file)),
        Err(_) if config.store.url.sqlite_file().is_none() => Err(MasterKeyError::Required),
        Err(_) => {
            let key = MasterKey::generate(random)?;
            write_new(&file, &key).map_err(|cause| MasterKeyError::Unusable { file, cause })?;
            Ok(key)
        }
    }
}

/// On disk before the first token exists, and never over an existing file.
fn write_new(path: &Path, key: &MasterKey) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(key.expose().as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    std::fs::File::open(folder)?.sync_all()
}

fn warn_if_readable_by_others(file: &Path) {
    let mode = std::fs::metadata(file).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o077 != 0 {
        tracing::warn!(file = %file.display(), "the master key can be read by others; set its mode to 0600");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::StoreUrl;

    fn config(folder: &Path) -> Config {
        let mut config = Config::default();
        config.store.url = StoreUrl(format!("sqlite://{}/data/tokenhouse.db", folder.display()));
        config
    }

    #[test]
    fn a_key_is_made_once_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let made = find(&config, None, false, &Random::seeded(1)).unwrap();
        let file = folder.path().join("data/master.key");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let found = find(&config, None, true, &Random::seeded(2)).unwrap();
        assert_eq!(made.check_value(), found.check_value());
    }

    #[test]
    fn the_variable_wins() {
        let folder = tempfile::tempdir().unwrap();
        let key = MasterKey::generate(&Random::seeded(9)).unwrap();
        let found = find(&config(folder.path()), Some(key.expose()), true, &Random::seeded(1)).unwrap();
        assert_eq!(found.check_value(), key.check_value());
        assert!(!folder.path().join("data").exists());
    }

    #[test]
    fn no_key_is_made_for_a_store_that_exists() {
        let folder = tempfile::tempdir().unwrap();
        let refused = find(&config(folder.path()), None, true, &Random::seeded(1));
        assert!(matches!(refused, Err(MasterKeyError::Missing(_))));
        assert!(!folder.path().join("data").exists());
    }

    #[test]
    fn postgres_needs_one_from_outside() {
        let mut config = Config::default();
        config.store.url = StoreUrl("postgres://localhost/x".into());
        assert!(matches!(find(&config, None, false, &Random::seeded(1)), Err(MasterKeyError::Required)));
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let text = Zeroizing::new("hunter2".to_owned());
        let refused = find(&config(folder.path()), Some(text), false, &Random::seeded(1)).unwrap_err();
        assert!(!refused.to_string().contains("hunter2"));
    }
}
