//! Users, service users, slugs, teams and roles.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};
use unicode_normalization::UnicodeNormalization as _;

/// The team everybody is in. It can't be renamed, deleted or left.
pub const PUBLIC_TEAM: &str = "Public";

/// The most characters a name may have.
pub const NAME_LIMIT: usize = 255;

/// What a text has to be, told to whoever sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

/// What a user may do. A higher role includes the lower ones.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum Role {
    /// Manages their own personal tokens.
    Member,
    /// Also sees users and teams.
    Manager,
    /// Also manages people, teams, service tokens, and reads the audit trail.
    Admin,
}

impl Role {
    /// Every role, lowest first.
    pub const ALL: [Self; 3] = [Self::Member, Self::Manager, Self::Admin];

    /// The role's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Member => "Member",
            Self::Manager => "Manager",
            Self::Admin => "Admin",
        }
    }
}

/// Whether an account belongs to a person or to automation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
pub enum UserType {
    /// A person.
    Human,
    /// Automation. Can't sign in to the web UI and outlives the Admin who made it.
    Service,
}

impl UserType {
    /// The type's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Human => "Human",
            Self::Service => "Service",
        }
    }
}

macro_rules! text_form {
    ($type:ty, $allowed:literal, $($variant:path),+) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $type {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                [$($variant),+]
                    .into_iter()
                    .find(|known| known.as_str() == text)
                    .ok_or_else(|| Invalid(format!("must be one of {}", $allowed)))
            }
        }

        /// From a text only (what serde derives also takes `{"Admin": null}`), and without repeating
        /// it when it is wrong.
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Cow::<str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
text_form!(Role, "Member, Manager, Admin", Role::Member, Role::Manager, Role::Admin);
text_form!(UserType, "Human, Service", UserType::Human, UserType::Service);

/// A name as people give it to tokens, users and teams: 1 to 255 characters after trimming white
/// space and NFC, no control characters, compared exactly.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(transparent)]
pub struct Name(String);

impl Name {
    /// Trims, normalizes and checks.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let name: String = text.trim().nfc().collect();
        match name.chars().count() {
            0 => Err(Invalid("must not be empty".into())),
            n if n > NAME_LIMIT => {
                Err(Invalid(format!("must have at most {NAME_LIMIT} characters, this one has {n}")))
            }
            _ if name.chars().any(char::is_control) => {
                Err(Invalid("must not contain control characters".into()))
            }
            _ => Ok(Self(name)),
        }
    }

    /// The name followed by `suffix`, cut so that both fit.
    #[must_use]
    pub fn with_suffix(&self, suffix: &str) -> Self {
        let room = NAME_LIMIT.saturating_sub(suffix.chars().count());
        let kept: String = self.0.chars().take(room).collect();
        Self(format!("{}{suffix}", kept.trim_end()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a character can't be seen, or turns the direction of the text around it: with it a name looks like
/// another one. Names may have them, since some scripts need them.
pub const fn is_invisible(letter: char) -> bool {
    matches!(letter,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Text without limits on its form (a purpose, an owner, a description): trimmed, NFC, at most
/// `limit` characters, no control characters but tab and line breaks. Empty means absent.
pub fn free_text(text: &str, limit: usize) -> Result<Option<String>, Invalid> {
    let text: String = text.trim().nfc().collect();
    let length = text.chars().count();
    if length > limit {
        return Err(Invalid(format!("must have at most {limit} characters, this one has {length}")));
    }
    if text.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r')) {
        return Err(Invalid("must not contain control characters".into()));
    }
    Ok((!text.is_empty()).then_some(text))
}

/// An e-mail address (RFC 5321): at most 254 characters, no display name, no control characters.
pub fn email(text: &str) -> Result<String, Invalid> {
    let text: String = text.trim().nfc().collect();
    let options = email_address::Options::default().without_display_text().without_domain_literal();
    let well_formed = email_address::EmailAddress::parse_with_options(&text, options).is_ok();
    if well_formed && text.len() <= 254 && !text.chars().any(char::is_control) {
        Ok(text)
    } else {
        Err(Invalid("must be an e-mail address such as ada@example.com".into()))
    }
}

/// A name or address in the form in which case makes no difference. Stored beside the original, so
/// that databases with different ideas of case agree.
pub fn fold(text: &str) -> String {
    text.nfkc().collect::<String>().to_lowercase()
}

/// The slug of a service user: lowercase, runs of white space become `_`, everything except
/// `a-z 0-9 _ -` is dropped. An error if nothing is left.
pub fn slug(name: &Name) -> Result<String, Invalid> {
    let words: Vec<String> = name.as_str().split_whitespace().map(str::to_lowercase).collect();
    let slug: String =
        words.join("_").chars().filter(|c| matches!(c, 'a'..='z' | '0'..='9' | '_' | '-')).collect();
    if slug.is_empty() {
        return Err(Invalid("must contain at least one of a-z, 0-9, _ or - for the user id".into()));
    }
    Ok(slug)
}

/// How the `user_id` of every service user ends.
pub const SERVICE_SUFFIX: &str = "@service";

/// The `user_id` of the service user with this slug.
pub fn service_user_id(slug: &str) -> String {
    format!("{slug}{SERVICE_SUFFIX}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_higher_role_includes_the_lower_ones() {
        assert!(Role::Member < Role::Manager && Role::Manager < Role::Admin);
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        assert!("admin".parse::<Role>().is_err());
    }

    #[test]
    fn a_name_is_trimmed_and_normalized() {
        assert_eq!(Name::parse("  cafe\u{301} ").map(|n| n.to_string()), Ok("café".into()));
        assert!(Name::parse(" \t\n ").is_err());
        assert!(Name::parse("a\0b").is_err());
        assert!(Name::parse("a\u{85}b").is_err());
        assert!(Name::parse(&"é".repeat(255)).is_ok());
        assert!(Name::parse(&"é".repeat(256)).is_err());
        assert_ne!(Name::parse("CI"), Name::parse("ci"));
    }

    #[test]
    fn a_suffix_always_fits() {
        let long = Name::parse(&"x".repeat(255)).unwrap();
        let rotated = long.with_suffix(" (rotated 2026-01-15)");
        assert_eq!(rotated.as_str().chars().count(), 255);
        assert!(rotated.as_str().ends_with("x (rotated 2026-01-15)"));
    }

    #[test]
    fn a_slug_is_made_of_the_name() {
        let slug_of = |name: &str| slug(&Name::parse(name).unwrap());
        assert_eq!(slug_of("Pipeline Automation").as_deref(), Ok("pipeline_automation"));
        assert_eq!(slug_of("Émile \u{2003} K-9!").as_deref(), Ok("mile_k-9"));
        assert!(slug_of("日本語").is_err());
        assert_eq!(service_user_id("ci"), "ci@service");
    }

    #[test]
    fn an_email_is_checked() {
        assert_eq!(email(" ada@example.com "), Ok("ada@example.com".into()));
        for bad in ["", "ada", "@example.com", "ada@", "a b@example.com", "Ada <ada@example.com>", "a@b\0.c"]
        {
            assert!(email(bad).is_err(), "{bad:?}");
        }
        assert!(email(&format!("{}@example.com", "a".repeat(300))).is_err());
    }

    proptest! {
        #[test]
        fn a_parsed_name_parses_to_itself(text in any::<String>()) {
            if let Ok(name) = Name::parse(&text) {
                prop_assert!((1..=NAME_LIMIT).contains(&name.as_str().chars().count()));
                prop_assert!(!name.as_str().chars().any(char::is_control));
                prop_assert_eq!(Name::parse(name.as_str()), Ok(name.clone()));
            }
        }

        #[test]
        fn a_slug_holds_only_what_it_may(text in any::<String>()) {
            if let Some(slug) = Name::parse(&text).ok().and_then(|name| slug(&name).ok()) {
                prop_assert!(!slug.is_empty());
                let only_allowed = slug.bytes().all(|b| {
                    b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-'
                });
                prop_assert!(only_allowed);
            }
        }
    }
}
