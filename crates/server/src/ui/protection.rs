//! The headers that every page is sent with.

use std::net::IpAddr;

use axum::response::Response;
use http::{HeaderName, HeaderValue, Uri, header};

/// Nothing but our own style sheet, modules, icons and forms; in nobody's frame.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'";

const HEADERS: [(HeaderName, HeaderValue); 4] = [
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
        // A policy can't name an IPv6 address; browsers pass over one that tries.
        let target =
            if host.starts_with('[') { format!("{scheme}:") } else { format!("{scheme}://{host}{port}") };
        HeaderValue::try_from(format!("{POLICY} {target}")).ok().map(Self)
    }
}

/// What a browser tells of our pages when it leaves them: nothing.
///
/// Without it the browser sends forms with `Origin: null`. Over TLS and on the own machine it also says
/// `Sec-Fetch-Site`, which is enough to know our own pages by. Over plain HTTP from elsewhere it doesn't, so
/// there our own pages are told where a form came from, and nobody else.
fn referrer_policy(public_url: &str) -> HeaderValue {
    let says_site = public_url
        .parse()
        .is_ok_and(|url: Uri| url.scheme_str() == Some("https") || url.host().is_some_and(is_loopback));
    HeaderValue::from_static(if says_site { "no-referrer" } else { "same-origin" })
}

fn is_loopback(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || host.ends_with(".localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// Adds the headers to a page of this server.
pub(super) fn protect(public_url: &str, response: &mut Response) {
    let policy = response.extensions_mut().remove::<FormTarget>();
    let policy = policy.map_or(HeaderValue::from_static(POLICY), |target| target.0);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    headers.insert(header::REFERRER_POLICY, referrer_policy(public_url));
    for (name, value) in HEADERS {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_tells_other_sites_nothing_and_our_forms_enough() {
        for (public_url, policy) in [
            ("https://tokens.example.com", "no-referrer"),
            ("https://10.0.0.7:8443", "no-referrer"),
            ("http://127.0.0.1:8080", "no-referrer"),
            ("http://127.9.9.9", "no-referrer"),
            ("http://[::1]:8080", "no-referrer"),
            ("http://LOCALHOST:8080", "no-referrer"),
            ("http://tokens.localhost", "no-referrer"),
            ("http://10.0.0.7:8080", "same-origin"),
            ("http://tokens.example.com", "same-origin"),
            ("http://localhost.example.com", "same-origin"),
            ("http://[fe80::1]", "same-origin"),
        ] {
            assert_eq!(referrer_policy(public_url), policy, "{public_url}");
        }
    }

    #[test]
    fn a_form_may_lead_to_one_more_origin_and_nothing_can_be_slipped_in() {
        let policy = |address: &str| {
            let target = FormTarget::origin_of(&address.parse().ok()?)?;
            target.0.to_str().ok()?.split_once("form-action ").map(|(_, allowed)| allowed.to_owned())
        };
        for (address, allowed) in [
            ("http://127.0.0.1:53682/callback?x=1", "'self' http://127.0.0.1:53682"),
            ("http://localhost:1/", "'self' http://localhost:1"),
            ("http://[::1]:53682/callback", "'self' http:"),
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
