//! What the hot path reads: every token that exists, by keyed hash, and the present state of its
//! owner. A check waits for no change; for another use of the same token, as long as it takes to note it.
//!
//! The owner's state is kept apart from the tokens, so that deactivating or demoting somebody is
//! one store, however many tokens they have. Writers come one at a time: the feed, which follows
//! the log of changes in order.
//!
//! Beside each token lies its last use, which a check notes where it has just looked. A crash loses
//! what has not been written to the store yet. Where a use comes from another network than the one before, that is
//! noted as well, once for each token and network until somebody takes the notes.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use crate::clock::Timestamp;
use crate::id::{TokenId, UserId};
use crate::identity::Identity;
use crate::network::{Network, octets};
use crate::people::{Role, UserType};
use crate::token::TokenHash;

mod networks;

pub use self::networks::Elsewhere;
use self::networks::Networks;

/// What a verdict needs of an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// The account.
    pub id: UserId,
    /// Present role.
    pub role: Role,
    /// Human or service.
    pub user_type: UserType,
    /// Not deactivated.
    pub active: bool,
}

/// The present state of an account, as far as a verdict and its answer need it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnerState {
    /// The account.
    pub id: UserId,
    /// Present role.
    pub role: Role,
    /// Human or service.
    pub user_type: UserType,
    /// Not deactivated.
    pub active: bool,
    /// `local|…`, `<provider>|…` or `<slug>@service`.
    pub user_id: String,
    /// What a person signs in with, or the slug.
    pub user_name: String,
    /// E-mail address; of a service user its `user_id`.
    pub email: String,
    /// Display name.
    pub name: String,
    /// Names of the present teams, `Public` first.
    pub teams: Vec<String>,
}

impl OwnerState {
    /// What a verdict needs of it.
    pub const fn standing(&self) -> Standing {
        let Self { id, role, user_type, active, .. } = *self;
        Standing { id, role, user_type, active }
    }
}

/// An owner, as the index holds them. There may be very many, and with them each line of memory that isn't in a
/// cache costs a check as much as a hash; so there are two pieces of memory, this one and that of the texts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Owner {
    /// Who they are, ready to be sent.
    pub identity: Identity,
    /// What they may.
    pub state: Standing,
}

impl From<OwnerState> for Owner {
    fn from(state: OwnerState) -> Self {
        Self { identity: Identity::of(&state), state: state.standing() }
    }
}

/// A token, as far as a verdict needs it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TokenState {
    /// The token.
    pub id: TokenId,
    /// When it expires, if ever.
    pub expires_at: Option<Timestamp>,
    /// Revoked and not restored.
    pub revoked: bool,
    /// Opens the SCIM endpoints and nothing else.
    pub scim_only: bool,
}

/// When and from where a token was used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Use {
    /// When.
    pub at: Timestamp,
    /// From which address.
    pub ip: IpAddr,
}

/// A token and its owner, as they were when they were looked up.
#[derive(Debug)]
pub struct Found<'a> {
    /// The token.
    pub token: TokenState,
    /// Whose it is.
    pub owner: Arc<Owner>,
    index: &'a Index,
    key: Key,
    entry: &'a Entry,
}

impl Found<'_> {
    /// The token was used.
    pub fn note(&self, used: Use) {
        let now = LastUse { at: used.at, ip: octets(used.ip) };
        let before = std::mem::replace(&mut *self.entry.last_use(), now);
        let is_elsewhere = || Network::of_octets(before.ip) != Network::of_octets(now.ip);
        if before.at == LastUse::NONE.at || (before.ip != now.ip && is_elsewhere()) {
            self.entry.elsewhere.store(true, Ordering::Relaxed);
        }
        if self.entry.elsewhere.load(Ordering::Relaxed) {
            self.index.networks.note(self.key, self.entry, now.ip);
        }
        // From here on whoever takes what is unsaved sees this use.
        if !self.entry.unsaved.swap(true, Ordering::AcqRel) {
            self.index.unsaved_of(self.key).push(self.key);
        }
    }
}

/// What tokens are known by here.
type Key = [u8; 16];

/// What may be changed while others read it. There is one for each token, so its size counts.
#[derive(Debug)]
struct Entry {
    id: TokenId,
    owner: Arc<ArcSwap<Owner>>,
    /// In microseconds; [`NEVER`] is never.
    expires_at: AtomicI64,
    last_use: Mutex<LastUse>,
    flags: AtomicU8,
    /// The last use is not in the store yet.
    unsaved: AtomicBool,
    /// There was no room yet to note the network of the last use.
    elsewhere: AtomicBool,
}

const _: () = assert!(size_of::<Entry>() <= 64);

/// A [`Use`] in fewer bytes, or [`LastUse::NONE`].
#[derive(Clone, Copy, Debug)]
struct LastUse {
    at: Timestamp,
    ip: [u8; 16],
}

impl LastUse {
    const NONE: Self = Self { at: Timestamp::from_micros(i64::MIN), ip: [0; 16] };

    fn told(self) -> Option<Use> {
        let Self { at, ip } = self;
        (at != Self::NONE.at).then(|| Use { at, ip: IpAddr::from(ip).to_canonical() })
    }
}

const NEVER: i64 = i64::MAX;
const REVOKED: u8 = 1;
const SCIM_ONLY: u8 = 2;

impl Entry {
    fn new(token: TokenState, owner: Arc<ArcSwap<Owner>>) -> Self {
        let entry = Self {
            id: token.id,
            owner,
            expires_at: AtomicI64::new(NEVER),
            last_use: Mutex::new(LastUse::NONE),
            flags: AtomicU8::new(0),
            unsaved: AtomicBool::new(false),
            elsewhere: AtomicBool::new(false),
        };
        entry.set(token);
        entry
    }

    fn set(&self, token: TokenState) {
        let TokenState { id: _, expires_at, revoked, scim_only } = token;
        self.expires_at.store(expires_at.map_or(NEVER, Timestamp::micros), Ordering::Release);
        let flags = if revoked { REVOKED } else { 0 } | if scim_only { SCIM_ONLY } else { 0 };
        self.flags.store(flags, Ordering::Release);
    }

    fn token(&self) -> TokenState {
        let (expires_at, flags) =
            (self.expires_at.load(Ordering::Acquire), self.flags.load(Ordering::Acquire));
        TokenState {
            id: self.id,
            expires_at: (expires_at != NEVER).then(|| Timestamp::from_micros(expires_at)),
            revoked: flags & REVOKED != 0,
            scim_only: flags & SCIM_ONLY != 0,
        }
    }

    fn last_use(&self) -> MutexGuard<'_, LastUse> {
        self.last_use.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn used(&self) -> Option<Use> {
        self.last_use().told()
    }
}

/// Lists of unsaved uses, each with a lock of its own that is held for a few nanoseconds.
const LISTS: usize = 64;

/// All tokens and their owners, in memory.
#[derive(Debug)]
pub struct Index {
    tokens: papaya::HashMap<Key, Entry, foldhash::fast::RandomState>,
    owners: papaya::HashMap<UserId, Arc<ArcSwap<Owner>>, foldhash::fast::RandomState>,
    /// Which tokens were used since their last use was written.
    unsaved: [Mutex<Vec<Key>>; LISTS],
    /// Which tokens were used from another network than before, with an address of it.
    networks: Networks,
}

impl Default for Index {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl Index {
    /// An index with room for `tokens`, so that loading doesn't grow it step by step.
    pub fn with_capacity(tokens: usize) -> Self {
        Self {
            tokens: papaya::HashMap::with_capacity_and_hasher(tokens, foldhash::fast::RandomState::default()),
            owners: papaya::HashMap::default(),
            unsaved: std::array::from_fn(|_| Mutex::default()),
            networks: Networks::default(),
        }
    }

    /// What `look` says of the token with this keyed hash and its owner, both as they are now.
    pub fn find<T>(&self, hash: &TokenHash, look: impl FnOnce(Found<'_>) -> T) -> Option<T> {
        let (tokens, key) = (self.tokens.pin(), hash.index_key());
        let entry = tokens.get(&key)?;
        Some(look(Found { token: entry.token(), owner: entry.owner.load_full(), index: self, key, entry }))
    }

    /// An owner as they are now.
    pub fn owner(&self, id: UserId) -> Option<Arc<Owner>> {
        Some(self.owners.pin().get(&id)?.load_full())
    }

    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds or replaces an owner. Acts on all of the owner's tokens at once.
    pub fn put_owner(&self, state: OwnerState) {
        let owners = self.owners.pin();
        let id = state.id;
        let state = Arc::new(Owner::from(state));
        match owners.get(&id) {
            Some(owner) => owner.store(state),
            None => {
                owners.insert(id, Arc::new(ArcSwap::new(state)));
            }
        }
    }

    /// Adds or changes a token. `false` if its owner was never put here, in which case nothing
    /// changes. A token never changes its number or its owner.
    pub fn put_token(&self, hash: &TokenHash, token: TokenState, owner: UserId) -> bool {
        let (tokens, key) = (self.tokens.pin(), hash.index_key());
        if let Some(entry) = tokens.get(&key) {
            entry.set(token);
            return true;
        }
        let Some(owner) = self.owners.pin().get(&owner).map(Arc::clone) else { return false };
        tokens.insert(key, Entry::new(token, owner));
        true
    }

    /// Takes a token out.
    pub fn remove_token(&self, hash: &TokenHash) {
        self.tokens.pin().remove(&hash.index_key());
    }

    /// The last use of a token since this index was made.
    pub fn last_use(&self, hash: &TokenHash) -> Option<Use> {
        self.tokens.pin().get(&hash.index_key())?.used()
    }

    /// Refuses a token from now on, unless `may_close` says by its last use since this index was made that it
    /// must not be. Tells whether it is refused. No use is noted in between. The token is not here: refused it is.
    pub fn close_if(&self, hash: &TokenHash, may_close: impl FnOnce(Option<Use>) -> bool) -> bool {
        let tokens = self.tokens.pin();
        let Some(entry) = tokens.get(&hash.index_key()) else { return may_close(None) };
        let last_use = entry.last_use();
        let closes = may_close(last_use.told());
        if closes {
            entry.flags.fetch_or(REVOKED, Ordering::AcqRel);
        }
        closes
    }

    /// How many tokens were used since their last use was written.
    pub fn unsaved(&self) -> usize {
        self.unsaved.iter().map(|list| lock(list).len()).sum()
    }

    /// The last uses that are not in the store yet, to be written there. What can't be written goes back
    /// by [`Index::keep_unsaved`].
    pub fn take_unsaved(&self) -> Vec<Unsaved> {
        let tokens = self.tokens.pin();
        let keys = self.unsaved.iter().flat_map(|list| std::mem::take(&mut *lock(list)));
        let take = |key| {
            let entry = tokens.get(&key)?;
            // First this, so that a use that comes meanwhile is unsaved again.
            entry.unsaved.store(false, Ordering::Release);
            Some(Unsaved { token: entry.id, used: entry.used()?, key })
        };
        keys.filter_map(take).collect()
    }

    /// Takes back what could not be written.
    pub fn keep_unsaved(&self, uses: &[Unsaved]) {
        let tokens = self.tokens.pin();
        for Unsaved { key, .. } in uses {
            if tokens.get(key).is_some_and(|entry| !entry.unsaved.swap(true, Ordering::AcqRel)) {
                self.unsaved_of(*key).push(*key);
            }
        }
    }

    fn unsaved_of(&self, key: Key) -> MutexGuard<'_, Vec<Key>> {
        lock(&self.unsaved[usize::from(key[0]) % LISTS])
    }
}

fn lock<T>(list: &Mutex<T>) -> MutexGuard<'_, T> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A last use that is not in the store yet.
#[derive(Clone, Copy, Debug)]
pub struct Unsaved {
    /// The token.
    pub token: TokenId,
    /// Its last use.
    pub used: Use,
    key: Key,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn owner(id: i64, role: Role) -> OwnerState {
        OwnerState {
            id: UserId(id),
            user_id: format!("local|{id}"),
            user_name: format!("u{id}@example.com"),
            email: format!("u{id}@example.com"),
            name: format!("User {id}"),
            role,
            user_type: UserType::Human,
            teams: vec!["Public".into()],
            active: true,
        }
    }

    pub(crate) fn token(id: i64) -> TokenState {
        TokenState { id: TokenId(id), expires_at: None, revoked: false, scim_only: false }
    }

    #[test]
    fn an_owners_change_acts_on_all_tokens() {
        let index = Index::default();
        let (a, b) = (TokenHash::from_bytes([1; 32]), TokenHash::from_bytes([2; 32]));
        index.put_owner(owner(7, Role::Admin));
        assert!(index.put_token(&a, token(1), UserId(7)));
        assert!(index.put_token(&b, token(2), UserId(7)));
        index.put_owner(OwnerState { active: false, ..owner(7, Role::Member) });
        for hash in [a, b] {
            let owner = index.find(&hash, |found| found.owner).unwrap();
            assert_eq!((owner.state.role, owner.state.active), (Role::Member, false));
        }
    }

    #[test]
    fn a_token_without_known_owner_is_not_taken_in() {
        let index = Index::default();
        assert!(!index.put_token(&TokenHash::from_bytes([1; 32]), token(1), UserId(7)));
        assert!(index.is_empty());
    }

    #[test]
    fn a_removed_token_is_unknown() {
        let index = Index::with_capacity(10);
        let hash = TokenHash::from_bytes([1; 32]);
        index.put_owner(owner(7, Role::Member));
        index.put_token(&hash, token(1), UserId(7));
        assert_eq!(index.len(), 1);
        index.remove_token(&hash);
        assert!(index.find(&hash, |_| ()).is_none());
    }

    #[test]
    fn a_token_is_changed_in_its_place_and_keeps_its_last_use() {
        let (index, hash) = (Index::default(), TokenHash::from_bytes([1; 32]));
        index.put_owner(owner(7, Role::Member));
        let used = Use { at: Timestamp::from_seconds(1), ip: IpAddr::from([192, 0, 2, 1]) };
        for changed in [
            TokenState { revoked: true, ..token(1) },
            TokenState { expires_at: Some(Timestamp::from_seconds(9)), ..token(1) },
            TokenState { scim_only: true, ..token(1) },
            token(1),
        ] {
            assert!(index.put_token(&hash, changed, UserId(7)));
            let seen = index.find(&hash, |found| {
                found.note(used);
                found.token
            });
            assert_eq!((seen, index.last_use(&hash)), (Some(changed), Some(used)));
        }
    }

    #[test]
    fn a_last_use_is_taken_once_and_again_when_it_could_not_be_written() {
        let (index, hash) = (Index::default(), TokenHash::from_bytes([1; 32]));
        index.put_owner(owner(7, Role::Member));
        index.put_token(&hash, token(1), UserId(7));
        assert_eq!((index.last_use(&hash), index.unsaved()), (None, 0));
        let ip: IpAddr = "2001:db8::7".parse().unwrap();
        let used = |seconds| Use { at: Timestamp::from_seconds(seconds), ip };
        let note = |seconds| index.find(&hash, |found| found.note(used(seconds))).unwrap();
        let taken = || index.take_unsaved().iter().map(|u| (u.token.0, u.used)).collect::<Vec<_>>();
        note(1);
        note(2);
        assert_eq!(index.unsaved(), 1);
        assert_eq!(taken(), [(1, used(2))]);
        assert_eq!((taken(), index.last_use(&hash)), (vec![], Some(used(2))));
        note(3);
        let unwritten = index.take_unsaved();
        index.keep_unsaved(&unwritten);
        note(4);
        index.keep_unsaved(&unwritten);
        assert_eq!(taken(), [(1, used(4))]);
        note(5);
        index.remove_token(&hash);
        assert_eq!(taken(), []);
    }
}
