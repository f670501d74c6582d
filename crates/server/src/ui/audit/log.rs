//! Records as sentences, grouped by day.

use serde_json::Value;
use tokenhouse_core::audit::hex;
use tokenhouse_core::people::UserType;
use tokenhouse_store::audit::StoredRecord;

use super::told::Told;
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
        let Told { verb, object, via } = Told::of(&record, true);
        Self {
            seq: record.seq,
            at: page.moment(record.at),
            actor,
            by,
            verb,
            object,
            via,
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
