//! Dead tokens that are still tried: how often, when last, and from where.

use std::collections::HashMap;

use sqlx::{AssertSqlSafe, Row as _};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::TokenId;
use tokenhouse_core::index::Use;

use crate::dialect::Dialect;
use crate::sql::{BATCH, Statement, time};
use crate::writer::in_time;
use crate::{Connection, Error, Store};

/// Refused attempts with a token that was revoked, has expired, or whose owner was deactivated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Knocks {
    /// How many.
    pub count: i64,
    /// When the last one was.
    pub at: Timestamp,
    /// From which address.
    pub ip: String,
}

impl Knocks {
    /// The first one.
    pub fn once(used: Use) -> Self {
        Self { count: 1, at: used.at, ip: used.ip.to_string() }
    }

    /// With others on the same token.
    pub fn add(&mut self, others: &Self) {
        let count = self.count.saturating_add(others.count);
        if others.at > self.at {
            *self = others.clone();
        }
        self.count = count;
    }
}

/// Adds attempts to those that are known, in one transaction, without an audit record. Several servers may add to
/// the same token.
pub async fn record(store: &Store, knocks: &[(TokenId, Knocks)]) -> Result<(), Error> {
    let mut rows: Vec<_> =
        knocks.iter().map(|(id, knocks)| (id.0, knocks.count, knocks.at.micros(), &knocks.ip)).collect();
    // In one order everywhere, so that servers wait for each other and never in a circle.
    rows.sort_unstable();
    let mut transaction = store.begin_uses().await?;
    let elements = Dialect::of(&transaction).json_elements("$1");
    let insert = format!(
        "INSERT INTO knocks (token_id, count, at, ip) SELECT CAST(value ->> 0 AS BIGINT), \
         CAST(value ->> 1 AS BIGINT), CAST(value ->> 2 AS BIGINT), value ->> 3 FROM {elements} WHERE TRUE \
         ON CONFLICT (token_id) DO UPDATE SET count = knocks.count + excluded.count, \
         at = CASE WHEN excluded.at > knocks.at THEN excluded.at ELSE knocks.at END, \
         ip = CASE WHEN excluded.at > knocks.at THEN excluded.ip ELSE knocks.ip END"
    );
    let rows =
        serde_json::to_string(&rows).map_err(|_| Error::Corrupt("attempts with dead tokens".into()))?;
    in_time(sqlx::query(AssertSqlSafe(insert)).bind(rows).execute(&mut *transaction)).await?;
    store.durability.commit(&mut transaction).await
}

/// What is known of these tokens; those that were never tried are left out.
pub async fn of(c: &mut Connection, tokens: &[TokenId]) -> Result<HashMap<TokenId, Knocks>, Error> {
    let mut found = HashMap::new();
    for batch in tokens.chunks(BATCH) {
        let mut statement = Statement::new("SELECT token_id, count, at, ip FROM knocks WHERE token_id IN ");
        statement.list(batch.iter().map(|id| id.0));
        for row in statement.query().fetch_all(&mut *c).await? {
            let knocks =
                Knocks { count: row.try_get("count")?, at: time(&row, "at")?, ip: row.try_get("ip")? };
            found.insert(TokenId(row.try_get("token_id")?), knocks);
        }
    }
    Ok(found)
}
