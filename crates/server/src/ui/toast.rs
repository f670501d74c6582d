//! What has just happened, told once by the page after the redirect.

use std::fmt;

use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderValue, header};

use super::cookies;
use crate::app::App;

/// Longer than a redirect takes, in seconds.
const LIFE: i64 = 60;

macro_rules! happenings {
    ($($(#[$doc:meta])* $variant:ident $code:literal $sentence:literal,)+) => {
        /// Everything a toast may say. The cookie has only the code, so nobody can make a page say
        /// something else.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Happening {
            $($(#[$doc])* $variant,)+
        }

        impl Happening {
            const ALL: &[Self] = &[$(Self::$variant,)+];

            const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// The sentence that is shown.
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$variant => $sentence,)+ }
            }
        }
    };
}

happenings! {
    /// A token stopped working.
    TokenRevoked "token-revoked" "The token has been successfully revoked",
    /// A token works again.
    TokenRestored "token-restored" "The token has been successfully restored",
    /// A token and those made with it stopped working.
    TokensRevoked "tokens-revoked" "The token and those made with it have been successfully revoked",
    /// All tokens of the viewer stopped working.
    OwnTokensRevoked "own-tokens-revoked" "All your tokens have been revoked",
    /// A token is gone.
    TokenDeleted "token-deleted" "User token successfully deleted",
    /// The audit trail was verified; the page says what came of it.
    TrailVerified "trail-verified" "The whole audit trail has been verified",
    /// Somebody vouched for what reviews found.
    ReviewSignedOff "review-signed-off" "The review has been signed off",
    /// What holds for all tokens was changed.
    PoliciesChanged "policies-changed" "The policies have been saved",
    /// Who rotates a token, or whether it closes by itself, was settled.
    RotationPlanned "rotation-planned" "The rotation has been planned",
    /// The viewer has another password.
    PasswordChanged "password-changed" "Your password has been changed, and your other sessions have ended",
    /// One of the viewer's sessions is over.
    SessionEnded "session-ended" "The session has ended",
    /// A service user was made.
    ServiceUserCreated "service-user-created" "The service user has been created",
    /// An account's name, role, teams, purpose or owner changed.
    UserUpdated "user-updated" "The changes have been saved",
    /// An account was deactivated.
    UserDeactivated "user-deactivated" "The account has been deactivated",
    /// A deactivation was undone.
    UserReactivated "user-reactivated" "The account has been reactivated",
    /// All tokens of a service user were revoked.
    AllTokensRevoked "all-tokens-revoked" "All its tokens have been revoked",
    /// A team was made.
    TeamCreated "team-created" "The team has been created",
    /// A team's name or description changed.
    TeamUpdated "team-updated" "The team has been changed",
    /// A team is gone.
    TeamDeleted "team-deleted" "The team has been deleted",
    /// Somebody was taken into a team.
    MemberAdded "member-added" "Added to the team",
    /// Somebody was taken out of a team.
    MemberRemoved "member-removed" "Removed from the team",
    /// An alert that couldn't be delivered is tried anew.
    AlertRetried "alert-retried" "The alert is on its way again",
    /// A channel took a test alert.
    AlertTested "alert-tested" "The channel took the test alert",
    /// A service user was asked for.
    RequestMade "request-made" "The request has been sent to the Admins",
    /// A service user that was asked for was made.
    RequestApproved "request-approved" "The service user has been created as it was asked for",
    /// A service user that was asked for won't be made.
    RequestDeclined "request-declined" "The request has been declined",
    /// The viewer's own request is taken back.
    RequestWithdrawn "request-withdrawn" "The request has been withdrawn",
}

/// A toast: what happened, and to what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Toast {
    /// What happened.
    pub happening: Happening,
    /// Number of the token, user or team it happened to, for the way back that the toast offers.
    pub id: Option<i64>,
}

impl Toast {
    pub(super) const COOKIE: &str = "tokenhouse-toast";

    /// A toast about the thing with this number.
    pub const fn about(happening: Happening, id: i64) -> Self {
        Self { happening, id: Some(id) }
    }

    /// The sentence that is shown.
    pub const fn sentence(&self) -> &'static str {
        self.happening.sentence()
    }

    /// The form that takes it back, as path and label of its button. What can't be taken back has none.
    pub fn undo(&self) -> Option<(String, &'static str)> {
        match (self.happening, self.id) {
            (Happening::TokenRevoked, Some(id)) => {
                Some((format!("/settings/tokens/{id}/restore"), "Restore"))
            }
            (Happening::UserDeactivated, Some(id)) => {
                Some((format!("/settings/people/users/{id}/reactivate"), "Reactivate"))
            }
            _ => None,
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (code, id) = match text.split_once('.') {
            Some((code, id)) => (code, Some(id.parse().ok()?)),
            None => (text, None),
        };
        let happening = Happening::ALL.iter().copied().find(|happening| happening.code() == code)?;
        Some(Self { happening, id })
    }

    /// The answer to a form that was carried out: to another page, which tells what happened.
    pub fn then(self, app: &App, path: &str) -> Response {
        ([(header::SET_COOKIE, self.cookie(app))], Redirect::to(path)).into_response()
    }

    /// The cookie that brings it to the next page.
    pub(super) fn cookie(self, app: &App) -> HeaderValue {
        cookies::set(app, Self::COOKIE, &self.to_string(), LIFE)
    }
}

impl From<Happening> for Toast {
    fn from(happening: Happening) -> Self {
        Self { happening, id: None }
    }
}

/// As in the cookie.
impl fmt::Display for Toast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.happening.code())?;
        self.id.map_or(Ok(()), |id| write!(f, ".{id}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_toast_survives_the_cookie_and_nothing_else_becomes_one() {
        for &happening in Happening::ALL {
            for toast in [Toast::from(happening), Toast::about(happening, 47)] {
                assert_eq!(Toast::parse(&toast.to_string()), Some(toast));
            }
        }
        for other in
            ["", "token-revoked.", "token-revoked.x", "token-revoked.1.2", "<b>hi</b>", "TOKEN-REVOKED"]
        {
            assert_eq!(Toast::parse(other), None, "{other}");
        }
    }
}
