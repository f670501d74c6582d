//! Alerts on what the audit trail tells. It is followed from a durable position, which is moved on in the transaction
//! that tells: so whenever the process ends, nothing is lost and nothing told twice.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use serde_json::Value;
use tokenhouse_core::audit::Record;
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{TokenId, UserId};
use tokenhouse_core::people::Role;
use tokenhouse_store::alerts::{NewAlert, Outbox};
use tokenhouse_store::audit::{self, FailedSignIn, StoredRecord};
use tokenhouse_store::{Connection, Error, positions, tokens};

use super::rules;
use crate::app::App;
use crate::limits::subscriber;

/// The position's name.
const POSITION: &str = "alerts";

/// Records that are looked at together.
const PAGE: i64 = 500;

/// Looks at what has been recorded since the last time.
pub async fn work(app: Arc<App>) {
    if let Err(error) = follow(&app).await {
        tracing::warn!(%error, "alerts on changes have to wait; trying again");
    }
}

/// Looks at whatever is new.
pub async fn follow(app: &App) -> Result<(), Error> {
    loop {
        let mut reader = app.store.read().await?;
        let from = positions::find(&mut reader, POSITION).await?;
        let records = audit::after(&mut reader, from.unwrap_or_default(), PAGE).await?;
        let Some(last) = records.last().map(|stored| stored.record.seq) else { return Ok(()) };
        let alerts = noticed(app, &mut reader, &records).await?;
        drop(reader);
        let mut outbox = Outbox::begin(&app.store, &app.alerts.routes).await?;
        if !outbox.advance(POSITION, from, last).await? {
            // Another server has looked at these.
            return Ok(());
        }
        for alert in &alerts {
            outbox.tell(alert).await?;
        }
        outbox.commit().await?;
    }
}

/// What these records are worth telling.
async fn noticed(
    app: &App,
    reader: &mut Connection,
    records: &[StoredRecord],
) -> Result<Vec<NewAlert>, Error> {
    let mut alerts = Vec::new();
    for StoredRecord { record, .. } in records {
        let asker = async |reader: &mut Connection| {
            audit::first_actor(reader, ("request", record.entity.id), "request.made").await
        };
        alerts.extend(match record.action.as_str() {
            "user.created" | "user.updated" => gives_admin(record).then(|| rules::admin_given(record)),
            "token.leaked" | "token.idle_announced" => {
                let token = tokens::find_even_deleted(reader, TokenId(record.entity.id)).await?;
                token.map(|token| match record.action.as_str() {
                    "token.leaked" => rules::leaked(record, &token),
                    _ => rules::idle_announced(record, &token),
                })
            }
            "request.made" => Some(rules::request_made(record)),
            "request.approved" | "request.declined" => {
                asker(reader).await?.map(|asker| rules::request_decided(record, asker))
            }
            _ => None,
        });
    }
    alerts.extend(failed_sign_ins(app, reader, records).await?);
    Ok(alerts)
}

fn gives_admin(record: &Record) -> bool {
    let changes: Value = serde_json::from_str(&record.changes).unwrap_or_default();
    let admin = Role::Admin.as_str();
    changes["role"][1] == admin && changes["role"][0] != admin
}

/// Where with one of these records so many sign-ins have failed within the window, to one account or from one address.
async fn failed_sign_ins(
    app: &App,
    reader: &mut Connection,
    records: &[StoredRecord],
) -> Result<Vec<NewAlert>, Error> {
    let failed = records.iter().map(|stored| &stored.record);
    let failed: Vec<_> = failed.filter(|record| record.action == "user.sign_in_failed").collect();
    let (Some(first), Some(last)) = (failed.first(), failed.last()) else { return Ok(Vec::new()) };
    let (limit, window) = (usize::from(app.config.alerts.failures.get()), app.config.alerts.failure_window);
    let micros = i64::try_from(window.as_micros()).unwrap_or(i64::MAX);
    let from = Timestamp::from_micros(first.at.micros().saturating_sub(micros));
    let mut of_account: HashMap<UserId, VecDeque<Timestamp>> = HashMap::new();
    let mut of_address: HashMap<String, VecDeque<Timestamp>> = HashMap::new();
    let mut alerts = Vec::new();
    for FailedSignIn { seq, at, account, ip } in audit::failed_sign_ins(reader, from, last.at).await? {
        let counts = |times: &mut VecDeque<Timestamp>| {
            times.push_back(at);
            while times.front().is_some_and(|old| at.micros() - old.micros() >= micros) {
                times.pop_front();
            }
            Some(times.len()).filter(|count| *count >= limit && seq >= first.seq)
        };
        if let Some(account) = account
            && let Some(count) = counts(of_account.entry(account).or_default())
        {
            alerts.push(rules::failed_account(at, account, count, window));
        }
        let address = ip.map(|ip| ip.parse().map_or(ip, |ip| subscriber(ip).to_string()));
        if let Some(address) = address
            && let Some(count) = counts(of_address.entry(address.clone()).or_default())
        {
            alerts.push(rules::failed_address(at, ("sign-ins", &address), count, window));
        }
    }
    Ok(alerts)
}
