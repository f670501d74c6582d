//! What the benchmarks measure with: an authority full of tokens, in memory here, on disk in [`fill`];
//! and around it what runs servers ([`server`], [`tokenhouse`], [`nginx`]), loads them ([`wrk`], [`h2load`],
//! [`open_loop`]) and tells the figures ([`rounds`], [`report`]).

pub mod background;
pub mod certificate;
pub mod commits;
pub mod fill;
pub mod h2load;
pub mod in_process;
pub mod logged;
pub mod nginx;
pub mod open_loop;
pub mod plot;
pub mod report;
pub mod request;
pub mod rounds;
pub mod server;
pub mod tokenhouse;
pub mod wrk;

use std::net::{IpAddr, Ipv4Addr};

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::codec::{Codec, OwnerClaims};
use tokenhouse_core::id::{TokenId, UserId};
use tokenhouse_core::index::{Index, OwnerState, TokenState, Use};
use tokenhouse_core::keys::MasterKey;
use tokenhouse_core::people::{Role, UserType};
use tokenhouse_core::random::{NoRandomness, Random};
use tokenhouse_core::token::{Plaintext, TokenHash};

/// Anything that ends a benchmark.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// When the tokens in memory were made and when they are checked.
pub const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// The use that a check notes.
pub const USE: Use = Use { at: NOW, ip: IpAddr::V4(Ipv4Addr::LOCALHOST) };

/// How many tokens each owner has.
pub const TOKENS_PER_OWNER: usize = 10;

/// So many tokens at most are presented; of more, every so-manieth.
const PRESENTED_LIMIT: usize = 1_000_000;

/// The public URL of the authority that all benchmarks use.
pub const ISSUER: &str = "https://tokens.example.com";

/// Its master key.
pub fn master_key() -> Result<MasterKey, NoRandomness> {
    MasterKey::generate(&Random::seeded(1))
}

/// Its codec.
pub fn codec() -> Result<Codec, NoRandomness> {
    Ok(Codec::new(&master_key()?, ISSUER))
}

/// Mints token number `number`, which is good for 90 days. All tokens have the same length, 361 bytes.
pub fn mint(codec: &Codec, number: usize, issued: Timestamp) -> (Plaintext, TokenHash) {
    let sub = format!("local|{number:022}");
    let email = format!("person-{number:08}@example.com");
    let claims = OwnerClaims { sub: &sub, email: &email, name: "Ada Lovelace" };
    codec.mint(claims, format!("{number:022}"), issued, Some(issued.plus_days(90)))
}

/// The present state of owner number `number`.
pub fn owner(number: usize) -> OwnerState {
    OwnerState {
        id: UserId(signed(number)),
        user_id: format!("local|{number:022}"),
        user_name: format!("person-{number:08}@example.com"),
        email: format!("person-{number:08}@example.com"),
        name: "Ada Lovelace".into(),
        role: Role::Member,
        user_type: UserType::Human,
        teams: vec!["Public".into(), "Research".into()],
        active: true,
    }
}

/// The state of token number `number`.
pub fn token(number: usize) -> TokenState {
    TokenState {
        id: TokenId(signed(number)),
        expires_at: Some(NOW.plus_days(90)),
        revoked: false,
        scim_only: false,
    }
}

/// An index with `owners` owners, no tokens yet, and room for `tokens`.
pub fn index_of_owners(owners: usize, tokens: usize) -> Index {
    let index = Index::with_capacity(tokens);
    for number in 0..owners {
        index.put_owner(owner(number));
    }
    index
}

/// Puts token number `number` into the index; its owner is one of `owners`.
pub fn put_token(index: &Index, hash: &TokenHash, number: usize, owners: usize) {
    index.put_token(hash, token(number), UserId(signed(number % owners)));
}

/// An authority with tokens, and requests with them in an order that has nothing to do with where
/// they lie in memory: every lookup meets cold entries, as it does between requests of strangers.
/// The texts lie one behind the other, because a server has just read the one it checks.
pub struct Population {
    /// Recognizes the tokens.
    pub codec: Codec,
    /// Holds all of them.
    pub index: Index,
    /// How many owners share the tokens.
    pub owners: usize,
    /// The hashes of the tokens that are presented, in order.
    pub hashes: Vec<TokenHash>,
    texts: Vec<u8>,
}

impl Population {
    /// Mints `tokens` tokens, [`TOKENS_PER_OWNER`] for each owner, and fills the index with them.
    pub fn new(tokens: usize) -> Result<Self, NoRandomness> {
        let codec = codec()?;
        let owners = tokens.div_ceil(TOKENS_PER_OWNER);
        let index = index_of_owners(owners, tokens);
        let every = tokens.div_ceil(PRESENTED_LIMIT);
        let (mut texts, mut hashes, mut minted) = (Vec::new(), Vec::new(), Vec::with_capacity(tokens));
        for number in 0..tokens {
            let (text, hash) = mint(&codec, number, NOW);
            if number % every == 0 {
                texts.extend_from_slice(text.expose().as_bytes());
                hashes.push(hash);
            }
            minted.push(hash);
        }
        minted.shuffle(&mut StdRng::seed_from_u64(1));
        for (number, hash) in minted.iter().enumerate() {
            put_token(&index, hash, number, owners);
        }
        Ok(Self { codec, index, owners, hashes, texts })
    }

    /// The tokens that are presented, in order.
    pub fn texts(&self) -> impl Iterator<Item = &[u8]> + Clone {
        self.texts.chunks_exact(self.texts.len() / self.hashes.len())
    }
}

/// Numbers here stay far below the limit.
pub(crate) fn signed(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
