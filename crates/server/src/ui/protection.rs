//! The headers that every page is sent with.

use axum::response::Response;
use http::{HeaderName, HeaderValue, Uri, header};

/// Nothing but our own style sheet, modules, icons and forms; in nobody's frame.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'";

const HEADERS: [(HeaderName, HeaderValue); 5] = [
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// The API's documentation brings a style sheet that its script extends.
pub(super) const DOCUMENTATION_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self' 'unsafe-inline'; script-src 'self'; img-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'",
);

/// Another place that the forms of one page may lead to: browsers hold redirects that answer a form to
/// the same rule. A handler puts it into the extensions of its answer (`(Extension(target), answer)`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FormTarget(HeaderValue);

impl FormTarget {
    /// Scheme, host and port of this address; `None` if it lacks one of the first two or has more in its
    /// authority than they.
    pub fn origin_of(address: &Uri) -> Option<Self> {
        let (scheme, host) = (address.scheme_str()?, address.host()?);
        let port = address.port().map(|port| format!(":{port}")).unwrap_or_default();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '[' | ']' | ':');
        if !host.chars().all(plain) || address.authority()?.as_str().contains('@') {
            return None;
        }
        HeaderValue::try_from(format!("{POLICY} {scheme}://{host}{port}")).ok().map(Self)
    }
}

/// Adds the headers to a page.
pub(super) fn protect(response: &mut Response) {
    let policy = response.extensions_mut().remove::<FormTarget>();
    let policy = policy.map_or(HeaderValue::from_static(POLICY), |target| target.0);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    for (name, value) in HEADERS {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_may_lead_to_one_more_origin_and_nothing_can_be_slipped_in() {
        let policy = |address: &str| {
            let target = FormTarget::origin_of(&address.parse().ok()?)?;
            target.0.to_str().ok()?.split_once("form-action ").map(|(_, allowed)| allowed.to_owned())
        };
        for (address, allowed) in [
            ("http://127.0.0.1:53682/callback?x=1", "'self' http://127.0.0.1:53682"),
            ("http://localhost:1/", "'self' http://localhost:1"),
            ("http://[::1]:53682/callback", "'self' http://[::1]:53682"),
        ] {
            assert_eq!(policy(address).as_deref(), Some(allowed));
        }
        for address in
            ["/callback", "127.0.0.1:1", "http://u@127.0.0.1:1/", "http://a;script-src:1/", "http://a'b/"]
        {
            assert_eq!(policy(address), None, "{address}");
        }
    }
}
