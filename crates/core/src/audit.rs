//! The audit trail: a closed list of what can happen, and the chain that makes every later edit
//! visible.
//!
//! Each record's hash covers the hash before it. The head (number and hash of the newest record) is
//! sealed by a MAC under the master key, so that cutting off the newest records, or recomputing the
//! whole chain, is found as well.

mod chain;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use self::chain::{Broken, Head, Seal, Verifier, hex};
use crate::clock::Timestamp;
use crate::id::{TokenId, UserId};
use crate::people::{Invalid, UserType};

macro_rules! actions {
    ($($(#[$doc:meta])* $variant:ident = $text:literal),+ $(,)?) => {
        /// What can happen. The text is `<entity>.<what>`.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Action { $($(#[$doc])* $variant),+ }

        impl Action {
            /// Every action.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The action's name on the wire and in the store.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    };
}

actions! {
    /// A token was made.
    TokenGenerated = "token.generated",
    /// A token was revoked.
    TokenRevoked = "token.revoked",
    /// A revoke was undone.
    TokenRestored = "token.restored",
    /// A token was deleted for good.
    TokenDeleted = "token.deleted",
    /// A token was made as the successor of another.
    TokenRotated = "token.rotated",
    /// An account was made.
    UserCreated = "user.created",
    /// An account's name, role, teams, purpose or owner changed.
    UserUpdated = "user.updated",
    /// An account was deactivated.
    UserDeactivated = "user.deactivated",
    /// A deactivation was undone.
    UserReactivated = "user.reactivated",
    /// A person was removed for good by a directory: their tokens are revoked and their user name is free.
    UserRemoved = "user.removed",
    /// A person was sent a new link to choose a password; earlier ones are dead.
    UserInvited = "user.invited",
    /// A password was chosen with a one-time link. All sessions ended.
    UserPasswordSet = "user.password_set",
    /// A password was changed by whoever knew the one before. All other sessions ended.
    UserPasswordChanged = "user.password_changed",
    /// A person signed in to the web UI.
    UserSignedIn = "user.signed_in",
    /// Somebody gave a wrong password, or a user name nobody has (then the number is 0).
    UserSignInFailed = "user.sign_in_failed",
    /// A person ended one of their sessions.
    UserSignedOut = "user.signed_out",
    /// A person ended all their sessions.
    UserSignedOutEverywhere = "user.signed_out_everywhere",
    /// A team was made.
    TeamCreated = "team.created",
    /// A team's name, description or members changed.
    TeamUpdated = "team.updated",
    /// A team was deleted.
    TeamDeleted = "team.deleted",
    /// A one-time link to make the first Admin was printed; an earlier one is dead.
    SetupOffered = "setup.offered",
    /// The first Admin was made with that link.
    SetupCompleted = "setup.completed",
    /// What holds for all tokens was settled anew.
    PolicyUpdated = "policy.updated",
    /// Somebody looked through all findings and vouches for them.
    ReviewSignedOff = "review.signed_off",
    /// Who rotates a token, or whether it closes by itself, was settled anew.
    TokenRotationPlanned = "token.rotation_planned",
    /// A token that nobody uses was told to be revoked soon.
    TokenIdleAnnounced = "token.idle_announced",
    /// A token was reported as leaked. It is revoked by a record of its own.
    TokenLeaked = "token.leaked",
    /// An alert that couldn't be delivered is tried anew.
    AlertRetried = "alert.retried",
    /// A channel was sent an alert to see whether it arrives.
    AlertTested = "alert.tested",
    /// Somebody asked for a service user.
    RequestMade = "request.made",
    /// A service user that was asked for was made.
    RequestApproved = "request.approved",
    /// A service user that was asked for won't be made.
    RequestDeclined = "request.declined",
    /// Whoever asked for a service user took that back.
    RequestWithdrawn = "request.withdrawn",
}

impl Action {
    /// The kind of thing the action is about: the part before the dot.
    pub fn entity(self) -> &'static str {
        self.as_str().split('.').next().unwrap_or_default()
    }

    /// Whether it may take access away from a token, so that it must be in effect on every node before
    /// anybody is told that it is done. What isn't known for certain never to, may.
    pub const fn may_narrow(self) -> bool {
        match self {
            Self::TokenRevoked
            | Self::TokenDeleted
            | Self::UserUpdated
            | Self::UserDeactivated
            | Self::UserRemoved
            | Self::TeamUpdated
            | Self::TeamDeleted => true,
            Self::TokenGenerated
            | Self::TokenRestored
            | Self::TokenRotated
            | Self::UserCreated
            | Self::UserReactivated
            | Self::TeamCreated
            // Sessions and passwords are asked of the store each time.
            | Self::UserInvited
            | Self::UserPasswordSet
            | Self::UserPasswordChanged
            | Self::UserSignedIn
            | Self::UserSignInFailed
            | Self::UserSignedOut
            | Self::UserSignedOutEverywhere
            | Self::SetupOffered
            | Self::SetupCompleted
            // What is made later goes by the new policies, also what is made elsewhere: they are asked of the store.
            | Self::PolicyUpdated
            | Self::ReviewSignedOff
            | Self::TokenRotationPlanned
            | Self::TokenIdleAnnounced
            | Self::TokenLeaked
            | Self::AlertRetried
            | Self::AlertTested
            | Self::RequestMade
            | Self::RequestApproved
            | Self::RequestDeclined
            | Self::RequestWithdrawn => false,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Action {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::ALL.iter().copied().find(|action| action.as_str() == text).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|action| action.as_str()).collect();
            Invalid(format!("must be one of {}", known.join(", ")))
        })
    }
}

/// By what way a change came in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Via {
    /// In the web UI: signed in, about to be, or with a one-time link.
    Session,
    /// With a bearer token.
    Token(TokenId),
    /// Through the SCIM endpoints, with this token.
    Scim(TokenId),
    /// On the command line of the machine.
    Cli,
    /// By itself.
    System,
}

impl Via {
    /// The way's name on the wire and in the store.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Token(_) => "token",
            Self::Scim(_) => "scim",
            Self::Cli => "cli",
            Self::System => "system",
        }
    }

    /// The token that was used, if one was.
    pub const fn token_id(self) -> Option<TokenId> {
        match self {
            Self::Token(id) | Self::Scim(id) => Some(id),
            Self::Session | Self::Cli | Self::System => None,
        }
    }
}

/// Who did it, as they were called then.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Actor {
    /// The account.
    pub id: UserId,
    /// Its `user_id`.
    pub user_id: String,
    /// Its name.
    pub name: String,
    /// Human or service.
    pub user_type: UserType,
}

/// What it was done to, as it was called then.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entity {
    /// `token`, `user`, `team`, `setup`, `policy`, `review`, `alert` or `request`.
    pub kind: String,
    /// Its number.
    pub id: i64,
    /// Its name.
    pub name: String,
}

/// One record of the trail, as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Position in the trail, from 1, without gaps.
    pub seq: i64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened ([`Action`]; as text, because a stored record may say anything).
    pub action: String,
    /// To what.
    pub entity: Entity,
    /// By whom; `None` for the system and the command line.
    pub actor: Option<Actor>,
    /// By what way: `session`, `token`, `scim`, `cli` or `system`.
    pub via_kind: String,
    /// With which token.
    pub via_token: Option<TokenId>,
    /// From which address.
    pub ip: Option<String>,
    /// The request it was part of.
    pub request_id: Option<String>,
    /// Changed fields as a JSON object `{"field": [before, after]}`, as text, since the hash covers
    /// its exact spelling.
    pub changes: String,
}
