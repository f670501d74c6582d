//! What this server asks others for by itself, over HTTP: webhooks, and GitHub's keys.

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::{Client, redirect};

/// How long an answer may take to its end.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// The one client, made when somebody needs it: it reads the authorities that the system trusts.
#[derive(Default, Debug)]
pub struct Outbound(OnceLock<Client>);

impl Outbound {
    /// The client. It follows no redirect: what is signed goes where it is configured to go.
    ///
    /// # Errors
    /// If it can't be set up.
    pub fn client(&self) -> Result<Client, reqwest::Error> {
        if let Some(client) = self.0.get() {
            return Ok(client.clone());
        }
        // Refuses where it was done already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .timeout(TIMEOUT)
            .user_agent(concat!("Tokenhouse/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(self.0.get_or_init(|| client).clone())
    }
}
