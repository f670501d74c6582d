//! Every difference between SQLite and PostgreSQL, apart from the types in the migrations.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use sqlx::ConnectOptions as _;
use sqlx::SqlStr;
use sqlx::any::AnyConnectOptions;
use sqlx::error::DatabaseError;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::SqliteConnectOptions;

use crate::{Cause, Connection, Error, What};

/// Number, name and text for each database of a migration.
type MigrationTexts = (i64, &'static str, &'static str, &'static str);

macro_rules! migration {
    ($number:literal, $name:literal) => {
        (
            $number,
            $name,
            include_str!(concat!("../migrations/sqlite/000", $number, "_", $name, ".sql")),
            include_str!(concat!("../migrations/postgres/000", $number, "_", $name, ".sql")),
        )
    };
    (two digits $number:literal, $name:literal) => {
        (
            $number,
            $name,
            include_str!(concat!("../migrations/sqlite/00", $number, "_", $name, ".sql")),
            include_str!(concat!("../migrations/postgres/00", $number, "_", $name, ".sql")),
        )
    };
}

const MIGRATIONS: [MigrationTexts; 14] = [
    migration!(1, "first"),
    migration!(2, "sessions"),
    migration!(3, "lists"),
    migration!(4, "token_forms"),
    migration!(5, "directory"),
    migration!(6, "searches"),
    migration!(7, "fleet"),
    migration!(8, "knocks"),
    migration!(9, "governance"),
    migration!(two digits 10, "alerts"),
    migration!(two digits 11, "service_user_requests"),
    migration!(two digits 12, "unused"),
    migration!(two digits 13, "outbox"),
    migration!(two digits 14, "recent_uses"),
];

/// Which database it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

/// Where the database is.
pub(crate) enum Location {
    /// A file.
    Sqlite(PathBuf),
    /// A server.
    Postgres(AnyConnectOptions),
}

impl Location {
    /// Reads a URL: `sqlite://path` (taken literally) or `postgres://…`.
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        match url.split_once("://") {
            Some(("sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            Some(("postgres" | "postgresql", _)) => {
                url.parse().map(Self::Postgres).map_err(|_| Error::UnknownUrl)
            }
            _ => Err(Error::UnknownUrl),
        }
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// How to connect without changing anything, not even by recovering after a crash.
    pub(crate) fn read_only(&self) -> Result<AnyConnectOptions, Error> {
        self.options(true)
    }

    /// How to connect.
    pub(crate) fn read_write(&self) -> Result<AnyConnectOptions, Error> {
        self.options(false)
    }

    fn options(&self, read_only: bool) -> Result<AnyConnectOptions, Error> {
        match self {
            Self::Sqlite(path) => sqlite_options(path, read_only),
            Self::Postgres(options) => Ok(options.clone()),
        }
    }
}

fn sqlite_options(path: &Path, read_only: bool) -> Result<AnyConnectOptions, Error> {
    let file_error = |source| Error::File { path: path.into(), source };
    let absolute = path.canonicalize().map_err(file_error)?;
    let text = absolute.to_str().ok_or_else(|| file_error(std::io::ErrorKind::InvalidFilename.into()))?;
    // sqlx decodes percent signs when it reads the URL, but doesn't encode them when it writes it.
    let options = SqliteConnectOptions::new().filename(text.replace('%', "%25")).read_only(read_only);
    AnyConnectOptions::from_url(&options.to_url_lossy()).map_err(Error::from)
}

impl Dialect {
    /// The dialect of a connection.
    pub(crate) fn of(c: &Connection) -> Self {
        match c.backend_name() {
            "SQLite" => Self::Sqlite,
            _ => Self::Postgres,
        }
    }

    /// The database's name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }

    /// Whether a connection may be lost while nobody uses it.
    pub(crate) const fn is_remote(self) -> bool {
        matches!(self, Self::Postgres)
    }

    /// What the connection that writes is set up with.
    pub(crate) const fn writer_setup(self) -> &'static str {
        match self {
            // `NORMAL` syncs around checkpoints only; commits are synced in `durability.rs`.
            Self::Sqlite => {
                "PRAGMA busy_timeout = 2000; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; \
                 PRAGMA foreign_keys = ON"
            }
            // A process that hangs in a transaction, or is cut off, must not stop the others for long.
            Self::Postgres => {
                "SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '2s'; \
                 SET synchronous_commit = on"
            }
        }
    }

    /// Brings what an earlier process left in the log into the database, and that to the disk. Syncing
    /// the log would not do after a sync has failed: what the system shows of the file since then need not
    /// be on the disk, and is not written again.
    pub(crate) const fn recover(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => Some("PRAGMA wal_checkpoint(PASSIVE)"),
            Self::Postgres => None,
        }
    }

    /// What a connection that reads is set up with.
    pub(crate) const fn reader_setup(self) -> &'static str {
        match self {
            Self::Sqlite => "PRAGMA busy_timeout = 2000; PRAGMA query_only = ON",
            Self::Postgres => "SET default_transaction_read_only = on",
        }
    }

    /// Gives 1 if this connection can write, where that may change.
    pub(crate) const fn is_writable(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some("SELECT (current_setting('transaction_read_only') = 'off')::INT::BIGINT"),
        }
    }

    /// Lets whoever changes the schema wait for others who do for as long as they take.
    pub(crate) const fn migration_setup(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some("SET lock_timeout = 0"),
        }
    }

    /// Begins a transaction that writes. On PostgreSQL several processes may write, and numbers of
    /// changes must be given out in the order of commits, so [`Dialect::lock_writers`] comes next.
    pub(crate) const fn begin_write(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN ISOLATION LEVEL READ COMMITTED",
        }
    }

    /// Waits, inside a transaction, until no other one writes.
    pub(crate) const fn lock_writers(self) -> Option<&'static str> {
        match self {
            // Its `BEGIN IMMEDIATE` has done so.
            Self::Sqlite => None,
            Self::Postgres => Some("SELECT pg_advisory_xact_lock(8390876171426886)"),
        }
    }

    /// Ends a selection of rows that are to be changed, without those that somebody else is changing.
    pub(crate) const fn unless_locked(self) -> &'static str {
        match self {
            // Nobody else is.
            Self::Sqlite => "",
            Self::Postgres => "FOR NO KEY UPDATE SKIP LOCKED",
        }
    }

    /// The last two statements of a transaction, which share their values and change one row each, in one; with the
    /// commit where that can go with them. Each statement is a journey to the database, and to another thread on SQLite.
    pub(crate) fn last(self, first: &str, second: &str) -> String {
        match self {
            // The first one that fails ends it.
            Self::Sqlite => format!("{first}; {second}; COMMIT"),
            // With values it takes one statement only.
            Self::Postgres => format!("WITH first AS ({first}) {second}"),
        }
    }

    /// How many rows the database says that these have changed. (sqlx may not take several with values for ever. If it
    /// left one out, it would be fewer.)
    pub(crate) const fn rows_of_last(self) -> u64 {
        match self {
            // To `COMMIT` it counts those of the statement before once more.
            Self::Sqlite => 3,
            Self::Postgres => 1,
        }
    }

    /// Begins a transaction in which every statement sees the same moment.
    pub(crate) const fn begin_snapshot(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN",
            Self::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        }
    }

    /// Gives 1 if there is a table `settings`, else 0.
    pub(crate) const fn has_settings(self) -> &'static str {
        match self {
            Self::Sqlite => "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'settings'",
            Self::Postgres => "SELECT (to_regclass('settings') IS NOT NULL)::INT::BIGINT",
        }
    }

    /// An expression for all rows as one JSON array of arrays.
    pub(crate) fn json_rows(self, columns: &str) -> String {
        match self {
            Self::Sqlite => format!("json_group_array(json_array({columns}))"),
            Self::Postgres => {
                format!("CAST(coalesce(json_agg(json_build_array({columns})), '[]') AS TEXT)")
            }
        }
    }

    /// A table with the elements of a JSON array in the column `value`.
    pub(crate) fn json_elements(self, array: &str) -> String {
        match self {
            Self::Sqlite => format!("json_each({array})"),
            Self::Postgres => format!("json_array_elements(CAST({array} AS JSON))"),
        }
    }

    /// An expression for bytes in hexadecimal.
    pub(crate) fn hex(self, column: &str) -> String {
        match self {
            Self::Sqlite => format!("hex({column})"),
            Self::Postgres => format!("encode({column}, 'hex')"),
        }
    }

    /// All migrations. On PostgreSQL they run under an advisory lock.
    pub(crate) fn migrator(self) -> Migrator {
        let migration = |(version, name, sqlite, postgres)| {
            let sql = match self {
                Self::Sqlite => sqlite,
                Self::Postgres => postgres,
            };
            let (name, sql) = (Cow::Borrowed(name), SqlStr::from_static(sql));
            Migration::new(version, name, MigrationType::Simple, sql, false)
        };
        Migrator::with_migrations(MIGRATIONS.map(migration).into())
    }
}

/// What must be unique: what it means, the index on PostgreSQL, the columns on SQLite.
const UNIQUE: [(What, &str, &str); 5] = [
    (What::TokenName, "tokens_owner_name", "tokens.owner_id, tokens.name"),
    (What::TokenHash, "tokens_hash_key", "tokens.hash"),
    (What::UserName, "users_user_name", "users.user_name_folded"),
    (What::UserId, "users_user_id_key", "users.user_id"),
    (What::TeamName, "teams_name_folded_key", "teams.name_folded"),
];

fn conflict(error: &dyn DatabaseError) -> Option<What> {
    let named = |(_, index, columns): &&(What, &str, &str)| match error.constraint() {
        Some(constraint) => constraint == *index,
        None => error.message().strip_prefix("UNIQUE constraint failed: ") == Some(columns),
    };
    error.is_unique_violation().then(|| UNIQUE.iter().find(named).map(|(what, ..)| *what)).flatten()
}

/// What an error code means. SQLite's are numbers below 10,000, whose low byte is the kind;
/// PostgreSQL's (SQLSTATE) have five characters, of which the first two are the class.
fn by_code(code: &str, cause: Cause) -> Error {
    match (code.len(), code.get(..2)) {
        (..5, _) => match code.parse::<i32>().unwrap_or_default() & 0xff {
            // BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR; FULL, CANTOPEN.
            5..=10 | 13 | 14 => Error::Unavailable(cause),
            // CORRUPT, NOTADB.
            11 | 26 => Error::Corrupt(cause.0),
            _ => Error::Refused(cause),
        },
        _ if code == "25P02" => Error::Broken,
        // Lock timeout, a standby server, idle for too long in a transaction.
        _ if matches!(code, "55P03" | "25006" | "25P03") => Error::Unavailable(cause),
        // Connection, resources, operator, system, deadlock.
        (_, Some("08" | "53" | "57" | "58" | "40")) => Error::Unavailable(cause),
        (_, Some("XX")) => Error::Corrupt(cause.0),
        _ => Error::Refused(cause),
    }
}

impl From<sqlx::Error> for Error {
    /// Never takes over more of a database's error than its message: details hold values.
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => match conflict(error.as_ref()) {
                Some(what) => Self::Conflict(what),
                None => {
                    by_code(error.code().as_deref().unwrap_or_default(), Cause(error.message().to_owned()))
                }
            },
            sqlx::Error::ColumnDecode { index, .. } => Self::Corrupt(format!("column {index}")),
            sqlx::Error::Decode(_) | sqlx::Error::AnyDriverError(_) => Self::Corrupt("a value".into()),
            sqlx::Error::Configuration(_) => Self::UnknownUrl,
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed => Self::Unavailable(Cause(error.to_string())),
            other => Self::Refused(Cause(other.to_string())),
        }
    }
}

impl From<MigrateError> for Error {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::VersionMissing(_) => Self::NewerSchema,
            MigrateError::Execute(error) => error.into(),
            MigrateError::ExecuteMigration(error, version) => match Self::from(error) {
                Self::Refused(Cause(cause)) => {
                    Self::Migration(Cause(format!("migration {version}: {cause}")))
                }
                other => other,
            },
            other => Self::Migration(Cause(other.to_string())),
        }
    }
}
