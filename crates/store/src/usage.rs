//! When tokens were last used.

use std::collections::HashMap;
use std::net::IpAddr;

use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::TokenId;

use crate::sql::{BATCH, Statement};
use crate::{Error, Store};

/// Notes when and from where tokens were last used, in one transaction, without an audit record.
/// Never moves a time backwards; unknown tokens are passed over. Takes its turn like any writer.
pub async fn record(store: &Store, uses: &[(TokenId, Timestamp, IpAddr)]) -> Result<(), Error> {
    let mut latest = HashMap::new();
    for (id, at, ip) in uses {
        let entry = latest.entry(id).or_insert((at, ip));
        if at > entry.0 {
            *entry = (at, ip);
        }
    }
    let latest: Vec<_> = latest.into_iter().collect();
    let mut transaction = store.begin_write().await?;
    for batch in latest.chunks(BATCH) {
        let mut statement = Statement::new("WITH used (id, at, ip) AS (VALUES ");
        for (position, (id, (at, ip))) in batch.iter().enumerate() {
            statement.text(if position == 0 { "(" } else { ", (" }).value(id.0).text(", ");
            statement.value(at.micros()).text(", ").value(ip.to_string().as_str()).text(")");
        }
        statement.text(
            ") UPDATE tokens SET last_used_at = used.at, last_used_ip = used.ip FROM used \
             WHERE tokens.id = used.id AND (last_used_at IS NULL OR last_used_at < used.at)",
        );
        statement.query().execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(())
}
