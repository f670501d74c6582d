//! Empties the outbox: claims what is due, sends it outside of any transaction, and notes what came of it. What was sent
//! when the process ends is sent once more; nothing is lost.

use std::sync::Arc;
use std::time::Duration;

use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::people::Role;
use tokenhouse_store::deliveries::{self, Delivery};
use tokenhouse_store::{Error, users};
use tokio::task::JoinSet;

use super::channel::{Failure, Message};
use crate::app::App;

/// What is sent at the same time through one channel.
const TOGETHER: i64 = 20;

/// For how long one server has a delivery for itself; longer than any attempt takes.
const CLAIM: Duration = Duration::from_secs(90);

/// The pauses between attempts. After the last one a delivery is dead.
pub const PAUSES: [Duration; 8] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
    Duration::from_hours(6),
    Duration::from_hours(12),
    Duration::from_hours(24),
];

/// Sends whatever is due through one channel. Each is emptied on its own, so one whose receiver hangs keeps no other
/// waiting.
pub async fn work(app: Arc<App>, number: usize) {
    if let Some(channel) = app.alerts.channels.get(number)
        && let Err(error) = deliver(&app, &channel.name).await
    {
        let channel = &*channel.name;
        tracing::warn!(channel, %error, "alerts could not be taken from the outbox; trying again");
    }
}

/// Notes of deliveries through channels that are not configured any more that they fail.
pub async fn work_for_missing_channels(app: Arc<App>) {
    let failed = async {
        let waiting = deliveries::channels(&mut *app.store.read().await?).await?;
        for channel in waiting.iter().filter(|channel| app.alerts.channel(channel).is_none()) {
            deliver(&app, channel).await?;
        }
        Ok::<_, Error>(())
    };
    if let Err(error) = failed.await {
        tracing::warn!(%error, "alerts could not be taken from the outbox; trying again");
    }
}

/// Takes back what an earlier process was about to send. In a fleet others may be sending: there its claims end by
/// themselves.
pub async fn begin(app: &App) {
    if app.fleet.is_none()
        && let Err(error) = deliveries::release(&app.store).await
    {
        tracing::warn!(%error, "what was being sent when the server ended waits for a minute");
    }
}

/// Sends whatever is due through a channel. Where something fails the rest waits for the next time, so that neither a
/// receiver in trouble is pressed nor a server kept from ending.
pub async fn deliver(app: &Arc<App>, channel: &str) -> Result<(), Error> {
    loop {
        let now = app.clock.now();
        let claimed = deliveries::claim(&app.store, channel, (now, later(now, CLAIM)), TOGETHER).await?;
        if claimed.is_empty() {
            return Ok(());
        }
        // Nobody is told of what a loss of power might undo.
        app.store.settle().await?;
        let mut sending = JoinSet::new();
        for delivery in claimed {
            let app = Arc::clone(app);
            sending.spawn(async move { attempt(&app, &delivery).await });
        }
        // All of them, whatever becomes of one: those under way would be cut off and sent once more.
        let mut have_arrived = Ok(true);
        while let Some(attempted) = sending.join_next().await {
            let attempted = attempted.map_err(|_| Error::Corrupt("an attempt to deliver an alert".into()));
            let has_arrived = attempted.flatten();
            have_arrived =
                have_arrived.and_then(|before| has_arrived.map(|has_arrived| before && has_arrived));
        }
        if !have_arrived? {
            return Ok(());
        }
    }
}

/// Tells whether it has arrived.
async fn attempt(app: &App, delivery: &Delivery) -> Result<bool, Error> {
    let failure = match send(app, delivery).await? {
        Ok(()) => return deliveries::sent(&app.store, delivery.id).await.map(|()| true),
        Err(failure) => failure,
    };
    let pause = usize::try_from(delivery.attempts).ok().and_then(|attempts| PAUSES.get(attempts));
    let pause = pause.filter(|_| !failure.for_good);
    let next = pause.map(|pause| later(app.clock.now(), *pause));
    tracing::warn!(
        delivery = delivery.id,
        channel = delivery.channel,
        error = failure.text,
        dead = next.is_none(),
        "an alert could not be delivered"
    );
    deliveries::failed(&app.store, delivery.id, &failure.text, next).await.map(|()| false)
}

async fn send(app: &App, delivery: &Delivery) -> Result<Result<(), Failure>, Error> {
    let Some(channel) = app.alerts.channel(&delivery.channel) else {
        return Ok(Err(Failure::for_now("this channel is not configured any more".into())));
    };
    let address = match delivery.user {
        None => None,
        Some(user) => {
            let user = users::find(&mut *app.store.read().await?, user).await?;
            // Whoever was demoted or deactivated since is told nothing.
            let may_know = |user: &users::User| {
                user.deleted_at.is_none()
                    && (delivery.alert.recipient == Some(user.id) || user.role == Role::Admin)
            };
            match user.filter(may_know) {
                Some(user) => Some(user.email),
                None => return Ok(Err(Failure::for_good("the account may not know of it any more".into()))),
            }
        }
    };
    let message = Message::of(app, &delivery.alert);
    Ok(channel.send(&message, address.as_deref(), app.clock.now()).await)
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    Timestamp::from_micros(at.micros().saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
}
