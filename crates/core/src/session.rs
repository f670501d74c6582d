//! Sessions of people who are signed in: their secret, and how long they last.

use std::fmt;

use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::random::{NoRandomness, Random};

/// Days after its last use when a session ends.
const IDLE_DAYS: i64 = 7;

/// Days after the sign-in when a session ends, however much it is used. Also how long the browser
/// keeps the cookie.
pub const MOST_DAYS: i64 = 30;

/// A use is noted when the one noted before is this many seconds old.
const NOTED_EVERY: i64 = 300;

/// The secret in the cookie of a session: 256 random bits. Wiped when dropped.
pub struct SessionSecret(Zeroizing<String>);

impl SessionSecret {
    /// A new one.
    pub fn generate(random: &Random) -> Result<Self, NoRandomness> {
        Ok(Self(Zeroizing::new(random.text::<32>()?)))
    }

    /// What came in a cookie.
    pub fn presented(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }

    /// The secret itself, for the cookie.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SessionSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionSecret(hidden)")
    }
}

/// When a session of this sign-in ends if it isn't used after `seen_at`.
pub fn end(signed_in_at: Timestamp, seen_at: Timestamp) -> Timestamp {
    seen_at.plus_days(IDLE_DAYS).min(signed_in_at.plus_days(MOST_DAYS))
}

/// Whether a use at `now` is to be noted, where the one noted before was at `seen_at`.
pub fn is_noted(seen_at: Timestamp, now: Timestamp) -> bool {
    now >= seen_at.plus_seconds(NOTED_EVERY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_7_days_after_its_last_use_and_30_after_the_sign_in() {
        let start = Timestamp::from_seconds(1_000_000);
        assert_eq!(end(start, start), start.plus_days(7));
        assert_eq!(end(start, start.plus_days(20)), start.plus_days(27));
        assert_eq!(end(start, start.plus_days(29)), start.plus_days(30));
    }

    #[test]
    fn a_use_is_noted_every_five_minutes() {
        let seen = Timestamp::from_seconds(1_000_000);
        assert!(!is_noted(seen, seen.plus_seconds(299)));
        assert!(is_noted(seen, seen.plus_seconds(300)));
    }

    #[test]
    fn a_secret_is_not_printed() {
        let secret = SessionSecret::generate(&Random::seeded(1)).unwrap();
        assert_eq!(secret.expose().len(), 43);
        assert_eq!(format!("{secret:?}"), "SessionSecret(hidden)");
    }
}
