//! When tokens were last used.

use std::net::IpAddr;

use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::TokenId;

use crate::{Error, Store};

/// Notes when and from where tokens were last used, in one transaction, without an audit record.
/// Never moves a time backwards; unknown tokens are passed over.
pub async fn record(store: &Store, uses: &[(TokenId, Timestamp, IpAddr)]) -> Result<(), Error> {
    todo!()
}
