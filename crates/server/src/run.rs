//! Runs an opened authority: listeners, background work, and the way down.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::alerts;
use crate::app::App;
use crate::export;
use crate::front;
use crate::listener::{self, Limits};
use crate::router;
use crate::service::audit;
use crate::service::tokens::closing;
use crate::tls::{Reloading, TlsError};
use crate::usage;

/// How often last uses are written.
const FLUSH_EVERY: Duration = Duration::from_secs(15);

/// How often last uses are written in a fleet, where other nodes show them too and nothing waits for that.
const FLEET_FLUSH_EVERY: Duration = Duration::from_secs(1);

/// How often the log is read for changes that were committed without being followed.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);

/// How often certificate and key are looked at.
const RELOAD_EVERY: Duration = Duration::from_secs(5);

/// How often rows of the request log are moved into files.
const MOVE_EVERY: Duration = Duration::from_secs(5);

/// How often the audit trail is looked at for alerts, and the outbox emptied.
const ALERT_EVERY: Duration = Duration::from_secs(3);

/// How often the audit trail is exported.
const EXPORT_EVERY: Duration = Duration::from_secs(2);

/// How often the clock is looked at for alerts.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// How often alerts that are old are removed.
const PRUNE_EVERY: Duration = Duration::from_hours(24);

/// How often quiet addresses are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// How often it is looked for tokens that close by themselves.
const CLOSE_EVERY: Duration = Duration::from_secs(60);

/// How often it is looked for tokens that nobody uses.
const REVOKE_UNUSED_EVERY: Duration = Duration::from_hours(1);

/// How often the audit trail is verified.
const VERIFY_EVERY: Duration = Duration::from_hours(24);

/// Why it can't listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody else has the address, or it isn't ours.
    #[error("cannot listen on {address}: {cause}")]
    Address {
        /// The configured address.
        address: SocketAddr,
        /// Why.
        cause: std::io::Error,
    },
    /// Certificate or key can't be used.
    #[error("server.tls: {0}")]
    Tls(#[from] TlsError),
}

/// Listening, but not yet answering.
pub struct Bound {
    app: Arc<App>,
    /// The runtime that it was bound on.
    front: Handle,
    main: TcpListener,
    metrics: Option<TcpListener>,
    tls: Option<Reloading>,
}

impl Bound {
    /// Takes the addresses and reads certificate and key.
    pub async fn bind(app: Arc<App>) -> Result<Self, ListenError> {
        let main = listen(app.config.server.listen).await?;
        let metrics = match app.config.server.metrics_listen {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        Ok(Self { metrics, ..Self::on(app, main)? })
    }

    /// Takes over an address that is listened on already; without metrics.
    pub fn on(app: Arc<App>, main: TcpListener) -> Result<Self, ListenError> {
        let tls = app.config.server.tls.as_ref();
        let tls = tls.map(|tls| Reloading::open(tls.cert.clone(), tls.key.clone())).transpose()?;
        Ok(Self { app, front: Handle::current(), main, metrics: None, tls })
    }

    /// The address that is listened on; tells the port where the configured one was 0.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.main.local_addr()
    }

    /// The address of `/metrics`, if there is one.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref()?.local_addr().ok()
    }

    /// Answers until `shutdown`, then ends what is under way, writes what is pending, and returns. Connections
    /// and checks are served on the runtime that this was bound on, all else on the one that calls.
    pub async fn serve(self, shutdown: CancellationToken) {
        let Self { app, front, main, metrics, tls } = self;
        let served = CancellationToken::new();
        alerts::delivery::begin(&app).await;
        let mut tasks = Background::begin(&app, &shutdown);
        if app.fleet.is_some() {
            tasks.spawn(be_part_of_fleet(Arc::clone(&app), shutdown.clone(), served.clone()));
        }
        if let Some(tls) = &tls {
            tasks.spawn(tls.clone().follow(RELOAD_EVERY, shutdown.clone()));
        }
        if let Some(metrics) = metrics {
            let router = listener::routed(router::metrics_router(Arc::clone(&app)));
            tasks.spawn(listener::serve(metrics, None, router, Limits::default(), shutdown.clone()));
        }
        let answer = front::answer(Arc::clone(&app), Handle::current());
        let serving = front.spawn(listener::serve(main, tls, answer, Limits::default(), shutdown.clone()));
        if let Err(error) = serving.await {
            tracing::error!(%error, "the listener ended early");
        }
        shutdown.cancel();
        served.cancel();
        // At once, whatever the work in the background still has to end.
        flush(Arc::clone(&app)).await;
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "background work ended early");
            }
        }
        flush(Arc::clone(&app)).await;
        if let Some(log) = &app.requests {
            log.close().await;
        }
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|cause| ListenError::Address { address, cause })
}

/// What goes on beside the answers.
struct Background {
    app: Arc<App>,
    shutdown: CancellationToken,
    tasks: JoinSet<()>,
}

impl Background {
    /// Begins all of it.
    fn begin(app: &Arc<App>, shutdown: &CancellationToken) -> JoinSet<()> {
        let mut work = Self { app: Arc::clone(app), shutdown: shutdown.clone(), tasks: JoinSet::new() };
        if app.fleet.is_some() {
            work.every(FLEET_FLUSH_EVERY, "uses", flush);
        } else {
            work.every(FLUSH_EVERY, "uses", flush);
            work.every(FOLLOW_EVERY, "follow", follow);
        }
        work.every(FORGET_EVERY, "limits", forget);
        work.every(MOVE_EVERY, "request_log", move_requests);
        // While no server was there, nobody could use a token: that is no silence.
        let grace = app.config.policy.grace_after_start;
        work.after(grace, CLOSE_EVERY, "closing", close_the_quiet);
        work.after(grace, REVOKE_UNUSED_EVERY, "unused", revoke_the_unused);
        work.every(ALERT_EVERY, "alerts_trail", alerts::trail::work);
        work.every(SWEEP_EVERY, "alerts_clock", alerts::sweep::work);
        for number in 0..app.alerts.channels.len() {
            let name = format!("alerts_to_{}", app.alerts.channels[number].name);
            work.every(ALERT_EVERY, name, move |app| alerts::delivery::work(app, number));
        }
        work.every(SWEEP_EVERY, "alerts_without_channel", alerts::delivery::work_for_missing_channels);
        work.every(PRUNE_EVERY, "alerts_prune", alerts::prune::work);
        for number in 0..app.exports.len() {
            let name = format!("export_to_{}", app.exports[number].name());
            work.every(EXPORT_EVERY, name, move |app| export::work(app, number));
        }
        work.every(VERIFY_EVERY, "verify", verify);
        work.tasks
    }

    /// Does `work` now and again and again until the server ends, and counts how often it was done.
    fn every<W: Future<Output = ()> + Send + 'static>(
        &mut self,
        pause: Duration,
        name: impl Into<String>,
        work: impl Fn(Arc<App>) -> W + Send + 'static,
    ) {
        self.after(Duration::ZERO, pause, name, work);
    }

    /// The same, for the first time after a while.
    fn after<W: Future<Output = ()> + Send + 'static>(
        &mut self,
        first: Duration,
        pause: Duration,
        name: impl Into<String>,
        work: impl Fn(Arc<App>) -> W + Send + 'static,
    ) {
        let (app, shutdown, done) =
            (Arc::clone(&self.app), self.shutdown.clone(), self.app.metrics.rounds(name.into()));
        self.tasks.spawn(async move {
            let mut wait = first;
            while wait.is_zero() || shutdown.run_until_cancelled(tokio::time::sleep(wait)).await.is_some() {
                work(Arc::clone(&app)).await;
                done.inc();
                wait = pause;
            }
        });
    }
}

/// Keeps this node in its fleet until all requests are `served`. If it can't stay, the whole server ends.
async fn be_part_of_fleet(app: Arc<App>, shutdown: CancellationToken, served: CancellationToken) {
    let Some(fleet) = &app.fleet else { return };
    let work = Box::pin(fleet.run(&app.feed, &app.clock, &app.metrics));
    if let Some(lost) = served.run_until_cancelled(work).await {
        tracing::error!(error = %lost, "this server has to stop");
        shutdown.cancel();
        served.cancelled().await;
    }
    // At once, whatever else is still under way: nobody shall wait for this node.
    fleet.leave().await;
}

async fn flush(app: Arc<App>) {
    if let Err(error) = usage::flush(app.feed.index(), &app.store).await {
        tracing::warn!(%error, "last uses could not be written; trying again");
    }
    if let Err(error) = app.dead_tokens.flush(&app.store, &app.alerts.routes).await {
        tracing::warn!(%error, "attempts with dead tokens could not be written; trying again");
    }
    alerts::checks::work(app).await;
}

async fn forget(app: Arc<App>) {
    app.limits.forget_the_quiet(app.clock.now());
    app.alerts.failures.forget_the_quiet(app.clock.now());
}

async fn follow(app: Arc<App>) {
    if let Err(error) = app.feed.follow_all().await {
        app.metrics.feed_failure();
        tracing::warn!(%error, "the log of changes could not be followed; trying again");
    }
}

async fn move_requests(app: Arc<App>) {
    if let Some(log) = &app.requests
        && let Err(error) = log.maintain().await
    {
        tracing::warn!(%error, "requests could not be moved into files; trying again");
    }
}

async fn close_the_quiet(app: Arc<App>) {
    if let Err(error) = closing::close_the_quiet(&app).await {
        tracing::warn!(%error, "quiet tokens could not be closed; trying again");
    }
}

async fn revoke_the_unused(app: Arc<App>) {
    if let Err(error) = closing::revoke_the_unused(&app).await {
        tracing::warn!(%error, "unused tokens could not be revoked; trying again");
    }
}

async fn verify(app: Arc<App>) {
    if let Err(error) = audit::verify(&app).await {
        tracing::warn!(%error, "the audit trail could not be verified; trying again tomorrow");
    }
}
