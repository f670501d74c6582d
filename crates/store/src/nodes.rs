//! The servers of a fleet on one PostgreSQL: which there are, how far each has followed the log of changes, and
//! that it still does. What that is for is in the server's `fleet.rs`.
//!
//! Everything here runs on connections of its own, one for each purpose, with a limit on the time that each
//! statement has: what hangs is given up and done again on a new connection.

use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyRow};
use sqlx::postgres::PgListener;
use sqlx::{Connection as _, Row as _};
use tokenhouse_core::audit::Head;
use tokenhouse_core::clock::Timestamp;
use tokio::time::timeout;

use crate::dialect::Location;
use crate::sql::{self, Query};
use crate::{Cause, Connection, Error, Store, keys};

/// How long a statement may take, with connecting.
const WITHIN: Duration = Duration::from_secs(1);

/// Where commits are told.
const CHANGES: &str = "tokenhouse_changes";

/// Where it is told what a node shows.
const NODES: &str = "tokenhouse_nodes";

/// The database's clock, in microseconds.
const CLOCK: &str = "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)";

/// The number `$2` of the newest change that a node shows, if it is the one with the hash `$4`: after a history was
/// lost, another one may have its number. Never goes back.
const SHOWN: &str = "CASE WHEN EXISTS (SELECT 1 FROM changes WHERE seq = $2 AND hash = $4) \
                     THEN greatest(applied_seq, $2) ELSE applied_seq END";

/// A server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// Of this start of the server; made at random.
    pub incarnation: String,
    /// What people call it.
    pub name: String,
    /// When it registered, by the database's clock.
    pub started_at: Timestamp,
    /// When it last asked for the head of the log, by the database's clock.
    pub renewed_at: Timestamp,
    /// How often it has asked, at least; grows each time.
    pub renewals: i64,
    /// Number of the newest change that its index is known to show.
    pub applied: i64,
}

/// The fleet at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fleet {
    /// Its nodes, by name.
    pub nodes: Vec<Node>,
    /// Number of the newest change.
    pub head: i64,
    /// The moment, by the database's clock.
    pub now: Timestamp,
}

/// What a node learns by renewing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Renewal {
    /// The head of the log, at some moment after the renewal was sent.
    pub head: Head,
    /// The database's clock.
    pub now: Timestamp,
}

/// All nodes of the store at this URL, which stays as it is: it may be one that a server of an older version
/// writes, or nobody can write. `None` if a store there is no fleet's.
///
/// # Errors
/// [`Error::UnknownUrl`], [`Error::Absent`], and those of [`all`].
pub async fn at(url: &str) -> Result<Option<Fleet>, Error> {
    sqlx::any::install_default_drivers();
    let location = Location::parse(url)?;
    if !location.dialect().is_remote() {
        return Ok(None);
    }
    let mut connection = Connection::connect_with(&location.read_only()?).await?;
    if keys::check_value(&mut connection, location.dialect()).await?.is_none() {
        return Err(Error::Absent);
    }
    let fleet = all(&mut connection).await?;
    connection.close().await?;
    Ok(Some(fleet))
}

/// All nodes.
///
/// # Errors
/// [`Error::Unavailable`] also from a standby, which may not know of all yet.
pub async fn all(c: &mut Connection) -> Result<Fleet, Error> {
    let statement = format!(
        "SELECT {CLOCK} AS now, CAST(pg_is_in_recovery() AS INT)::BIGINT AS standby, seq, incarnation, name, started_at, \
         renewed_at, renewals, applied_seq FROM audit_head LEFT JOIN nodes ON TRUE ORDER BY name"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(statement)).fetch_all(c).await?;
    let first =
        rows.first().ok_or_else(|| Error::Corrupt("the head of the audit trail is missing".into()))?;
    if first.try_get::<i64, _>("standby")? == 1 {
        return Err(Error::Unavailable(Cause("this is a standby".into())));
    }
    let (now, head) = (Timestamp::from_micros(first.try_get("now")?), first.try_get("seq")?);
    let nodes = rows.iter().filter_map(|row| node(row).transpose()).collect::<Result<_, _>>()?;
    Ok(Fleet { nodes, head, now })
}

fn node(row: &AnyRow) -> Result<Option<Node>, Error> {
    let Some(incarnation) = row.try_get("incarnation")? else { return Ok(None) };
    Ok(Some(Node {
        incarnation,
        name: row.try_get("name")?,
        started_at: Timestamp::from_micros(row.try_get("started_at")?),
        renewed_at: Timestamp::from_micros(row.try_get("renewed_at")?),
        renewals: row.try_get("renewals")?,
        applied: row.try_get("applied_seq")?,
    }))
}

/// The place of one node in its fleet.
#[derive(Debug)]
pub struct Membership {
    options: AnyConnectOptions,
    setup: &'static str,
    connection: Option<Connection>,
    incarnation: String,
    name: String,
}

impl Membership {
    /// Registers the node, as one whose index shows everything up to `applied`. `false` if there is another
    /// one of its name. `renewals` is greater than in any call before, also for [`Self::renew`]: whoever has
    /// seen a number must not take another registration or renewal for that one.
    ///
    /// # Errors
    /// [`Error::Unavailable`], as for all others, if it isn't done within a second.
    pub async fn register(&mut self, applied: i64, renewals: i64) -> Result<bool, Error> {
        let statement = format!(
            "INSERT INTO nodes (incarnation, name, started_at, renewed_at, renewals, applied_seq) \
             VALUES ($1, $2, {CLOCK}, {CLOCK}, $3, $4) ON CONFLICT (name) DO NOTHING RETURNING renewals"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(statement));
        let query = query.bind(self.incarnation.clone()).bind(self.name.clone()).bind(renewals).bind(applied);
        Ok(!self.run(query).await?.is_empty())
    }

    /// Asks for the head of the log, by a statement that writes: a standby can't answer it. `None` if the node
    /// isn't registered (any more).
    pub async fn renew(&mut self, applied: Head, renewals: i64) -> Result<Option<Renewal>, Error> {
        let statement = format!(
            "UPDATE nodes SET renewals = greatest(renewals, $3), renewed_at = {CLOCK}, \
             applied_seq = {SHOWN} WHERE incarnation = $1 RETURNING renewed_at, \
             (SELECT seq FROM audit_head WHERE id = 1) AS seq, (SELECT hash FROM audit_head WHERE id = 1) AS hash"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(statement));
        let query = query.bind(self.incarnation.clone()).bind(applied.seq).bind(renewals);
        let query = query.bind(applied.hash.to_vec());
        let Some(row) = self.run(query).await?.into_iter().next() else { return Ok(None) };
        Ok(Some(Renewal { head: sql::head(&row)?, now: Timestamp::from_micros(row.try_get("renewed_at")?) }))
    }

    /// Tells those who wait that the index shows everything up to `applied`.
    pub async fn acknowledge(&mut self, applied: Head) -> Result<(), Error> {
        let statement =
            format!("UPDATE nodes SET applied_seq = {SHOWN} WHERE incarnation = $1 AND applied_seq < $3");
        let query = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(self.incarnation.clone());
        self.run(query.bind(applied.seq).bind(applied.seq).bind(applied.hash.to_vec())).await.map(drop)
    }

    /// The row of whoever has the name of this node: incarnation and renewals.
    pub async fn namesake(&mut self) -> Result<Option<(String, i64)>, Error> {
        let query = sqlx::query("SELECT incarnation, renewals FROM nodes WHERE name = $1");
        let rows = self.run(query.bind(self.name.clone())).await?;
        rows.first().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose()
    }

    /// Removes a node that is known to answer no checks since it renewed for the last time. Does nothing if it
    /// has renewed again.
    pub async fn forget(&mut self, incarnation: &str, renewals: i64) -> Result<(), Error> {
        let query = sqlx::query("DELETE FROM nodes WHERE incarnation = $1 AND renewals = $2");
        self.run(query.bind(incarnation.to_owned()).bind(renewals)).await.map(drop)
    }

    /// Removes this node, which answers no checks any more.
    pub async fn leave(&mut self) -> Result<(), Error> {
        let query = sqlx::query("DELETE FROM nodes WHERE incarnation = $1");
        self.run(query.bind(self.incarnation.clone())).await.map(drop)
    }

    /// Runs a statement within its time. A connection on which one failed is not used again.
    async fn run(&mut self, query: Query) -> Result<Vec<AnyRow>, Error> {
        let connection = self.connection.take();
        let (options, setup) = (&self.options, self.setup);
        let ran = timeout(WITHIN, async move {
            let mut connection = if let Some(connection) = connection {
                connection
            } else {
                let mut connection = Connection::connect_with(options).await?;
                sqlx::raw_sql(setup).execute(&mut connection).await?;
                connection
            };
            let rows = query.fetch_all(&mut connection).await?;
            Ok::<_, Error>((connection, rows))
        });
        let (connection, rows) = ran.await.map_err(|_| Error::too_slow())??;
        self.connection = Some(connection);
        Ok(rows)
    }
}

/// What is heard of a fleet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum News {
    /// Something was committed, or may have been while nothing could be heard.
    Changes,
    /// A node's index shows everything up to this number.
    Applied(String, i64),
}

/// Hears of changes and of nodes. What happens while there is no connection is not heard of.
#[derive(Debug)]
pub struct Listener {
    listener: PgListener,
}

impl Listener {
    /// The next news. [`Error::Unavailable`] if the connection is lost.
    ///
    /// Looks every second whether the connection is still there.
    pub async fn hear(&mut self) -> Result<News, Error> {
        loop {
            match timeout(WITHIN, self.listener.try_recv()).await {
                Ok(Ok(Some(notification))) if notification.channel() == NODES => {
                    if let Some((incarnation, applied)) = notification.payload().split_once(' ')
                        && let Ok(applied) = applied.parse()
                    {
                        return Ok(News::Applied(incarnation.to_owned(), applied));
                    }
                }
                Ok(Ok(Some(_))) => return Ok(News::Changes),
                Ok(Ok(None)) => return Err(Error::Unavailable(Cause("the connection was lost".into()))),
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => {
                    let ping = sqlx::query("SELECT 1").execute(&mut self.listener);
                    timeout(WITHIN, ping).await.map_err(|_| Error::too_slow())??;
                }
            }
        }
    }
}

impl Store {
    /// Whether several servers can share this store.
    pub fn has_fleet(&self) -> bool {
        self.dialect.is_remote()
    }

    /// A place in the fleet for a node, on a connection of its own, which isn't made yet.
    pub fn membership(&self, incarnation: &str, name: &str) -> Membership {
        let (options, setup) = (self.options.clone(), self.dialect.writer_setup());
        let (incarnation, name) = (incarnation.to_owned(), name.to_owned());
        Membership { options, setup, connection: None, incarnation, name }
    }

    /// Listens for news of the fleet.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it can't within a second.
    pub async fn listen(&self) -> Result<Listener, Error> {
        let listening = timeout(WITHIN, async {
            let mut listener = PgListener::connect(self.options.database_url.as_str()).await?;
            listener.eager_reconnect(false);
            listener.listen_all([CHANGES, NODES]).await?;
            Ok::<_, Error>(Listener { listener })
        });
        listening.await.map_err(|_| Error::too_slow())?
    }
}
