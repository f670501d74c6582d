//! What the hot path reads: every token that exists, by keyed hash, and the present state of its
//! owner. Readers never wait, not even for a writer.
//!
//! The owner's state is kept apart from the tokens, so that deactivating or demoting somebody is
//! one store, however many tokens they have. Writers come one at a time: the feed, which follows
//! the log of changes in order.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::clock::Timestamp;
use crate::id::{TokenId, UserId};
use crate::identity::Identity;
use crate::people::{Role, UserType};
use crate::token::TokenHash;

/// The present state of an account, as far as a verdict and its answer need it.
///
/// In this order, here and in [`Owner`], what every check reads lies side by side: with many owners
/// each line of memory that isn't in a cache costs as much as a hash.
#[derive(Clone, PartialEq, Eq, Debug)]
#[repr(C)]
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

/// An owner, as the index holds them.
#[derive(Clone, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Owner {
    /// The present state, ready to be sent.
    pub identity: Identity,
    /// The same, to be looked at.
    pub state: OwnerState,
}

impl From<OwnerState> for Owner {
    fn from(state: OwnerState) -> Self {
        Self { identity: Identity::of(&state), state }
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

#[derive(Debug)]
struct Entry {
    token: TokenState,
    owner: Arc<ArcSwap<Owner>>,
}

/// All tokens and their owners, in memory.
#[derive(Debug, Default)]
pub struct Index {
    tokens: papaya::HashMap<[u8; 16], Entry, foldhash::fast::RandomState>,
    owners: papaya::HashMap<UserId, Arc<ArcSwap<Owner>>, foldhash::fast::RandomState>,
}

impl Index {
    /// An index with room for `tokens`, so that loading doesn't grow it step by step.
    pub fn with_capacity(tokens: usize) -> Self {
        Self {
            tokens: papaya::HashMap::with_capacity_and_hasher(tokens, foldhash::fast::RandomState::default()),
            owners: papaya::HashMap::default(),
        }
    }

    /// The token with this keyed hash and its owner, both as they are now.
    pub fn find(&self, hash: &TokenHash) -> Option<(TokenState, Arc<Owner>)> {
        let tokens = self.tokens.pin();
        let entry = tokens.get(&hash.index_key())?;
        Some((entry.token, entry.owner.load_full()))
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

    /// Adds or replaces a token. `false` if its owner was never put here, in which case nothing
    /// changes.
    pub fn put_token(&self, hash: &TokenHash, token: TokenState, owner: UserId) -> bool {
        let Some(owner) = self.owners.pin().get(&owner).map(Arc::clone) else { return false };
        self.tokens.pin().insert(hash.index_key(), Entry { token, owner });
        true
    }

    /// Takes a token out.
    pub fn remove_token(&self, hash: &TokenHash) {
        self.tokens.pin().remove(&hash.index_key());
    }
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

    fn token(id: i64) -> TokenState {
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
            let (_, owner) = index.find(&hash).unwrap();
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
        assert!(index.find(&hash).is_none());
    }
}
