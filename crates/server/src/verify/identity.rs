//! Who a request comes from, in the headers that a service behind us reads.

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
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

/// The headers of an accepted request.
pub fn headers(accepted: &Accepted) -> HeaderMap {
    let owner = &accepted.owner;
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(USER_ID, HeaderValue::from(owner.id.0));
    insert(&mut headers, USER, &owner.user_id);
    insert(&mut headers, EMAIL, &owner.email);
    headers.insert(ROLE, HeaderValue::from_static(owner.role.as_str()));
    insert(&mut headers, TEAMS, &teams(&owner.teams));
    headers.insert(USER_TYPE, HeaderValue::from_static(owner.user_type.as_str()));
    headers.insert(TOKEN_ID, HeaderValue::from(accepted.token.id.0));
    headers
}

/// Adds the signed form of the same.
pub fn add_assertion(headers: &mut HeaderMap, assertion: &str) {
    insert(headers, ASSERTION, assertion);
}

/// A text that can't be a header value is left out; names and addresses are checked for control
/// characters when they are set, so there is none.
fn insert(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_bytes(text.as_bytes()) {
        headers.insert(name, value);
    }
}

/// All but the unreserved characters of RFC 3986, section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Names of teams, percent-encoded, with commas between.
fn teams(names: &[String]) -> String {
    let mut encoded = String::new();
    for name in names {
        if !encoded.is_empty() {
            encoded.push(',');
        }
        encoded.extend(utf8_percent_encode(name, RESERVED));
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_team_cannot_look_like_two() {
        let names = ["Public".to_owned(), "Data, Ops".to_owned(), "Größe".to_owned()];
        assert_eq!(teams(&names), "Public,Data%2C%20Ops,Gr%C3%B6%C3%9Fe");
        assert_eq!(teams(&[]), "");
    }
}
