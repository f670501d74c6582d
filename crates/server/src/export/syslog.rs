//! To a syslog server: RFC 5424 with counted octets (RFC 6587), over TCP or TLS (RFC 5425).
//!
//! TCP has no acknowledgement: what the system has taken over may be lost when the connection or the server breaks then.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokenhouse_core::clock::Timestamp;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::ExportError;
use crate::config::export::Syslog;

/// Facility 13 (audit), severity 6 (informational).
const PRIORITY: u8 = 13 * 8 + 6;

/// The longest name of a host and of an action that the standard takes.
const LONGEST_HOST: usize = 255;
const LONGEST_ID: usize = 32;

/// How long connecting and writing may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// One message with its length.
pub(super) fn message(host: &str, at: Timestamp, action: &str, text: &str) -> String {
    let (host, id) = (word(host, LONGEST_HOST), word(action, LONGEST_ID));
    let message = format!("<{PRIORITY}>1 {at} {host} tokenhouse - {id} - {text}");
    format!("{} {message}", message.len())
}

/// A word as the standard takes it; `-` is none.
fn word(text: &str, longest: usize) -> String {
    let printable = text.chars().filter(char::is_ascii_graphic).take(longest).collect::<String>();
    if printable.is_empty() { "-".to_owned() } else { printable }
}

/// Sends messages over a connection of their own, and returns when the system has taken them over.
pub(super) async fn send(to: &Syslog, messages: String) -> Result<(), ExportError> {
    let sent = async {
        let stream = TcpStream::connect((to.host.as_str(), to.port)).await?;
        if !to.tls {
            return write(stream, messages).await;
        }
        let name = ServerName::try_from(to.host.clone())
            .map_err(|_| ExportError::Tls("the host's name can't be one".into()))?;
        let connector = TlsConnector::from(Arc::new(client_config(to)?));
        write(connector.connect(name, stream).await?, messages).await
    };
    timeout(PATIENCE, sent).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

async fn write(mut stream: impl AsyncWrite + Unpin, messages: String) -> Result<(), ExportError> {
    stream.write_all(messages.as_bytes()).await?;
    stream.flush().await?;
    stream.shutdown().await?;
    Ok(())
}

fn client_config(to: &Syslog) -> Result<ClientConfig, ExportError> {
    let mut authorities = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.into() };
    if let Some(ca) = &to.ca {
        let wrong = |error: &dyn std::fmt::Display| ExportError::Tls(format!("{}: {error}", ca.display()));
        for certificate in CertificateDer::pem_file_iter(ca).map_err(|error| wrong(&error))? {
            authorities.add(certificate.map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ExportError::Tls(error.to_string()))?;
    Ok(builder.with_root_certificates(authorities).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_counted_in_octets_and_its_words_are_plain() {
        let at = Timestamp::parse("2026-01-15T10:30:00.25Z").unwrap();
        assert_eq!(
            message("gate 1\u{e9}", at, "user.signed_in", "{\"name\":\"\u{e9}\"}"),
            "80 <110>1 2026-01-15T10:30:00.25Z gate1 tokenhouse - user.signed_in - {\"name\":\"\u{e9}\"}"
        );
        assert_eq!(word("", 5), "-");
        assert_eq!(word("123456", 5), "12345");
    }
}
