//! Alerts on what the clock brings about, and on what the server knows of itself.
//!
//! How far tokens have been looked at is kept as an instant. Each sweep looks at those that have reached a step
//! since, which an index finds, so it costs what it finds. The index knows of uses what was folded, so that comes first.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokenhouse_core::clock::Timestamp;
use tokenhouse_store::alerts::{NewAlert, Outbox};
use tokenhouse_store::due::{self, After, later_than};
use tokenhouse_store::tokens::Token;
use tokenhouse_store::{Error, positions};

use super::rules;
use crate::app::App;
use crate::service::tokens::closing::idle_since;
use crate::service::tokens::with_latest_use;
use crate::usage;

/// The positions' names.
const EXPIRING: &str = "alerts.expiring";
const UNUSED: &str = "alerts.unused";

/// Days before the expiry, and those of the step after it.
const STEPS: [(i64, i64); 3] = [(30, 7), (7, 1), (1, 0)];

/// Tokens that are told of in one transaction, and in one alert.
const PAGE: i64 = 2_000;

/// Looks at everything once.
pub async fn work(app: Arc<App>) {
    if let Err(error) = sweep(&app).await {
        tracing::warn!(%error, "alerts that the clock brings have to wait; trying again");
    }
}

/// Looks at everything once, at the present instant.
pub async fn sweep(app: &App) -> Result<(), Error> {
    let now = app.clock.now();
    let is_folded = usage::fold(app).await?;
    expiring(app, now).await?;
    if is_folded {
        // Else one whose newest use isn't in its row yet would be passed over, and never be looked at again.
        unused(app, now).await?;
    }
    let mut alerts: Vec<NewAlert> = silent(app, now).await?;
    let trouble = app.requests.as_ref().and_then(|log| log.state().trouble);
    alerts.extend(trouble.map(|trouble| rules::log_failing(now, &trouble)));
    let broken = app.verification.last().and_then(|verified| verified.outcome.err());
    alerts.extend(broken.map(|broken| rules::trail_broken(now, &broken.to_string())));
    tell(app, alerts).await
}

/// Tokens that expire in 30, 7 or 1 days; where several steps were missed, only the last one is told.
async fn expiring(app: &App, now: Timestamp) -> Result<(), Error> {
    let Some(before) = begun(app, EXPIRING, now).await? else { return Ok(()) };
    for (days, next) in STEPS {
        let (from, until) = (before.plus_days(days).max(now.plus_days(next)), now.plus_days(days));
        let mut after = later_than(from);
        while after.0 < until {
            let mut reader = app.store.read().await?;
            let page = due::expiring(&mut reader, after, until, (days, now), PAGE).await?;
            drop(reader);
            let tokens: Vec<&Token> = page.iter().collect();
            tell_of(app, now, &tokens, |tokens| rules::expiring(now, tokens, days)).await?;
            let Some(next) = next_page(&page, |token| token.expires_at) else { break };
            after = next;
        }
    }
    advance(app, EXPIRING, before, now).await
}

/// Tokens that nobody has used for so many days.
async fn unused(app: &App, now: Timestamp) -> Result<(), Error> {
    let days = app.config.alerts.unused_days.get();
    let until = now.plus_days(-i64::from(days));
    let Some(before) = begun(app, UNUSED, until).await? else { return Ok(()) };
    let mut after = later_than(before);
    while after.0 < until {
        let mut reader = app.store.read().await?;
        let page = due::unused(&mut reader, after, until, now, PAGE).await?;
        drop(reader);
        let next = next_page(&page, |token| Some(idle_since(token)));
        let unused: Vec<Token> = still_idle(app, page, until).filter(|token| token.owner.active).collect();
        let unused: Vec<&Token> = unused.iter().collect();
        tell_of(app, now, &unused, |tokens| rules::unused(now, tokens, days)).await?;
        let Some(next) = next else { break };
        after = next;
    }
    advance(app, UNUSED, before, until).await
}

/// SCIM tokens whose directory has stopped.
async fn silent(app: &App, now: Timestamp) -> Result<Vec<NewAlert>, Error> {
    let silence = i64::try_from(app.config.alerts.scim_silence.as_micros()).unwrap_or(i64::MAX);
    let until = Timestamp::from_micros(now.micros().saturating_sub(silence));
    let found = due::silent(&mut *app.store.read().await?, until, now).await?;
    Ok(still_idle(app, found, until).map(|token| rules::silent(now, &token)).collect())
}

/// Those that nobody has used after this instant, with their last uses of the last seconds, which are in memory only.
fn still_idle(app: &App, mut tokens: Vec<Token>, at: Timestamp) -> impl Iterator<Item = Token> {
    for token in &mut tokens {
        with_latest_use(app, token);
    }
    tokens.into_iter().filter(move |token| idle_since(token) <= at)
}

/// How far tokens have been looked at; `None` if there is nothing to look at. Who has never looked begins here: what
/// lies before is not told all at once.
async fn begun(app: &App, position: &str, until: Timestamp) -> Result<Option<Timestamp>, Error> {
    let before = positions::find(&mut *app.store.read().await?, position).await?;
    let Some(before) = before.map(Timestamp::from_micros) else {
        let mut outbox = Outbox::begin(&app.store, &app.alerts.routes).await?;
        outbox.advance(position, None, until.micros()).await?;
        outbox.commit().await?;
        return Ok(None);
    };
    Ok((before < until).then_some(before))
}

async fn advance(app: &App, position: &str, from: Timestamp, to: Timestamp) -> Result<(), Error> {
    let mut outbox = Outbox::begin(&app.store, &app.alerts.routes).await?;
    // If another server was faster, it has told the same.
    outbox.advance(position, Some(from.micros()), to.micros()).await?;
    outbox.commit().await
}

async fn tell(app: &App, alerts: Vec<NewAlert>) -> Result<(), Error> {
    if alerts.is_empty() {
        return Ok(());
    }
    let mut outbox = Outbox::begin(&app.store, &app.alerts.routes).await?;
    for alert in &alerts {
        outbox.tell(alert).await?;
    }
    outbox.commit().await
}

/// Tells of tokens, each once: several of one recipient in one alert.
async fn tell_of(
    app: &App,
    now: Timestamp,
    tokens: &[&Token],
    alert: impl Fn(&[&Token]) -> NewAlert,
) -> Result<(), Error> {
    if tokens.is_empty() {
        return Ok(());
    }
    let of_one: Vec<NewAlert> = tokens.iter().map(|token| alert(&[token])).collect();
    let subjects: Vec<&str> = of_one.iter().map(|alert| &*alert.subject).collect();
    let mut outbox = Outbox::begin(&app.store, &app.alerts.routes).await?;
    let new = outbox.note(&subjects, now).await?;
    let mut of_recipients = BTreeMap::<_, Vec<&Token>>::new();
    for (one, token) in of_one.iter().zip(tokens).filter(|(one, _)| new.contains(&one.subject)) {
        of_recipients.entry(one.recipient).or_default().push(token);
    }
    for tokens in of_recipients.values() {
        outbox.put(&alert(tokens)).await?;
    }
    outbox.commit().await
}

/// Where the next page begins, if this one is full.
fn next_page(page: &[Token], at: impl Fn(&Token) -> Option<Timestamp>) -> Option<After> {
    let is_full = i64::try_from(page.len()).is_ok_and(|length| length == PAGE);
    page.last().filter(|_| is_full).and_then(|last| Some((at(last)?, last.id)))
}
