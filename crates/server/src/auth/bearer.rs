//! Takes the token out of `Authorization: Bearer` (RFC 6750, section 2.1).

use http::{HeaderMap, header};
use tokenhouse_core::verdict::Reason;

/// The bearer token, still unchecked. `Err(None)` where none was sent; two headers, or another
/// scheme than Bearer, are not one token.
pub fn token(headers: &HeaderMap) -> Result<&[u8], Option<Reason>> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(None)?.as_bytes();
    if values.next().is_some() {
        return Err(Some(Reason::Malformed));
    }
    let (scheme, token) = value.split_at(value.len().min("Bearer ".len()));
    if !scheme.eq_ignore_ascii_case(b"Bearer ") {
        return Err(None);
    }
    Ok(token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Result<String, Option<Reason>> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, value.parse().unwrap());
        }
        token(&headers).map(|token| String::from_utf8(token.to_vec()).unwrap())
    }

    #[test]
    fn one_bearer_token_is_taken_out() {
        assert_eq!(read(&["Bearer abc"]), Ok("abc".into()));
        assert_eq!(read(&["bearer  abc "]), Ok("abc".into()));
        assert_eq!(read(&[]), Err(None));
        assert_eq!(read(&["Basic abc"]), Err(None));
        assert_eq!(read(&["Bearer"]), Err(None));
        assert_eq!(read(&["Bearer "]), Ok(String::new()));
        assert_eq!(read(&["Bearer a", "Bearer b"]), Err(Some(Reason::Malformed)));
    }
}
