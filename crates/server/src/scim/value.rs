//! What arrives, made into the one form in which it is kept: names in their one spelling, without what is
//! unknown or empty, and nothing larger than anybody needs.

use serde_json::{Map, Value};
use tokenhouse_core::people::fold;

use super::schema::{Attribute, Kind};
use crate::error::{Error, ScimType};

/// A JSON object.
pub(super) type Object = Map<String, Value>;

/// The most bytes of a text, as it is and without case: both are in an index.
const TEXT_LIMIT: usize = 2_000;

/// The most values of an attribute.
const VALUES_LIMIT: usize = 100;

pub(super) fn invalid(problem: impl Into<String>) -> Error {
    Error::Scim(ScimType::InvalidValue, problem.into())
}

/// A body, or a part of one, that isn't what the request needs.
pub(super) fn syntax(problem: &str) -> Error {
    Error::Scim(ScimType::InvalidSyntax, problem.to_owned())
}

/// The value of an attribute; `None` if it is to have none.
pub(super) fn read(attribute: &Attribute, value: &Value) -> Result<Option<Value>, Error> {
    if !attribute.several {
        return one(attribute, value);
    }
    let read: Vec<Value> = match value {
        Value::Array(values) if values.iter().any(Value::is_array) => return Err(wrong(attribute)),
        Value::Array(values) => {
            values.iter().filter_map(|value| one(attribute, value).transpose()).collect::<Result<_, _>>()?
        }
        value => one(attribute, value)?.into_iter().collect(),
    };
    check_count(attribute, &read)?;
    Ok((!read.is_empty()).then_some(Value::Array(read)))
}

/// Whether there are too many values in a list.
pub(super) fn check_count(attribute: &Attribute, values: &[Value]) -> Result<(), Error> {
    if values.len() <= VALUES_LIMIT {
        return Ok(());
    }
    Err(invalid(format!("`{}` has more than {VALUES_LIMIT} values", attribute.name)))
}

/// One value of an attribute; `None` if there is nothing in it.
pub(super) fn one(attribute: &Attribute, value: &Value) -> Result<Option<Value>, Error> {
    match (attribute.kind, value) {
        (_, Value::Null) => Ok(None),
        // Some directories send single values as lists.
        (_, Value::Array(values)) => match &values[..] {
            [] => Ok(None),
            [single] if !single.is_array() => one(attribute, single),
            _ => Err(wrong(attribute)),
        },
        (Kind::Complex(parts), Value::Object(object)) => complex(parts, object),
        (Kind::Complex(_), Value::String(_)) => match attribute.part("value") {
            Some(part) => {
                let text = one(part, value)?;
                Ok(text.map(|text| Value::Object(Object::from_iter([("value".to_owned(), text)]))))
            }
            None => Err(wrong(attribute)),
        },
        // Likewise objects for what is a plain value.
        (_, Value::Object(object)) if object.contains_key("value") => object
            .get("value")
            .filter(|value| !value.is_object())
            .map_or_else(|| Err(wrong(attribute)), |value| one(attribute, value)),
        (Kind::Boolean, value) => {
            boolean(value).map(|flag| Some(Value::Bool(flag))).ok_or_else(|| wrong(attribute))
        }
        // As if it weren't there: `pr` doesn't find what is empty.
        (Kind::Text { .. } | Kind::Reference(_) | Kind::DateTime, Value::String(text)) if text.is_empty() => {
            Ok(None)
        }
        (Kind::Text { .. } | Kind::Reference(_) | Kind::DateTime, Value::String(text)) => {
            check_text(attribute, text)?;
            Ok(Some(Value::String(text.clone())))
        }
        _ => Err(wrong(attribute)),
    }
}

/// True or false, also as text, as some directories write it.
fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

fn complex(parts: &'static [Attribute], object: &Object) -> Result<Option<Value>, Error> {
    let mut read = Object::new();
    for (name, value) in object {
        let known = parts.iter().find(|part| part.name.eq_ignore_ascii_case(name));
        if let Some(part) = known
            && let Some(value) = one(part, value)?
        {
            read.insert(part.name.to_owned(), value);
        }
    }
    Ok((!read.is_empty()).then_some(Value::Object(read)))
}

fn check_text(attribute: &Attribute, text: &str) -> Result<(), Error> {
    if text.contains('\0') {
        return Err(invalid(format!("`{}` must not contain a NUL character", attribute.name)));
    }
    if text.len() > TEXT_LIMIT || fold(text).len() > TEXT_LIMIT {
        return Err(invalid(format!("`{}` has more than {TEXT_LIMIT} bytes", attribute.name)));
    }
    Ok(())
}

fn wrong(attribute: &Attribute) -> Error {
    let expected = match attribute.kind {
        Kind::Text { .. } | Kind::Reference(_) => "text",
        Kind::Boolean => "true or false",
        Kind::DateTime => "an instant such as 2026-01-15T10:30:00Z",
        Kind::Complex(_) => "an object",
    };
    invalid(format!("`{}` must be {expected}", attribute.name))
}

/// The value under a name of which case makes no difference.
pub(super) fn get<'a>(object: &'a Object, name: &str) -> Option<&'a Value> {
    object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// Makes sure that a body is meant as what it is taken for, if it says what it is.
pub(super) fn check_schema(body: &Object, urn: &str) -> Result<(), Error> {
    let schemas = match get(body, "schemas") {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Array(schemas)) => schemas,
        Some(_) => return Err(invalid("`schemas` must be a list of texts")),
    };
    if schemas.iter().any(|schema| !schema.is_string()) {
        return Err(invalid("`schemas` must be a list of texts"));
    }
    let is_meant = |schema: &Value| schema.as_str().is_some_and(|schema| schema.eq_ignore_ascii_case(urn));
    if schemas.is_empty() || schemas.iter().any(is_meant) {
        return Ok(());
    }
    Err(invalid(format!("`schemas` must name {urn}")))
}
