//! Filters (RFC 7644, section 3.4.2.2), from text to what the store searches by.
//!
//! Parsed by the crate `scim_v2`, which bounds depth and terms while it parses. What isn't in our table
//! of attributes is an error, never "everybody".

pub(in crate::scim) mod form;

use scim_v2::filter::{AttrExp, AttrPath, CompValue, CompareOp, Filter, ValFilter, ValuePath};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{UserId, number};
use tokenhouse_store::directory::{Comparison, Condition, Field, Inside, Value};

use super::schema::{Attribute, Kind, ResourceType};
use crate::error::{Error, ScimType};

/// The most bytes of a filter.
const SIZE_LIMIT: usize = 8 * 1024;

/// The most comparisons in a filter.
const TERMS_LIMIT: usize = 200;

/// The most of them that are no `eq`: each may cost a look at everybody, where `eq` has an index.
const SCANS_LIMIT: usize = 20;

fn invalid<T>(problem: impl Into<String>) -> Result<T, Error> {
    Err(Error::Scim(ScimType::InvalidFilter, problem.into()))
}

fn unreadable() -> Error {
    Error::Scim(ScimType::InvalidFilter, "the filter can't be read; see RFC 7644, section 3.4.2.2".into())
}

/// Reads a filter of people or of teams.
pub fn parse(resource: &'static ResourceType, text: &str) -> Result<Condition, Error> {
    if text.len() > SIZE_LIMIT {
        return invalid(format!("the filter has more than {SIZE_LIMIT} bytes"));
    }
    let filter: Filter = form::grammatical(text)?.parse().map_err(|_| unreadable())?;
    let mut terms = Vec::new();
    collect(&filter, &mut terms);
    if terms.len() > TERMS_LIMIT {
        return invalid(format!("the filter has more than {TERMS_LIMIT} comparisons"));
    }
    let is_equality = |term: &&&AttrExp| matches!(term, AttrExp::Comparison(_, CompareOp::Eq, _));
    if terms.len() - terms.iter().filter(is_equality).count() > SCANS_LIMIT {
        return invalid(format!("the filter has more than {SCANS_LIMIT} comparisons other than `eq`"));
    }
    condition(resource, &filter)
}

/// What is sorted by.
pub(super) fn sorted_by(resource: &'static ResourceType, text: &str) -> Result<Field, Error> {
    let invalid_path = || Error::Scim(ScimType::InvalidPath, "`sortBy` names no attribute to sort by".into());
    let probe: Filter = format!("{text} pr").parse().map_err(|_| invalid_path())?;
    match &probe {
        Filter::Attr(AttrExp::Present(path)) => match field(resource, path) {
            Ok((field, kind)) if !matches!(kind, Kind::Complex(_)) => Ok(field),
            _ => Err(invalid_path()),
        },
        _ => Err(invalid_path()),
    }
}

/// The comparisons in a filter.
fn collect<'a>(filter: &'a Filter, terms: &mut Vec<&'a AttrExp>) {
    match filter {
        Filter::And(parts) | Filter::Or(parts) => parts.iter().for_each(|part| collect(part, terms)),
        Filter::Not(part) => collect(part, terms),
        Filter::Attr(term) => terms.push(term),
        Filter::ValuePath(ValuePath { filter, .. }) => collect_inside(filter, terms),
    }
}

fn collect_inside<'a>(filter: &'a ValFilter, terms: &mut Vec<&'a AttrExp>) {
    match filter {
        ValFilter::And(parts) | ValFilter::Or(parts) => {
            parts.iter().for_each(|part| collect_inside(part, terms));
        }
        ValFilter::Not(part) => collect_inside(part, terms),
        ValFilter::Attr(term) => terms.push(term),
    }
}

fn condition(resource: &'static ResourceType, filter: &Filter) -> Result<Condition, Error> {
    let all = |parts: &[Filter]| parts.iter().map(|part| condition(resource, part)).collect::<Result<_, _>>();
    match filter {
        Filter::And(parts) => all(parts).map(Condition::All),
        Filter::Or(parts) => all(parts).map(Condition::Any),
        Filter::Not(part) => Ok(Condition::Not(Box::new(condition(resource, part)?))),
        Filter::Attr(expression) => compared(resource, expression),
        Filter::ValuePath(ValuePath { attr, filter }) => {
            let attribute = attribute(resource, attr)?;
            if !attribute.several || attr.sub_attr.is_some() {
                return invalid(format!("`{}` has no values to choose from", attribute.name));
            }
            if is_members(resource, attribute) {
                return member(&inside(attribute, filter)?);
            }
            searchable(attribute)?;
            let inside = inside(attribute, filter)?;
            Ok(Condition::Element(attribute.name.to_ascii_lowercase(), Box::new(inside)))
        }
    }
}

fn is_members(resource: &ResourceType, attribute: &Attribute) -> bool {
    resource.name == "Group" && attribute.name == "members"
}

/// Who is in the team: by number only.
fn member(inside: &Inside) -> Result<Condition, Error> {
    let all = |parts: &[Inside]| parts.iter().map(member).collect::<Result<_, _>>();
    match inside {
        Inside::Any(parts) => all(parts).map(Condition::Any),
        Inside::Present(part) if part == "value" => Ok(Condition::Member(None)),
        Inside::Is(part, Comparison::Equal, text, _) if part == "value" => Ok(member_with(text)),
        _ => invalid("groups are found by `members` with eq and pr only"),
    }
}

fn member_with(id: &str) -> Condition {
    match number(id) {
        Some(number) => Condition::Member(Some(UserId(number))),
        None => Condition::Any(Vec::new()),
    }
}

fn compared(resource: &'static ResourceType, expression: &AttrExp) -> Result<Condition, Error> {
    let (AttrExp::Present(path) | AttrExp::Comparison(path, ..)) = expression;
    let members = attribute(resource, path).ok().filter(|attribute| is_members(resource, attribute));
    if let Some(members) = members {
        // The same as in brackets.
        let part = AttrPath::with_name(path.sub_attr.as_deref().unwrap_or("value"));
        let expression = match expression.clone() {
            AttrExp::Present(_) => AttrExp::Present(part),
            AttrExp::Comparison(_, operator, value) => AttrExp::Comparison(part, operator, value),
        };
        return member(&inside(members, &ValFilter::Attr(expression))?);
    }
    let (field, kind) = field(resource, path)?;
    let AttrExp::Comparison(_, operator, value) = expression else { return Ok(Condition::Present(field)) };
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
const fn comparison(operator: &CompareOp) -> (Comparison, bool) {
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

fn typed(name: &str, kind: Kind, comparison: Comparison, value: &CompValue) -> Result<Value, Error> {
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
        (Kind::Boolean, _) => {
            invalid(format!("`{name}` is true or false, and can only be compared with eq and ne"))
        }
        (Kind::DateTime, CompValue::Str(text)) if ordered => match Timestamp::parse(text) {
            Some(time) => Ok(Value::Time(time)),
            None => invalid(format!("`{name}` is an instant such as 2026-01-15T10:30:00Z")),
        },
        (Kind::DateTime, _) => invalid(format!("`{name}` is an instant, and has no parts to look for")),
        (Kind::Complex(_), _) => invalid(format!("`{name}` has several parts; name the one to compare")),
        (Kind::Text { .. } | Kind::Reference(_), CompValue::Str(text)) => {
            if text.is_empty() && !ordered {
                return invalid("there is nothing to look for in an empty text");
            }
            // No database is asked for what none may hold.
            if text.contains('\0') {
                return invalid(format!("`{name}` never has a NUL character"));
            }
            Ok(Value::Text(text.clone()))
        }
        (Kind::Text { .. } | Kind::Reference(_), _) => invalid(format!("`{name}` is text")),
    }
}

/// The field of a path, and what kind of value it has.
fn field(resource: &'static ResourceType, path: &AttrPath) -> Result<(Field, Kind), Error> {
    let attribute = attribute(resource, path)?;
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
        (name, part_name) => {
            searchable(attribute)?;
            Field::Other {
                attribute: name.to_ascii_lowercase(),
                part: part_name.unwrap_or_default().to_ascii_lowercase(),
                exact: part.unwrap_or(attribute).is_exact(),
            }
        }
    };
    Ok((field, kind))
}

fn searchable(attribute: &Attribute) -> Result<(), Error> {
    if matches!(attribute.name, "meta" | "password" | "groups" | "members") {
        return invalid(format!("filters by `{}` are not supported", attribute.name));
    }
    Ok(())
}

/// The attribute of a path, with the name of its schema or without.
fn attribute(resource: &'static ResourceType, path: &AttrPath) -> Result<&'static Attribute, Error> {
    match resource.find(path.uri.as_deref(), &path.name) {
        Some(place) => Ok(place.attribute),
        None => invalid(format!("there is no attribute `{}`", path.name)),
    }
}

/// What one value of a complex attribute is to be like.
pub(super) fn inside(attribute: &'static Attribute, filter: &ValFilter) -> Result<Inside, Error> {
    let all =
        |parts: &[ValFilter]| parts.iter().map(|part| inside(attribute, part)).collect::<Result<_, _>>();
    match filter {
        ValFilter::And(parts) => all(parts).map(Inside::All),
        ValFilter::Or(parts) => all(parts).map(Inside::Any),
        ValFilter::Not(part) => Ok(Inside::Not(Box::new(inside(attribute, part)?))),
        ValFilter::Attr(AttrExp::Present(path)) => {
            Ok(Inside::Present(part(attribute, path)?.name.to_ascii_lowercase()))
        }
        ValFilter::Attr(AttrExp::Comparison(path, operator, value)) => {
            let part = part(attribute, path)?;
            let (comparison, negated) = comparison(operator);
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

fn part(attribute: &'static Attribute, path: &AttrPath) -> Result<&'static Attribute, Error> {
    match attribute.part(&path.name) {
        Some(part) if path.sub_attr.is_none() && path.uri.is_none() => Ok(part),
        _ => invalid(format!("`{}` has no part `{}`", attribute.name, path.name)),
    }
}
