//! Alerts by e-mail: a plain and an HTML part, over an encrypted connection unless the configuration says otherwise.

use std::time::Duration;

use askama::Template;
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};

use super::ChannelError;
use super::channel::{Failure, Message};
use crate::config;
use crate::config::alerts::EmailTls;

/// How long the server may take for each step.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long it may take altogether.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server that takes mail.
#[derive(Debug)]
pub struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

#[derive(Template)]
#[template(path = "alert_email.html")]
struct Html<'a> {
    message: &'a Message,
}

impl Smtp {
    pub(super) fn new(config: &config::alerts::Email) -> Result<Self, ChannelError> {
        // Refuses where it was done already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let url = &config.smtp.0;
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.as_str())?.timeout(Some(TIMEOUT));
        let tls = match config.tls {
            EmailTls::None => Tls::None,
            EmailTls::Required => {
                let mut parameters = TlsParameters::builder(url.host_str().unwrap_or_default().to_owned());
                if let Some(ca) = &config.ca {
                    let pem = std::fs::read(ca)
                        .map_err(|error| ChannelError::Authority(ca.display().to_string(), error))?;
                    parameters = parameters.add_root_certificate(Certificate::from_pem(&pem)?);
                }
                let parameters = parameters.build_rustls()?;
                if url.scheme() == "smtps" { Tls::Wrapper(parameters) } else { Tls::Required(parameters) }
            }
        };
        Ok(Self { transport: builder.tls(tls).build(), from: config.from.clone() })
    }

    /// Sends it to this address.
    pub(super) async fn send(&self, message: &Message, address: &str) -> Result<(), Failure> {
        let address: Address =
            address.parse().map_err(|_| Failure::for_good("the address can't be one of e-mail".into()))?;
        let html = Html { message }.render().map_err(|error| Failure::for_good(error.to_string()))?;
        let plain = format!("{}\n\n{}\n\n{}\n", message.title, message.text, message.url);
        let mail = lettre::Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, address))
            .subject(message.title.as_str())
            .message_id(Some(format!("<{}@tokenhouse>", message.id)))
            .multipart(MultiPart::alternative_plain_html(plain, html))
            .map_err(|error| Failure::for_good(error.to_string()))?;
        match tokio::time::timeout(PATIENCE, self.transport.send(mail)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Failure::for_now(error.to_string())),
            Err(_) => Err(Failure::for_now("the mail server takes too long".into())),
        }
    }
}
