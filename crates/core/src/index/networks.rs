//! From which networks tokens are used: noted where it isn't the one of the use before, for others to look up.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use super::{Entry, Index, Key, LISTS, lock};
use crate::id::TokenId;
use crate::network::{Network, octets};

/// Pairs of token and network that are noted at most in each list; what doesn't fit is noted at a later use.
const LIMIT: usize = 4_096;

/// Which tokens were used from another network than before, with an address of it.
#[derive(Debug)]
pub(super) struct Networks([Mutex<Noted>; LISTS]);

/// Tokens and networks, each pair with one address.
#[derive(Debug, Default)]
struct Noted {
    seen: HashSet<(Key, Network), foldhash::fast::RandomState>,
    addresses: Vec<(Key, [u8; 16])>,
}

impl Default for Networks {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }
}

impl Networks {
    /// Notes the network of a use, unless it is noted already.
    pub(super) fn note(&self, key: Key, entry: &Entry, ip: [u8; 16]) {
        let mut noted = lock(&self.0[usize::from(key[0]) % LISTS]);
        let pair = (key, Network::of_octets(ip));
        let has_room = noted.addresses.len() < LIMIT;
        if has_room && noted.seen.insert(pair) {
            noted.addresses.push((key, ip));
        }
        entry.elsewhere.store(!has_room && !noted.seen.contains(&pair), Ordering::Relaxed);
    }

    fn take(&self) -> impl Iterator<Item = (Key, [u8; 16])> {
        self.0.iter().flat_map(|list| std::mem::take(&mut *lock(list)).addresses)
    }
}

/// A token that was used from another network than before, or for the first time since this index was made.
#[derive(Clone, Copy, Debug)]
pub struct Elsewhere {
    /// The token.
    pub token: TokenId,
    /// An address of the network.
    pub ip: IpAddr,
    key: Key,
}

impl Index {
    /// Which tokens were used from another network than before, or for the first time, since this was asked last. What
    /// can't be dealt with goes back by [`Index::keep_elsewhere`].
    pub fn take_elsewhere(&self) -> Vec<Elsewhere> {
        let tokens = self.tokens.pin();
        let told = |(key, ip): (Key, [u8; 16])| {
            let ip = IpAddr::from(ip).to_canonical();
            tokens.get(&key).map(|entry| Elsewhere { token: entry.id, ip, key })
        };
        self.networks.take().filter_map(told).collect()
    }

    /// Takes back what could not be dealt with, as far as there is room.
    pub fn keep_elsewhere(&self, all: &[Elsewhere]) {
        let tokens = self.tokens.pin();
        for Elsewhere { key, ip, .. } in all {
            if let Some(entry) = tokens.get(key) {
                self.networks.note(*key, entry, octets(*ip));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Use;
    use super::super::tests::{owner, token};
    use super::*;
    use crate::clock::Timestamp;
    use crate::id::UserId;
    use crate::people::Role;
    use crate::token::TokenHash;

    #[test]
    fn another_network_is_noted_once_however_often_it_changes() {
        let (index, hash) = (Index::default(), TokenHash::from_bytes([1; 32]));
        index.put_owner(owner(7, Role::Member));
        index.put_token(&hash, token(1), UserId(7));
        let note = |ip: &str| {
            let used = Use { at: Timestamp::from_seconds(1), ip: ip.parse().unwrap() };
            index.find(&hash, |found| found.note(used)).unwrap();
        };
        let taken = || {
            let mut all: Vec<_> =
                index.take_elsewhere().iter().map(|seen| (seen.token.0, seen.ip.to_string())).collect();
            all.sort();
            all
        };
        let pair = |ip: &str| (1, ip.to_owned());
        note("192.0.2.1");
        note("192.0.2.200");
        assert_eq!(taken(), [pair("192.0.2.1")]);
        for ip in ["192.0.3.1", "192.0.2.1", "192.0.3.9", "2001:db8::1", "2001:db8:0:1::", "2001:db8:1::"] {
            note(ip);
        }
        let four = [pair("192.0.2.1"), pair("192.0.3.1"), pair("2001:db8:1::"), pair("2001:db8::1")];
        assert_eq!(taken(), four);
        note("2001:db8:1:ffff::");
        assert_eq!(taken(), []);
        note("192.0.2.1");
        let unhandled = index.take_elsewhere();
        index.keep_elsewhere(&unhandled);
        index.keep_elsewhere(&unhandled);
        assert_eq!(taken(), [pair("192.0.2.1")]);
    }

    #[test]
    fn a_network_for_which_there_was_no_room_is_noted_at_a_later_use() {
        let (index, hash) = (Index::default(), TokenHash::from_bytes([1; 32]));
        index.put_owner(owner(7, Role::Member));
        index.put_token(&hash, token(1), UserId(7));
        let note = |ip: u32| {
            let used = Use { at: Timestamp::from_seconds(1), ip: IpAddr::V4(ip.into()) };
            index.find(&hash, |found| found.note(used)).unwrap();
        };
        (0..=u32::try_from(LIMIT).unwrap()).for_each(|number| note(number << 8));
        assert_eq!(index.take_elsewhere().len(), LIMIT);
        note(u32::try_from(LIMIT).unwrap() << 8);
        assert_eq!(index.take_elsewhere().len(), 1);
    }
}
