//! The chain of records: each hash covers the one before it, and the newest is sealed.

use std::fmt;
use std::str::FromStr;

use hmac::Mac as _;
use sha2::{Digest as _, Sha256};

use super::{Actor, Record};
use crate::keys::{HmacSha256, MasterKey, Purpose};
use crate::people::Invalid;

/// Number and hash of the newest record. Of an empty trail: zero and zeros.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// Number of the newest record.
    pub seq: i64,
    /// Its hash.
    pub hash: [u8; 32],
}

impl Head {
    /// The head of a trail without records.
    pub const EMPTY: Self = Self { seq: 0, hash: [0; 32] };

    /// The head after `record` has been added.
    #[must_use]
    pub fn after(&self, record: &Record) -> Self {
        Self { seq: record.seq, hash: link(&self.hash, record) }
    }
}

/// `SEQ:HASH`, the hash in hexadecimal.
impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, hex(&self.hash))
    }
}

impl FromStr for Head {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid("must be SEQ:HASH as `tokenhouse audit verify` prints it".into());
        let (seq, digits) = text.trim().split_once(':').ok_or_else(invalid)?;
        let seq = seq.parse().ok().filter(|seq: &i64| *seq >= 0).ok_or_else(invalid)?;
        if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(invalid());
        }
        let mut hash = [0; 32];
        for (byte, position) in hash.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&digits[position..position + 2], 16).map_err(|_| invalid())?;
        }
        Ok(Self { seq, hash })
    }
}

/// Bytes in lowercase hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        for digit in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(u32::from(digit), 16));
        }
        text
    })
}

/// The hash of a record that follows one with the hash `previous`: SHA-256 over both. Every field
/// is preceded by its length, so that nothing can be moved from one field to the next.
fn link(previous: &[u8; 32], record: &Record) -> [u8; 32] {
    let Record { seq, at, action, entity, actor, via_kind, via_token, ip, request_id, changes } = record;
    let mut hash = Sha256::new();
    hash.update(previous);
    let mut field = |present: bool, bytes: &[u8]| {
        hash.update([u8::from(present)]);
        hash.update(bytes.len().to_be_bytes());
        hash.update(bytes);
    };
    field(true, &seq.to_be_bytes());
    field(true, &at.micros().to_be_bytes());
    field(true, action.as_bytes());
    field(true, entity.kind.as_bytes());
    field(true, &entity.id.to_be_bytes());
    field(true, entity.name.as_bytes());
    match actor {
        None => field(false, &[]),
        Some(Actor { id, user_id, name, user_type }) => {
            field(true, &id.0.to_be_bytes());
            field(true, user_id.as_bytes());
            field(true, name.as_bytes());
            field(true, user_type.as_str().as_bytes());
        }
    }
    field(true, via_kind.as_bytes());
    field(via_token.is_some(), &via_token.map_or(0, |id| id.0).to_be_bytes());
    for text in [ip, request_id] {
        field(text.is_some(), text.as_deref().unwrap_or_default().as_bytes());
    }
    field(true, changes.as_bytes());
    hash.finalize().into()
}

/// Seals heads, and tells a seal from a forgery.
#[derive(Clone)]
pub struct Seal(HmacSha256);

impl Seal {
    /// The seal under this master key.
    pub fn new(master: &MasterKey) -> Self {
        Self(master.hmac(Purpose::AuditSeal))
    }

    /// The MAC of a head.
    pub fn of(&self, head: &Head) -> [u8; 32] {
        self.mac(head).finalize().into_bytes().into()
    }

    /// Whether a MAC is that of the head, in constant time.
    pub fn holds(&self, head: &Head, mac: &[u8]) -> bool {
        self.mac(head).verify_slice(mac).is_ok()
    }

    fn mac(&self, head: &Head) -> HmacSha256 {
        self.0.clone().chain_update(head.seq.to_be_bytes()).chain_update(head.hash)
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(hidden)")
    }
}

/// What is wrong with a trail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The record is missing: the next one that is there has a higher number.
    #[error("record {0} is missing")]
    Missing(i64),
    /// The record, or its hash, is not what was written.
    #[error("record {0} was changed")]
    Changed(i64),
    /// The chain holds together, but the sealed head says it ended elsewhere.
    #[error(
        "the newest record is {found}, but the sealed head says {sealed}: records from {first} on were cut off or added"
    )]
    HeadMoved {
        /// Where the chain ends.
        found: i64,
        /// Where it ended when it was sealed.
        sealed: i64,
        /// The first record that is in doubt.
        first: i64,
    },
    /// The chain was recomputed: it holds together, but this is not the head that was sealed.
    #[error(
        "the seal of the head does not hold: the chain up to record {0} was recomputed without the master key"
    )]
    SealBroken(i64),
    /// The head kept elsewhere is not part of this chain.
    #[error("record {0} does not have the expected hash: the chain up to it was rewritten")]
    NotAsExpected(i64),
}

/// Walks a trail record by record, oldest first.
#[derive(Debug)]
pub struct Verifier {
    head: Head,
    expected: Option<Head>,
}

impl Verifier {
    /// A walk from the beginning. `expected` is a head that was kept elsewhere.
    pub const fn new(expected: Option<Head>) -> Self {
        Self { head: Head::EMPTY, expected }
    }

    /// The next record, with the hash that is stored beside it.
    pub fn next(&mut self, record: &Record, stored: &[u8]) -> Result<(), Broken> {
        let seq = self.head.seq + 1;
        if record.seq > seq {
            return Err(Broken::Missing(seq));
        }
        let head = self.head.after(record);
        if record.seq != seq || head.hash != stored {
            return Err(Broken::Changed(seq));
        }
        self.head = head;
        match self.expected {
            Some(expected) if expected.seq == seq && expected != head => Err(Broken::NotAsExpected(seq)),
            _ => Ok(()),
        }
    }

    /// After the last record: the stored head and its seal.
    pub fn finish(self, stored: &Head, mac: &[u8], seal: &Seal) -> Result<Head, Broken> {
        let found = self.head;
        if found.seq != stored.seq {
            let first = found.seq.min(stored.seq) + 1;
            return Err(Broken::HeadMoved { found: found.seq, sealed: stored.seq, first });
        }
        if found != *stored || !seal.holds(stored, mac) {
            return Err(Broken::SealBroken(found.seq));
        }
        match self.expected {
            Some(expected) if expected.seq > found.seq || (expected.seq == 0 && expected != Head::EMPTY) => {
                Err(Broken::NotAsExpected(expected.seq))
            }
            _ => Ok(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::audit::{Action, Entity};
    use crate::clock::Timestamp;
    use crate::id::{TokenId, UserId};
    use crate::people::UserType;
    use crate::random::Random;

    fn record(seq: i64) -> Record {
        Record {
            seq,
            at: Timestamp::from_seconds(1_768_473_000 + seq),
            action: Action::TokenGenerated.as_str().into(),
            entity: Entity { kind: "token".into(), id: 10, name: "airflow-prod".into() },
            actor: Some(Actor {
                id: UserId(1),
                user_id: "local|ada".into(),
                name: "Ada".into(),
                user_type: UserType::Human,
            }),
            via_kind: "token".into(),
            via_token: Some(TokenId(3)),
            ip: Some("10.0.0.7".into()),
            request_id: Some("r-1".into()),
            changes: r#"{"name":[null,"airflow-prod"]}"#.into(),
        }
    }

    fn trail(length: i64) -> Vec<(Record, [u8; 32])> {
        let mut head = Head::EMPTY;
        (1..=length)
            .map(|seq| {
                head = head.after(&record(seq));
                (record(seq), head.hash)
            })
            .collect()
    }

    fn seal() -> Seal {
        Seal::new(&MasterKey::generate(&Random::seeded(1)).unwrap())
    }

    fn verify(
        trail: &[(Record, [u8; 32])],
        head: Head,
        mac: &[u8],
        expected: Option<Head>,
    ) -> Result<Head, Broken> {
        let mut verifier = Verifier::new(expected);
        for (record, hash) in trail {
            verifier.next(record, hash)?;
        }
        verifier.finish(&head, mac, &seal())
    }

    fn head_of(trail: &[(Record, [u8; 32])]) -> Head {
        trail.last().map_or(Head::EMPTY, |(record, hash)| Head { seq: record.seq, hash: *hash })
    }

    #[test]
    fn an_untouched_trail_verifies_to_its_head() {
        for length in [0, 1, 5] {
            let trail = trail(length);
            let head = head_of(&trail);
            assert_eq!(verify(&trail, head, &seal().of(&head), Some(head)), Ok(head));
        }
    }

    #[test]
    fn the_chain_is_literally_this() {
        insta::assert_snapshot!(head_of(&trail(2)));
    }

    #[test]
    fn any_changed_field_is_found() {
        let changes: [fn(&mut Record); 12] = [
            |r| r.at = Timestamp::from_seconds(0),
            |r| r.action = Action::TokenRevoked.as_str().into(),
            |r| r.entity.kind = "user".into(),
            |r| r.entity.id += 1,
            |r| r.entity.name.push('!'),
            |r| r.actor = None,
            |r| r.via_kind = "system".into(),
            |r| r.via_token = None,
            |r| r.ip = None,
            |r| r.request_id = Some(String::new()),
            |r| r.changes = "{}".into(),
            |r| {
                // Moves a character across a field border.
                r.entity.kind = "toke".into();
                r.entity.name = "nairflow-prod".into();
            },
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut trail = trail(3);
            let head = head_of(&trail);
            change(&mut trail[1].0);
            assert_eq!(verify(&trail, head, &seal().of(&head), None), Err(Broken::Changed(2)), "{number}");
        }
    }

    #[test]
    fn a_missing_record_is_found_wherever_it_was() {
        let whole = trail(4);
        let head = head_of(&whole);
        let mac = seal().of(&head);
        for missing in 0..3 {
            let mut trail = whole.clone();
            trail.remove(missing);
            let seq = i64::try_from(missing).unwrap() + 1;
            assert_eq!(verify(&trail, head, &mac, None), Err(Broken::Missing(seq)));
        }
        let cut = &whole[..3];
        assert_eq!(verify(cut, head, &mac, None), Err(Broken::HeadMoved { found: 3, sealed: 4, first: 4 }));
    }

    #[test]
    fn a_recomputed_chain_is_found_by_the_seal() {
        let old = trail(3);
        let mac = seal().of(&head_of(&old));
        let mut head = Head::EMPTY;
        let forged: Vec<_> = (1..=3)
            .map(|seq| {
                let record = Record { changes: "{}".into(), ..record(seq) };
                head = head.after(&record);
                (record, head.hash)
            })
            .collect();
        assert_eq!(verify(&forged, head, &mac, None), Err(Broken::SealBroken(3)));
        assert_eq!(verify(&old[..2], head_of(&old[..2]), &mac, None), Err(Broken::SealBroken(2)));
    }

    #[test]
    fn a_head_kept_elsewhere_finds_what_the_seal_cannot() {
        // Whoever has the master key too can seal a shorter or another chain.
        let old = trail(3);
        let kept = head_of(&old);
        let shorter = head_of(&old[..2]);
        let resealed = seal().of(&shorter);
        assert_eq!(verify(&old[..2], shorter, &resealed, None), Ok(shorter));
        assert_eq!(verify(&old[..2], shorter, &resealed, Some(kept)), Err(Broken::NotAsExpected(3)));
        let other = Head { seq: 2, hash: [9; 32] };
        assert_eq!(verify(&old, kept, &seal().of(&kept), Some(other)), Err(Broken::NotAsExpected(2)));
    }

    #[test]
    fn a_head_is_written_and_read() {
        let head = head_of(&trail(2));
        assert_eq!(head.to_string().parse(), Ok(head));
        for bad in [
            "",
            "2",
            "2:",
            "x:00",
            "2:zz",
            &format!("-1:{}", "0".repeat(64)),
            &format!("2:{}", "é".repeat(32)),
        ] {
            assert!(bad.parse::<Head>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn flipping_any_byte_of_changes_or_hash_is_found(
            length in 1..6i64, at in any::<prop::sample::Index>(), byte in 0..32usize,
        ) {
            let mut trail = trail(length);
            let head = head_of(&trail);
            let position = at.index(trail.len());
            trail[position].1[byte] ^= 1;
            prop_assert!(verify(&trail, head, &seal().of(&head), None).is_err());
        }
    }
}
