//! Export of the audit trail to whoever keeps such things (a SIEM), record by record as they are committed.
//!
//! How far an export has come is kept in the store, under its name. Its position moves on after the target has
//! taken the records, so none is lost; where the target knows by itself what it has (the file by its last line, a webhook
//! by the number of a message), none is doubled either. In a fleet one server exports at a time.

mod file;
mod ocsf;
mod syslog;

use std::io;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokenhouse_core::clock::Timestamp;
use tokenhouse_store::audit::{self, StoredRecord};
use tokenhouse_store::positions;

use crate::alerts::{Failure, webhook};
use crate::api::activity::Activity;
use crate::app::App;
use crate::config::export::{AuditExport, Format, Target};
use crate::outbound::Outbound;

/// Records that are sent together.
const PAGE: i64 = 200;

/// For how long one server of a fleet has an export for itself.
const CLAIM_SECONDS: i64 = 60;

/// The longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// One of the exports.
#[derive(Debug)]
pub struct Export {
    /// As it is configured.
    config: AuditExport,
    /// Posts, where that is needed.
    client: Option<reqwest::Client>,
    /// How many records it is behind, as far as this server knows.
    behind: AtomicI64,
    waiting: Mutex<Waiting>,
}

/// After failures.
#[derive(Clone, Copy, Default, Debug)]
struct Waiting {
    failures: u32,
    until: Option<Timestamp>,
}

/// Why nothing could be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store can't be read.
    #[error(transparent)]
    Store(#[from] tokenhouse_store::Error),
    /// The file or the connection fails.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The webhook didn't take it.
    #[error(transparent)]
    Webhook(#[from] Failure),
    /// The connection can't be encrypted.
    #[error("TLS: {0}")]
    Tls(String),
    /// The name of the export can't be part of a header.
    #[error("the name of the export can't be sent")]
    Name(#[from] http::header::InvalidHeaderValue),
}

impl Export {
    /// Those that are configured.
    pub fn all(configured: &[AuditExport], outbound: &Outbound) -> Result<Vec<Self>, reqwest::Error> {
        let one = |config: &AuditExport| {
            let posts = matches!(config.to, Target::Webhook { .. });
            let client = posts.then(|| outbound.client()).transpose()?;
            let (behind, waiting) = (AtomicI64::new(0), Mutex::default());
            Ok(Self { config: config.clone(), client, behind, waiting })
        };
        configured.iter().map(one).collect()
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// How many records it is behind, as far as this server knows.
    pub fn behind(&self) -> i64 {
        self.behind.load(Ordering::Relaxed)
    }

    fn position(&self) -> String {
        format!("export.{}", self.config.name)
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The form in which a record leaves, in one line.
    fn line(&self, stored: StoredRecord) -> String {
        match self.config.format {
            // Numbers, texts and what was JSON before always have a JSON form.
            Format::Json => serde_json::to_string(&Activity::from(stored)).unwrap_or_default(),
            Format::Ocsf => ocsf::event(&stored).to_string(),
        }
    }
}

/// Sends what one export hasn't yet, unless it has failed a short time ago.
pub async fn work(app: Arc<App>, number: usize) {
    let Some(export) = app.exports.get(number) else { return };
    let now = app.clock.now();
    if export.waiting().until.is_some_and(|until| now < until) {
        return;
    }
    let done = run(&app, export).await;
    let mut waiting = export.waiting();
    let Err(error) = done else {
        *waiting = Waiting::default();
        return;
    };
    waiting.failures = waiting.failures.saturating_add(1);
    let pause = Duration::from_secs(1).saturating_mul(1 << waiting.failures.min(6)).min(LONGEST_PAUSE);
    waiting.until = Some(now.plus_seconds(i64::try_from(pause.as_secs()).unwrap_or(i64::MAX)));
    tracing::warn!(export = export.name(), %error, "the audit trail could not be exported; trying again");
}

/// Sends whatever it hasn't yet. Where it fails, another server of the fleet may have more luck at once.
pub async fn run(app: &App, export: &Export) -> Result<(), ExportError> {
    let sent = send_all(app, export).await;
    if sent.is_err()
        && let Err(error) = positions::release(&app.store, &export.position(), &app.node).await
    {
        tracing::warn!(export = export.name(), %error, "another server can take over in a minute only");
    }
    sent
}

async fn send_all(app: &App, export: &Export) -> Result<(), ExportError> {
    let position = export.position();
    loop {
        let mut reader = app.store.read().await?;
        let (head, _) = audit::head(&mut reader).await?;
        let known = positions::find(&mut reader, &position).await?.unwrap_or_default();
        drop(reader);
        export.behind.store((head.seq - known).max(0), Ordering::Relaxed);
        if head.seq <= known {
            return Ok(());
        }
        let claim = (app.clock.now(), claim_end(app));
        let Some(at) = positions::claim(&app.store, &position, &app.node, claim, 0).await? else {
            // Another server does.
            return Ok(());
        };
        let at = if let Target::File(path) = &export.config.to {
            // Written, but not noted before the process ended.
            let last = file::last(path.clone(), export.config.format).await?;
            if last > head.seq {
                let text = "the file has more records than the audit trail: is it that of another store?";
                return Err(io::Error::new(io::ErrorKind::InvalidData, text).into());
            }
            at.max(last)
        } else {
            at
        };
        let records = audit::after(&mut *app.store.read().await?, at, PAGE).await?;
        // Nobody is told of what a loss of power might undo.
        app.store.settle().await?;
        let Some(last) = records.last().map(|stored| stored.record.seq) else { return Ok(()) };
        send(app, export, at, records).await?;
        if !move_on(app, export, last).await? {
            return Ok(());
        }
    }
}

fn claim_end(app: &App) -> Timestamp {
    app.clock.now().plus_seconds(CLAIM_SECONDS)
}

/// Notes that everything up to this number was taken, and keeps the claim. `false` if another server has it now.
async fn move_on(app: &App, export: &Export, to: i64) -> Result<bool, ExportError> {
    Ok(positions::move_on(&app.store, &export.position(), &app.node, (to, claim_end(app))).await?)
}

/// Sends the records after `at`.
async fn send(app: &App, export: &Export, at: i64, records: Vec<StoredRecord>) -> Result<(), ExportError> {
    match &export.config.to {
        Target::File(path) => {
            let lines = records.into_iter().map(|stored| export.line(stored) + "\n").collect();
            file::append(path.clone(), lines).await?;
        }
        Target::Syslog(to) => {
            let messages = records.into_iter().map(|stored| {
                let (at, action) = (stored.record.at, stored.record.action.clone());
                syslog::message(&app.node, at, &action, &export.line(stored))
            });
            syslog::send(to, messages.collect()).await?;
        }
        Target::Webhook { url, secret } => {
            let client =
                export.client.as_ref().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))?;
            let mut at = at;
            for stored in records {
                // What was taken before is not sent again, and nobody else begins to send however slow the receiver is.
                if !move_on(app, export, at).await? {
                    return Ok(());
                }
                at = stored.record.seq;
                let (id, body) = (format!("{}-{at}", export.name()), export.line(stored));
                let headers = webhook::signed(&secret.0, &id, app.clock.now(), &body)?;
                webhook::post(client, &url.0, headers, body).await?;
            }
        }
    }
    Ok(())
}
