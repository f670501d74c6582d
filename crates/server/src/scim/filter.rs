//! Filters (RFC 7644, section 3.4.2.2), from text to what the store searches by.
//!
//! Parsed by the crate `scim_v2`, which bounds depth and terms while it parses. What isn't in our table
//! of attributes is an error, never "everybody".

pub(in crate::scim) mod form;

use std::iter::Sum;

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

/// The most of them that are no `eq`, or in a `not`: each may cost a look at everybody, where `eq` has an index.
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
    let Terms { all, scans } = Terms::of(&filter);
    if all > TERMS_LIMIT {
        return invalid(format!("the filter has more than {TERMS_LIMIT} comparisons"));
    }
    if scans > SCANS_LIMIT {
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

/// How many comparisons are in a filter, and how many of them no index answers.
#[derive(Clone, Copy, Default)]
struct Terms {
    all: usize,
    scans: usize,
}

impl Sum for Terms {
    fn sum<I: Iterator<Item = Self>>(terms: I) -> Self {
        terms.fold(Self::default(), |sum, one| Self { all: sum.all + one.all, scans: sum.scans + one.scans })
    }
}

impl Terms {
    fn of(filter: &Filter) -> Self {
        match filter {
            Filter::And(parts) | Filter::Or(parts) => parts.iter().map(Self::of).sum(),
            Filter::Not(part) => Self::of(part).negated(),
            Filter::Attr(term) => Self::of_one(term),
            Filter::ValuePath(ValuePath { filter, .. }) => Self::inside(filter),
        }
    }

    fn inside(filter: &ValFilter) -> Self {
        match filter {
            ValFilter::And(parts) | ValFilter::Or(parts) => parts.iter().map(Self::inside).sum(),
            ValFilter::Not(part) => Self::inside(part).negated(),
            ValFilter::Attr(term) => Self::of_one(term),
        }
    }

    fn of_one(term: &AttrExp) -> Self {
        Self { all: 1, scans: usize::from(!matches!(term, AttrExp::Comparison(_, CompareOp::Eq, _))) }
    }

    /// An index finds who is so, not who isn't.
    const fn negated(self) -> Self {
        Self { scans: self.all, ..self }
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
                return with_members(&inside(attribute, filter)?);
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

fn with_members(inside: &Inside) -> Result<Condition, Error> {
    Ok(match members(inside)? {
        None => Condition::Member(None),
        Some(ids) => Condition::Any(ids.into_iter().map(|id| Condition::Member(Some(id))).collect()),
    })
}

/// Which members are meant, by number only; `None` is anybody. An id that can't be anybody's is nobody's.
pub(super) fn members(inside: &Inside) -> Result<Option<Vec<UserId>>, Error> {
    match inside {
        Inside::Any(parts) => {
            let parts: Vec<Option<Vec<UserId>>> = parts.iter().map(members).collect::<Result<_, _>>()?;
            Ok(parts.into_iter().collect::<Option<Vec<_>>>().map(|ids| ids.concat()))
        }
        Inside::Present(part) if part == "value" => Ok(None),
        Inside::Is(part, Comparison::Equal, text, _) if part == "value" => {
            Ok(Some(number(text).map(UserId).into_iter().collect()))
        }
        _ => invalid("members are found by `value` with eq, and in filters of lists with pr"),
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
        return with_members(&inside(members, &ValFilter::Attr(expression))?);
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
