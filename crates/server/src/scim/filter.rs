//! Filters of people (RFC 7644, section 3.4.2.2), from text to what the store searches by.
//!
//! Parsed by the crate `scim_v2`, which bounds depth and terms while it parses. What isn't in our table
//! of attributes is an error, never "everybody".

use scim_v2::filter::{AttrExp, AttrPath, CompValue, CompareOp, Filter, ValFilter, ValuePath};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_store::directory::{Comparison, Condition, Field, Inside, Value};

use super::schema::{self, Attribute, Kind};

/// The most bytes of a filter.
const LIMIT: usize = 8 * 1024;

/// Why a filter is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidFilter(String);

fn invalid<T>(problem: impl Into<String>) -> Result<T, InvalidFilter> {
    Err(InvalidFilter(problem.into()))
}

/// Reads a filter of people.
pub fn people(text: &str) -> Result<Condition, InvalidFilter> {
    if text.len() > LIMIT {
        return invalid(format!("the filter has more than {LIMIT} bytes"));
    }
    let filter: Filter = text.parse().or_else(|_| invalid("the filter can't be read; see RFC 7644, section 3.4.2.2"))?;
    condition(&filter)
}

fn condition(filter: &Filter) -> Result<Condition, InvalidFilter> {
    match filter {
        Filter::And(parts) => parts.iter().map(condition).collect::<Result<_, _>>().map(Condition::All),
        Filter::Or(parts) => parts.iter().map(condition).collect::<Result<_, _>>().map(Condition::Any),
        Filter::Not(part) => Ok(Condition::Not(Box::new(condition(part)?))),
        Filter::Attr(AttrExp::Present(path)) => Ok(Condition::Present(field(path)?.0)),
        Filter::Attr(AttrExp::Comparison(path, operator, value)) => compared(path, *operator, value),
        Filter::ValuePath(ValuePath { attr, filter }) => {
            let attribute = attribute(attr)?;
            if !attribute.several || attr.sub_attr.is_some() {
                return invalid(format!("`{}` has no values to choose from", attribute.name));
            }
            let inside = inside(attribute, filter)?;
            Ok(Condition::Element(attribute.name.to_ascii_lowercase(), Box::new(inside)))
        }
    }
}

fn compared(path: &AttrPath, operator: CompareOp, value: &CompValue) -> Result<Condition, InvalidFilter> {
    let (field, kind) = field(path)?;
    let (comparison, negated) = comparison(operator);
    if matches!(value, CompValue::Null) {
        // `eq null` asks for those who have no value.
        let present = Condition::Present(field);
        return match (comparison, negated) {
            (Comparison::Equal, true) => Ok(present),
            (Comparison::Equal, false) => Ok(Condition::Not(Box::new(present))),
            _ => invalid("null can only be compared with eq and ne"),
        };
    }
    let value = typed(&path.name, kind, comparison, value)?;
    let is = Condition::Is(field, comparison, value);
    Ok(if negated { Condition::Not(Box::new(is)) } else { is })
}

/// A comparison, and whether it is turned round.
const fn comparison(operator: CompareOp) -> (Comparison, bool) {
    match operator {
        CompareOp::Eq => (Comparison::Equal, false),
        CompareOp::Ne => (Comparison::Equal, true),
        CompareOp::Co => (Comparison::Contains, false),
        CompareOp::Sw => (Comparison::StartsWith, false),
        CompareOp::Ew => (Comparison::EndsWith, false),
        CompareOp::Gt => (Comparison::Greater, false),
        CompareOp::Ge => (Comparison::GreaterOrEqual, false),
        CompareOp::Lt => (Comparison::Less, false),
        CompareOp::Le => (Comparison::LessOrEqual, false),
    }
}

/// The value that is compared with, if it is of the right kind.
fn typed(name: &str, kind: Kind, comparison: Comparison, value: &CompValue) -> Result<Value, InvalidFilter> {
    let ordered = !matches!(comparison, Comparison::Contains | Comparison::StartsWith | Comparison::EndsWith);
    match (kind, value) {
        (Kind::Boolean, CompValue::True | CompValue::False) if comparison == Comparison::Equal => {
            Ok(Value::Flag(matches!(value, CompValue::True)))
        }
        // Some directories write truth as text.
        (Kind::Boolean, CompValue::Str(text)) if comparison == Comparison::Equal => {
            match text.to_ascii_lowercase().as_str() {
                "true" => Ok(Value::Flag(true)),
                "false" => Ok(Value::Flag(false)),
                _ => invalid(format!("`{name}` is true or false")),
            }
        }
        (Kind::Boolean, _) => invalid(format!("`{name}` is true or false, and can only be compared with eq and ne")),
        (Kind::DateTime, CompValue::Str(text)) if ordered => match text.parse::<Timestamp>() {
            Ok(time) => Ok(Value::Time(time)),
            Err(_) => invalid(format!("`{name}` is an instant such as 2026-01-15T10:30:00Z")),
        },
        (Kind::DateTime, _) => invalid(format!("`{name}` is an instant, and has no parts to look for")),
        (Kind::Complex(_), _) => invalid(format!("`{name}` has several parts; name the one to compare")),
        (Kind::Text { .. } | Kind::Reference, CompValue::Str(text)) => {
            if text.is_empty() && !ordered {
                return invalid("there is nothing to look for in an empty text");
            }
            Ok(Value::Text(text.clone()))
        }
        (Kind::Text { .. } | Kind::Reference, _) => invalid(format!("`{name}` is text")),
    }
}

/// The field of a path, and what kind of value it has.
fn field(path: &AttrPath) -> Result<(Field, Kind), InvalidFilter> {
    let attribute = attribute(path)?;
    let part = match &path.sub_attr {
        Some(name) => match attribute.part(name) {
            Some(part) => Some(part),
            None => return invalid(format!("`{}` has no part `{name}`", attribute.name)),
        },
        // The value is what is meant where no part is named.
        None if attribute.several => attribute.part("value"),
        None => None,
    };
    let kind = part.map_or(attribute.kind, |part| part.kind);
    let field = match (attribute.name, part.map(|part| part.name)) {
        ("id", _) => Field::Id,
        ("userName", _) => Field::UserName,
        ("externalId", _) => Field::ExternalId,
        ("displayName", _) => Field::DisplayName,
        ("active", _) => Field::Active,
        ("meta", Some("created")) => Field::Created,
        ("meta", Some("lastModified")) => Field::Changed,
        ("meta" | "password" | "groups", _) => {
            return invalid(format!("filters by `{}` are not supported", attribute.name));
        }
        (name, part_name) => Field::Other {
            attribute: name.to_ascii_lowercase(),
            part: part_name.unwrap_or_default().to_ascii_lowercase(),
            exact: part.unwrap_or(attribute).is_exact(),
        },
    };
    Ok((field, kind))
}

/// The attribute of a path, wherever it is: with the name of its schema or without.
fn attribute(path: &AttrPath) -> Result<&'static Attribute, InvalidFilter> {
    let of = |attributes| schema::find(attributes, &path.name);
    let core = || of(schema::COMMON).or_else(|| of(schema::USER_ATTRIBUTES));
    let found = match path.uri.as_ref().map(ToString::to_string) {
        None => core().or_else(|| of(schema::ENTERPRISE_ATTRIBUTES)),
        Some(urn) if urn.eq_ignore_ascii_case(schema::USER) => core(),
        Some(urn) if urn.eq_ignore_ascii_case(schema::ENTERPRISE) => of(schema::ENTERPRISE_ATTRIBUTES),
        Some(_) => None,
    };
    found.ok_or_else(|| InvalidFilter(format!("there is no attribute `{}`", path.name)))
}

fn inside(attribute: &'static Attribute, filter: &ValFilter) -> Result<Inside, InvalidFilter> {
    let all = |parts: &[ValFilter]| parts.iter().map(|part| inside(attribute, part)).collect::<Result<_, _>>();
    match filter {
        ValFilter::And(parts) => all(parts).map(Inside::All),
        ValFilter::Or(parts) => all(parts).map(Inside::Any),
        ValFilter::Not(part) => Ok(Inside::Not(Box::new(inside(attribute, part)?))),
        ValFilter::Attr(AttrExp::Present(path)) => Ok(Inside::Present(part(attribute, path)?.name.to_ascii_lowercase())),
        ValFilter::Attr(AttrExp::Comparison(path, operator, value)) => {
            let part = part(attribute, path)?;
            let (comparison, negated) = comparison(*operator);
            let text = match typed(part.name, part.kind, comparison, value)? {
                Value::Text(text) => text,
                Value::Flag(flag) => flag.to_string(),
                Value::Time(time) => time.to_string(),
            };
            let is = Inside::Is(part.name.to_ascii_lowercase(), comparison, text, part.is_exact());
            Ok(if negated { Inside::Not(Box::new(is)) } else { is })
        }
    }
}

fn part(attribute: &'static Attribute, path: &AttrPath) -> Result<&'static Attribute, InvalidFilter> {
    match attribute.part(&path.name) {
        Some(part) if path.sub_attr.is_none() && path.uri.is_none() => Ok(part),
        _ => invalid(format!("`{}` has no part `{}`", attribute.name, path.name)),
    }
}
