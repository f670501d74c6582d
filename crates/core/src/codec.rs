//! The form of a token on the wire: a JWT (RFC 7519) signed with HS256 (RFC 7515), and its keyed hash.
//!
//! Minting writes claims for whoever wants to read them. Checking reads none: the header is compared
//! with the one constant there is, the signature binds everything else, and what counts is in the
//! index. The issuer is bound by the signing key, see [`Purpose::TokenSignature`].

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::Mac as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::keys::{HmacSha256, MasterKey, Purpose};
use crate::token::{Plaintext, TokenHash};

/// `{"alg":"HS256","typ":"JWT","kid":"th1"}`, in base64url. 39 bytes, so without padding bits.
const HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InRoMSJ9";

/// What every token starts with: the header up to `"kid":"th`, in whole groups of base64url.
pub const SCANNER_PREFIX: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InRo";

/// Longest token that is looked at. The longest that can be minted has about 7,000 bytes.
const LENGTH_LIMIT: usize = 8 * 1024;

/// Length of a base64url HMAC-SHA256.
const SIGNATURE_LENGTH: usize = 43;

/// What a token says about itself and its owner at the time it was made. Informative only: nothing
/// is decided by it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Claims {
    /// Issuer: the public URL of the authority.
    pub iss: String,
    /// Subject: the owner's `user_id`.
    pub sub: String,
    /// The owner's e-mail address.
    pub email: String,
    /// The owner's name.
    pub name: String,
    /// Random id of this token, 128 bits in base64url.
    pub jti: String,
    /// Issued at, seconds since the Unix epoch.
    pub iat: i64,
    /// Expires at, seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exp: Option<i64>,
}

/// The [`Claims`] about the making of a token, which nothing else knows.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Issued {
    /// Random id of the token.
    pub jti: String,
    /// When it was made, seconds since the Unix epoch.
    pub iat: i64,
}

/// Why something is not a token of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotGenuine {
    /// It doesn't have the form of one.
    #[error("not a token")]
    Malformed,
    /// It has the form, but was not signed by this authority for this issuer.
    #[error("not signed here")]
    BadSignature,
}

/// A text whose signature is ours. Whether it is let through is for the verdict to say.
#[derive(Clone, Copy, Debug)]
pub struct Genuine<'a> {
    hash: TokenHash,
    payload: &'a [u8],
}

impl Genuine<'_> {
    /// The keyed hash by which the token is known.
    pub const fn hash(&self) -> TokenHash {
        self.hash
    }

    /// What was written into the token about its making.
    pub fn issued(&self) -> Result<Issued, NotGenuine> {
        self.payload()
    }

    fn payload<T: DeserializeOwned>(&self) -> Result<T, NotGenuine> {
        let json = BASE64_URL_SAFE_NO_PAD.decode(self.payload).map_err(|_| NotGenuine::Malformed)?;
        serde_json::from_slice(&json).map_err(|_| NotGenuine::Malformed)
    }
}

/// Makes and recognizes tokens of one issuer under one master key.
#[derive(Clone)]
pub struct Codec {
    issuer: String,
    signature: HmacSha256,
    hash: HmacSha256,
}

impl std::fmt::Debug for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Codec").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl Codec {
    /// The codec for tokens that carry `issuer`.
    pub fn new(master: &MasterKey, issuer: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            signature: master.hmac(Purpose::TokenSignature { issuer }),
            hash: master.hmac(Purpose::TokenHash),
        }
    }

    /// The issuer of the tokens.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Makes a token. The plain text exists here for the first and the last time.
    pub fn mint(
        &self,
        owner: OwnerClaims<'_>,
        jti: String,
        issued: Timestamp,
        end: Option<Timestamp>,
    ) -> (Plaintext, TokenHash) {
        let claims = Claims {
            iss: self.issuer.clone(),
            sub: owner.sub.to_owned(),
            email: owner.email.to_owned(),
            name: owner.name.to_owned(),
            jti,
            iat: issued.seconds(),
            exp: end.map(Timestamp::seconds),
        };
        let payload = BASE64_URL_SAFE_NO_PAD.encode(serde_json::json!(claims).to_string());
        let mut text = format!("{HEADER}.{payload}");
        let signature: [u8; 32] =
            self.signature.clone().chain_update(text.as_bytes()).finalize().into_bytes().into();
        text.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(signature, &mut text);
        (Plaintext::new(text), self.hash_of(&signature))
    }

    /// Checks form and signature, in this order and before anything else is looked at. The
    /// comparison of the signature takes constant time.
    pub fn read<'a>(&self, text: &'a [u8]) -> Result<Genuine<'a>, NotGenuine> {
        let unheaded = (text.len() <= LENGTH_LIMIT)
            .then(|| text.strip_prefix(HEADER.as_bytes())?.strip_prefix(b"."))
            .flatten()
            .ok_or(NotGenuine::Malformed)?;
        let payload_length = unheaded.len().checked_sub(SIGNATURE_LENGTH + 1).ok_or(NotGenuine::Malformed)?;
        let (payload, rest) = unheaded.split_at(payload_length);
        let encoded = rest.strip_prefix(b".").ok_or(NotGenuine::Malformed)?;
        // Strict: refuses padding and stray bits, so a token has exactly one spelling.
        let mut signature = [0; 32];
        let decoded = BASE64_URL_SAFE_NO_PAD.decode_slice(encoded, &mut signature);
        if decoded != Ok(32) || payload.is_empty() || payload.contains(&b'.') {
            return Err(NotGenuine::Malformed);
        }
        let signed = &text[..text.len() - SIGNATURE_LENGTH - 1];
        self.signature
            .clone()
            .chain_update(signed)
            .verify(&signature.into())
            .map_err(|_| NotGenuine::BadSignature)?;
        Ok(Genuine { hash: self.hash_of(&signature), payload })
    }

    /// The keyed hash of a token, taken over its signature: the signature binds the rest and is the
    /// part that can't be known without the token.
    fn hash_of(&self, signature: &[u8; 32]) -> TokenHash {
        TokenHash::from_bytes(self.hash.clone().chain_update(signature).finalize().into_bytes().into())
    }
}

/// What a new token says about its owner.
#[derive(Clone, Copy, Debug)]
pub struct OwnerClaims<'a> {
    /// The owner's `user_id`.
    pub sub: &'a str,
    /// The owner's e-mail address.
    pub email: &'a str,
    /// The owner's name.
    pub name: &'a str,
}

/// A regular expression that matches every token and, in practice, nothing else. Scanners repeat nothing more than a
/// thousand times, unless it is without end.
pub fn scanner_pattern() -> String {
    format!(
        "{SCANNER_PREFIX}[A-Za-z0-9_-]{{4,64}}\\.[A-Za-z0-9_-]{{20,}}\\.[A-Za-z0-9_-]{{{SIGNATURE_LENGTH}}}"
    )
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
    use proptest::prelude::*;

    use super::*;
    use crate::random::Random;

    const ISSUER: &str = "https://tokens.example.com";
    const ADA: OwnerClaims<'_> =
        OwnerClaims { sub: "local|ada", email: "ada@example.com", name: "Ada Lovelace" };

    fn master() -> MasterKey {
        MasterKey::generate(&Random::seeded(42)).unwrap()
    }

    fn codec() -> Codec {
        Codec::new(&master(), ISSUER)
    }

    fn mint() -> (Plaintext, TokenHash) {
        let issued = Timestamp::from_seconds(1_768_473_000);
        codec().mint(ADA, "jti-1".into(), issued, Some(issued.plus_days(30)))
    }

    #[test]
    fn the_header_is_what_it_says() {
        let header = BASE64_URL_SAFE_NO_PAD.decode(HEADER).unwrap();
        assert_eq!(header, br#"{"alg":"HS256","typ":"JWT","kid":"th1"}"#);
        assert!(HEADER.starts_with(SCANNER_PREFIX));
    }

    #[test]
    fn a_token_is_literally_this() {
        insta::assert_snapshot!(mint().0.expose());
    }

    #[test]
    fn a_minted_token_reads_back() {
        let (text, hash) = mint();
        let codec = codec();
        let genuine = codec.read(text.expose().as_bytes()).unwrap();
        assert_eq!(genuine.hash(), hash);
        let claims: Claims = genuine.payload().unwrap();
        let issued = Issued { jti: "jti-1".into(), iat: 1_768_473_000 };
        assert_eq!((claims.sub.as_str(), genuine.issued()), ("local|ada", Ok(issued)));
        assert_eq!(claims.exp, Some(1_768_473_000 + 30 * 86_400));
    }

    #[test]
    fn any_jwt_library_with_the_key_agrees() {
        let (text, _) = mint();
        let key = master().derive(Purpose::TokenSignature { issuer: ISSUER });
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.validate_exp = false;
        let read = decode::<Claims>(text.expose(), &DecodingKey::from_secret(key.as_slice()), &validation);
        let read = read.unwrap();
        assert_eq!(read.header.kid.as_deref(), Some("th1"));
        assert_eq!(read.claims.email, "ada@example.com");
    }

    #[test]
    fn another_issuer_another_key() {
        let (text, _) = mint();
        let other_issuer = Codec::new(&master(), "https://tokens.example.org");
        assert_eq!(other_issuer.read(text.expose().as_bytes()).err(), Some(NotGenuine::BadSignature));
        let other_key = MasterKey::generate(&Random::seeded(43)).unwrap();
        let other = Codec::new(&other_key, ISSUER);
        assert_eq!(other.read(text.expose().as_bytes()).err(), Some(NotGenuine::BadSignature));
    }

    #[test]
    fn known_attacks_on_jwt_fail() {
        let (text, _) = mint();
        let codec = codec();
        let genuine = codec.read(text.expose().as_bytes()).unwrap();
        let claims: Claims = genuine.payload().unwrap();
        let parts: Vec<&str> = text.expose().split('.').collect();
        let none = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT","kid":"th1"}"#);
        let hs512 = encode(&Header::new(Algorithm::HS512), &claims, &EncodingKey::from_secret(b"x")).unwrap();
        let admin = Claims { sub: "local|root".into(), ..claims };
        let changed = BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_string(&admin).unwrap());
        let attacks = [
            format!("{none}.{}.", parts[1]),
            format!("{none}.{}.{}", parts[1], parts[2]),
            hs512,
            format!("{}.{changed}.{}", parts[0], parts[2]),
            format!("{}.{}", parts[0], parts[1]),
            format!("{}.{}.", parts[0], parts[1]),
            format!("{}..{}", parts[0], parts[2]),
            format!("{}.{}.{}=", parts[0], parts[1], parts[2]),
            format!("{}.{}.{}", parts[0], parts[1], parts[2].to_uppercase()),
            format!(" {}", text.expose()),
            format!("{}\n", text.expose()),
            format!("{}.{}.{}.{}", parts[0], parts[1], parts[2], parts[2]),
            "x".repeat(1024 * 1024),
            format!("{}.{}.{}", parts[0], "A".repeat(1024 * 1024), parts[2]),
            String::new(),
            "....".into(),
        ];
        for attack in attacks {
            assert!(codec.read(attack.as_bytes()).is_err(), "{attack:.80}");
        }
    }

    #[test]
    fn every_single_changed_byte_is_noticed() {
        let (text, _) = mint();
        let codec = codec();
        for position in 0..text.expose().len() {
            let mut forged = text.expose().as_bytes().to_vec();
            forged[position] ^= 1;
            assert!(codec.read(&forged).is_err(), "byte {position}");
            assert!(codec.read(&text.expose().as_bytes()[..position]).is_err(), "cut at {position}");
        }
    }

    #[test]
    fn the_longest_token_fits() {
        // 255 characters of four bytes each, in the name; the longest address and issuer.
        let name = "🪙".repeat(255);
        let email = format!("{}@example.com", "e".repeat(242));
        let sub = "s".repeat(300);
        let codec = Codec::new(&master(), &format!("https://{}", "i".repeat(255)));
        let owner = OwnerClaims { sub: &sub, email: &email, name: &name };
        let (text, _) = codec.mint(owner, "j".repeat(22), Timestamp::from_seconds(0), None);
        assert!(text.expose().len() < LENGTH_LIMIT);
        assert!(codec.read(text.expose().as_bytes()).is_ok());
    }

    proptest! {
        #[test]
        fn whatever_names_say_a_token_reads_back(
            sub in any::<String>(), name in "\\PC{0,255}", jti in any::<String>(), seconds in 0..4_000_000_000i64,
        ) {
            prop_assume!(sub.len() < 500 && jti.len() < 500);
            let codec = codec();
            let owner = OwnerClaims { sub: &sub, email: "", name: &name };
            let (text, hash) = codec.mint(owner, jti, Timestamp::from_seconds(seconds), None);
            let genuine = codec.read(text.expose().as_bytes());
            prop_assert_eq!(genuine.map(|g| g.hash()), Ok(hash));
            let claims = codec.read(text.expose().as_bytes()).and_then(|g| g.payload::<Claims>());
            prop_assert_eq!(claims.map(|c| (c.sub, c.name, c.exp)), Ok((sub, name, None)));
        }

        #[test]
        fn no_bytes_make_it_panic_or_accept(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            prop_assert!(codec().read(&bytes).is_err());
            let headed = [HEADER.as_bytes(), b".", &bytes].concat();
            prop_assert!(codec().read(&headed).is_err());
        }
    }
}
