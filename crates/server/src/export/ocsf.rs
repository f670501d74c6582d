//! A record as an event of the Open Cybersecurity Schema Framework, version 1.5.0: signing in and out is Authentication,
//! what happens to accounts is Account Change, all else is Entity Management.

use serde_json::{Value, json};
use tokenhouse_core::audit::{Action, Record, hex};
use tokenhouse_core::people::UserType;
use tokenhouse_store::audit::StoredRecord;

/// The version of the schema.
const VERSION: &str = "1.5.0";

/// Identity & Access Management.
const CATEGORY: u32 = 3;

/// Number and name.
type Named = (u32, &'static str);

const ACCOUNT_CHANGE: Named = (3001, "Account Change");
const AUTHENTICATION: Named = (3002, "Authentication");
const ENTITY_MANAGEMENT: Named = (3004, "Entity Management");

const OTHER: Named = (99, "Other");

/// The class and the activity of a record. What a newer server has written is told by its kind.
fn class(record: &Record) -> (Named, Named) {
    let Ok(action) = record.action.parse::<Action>() else {
        let of_user = record.entity.kind == "user";
        return (if of_user { ACCOUNT_CHANGE } else { ENTITY_MANAGEMENT }, OTHER);
    };
    match action {
        Action::UserSignedIn | Action::UserSignInFailed => (AUTHENTICATION, (1, "Logon")),
        Action::UserSignedOut | Action::UserSignedOutEverywhere => (AUTHENTICATION, (2, "Logoff")),
        Action::UserCreated => (ACCOUNT_CHANGE, (1, "Create")),
        Action::UserReactivated => (ACCOUNT_CHANGE, (2, "Enable")),
        Action::UserPasswordChanged => (ACCOUNT_CHANGE, (3, "Password Change")),
        Action::UserPasswordSet | Action::UserInvited => (ACCOUNT_CHANGE, (4, "Password Reset")),
        Action::UserDeactivated => (ACCOUNT_CHANGE, (5, "Disable")),
        Action::UserRemoved => (ACCOUNT_CHANGE, (6, "Delete")),
        Action::UserUpdated => (ACCOUNT_CHANGE, OTHER),
        Action::TokenGenerated | Action::TokenRotated | Action::TeamCreated | Action::RequestMade => {
            (ENTITY_MANAGEMENT, (1, "Create"))
        }
        Action::TeamUpdated
        | Action::PolicyUpdated
        | Action::TokenRotationPlanned
        | Action::RequestApproved
        | Action::RequestDeclined
        | Action::RequestWithdrawn => (ENTITY_MANAGEMENT, (3, "Update")),
        Action::TokenDeleted | Action::TeamDeleted => (ENTITY_MANAGEMENT, (4, "Delete")),
        Action::TokenRestored => (ENTITY_MANAGEMENT, (8, "Enable")),
        Action::TokenRevoked => (ENTITY_MANAGEMENT, (9, "Disable")),
        Action::SetupOffered
        | Action::SetupCompleted
        | Action::ReviewSignedOff
        | Action::TokenIdleAnnounced
        | Action::TokenLeaked
        | Action::AlertRetried
        | Action::AlertTested => (ENTITY_MANAGEMENT, OTHER),
    }
}

/// The event.
pub(super) fn event(stored: &StoredRecord) -> Value {
    let StoredRecord { record, hash } = stored;
    let ((class, class_name), (activity, activity_name)) = class(record);
    let failed = record.action == Action::UserSignInFailed.as_str();
    let mut event = json!({
        "category_uid": CATEGORY,
        "category_name": "Identity & Access Management",
        "class_uid": class,
        "class_name": class_name,
        "activity_id": activity,
        "activity_name": activity_name,
        "type_uid": class * 100 + activity,
        "type_name": format!("{class_name}: {activity_name}"),
        "time": record.at.micros().div_euclid(1_000),
        "severity_id": if failed { 2 } else { 1 },
        "severity": if failed { "Low" } else { "Informational" },
        "status_id": if failed { 2 } else { 1 },
        "status": if failed { "Failure" } else { "Success" },
        "message": record.action,
        "metadata": {
            "version": VERSION,
            "product": {
                "name": "Tokenhouse",
                "vendor_name": "Tokenhouse",
                "version": env!("CARGO_PKG_VERSION"),
            },
            "log_name": "audit",
            "event_code": record.action,
            "uid": record.seq.to_string(),
            "sequence": record.seq,
        },
        "actor": actor(record),
        "unmapped": {
            "changes": serde_json::from_str::<Value>(&record.changes).unwrap_or_default(),
            "hash": hex(hash),
            "via": record.via_kind,
            "via_token_id": record.via_token,
        },
    });
    if let Some(request) = &record.request_id {
        event["metadata"]["correlation_uid"] = json!(request);
    }
    if let Some(ip) = &record.ip {
        event["src_endpoint"] = json!({ "ip": ip });
    }
    let entity = &record.entity;
    if class == ENTITY_MANAGEMENT.0 {
        let (type_id, kind) = match entity.kind.as_str() {
            "team" => (3, "Group".to_owned()),
            "policy" => (5, "Policy".to_owned()),
            other => (99, crate::ui::text::capitalized(other)),
        };
        event["entity"] =
            json!({ "uid": entity.id.to_string(), "name": entity.name, "type_id": type_id, "type": kind });
    } else {
        event["user"] = json!({ "uid": entity.id.to_string(), "name": entity.name });
    }
    if class == AUTHENTICATION.0 {
        event["service"] = json!({ "name": "Tokenhouse" });
        event["is_remote"] = json!(true);
    }
    event
}

/// Who did it; the program itself where nobody did.
fn actor(record: &Record) -> Value {
    let Some(actor) = &record.actor else {
        return json!({ "app_name": format!("tokenhouse ({})", record.via_kind) });
    };
    let (type_id, kind) = match actor.user_type {
        UserType::Human => (1, "User"),
        UserType::Service => (99, "Service"),
    };
    json!({ "user": {
        "uid": actor.id.to_string(),
        "uid_alt": actor.user_id,
        "name": actor.name,
        "type_id": type_id,
        "type": kind,
    } })
}
