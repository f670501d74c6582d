//! Numbers that name things. Each kind is a type of its own, so that they can't be mixed up.
//! They are handed out once and never again.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The number that a text is, in the one spelling in which numbers of ours are written.
pub fn number(text: &str) -> Option<i64> {
    text.parse().ok().filter(|number: &i64| number.to_string() == text)
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

id!(
    /// Names a token.
    TokenId
);
id!(
    /// Names a user, human or service.
    UserId
);
id!(
    /// Names a team.
    TeamId
);
id!(
    /// Names a session of a person who is signed in.
    SessionId
);
id!(
    /// Names a request for a service user.
    ServiceUserRequestId
);
