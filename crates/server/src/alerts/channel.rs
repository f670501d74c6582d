//! A channel, and what goes through it.

use reqwest::Client;
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{TokenId, UserId};
use tokenhouse_store::alerts::Alert;

use super::email::Smtp;
use super::{ChannelError, webhook};
use crate::app::App;
use crate::config;
use crate::config::alerts::{EMAIL, Slack, Webhook};
use crate::outbound::Outbound;

/// A way by which people are told, with its name.
#[derive(Debug)]
pub struct Channel {
    /// As it is configured; `email` for e-mail.
    pub name: String,
    /// What it is.
    pub way: Way,
}

/// What a channel is.
#[derive(Debug)]
pub enum Way {
    /// A webhook, signed.
    Webhook(Webhook, Client),
    /// A webhook in Slack's form.
    Slack(Slack, Client),
    /// E-mail.
    Email(Box<Smtp>),
}

impl Way {
    /// What it is, for people.
    pub const fn title(&self) -> &'static str {
        match self {
            Self::Webhook(..) => "Webhook",
            Self::Slack(..) => "Slack",
            Self::Email(_) => "E-mail",
        }
    }
}

/// What is sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// What it is known by, the same at every attempt.
    pub id: String,
    /// The rule that noticed it.
    pub kind: String,
    /// When.
    pub at: Timestamp,
    /// One line.
    pub title: String,
    /// What happened and what to do.
    pub text: String,
    /// Where something can be done.
    pub url: String,
    /// The token it is about.
    pub token: Option<TokenId>,
    /// The account it is about.
    pub user: Option<UserId>,
}

impl Message {
    /// An alert with its deliveries' common number.
    pub fn of(app: &App, alert: &Alert) -> Self {
        Self {
            id: format!("alert-{}", alert.id),
            kind: alert.kind.clone(),
            at: alert.at,
            title: alert.title.clone(),
            text: alert.text.clone(),
            url: format!("{}{}", app.config.server.public_url, alert.path),
            token: alert.token,
            user: alert.user,
        }
    }
}

/// Why something didn't arrive.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    /// In words, without anything secret.
    pub text: String,
    /// Trying again makes no sense.
    pub for_good: bool,
}

impl Failure {
    pub(super) const fn for_now(text: String) -> Self {
        Self { text, for_good: false }
    }

    pub(super) const fn for_good(text: String) -> Self {
        Self { text, for_good: true }
    }
}

/// The channels that are configured.
pub(super) fn of(config: &config::Alerts, outbound: &Outbound) -> Result<Vec<Channel>, ChannelError> {
    let mut channels = Vec::new();
    if !config.webhooks.is_empty() || !config.slack.is_empty() {
        let client = outbound.client().map_err(ChannelError::Http)?;
        channels.extend(config.webhooks.iter().map(|webhook| Channel {
            name: webhook.name.clone(),
            way: Way::Webhook(webhook.clone(), client.clone()),
        }));
        channels.extend(config.slack.iter().map(|slack| Channel {
            name: slack.name.clone(),
            way: Way::Slack(slack.clone(), client.clone()),
        }));
    }
    if let Some(email) = &config.email {
        channels.push(Channel { name: EMAIL.to_owned(), way: Way::Email(Box::new(Smtp::new(email)?)) });
    }
    Ok(channels)
}

impl Channel {
    /// Sends something, signed as of `now`; by e-mail to this address.
    pub async fn send(
        &self,
        message: &Message,
        address: Option<&str>,
        now: Timestamp,
    ) -> Result<(), Failure> {
        match &self.way {
            Way::Webhook(webhook, client) => {
                let body = webhook::body(message).to_string();
                let headers = webhook::signed(&webhook.secret.0, &message.id, now, &body)
                    .map_err(|error| Failure::for_good(error.to_string()))?;
                webhook::post(client, &webhook.url.0, headers, body).await
            }
            Way::Slack(slack, client) => {
                let body = webhook::slack_body(message).to_string();
                webhook::post(client, &slack.url.0, http::HeaderMap::new(), body).await
            }
            Way::Email(smtp) => match address {
                Some(address) => smtp.send(message, address).await,
                None => Err(Failure::for_good("there is nobody to send it to".into())),
            },
        }
    }
}
