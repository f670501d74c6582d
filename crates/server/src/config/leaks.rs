//! `[leaks]`: who may tell that tokens were found where they don't belong.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::values::{duration, invalid};

/// `[leaks]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Leaks {
    /// GitHub, which looks for tokens in what is published there.
    pub github: Github,
}

/// `[leaks.github]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Github {
    /// Whether its reports are taken.
    pub enabled: bool,
    /// Where the public keys are that it signs them with.
    #[serde(deserialize_with = "keys_url")]
    pub keys_url: http::Uri,
    /// The keys are asked for again after this time at the earliest.
    #[serde(deserialize_with = "duration")]
    pub refetch_after: Duration,
}

impl Default for Github {
    fn default() -> Self {
        Self {
            enabled: false,
            keys_url: http::Uri::from_static("https://api.github.com/meta/public_keys/secret_scanning"),
            refetch_after: Duration::from_mins(5),
        }
    }
}

fn keys_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<http::Uri, D::Error> {
    let text = String::deserialize(deserializer)?;
    let uri = text.parse::<http::Uri>().ok();
    uri.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some())
        .ok_or_else(|| invalid(&text, "must be an address that begins with https:// or http://"))
}
