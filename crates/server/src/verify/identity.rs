//! Who a request comes from, in the headers that a service behind us reads.

use axum::body::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokenhouse_core::verdict::Accepted;

/// Every header we set, so that a proxy in front knows what to copy.
const USER_ID: HeaderName = HeaderName::from_static("x-auth-user-id");
const USER: HeaderName = HeaderName::from_static("x-auth-user");
const EMAIL: HeaderName = HeaderName::from_static("x-auth-email");
const ROLE: HeaderName = HeaderName::from_static("x-auth-role");
const TEAMS: HeaderName = HeaderName::from_static("x-auth-teams");
const USER_TYPE: HeaderName = HeaderName::from_static("x-auth-user-type");
const TOKEN_ID: HeaderName = HeaderName::from_static("x-auth-token-id");
const ASSERTION: HeaderName = HeaderName::from_static("x-auth-assertion");

/// These and the few that go with every answer.
const CAPACITY: usize = 12;

/// The headers of an accepted request.
pub fn headers(accepted: &Accepted) -> HeaderMap {
    let (owner, identity) = (&accepted.owner.state, &accepted.owner.identity);
    let mut headers = HeaderMap::with_capacity(CAPACITY);
    insert(&mut headers, USER_ID, identity.id());
    insert(&mut headers, USER, identity.user_id());
    insert(&mut headers, EMAIL, identity.email());
    headers.insert(ROLE, HeaderValue::from_static(owner.role.as_str()));
    insert(&mut headers, TEAMS, identity.teams());
    headers.insert(USER_TYPE, HeaderValue::from_static(owner.user_type.as_str()));
    headers.insert(TOKEN_ID, HeaderValue::from(accepted.token.id.0));
    headers
}

/// Adds the signed form of the same.
pub fn add_assertion(headers: &mut HeaderMap, assertion: String) {
    insert(headers, ASSERTION, assertion.into());
}

/// A text that can't be a header value is left out; names and addresses are checked for control
/// characters when they are set, so there is none.
fn insert(headers: &mut HeaderMap, name: HeaderName, text: Bytes) {
    if let Ok(value) = HeaderValue::from_maybe_shared(text) {
        headers.insert(name, value);
    }
}
