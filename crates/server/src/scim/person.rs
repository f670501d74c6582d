//! A person as JSON, and back.

use serde_json::{Value, json};
use tokenhouse_core::people::{NAME_LIMIT, Name, Role, fold};
use tokenhouse_store::directory::{Attribute, Person};

use super::resource::{Resource, meta};
use super::schema::{ENTERPRISE, PEOPLE, USER};
use super::value::{Object, invalid};
use crate::error::Error;
use crate::service::directory::Wanted;

/// The most bytes of everything that a directory says of a person.
const DOCUMENT_LIMIT: usize = 64 * 1024;

/// What we have columns for.
const COLUMNS: [&str; 3] = ["userName", "externalId", "active"];

/// What a client may change of a person, as it is now. The display name is left out while it follows from
/// the rest.
pub(super) fn document(person: &Person) -> Result<Object, Error> {
    said(person).map(|said| completed(said, person))
}

/// What was said, with what we have columns for as it is now.
fn completed(mut document: Object, person: &Person) -> Object {
    set_role(&mut document, person.user.role);
    let user_name = &person.user.user_name;
    document.insert("userName".into(), json!(user_name));
    if document.contains_key("displayName") || derived_name(&document) != person.user.name {
        document.insert("displayName".into(), json!(person.user.name));
    }
    document.insert("active".into(), json!(person.user.deleted_at.is_none()));
    if let Some(external_id) = &person.external_id {
        document.insert("externalId".into(), json!(external_id));
    }
    document
}

/// What was said of a person; of one of whom nothing was said yet, what is known.
fn said(person: &Person) -> Result<Object, Error> {
    match &person.document {
        Some(document) => serde_json::from_str(document).map_err(Error::internal),
        None => Ok(Object::from_iter([
            ("displayName".to_owned(), json!(person.user.name)),
            ("emails".to_owned(), json!([{ "value": person.user.email }])),
        ])),
    }
}

/// What changes with a new document of a person: what was kept of them, and what they are to be.
///
/// A directory that never says who has which role leaves that to us: a role that was given here survives when
/// it replaces everything, or sends back what it was shown. One that does takes a role back by leaving it out.
pub(super) fn change(
    person: &Person,
    mut document: Object,
    says_roles: bool,
) -> Result<(Object, Wanted), Error> {
    let said = said(person)?;
    let never_said = !said.contains_key("roles");
    let before = completed(said, person);
    let leaves_roles_to_us = never_said && (!says_roles || document.get("roles") == before.get("roles"));
    if leaves_roles_to_us {
        document.remove("roles");
    } else if never_said {
        prefer_said_role(&mut document, &before);
    }
    let mut wanted = wanted(document, &before)?;
    let mut kept = beyond_columns(before);
    if leaves_roles_to_us {
        kept.remove("roles");
    } else {
        wanted.role.get_or_insert(Role::Member);
    }
    Ok((kept, wanted))
}

/// What the document has beyond our columns.
fn beyond_columns(mut document: Object) -> Object {
    for column in COLUMNS {
        document.remove(column);
    }
    document
}

/// The person as they are shown.
pub(super) fn shown(person: &Person, base: &str) -> Result<Resource, Error> {
    let mut shown = document(person)?;
    let id = person.user.id.to_string();
    let schemas: Vec<&str> =
        [USER].into_iter().chain(shown.contains_key(ENTERPRISE).then_some(ENTERPRISE)).collect();
    let group = |(id, name): &(tokenhouse_core::id::TeamId, String)| {
        let address = format!("{base}/Groups/{id}");
        json!({ "value": id.to_string(), "$ref": address, "display": name, "type": "direct" })
    };
    let groups: Vec<Value> = person.groups.iter().map(group).collect();
    shown.insert("schemas".into(), json!(schemas));
    shown.insert("id".into(), json!(id));
    if !groups.is_empty() {
        shown.insert("groups".into(), Value::Array(groups));
    }
    let times = (person.user.created_at, person.changed_at);
    Ok(Resource::new(shown, meta(&PEOPLE, &id, base, times, person.version)))
}

/// What a document says a person is to be, who was as the document `before` says; empty of a new one.
pub(super) fn wanted(mut document: Object, before: &Object) -> Result<Wanted, Error> {
    let Some(Value::String(user_name)) = document.get("userName") else {
        return Err(invalid("`userName` is required"));
    };
    let user_name = checked("userName", user_name)?;
    document.insert("userName".into(), json!(user_name));
    if document.get("displayName").and_then(Value::as_str).is_some_and(|name| name.trim().is_empty()) {
        document.remove("displayName");
    }
    let name = match document.get("displayName") {
        Some(Value::String(name)) => checked("displayName", name)?,
        _ => checked("name", &derived_name(&document))?,
    };
    if document.contains_key("displayName") {
        document.insert("displayName".into(), json!(name));
        // Whoever sends back what was shown doesn't choose the name that followed from the rest.
        let followed = !before.is_empty() && !before.contains_key("displayName");
        if followed && derived_name(&document) == name.as_str() {
            document.remove("displayName");
        }
    }
    let role = document.contains_key("roles").then(|| role(&document));
    if let Some(role) = role {
        set_role(&mut document, role);
    }
    let email = checked("emails", &email(&document, &user_name))?.to_string();
    let active = document.get("active").and_then(Value::as_bool);
    let external_id = document.get("externalId").and_then(Value::as_str).map(str::to_owned);
    let document = beyond_columns(document);
    if serde_json::to_string(&document).map_err(Error::internal)?.len() > DOCUMENT_LIMIT {
        return Err(invalid(format!("all attributes together have more than {DOCUMENT_LIMIT} bytes")));
    }
    let attributes = attributes(&document);
    Ok(Wanted { user_name, email, name, role, active, external_id, document, attributes })
}

fn checked(attribute: &str, text: &str) -> Result<Name, Error> {
    Name::parse(text).map_err(|problem| invalid(format!("`{attribute}` {problem}")))
}

/// The display name where none was given: the whole name, the parts of it, the user name.
fn derived_name(document: &Object) -> String {
    let part = |part: &str| document.get("name")?.get(part)?.as_str();
    let parts: Vec<&str> = ["givenName", "familyName"].into_iter().filter_map(part).collect();
    let user_name = document.get("userName").and_then(Value::as_str);
    let candidates = [part("formatted").unwrap_or_default(), &parts.join(" "), user_name.unwrap_or_default()];
    let clean = |text: &&str| {
        let text: String = text.chars().filter(|c| !c.is_control()).take(NAME_LIMIT).collect();
        Name::parse(&text).map(|name| name.to_string()).ok()
    };
    candidates.iter().find_map(clean).unwrap_or_default()
}

/// The address that counts as theirs: the primary one, the one at work, the first; or else the user name.
fn email(document: &Object, user_name: &Name) -> String {
    let emails = document.get("emails").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let with_value: Vec<&Value> = emails.iter().filter(|email| email.get("value").is_some()).collect();
    let primary = |email: &&&Value| email.get("primary") == Some(&Value::Bool(true));
    let work = |email: &&&Value| {
        email.get("type").and_then(Value::as_str).is_some_and(|kind| kind.eq_ignore_ascii_case("work"))
    };
    let chosen = with_value
        .iter()
        .find(primary)
        .or_else(|| with_value.iter().find(work))
        .or_else(|| with_value.first());
    let value = chosen.and_then(|email| email.get("value")).and_then(Value::as_str);
    value.filter(|value| !value.trim().is_empty()).unwrap_or(user_name.as_str()).to_owned()
}

/// The role that a value among `roles` names, if it is one of ours.
fn known_role(value: &Value) -> Option<Role> {
    let name = fold(value.get("value")?.as_str()?);
    Role::ALL.into_iter().find(|role| fold(role.as_str()) == name)
}

fn roles(document: &Object) -> &[Value] {
    document.get("roles").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The highest of our roles that a document names.
fn role(document: &Object) -> Role {
    roles(document).iter().filter_map(known_role).max().unwrap_or(Role::Member)
}

/// Takes a role that was given here from among `roles` if the directory has now said one itself.
fn prefer_said_role(document: &mut Object, before: &Object) {
    let given_here = |role: &Value| known_role(role).is_some() && roles(before).contains(role);
    let said = |role: &Value| known_role(role).is_some() && !roles(before).contains(role);
    if !roles(document).iter().any(said) {
        return;
    }
    if let Some(Value::Array(roles)) = document.get_mut("roles") {
        roles.retain(|role| !given_here(role));
    }
}

/// Makes `role` the only one of ours among `roles`. What was said of it otherwise, such as that it is the
/// primary one, stays with it; what is not one of ours stays and grants nothing. Where none of ours was said,
/// Member needn't be: everybody is at least that.
fn set_role(document: &mut Object, role: Role) {
    let before = roles(document);
    if role == Role::Member && !before.iter().any(|value| known_role(value).is_some()) {
        return;
    }
    let same = before.iter().find(|value| known_role(value) == Some(role));
    let kept = same.or_else(|| before.iter().find(|value| known_role(value).is_some())).cloned();
    let mut kept = match kept {
        Some(Value::Object(kept)) => kept,
        _ => Object::new(),
    };
    if same.is_none() {
        kept.remove("display");
    }
    kept.insert("value".into(), json!(role));
    let others = before.iter().filter(|value| known_role(value).is_none()).cloned();
    let roles: Vec<Value> = others.chain([Value::Object(kept)]).collect();
    document.insert("roles".into(), Value::Array(roles));
}

/// Every value of a document, to be searched by. The display name has a column.
fn attributes(document: &Object) -> Vec<Attribute> {
    let mut found = Vec::new();
    for (name, value) in document {
        match value {
            Value::Object(extension) if name == ENTERPRISE => found.extend(attributes(extension)),
            _ if name == "displayName" => {}
            Value::Array(values) => {
                for (position, value) in (0..).zip(values) {
                    parts(&mut found, name, position, value);
                }
            }
            value => parts(&mut found, name, 0, value),
        }
    }
    found
}

fn parts(found: &mut Vec<Attribute>, name: &str, position: i64, value: &Value) {
    let mut push = |part: &str, value: &Value| {
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let (attribute, part) = (name.to_ascii_lowercase(), part.to_ascii_lowercase());
        found.push(Attribute { attribute, position, part, text });
    };
    match value {
        Value::Object(parts) => parts.iter().for_each(|(part, value)| push(part, value)),
        value => push("", value),
    }
}
