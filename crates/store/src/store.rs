//! Opening, reading and closing.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyPool, Connection as _, Transaction};
use tokenhouse_core::audit::{Head, Seal};
use tokenhouse_core::clock::{Clock, Timestamp};
use tokenhouse_core::keys::MasterKey;
use tokio::time::timeout;

use crate::dialect::{Dialect, Location};
use crate::durability::Durability;
use crate::turns::{Turn, Turns};
use crate::{Connection, Error, Writer, audit, keys, teams};

/// How many connections read at the same time.
const READERS: u32 = 8;

/// How long to wait for a free connection, so also for one's turn to write.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// How long a database may be silent that is asked whether it is still there.
pub(crate) const SILENCE: Duration = Duration::from_secs(1);

/// A store that is open. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) dialect: Dialect,
    writers: Turns,
    readers: AnyPool,
    /// One connection for whoever follows the log: it never waits behind people who read.
    followers: AnyPool,
    pub(crate) seal: Seal,
    pub(crate) durability: Durability,
    /// Keeps other processes away from a SQLite file.
    lock: Option<Arc<File>>,
    pub(crate) options: AnyConnectOptions,
}

/// A connection to read with. Goes back to the store when dropped.
#[derive(Debug)]
pub struct Reader(PoolConnection<Any>);

impl Deref for Reader {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl DerefMut for Reader {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}

impl Store {
    /// Opens the store at `sqlite://path/to/file.db` or `postgres://user:password@host/database`,
    /// makes it if it isn't there, and brings its schema up to date. Before anything is changed,
    /// the master key is checked. The SQLite file belongs to one process at a time.
    ///
    /// # Errors
    /// [`Error::WrongMasterKey`], [`Error::Held`], [`Error::NewerSchema`], [`Error::UnknownUrl`],
    /// [`Error::File`], [`Error::Migration`], and whatever a database can answer.
    pub async fn open(url: &str, master: &MasterKey, now: Timestamp) -> Result<Self, Error> {
        sqlx::any::install_default_drivers();
        let location = Location::parse(url)?;
        let dialect = location.dialect();
        let (lock, durability) = match &location {
            Location::Sqlite(path) => {
                let lock = make_and_lock(path)?;
                (Some(Arc::new(lock)), Durability::of_log(beside(path, "-wal")?))
            }
            Location::Postgres(_) => (None, Durability::of_every_commit()),
        };
        let mut connection = Connection::connect_with(&location.read_only()?).await?;
        keys::check(&mut connection, dialect, master).await?;
        connection.close().await?;

        let options = location.read_write()?;
        let writers = Turns::new(dialect, &options, PATIENCE);
        writers
            .set_up(async |connection| {
                if let Some(recover) = dialect.recover() {
                    sqlx::query(recover).fetch_one(&mut *connection).await?;
                }
                if let Some(setup) = dialect.migration_setup() {
                    sqlx::query(setup).execute(&mut *connection).await?;
                }
                dialect.migrator().run(&mut *connection).await?;
                sqlx::raw_sql(dialect.writer_setup()).execute(connection).await?;
                Ok(())
            })
            .await?;
        let readers = pool(dialect, READERS, &options, dialect.reader_setup()).await?;
        let followers = pool(dialect, 1, &options, dialect.reader_setup()).await?;
        let seal = Seal::new(master);
        let store = Self { dialect, writers, readers, followers, seal, durability, lock, options };
        store.begin_empty(master, now).await?;
        store.settle().await?;
        Ok(store)
    }

    /// Whether there is a store at this URL. Changes nothing.
    pub async fn exists(url: &str) -> Result<bool, Error> {
        sqlx::any::install_default_drivers();
        let location = Location::parse(url)?;
        if matches!(&location, Location::Sqlite(path) if !path.exists()) {
            return Ok(false);
        }
        let mut connection = Connection::connect_with(&location.read_only()?).await?;
        let known = keys::check_value(&mut connection, location.dialect()).await?;
        connection.close().await?;
        Ok(known.is_some())
    }

    /// A connection to read with.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if none becomes free within 10 seconds.
    pub async fn read(&self) -> Result<Reader, Error> {
        Ok(Reader(self.readers.acquire().await?))
    }

    /// The connection to read the log of changes with, for the one who follows it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it doesn't become free within 10 seconds.
    pub async fn read_log(&self) -> Result<Reader, Error> {
        Ok(Reader(self.followers.acquire().await?))
    }

    /// Waits for its turn and begins a write transaction, at the instant that the clock shows then.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if its turn doesn't come within 10 seconds; [`Error::Corrupt`] if
    /// the head of the audit trail is not the one that was sealed.
    pub async fn begin(&self, clock: &Clock) -> Result<Writer, Error> {
        Writer::begin(self, clock).await
    }

    /// Returns when everything that could be read before the call is on disk, so that it also survives a
    /// loss of power. Nobody may be told of it earlier. At once if nothing was committed meanwhile, and
    /// always on PostgreSQL, where a commit is on disk before it can be seen.
    ///
    /// # Errors
    /// [`Error::SyncFailed`] if the disk did not take it, now or before.
    pub async fn settle(&self) -> Result<(), Error> {
        self.durability.settle().await
    }

    /// Whether changes can still be made durable.
    ///
    /// # Errors
    /// [`Error::SyncFailed`] if the disk did not take one.
    pub fn check_durability(&self) -> Result<(), Error> {
        self.durability.check()
    }

    /// Closes all connections, also those of clones, and lets a SQLite file go.
    pub async fn close(self) {
        self.readers.close().await;
        self.followers.close().await;
        self.writers.close().await;
        if let Some(lock) = self.lock {
            // If it fails, the lock goes with the last clone.
            let _ = lock.unlock();
        }
    }

    /// `sqlite` or `postgres`.
    pub fn kind(&self) -> &'static str {
        self.dialect.name()
    }

    /// Waits for its turn and begins a transaction that writes.
    pub(crate) async fn begin_write(&self) -> Result<Turn, Error> {
        self.durability.check()?;
        self.writers.begin().await
    }

    /// The same for a transaction that may begin with its first statement.
    pub(crate) async fn begin_with_first(&self) -> Result<Turn, Error> {
        self.durability.check()?;
        self.writers.begin_with_first().await
    }

    /// Begins a transaction that writes when tokens were last used, and no change: it has no number, so on
    /// PostgreSQL others may write meanwhile.
    pub(crate) async fn begin_uses(&self) -> Result<Turn, Error> {
        self.durability.check()?;
        self.writers.begin_unnumbered().await
    }

    /// Begins a transaction in which every statement sees the same moment.
    pub(crate) async fn begin_snapshot(&self) -> Result<Transaction<'static, Any>, Error> {
        Ok(self.readers.begin_with(self.dialect.begin_snapshot()).await?)
    }

    /// The first transaction of a new store. Of two processes that are first, one wins.
    async fn begin_empty(&self, master: &MasterKey, now: Timestamp) -> Result<(), Error> {
        let mut transaction = self.begin_write().await?;
        if keys::keep(&mut transaction, master).await? {
            audit::insert_head(&mut transaction, &Head::EMPTY, &self.seal).await?;
            teams::date_public(&mut transaction, now).await?;
            self.durability.commit(&mut transaction).await
        } else {
            keys::check(&mut transaction, self.dialect, master).await
        }
    }
}

async fn pool(
    dialect: Dialect,
    size: u32,
    options: &AnyConnectOptions,
    setup: &'static str,
) -> Result<AnyPool, Error> {
    let pool = AnyPoolOptions::new()
        .max_connections(size)
        .acquire_timeout(PATIENCE)
        .test_before_acquire(dialect.is_remote())
        .after_connect(move |connection, _| {
            Box::pin(async move { sqlx::raw_sql(setup).execute(connection).await.map(drop) })
        })
        // SQLite ends a transaction by itself when the disk is full or fails; sqlx then can't, goes on
        // counting it, and would never begin another one on this connection.
        .before_acquire(|connection, _| {
            let is_clean = !connection.is_in_transaction();
            Box::pin(async move { Ok(is_clean) })
        })
        // A connection whose other end has gone silent is closed: it would keep its place for minutes.
        .after_release(move |connection, _| {
            Box::pin(async move {
                Ok(!dialect.is_remote()
                    || timeout(SILENCE, connection.ping()).await.is_ok_and(|pong| pong.is_ok()))
            })
        })
        .connect_with(options.clone());
    Ok(pool.await?)
}

/// Makes folder and file, for nobody else to read, and locks `<file>.lock`.
fn make_and_lock(path: &Path) -> Result<File, Error> {
    let file_error = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::File { path, source }
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(file_error(folder))?;
    }
    let open = |path: &Path| {
        let mut options = OpenOptions::new();
        options.create(true).append(true).mode(0o600).open(path).map_err(file_error(path))
    };
    // Made before it is locked, so that however it is named, the lock has one name.
    open(path)?;
    let lock_path = beside(path, ".lock")?;
    let lock = open(&lock_path)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(Error::Held),
        Err(TryLockError::Error(source)) => Err(Error::File { path: lock_path, source }),
    }
}

/// The file beside a file that is there, whatever that one was called by.
fn beside(path: &Path, suffix: &str) -> Result<PathBuf, Error> {
    let absolute = path.canonicalize().map_err(|source| Error::File { path: path.to_owned(), source })?;
    let mut name = absolute.into_os_string();
    name.push(suffix);
    Ok(name.into())
}
