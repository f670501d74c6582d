//! Whether a change that a browser asks for was asked for by one of our own pages. Somebody else's page
//! can send a form here, and the browser adds our cookie, but it also says where the form came from.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, Method, Uri, header};

use crate::app::App;
use crate::error::Error;

/// Lets through what only reads, and changes that come from our own pages.
pub async fn same_origin(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Result<Response, Error> {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if reads || is_own(request.headers(), &app.config.server.public_url) {
        return Ok(next.run(request).await);
    }
    Err(Error::Forbidden(
        "this did not come from a page of this server; open the page again and repeat it there".into(),
    ))
}

/// `Sec-Fetch-Site` decides where it is sent: browsers do so over TLS and on the own machine. `none` is
/// the person themselves, for example by reloading. Elsewhere `Origin` has to be ours.
fn is_own(headers: &HeaderMap, public_url: &str) -> bool {
    let mut sites = headers.get_all("sec-fetch-site").iter();
    match (sites.next().map(HeaderValue::as_bytes), sites.next()) {
        (Some(b"same-origin" | b"none"), None) => true,
        (Some(_), _) => false,
        (None, _) => {
            let mut origins = headers.get_all(header::ORIGIN).iter();
            let origin = origins.next().and_then(|origin| origin.to_str().ok()).and_then(origin_of);
            origin.is_some() && origin == origin_of(public_url) && origins.next().is_none()
        }
    }
}

/// Scheme, host and port of a URL.
fn origin_of(url: &str) -> Option<(String, String, u16)> {
    let uri: Uri = url.parse().ok()?;
    let (scheme, host) = (uri.scheme_str()?.to_ascii_lowercase(), uri.host()?.to_ascii_lowercase());
    let port = uri.port_u16().or(match scheme.as_str() {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    })?;
    Some((scheme, host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(fields: &[(&'static str, &str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        is_own(&headers, "https://tokens.example.com")
    }

    #[test]
    fn what_a_browser_says_of_its_own_page_is_believed() {
        assert!(own(&[("sec-fetch-site", "same-origin")]));
        assert!(own(&[("sec-fetch-site", "none")]));
        for other in ["cross-site", "same-site", "", "SAME-ORIGIN"] {
            assert!(!own(&[("sec-fetch-site", other)]), "{other}");
            assert!(!own(&[("sec-fetch-site", other), ("origin", "https://tokens.example.com")]), "{other}");
        }
        assert!(!own(&[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")]));
    }

    #[test]
    fn without_that_the_origin_decides() {
        for ours in
            ["https://tokens.example.com", "https://tokens.example.com:443", "https://TOKENS.example.com"]
        {
            assert!(own(&[("origin", ours)]), "{ours}");
        }
        for other in [
            "",
            "null",
            "http://tokens.example.com",
            "https://tokens.example.com:8443",
            "https://example.com",
            "https://tokens.example.com.evil.example",
            "tokens.example.com",
        ] {
            assert!(!own(&[("origin", other)]), "{other}");
        }
        assert!(!own(&[]));
        assert!(!own(&[("origin", "https://tokens.example.com"), ("origin", "https://evil.example")]));
    }

    #[test]
    fn a_path_in_the_public_url_makes_no_difference() {
        assert_eq!(origin_of("https://example.com/tokens"), origin_of("https://example.com"));
        assert_eq!(origin_of("http://[::1]:8080"), Some(("http".into(), "[::1]".into(), 8080)));
    }
}
