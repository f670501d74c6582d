//! Records as sentences, grouped by day.

use serde_json::Value;
use tokenhouse_core::audit::{Action, Record, hex};
use tokenhouse_core::people::UserType;
use tokenhouse_store::audit::StoredRecord;

use crate::ui::moment::Moment;
use crate::ui::page::Page;

/// The most characters of a value that are shown.
const VALUE_LIMIT: usize = 300;

/// A day (UTC) with its records, newest first.
pub(super) struct LogDay {
    pub(super) start: Moment,
    pub(super) entries: Vec<Entry>,
}

/// A record.
pub(super) struct Entry {
    pub(super) seq: i64,
    pub(super) at: Moment,
    pub(super) actor: String,
    pub(super) by: By,
    /// What they did.
    pub(super) verb: String,
    /// To what, if it isn't themselves.
    pub(super) object: Option<String>,
    pub(super) via: String,
    pub(super) ip: Option<String>,
    pub(super) request_id: Option<String>,
    pub(super) hash: String,
    pub(super) changes: Vec<Change>,
}

/// What stands before the name of whoever did it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum By {
    Person,
    Service,
    /// The system, the command line, or nobody who is known.
    Other,
}

/// A field that changed.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Change {
    pub(super) field: String,
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
}

/// Records that follow one another, by the day they belong to.
pub(super) fn by_day(page: &Page, records: Vec<StoredRecord>) -> Vec<LogDay> {
    let mut days: Vec<LogDay> = Vec::new();
    for stored in records {
        let start = page.moment(stored.record.at.start_of_day());
        let entry = Entry::of(page, stored);
        match days.last_mut() {
            Some(day) if day.start == start => day.entries.push(entry),
            _ => days.push(LogDay { start, entries: vec![entry] }),
        }
    }
    days
}

impl Entry {
    /// Whether an account did it.
    pub(super) fn is_by_account(&self) -> bool {
        self.by != By::Other
    }

    /// Whether a service user did it.
    pub(super) fn is_by_service(&self) -> bool {
        self.by == By::Service
    }

    fn of(page: &Page, StoredRecord { record, hash }: StoredRecord) -> Self {
        let (actor, by) = match &record.actor {
            Some(actor) if actor.user_type == UserType::Service => (actor.name.clone(), By::Service),
            Some(actor) => (actor.name.clone(), By::Person),
            None => (nobody(&record.via_kind).to_owned(), By::Other),
        };
        let is_self = record.entity.kind == "user"
            && record.actor.as_ref().is_some_and(|actor| actor.id.0 == record.entity.id);
        let (verb, named) = sentence(&record, is_self);
        Self {
            seq: record.seq,
            at: page.moment(record.at),
            actor,
            by,
            verb,
            object: named.then(|| record.entity.name.clone()),
            via: via(&record),
            changes: changes(&record.changes),
            ip: record.ip,
            request_id: record.request_id,
            hash: hex(&hash),
        }
    }
}

/// Who did it where no account did.
fn nobody(via: &str) -> &'static str {
    match via {
        "cli" => "The command line",
        "system" => "The system",
        _ => "Somebody",
    }
}

/// What was done, and whether the name of what it was done to follows.
fn sentence(record: &Record, is_self: bool) -> (String, bool) {
    let Ok(action) = record.action.parse::<Action>() else {
        return (format!("{}:", record.action), true);
    };
    let (verb, named) = match action {
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
    };
    (verb.to_owned(), named)
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

/// `{"field": [before, after]}` as rows.
fn changes(json: &str) -> Vec<Change> {
    let Ok(Value::Object(fields)) = serde_json::from_str(json) else { return Vec::new() };
    let row = |(field, pair): (String, Value)| {
        let side = |place: usize| pair.get(place).and_then(shown);
        Change { before: side(0), after: side(1), field }
    };
    fields.into_iter().map(row).collect()
}

/// A value as text; nothing for null.
fn shown(value: &Value) -> Option<String> {
    let text = match value {
        Value::Null => return None,
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().filter_map(shown).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    };
    let cut = text.chars().count() > VALUE_LIMIT;
    Some(if cut { text.chars().take(VALUE_LIMIT).chain(['…']).collect() } else { text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_as_text_on_either_side() {
        let rows = changes(
            r#"{"role":["Member","Admin"],"teams":[["Public"],["Public","Data"]],"owner":[null,""],"n":[1,false]}"#,
        );
        let row = |field: &str, before: Option<&str>, after: Option<&str>| Change {
            field: field.into(),
            before: before.map(Into::into),
            after: after.map(Into::into),
        };
        assert_eq!(
            rows,
            [
                row("n", Some("1"), Some("false")),
                row("owner", None, Some("")),
                row("role", Some("Member"), Some("Admin")),
                row("teams", Some("Public"), Some("Public, Data")),
            ]
        );
        assert_eq!(changes("{}"), []);
        assert_eq!(changes("broken"), []);
        let long = shown(&Value::String("x".repeat(1_000))).unwrap();
        assert_eq!(long.chars().count(), VALUE_LIMIT + 1);
    }
}
