//! Which header fields pass the proxy.

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, HeaderName, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Request, Version};
use hyper::body::Body;

use super::Origin;
use crate::auth::session;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Fields by which some upstreams take another method or path than those of the request line, which
/// are the ones that were checked.
const OVERRIDES: [&str; 9] = [
    "x-forwarded-method",
    "x-forwarded-uri",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-method",
    "x-original-uri",
    "x-original-url",
    "x-rewrite-url",
];

/// How the names of identity fields begin.
const IDENTITY: &str = "x-auth-";

/// The protocol that a request wants to switch to (RFC 9110, section 7.8), if it may.
pub(super) fn upgrade(request: &Request<impl Body>) -> Option<HeaderValue> {
    let wanted = request.version() == Version::HTTP_11
        && tokens(request.headers(), &CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"));
    let mut values = request.headers().get_all(UPGRADE).iter();
    let protocol = values.next().filter(|_| wanted && values.next().is_none())?;
    // Inside HTTP/2 ("h2c") or TLS, requests would reach the upstream that were never checked.
    let mut names = protocol.to_str().ok()?.split(',').map(|name| name.trim().to_ascii_lowercase());
    let opaque = ["h2", "http", "tls"];
    let safe = names.all(|name| !name.is_empty() && !opaque.iter().any(|start| name.starts_with(start)));
    safe.then(|| protocol.clone())
}

/// Says that this hop switches to `protocol`.
pub(super) fn set_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol);
}

/// Takes out of a request what is meant for this hop, and what only the gateway may say.
pub(super) fn clean_request(headers: &mut HeaderMap, keep_authorization: bool) {
    let trailers = tokens(headers, &TE).any(|token| token.eq_ignore_ascii_case("trailers"));
    clean(headers);
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if !keep_authorization {
        headers.remove(AUTHORIZATION);
    }
    // HTTP/2 clients split their cookies, which no other context knows (RFC 9113, section 8.2.3).
    join(headers, COOKIE, "; ", None);
    keep_session(headers);
    remove(headers, is_ours);
}

/// Takes the session of our own pages out of the cookies: with it the upstream could act as the person.
fn keep_session(headers: &mut HeaderMap) {
    let Some(line) = headers.get(COOKIE) else { return };
    let cookies = line.as_bytes().split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let is_ours = |cookie: &&[u8]| {
        let name = cookie.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
        session::NAMES.iter().any(|ours| name == ours.as_bytes())
    };
    let (ours, others): (Vec<_>, Vec<_>) = cookies.partition(is_ours);
    if ours.is_empty() {
        return;
    }
    match HeaderValue::from_bytes(&others.join(&b"; "[..])) {
        Ok(line) if !line.is_empty() => drop(headers.insert(COOKIE, line)),
        _ => drop(headers.remove(COOKIE)),
    }
}

/// Takes out what is meant for one hop only (RFC 9110, section 7.6.1).
pub(super) fn clean(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = tokens(headers, &CONNECTION)
        .filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in [CONNECTION, TE, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    // `Proxy` itself isn't a field, but CGI programs take it for the variable HTTP_PROXY.
    remove(headers, |name| name == "keep-alive" || name == "proxy" || name.starts_with("proxy-"));
}

/// Declares a body of unknown length, which hyper leaves out of a GET or HEAD otherwise.
pub(super) fn set_framing(request: &mut Request<impl Body>) {
    let rarely_has_one = matches!(*request.method(), Method::GET | Method::HEAD);
    let unknown = request.body().size_hint().exact().is_none();
    if rarely_has_one && unknown && !request.headers().contains_key(CONTENT_LENGTH) {
        request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// Tells the upstream what it can't see of the client.
pub(super) fn tell_origin(headers: &mut HeaderMap, host: Option<HeaderValue>, origin: Origin) {
    join(headers, X_FORWARDED_FOR, ", ", Some(&origin.client.to_canonical().to_string()));
    match host {
        Some(host) => headers.insert(X_FORWARDED_HOST, host),
        None => headers.remove(X_FORWARDED_HOST),
    };
    let scheme = HeaderValue::from_static(if origin.secure { "https" } else { "http" });
    headers.insert(X_FORWARDED_PROTO, scheme);
}

/// The host and port of an authority, without user.
pub(super) fn host(authority: &Authority) -> Option<HeaderValue> {
    let host = authority.as_str().rsplit('@').next()?;
    HeaderValue::from_str(host).ok()
}

/// Whether only the gateway may set the field. Programs that get fields as variables, as in CGI,
/// read `X_Auth_User` like `X-Auth-User`; so it is one name here too, as with any other punctuation.
pub(super) fn is_ours(name: &str) -> bool {
    let folded = || name.bytes().map(|byte| if byte.is_ascii_alphanumeric() { byte } else { b'-' });
    let respelled = |field: &HeaderName| name != field.as_str() && folded().eq(field.as_str().bytes());
    folded().take(IDENTITY.len()).eq(IDENTITY.bytes())
        || OVERRIDES.iter().any(|field| folded().eq(field.bytes()))
        || [X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO].iter().any(respelled)
}

/// Takes out the fields with these names.
pub(super) fn remove(headers: &mut HeaderMap, unwanted: impl Fn(&str) -> bool) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| unwanted(name.as_str())).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// Makes one line of a field's lines and what comes last.
fn join(headers: &mut HeaderMap, name: HeaderName, separator: &str, last: Option<&str>) {
    let lines = headers.get_all(&name).into_iter().map(HeaderValue::as_bytes);
    let parts: Vec<&[u8]> = lines.chain(last.map(str::as_bytes)).collect();
    if parts.len() > usize::from(last.is_none())
        && let Ok(line) = HeaderValue::from_bytes(&parts.join(separator.as_bytes()))
    {
        headers.insert(name, line);
    }
}

/// The comma-separated members of a field, in all its lines.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|token| !token.is_empty())
}
