//! A store full of tokens, made fast.
//!
//! The store's own functions write one row and its audit record at a time, because that is what the
//! server does; a million tokens take minutes that way. So rows of users and tokens are written here
//! directly, with SQL that is nowhere else outside of the store. They have no records in the audit
//! trail, which stays empty and whole.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteSynchronous};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokenhouse_core::clock::{Clock, Timestamp};
use tokenhouse_core::codec::Codec;
use tokenhouse_store::Store;

use crate::tokenhouse::make_admin;
use crate::{Failure, TOKENS_PER_OWNER, codec, master_key, mint, signed};

/// Name of the SQLite file.
const DATABASE: &str = "tokenhouse.db";

/// Tokens that are written by one statement.
const BATCH: usize = 10_000;

/// Owner number `n` of [`crate::owner`], from 0, has the id `n + 1`.
const OWNERS: &str = "
    WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < $1)
    INSERT INTO users (id, user_id, user_name, user_name_folded, email, email_folded, name, name_folded,
        role, user_type, created_at)
    SELECT n + 1, printf('local|%022d', n), printf('person-%08d@example.com', n),
        printf('person-%08d@example.com', n), printf('person-%08d@example.com', n),
        printf('person-%08d@example.com', n), 'Ada Lovelace', 'ada lovelace', 'Member', 'Human', $2
    FROM numbers";

const TEAM: &str =
    "INSERT INTO teams (id, name, name_folded, created_at) VALUES (2, 'Research', 'research', 0);
    INSERT INTO team_members (team_id, user_id) SELECT 2, id FROM users";

const SERVICE_USERS: &str = "
    UPDATE users SET user_type = 'Service', user_name = printf('service-%08d', id),
        user_name_folded = printf('service-%08d', id), user_id = printf('service-%08d@service', id),
        email = printf('service-%08d@service', id), email_folded = printf('service-%08d@service', id)
    WHERE id % 10 <> 0 AND name = 'Ada Lovelace';
    UPDATE tokens SET is_service = 1 WHERE owner_id IN (SELECT id FROM users WHERE user_type = 'Service')";

/// Teams number 3 and following, of ten people each.
const TEAMS: &str = "
    WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < $1)
    INSERT INTO teams (id, name, name_folded, created_at)
    SELECT n + 3, printf('Team %06d', n), printf('team %06d', n), 0 FROM numbers";

const TEAMS_OF_TEN: &str =
    "INSERT INTO team_members (team_id, user_id) SELECT (u.id - 1) / 10 + 3, u.id FROM users u
    WHERE (u.id - 1) / 10 + 3 <= (SELECT max(id) FROM teams)";

const EXTERNAL_IDS: &str = "UPDATE users SET external_id = printf('external-%08d', id - 1)";

/// Tokens number `$1` and following, whose hashes lie one behind the other in `$2`, of `$3` owners.
const TOKENS: &str = "
    WITH RECURSIVE numbers (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM numbers WHERE i + 1 < length($2) / 32)
    INSERT INTO tokens (id, owner_id, name, name_folded, hash, scim_only, created_at, created_by, expires_at)
    SELECT $1 + i + 1, ($1 + i) % $3 + 1, 'token-' || ($1 + i), 'token-' || ($1 + i), substr($2, i * 32 + 1, 32), 0, $4,
        ($1 + i) % $3 + 1, $5
    FROM numbers";

/// The same on PostgreSQL.
const OWNERS_ON_POSTGRES: &str = "
    INSERT INTO users (id, user_id, user_name, user_name_folded, email, email_folded, name, name_folded,
        role, user_type, created_at)
    SELECT n + 1, 'local|' || lpad(n::TEXT, 22, '0'), mail, mail, mail, mail, 'Ada Lovelace', 'ada lovelace',
        'Member', 'Human', $2
    FROM generate_series(0, $1 - 1) AS n, LATERAL (SELECT 'person-' || lpad(n::TEXT, 8, '0') || '@example.com' AS mail) AS m";

const TOKENS_ON_POSTGRES: &str = "
    INSERT INTO tokens (id, owner_id, name, name_folded, hash, scim_only, created_at, created_by, expires_at)
    SELECT $1 + i + 1, ($1 + i) % $3 + 1, 'token-' || ($1 + i), 'token-' || ($1 + i),
        substring($2 FROM (i * 32 + 1)::INT FOR 32), 0, $4, ($1 + i) % $3 + 1, $5
    FROM generate_series(0::BIGINT, length($2) / 32 - 1) AS i";

/// What lies in the folder of a filled store.
pub struct Filled {
    /// The SQLite file; the master key is beside it.
    pub database: PathBuf,
    /// How many tokens there are.
    pub tokens: usize,
    codec: Codec,
    issued: Timestamp,
}

impl Filled {
    /// Makes a store in an empty folder, with `tokens` good tokens of `owners` owners.
    pub async fn new(folder: &Path, tokens: usize, owners: usize) -> Result<Self, Failure> {
        let database = folder.canonicalize()?.join(DATABASE);
        let master = master_key()?;
        let mut key =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join("master.key"))?;
        key.write_all(master.expose().as_bytes())?;
        let issued = Clock::system().now().whole_second();
        let store = Store::open(&format!("sqlite://{}", database.display()), &master, issued).await?;
        store.close().await;
        let filled = Self { database, tokens, codec: codec()?, issued };
        filled.write(owners).await?;
        Ok(filled)
    }

    /// The store with so many tokens, ten for each owner, that the programs of one run share; made by the
    /// first that asks for it, in a folder beside the figures. There is an Admin, whose token is told, too.
    pub async fn shared(results: &Path, tokens: usize) -> Result<(Self, String), Failure> {
        let folder = results.join("stores").join(tokens.to_string());
        // Written last, so that it isn't there while the store is half filled.
        let whole = folder.join("whole");
        if !fs::exists(&whole)? {
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder)?;
            let filled = Self::new(&folder, tokens, tokens.div_ceil(TOKENS_PER_OWNER)).await?;
            let (_, token) = make_admin(&filled)?;
            fs::write(&whole, format!("{}\n{token}", filled.issued.seconds()))?;
            return Ok((filled, token));
        }
        let text = fs::read_to_string(&whole)?;
        let (issued, token) = text.split_once('\n').ok_or("what is known of the shared store is cut off")?;
        let issued = Timestamp::from_seconds(issued.parse()?);
        let database = folder.canonicalize()?.join(DATABASE);
        Ok((Self { database, tokens, codec: codec()?, issued }, token.to_owned()))
    }

    /// So many of the tokens, taken from all over the store.
    pub fn presented(&self, count: usize) -> impl Iterator<Item = String> {
        let every = (self.tokens / count.max(1)).max(1);
        let numbers = (0..self.tokens).step_by(every).take(count);
        numbers.map(|number| mint(&self.codec, number, self.issued).0.expose().to_owned())
    }

    async fn write(&self, owners: usize) -> Result<(), Failure> {
        let mut connection = SqliteConnection::connect_with(&self.fast()).await?;
        let mut transaction = connection.begin().await?;
        let created = self.issued.micros();
        sqlx::query(OWNERS).bind(signed(owners)).bind(created).execute(&mut *transaction).await?;
        transaction.execute(TEAM).await?;
        for first in (0..self.tokens).step_by(BATCH) {
            let tokens =
                sqlx::query(TOKENS).bind(signed(first)).bind(self.hashes(first)).bind(signed(owners));
            let end = self.issued.plus_days(90).micros();
            tokens.bind(created).bind(end).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(connection.close().await?)
    }

    /// Writes the same tokens into an empty PostgreSQL store.
    pub async fn copy_to_postgres(&self, url: &str) -> Result<(), Failure> {
        Store::open(url, &master_key()?, self.issued).await?.close().await;
        let owners = self.tokens.div_ceil(TOKENS_PER_OWNER);
        let mut connection = PgConnection::connect(url).await?;
        let (created, end) = (self.issued.micros(), self.issued.plus_days(90).micros());
        let owners_made = sqlx::query(OWNERS_ON_POSTGRES).bind(signed(owners)).bind(created);
        owners_made.execute(&mut connection).await?;
        connection.execute(TEAM).await?;
        for first in (0..self.tokens).step_by(BATCH) {
            let tokens = sqlx::query(TOKENS_ON_POSTGRES).bind(signed(first)).bind(self.hashes(first));
            tokens.bind(signed(owners)).bind(created).bind(end).execute(&mut connection).await?;
        }
        connection.execute("ANALYZE").await?;
        Ok(connection.close().await?)
    }

    /// The hashes of tokens from number `first` on, for one statement.
    fn hashes(&self, first: usize) -> Vec<u8> {
        let numbers = first..self.tokens.min(first + BATCH);
        numbers.flat_map(|number| *mint(&self.codec, number, self.issued).1.as_bytes()).collect()
    }

    /// Makes service users of all owners but every tenth, and gives the first `tokens` tokens to the user
    /// with this id.
    pub async fn share_out(&self, id: i64, tokens: usize) -> Result<(), Failure> {
        let mut connection = SqliteConnection::connect_with(&self.fast()).await?;
        connection.execute(SERVICE_USERS).await?;
        let give = sqlx::query("UPDATE tokens SET owner_id = $1, is_service = 0 WHERE id <= $2");
        give.bind(id).bind(signed(tokens)).execute(&mut connection).await?;
        Ok(connection.close().await?)
    }

    /// Gives everybody what a directory calls them, and makes `teams` teams of ten.
    pub async fn provision(&self, teams: usize) -> Result<(), Failure> {
        let mut connection = SqliteConnection::connect_with(&self.fast()).await?;
        sqlx::query(TEAMS).bind(signed(teams)).execute(&mut connection).await?;
        connection.execute(TEAMS_OF_TEN).await?;
        connection.execute(EXTERNAL_IDS).await?;
        Ok(connection.close().await?)
    }

    /// Nothing that is half written survives a crash; it would only be made anew.
    fn fast(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(&self.database)
            .synchronous(SqliteSynchronous::Off)
            // In KiB when negative: the indexes fit, so that no page is written twice.
            .pragma("cache_size", "-1000000")
    }
}
