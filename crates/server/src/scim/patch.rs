//! PATCH (RFC 7644, section 3.5.2): operations, and what they make of a person's document. POST and PUT come
//! through here as well: they replace everything in an empty document.

mod path;

use scim_v2::filter::PatchPath;
use serde_json::Value;

pub(super) use self::path::Target;
use super::filter::form::spaced_not;
use super::schema::{Attribute, Kind, Mutability, ResourceType};
use super::value::{self, Object, invalid, syntax};
use crate::error::{Error, ScimType};

/// URN of a PATCH.
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// The most bytes of a path.
const PATH_LIMIT: usize = 8 * 1024;

/// The most operations of a request: they are done while everybody else who changes something waits.
const OPERATIONS_LIMIT: usize = 500;

/// What an operation does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    /// Adds values, or changes the one there is.
    Add,
    /// Puts new values in the place of those there are.
    Replace,
    /// Takes values away.
    Remove,
}

/// One operation.
#[derive(Debug)]
pub struct Operation<'a> {
    pub(super) verb: Verb,
    pub(super) path: Option<PatchPath>,
    pub(super) value: Option<&'a Value>,
}

/// The operations of a body.
pub fn operations(body: &Object) -> Result<Vec<Operation<'_>>, Error> {
    value::check_schema(body, PATCH)?;
    match value::get(body, "Operations") {
        Some(Value::Array(operations)) if operations.len() > OPERATIONS_LIMIT => {
            Err(invalid(format!("there are more than {OPERATIONS_LIMIT} operations")))
        }
        Some(Value::Array(operations)) if !operations.is_empty() => {
            operations.iter().map(operation).collect()
        }
        _ => Err(syntax("`Operations` must be a list of operations")),
    }
}

fn operation(operation: &Value) -> Result<Operation<'_>, Error> {
    let operation = operation.as_object().ok_or_else(|| syntax("an operation must be an object"))?;
    let verb = value::get(operation, "op").and_then(Value::as_str).unwrap_or_default();
    let verb = match verb.to_ascii_lowercase().as_str() {
        "add" => Verb::Add,
        "replace" => Verb::Replace,
        "remove" => Verb::Remove,
        _ => return Err(syntax("`op` must be add, replace or remove")),
    };
    let path = match value::get(operation, "path") {
        None | Some(Value::Null) => None,
        Some(Value::String(path)) if path.is_empty() => None,
        Some(Value::String(path)) => Some(parse(path)?),
        Some(_) => return Err(invalid_path("`path` must be text")),
    };
    Ok(Operation { verb, path, value: value::get(operation, "value") })
}

pub(super) fn invalid_path(problem: impl Into<String>) -> Error {
    Error::Scim(ScimType::InvalidPath, problem.into())
}

pub(super) fn no_target(problem: &str) -> Error {
    Error::Scim(ScimType::NoTarget, problem.to_owned())
}

fn parse(path: &str) -> Result<PatchPath, Error> {
    if path.len() > PATH_LIMIT {
        return Err(invalid_path(format!("`path` has more than {PATH_LIMIT} bytes")));
    }
    spaced_not(path).parse().map_err(|_| invalid_path("`path` can't be read; see RFC 7644, section 3.5.2"))
}

/// A step of an operation: with one target, or, for the URN of an extension, all that is in it.
pub(super) enum Step<'a> {
    At(Target, Option<&'a Value>),
    /// Everything of the extension goes.
    WithoutExtension(&'static str),
}

/// The steps of an operation. What is unknown or can't be changed is an error where a path names it, and
/// noise where it is only one of many in an object.
pub(super) fn steps<'a>(
    resource: &'static ResourceType,
    operation: &Operation<'a>,
) -> Result<Vec<Step<'a>>, Error> {
    let Some(path) = &operation.path else {
        return match (operation.verb, operation.value) {
            (Verb::Remove, _) => Err(no_target("a remove needs a `path`")),
            (_, Some(Value::Object(object))) => Ok(in_object(resource, object)),
            _ => Err(invalid("`value` must be an object where there is no `path`")),
        };
    };
    if let Some(extension) = path::extension(resource, path) {
        return match (operation.verb, operation.value) {
            (Verb::Remove, _) => Ok(vec![Step::WithoutExtension(extension)]),
            (_, Some(Value::Object(object))) => Ok(extended(resource, extension, object)),
            _ => Err(invalid("`value` must be an object")),
        };
    }
    if path::is_foreign(resource, path) {
        return Ok(Vec::new());
    }
    let target = Target::resolve(resource, path)?;
    if target.mutability() == Mutability::ReadOnly {
        let name = target.attribute.name;
        return Err(Error::Scim(ScimType::Mutability, format!("`{name}` can't be changed")));
    }
    if operation.verb == Verb::Remove && target.attribute.required {
        let name = target.attribute.name;
        return Err(Error::Scim(ScimType::Mutability, format!("`{name}` can't be removed")));
    }
    if operation.verb != Verb::Remove && operation.value.is_none() {
        return Err(invalid("`value` is missing"));
    }
    Ok(vec![Step::At(target, operation.value)])
}

/// The steps of an object: its names may be paths, too.
fn in_object<'a>(resource: &'static ResourceType, object: &'a Object) -> Vec<Step<'a>> {
    let mut steps = Vec::new();
    for (name, value) in object {
        if let Some(extension) = resource.extension(name) {
            if let Value::Object(object) = value {
                steps.append(&mut extended(resource, extension.id, object));
            }
            continue;
        }
        steps.extend(named(resource, name).map(|target| Step::At(target, Some(value))));
    }
    steps
}

fn extended<'a>(
    resource: &'static ResourceType,
    extension: &'static str,
    object: &'a Object,
) -> Vec<Step<'a>> {
    let place = |(name, value): (&String, &'a Value)| {
        let target = named(resource, &format!("{extension}:{name}"))?;
        Some(Step::At(target, Some(value)))
    };
    object.iter().filter_map(place).collect()
}

/// What a name in an object stands for, if it is anything that can be changed.
fn named(resource: &'static ResourceType, name: &str) -> Option<Target> {
    let target = Target::resolve(resource, &parse(name).ok()?).ok()?;
    (target.mutability() != Mutability::ReadOnly).then_some(target)
}

/// What an object says, put into an empty document.
pub(super) fn document(resource: &'static ResourceType, body: &Object) -> Result<Object, Error> {
    let mut document = Object::new();
    for step in in_object(resource, body) {
        take(&mut document, Verb::Replace, &step)?;
    }
    Ok(document)
}

/// Applies operations to a document, one after the other.
pub fn apply(
    resource: &'static ResourceType,
    document: &mut Object,
    operations: &[Operation<'_>],
) -> Result<(), Error> {
    for operation in operations {
        for step in steps(resource, operation)? {
            take(document, operation.verb, &step)?;
        }
    }
    Ok(())
}

fn take(document: &mut Object, verb: Verb, step: &Step<'_>) -> Result<(), Error> {
    let (target, value) = match step {
        Step::WithoutExtension(extension) => {
            document.remove(*extension);
            return Ok(());
        }
        Step::At(target, value) => (target, *value),
    };
    // Never kept, so never leaked.
    if target.mutability() == Mutability::WriteOnly {
        return Ok(());
    }
    let Some(extension) = target.extension else { return at(document, verb, target, value) };
    let mut inner = match document.remove(extension) {
        Some(Value::Object(inner)) => inner,
        _ => Object::new(),
    };
    at(&mut inner, verb, target, value)?;
    if !inner.is_empty() {
        document.insert(extension.to_owned(), Value::Object(inner));
    }
    Ok(())
}

fn at(object: &mut Object, verb: Verb, target: &Target, value: Option<&Value>) -> Result<(), Error> {
    let attribute = target.attribute;
    let before = object.remove(attribute.name);
    let after = if attribute.several {
        let values = match before {
            Some(Value::Array(values)) => values,
            _ => Vec::new(),
        };
        let values = in_list(values, verb, target, value)?;
        value::check_count(attribute, &values)?;
        (!values.is_empty()).then_some(Value::Array(values))
    } else if let Some(part) = target.part {
        let mut parts = match before {
            Some(Value::Object(parts)) => parts,
            _ => Object::new(),
        };
        set_part(&mut parts, verb, part, value)?;
        (!parts.is_empty()).then_some(Value::Object(parts))
    } else if let (Kind::Complex(_), Some(Value::Object(new)), Verb::Add | Verb::Replace) =
        (attribute.kind, value, verb)
    {
        let mut parts = match before {
            Some(Value::Object(parts)) => parts,
            _ => Object::new(),
        };
        set_parts(&mut parts, attribute, new)?;
        (!parts.is_empty()).then_some(Value::Object(parts))
    } else if verb == Verb::Remove {
        None
    } else {
        value::read(attribute, value.unwrap_or(&Value::Null))?
    };
    if let Some(after) = after {
        object.insert(attribute.name.to_owned(), after);
    }
    Ok(())
}

fn set_part(parts: &mut Object, verb: Verb, part: &Attribute, value: Option<&Value>) -> Result<(), Error> {
    let new = if verb == Verb::Remove { None } else { value::one(part, value.unwrap_or(&Value::Null))? };
    match new {
        Some(new) => parts.insert(part.name.to_owned(), new),
        None => parts.remove(part.name),
    };
    Ok(())
}

/// Sets the parts that are named; the others stay.
fn set_parts(parts: &mut Object, attribute: &Attribute, new: &Object) -> Result<(), Error> {
    for (name, value) in new {
        if let Some(part) = attribute.part(name) {
            set_part(parts, Verb::Replace, part, Some(value))?;
        }
    }
    Ok(())
}

/// What becomes of a list of values.
fn in_list(
    values: Vec<Value>,
    verb: Verb,
    target: &Target,
    value: Option<&Value>,
) -> Result<Vec<Value>, Error> {
    if target.filter.is_some() || target.part.is_some() {
        return in_chosen(values, verb, target, value);
    }
    let given = match value {
        Some(value) => value::read(target.attribute, value)?,
        None => None,
    };
    let given = match given {
        Some(Value::Array(given)) => given,
        _ => Vec::new(),
    };
    Ok(match verb {
        Verb::Replace => given,
        // Without values all go; with values, only those.
        Verb::Remove if value.is_none_or(Value::is_null) => Vec::new(),
        Verb::Remove => {
            let is_given =
                |known: &Value| given.iter().any(|given| path::is_meant(target.attribute, known, given));
            values.into_iter().filter(|known| !is_given(known)).collect()
        }
        Verb::Add => {
            let mut all = values;
            for new in given {
                if !all.contains(&new) {
                    add(&mut all, new);
                }
            }
            all
        }
    })
}

/// Adds a value; there is one primary value at most, and the new one wins.
fn add(values: &mut Vec<Value>, new: Value) {
    let position = values.len();
    values.push(new);
    only_primary(values, position);
}

/// If the value at this position is the primary one, no other is.
fn only_primary(values: &mut [Value], position: usize) {
    let is_primary = |value: &Value| value.get("primary") == Some(&Value::Bool(true));
    if !values.get(position).is_some_and(is_primary) {
        return;
    }
    for (other, value) in values.iter_mut().enumerate() {
        if other != position
            && is_primary(value)
            && let Some(parts) = value.as_object_mut()
        {
            parts.insert("primary".to_owned(), Value::Bool(false));
        }
    }
}

/// What becomes of those values that a filter chooses, or, without one, of all.
fn in_chosen(
    mut values: Vec<Value>,
    verb: Verb,
    target: &Target,
    value: Option<&Value>,
) -> Result<Vec<Value>, Error> {
    let chosen: Vec<usize> =
        (0..values.len()).filter(|position| target.chooses(&values[*position])).collect();
    if verb == Verb::Remove && target.part.is_none() {
        let mut position = 0..;
        values.retain(|_| !position.next().is_some_and(|position| chosen.contains(&position)));
        return Ok(values);
    }
    if chosen.is_empty() {
        if verb != Verb::Remove && target.gives_something(value)? {
            let mut new = target.template()?;
            set(&mut new, verb, target, value)?;
            add(&mut values, Value::Object(new));
        }
        return Ok(values);
    }
    for position in chosen {
        if let Some(parts) = values[position].as_object_mut() {
            set(parts, verb, target, value)?;
        }
        only_primary(&mut values, position);
    }
    values.retain(|value| value.as_object().is_some_and(|parts| !parts.is_empty()));
    Ok(values)
}

/// Sets the part of one value that is named, or all that are given.
fn set(parts: &mut Object, verb: Verb, target: &Target, value: Option<&Value>) -> Result<(), Error> {
    if let Some(part) = target.part {
        return set_part(parts, verb, part, value);
    }
    if let Some(Value::Object(new)) = value {
        return set_parts(parts, target.attribute, new);
    }
    match value::one(target.attribute, value.unwrap_or(&Value::Null))? {
        Some(Value::Object(new)) => parts.extend(new),
        _ => parts.clear(),
    }
    Ok(())
}
