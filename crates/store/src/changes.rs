//! The feed: what changed, in the order in which it was committed.

use crate::{Connection, Error};

/// One change, as far as whoever follows needs it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// Its number.
    pub seq: i64,
    /// What happened ([`tokenhouse_core::audit::Action`] as text: a newer node may know more).
    pub action: String,
    /// `token`, `user` or `team`.
    pub entity_kind: String,
    /// The thing's number.
    pub entity_id: i64,
    /// Changed fields as a JSON object `{"field": [before, after]}`.
    pub changes: String,
}

/// The next changes after number `seq`, oldest first, at most `limit`.
pub async fn since(c: &mut Connection, seq: i64, limit: i64) -> Result<Vec<Change>, Error> {
    todo!()
}
