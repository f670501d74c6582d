//! The master key and the keys derived from it, one per purpose (HKDF-SHA256, RFC 5869).

use std::fmt;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::id::SessionId;
use crate::random::{NoRandomness, Random};
use crate::session::SessionSecret;

/// HMAC-SHA256 (RFC 2104), keyed once and cloned for each use.
pub(crate) type HmacSha256 = Hmac<Sha256>;

/// How long the random part of a question's number is, in characters.
const QUESTION_START: usize = 16;

/// The secret everything hangs on: 32 bytes. `Debug` prints nothing of it; wiped when dropped.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; 32]>);

/// What a derived key is for. Each purpose has a key of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose<'a> {
    /// Signs tokens. Bound to the issuer, so a token of another issuer has a wrong signature.
    TokenSignature {
        /// The `iss` of the tokens.
        issuer: &'a str,
    },
    /// Hashes tokens for storage.
    TokenHash,
    /// Seals the head of the audit chain.
    AuditSeal,
    /// Signs the assertions that the gateway gives to upstreams (an Ed25519 seed).
    Assertion,
    /// Hashes one-time codes such as invitations.
    OneTimeCode,
    /// Hashes the secrets of sessions for storage.
    Session,
    /// Binds a question to the session it was asked in.
    Question,
    /// Proves that a store belongs to this master key.
    Check,
}

/// The text is not a master key.
#[derive(Debug, thiserror::Error)]
#[error("a master key is 32 bytes in base64 (44 characters), for example from `openssl rand -base64 32`")]
pub struct NotAMasterKey;

impl MasterKey {
    /// A new one.
    pub fn generate(random: &Random) -> Result<Self, NoRandomness> {
        Ok(Self(Zeroizing::new(random.bytes()?)))
    }

    /// Reads base64 of 32 bytes, with white space around it allowed.
    pub fn parse(text: &str) -> Result<Self, NotAMasterKey> {
        let decoded = Zeroizing::new(BASE64_STANDARD.decode(text.trim()).map_err(|_| NotAMasterKey)?);
        let bytes = <[u8; 32]>::try_from(decoded.as_slice()).map_err(|_| NotAMasterKey)?;
        Ok(Self(Zeroizing::new(bytes)))
    }

    /// The key as base64, for the one file it is kept in.
    pub fn expose(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE64_STANDARD.encode(self.0.as_slice()))
    }

    /// The key for a purpose.
    pub fn derive(&self, purpose: Purpose<'_>) -> Zeroizing<[u8; 32]> {
        let (label, context) = match purpose {
            Purpose::TokenSignature { issuer } => ("token signature", issuer),
            Purpose::TokenHash => ("token hash", ""),
            Purpose::AuditSeal => ("audit seal", ""),
            Purpose::Assertion => ("assertion", ""),
            Purpose::OneTimeCode => ("one-time code", ""),
            Purpose::Session => ("session", ""),
            Purpose::Question => ("question", ""),
            Purpose::Check => ("check", ""),
        };
        let mut key = Zeroizing::new([0; 32]);
        let parts: [&[u8]; 4] = [b"tokenhouse/1/", label.as_bytes(), b"\0", context.as_bytes()];
        let expanded =
            Hkdf::<Sha256>::new(None, self.0.as_slice()).expand_multi_info(&parts, key.as_mut_slice());
        debug_assert!(expanded.is_ok(), "32 bytes are within what HKDF-SHA256 gives");
        key
    }

    /// An HMAC under the key for a purpose.
    pub(crate) fn hmac(&self, purpose: Purpose<'_>) -> HmacSha256 {
        // HMAC fills a short key with zeros up to its block anyway (RFC 2104, section 2).
        let mut block = Zeroizing::new([0; 64]);
        block[..32].copy_from_slice(self.derive(purpose).as_slice());
        HmacSha256::new((&*block).into())
    }

    /// A value that only this master key gives, kept in the store to recognize a wrong key.
    pub fn check_value(&self) -> [u8; 32] {
        self.hmac(Purpose::Check).finalize().into_bytes().into()
    }

    /// The keyed hash of a one-time code: all that is stored of it.
    pub fn code_hash(&self, code: &str) -> [u8; 32] {
        self.hmac(Purpose::OneTimeCode).chain_update(code.as_bytes()).finalize().into_bytes().into()
    }

    /// The keyed hash of a session's secret: all that is stored of it.
    pub fn session_hash(&self, secret: &SessionSecret) -> [u8; 32] {
        self.hmac(Purpose::Session).chain_update(secret.expose().as_bytes()).finalize().into_bytes().into()
    }

    /// A number for a question that somebody is asked: at random, and bound to their session and to what is
    /// asked. 59 characters of base64url.
    pub fn question(&self, random: &Random, session: SessionId, asked: &str) -> Result<String, NoRandomness> {
        let start = random.text::<12>()?;
        let seal = self.question_seal(&start, session, asked).finalize().into_bytes();
        Ok(start + &BASE64_URL_SAFE_NO_PAD.encode(seal))
    }

    /// Whether a number was given to this very question in this session.
    pub fn is_question(&self, number: &str, session: SessionId, asked: &str) -> bool {
        let Some((start, seal)) = number.split_at_checked(QUESTION_START) else { return false };
        let seal = BASE64_URL_SAFE_NO_PAD.decode(seal);
        seal.is_ok_and(|seal| self.question_seal(start, session, asked).verify_slice(&seal).is_ok())
    }

    fn question_seal(&self, start: &str, session: SessionId, asked: &str) -> HmacSha256 {
        let bound = format!("{start}{session}\0{asked}");
        self.hmac(Purpose::Question).chain_update(bound.as_bytes())
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_key_survives_its_file_and_prints_nothing() {
        let key = MasterKey::generate(&Random::seeded(1)).unwrap();
        let again = MasterKey::parse(&format!("{}\n", key.expose().as_str())).unwrap();
        assert_eq!(key.check_value(), again.check_value());
        assert_eq!(format!("{key:?}"), "MasterKey(hidden)");
    }

    #[test]
    fn what_is_not_32_bytes_is_refused() {
        for bad in ["", "hunter2", &BASE64_STANDARD.encode([1; 31]), &BASE64_STANDARD.encode([1; 33])] {
            assert!(MasterKey::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_question_is_answered_in_its_session_and_as_it_was_asked() {
        let random = Random::seeded(1);
        let key = MasterKey::generate(&random).unwrap();
        let number = key.question(&random, SessionId(1), "this").unwrap();
        assert_eq!(number.len(), 59);
        assert_ne!(number, key.question(&random, SessionId(1), "this").unwrap());
        assert!(key.is_question(&number, SessionId(1), "this"));
        assert!(!key.is_question(&number, SessionId(2), "this"));
        assert!(!key.is_question(&number, SessionId(1), "that"));
        assert!(!MasterKey::generate(&random).unwrap().is_question(&number, SessionId(1), "this"));
        let other = format!("x{}", &number[1..]);
        for guessed in ["", "guessed", "sixteen letters", "not in ASCII äöü", &number[..58], &other] {
            assert!(!key.is_question(guessed, SessionId(1), "this"), "{guessed}");
        }
    }

    #[test]
    fn every_purpose_has_its_own_key() {
        let key = MasterKey::generate(&Random::seeded(1)).unwrap();
        let purposes = [
            Purpose::TokenSignature { issuer: "http://a" },
            Purpose::TokenSignature { issuer: "http://b" },
            Purpose::TokenHash,
            Purpose::AuditSeal,
            Purpose::Assertion,
            Purpose::OneTimeCode,
            Purpose::Session,
            Purpose::Question,
            Purpose::Check,
        ];
        let keys: std::collections::HashSet<_> = purposes.iter().map(|p| *key.derive(*p)).collect();
        assert_eq!(keys.len(), purposes.len());
    }
}
