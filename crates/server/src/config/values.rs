//! How single values are read, and what is said of bad ones.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use tokenhouse_core::rules::Pattern;
use tokenhouse_core::token::MAX_LIFETIME_DAYS;

pub(super) fn invalid<E: serde::de::Error>(value: &str, problem: impl fmt::Display) -> E {
    E::custom(format!("`{value}`: {problem}"))
}

pub(super) fn public_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let trimmed = text.trim_end_matches('/');
    let is_base = trimmed.parse::<http::Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() && uri.query().is_none()
    });
    if !is_base || trimmed.len() > 255 {
        return Err(invalid(
            &text,
            "must be a URL such as https://tokens.example.com, at most 255 characters",
        ));
    }
    Ok(trimmed.to_owned())
}

/// Doesn't repeat the URL: it may hold a password.
pub(super) fn store_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.split_once("://") {
        Some(("sqlite" | "postgres" | "postgresql", rest)) if !rest.is_empty() => Ok(text),
        _ => Err(serde::de::Error::custom(
            "must be sqlite://path/to/file.db or postgres://user:password@host/database",
        )),
    }
}

pub(super) fn optional_upstream<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<http::Uri>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let uri = text.parse::<http::Uri>().ok().filter(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some()
            && uri.path() == "/"
            && uri.query().is_none()
    });
    uri.map(Some)
        .ok_or_else(|| invalid(&text, "must be http:// or https:// with host and port and without a path"))
}

pub(super) fn bucket<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let url = String::deserialize(deserializer)?;
    let is_bucket = url.strip_prefix("s3://").is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
    is_bucket
        .then(|| Some(url.clone()))
        .ok_or_else(|| invalid(&url, "must be s3://<bucket> or s3://<bucket>/<folder>"))
}

pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse::<jiff::SignedDuration>()
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok())
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| invalid(&text, "must be a duration above zero such as \"60s\" or \"2m\""))
}

pub(super) fn node_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let name = String::deserialize(deserializer)?;
    let is_name = (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
    is_name
        .then_some(Some(name.clone()))
        .ok_or_else(|| invalid(&name, "must be 1 to 64 letters, digits and signs, without spaces"))
}

pub(super) fn pattern<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Pattern, D::Error> {
    let text = String::deserialize(deserializer)?;
    Pattern::parse(&text).map_err(|problem| invalid(&text, problem))
}

pub(super) fn lifetime_days<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let days = i64::deserialize(deserializer)?;
    if (1..=MAX_LIFETIME_DAYS).contains(&days) {
        Ok(days)
    } else {
        Err(invalid(&days.to_string(), format_args!("must be between 1 and {MAX_LIFETIME_DAYS}")))
    }
}
