//! Tokens: kinds, state, lifetimes, and the two forms of the secret, which can't be mixed or printed.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::people::UserType;

/// The longest lifetime anyone can ask for, in days.
pub const MAX_LIFETIME_DAYS: i64 = 365;

/// The token as its holder has it. Shown once, then gone. `Debug` prints nothing of it, there is
/// no `Display`, and it is wiped when dropped.
#[derive(Clone)]
pub struct Plaintext(Zeroizing<String>);

impl Plaintext {
    pub(crate) fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The secret itself, for the one answer that shows it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Plaintext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Plaintext(hidden)")
    }
}

/// The keyed hash of a token: all that is stored of it. `Debug` prints nothing of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// A hash that was computed or stored earlier.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes that are stored.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 128 bits, which is what the index is keyed by. The hash is a MAC under a secret
    /// key, so nobody can look for collisions, and by accident two of 10 million tokens share
    /// 128 bits with a probability below 2⁻⁸².
    pub(crate) fn index_key(&self) -> [u8; 16] {
        let mut key = [0; 16];
        key.copy_from_slice(&self.0[..16]);
        key
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(hidden)")
    }
}

/// Who a token belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenKind {
    /// Belongs to a human and is managed by that human only.
    Personal,
    /// Belongs to a service user and is managed by Admins.
    Service,
}

impl TokenKind {
    /// The kind of every token that an owner of this type has.
    pub const fn of_owner(owner: UserType) -> Self {
        match owner {
            UserType::Human => Self::Personal,
            UserType::Service => Self::Service,
        }
    }
}

/// What a token's own dates amount to at some instant. Says nothing about its owner.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Neither expired nor revoked.
    Active,
    /// Revoked and not yet expired.
    Revoked,
    /// Past its expiry, revoked or not.
    Expired,
}

impl Status {
    /// The state at `now`. A token is expired from the instant `expires_at` on; expiry wins over
    /// revocation.
    pub fn at(now: Timestamp, expires_at: Option<Timestamp>, revoked: bool) -> Self {
        if expires_at.is_some_and(|end| now >= end) {
            Self::Expired
        } else if revoked {
            Self::Revoked
        } else {
            Self::Active
        }
    }
}

/// How long a new token is to live.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lifetime {
    /// 1 to 365 days.
    Days(i64),
    /// No expiry.
    Never,
}

/// What an administrator allows new tokens.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LifetimePolicy {
    /// The longest lifetime in days.
    #[serde(rename = "max_lifetime_days")]
    pub max_days: i64,
    /// Whether a token may have no expiry.
    pub allow_never: bool,
}

/// Why a lifetime is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LifetimeRefused {
    /// Below 1 or above what is allowed.
    #[error("must be between 1 and {0} days")]
    OutOfRange(i64),
    /// No expiry asked for where one is required.
    #[error("must be set: tokens without expiry are not allowed here (at most {0} days)")]
    NeverForbidden(i64),
}

impl LifetimePolicy {
    /// The stricter of both, in each respect.
    #[must_use]
    pub const fn within(self, ceiling: Self) -> Self {
        let max_days = if self.max_days < ceiling.max_days { self.max_days } else { ceiling.max_days };
        Self { max_days, allow_never: self.allow_never && ceiling.allow_never }
    }

    /// The most days a new token may live.
    pub const fn most_days(self) -> i64 {
        if self.max_days < MAX_LIFETIME_DAYS { self.max_days } else { MAX_LIFETIME_DAYS }
    }

    /// Checks what was asked for (`None` = never).
    pub const fn check(self, days: Option<i64>) -> Result<Lifetime, LifetimeRefused> {
        match days {
            None if self.allow_never => Ok(Lifetime::Never),
            None => Err(LifetimeRefused::NeverForbidden(self.most_days())),
            Some(days) if days >= 1 && days <= self.most_days() => Ok(Lifetime::Days(days)),
            Some(_) => Err(LifetimeRefused::OutOfRange(self.most_days())),
        }
    }

    /// The lifetime of a successor when none is asked for: the old one, within what is allowed now.
    pub fn inherit(self, created: Timestamp, expires_at: Option<Timestamp>) -> Lifetime {
        match expires_at {
            Some(end) => Lifetime::Days(end.days_since(created).clamp(1, self.most_days())),
            None if self.allow_never => Lifetime::Never,
            None => Lifetime::Days(self.most_days()),
        }
    }
}

impl Lifetime {
    /// When a token made at `created` expires, in whole seconds.
    pub const fn end(self, created: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Days(days) => Some(created.whole_second().plus_days(days)),
            Self::Never => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_print_nothing() {
        let plaintext = Plaintext::new("eyJ-secret".into());
        let hash = TokenHash::from_bytes(*b"0123456789abcdef0123456789abcdef");
        let printed = format!("{plaintext:?} {plaintext:#?} {hash:?} {hash:#?}");
        assert_eq!(printed, "Plaintext(hidden) Plaintext(hidden) TokenHash(hidden) TokenHash(hidden)");
    }

    #[test]
    fn a_token_is_expired_from_the_instant_of_its_expiry_on() {
        let end = Timestamp::from_seconds(1_000);
        let just_before = Timestamp::from_micros(end.micros() - 1);
        assert_eq!(Status::at(just_before, Some(end), false), Status::Active);
        assert_eq!(Status::at(end, Some(end), false), Status::Expired);
        assert_eq!(Status::at(just_before, Some(end), true), Status::Revoked);
        assert_eq!(Status::at(end, Some(end), true), Status::Expired);
        assert_eq!(Status::at(end, None, false), Status::Active);
    }

    #[test]
    fn a_lifetime_lies_within_policy_and_limit() {
        let open = LifetimePolicy { max_days: 365, allow_never: true };
        assert_eq!(open.check(None), Ok(Lifetime::Never));
        assert_eq!(open.check(Some(1)), Ok(Lifetime::Days(1)));
        assert_eq!(open.check(Some(365)), Ok(Lifetime::Days(365)));
        for days in [i64::MIN, -1, 0, 366, i64::MAX] {
            assert_eq!(open.check(Some(days)), Err(LifetimeRefused::OutOfRange(365)));
        }
        let strict = LifetimePolicy { max_days: 30, allow_never: false };
        assert_eq!(strict.check(None), Err(LifetimeRefused::NeverForbidden(30)));
        assert_eq!(strict.check(Some(31)), Err(LifetimeRefused::OutOfRange(30)));
    }

    #[test]
    fn a_successor_inherits_the_lifetime_within_policy() {
        let created = Timestamp::from_seconds(0);
        let open = LifetimePolicy { max_days: 365, allow_never: true };
        let strict = LifetimePolicy { max_days: 30, allow_never: false };
        assert_eq!(open.inherit(created, Some(created.plus_days(90))), Lifetime::Days(90));
        assert_eq!(open.inherit(created, None), Lifetime::Never);
        assert_eq!(strict.inherit(created, Some(created.plus_days(90))), Lifetime::Days(30));
        assert_eq!(strict.inherit(created, None), Lifetime::Days(30));
    }

    #[test]
    fn an_expiry_has_no_fraction_of_a_second() {
        let created = Timestamp::from_micros(1_500_000);
        assert_eq!(Lifetime::Days(1).end(created), Some(Timestamp::from_seconds(86_401)));
    }
}
