//! No bytes make the codec panic, and none but a minted token are accepted.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::codec::{Codec, OwnerClaims};
use tokenhouse_core::keys::MasterKey;
use tokenhouse_core::random::Random;

fuzz_target!(|bytes: &[u8]| {
    let master = MasterKey::generate(&Random::seeded(1)).expect("a seeded generator gives bytes");
    let codec = Codec::new(&master, "http://localhost");
    assert!(codec.read(bytes).is_err());

    // The same bytes in place of a genuine token's payload and signature.
    let owner = OwnerClaims { sub: "s", email: "e", name: "n" };
    let (genuine, _) = codec.mint(owner, "j".into(), Timestamp::from_seconds(0), None);
    let header = genuine.expose().split('.').next().unwrap_or_default();
    let forged = [header.as_bytes(), b".", bytes].concat();
    assert!(codec.read(&forged).is_err() || forged == genuine.expose().as_bytes());
});
