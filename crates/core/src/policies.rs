//! What Admins have settled for all tokens, within what the configuration allows at most.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::token::{LifetimePolicy, MAX_LIFETIME_DAYS, TokenKind};

/// Days between the word that an unused token will be revoked, and the revoke.
pub const IDLE_NOTICE_DAYS: i64 = 7;

/// The fewest and the most days after which unused tokens may be revoked by themselves.
pub const IDLE_DAYS: (i64, i64) = (14, 3_650);

/// The most days for which a revoke can be undone, where that is limited.
pub const RESTORE_DAYS_LIMIT: i64 = 3_650;

/// All of it. What is missing in a document that was stored earlier has its built-in value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Policies {
    /// How long personal tokens may live.
    pub personal: LifetimePolicy,
    /// How long service tokens may live.
    pub service: LifetimePolicy,
    /// The lifetime that forms begin with, in days.
    pub default_expires_in_days: i64,
    /// Tokens that nobody used for so many days are revoked; `None` is never.
    pub revoke_unused_after_days: Option<i64>,
    /// When that number was settled: what was announced before doesn't hold.
    pub revoke_unused_settled_at: Option<Timestamp>,
    /// Whether a service user must have a purpose and an owner.
    pub require_purpose_and_owner: bool,
    /// For so many days a revoke can be undone; `None` is always.
    pub restore_within_days: Option<i64>,
    /// Whether a token that was revoked because it leaked can be restored.
    pub restore_leaked: bool,
}

impl Default for Policies {
    fn default() -> Self {
        let open = LifetimePolicy { max_days: MAX_LIFETIME_DAYS, allow_never: true };
        Self {
            personal: open,
            service: open,
            default_expires_in_days: 90,
            revoke_unused_after_days: None,
            revoke_unused_settled_at: None,
            require_purpose_and_owner: false,
            restore_within_days: None,
            restore_leaked: false,
        }
    }
}

/// Why a revoke can't be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RestoreRefused {
    /// Somebody else may have it.
    #[error("the token has leaked, and policy forbids to restore it; generate a new one")]
    Leaked,
    /// Too late.
    #[error("policy allows to restore a token for {0} days after it was revoked; generate a new one")]
    TooLate(i64),
}

impl Policies {
    /// The same, nowhere wider than the configuration allows.
    #[must_use]
    pub const fn within(self, ceiling: LifetimePolicy) -> Self {
        Self { personal: self.personal.within(ceiling), service: self.service.within(ceiling), ..self }
    }

    /// How long tokens of this kind may live.
    pub const fn lifetimes(&self, kind: TokenKind) -> LifetimePolicy {
        match kind {
            TokenKind::Personal => self.personal,
            TokenKind::Service => self.service,
        }
    }

    /// What one kind or the other may.
    pub const fn widest(&self) -> LifetimePolicy {
        let (personal, service) = (self.personal, self.service);
        let max_days =
            if personal.max_days > service.max_days { personal.max_days } else { service.max_days };
        LifetimePolicy { max_days, allow_never: personal.allow_never || service.allow_never }
    }

    /// The lifetime that forms begin with for tokens of this kind, in days.
    pub fn usual_days(&self, kind: TokenKind) -> i64 {
        self.default_expires_in_days.min(self.lifetimes(kind).most_days())
    }

    /// Whether a token that was revoked then may be restored at `now`.
    pub fn check_restore(
        &self,
        revoked_at: Timestamp,
        is_leaked: bool,
        now: Timestamp,
    ) -> Result<(), RestoreRefused> {
        if is_leaked && !self.restore_leaked {
            return Err(RestoreRefused::Leaked);
        }
        match self.restore_within_days {
            Some(days) if now >= revoked_at.plus_days(days) => Err(RestoreRefused::TooLate(days)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_seconds(1_000_000);

    #[test]
    fn nothing_is_wider_than_the_configuration() {
        let ceiling = LifetimePolicy { max_days: 30, allow_never: false };
        let within = Policies::default().within(ceiling);
        for kind in [TokenKind::Personal, TokenKind::Service] {
            assert_eq!(within.lifetimes(kind), ceiling);
            assert_eq!(within.usual_days(kind), 30);
        }
        let stricter = LifetimePolicy { max_days: 7, allow_never: false };
        let policies = Policies { service: stricter, ..Policies::default() };
        assert_eq!(policies.within(LifetimePolicy { max_days: 365, allow_never: true }).service, stricter);
    }

    #[test]
    fn a_revoke_can_be_undone_until_its_window_ends() {
        let policies = Policies { restore_within_days: Some(7), ..Policies::default() };
        let end = START.plus_days(7);
        let just_before = Timestamp::from_micros(end.micros() - 1);
        assert_eq!(policies.check_restore(START, false, just_before), Ok(()));
        assert_eq!(policies.check_restore(START, false, end), Err(RestoreRefused::TooLate(7)));
        assert_eq!(Policies::default().check_restore(START, false, end.plus_days(9_999)), Ok(()));
    }

    #[test]
    fn a_leaked_token_stays_revoked_unless_policy_says_otherwise() {
        assert_eq!(Policies::default().check_restore(START, true, START), Err(RestoreRefused::Leaked));
        let open = Policies { restore_leaked: true, ..Policies::default() };
        assert_eq!(open.check_restore(START, true, START), Ok(()));
    }

    #[test]
    fn a_document_of_an_earlier_version_is_read() {
        let policies: Policies =
            serde_json::from_str(r#"{"service": {"max_lifetime_days": 30, "allow_never": false}}"#).unwrap();
        assert_eq!(policies.service.max_days, 30);
        assert_eq!(policies.default_expires_in_days, 90);
    }
}
