//! Alerts as people see them: their own, and for Admins those to all Admins.

use tokenhouse_core::audit::Action;
use tokenhouse_core::policy::{Access, Permission};
use tokenhouse_store::Page;
use tokenhouse_store::alerts::{self, Alert};
use tokenhouse_store::deliveries::{self, Delivery, State, Whose};

use super::Changes;
use crate::alerts::{Failure, Message};
use crate::app::App;
use crate::auth::guard::Call;
use crate::error::Error;

/// What is told of a delivery whose alert the caller may not see.
pub const HIDDEN_KIND: &str = "personal";

/// A delivery as the caller may see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shown {
    /// The delivery.
    pub delivery: Delivery,
    /// The alert is for somebody else alone: of it nothing may be told.
    pub is_hidden: bool,
}

impl Shown {
    fn to(call: &Call, delivery: Delivery) -> Self {
        let is_hidden = call.caller.access_alert(delivery.alert.recipient) != Access::Granted;
        Self { delivery, is_hidden }
    }

    /// The alert, if the caller may see it.
    pub fn alert(&self) -> Option<&Alert> {
        (!self.is_hidden).then_some(&self.delivery.alert)
    }

    /// Its kind, or only that it is about somebody else.
    pub fn kind(&self) -> &str {
        self.alert().map_or(HIDDEN_KIND, |alert| &alert.kind)
    }
}

/// The alerts to the caller, newest first.
pub async fn page(app: &App, call: &Call, limit: i64, offset: i64) -> Result<Page<Alert>, Error> {
    let of_admins = call.caller.has(Permission::Audit);
    Ok(alerts::page(&mut *app.store.read().await?, call.caller.id, of_admins, limit, offset).await?)
}

/// What is on its way to the caller, or for Admins to anybody, newest first.
pub async fn deliveries(
    app: &App,
    call: &Call,
    state: Option<State>,
    (limit, offset): (i64, i64),
) -> Result<Page<Shown>, Error> {
    let whose = if call.caller.has(Permission::Audit) { Whose::All } else { Whose::Of(call.caller.id) };
    let found = deliveries::page(&mut *app.store.read().await?, whose, state, limit, offset).await?;
    let items = found.items.into_iter().map(|delivery| Shown::to(call, delivery)).collect();
    Ok(Page { items, total: found.total })
}

/// Lets a delivery that hasn't arrived begin anew: one to the caller, or for Admins any.
///
/// # Errors
/// [`Error::Conflict`] if it has arrived, or is being sent.
pub async fn retry(app: &App, call: &Call, id: i64) -> Result<Shown, Error> {
    let mut writer = app.begin(call).await?;
    let missing = || Error::NotFound("there is no such delivery".into());
    let found = deliveries::find(&mut writer, id).await?.ok_or_else(missing)?;
    let shown = Shown::to(call, found);
    if shown.is_hidden && !call.caller.has(Permission::Audit) {
        return Err(missing());
    }
    let before = shown.delivery.state;
    if before == State::Sent {
        return Err(Error::Conflict("it has arrived already".into()));
    }
    let is_being_sent = || {
        let text = "it is being sent at this moment; look again in a minute what has become of it";
        Error::Conflict(text.into())
    };
    if shown.delivery.claimed_until > writer.now() {
        return Err(is_being_sent());
    }
    deliveries::begin_anew(&mut writer, id).await.map_err(|error| match error {
        // Taken since it was looked at.
        tokenhouse_store::Error::NotFound => is_being_sent(),
        error => error.into(),
    })?;
    let changes = Changes::default().note("state", before.as_str(), State::Pending.as_str());
    writer.record(call.draft(Action::AlertRetried, id, &shown.delivery.channel, changes.0)).await?;
    let after = deliveries::find(&mut writer, id).await?.ok_or_else(missing)?;
    app.commit(writer).await?;
    Ok(Shown::to(call, after))
}

/// Sends an alert through a channel to see whether it arrives; by e-mail, to the caller.
pub async fn test(app: &App, call: &Call, name: &str) -> Result<Result<(), Failure>, Error> {
    let channel = app.alerts.channel(name);
    let channel = channel.ok_or_else(|| Error::NotFound("there is no such channel".into()))?;
    let mut writer = app.begin(call).await?;
    let seq = writer.record(call.draft(Action::AlertTested, 0, name, Changes::default().0)).await?;
    app.commit(writer).await?;
    let by = call.account.as_ref().map_or("", |account| account.identity.name());
    let now = app.clock.now();
    let message = Message {
        id: format!("test-{seq}"),
        kind: "alert.test".into(),
        at: now,
        title: "This is a test of Tokenhouse’s alerts".into(),
        text: format!("{by} asked for it. If you can read this, alerts arrive through the channel “{name}”."),
        url: format!("{}/settings/alerts", app.config.server.public_url),
        token: None,
        user: None,
    };
    let address = call.account.as_ref().map(|account| account.identity.email_text());
    Ok(channel.send(&message, address, now).await)
}
