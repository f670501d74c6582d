//! The public keys with which GitHub signs what its secret scanning has found.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{StatusCode, Uri, header};
use reqwest::Client;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use tokenhouse_core::clock::Timestamp;
use tokio::sync::watch;

use crate::config;
use crate::error::Error;
use crate::outbound::Outbound;

/// The most bytes that its keys may have.
const LIMIT: usize = 1024 * 1024;

/// After so many seconds a key may have been taken back.
const LIFETIME: i64 = 24 * 60 * 60;

/// What a public key of the curve P-256 begins with in DER (RFC 5480), before its point.
const P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// The keys, as far as they are known. They are asked for when one is missing, or when they are old.
pub struct GithubKeys {
    url: Uri,
    refetch_after: i64,
    client: Client,
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    /// Points of the curve, by the names of the keys.
    points: HashMap<String, Vec<u8>>,
    asked: Option<Timestamp>,
    told: Option<Timestamp>,
    /// Closed when the answer that is awaited is there, or none is to come.
    awaited: Option<watch::Receiver<()>>,
}

impl fmt::Debug for GithubKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GithubKeys").field("url", &self.url).finish_non_exhaustive()
    }
}

impl GithubKeys {
    /// None are known yet.
    ///
    /// # Errors
    /// If there can be no HTTP client.
    pub fn new(config: &config::Github, outbound: &Outbound) -> Result<Self, reqwest::Error> {
        Ok(Self {
            url: config.keys_url.clone(),
            refetch_after: i64::try_from(config.refetch_after.as_secs()).unwrap_or(i64::MAX),
            client: outbound.client()?,
            known: Arc::default(),
        })
    }

    /// Whether a text was signed with the key of this name (ECDSA over P-256 and SHA-256, in DER).
    ///
    /// # Errors
    /// If the key isn't known and can't be asked for now.
    pub async fn have_signed(
        &self,
        key: &str,
        text: &[u8],
        signature: &[u8],
        now: Timestamp,
    ) -> Result<bool, Error> {
        if let Some(mut awaited) = self.ask_if_wanted(key, now) {
            // That it is closed is what is waited for.
            let _ = awaited.changed().await;
        }
        let known = lock(&self.known);
        match known.points.get(key) {
            Some(point) => {
                Ok(UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(text, signature).is_ok())
            }
            // It may well be GitHub, which tries again.
            None if known.told != known.asked => {
                Err(Error::Unavailable("GitHub's keys can't be asked for".into()))
            }
            None => Ok(false),
        }
    }

    /// Asks for the keys if this one is missing or old, and gives what to wait for. Whoever doesn't need them isn't kept
    /// waiting, and nobody asks while somebody else does.
    fn ask_if_wanted(&self, key: &str, now: Timestamp) -> Option<watch::Receiver<()>> {
        let mut known = lock(&self.known);
        let is_over = |at: Option<Timestamp>, seconds| at.is_none_or(|at| at.plus_seconds(seconds) <= now);
        if known.points.contains_key(key) && !is_over(known.told, LIFETIME) {
            return None;
        }
        // Over is what has been told of, and what came to nothing.
        let is_asking = known.awaited.as_ref().is_some_and(|awaited| awaited.has_changed().is_ok());
        if !is_asking && is_over(known.asked, self.refetch_after) {
            known.asked = Some(now);
            let (answered, awaited) = watch::channel(());
            known.awaited = Some(awaited);
            let (client, url, known) = (self.client.clone(), self.url.to_string(), Arc::clone(&self.known));
            // On its own: whoever began may leave, and others wait too.
            tokio::spawn(async move {
                let told = fetch(&client, &url).await;
                let mut known = lock(&known);
                match told {
                    Ok(points) => (known.points, known.told) = (points, Some(now)),
                    Err(error) => tracing::warn!(%error, "GitHub's keys can't be asked for"),
                }
                drop(answered);
            });
        }
        known.awaited.clone()
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn fetch(
    client: &Client,
    url: &str,
) -> Result<HashMap<String, Vec<u8>>, Box<dyn std::error::Error + Send + Sync>> {
    let mut answer = client.get(url).header(header::ACCEPT, "application/json").send().await?;
    if answer.status() != StatusCode::OK {
        return Err(format!("the answer is {}", answer.status()).into());
    }
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await? {
        if body.len() + part.len() > LIMIT {
            return Err(format!("the answer is longer than {LIMIT} bytes").into());
        }
        body.extend_from_slice(&part);
    }
    let listed: Listed = serde_json::from_slice(&body)?;
    let keys = listed.public_keys.into_iter();
    // Of another kind than was agreed on, a key verifies nothing.
    Ok(keys.filter_map(|key| Some((key.key_identifier, point(&key.key)?))).collect())
}

/// The point of a key in PEM, if it is one of the right curve.
fn point(pem: &str) -> Option<Vec<u8>> {
    let key = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).ok()?;
    key.as_ref().strip_prefix(&P256).map(<[u8]>::to_vec)
}

/// What GitHub tells.
#[derive(Deserialize)]
struct Listed {
    public_keys: Vec<PublicKey>,
}

#[derive(Deserialize)]
struct PublicKey {
    key_identifier: String,
    key: String,
}
