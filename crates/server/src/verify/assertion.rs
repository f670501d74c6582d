//! What the gateway tells an upstream about a caller, signed: a JWT (RFC 7519) with EdDSA (RFC 8037)
//! that lives for 60 seconds. Anybody can check it with the key at `/.well-known/jwks.json`.
//!
//! It says nothing finer than a second but its own number, and signing takes longer than any other step of the
//! gateway. So requests of one token within a second may carry the same assertion, where that is configured and as
//! long as nothing changes about the owner.

use std::borrow::Cow;
use std::sync::Arc;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use http::HeaderValue;
use serde::Serialize;
use serde_json::json;
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::TokenId;
use tokenhouse_core::index::Owner;
use tokenhouse_core::keys::{MasterKey, Purpose};
use tokenhouse_core::people::{Role, UserType};
use tokenhouse_core::random::Random;
use tokenhouse_core::verdict::Accepted;
use utoipa::ToSchema;

use crate::config::Config;
use crate::error::Error;

/// Seconds an assertion lives.
const LIFETIME: i64 = 60;

/// Signs assertions of one issuer for one audience.
pub struct Assertion {
    key: SigningKey,
    /// The fixed header, encoded and with its dot.
    header: String,
    key_id: String,
    issuer: String,
    audience: String,
    /// What can be told once more, if that may be.
    latest: Option<ArcSwap<Second>>,
}

/// What was signed in one second.
#[derive(Default)]
struct Second {
    /// Which, since the Unix epoch.
    number: i64,
    signed: papaya::HashMap<TokenId, Signed>,
}

/// What was signed about a token and its owner.
struct Signed {
    owner: Arc<Owner>,
    text: HeaderValue,
}

impl std::fmt::Debug for Assertion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Assertion").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    email: &'a str,
    name: &'a str,
    role: Role,
    teams: Vec<Cow<'a, str>>,
    user_type: UserType,
    token_id: TokenId,
    iat: i64,
    exp: i64,
    jti: String,
}

/// Public keys (RFC 7517).
#[derive(Debug, Serialize, ToSchema)]
pub struct KeySet {
    keys: Vec<Key>,
}

/// A public key (RFC 8037, section 2).
#[derive(Debug, Serialize, ToSchema)]
pub struct Key {
    #[schema(example = "OKP")]
    kty: &'static str,
    #[schema(example = "Ed25519")]
    crv: &'static str,
    #[serde(rename = "use")]
    #[schema(example = "sig")]
    usage: &'static str,
    #[schema(example = "EdDSA")]
    alg: &'static str,
    kid: String,
    x: String,
}

impl Assertion {
    /// The signer under this master key.
    pub fn new(master: &MasterKey, config: &Config) -> Self {
        let key = SigningKey::from_bytes(&master.derive(Purpose::Assertion));
        let public = key.verifying_key();
        let key_id = BASE64_URL_SAFE_NO_PAD.encode(&public.as_bytes()[..9]);
        let header = json!({ "alg": "EdDSA", "typ": "JWT", "kid": key_id }).to_string();
        Self {
            header: BASE64_URL_SAFE_NO_PAD.encode(header) + ".",
            key,
            key_id,
            issuer: config.server.public_url.clone(),
            audience: config.gateway.audience.clone(),
            latest: config.gateway.reuse_assertions.then(ArcSwap::default),
        }
    }

    /// The signed statement that `accepted` is calling at `now`, for a header.
    pub fn of(&self, accepted: &Accepted, now: Timestamp, random: &Random) -> Result<HeaderValue, Error> {
        let sign = || HeaderValue::try_from(self.sign(accepted, now, random)?).map_err(Error::internal);
        let Some(kept) = &self.latest else { return sign() };
        let mut latest = kept.load_full();
        if latest.number != now.seconds() {
            latest = Arc::new(Second { number: now.seconds(), ..Second::default() });
            // Whoever else does so at this moment may replace it: then some are signed once more.
            kept.store(Arc::clone(&latest));
        }
        let signed = latest.signed.pin();
        // Whatever changes about an owner makes another one of them.
        let same = signed.get(&accepted.token.id).filter(|same| Arc::ptr_eq(&same.owner, &accepted.owner));
        if let Some(same) = same {
            return Ok(same.text.clone());
        }
        let text = sign()?;
        signed.insert(accepted.token.id, Signed { owner: Arc::clone(&accepted.owner), text: text.clone() });
        Ok(text)
    }

    fn sign(&self, accepted: &Accepted, now: Timestamp, random: &Random) -> Result<String, Error> {
        let (state, identity) = (&accepted.owner.state, &accepted.owner.identity);
        let claims = Claims {
            iss: &self.issuer,
            aud: &self.audience,
            sub: identity.user_id_text(),
            email: identity.email_text(),
            name: identity.name(),
            role: state.role,
            teams: identity.team_names().collect(),
            user_type: state.user_type,
            token_id: accepted.token.id,
            iat: now.seconds(),
            exp: now.seconds() + LIFETIME,
            jti: random.text::<16>()?,
        };
        let claims = serde_json::to_vec(&claims).map_err(Error::internal)?;
        let mut text = self.header.clone();
        BASE64_URL_SAFE_NO_PAD.encode_string(claims, &mut text);
        let signature = self.key.sign(text.as_bytes()).to_bytes();
        text.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(signature, &mut text);
        Ok(text)
    }

    /// The public key.
    pub fn key_set(&self) -> KeySet {
        let x = BASE64_URL_SAFE_NO_PAD.encode(self.key.verifying_key().as_bytes());
        let kid = self.key_id.clone();
        KeySet { keys: vec![Key { kty: "OKP", crv: "Ed25519", usage: "sig", alg: "EdDSA", kid, x }] }
    }
}
