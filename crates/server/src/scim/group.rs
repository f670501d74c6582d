//! A team as JSON, and back.

use serde_json::{Value, json};
use tokenhouse_core::id::{UserId, number};
use tokenhouse_core::people::Name;
use tokenhouse_store::directory::{Group, Inside};

use super::filter;
use super::patch::{self, Operation, Step, Target, Verb};
use super::resource::{Resource, meta};
use super::schema::{GROUP, GROUPS};
use super::value::{self, Object, invalid};
use crate::error::{Error, ScimType};
use crate::service::directory::groups::{MemberChange, Wanted, unknown_member};

/// The team as it is shown.
pub(super) fn shown(group: &Group, base: &str) -> Resource {
    let id = group.id.to_string();
    let mut shown = Object::from_iter([
        ("schemas".to_owned(), json!([GROUP])),
        ("id".to_owned(), json!(id)),
        ("displayName".to_owned(), json!(group.name)),
    ]);
    if let Some(external_id) = &group.external_id {
        shown.insert("externalId".into(), json!(external_id));
    }
    if !group.members.is_empty() {
        let member = |id: &UserId| json!({ "value": id.to_string(), "$ref": format!("{base}/Users/{id}") });
        shown.insert("members".into(), group.members.iter().map(member).collect());
    }
    let times = (group.created_at, group.changed_at);
    Resource::new(shown, meta(&GROUPS, &id, base, times, group.version))
}

/// What a whole team is to be: what isn't said, it doesn't have.
pub(super) fn replaced(body: &Object) -> Result<Wanted, Error> {
    let mut wanted = Wanted { external_id: Some(None), ..Wanted::default() };
    let replace = Operation { verb: Verb::Replace, path: None, value: None };
    let body = Value::Object(body.clone());
    step_by_step(&mut wanted, &Operation { value: Some(&body), ..replace })?;
    if wanted.name.is_none() {
        return Err(invalid("`displayName` is required"));
    }
    if wanted.members.is_empty() {
        wanted.members.push(MemberChange::Replace(Vec::new()));
    }
    Ok(wanted)
}

/// What operations change of a team.
pub(super) fn patched(operations: &[Operation<'_>]) -> Result<Wanted, Error> {
    let mut wanted = Wanted::default();
    for operation in operations {
        step_by_step(&mut wanted, operation)?;
    }
    Ok(wanted)
}

fn step_by_step(wanted: &mut Wanted, operation: &Operation<'_>) -> Result<(), Error> {
    for step in patch::steps(&GROUPS, operation)? {
        let Step::At(target, value) = step else { continue };
        let value = value.unwrap_or(&Value::Null);
        match target.attribute.name {
            "displayName" => wanted.name = Some(name(operation.verb, &target, value)?),
            "externalId" => {
                let removed = operation.verb == Verb::Remove;
                let read = if removed { None } else { value::one(target.attribute, value)? };
                wanted.external_id = Some(read.and_then(|read| read.as_str().map(str::to_owned)));
            }
            "members" => members(wanted, operation.verb, &target, value)?,
            _ => {}
        }
    }
    Ok(())
}

fn name(verb: Verb, target: &Target, value: &Value) -> Result<Name, Error> {
    let read = if verb == Verb::Remove { None } else { value::one(target.attribute, value)? };
    let Some(Value::String(text)) = read else { return Err(invalid("`displayName` is required")) };
    Name::parse(&text).map_err(|problem| invalid(format!("`displayName` {problem}")))
}

fn members(wanted: &mut Wanted, verb: Verb, target: &Target, value: &Value) -> Result<(), Error> {
    let step = match (&target.filter, target.part, verb) {
        (Some(filter), None, Verb::Remove) => MemberChange::Remove(chosen(filter)?),
        (None, None, Verb::Remove) => match value {
            Value::Null => MemberChange::Replace(Vec::new()),
            value => MemberChange::Remove(ids(value)?.into_iter().flatten().collect()),
        },
        (None, None | Some(_), Verb::Add) => MemberChange::Add(known(value)?),
        (None, None | Some(_), Verb::Replace) => MemberChange::Replace(known(value)?),
        (Some(filter), None, Verb::Add | Verb::Replace) if value.is_null() => {
            MemberChange::Remove(chosen(filter)?)
        }
        // A membership has nothing that could be changed: who is meant by the filter is in.
        (Some(filter), part, Verb::Add | Verb::Replace) => {
            let chosen = chosen(filter)?;
            let names_somebody = part.is_none_or(|part| part.name == "value");
            let named = if names_somebody { ids(value)? } else { Vec::new() };
            if named.iter().any(|id| id.is_none_or(|id| !chosen.contains(&id))) {
                return Err(fixed());
            }
            MemberChange::Add(chosen)
        }
        (_, Some(_), Verb::Remove) => return Err(fixed()),
    };
    wanted.members.push(step);
    Ok(())
}

fn fixed() -> Error {
    Error::Scim(ScimType::Mutability, "a membership can't be changed: remove one and add another".into())
}

/// Who is chosen by `members[value eq "7"]`.
fn chosen(filter: &Inside) -> Result<Vec<UserId>, Error> {
    let anybody =
        || Error::Scim(ScimType::InvalidFilter, "members are chosen by `value` with eq only".into());
    filter::members(filter)?.ok_or_else(anybody)
}

/// The numbers of members, all of whom must be some.
fn known(value: &Value) -> Result<Vec<UserId>, Error> {
    ids(value)?.into_iter().map(|id| id.ok_or_else(unknown_member)).collect()
}

/// The members that a value names; `None` for one whose id can't be anybody's.
fn ids(value: &Value) -> Result<Vec<Option<UserId>>, Error> {
    let values = match value {
        Value::Null => &[],
        Value::Array(values) => values.as_slice(),
        single => std::slice::from_ref(single),
    };
    values.iter().filter(|value| !value.is_null()).map(id).collect()
}

fn id(member: &Value) -> Result<Option<UserId>, Error> {
    let wrong = || invalid("`members` must be a list of objects with `value`, the id of a person");
    let text = match member {
        Value::String(text) => text,
        Value::Object(member) => {
            let text = |name: &str| value::get(member, name).and_then(Value::as_str);
            let is_group = text("type").is_some_and(|kind| kind.eq_ignore_ascii_case("Group"))
                || text("$ref").is_some_and(|address| address.contains("/Groups/"));
            if is_group {
                return Err(invalid("a group can't be a member of a group"));
            }
            return Ok(number(text("value").ok_or_else(wrong)?).map(UserId));
        }
        _ => return Err(wrong()),
    };
    Ok(number(text).map(UserId))
}
