//! Versions as entity tags (RFC 7644, section 3.14). Weak ones: the same version may be shown with more or
//! fewer attributes.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::app::App;
use crate::error::Error;
use crate::service::directory::Seen;

/// The entity tag of a version.
pub(super) fn text(version: i64) -> String {
    format!("W/\"{version}\"")
}

/// The entity tag of a version, for a header.
pub(super) fn header(version: i64) -> Result<HeaderValue, Error> {
    HeaderValue::try_from(text(version)).map_err(Error::internal)
}

/// What a header or a bulk operation says of versions. What is not one of ours was never seen.
pub(super) fn seen<'a>(values: impl Iterator<Item = &'a str>) -> Seen {
    let mut versions = None;
    for tag in values.flat_map(|value| value.split(',')).map(str::trim) {
        if tag == "*" {
            return Seen::Any;
        }
        let number: Option<i64> = tag.trim_start_matches("W/").trim_matches('"').parse().ok();
        versions.get_or_insert_with(Vec::new).extend(number);
    }
    versions.map_or(Seen::Any, Seen::Versions)
}

fn in_header(headers: &HeaderMap, name: HeaderName) -> Seen {
    seen(headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("unreadable")))
}

/// What the client has seen of what it wants to change: `If-Match`.
#[derive(Debug)]
pub(super) struct IfMatch(pub(super) Seen);

impl FromRequestParts<Arc<App>> for IfMatch {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Infallible> {
        Ok(Self(in_header(&parts.headers, header::IF_MATCH)))
    }
}

/// What the client has already: `If-None-Match`.
#[derive(Debug)]
pub(super) struct IfNoneMatch(Option<Seen>);

impl IfNoneMatch {
    /// Whether the client has this version.
    pub(super) fn has(&self, version: i64) -> bool {
        self.0.as_ref().is_some_and(|seen| seen.check(version).is_ok())
    }
}

impl FromRequestParts<Arc<App>> for IfNoneMatch {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Infallible> {
        let is_there = parts.headers.contains_key(header::IF_NONE_MATCH);
        Ok(Self(is_there.then(|| in_header(&parts.headers, header::IF_NONE_MATCH))))
    }
}
