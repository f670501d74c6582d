//! The one validity rule. Whatever checks a token (our own API, forward-auth, the gateway,
//! introspection) calls [`check`]; a second rule anywhere would be a bug.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::codec::{Codec, Genuine, NotGenuine};
use crate::id::{TokenId, UserId};
use crate::index::{Index, Owner, Standing, TokenState, Use};
use crate::people::{Role, UserType};
use crate::token::{Status, TokenHash, TokenKind};

/// Why a request is refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reason {
    /// What was presented doesn't have the form of a token.
    Malformed,
    /// Not signed here, or deleted.
    Unknown,
    /// Past its expiry.
    Expired,
    /// Revoked.
    Revoked,
    /// The owner is deactivated.
    Deactivated,
    /// The role is too low for what was asked.
    Forbidden,
    /// A SCIM token, used for something else.
    ScimOnly,
}

impl Reason {
    /// Every reason. The request log keeps their places here, so new ones come last.
    pub const ALL: [Self; 7] = [
        Self::Malformed,
        Self::Unknown,
        Self::Expired,
        Self::Revoked,
        Self::Deactivated,
        Self::Forbidden,
        Self::ScimOnly,
    ];

    /// The reason's name in the request log and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Deactivated => "deactivated",
            Self::Forbidden => "forbidden",
            Self::ScimOnly => "scim_only",
        }
    }
}

/// Who asked for a check.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Checkpoint {
    /// Our own API.
    Api,
    /// `/forward-auth`
    ForwardAuth,
    /// `/oauth/introspect`
    Introspection,
    /// The gateway.
    Gateway,
    /// The SCIM endpoints.
    Scim,
}

impl Checkpoint {
    /// Every place that checks tokens. The request log keeps their places here, so new ones come last.
    pub const ALL: [Self; 5] = [Self::Api, Self::ForwardAuth, Self::Introspection, Self::Gateway, Self::Scim];

    /// What a token is wanted for there.
    pub const fn scope(self) -> Scope {
        match self {
            Self::Api | Self::ForwardAuth | Self::Gateway => Scope::Api,
            Self::Introspection => Scope::Any,
            Self::Scim => Scope::Scim,
        }
    }

    /// The place's name in the request log and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::ForwardAuth => "forward_auth",
            Self::Introspection => "introspection",
            Self::Gateway => "gateway",
            Self::Scim => "scim",
        }
    }
}

/// What a token is wanted for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// Everything but the SCIM endpoints.
    Api,
    /// The SCIM endpoints.
    Scim,
    /// Only to be told about.
    Any,
}

/// A token that is good at this moment, with its owner's present state.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The keyed hash by which the token is known.
    pub hash: TokenHash,
    /// The token.
    pub token: TokenState,
    /// Whose it is.
    pub owner: Arc<Owner>,
}

impl Accepted {
    /// Which token it is.
    pub fn subject(&self) -> Subject {
        Subject::of(&self.token, &self.owner.state)
    }
}

/// A token that exists, and whose it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Subject {
    /// The token.
    pub token: TokenId,
    /// Its owner.
    pub owner: UserId,
    /// Personal or service.
    pub kind: TokenKind,
}

impl Subject {
    const fn of(token: &TokenState, owner: &Standing) -> Self {
        Self { token: token.id, owner: owner.id, kind: TokenKind::of_owner(owner.user_type) }
    }
}

/// A token that is refused. The token is known only where it is genuine and not deleted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused {
    /// Why.
    pub reason: Reason,
    /// Which token and whose.
    pub subject: Option<Subject>,
}

impl Refused {
    /// A refusal of what is no token that exists.
    pub const fn anonymous(reason: Reason) -> Self {
        Self { reason, subject: None }
    }
}

/// Checks what came as a bearer token: form, signature and issuer, then the index, expiry,
/// revocation, the owner's present state, and whether the token is for this. Notes the use of a token that
/// is good.
pub fn check(
    codec: &Codec,
    index: &Index,
    bearer: &[u8],
    scope: Scope,
    used: Use,
) -> Result<Accepted, Refused> {
    check_genuine(codec, index, bearer, scope, used).map(|(accepted, _)| accepted)
}

/// The same, also for whoever reads what is written in the token.
pub fn check_genuine<'a>(
    codec: &Codec,
    index: &Index,
    bearer: &'a [u8],
    scope: Scope,
    used: Use,
) -> Result<(Accepted, Genuine<'a>), Refused> {
    let genuine = codec.read(bearer).map_err(|refusal| {
        Refused::anonymous(match refusal {
            NotGenuine::Malformed => Reason::Malformed,
            NotGenuine::BadSignature => Reason::Unknown,
        })
    })?;
    let checked = index.find(&genuine.hash(), |found| {
        if let Some(reason) = verdict(&found.token, &found.owner.state, scope, used.at) {
            let subject = Subject::of(&found.token, &found.owner.state);
            return Err(Refused { reason, subject: Some(subject) });
        }
        found.note(used);
        Ok((Accepted { hash: genuine.hash(), token: found.token, owner: found.owner }, genuine))
    });
    checked.unwrap_or(Err(Refused::anonymous(Reason::Unknown)))
}

/// The rule itself: `None` if the token is good for `scope` at `now`.
pub fn verdict(token: &TokenState, owner: &Standing, scope: Scope, now: Timestamp) -> Option<Reason> {
    match Status::at(now, token.expires_at, token.revoked) {
        Status::Expired => Some(Reason::Expired),
        Status::Revoked => Some(Reason::Revoked),
        Status::Active if !owner.active => Some(Reason::Deactivated),
        Status::Active if scim_right_lost(token, owner) => Some(Reason::Forbidden),
        Status::Active if token.scim_only && scope == Scope::Api => Some(Reason::ScimOnly),
        Status::Active => None,
    }
}

/// A human's SCIM token works only while that human is an Admin.
fn scim_right_lost(token: &TokenState, owner: &Standing) -> bool {
    token.scim_only && owner.user_type == UserType::Human && owner.role < Role::Admin
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::codec::OwnerClaims;
    use crate::index::OwnerState;
    use crate::index::tests::owner;
    use crate::keys::MasterKey;
    use crate::random::Random;
    use crate::token::Plaintext;

    struct Setting {
        codec: Codec,
        index: Index,
        bearer: Plaintext,
        hash: TokenHash,
    }

    const NOW: Timestamp = Timestamp::from_seconds(1_000_000);
    const AT: Use = Use { at: NOW, ip: IpAddr::V4(Ipv4Addr::LOCALHOST) };
    const GOOD: TokenState =
        TokenState { id: TokenId(1), expires_at: None, revoked: false, scim_only: false };

    fn setting(token: TokenState, state: OwnerState) -> Setting {
        let codec = Codec::new(&MasterKey::generate(&Random::seeded(1)).unwrap(), "http://localhost");
        let claims = OwnerClaims { sub: "local|7", email: "", name: "" };
        let (bearer, hash) = codec.mint(claims, "j".into(), NOW, None);
        let index = Index::default();
        let id = state.id;
        index.put_owner(state);
        index.put_token(&hash, token, id);
        Setting { codec, index, bearer, hash }
    }

    impl Setting {
        fn reason(&self) -> Option<Reason> {
            check(&self.codec, &self.index, self.bearer.expose().as_bytes(), Scope::Any, AT)
                .err()
                .map(|r| r.reason)
        }
    }

    #[test]
    fn a_good_token_is_accepted_with_its_owner() {
        let s = setting(GOOD, owner(7, Role::Manager));
        let accepted = check(&s.codec, &s.index, s.bearer.expose().as_bytes(), Scope::Any, AT).unwrap();
        assert_eq!((accepted.token.id, accepted.owner.state.role), (TokenId(1), Role::Manager));
        assert_eq!(accepted.subject().kind, TokenKind::Personal);
    }

    #[test]
    fn every_reason_is_told_in_order() {
        let past = Some(NOW);
        let gone = OwnerState { active: false, ..owner(7, Role::Admin) };
        for (token, state, reason) in [
            (TokenState { expires_at: past, revoked: true, ..GOOD }, gone.clone(), Reason::Expired),
            (TokenState { revoked: true, ..GOOD }, gone.clone(), Reason::Revoked),
            (GOOD, gone, Reason::Deactivated),
        ] {
            let s = setting(token, state);
            assert_eq!(s.reason(), Some(reason));
        }
    }

    #[test]
    fn a_token_lives_until_the_microsecond_before_its_expiry() {
        let end = Timestamp::from_micros(NOW.micros() + 1);
        let s = setting(TokenState { expires_at: Some(end), ..GOOD }, owner(7, Role::Member));
        assert_eq!(s.reason(), None);
        let at_end =
            check(&s.codec, &s.index, s.bearer.expose().as_bytes(), Scope::Any, Use { at: end, ..AT });
        assert_eq!(at_end.unwrap_err().reason, Reason::Expired);
    }

    #[test]
    fn a_humans_scim_token_needs_the_admin_role() {
        let scim = TokenState { scim_only: true, ..GOOD };
        let s = setting(scim, owner(7, Role::Admin));
        assert_eq!(s.reason(), None);
        s.index.put_owner(owner(7, Role::Manager));
        assert_eq!(s.reason(), Some(Reason::Forbidden));
        s.index.put_owner(owner(7, Role::Admin));
        let for_the_api = check(&s.codec, &s.index, s.bearer.expose().as_bytes(), Scope::Api, AT);
        assert_eq!(for_the_api.unwrap_err().reason, Reason::ScimOnly);
        let for_scim = check(&s.codec, &s.index, s.bearer.expose().as_bytes(), Scope::Scim, AT);
        assert!(for_scim.is_ok());
        let service = OwnerState { user_type: UserType::Service, ..owner(7, Role::Member) };
        s.index.put_owner(service);
        assert_eq!(s.reason(), None);
    }

    #[test]
    fn changes_act_at_once_and_both_ways() {
        let s = setting(GOOD, owner(7, Role::Member));
        assert_eq!(s.reason(), None);
        assert!(s.index.put_token(&s.hash, TokenState { revoked: true, ..GOOD }, UserId(7)));
        assert_eq!(s.reason(), Some(Reason::Revoked));
        assert!(s.index.put_token(&s.hash, GOOD, UserId(7)));
        assert_eq!(s.reason(), None);
    }

    #[test]
    fn only_a_token_that_is_good_was_used() {
        let s = setting(TokenState { revoked: true, ..GOOD }, owner(7, Role::Member));
        assert_eq!((s.reason(), s.index.last_use(&s.hash)), (Some(Reason::Revoked), None));
        s.index.put_token(&s.hash, GOOD, UserId(7));
        assert_eq!((s.reason(), s.index.last_use(&s.hash)), (None, Some(AT)));
    }

    #[test]
    fn a_refusal_names_the_token_only_where_it_is_genuine() {
        let s = setting(TokenState { revoked: true, ..GOOD }, owner(7, Role::Member));
        let genuine = check(&s.codec, &s.index, s.bearer.expose().as_bytes(), Scope::Any, AT).unwrap_err();
        let subject = Subject { token: TokenId(1), owner: UserId(7), kind: TokenKind::Personal };
        assert_eq!(genuine.subject, Some(subject));
        let nonsense = check(&s.codec, &s.index, b"nonsense", Scope::Any, AT).unwrap_err();
        assert_eq!(nonsense, Refused::anonymous(Reason::Malformed));
    }
}
