//! `[alerts]`: channels, whose secrets never leave this file, and when something is worth an alert.

use std::collections::HashSet;
use std::fmt;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use lettre::message::Mailbox;
use reqwest::Url;
use serde::{Deserialize, Deserializer};

use super::values::{duration, invalid};

/// The name of the channel that e-mail is.
pub const EMAIL: &str = "email";

/// What the secret of a webhook begins with (Standard Webhooks).
const SECRET_PREFIX: &str = "whsec_";

/// The longest name of a channel.
const LONGEST_NAME: usize = 64;

/// The most failures that are waited for; so many times are kept for each address.
const MOST_FAILURES: u16 = 1_000;

/// The fewest days that alerts are kept: what is told before an expiry is told once.
const LEAST_KEEP_DAYS: u16 = 31;

/// `[alerts]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Alerts {
    /// Failed attempts from one address, or to sign in to one account, within the window.
    #[serde(deserialize_with = "failures")]
    pub failures: NonZeroU16,
    /// The window.
    #[serde(deserialize_with = "duration")]
    pub failure_window: Duration,
    /// After how many days without use a token counts as unused.
    pub unused_days: NonZeroU16,
    /// After how long without a request a directory counts as stopped.
    #[serde(deserialize_with = "duration")]
    pub scim_silence: Duration,
    /// Alerts are kept for so many days.
    #[serde(deserialize_with = "keep_days")]
    pub keep_days: NonZeroU16,
    /// Where Admins' alerts are posted to, signed.
    #[serde(deserialize_with = "webhooks")]
    pub webhooks: Vec<Webhook>,
    /// Where Admins' alerts are posted to for Slack and what is compatible with it.
    #[serde(deserialize_with = "slacks")]
    pub slack: Vec<Slack>,
    /// How each person gets theirs.
    pub email: Option<Email>,
}

impl Default for Alerts {
    fn default() -> Self {
        Self {
            failures: NonZeroU16::MIN.saturating_add(19),
            failure_window: Duration::from_secs(600),
            unused_days: NonZeroU16::MIN.saturating_add(89),
            scim_silence: Duration::from_hours(24),
            keep_days: NonZeroU16::MIN.saturating_add(364),
            webhooks: Vec::new(),
            slack: Vec::new(),
            email: None,
        }
    }
}

/// `[[alerts.webhooks]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// What the channel is called.
    #[serde(deserialize_with = "channel_name")]
    pub name: String,
    /// Where alerts are posted to.
    pub url: WebUrl,
    /// What they are signed with.
    pub secret: WebhookSecret,
}

/// `[[alerts.slack]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slack {
    /// What the channel is called.
    #[serde(deserialize_with = "channel_name")]
    pub name: String,
    /// Where alerts are posted to.
    pub url: WebUrl,
}

/// `[alerts.email]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Email {
    /// The server that takes the mail.
    pub smtp: SmtpUrl,
    /// Who it comes from.
    #[serde(deserialize_with = "mailbox")]
    pub from: Mailbox,
    /// Whether the connection must be encrypted.
    #[serde(default)]
    pub tls: EmailTls,
    /// PEM file of the authority that signed the server's certificate, besides those that the system trusts.
    pub ca: Option<PathBuf>,
}

/// Whether a connection must be encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EmailTls {
    /// It must, by STARTTLS or from the start on.
    #[default]
    Required,
    /// It isn't: for a server on the same machine.
    None,
}

/// `https://…` or `http://…`. May hold a secret, so `Debug` prints only the host.
#[derive(Clone)]
pub struct WebUrl(pub Url);

impl fmt::Debug for WebUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/…", self.0.scheme(), self.0.host_str().unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for WebUrl {
    /// Doesn't repeat the URL.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let url = Url::parse(&String::deserialize(deserializer)?).ok();
        url.filter(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some())
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom("must be a URL such as https://example.com/hook"))
    }
}

/// `smtp://user:password@host:587`. `Debug` prints only the host.
#[derive(Clone)]
pub struct SmtpUrl(pub Url);

impl fmt::Debug for SmtpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.0.scheme(), self.0.host_str().unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for SmtpUrl {
    /// Doesn't repeat the URL.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let url = Url::parse(&String::deserialize(deserializer)?).ok();
        let is_server = |url: &Url| {
            matches!(url.scheme(), "smtp" | "smtps") && url.host_str().is_some() && url.query().is_none()
        };
        url.filter(is_server).map(Self).ok_or_else(|| {
            serde::de::Error::custom("must be smtp://user:password@host:587, or smtps:// for TLS at once")
        })
    }
}

/// The key of a webhook's signatures. `Debug` prints nothing of it.
#[derive(Clone)]
pub struct WebhookSecret(pub Vec<u8>);

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("whsec_…")
    }
}

impl<'de> Deserialize<'de> for WebhookSecret {
    /// Doesn't repeat the secret.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let key = text.strip_prefix(SECRET_PREFIX).and_then(|key| BASE64_STANDARD.decode(key).ok());
        key.filter(|key| (24..=64).contains(&key.len())).map(Self).ok_or_else(|| {
            serde::de::Error::custom(
                "must be whsec_ and 24 to 64 bytes in base64; make one with `openssl rand -base64 32`",
            )
        })
    }
}

fn failures<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NonZeroU16, D::Error> {
    let number = NonZeroU16::deserialize(deserializer)?;
    let is_allowed = number.get() <= MOST_FAILURES;
    is_allowed
        .then_some(number)
        .ok_or_else(|| serde::de::Error::custom(format!("must be between 1 and {MOST_FAILURES}")))
}

fn keep_days<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NonZeroU16, D::Error> {
    let days = NonZeroU16::deserialize(deserializer)?;
    let is_allowed = days.get() >= LEAST_KEEP_DAYS;
    is_allowed.then_some(days).ok_or_else(|| {
        serde::de::Error::custom(format!("must be between {LEAST_KEEP_DAYS} and {}", u16::MAX))
    })
}

pub(super) fn channel_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_name = (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(is_sign) && name != EMAIL;
    is_name.then_some(name).ok_or_else(|| {
        serde::de::Error::custom(
            "must be 1 to 64 letters, digits, dots, dashes and underscores, and not email",
        )
    })
}

fn mailbox<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Mailbox, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse()
        .map_err(|_| invalid(&text, "must be an address such as \"Tokenhouse <tokenhouse@example.com>\""))
}

fn webhooks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Webhook>, D::Error> {
    let all = Vec::<Webhook>::deserialize(deserializer)?;
    differ(all.iter().map(|webhook| &webhook.name))?;
    Ok(all)
}

fn slacks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Slack>, D::Error> {
    let all = Vec::<Slack>::deserialize(deserializer)?;
    differ(all.iter().map(|slack| &slack.name))?;
    Ok(all)
}

pub(super) fn differ<'a, E: serde::de::Error>(names: impl Iterator<Item = &'a String>) -> Result<(), E> {
    let mut known = HashSet::new();
    for name in names {
        if !known.insert(name) {
            return Err(invalid(name, "is the name of two channels"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Alerts, String> {
        toml::from_str(text).map_err(|error: toml::de::Error| error.message().to_owned())
    }

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn no_secret_is_printed_or_told() {
        let text = format!(
            "[[webhooks]]\nname = 'ops'\nurl = 'https://u:hunter2@hooks.example.com/hunter2'\nsecret = '{SECRET}'\n\
             [[slack]]\nname = 'chat'\nurl = 'https://hooks.slack.com/services/hunter2'\n\
             [email]\nsmtp = 'smtp://me:hunter2@mail.example.com:587'\nfrom = 'a@example.com'\n"
        );
        let printed = format!("{:?}", read(&text).unwrap());
        assert!(printed.contains("hooks.example.com") && printed.contains("mail.example.com"), "{printed}");
        for secret in ["hunter2", "MfKQ9r8"] {
            assert!(!printed.contains(secret), "{printed}");
        }
        for wrong in [
            "[[webhooks]]\nname = 'a'\nurl = 'https://x'\nsecret = 'hunter2'",
            "[[webhooks]]\nname = 'a'\nurl = 'https://x'\nsecret = 'whsec_aHVudGVyMg=='",
            "[[slack]]\nname = 'a'\nurl = 'ftp://hunter2'",
            "[email]\nsmtp = 'http://me:hunter2@mail'\nfrom = 'a@example.com'",
        ] {
            let told = read(wrong).unwrap_err();
            assert!(told.contains("must be") && !told.contains("hunter2"), "{told}");
        }
    }

    #[test]
    fn names_of_channels_are_plain_and_differ() {
        let slack = |name: &str| format!("[[slack]]\nname = '{name}'\nurl = 'https://x'\n");
        assert!(read(&(slack("a") + &slack("b"))).is_ok());
        for wrong in [slack("a") + &slack("a"), slack("email"), slack("a b"), slack("")] {
            assert!(read(&wrong).is_err(), "{wrong}");
        }
        for wrong in ["failures = 1001", "failures = 0", "keep_days = 30", "keep_days = 65536"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
