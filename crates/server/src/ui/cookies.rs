//! Cookies of the pages themselves. The session's is elsewhere; these hold nothing secret.

use cookie::{Cookie, SameSite};
use http::{HeaderMap, HeaderValue, header};

use crate::app::App;

/// The value of a cookie, if it was sent.
pub(super) fn find<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let sent = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    sent.flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(sent, value)| (sent == name).then_some(value))
}

/// A `Set-Cookie` of every path that scripts can't read, for so many seconds; 0 takes it away.
pub(super) fn set(app: &App, name: &'static str, value: &str, seconds: i64) -> HeaderValue {
    let cookie = Cookie::build((name, value))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(app.config.server.public_url.starts_with("https://"))
        .max_age(cookie::time::Duration::seconds(seconds));
    // Names and values are of closed sets of ASCII.
    HeaderValue::try_from(cookie.to_string()).unwrap_or(HeaderValue::from_static(""))
}
