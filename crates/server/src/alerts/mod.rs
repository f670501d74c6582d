//! Alerts: what is noticed, and how people are told.
//!
//! What is noticed comes from three places: the audit trail, which is followed from a durable position (`trail.rs`), the
//! clock, once a minute (`sweep.rs`), and checks of tokens, whose traces in memory are looked at when last uses are
//! written (`checks.rs`, `failures.rs`). Each puts what it has to tell into the outbox of the store, in one transaction
//! with whatever would be noticed only once; `rules.rs` has the words. `delivery.rs` empties the outbox, and `prune.rs`
//! removes what is old.

mod channel;
pub mod checks;
pub mod delivery;
mod email;
mod failures;
pub mod prune;
mod rules;
pub mod sweep;
pub mod trail;
pub mod webhook;

use std::collections::HashSet;

use tokenhouse_store::alerts::Routes;

pub use self::channel::{Channel, Failure, Message, Way};
pub use self::failures::Failures;
use crate::config;
use crate::config::alerts::EMAIL;
use crate::outbound::Outbound;

/// The channels, and what is counted towards alerts.
#[derive(Debug)]
pub struct Alerts {
    /// Every channel, as it is configured.
    pub channels: Vec<Channel>,
    /// Where what goes.
    pub routes: Routes,
    /// Failed attempts by address.
    pub failures: Failures,
}

/// Why the channels can't be used as they are configured.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// Two have the same name.
    #[error("`{0}` is the name of two channels")]
    SameName(String),
    /// The HTTP client can't be set up.
    #[error("nothing can be posted: {0}")]
    Http(#[source] reqwest::Error),
    /// The SMTP client can't be set up.
    #[error("email: {0}")]
    Smtp(#[from] lettre::transport::smtp::Error),
    /// The file of the authority can't be read.
    #[error("email.ca: cannot read {0}: {1}")]
    Authority(String, std::io::Error),
}

impl Alerts {
    /// As it is configured.
    pub fn new(config: &config::Alerts, outbound: &Outbound) -> Result<Self, ChannelError> {
        let channels = channel::of(config, outbound)?;
        let mut names = HashSet::new();
        if let Some(channel) = channels.iter().find(|channel| !names.insert(&channel.name)) {
            return Err(ChannelError::SameName(channel.name.clone()));
        }
        let shared = channels.iter().filter(|channel| channel.name != EMAIL);
        let routes = Routes {
            shared: shared.map(|channel| channel.name.clone()).collect(),
            personal: config.email.as_ref().map(|_| EMAIL.to_owned()),
        };
        let failures = Failures::new(config.failures, config.failure_window);
        Ok(Self { channels, routes, failures })
    }

    /// The channel with this name.
    pub fn channel(&self, name: &str) -> Option<&Channel> {
        self.channels.iter().find(|channel| channel.name == name)
    }
}
