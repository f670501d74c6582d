//! What a review of tokens and service users finds: each rule with how bad it is and what mends it.

use crate::clock::Timestamp;

/// A token that was used before is unused from so many days on.
pub const UNUSED_DAYS: i64 = 90;

/// A token that was never used is unused from so many days after it was made.
pub const NEVER_USED_DAYS: i64 = 30;

/// A token without a successor is about to expire from so many days before its expiry on.
pub const EXPIRING_DAYS: i64 = 30;

/// It is urgent from so many days before its expiry on.
pub const URGENT_DAYS: i64 = 7;

/// A dead token is still tried if the last attempt is no older than so many days.
pub const STILL_TRIED_DAYS: i64 = 30;

macro_rules! rules {
    ($($(#[$doc:meta])* $variant:ident = $text:literal, $severity:ident, $fix:ident;)+) => {
        /// What is looked for. Only what Admins may see: service tokens and service users.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Rule { $($(#[$doc])* $variant),+ }

        impl Rule {
            /// Every rule, in the order in which they are shown.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The rule's name on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// How bad it is, if nothing makes it worse.
            pub const fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity),+ }
            }

            /// What mends it.
            pub const fn fix(self) -> Fix {
                match self { $(Self::$variant => Fix::$fix),+ }
            }
        }
    };
}

rules! {
    /// A dead token is still tried: something was not told of its end, or somebody found it.
    StillTried = "still_tried", High, SeeRequests;
    /// A token of a deactivated service user: it would work again with its owner.
    Orphaned = "orphaned", High, Revoke;
    /// It expires soon, has no successor, and nobody's plan says that one comes.
    Expiring = "expiring", Medium, Rotate;
    /// It was to close by itself by now, and is still used.
    RotationUnfinished = "rotation_unfinished", Medium, SeeRequests;
    /// Nobody uses it.
    Unused = "unused", Medium, Revoke;
    /// A service user that may do everything.
    AdminRole = "admin_role", Medium, Demote;
    /// A service user of which nobody says what it is for, or who answers for it.
    NobodyAnswers = "nobody_answers", Low, Describe;
    /// It never expires.
    NeverExpires = "never_expires", Low, Rotate;
}

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Severity {
    /// Good to know.
    Low,
    /// To be mended in the next weeks.
    Medium,
    /// To be mended now.
    High,
}

impl Severity {
    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// What mends a finding.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fix {
    /// Revoke the token.
    Revoke,
    /// Make a successor.
    Rotate,
    /// Find out who sends the requests.
    SeeRequests,
    /// Give the service user a lower role.
    Demote,
    /// Say what the service user is for and who answers for it.
    Describe,
}

impl Fix {
    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revoke => "revoke",
            Self::Rotate => "rotate",
            Self::SeeRequests => "see_requests",
            Self::Demote => "demote",
            Self::Describe => "describe",
        }
    }
}

impl Rule {
    /// The rule of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|rule| rule.as_str() == name)
    }
}

/// From when on a token counts as unused.
pub fn unused_from(created: Timestamp, last_used: Option<Timestamp>) -> Timestamp {
    match last_used {
        Some(used) => used.plus_days(UNUSED_DAYS),
        None => created.plus_days(NEVER_USED_DAYS),
    }
}

/// From when on a token without a successor counts as expiring. Who plans to rotate it later than others is left
/// in peace until then.
pub fn expiring_from(expires: Timestamp, planned_days_before: Option<i64>) -> Timestamp {
    expires.plus_days(-planned_days_before.map_or(EXPIRING_DAYS, |days| days.min(EXPIRING_DAYS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_a_name_of_its_own() {
        for rule in Rule::ALL {
            assert_eq!(Rule::parse(rule.as_str()), Some(*rule));
        }
        assert_eq!(Rule::parse("nothing"), None);
    }

    #[test]
    fn a_plan_delays_a_finding_and_never_hastens_it() {
        let end = Timestamp::from_seconds(0).plus_days(100);
        assert_eq!(expiring_from(end, None), end.plus_days(-30));
        assert_eq!(expiring_from(end, Some(5)), end.plus_days(-5));
        assert_eq!(expiring_from(end, Some(60)), end.plus_days(-30));
    }
}
