//! Who a request comes from, in the headers that a service behind us reads.

use http::header::InvalidHeaderValue;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokenhouse_core::verdict::Accepted;

use crate::header_text::header_text;

/// Every header we set, so that a proxy in front knows what to copy.
const USER_ID: HeaderName = HeaderName::from_static("x-auth-user-id");
const USER: HeaderName = HeaderName::from_static("x-auth-user");
const EMAIL: HeaderName = HeaderName::from_static("x-auth-email");
const ROLE: HeaderName = HeaderName::from_static("x-auth-role");
const TEAMS: HeaderName = HeaderName::from_static("x-auth-teams");
const USER_TYPE: HeaderName = HeaderName::from_static("x-auth-user-type");
const TOKEN_ID: HeaderName = HeaderName::from_static("x-auth-token-id");
const ASSERTION: HeaderName = HeaderName::from_static("x-auth-assertion");

/// Adds the headers of an accepted request.
pub fn add(headers: &mut HeaderMap, accepted: &Accepted) {
    let (owner, identity) = (&accepted.owner.state, &accepted.owner.identity);
    insert(headers, USER_ID, HeaderValue::from_maybe_shared(identity.id()));
    insert(headers, USER, HeaderValue::from_maybe_shared(identity.user_id()));
    insert(headers, EMAIL, HeaderValue::from_maybe_shared(identity.email()));
    headers.insert(ROLE, HeaderValue::from_static(owner.role.as_str()));
    insert(headers, TEAMS, HeaderValue::from_maybe_shared(identity.teams()));
    headers.insert(USER_TYPE, HeaderValue::from_static(owner.user_type.as_str()));
    insert(headers, TOKEN_ID, header_text(itoa::Buffer::new().format(accepted.token.id.0).as_bytes()));
}

/// Adds the signed form of the same.
pub fn add_assertion(headers: &mut HeaderMap, assertion: HeaderValue) {
    headers.insert(ASSERTION, assertion);
}

/// A text that can't be a header value is left out; names and addresses are checked for control
/// characters when they are set, so there is none.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: Result<HeaderValue, InvalidHeaderValue>) {
    if let Ok(value) = value {
        headers.insert(name, value);
    }
}
