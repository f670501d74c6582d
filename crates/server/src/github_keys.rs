//! The public keys with which GitHub signs what its secret scanning has found.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls::RootCertStore;
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use tokenhouse_core::clock::Timestamp;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::config;
use crate::error::Error;
use crate::proxy::{self, ProxyConfigError};

/// How long GitHub may take to tell its keys.
const PATIENCE: Duration = Duration::from_secs(10);

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
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Points of the curve, by the names of the keys.
    points: HashMap<String, Vec<u8>>,
    asked: Option<Timestamp>,
    told: Option<Timestamp>,
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
    /// If there can be no TLS.
    pub fn new(config: &config::Github) -> Result<Self, ProxyConfigError> {
        let authorities = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.into() };
        let connector = HttpsConnectorBuilder::new().with_tls_config(proxy::tls(authorities)?);
        let connector = connector.https_or_http().enable_http1().build();
        Ok(Self {
            url: config.keys_url.clone(),
            refetch_after: i64::try_from(config.refetch_after.as_secs()).unwrap_or(i64::MAX),
            client: Client::builder(TokioExecutor::new()).build(connector),
            known: Mutex::default(),
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
        let mut known = self.known.lock().await;
        let is_over = |at: Option<Timestamp>, seconds| at.is_none_or(|at| at.plus_seconds(seconds) <= now);
        let wants = !known.points.contains_key(key) || is_over(known.told, LIFETIME);
        if wants && is_over(known.asked, self.refetch_after) {
            known.asked = Some(now);
            match timeout(PATIENCE, self.fetch()).await {
                Ok(Ok(points)) => (known.points, known.told) = (points, Some(now)),
                Ok(Err(error)) => tracing::warn!(%error, "GitHub's keys can't be asked for"),
                Err(_) => tracing::warn!("GitHub's keys can't be asked for: no answer in time"),
            }
        }
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

    async fn fetch(&self) -> Result<HashMap<String, Vec<u8>>, Box<dyn std::error::Error + Send + Sync>> {
        let request = Request::get(&self.url)
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, concat!("tokenhouse/", env!("CARGO_PKG_VERSION")))
            .body(Empty::new())?;
        let answer = self.client.request(request).await?;
        if answer.status() != StatusCode::OK {
            return Err(format!("the answer is {}", answer.status()).into());
        }
        let body = Limited::new(answer.into_body(), LIMIT).collect().await?.to_bytes();
        let listed: Listed = serde_json::from_slice(&body)?;
        let keys = listed.public_keys.into_iter();
        // Of another kind than was agreed on, a key verifies nothing.
        Ok(keys.filter_map(|key| Some((key.key_identifier, point(&key.key)?))).collect())
    }
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
