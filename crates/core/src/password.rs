//! Passwords: what somebody typed, what may be chosen, and the hash that is stored. None of them can be
//! printed.

use std::fmt;

use serde::{Deserialize, Deserializer};
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

use crate::people::Invalid;

/// The fewest characters a new password may have.
const SHORTEST: usize = 12;

/// The most bytes a new password may have.
const LONGEST: usize = 1_024;

/// A password as somebody typed it, right or wrong. Wiped when dropped.
pub struct Typed(Zeroizing<String>);

impl Typed {
    /// What was typed, every space of it, in the one form (NFC) in which all keyboards agree.
    pub fn new(text: &str) -> Self {
        // Normalizing makes text three times as long at most, so nothing is left behind by growing.
        let mut typed = Zeroizing::new(String::with_capacity(text.len().saturating_mul(3)));
        typed.extend(text.nfc());
        Self(typed)
    }

    /// Checks that it is good enough to be somebody's password from now on: 12 characters to 1,024 bytes.
    pub fn choose(self) -> Result<Password, Invalid> {
        match self.0.len() {
            _ if self.0.chars().count() < SHORTEST => {
                Err(Invalid(format!("must have at least {SHORTEST} characters")))
            }
            ..=LONGEST => Ok(Password(self)),
            _ => Err(Invalid(format!("must have at most {LONGEST} bytes"))),
        }
    }

    /// The password itself, to be hashed.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Typed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::new(&Zeroizing::new(text)))
    }
}

impl fmt::Debug for Typed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Typed(hidden)")
    }
}

/// A password that may be somebody's from now on.
pub struct Password(Typed);

impl Password {
    /// The password itself, to be hashed.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(hidden)")
    }
}

/// The slow hash of a password, as a PHC string: all that is stored of it.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// A hash that was computed or stored earlier.
    pub const fn new(phc: String) -> Self {
        Self(phc)
    }

    /// The text that is stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(text: &str) -> Result<String, String> {
        let chosen = Typed::new(text).choose();
        chosen.map(|password| password.expose().to_owned()).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn a_password_has_12_characters_to_1024_bytes_and_stays_as_it_was_typed() {
        assert_eq!(choose("éééééé"), Err("must have at least 12 characters".into()));
        assert_eq!(choose("  twelve by  "), Ok("  twelve by  ".into()));
        assert_eq!(choose(&"x".repeat(12)).map(|p| p.len()), Ok(12));
        assert_eq!(choose(&"x".repeat(11)), Err("must have at least 12 characters".into()));
        assert_eq!(choose(&"x".repeat(1_024)).map(|p| p.len()), Ok(1_024));
        assert_eq!(choose(&"x".repeat(1_025)), Err("must have at most 1024 bytes".into()));
    }

    #[test]
    fn two_ways_to_type_the_same_are_the_same() {
        assert_eq!(choose("cafe\u{301} cafe\u{301}"), choose("café café"));
    }

    #[test]
    fn nothing_is_printed() {
        let typed = Typed::new("correct horse");
        assert_eq!(format!("{typed:?}"), "Typed(hidden)");
        assert_eq!(format!("{:?}", typed.choose()), "Ok(Password(hidden))");
        assert_eq!(format!("{:?}", PasswordHash::new("$argon2id$".into())), "PasswordHash(hidden)");
    }
}
