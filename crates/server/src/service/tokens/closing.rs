//! Tokens that are revoked by themselves: an old one once it is quiet after a rotation, and by policy those that
//! nobody uses.
//!
//! What is revoked here was not used, so each is closed in the index, by whoever notes its uses, before the
//! revoke is written: no use slips in between. Other servers of a fleet tell their uses every second; one of
//! the last second or two may not be known yet.

use tokenhouse_core::audit::Action;
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::TokenId;
use tokenhouse_core::index::Use;
use tokenhouse_core::policies::{IDLE_NOTICE_DAYS, Policies};
use tokenhouse_core::token::Status;
use tokenhouse_store::Writer;
use tokenhouse_store::due::{self, later_than};
use tokenhouse_store::successors::{self, Closing};
use tokenhouse_store::tokens::{self, Token};

use super::{find, status, with_latest_use};
use crate::app::App;
use crate::auth::guard::Call;
use crate::error::{Error, Fields};
use crate::service::{Changes, policies};

/// How many tokens are looked at at once, and changed in one transaction at most.
const BATCH: i64 = 100;

/// The most hours that a token may have to be quiet.
const HOURS_LIMIT: i64 = 90 * 24;

/// The most days until whoever waits is warned.
const DEADLINE_LIMIT: i64 = 365;

/// That an old token is to close by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WantedClosing {
    /// Once nobody has used it for so many hours.
    pub hours: i64,
    /// In so many days it is a finding if it is still used. It stays good.
    pub deadline_days: Option<i64>,
}

impl WantedClosing {
    /// Checks the numbers, as fields of `close_when_quiet`.
    pub(super) fn check(self, fields: &mut Fields) {
        if !(1..=HOURS_LIMIT).contains(&self.hours) {
            fields.wrong("close_when_quiet.hours", &format!("must be between 1 and {HOURS_LIMIT}"));
        }
        if self.deadline_days.is_some_and(|days| !(1..=DEADLINE_LIMIT).contains(&days)) {
            let message = format!("must be between 1 and {DEADLINE_LIMIT}, or absent");
            fields.wrong("close_when_quiet.deadline_days", &message);
        }
    }

    pub(super) const fn from(self, now: Timestamp) -> Closing {
        let deadline = match self.deadline_days {
            Some(days) => Some(now.plus_days(days)),
            None => None,
        };
        Closing { after_hours: self.hours, deadline, since: now }
    }
}

/// Settles that a token with a successor closes by itself once it is quiet, or that it doesn't.
pub async fn close_when_quiet(
    app: &App,
    call: &Call,
    id: TokenId,
    wanted: Option<WantedClosing>,
) -> Result<Token, Error> {
    let mut fields = Fields::default();
    if let Some(wanted) = wanted {
        wanted.check(&mut fields);
    }
    fields.finish()?;
    let mut writer = app.begin(call).await?;
    let token = find(&mut writer, call, id).await?;
    let now = writer.now();
    if wanted.is_some() && !successors::has_live_successor(&mut writer, id, now).await? {
        return Err(Error::Conflict("the token has no active successor; rotate it first".into()));
    }
    if wanted.is_some() && status(&token, now) != Status::Active {
        return Err(Error::Conflict("the token does not work any more".into()));
    }
    if settle(&mut writer, call, &token, wanted.map(|wanted| wanted.from(now))).await? {
        app.commit(writer).await?;
    }
    super::one(app, call, id).await
}

/// The same in a transaction that goes on. Tells whether anything changed.
pub(super) async fn settle(
    writer: &mut Writer,
    call: &Call,
    token: &Token,
    after: Option<Closing>,
) -> Result<bool, Error> {
    let hours = |closing: Option<Closing>| closing.map(|closing| closing.after_hours);
    let deadline = |closing: Option<Closing>| closing.and_then(|closing| closing.deadline);
    let before = token.closing;
    let changes = Changes::default().note("close_when_quiet_hours", hours(before), hours(after)).note(
        "close_deadline",
        deadline(before),
        deadline(after),
    );
    if changes.is_empty() {
        return Ok(false);
    }
    successors::set_closing(writer, token.id, after).await?;
    writer.record(call.draft(Action::TokenRotationPlanned, token.id.0, &token.name, changes.0)).await?;
    Ok(true)
}

/// Until when the token has to be quiet to be closed, as far as its uses are known; `None` if it doesn't close.
pub fn closes_at(token: &Token) -> Option<Timestamp> {
    let closing = token.closing?;
    let since = token.last_used_at.map_or(closing.since, |used| used.max(closing.since));
    Some(since.plus_hours(closing.after_hours))
}

/// Revokes those that were to close by themselves and have been quiet for long enough. Answers how many.
pub async fn close_the_quiet(app: &App) -> Result<usize, Error> {
    let (mut closed, mut last) = (0, TokenId(0));
    loop {
        let page = successors::closing_after(&mut *app.store.read().await?, last, BATCH).await?;
        let Some(newest) = page.last() else { return Ok(closed) };
        last = newest.id;
        let now = app.clock.now();
        let is_quiet = |mut token: Token| {
            with_latest_use(app, &mut token);
            closes_at(&token).is_some_and(|at| now >= at).then_some(token.id)
        };
        for id in page.into_iter().filter_map(is_quiet) {
            closed += usize::from(close(app, id).await?);
        }
    }
}

/// Revokes one, if that still holds in its transaction: it has a successor that works, and nobody has used it.
async fn close(app: &App, id: TokenId) -> Result<bool, Error> {
    let mut writer = app.begin_unchecked().await?;
    let now = writer.now();
    let Some(token) = tokens::find(&mut writer, id).await? else { return Ok(false) };
    let Some(closing) = token.closing.filter(|_| status(&token, now) == Status::Active) else {
        return Ok(false);
    };
    if !successors::has_live_successor(&mut writer, id, now).await? {
        return Ok(false);
    }
    let reason = format!("unused for {} hours after its rotation", closing.after_hours);
    revoke_unused(app, writer, &[(token, reason)], |token| closes_at(token).is_some_and(|at| now >= at))
        .await
        .map(|revoked| revoked > 0)
}

/// Revokes tokens that are unused, as `is_unused` says by their last use. Each is closed in the index before; if
/// the revoke can't be written, the index shows again what is stored, and until it can do so they stay closed.
async fn revoke_unused(
    app: &App,
    writer: Writer,
    doomed: &[(Token, String)],
    is_unused: impl Fn(&Token) -> bool,
) -> Result<usize, Error> {
    let is_closed = |token: &Token| {
        let used_as = |used: Option<Use>| {
            let mut token = token.clone();
            let newer = used.filter(|used| token.last_used_at.is_none_or(|written| written <= used.at));
            token.last_used_at = newer.map(|used| used.at).or(token.last_used_at);
            is_unused(&token)
        };
        app.feed.index().close_if(&token.hash, used_as)
    };
    let closed: Vec<_> = doomed.iter().filter(|(token, _)| is_closed(token)).collect();
    if closed.is_empty() {
        return Ok(0);
    }
    if let Err(error) = write_revokes(app, writer, &closed).await {
        // Whether it was committed can't be told from here: what is stored decides.
        let ids: Vec<TokenId> = closed.iter().map(|(token, _)| token.id).collect();
        app.feed.show_as_stored(&ids).await?;
        return Err(error);
    }
    app.settle(true).await?;
    Ok(closed.len())
}

async fn write_revokes(app: &App, mut writer: Writer, closed: &[&(Token, String)]) -> Result<(), Error> {
    let (call, now) = (Call::system(), writer.now());
    for (token, reason) in closed {
        tokens::set_revoked(&mut writer, token.id, Some(now)).await?;
        let changes = Changes::default().note("active", true, false).set("reason", reason);
        writer.record(call.draft(Action::TokenRevoked, token.id.0, &token.name, changes.0)).await?;
    }
    app.commit(writer).await.map(drop)
}

/// By policy: announces that tokens will be revoked because nobody uses them, and revokes those that were announced
/// seven days ago and were not used since. Answers how many of each.
pub async fn revoke_the_unused(app: &App) -> Result<(usize, usize), Error> {
    let policies = policies::in_force(app);
    let Some(days) = policies.revoke_unused_after_days else { return Ok((0, 0)) };
    let (mut announced, mut revoked) = (0, 0);
    let mut last = later_than(Timestamp::from_micros(i64::MIN));
    loop {
        let now = app.clock.now();
        let until = now.plus_days(IDLE_NOTICE_DAYS - days);
        let mut page = due::unused(&mut *app.store.read().await?, last, until, now, BATCH).await?;
        let Some(newest) = page.last() else { return Ok((announced, revoked)) };
        last = (idle_since(newest), newest.id);
        for token in &mut page {
            with_latest_use(app, token);
        }
        page.retain(|token| status(token, now) == Status::Active);
        let all = |wanted: Due| {
            let due = page.iter().filter(|token| to_do(token, &policies, now) == Some(wanted));
            due.map(|token| token.id).collect::<Vec<_>>()
        };
        announced += announce(app, &all(Due::Announce), policies).await?;
        revoked += revoke_idle(app, &all(Due::Revoke), policies).await?;
    }
}

/// What is to be done about a token that nobody uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Due {
    Announce,
    Revoke,
}

/// What is to be done at `now` about a token under these policies.
fn to_do(token: &Token, policies: &Policies, now: Timestamp) -> Option<Due> {
    let (days, since) = (policies.revoke_unused_after_days?, idle_since(token));
    match announced(token, policies) {
        None => (now >= since.plus_days(days - IDLE_NOTICE_DAYS)).then_some(Due::Announce),
        Some(announced) => {
            let is_due = now >= since.plus_days(days) && now >= announced.plus_days(IDLE_NOTICE_DAYS);
            is_due.then_some(Due::Revoke)
        }
    }
}

/// When its revoke was announced, if that still holds: until the token is used, or the policy is settled anew.
fn announced(token: &Token, policies: &Policies) -> Option<Timestamp> {
    let settled = policies.revoke_unused_settled_at.unwrap_or(token.created_at);
    token.idle_announced_at.filter(|announced| *announced >= idle_since(token) && *announced >= settled)
}

/// Since when nobody has used it, as far as is known.
pub fn idle_since(token: &Token) -> Timestamp {
    token.last_used_at.unwrap_or(token.created_at)
}

/// When policy revokes a token if nobody uses it, where that was announced.
pub fn revoked_if_unused_at(token: &Token, policies: &Policies) -> Option<Timestamp> {
    let (days, announced) = (policies.revoke_unused_after_days?, announced(token, policies)?);
    Some(idle_since(token).plus_days(days).max(announced.plus_days(IDLE_NOTICE_DAYS)))
}

async fn announce(app: &App, ids: &[TokenId], policies: Policies) -> Result<usize, Error> {
    let Some(days) = policies.revoke_unused_after_days.filter(|_| !ids.is_empty()) else { return Ok(0) };
    let mut writer = app.begin_unchecked().await?;
    // Settled anew while others were looked at.
    if policies::in_force(app) != policies {
        return Ok(0);
    }
    let (call, now, mut announced) = (Call::system(), writer.now(), 0);
    for mut token in tokens::find_many(&mut writer, ids).await? {
        with_latest_use(app, &mut token);
        if status(&token, now) != Status::Active || to_do(&token, &policies, now) != Some(Due::Announce) {
            continue;
        }
        due::set_idle_announced(&mut writer, token.id, Some(now)).await?;
        let at = idle_since(&token).plus_days(days).max(now.plus_days(IDLE_NOTICE_DAYS));
        let changes = Changes::default().set("revoked_if_unused_at", at);
        writer.record(call.draft(Action::TokenIdleAnnounced, token.id.0, &token.name, changes.0)).await?;
        announced += 1;
    }
    if announced > 0 {
        app.commit(writer).await?;
    }
    Ok(announced)
}

async fn revoke_idle(app: &App, ids: &[TokenId], policies: Policies) -> Result<usize, Error> {
    let Some(days) = policies.revoke_unused_after_days.filter(|_| !ids.is_empty()) else { return Ok(0) };
    let mut writer = app.begin_unchecked().await?;
    if policies::in_force(app) != policies {
        return Ok(0);
    }
    let now = writer.now();
    let found = tokens::find_many(&mut writer, ids).await?;
    let alive = found.into_iter().filter(|token| status(token, now) == Status::Active);
    let doomed: Vec<_> = alive.map(|token| (token, format!("unused for {days} days"))).collect();
    revoke_unused(app, writer, &doomed, |token| to_do(token, &policies, now) == Some(Due::Revoke)).await
}
