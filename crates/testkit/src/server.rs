//! A whole Tokenhouse in the process of the test: the real listener on a port of its own, a real
//! database, a clock to turn.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokenhouse::app::App;
use tokenhouse::auth::guard::Call;
use tokenhouse::config::{Config, StoreUrl};
use tokenhouse::front;
use tokenhouse::listener::{self, Limits};
use tokenhouse::run::Bound;
use tokenhouse::service::{tokens, users};
use tokenhouse::usage;
use tokenhouse_core::clock::{Clock, Timestamp, Uptime};
use tokenhouse_core::id::UserId;
use tokenhouse_core::keys::MasterKey;
use tokenhouse_core::people::{Role, UserType};
use tokenhouse_core::policy::Caller;
use tokenhouse_core::random::Random;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::postgres;

/// What the clock shows at the start: 2026-01-15T10:30:00.25Z, so that whole seconds are seen to be
/// made, not found.
pub const START: Timestamp = Timestamp::from_micros(1_768_473_000_250_000);

/// The issuer of all tokens, unless a test configures another.
pub const PUBLIC_URL: &str = "https://tokens.example.com";

/// The password of everybody who signs in to a browser.
pub const PASSWORD: &str = "correct horse battery staple";

/// Both databases, for tests that run on each.
pub const DATABASES: [Database; 2] = [Database::Sqlite, Database::Postgres];

/// Where a server keeps what it knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Database {
    /// A file in a folder of its own.
    Sqlite,
    /// A database of its own on the PostgreSQL of the test process.
    Postgres,
}

/// The secret of a token. `Debug` prints nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Bearer(String);

impl Bearer {
    /// A secret that an answer showed, or something that is none.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer(hidden)")
    }
}

/// An account with a token.
#[derive(Clone, Debug)]
pub struct Account {
    /// Number of the user.
    pub id: i64,
    /// `local|…` or `<slug>@service`.
    pub user_id: String,
    /// A token of theirs, called `first`, that lives as long as policy allows.
    pub token: Bearer,
    /// Number of that token.
    pub token_id: i64,
}

/// One of each.
#[derive(Clone, Debug)]
pub struct People {
    /// A person with the role Admin.
    pub admin: Account,
    /// A person with the role Manager.
    pub manager: Account,
    /// A person with the role Member.
    pub member: Account,
    /// A service user with the role Member.
    pub service: Account,
}

/// What is to be started.
#[derive(Clone, Debug)]
pub struct Builder {
    config: Config,
    database: Database,
    beside: Option<(StoreUrl, Clock)>,
    in_fleet: bool,
}

impl Builder {
    /// On this database.
    #[must_use]
    pub const fn on(mut self, database: Database) -> Self {
        self.database = database;
        self
    }

    /// With a configuration that differs in something.
    #[must_use]
    pub fn configured(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// With the lease of a real node, which a busy machine may let run out: only for tests of fleets.
    #[must_use]
    pub const fn in_fleet(mut self) -> Self {
        self.in_fleet = true;
        self
    }

    /// On the store of another server, with its clock, and with a name of its own.
    #[must_use]
    pub fn beside(mut self, other: &TestServer, name: &str) -> Self {
        self.config.fleet.node = Some(name.to_owned());
        self.beside = Some((other.app.config.store.url.clone(), other.clock.clone()));
        self
    }

    /// Starts it. Returns when it accepts connections.
    ///
    /// # Panics
    /// If it doesn't start.
    pub async fn start(self) -> TestServer {
        let Self { mut config, database, beside, in_fleet } = self;
        let folder = folder();
        if let Some((url, clock)) = beside {
            config.store.url = url;
            // Its tokens differ from those of the other.
            return TestServer::run(config, clock, Random::system(), folder).await;
        }
        config.store.url = StoreUrl(match database {
            Database::Sqlite => format!("sqlite://{}/tokenhouse.db", folder.path().display()),
            Database::Postgres => postgres::database().await,
        });
        let server = TestServer::run(config, Clock::turned(START), Random::seeded(1), folder).await;
        if !in_fleet {
            keep_lease(&server.app);
        }
        server
    }
}

/// Lets a node answer checks for as long as a test may take, whether it is kept from renewing or not.
fn keep_lease(app: &App) {
    if let Some(fleet) = &app.fleet {
        fleet.lease().renew(Uptime::now().plus(Duration::from_hours(1)));
    }
}

/// A folder in memory where the system has such: every commit waits for the disk, which others use too.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a folder for the test")
}

/// A Tokenhouse that answers over HTTP until it is dropped.
pub struct TestServer {
    /// The authority itself, for what can't be seen from outside.
    pub app: Arc<App>,
    /// Its clock; stands still until it is turned.
    pub clock: Clock,
    /// Where it listens.
    pub address: SocketAddr,
    client: Client,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    folder: TempDir,
}

impl fmt::Debug for TestServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestServer").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl TestServer {
    /// On SQLite, as it is configured by default.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Something else.
    pub fn builder() -> Builder {
        let mut config = Config::default();
        config.server.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        config.server.public_url = PUBLIC_URL.into();
        // Of a clock that is turned by hand.
        config.fleet.max_clock_skew = Duration::MAX;
        Builder { config, database: Database::Sqlite, beside: None, in_fleet: false }
    }

    async fn run(mut config: Config, clock: Clock, random: Random, folder: TempDir) -> Self {
        config.request_log.directory.get_or_insert_with(|| folder.path().join("requests"));
        let master = MasterKey::generate(&Random::seeded(0)).expect("a master key");
        let app = App::open(config, Some(master.expose()), clock.clone(), random).await.expect("it opens");
        app.join().await.expect("it joins its fleet");
        let bound = Bound::bind(Arc::clone(&app)).await.expect("it listens");
        let address = bound.address().expect("a bound address");
        let stop = CancellationToken::new();
        let serving = tokio::spawn(bound.serve(stop.clone()));
        Self { app, clock, address, client: Client::new(address), stop, serving, folder }
    }

    /// Stops it gracefully and starts another on the same data, with the same clock.
    ///
    /// # Panics
    /// If it doesn't stop or start.
    pub async fn restart(mut self) -> Self {
        self.stop.cancel();
        (&mut self.serving).await.expect("it stops");
        self.app.store.clone().close().await;
        let folder = std::mem::replace(&mut self.folder, folder());
        Self::run(self.app.config.clone(), self.clock.clone(), self.app.random.clone(), folder).await
    }

    /// Stops it gracefully.
    ///
    /// # Panics
    /// If it doesn't stop.
    pub async fn stop(mut self) {
        self.stop.cancel();
        (&mut self.serving).await.expect("it stops");
    }

    /// The same, stopped and served again without the work in the background, so that nothing happens
    /// but what is asked for.
    ///
    /// # Panics
    /// If it doesn't stop or can't listen.
    pub async fn without_background(mut self) -> Self {
        self.stop.cancel();
        (&mut self.serving).await.expect("it stops");
        keep_lease(&self.app);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        self.address = listener.local_addr().expect("a bound address");
        self.client = Client::new(self.address);
        self.stop = CancellationToken::new();
        let answer = front::answer(Arc::clone(&self.app), Handle::current());
        self.serving =
            tokio::spawn(listener::serve(listener, None, answer, Limits::default(), self.stop.clone()));
        self
    }

    /// Writes all last uses into their tokens, as the background does in time.
    ///
    /// # Panics
    /// If the store fails.
    pub async fn write_uses(&self) {
        usage::flush(self.app.feed.index(), &self.app.store).await.expect("last uses are written");
        usage::fold(&self.app).await.expect("last uses are folded");
    }

    /// A client without a token.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// A client with a token.
    pub fn as_(&self, token: &Bearer) -> Client {
        self.client.as_(token)
    }

    /// Turns the clock on.
    pub fn pass_days(&self, days: i64) {
        self.clock.turn_to(self.clock.now().plus_days(days));
    }

    /// An Admin, a Manager, a Member and a service user, each with a token.
    pub async fn people(&self) -> People {
        People {
            admin: self.person("Ada Admin", Role::Admin).await,
            manager: self.person("Max Manager", Role::Manager).await,
            member: self.person("Mia Member", Role::Member).await,
            service: self.service_user("Pipeline", Role::Member).await,
        }
    }

    /// A person with a token, made on the command line.
    pub async fn person(&self, name: &str, role: Role) -> Account {
        self.account(UserType::Human, name, role).await
    }

    /// A service user with a token, made on the command line.
    pub async fn service_user(&self, name: &str, role: Role) -> Account {
        self.account(UserType::Service, name, role).await
    }

    /// A browser in which this person is signed in. They chose [`PASSWORD`] with an invitation.
    ///
    /// # Panics
    /// If they can't sign in.
    pub async fn browser(&self, person: &Account) -> Client {
        let invited = users::invite_again(&self.app, &Call::command_line(), UserId(person.id)).await;
        let link = invited.expect("a person is invited");
        let path = link.strip_prefix(&self.app.config.server.public_url).expect("a link to this server");
        let fields = [("password", PASSWORD)];
        let answer = self.client.on_our_page().post_form(path, &fields).await;
        self.client.in_session(answer.expect(303))
    }

    async fn account(&self, user_type: UserType, name: &str, role: Role) -> Account {
        let email = format!("{}@example.com", name.to_lowercase().replace(' ', "."));
        let wanted = users::Wanted {
            user_type,
            name,
            email: (user_type == UserType::Human).then_some(&email),
            role,
            teams: &[],
            purpose: None,
            owner: None,
        };
        let created = users::create(&self.app, &Call::command_line(), wanted).await;
        let user = created.expect("an account is made").user;
        let (token_id, token) = self.token_of(user.id, user_type, "first", false).await;
        Account { id: user.id.0, user_id: user.user_id, token, token_id }
    }

    /// A SCIM token of an account, made on the command line.
    pub async fn scim_token(&self, account: &Account) -> (i64, Bearer) {
        let service = account.user_id.ends_with("@service");
        let user_type = if service { UserType::Service } else { UserType::Human };
        self.token_of(UserId(account.id), user_type, "scim", true).await
    }

    async fn token_of(&self, user: UserId, user_type: UserType, name: &str, scim: bool) -> (i64, Bearer) {
        let policy = self.app.config.policy;
        let wanted = tokens::Wanted {
            name,
            expires_in_days: (!policy.allow_never).then_some(policy.max_lifetime_days),
            scim_endpoints_only: scim,
            user_id: (user_type == UserType::Service).then_some(user),
        };
        let call = Call::command_line();
        let call = Call { caller: Caller { id: user, ..call.caller }, ..call };
        let made = tokens::generate(&self.app, &call, wanted).await.expect("a token is made");
        (made.token.id.0, Bearer::new(made.bearer_token.expose()))
    }
}
