//! What every request shares.

use std::net::IpAddr;
use std::sync::Arc;

use tokenhouse_core::clock::{Clock, Timestamp, Uptime};
use tokenhouse_core::codec::{Codec, Genuine};
use tokenhouse_core::id::{SessionId, UserId};
use tokenhouse_core::index::Use;
use tokenhouse_core::keys::MasterKey;
use tokenhouse_core::people::Role;
use tokenhouse_core::random::{NoRandomness, Random};
use tokenhouse_core::rules::Rules;
use tokenhouse_core::token::TokenHash;
use tokenhouse_core::verdict::{self, Accepted, Checkpoint, Reason, Refused, Scope};
use tokenhouse_requests::Log;
use tokenhouse_store::{Store, Writer, sessions, users};

use crate::alerts::{Alerts, ChannelError};
use crate::auth::guard::{Call, Credential, RequestNumbers};
use crate::auth::password::Passwords;
use crate::config::Config;
use crate::error::Error;
use crate::export::Export;
use crate::feed::Feed;
use crate::fleet::fence::Receipt;
use crate::fleet::{Fleet, FleetError};
use crate::github_keys::GithubKeys;
use crate::knocks::DeadTokens;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::outbound::Outbound;
use crate::proxy::Proxy;
use crate::service::audit::Verification;
use crate::service::tokens::views::ServiceTokens;
use crate::verify::assertion::Assertion;

/// The authority: everything that outlives a request.
pub struct App {
    /// What was configured.
    pub config: Config,
    /// Tells the time.
    pub clock: Clock,
    /// Makes what must not be guessed.
    pub random: Random,
    /// Numbers requests.
    pub request_numbers: RequestNumbers,
    /// Numbers assertions.
    pub assertion_ids: Random,
    /// Attempts with dead tokens.
    pub dead_tokens: DeadTokens,
    /// The channels by which people are told what needs attention.
    pub alerts: Alerts,
    /// Where the audit trail is sent.
    pub exports: Vec<Export>,
    /// What is kept of requests, if it is.
    pub requests: Option<Log>,
    /// The master key, for one-time codes, sessions and questions.
    pub master: MasterKey,
    /// Makes and recognizes tokens.
    pub codec: Codec,
    /// What is kept.
    pub store: Store,
    /// Fills the index and follows the log.
    pub feed: Arc<Feed>,
    /// This server's part in a fleet, where the store can have one.
    pub fleet: Option<Fleet>,
    /// What this server is called.
    pub node: String,
    /// Attempts per address.
    pub limits: Limits,
    /// What became of the last verification of the audit trail.
    pub verification: Verification,
    /// How many service tokens there are.
    pub service_tokens: ServiceTokens,
    /// Hashes passwords, a few at a time.
    pub passwords: Passwords,
    /// What is counted.
    pub metrics: Metrics,
    /// Which role which request needs.
    pub rules: Rules,
    /// The way to the upstream, if there is one.
    pub proxy: Option<Proxy>,
    /// Signs what the upstream is told.
    pub assertion: Assertion,
    /// With which GitHub signs what leaked, if that is taken.
    pub github_keys: Option<GithubKeys>,
}

/// Why the authority can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store can't be opened or read.
    #[error(transparent)]
    Store(#[from] tokenhouse_store::Error),
    /// It can't be part of the fleet.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// There is no master key.
    #[error(transparent)]
    MasterKey(#[from] crate::master_key::MasterKeyError),
    /// The upstream can't be used.
    #[error("gateway.upstream: {0}")]
    Proxy(#[from] crate::proxy::ProxyConfigError),
    /// The channels of alerts can't be used.
    #[error("alerts: {0}")]
    Alerts(#[from] ChannelError),
    /// GitHub's keys can't be asked for.
    #[error("leaks.github: {0}")]
    GithubKeys(#[source] reqwest::Error),
    /// Requests can't be recorded.
    #[error("request_log: {0}")]
    RequestLog(tokenhouse_requests::Error),
    /// Requests can't be numbered.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

impl App {
    /// Opens the store, checks that the master key is its own, and loads the index.
    pub async fn open(
        config: Config,
        master_key: Option<zeroize::Zeroizing<String>>,
        clock: Clock,
        random: Random,
    ) -> Result<Arc<Self>, StartError> {
        let exists = Store::exists(&config.store.url.0).await?;
        let master = crate::master_key::find(&config, master_key, exists, &random)?;
        let store = Store::open(&config.store.url.0, &master, clock.now()).await?;
        let feed = Arc::new(Feed::load(store.clone()).await?);
        let proxy = config.gateway.upstream.clone().map(|upstream| {
            Proxy::new(crate::proxy::Options {
                upstream,
                timeout: config.gateway.timeout,
                forward_authorization: config.gateway.forward_authorization,
            })
        });
        let metrics = Metrics::default();
        let outbound = Outbound::default();
        let alerts = Alerts::new(&config.alerts, &outbound)?;
        let exports = Export::all(&config.audit_export, &outbound).map_err(ChannelError::Http)?;
        let node = config.node_name();
        let requests = match config.request_log(&node) {
            Some(options) => Some(Log::open(options, clock.clone()).await.map_err(StartError::RequestLog)?),
            None => None,
        };
        let github = Some(&config.leaks.github).filter(|github| github.enabled);
        let github_keys = github.map(|github| GithubKeys::new(github, &outbound)).transpose();
        let github_keys = github_keys.map_err(StartError::GithubKeys)?;
        let skew = config.fleet.max_clock_skew;
        let fleet = store.has_fleet().then(|| Fleet::new(store.clone(), node.clone(), skew, &random));
        Ok(Arc::new(Self {
            codec: Codec::new(&master, &config.server.public_url),
            assertion: Assertion::new(&master, &config),
            limits: Limits::new(config.limits),
            verification: Verification::default(),
            service_tokens: ServiceTokens::default(),
            passwords: Passwords::new(metrics.passwords()),
            rules: config.gateway.rules(),
            proxy: proxy.transpose()?,
            metrics,
            fleet: fleet.transpose()?,
            node,
            request_numbers: RequestNumbers::new(&random)?,
            assertion_ids: random.fork()?,
            dead_tokens: DeadTokens::default(),
            alerts,
            exports,
            github_keys,
            requests,
            config,
            clock,
            random,
            master,
            store,
            feed,
        }))
    }

    /// Becomes part of the fleet, if the store can have one. No check is answered before.
    pub async fn join(&self) -> Result<(), StartError> {
        if let Some(fleet) = &self.fleet {
            fleet.join(&self.feed, &self.clock).await?;
        }
        Ok(())
    }

    /// Whether what this node knows can be relied on for checks at this moment.
    pub fn is_fresh(&self) -> bool {
        cfg!(feature = "unleased") || self.fleet.as_ref().is_none_or(|fleet| fleet.lease().holds())
    }

    /// Checks a bearer token by the one rule, counts it, and notes the use if it is good.
    pub fn check(&self, at: Checkpoint, bearer: &[u8], used: Use) -> Result<Accepted, Denied> {
        self.check_genuine(at, bearer, used).map(|(accepted, _)| accepted)
    }

    /// A use of a token at this moment.
    pub fn used_from(&self, ip: IpAddr) -> Use {
        Use { at: self.clock.now(), ip }
    }

    /// The same, also for whoever reads what is written in the token.
    pub fn check_genuine<'a>(
        &self,
        at: Checkpoint,
        bearer: &'a [u8],
        used: Use,
    ) -> Result<(Accepted, Genuine<'a>), Denied> {
        // Before the index is looked at: what was in effect everywhere by now, it shows.
        if !self.is_fresh() {
            self.metrics.stale_check();
            return Err(Denied::Stale);
        }
        let checked = verdict::check_genuine(&self.codec, self.feed.index(), bearer, at.scope(), used);
        self.metrics.check(at, checked.as_ref().err().map(|refused| refused.reason));
        checked.map_err(|refused| {
            self.dead_tokens.refused(&refused, used);
            if !matches!(refused.reason, Reason::Forbidden | Reason::ScimOnly) {
                self.alerts.failures.failed(used);
            }
            Denied::Refused(refused)
        })
    }

    /// Begins a change; it waits for its turn. The caller's right is looked at again inside the
    /// transaction: between the check of the request and its turn the token may have been revoked or
    /// the session ended, and whoever stole one must not outlive it by a change that was waiting.
    pub async fn begin(&self, call: &Call) -> Result<Writer, Error> {
        let mut writer = self.begin_unchecked().await?;
        let role = match call.credential {
            Credential::Token(_, hash) | Credential::Scim(_, hash) => {
                self.role_by_token(&hash, writer.now())?
            }
            Credential::Session(id) => role_in_session(&mut writer, call.caller.id, id).await?,
            Credential::Nothing | Credential::CommandLine | Credential::System => return Ok(writer),
        };
        if role < call.caller.role {
            return Err(Error::Forbidden("your role has just been lowered".into()));
        }
        Ok(writer)
    }

    /// The role that a token gives at this moment. The index shows what was committed before this transaction.
    fn role_by_token(&self, hash: &TokenHash, now: Timestamp) -> Result<Role, Error> {
        let refused = |reason| Error::Unauthenticated(Some(reason));
        let role = self.feed.index().find(hash, |found| {
            match verdict::verdict(&found.token, &found.owner.state, Scope::Any, now) {
                Some(reason) => Err(refused(reason)),
                None => Ok(found.owner.state.role),
            }
        });
        role.unwrap_or_else(|| Err(refused(Reason::Unknown)))
    }

    /// Begins a change that needs no caller.
    ///
    /// Waits until the index shows what was committed before: whoever finds here that there is nothing
    /// left to do (revoked already, gone already) may say so at once, and it is in effect.
    pub async fn begin_unchecked(&self) -> Result<Writer, Error> {
        if !self.is_fresh() {
            // Whoever has not followed for long catches up before others have to wait for them.
            self.feed.follow_all().await?;
        }
        let writer = self.store.begin(&self.clock).await?;
        // Nobody else commits during a turn. What the index says of the caller is so only if it shows this very
        // history.
        self.feed.follow_to(writer.head()).await?;
        Ok(writer)
    }

    /// Commits a change and returns when the index shows it, so that no check that starts after the
    /// answer can go by the old state, and when it is on disk. On other nodes it is in effect after
    /// [`Self::settle`]. Gives the number of the newest record.
    ///
    /// Runs on when the caller goes away: a change that is committed but not in the index would let a
    /// revoked token pass.
    pub async fn commit(&self, writer: Writer) -> Result<i64, Error> {
        let (feed, store) = (Arc::clone(&self.feed), self.store.clone());
        let committed = tokio::spawn(async move {
            let written = writer.commit().await?;
            let seq = written.head().seq;
            // The turn to write lasts until the change is shown, so changes are shown one after the other.
            feed.show(written).await?;
            store.settle().await?;
            Ok::<_, tokenhouse_store::Error>(seq)
        });
        Ok(committed.await.map_err(Error::internal)??)
    }

    /// Returns when whatever this node has seen is on disk, and when `everywhere` also in effect on every node
    /// as far as it may have taken access away. Then somebody may be told of it.
    pub async fn settle(&self, everywhere: bool) -> Result<(), Error> {
        self.store.settle().await?;
        let (narrowed, committed) = self.feed.narrowed();
        if let Some(fleet) = self.fleet.as_ref().filter(|fleet| everywhere && !fleet.is_fenced(narrowed)) {
            fleet.fence(narrowed, committed, &self.metrics).await;
        }
        Ok(())
    }

    /// Waits until the change with this number is in effect on every node and tells how that was found.
    pub async fn receipt(&self, seq: i64) -> Receipt {
        let Some(fleet) = &self.fleet else { return Receipt::of_one(seq, &self.node) };
        let (narrowed, committed) = self.feed.narrowed();
        let committed = if narrowed == seq { committed } else { Uptime::now() };
        fleet.fence(seq, committed, &self.metrics).await
    }
}

/// Why a bearer token wasn't accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Denied {
    /// It is not good, or not for this.
    Refused(Refused),
    /// This node can't tell: it may not know of what other nodes have answered.
    Stale,
}

/// The role of a person who is still signed in at this moment.
async fn role_in_session(writer: &mut Writer, user: UserId, id: SessionId) -> Result<Role, Error> {
    let now = writer.now();
    let is_there = sessions::of_user(writer, user, now).await?.iter().any(|session| session.id == id);
    let owners = users::states(writer, &[user]).await?;
    let active = owners.first().filter(|owner| is_there && owner.active);
    active.map(|owner| owner.role).ok_or(Error::SignedOut)
}
