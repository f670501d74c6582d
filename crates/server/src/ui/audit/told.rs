//! What a record tells, in words.

use tokenhouse_core::audit::{Action, Record};

/// What was done, to what, and by what way.
pub(in crate::ui) struct Told {
    /// `revoked the token`
    pub(in crate::ui) verb: String,
    /// The name of what it was done to, where that follows.
    pub(in crate::ui) object: Option<String>,
    /// `browser`
    pub(in crate::ui) via: String,
}

impl Told {
    /// What a record tells to somebody who may know the names of the tokens in it, or may not.
    pub(in crate::ui) fn of(record: &Record, names_tokens: bool) -> Self {
        let (verb, is_named) = sentence(record);
        let is_token = record.entity.kind == "token";
        let hidden = (is_token && !names_tokens).then(|| without_name(&verb));
        Self {
            object: (is_named && hidden.is_none()).then(|| record.entity.name.clone()),
            verb: hidden.unwrap_or(verb),
            via: via(record),
        }
    }
}

/// What was done, and whether the name of what it was done to follows.
fn sentence(record: &Record) -> (String, bool) {
    let is_self = record.entity.kind == "user"
        && record.actor.as_ref().is_some_and(|actor| actor.id.0 == record.entity.id);
    let Ok(action) = record.action.parse::<Action>() else {
        return (format!("{}:", record.action), true);
    };
    let (verb, is_named) = match action {
        Action::TokenGenerated => ("generated the token", true),
        Action::TokenRevoked => ("revoked the token", true),
        Action::TokenRestored => ("restored the token", true),
        Action::TokenDeleted => ("deleted the token", true),
        Action::TokenRotated => ("rotated a token, which made", true),
        Action::UserCreated => ("created the account", true),
        Action::UserUpdated if is_self => ("changed their own account", false),
        Action::UserUpdated => ("changed the account", true),
        Action::UserDeactivated if is_self => ("deactivated their own account", false),
        Action::UserDeactivated => ("deactivated", true),
        Action::UserReactivated => ("reactivated", true),
        Action::UserRemoved => ("removed the account", true),
        Action::UserInvited => ("made an invitation link for", true),
        Action::UserPasswordSet => ("chose a password with a one-time link", !is_self),
        Action::UserPasswordChanged => ("changed their password", !is_self),
        Action::UserSignedIn => ("signed in", !is_self),
        Action::UserSignInFailed if is_self => ("gave a wrong present password", false),
        Action::UserSignInFailed if record.entity.id == 0 => {
            ("failed to sign in with an unknown name", false)
        }
        Action::UserSignInFailed => ("failed to sign in as", true),
        Action::UserSignedOut => ("signed out", !is_self),
        Action::UserSignedOutEverywhere => ("signed out everywhere", !is_self),
        Action::TeamCreated => ("created the team", true),
        Action::TeamUpdated => ("changed the team", true),
        Action::TeamDeleted => ("deleted the team", true),
        Action::SetupOffered => ("offered a link to set up the first Admin", false),
        Action::SetupCompleted => ("completed the setup", false),
        Action::PolicyUpdated => ("changed the policies", false),
        Action::ReviewSignedOff => ("signed off the review of", true),
        Action::TokenRotationPlanned => ("planned the rotation of the token", true),
        Action::TokenIdleAnnounced => ("announced to revoke the token", true),
        Action::TokenLeaked => ("reported as leaked the token", true),
        Action::AlertRetried => ("retried the delivery of an alert through", true),
        Action::AlertTested => ("sent a test alert through", true),
        Action::RequestMade => ("asked for the service user", true),
        Action::RequestApproved => ("approved the request for the service user", true),
        Action::RequestDeclined => ("declined the request for the service user", true),
        Action::RequestWithdrawn => ("withdrew the request for the service user", true),
    };
    (verb.to_owned(), is_named)
}

/// What was done to a token that isn't named: `revoked a token`, `rotated a token`.
fn without_name(verb: &str) -> String {
    let verb = verb.split_once(',').map_or(verb, |(verb, _)| verb);
    verb.trim_end_matches(':').replace(" the token", " a token")
}

/// By what way.
fn via(record: &Record) -> String {
    let token = record.via_token.map(|id| format!(", token {id}")).unwrap_or_default();
    match record.via_kind.as_str() {
        "session" => "browser".to_owned(),
        "token" => format!("API{token}"),
        "scim" => format!("SCIM{token}"),
        "cli" => "command line".to_owned(),
        other => format!("{other}{token}"),
    }
}
