//! `[[audit_export]]`: where the audit trail is sent as it grows.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer};

use super::alerts::{WebUrl, WebhookSecret, channel_name, differ};

/// `[[audit_export]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditExport {
    /// What it is called; how far it has come is kept under this name.
    #[serde(deserialize_with = "channel_name")]
    pub name: String,
    /// What a record looks like.
    pub format: Format,
    /// Where it goes.
    pub to: Target,
}

/// What a record looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// As `GET /api/activity` shows it.
    Json,
    /// An event of the Open Cybersecurity Schema Framework.
    Ocsf,
}

/// Where records go.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "AnyTarget")]
pub enum Target {
    /// Onto the end of a file, one in each line.
    File(PathBuf),
    /// To a syslog server.
    Syslog(Syslog),
    /// One after the other to a webhook, signed.
    Webhook {
        /// Where.
        url: WebUrl,
        /// What they are signed with.
        secret: WebhookSecret,
    },
}

/// A syslog server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Syslog {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Over TLS.
    pub tls: bool,
    /// PEM file of the authority that signed its certificate, besides those that are trusted everywhere.
    pub ca: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnyTarget {
    file: Option<PathBuf>,
    syslog: Option<String>,
    ca: Option<PathBuf>,
    webhook: Option<WebUrl>,
    secret: Option<WebhookSecret>,
}

/// What is wrong with a target.
struct Wrong(&'static str);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl TryFrom<AnyTarget> for Target {
    type Error = Wrong;

    fn try_from(any: AnyTarget) -> Result<Self, Wrong> {
        match any {
            AnyTarget { file: Some(file), syslog: None, ca: None, webhook: None, secret: None } => {
                Ok(Self::File(file))
            }
            AnyTarget { file: None, syslog: Some(syslog), ca, webhook: None, secret: None } => {
                Syslog::parse(&syslog, ca).map(Self::Syslog)
            }
            AnyTarget { file: None, syslog: None, ca: None, webhook: Some(url), secret: Some(secret) } => {
                Ok(Self::Webhook { url, secret })
            }
            _ => Err(Wrong("`to` must be { file }, or { syslog, ca }, or { webhook, secret }")),
        }
    }
}

impl Syslog {
    fn parse(text: &str, ca: Option<PathBuf>) -> Result<Self, Wrong> {
        const WRONG: Wrong =
            Wrong("`syslog` must be tcp://host:port, or tls://host:port, where `ca` may follow");
        let uri: http::Uri = text.parse().map_err(|_| WRONG)?;
        let tls = match uri.scheme_str() {
            Some("tls") => true,
            Some("tcp") if ca.is_none() => false,
            _ => return Err(WRONG),
        };
        match (uri.host(), uri.port_u16()) {
            (Some(host), Some(port)) if matches!(uri.path(), "" | "/") => {
                let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                Ok(Self { host, port, tls, ca })
            }
            _ => Err(WRONG),
        }
    }
}

pub(super) fn exports<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<AuditExport>, D::Error> {
    let all = Vec::<AuditExport>::deserialize(deserializer)?;
    differ(all.iter().map(|export| &export.name))?;
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(to: &str) -> Result<Target, String> {
        let text = format!("name = 'siem'\nformat = 'json'\nto = {to}");
        toml::from_str::<AuditExport>(&text)
            .map(|export| export.to)
            .map_err(|error| error.message().to_owned())
    }

    #[test]
    fn a_target_is_one_of_three() {
        assert!(matches!(read("{ file = '/x' }"), Ok(Target::File(_))));
        let syslog = Syslog { host: "::1".into(), port: 6514, tls: true, ca: Some("/ca".into()) };
        assert!(matches!(
            read("{ syslog = 'tls://[::1]:6514', ca = '/ca' }"),
            Ok(Target::Syslog(found)) if found == syslog
        ));
        assert!(matches!(read("{ syslog = 'tcp://siem:514' }"), Ok(Target::Syslog(_))));
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let webhook = read(&format!("{{ webhook = 'https://x/hunter2', secret = '{secret}' }}")).unwrap();
        assert!(matches!(webhook, Target::Webhook { .. }) && !format!("{webhook:?}").contains("hunter2"));
        for wrong in [
            "{}",
            "{ file = '/x', webhook = 'https://x' }",
            "{ webhook = 'https://x' }",
            "{ syslog = 'udp://x:514' }",
            "{ syslog = 'tcp://x' }",
            "{ syslog = 'tcp://x:514', ca = '/ca' }",
        ] {
            assert!(read(wrong).unwrap_err().contains("must be"), "{wrong}");
        }
    }
}
