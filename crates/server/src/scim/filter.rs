//! Filters (RFC 7644, section 3.4.2.2), from text to what the store searches by.
//!
//! Parsed by the crate `scim_v2`, which bounds depth and terms while it parses. What isn't in our table
//! of attributes is an error, never "everybody".

use std::borrow::Cow;

use scim_v2::filter::{AttrExp, AttrPath, CompValue, CompareOp, Filter, ValFilter, ValuePath};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::UserId;
use tokenhouse_store::directory::{Comparison, Condition, Field, Inside, Value};

use super::schema::{Attribute, Kind, ResourceType};
use crate::error::{Error, ScimType};

/// The most bytes of a filter.
const SIZE_LIMIT: usize = 8 * 1024;

/// The most comparisons in a filter: each may cost a look at everybody.
const TERMS_LIMIT: usize = 200;

fn invalid<T>(problem: impl Into<String>) -> Result<T, Error> {
    Err(Error::Scim(ScimType::InvalidFilter, problem.into()))
}

/// Reads a filter of people or of teams.
pub fn parse(resource: &'static ResourceType, text: &str) -> Result<Condition, Error> {
    if text.len() > SIZE_LIMIT {
        return invalid(format!("the filter has more than {SIZE_LIMIT} bytes"));
    }
    let unreadable = |_| invalid("the filter can't be read; see RFC 7644, section 3.4.2.2");
    let filter: Filter = with_parts_inside(text).parse().or_else(unreadable)?;
    if terms(&filter) > TERMS_LIMIT {
        return invalid(format!("the filter has more than {TERMS_LIMIT} comparisons"));
    }
    condition(resource, &filter)
}

/// What is sorted by.
pub(super) fn sorted_by(resource: &'static ResourceType, text: &str) -> Result<Field, Error> {
    let invalid_path = || Error::Scim(ScimType::InvalidPath, "`sortBy` names no attribute to sort by".into());
    let probe: Filter = format!("{text} pr").parse().map_err(|_| invalid_path())?;
    match &probe {
        Filter::Attr(AttrExp::Present(path)) => Ok(field(resource, path).map_err(|_| invalid_path())?.0),
        _ => Err(invalid_path()),
    }
}

/// Writes `emails[type eq "work"].value eq "x"` as `emails[(type eq "work") and value eq "x"]`: some
/// directories ask so, and the grammar has it for paths only.
fn with_parts_inside(text: &str) -> Cow<'_, str> {
    let mut written = String::new();
    let mut rest = text;
    while let Some((before, inside, after)) = bracketed(rest) {
        let Some((comparison, after)) = after.strip_prefix('.').and_then(comparison_at_start) else {
            written.push_str(&rest[..rest.len() - after.len()]);
            rest = after;
            continue;
        };
        written.extend([before, "[(", inside, ") and ", comparison, "]"]);
        rest = after;
    }
    if written.is_empty() {
        return Cow::Borrowed(text);
    }
    written.push_str(rest);
    Cow::Owned(written)
}

/// The text before, inside and after the first pair of brackets that is not in a string.
fn bracketed(text: &str) -> Option<(&str, &str, &str)> {
    let open = outside_strings(text, b"[")?;
    let (before, inside) = (&text[..open], &text[open + 1..]);
    let close = outside_strings(inside, b"]")?;
    Some((before, &inside[..close], &inside[close + 1..]))
}

/// Where the first of these bytes is, past all strings.
fn outside_strings(text: &str, wanted: &[u8]) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    text.bytes().position(|byte| {
        let found = !quoted && wanted.contains(&byte);
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
        found
    })
}

/// `value eq "x"` or `value pr` at the start of the text, and what comes after it.
fn comparison_at_start(text: &str) -> Option<(&str, &str)> {
    let name = text.find(|c: char| c.is_ascii_whitespace())?;
    let operator = name + text[name..].find(|c: char| !c.is_ascii_whitespace())?;
    let operator_end =
        operator + text[operator..].find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len() - operator);
    let end = if text[operator..operator_end].eq_ignore_ascii_case("pr") {
        operator_end
    } else {
        let value = operator_end + text[operator_end..].find(|c: char| !c.is_ascii_whitespace())?;
        value + outside_strings(&text[value..], b" )").unwrap_or(text.len() - value)
    };
    Some(text.split_at(end))
}

fn terms(filter: &Filter) -> usize {
    match filter {
        Filter::And(parts) | Filter::Or(parts) => parts.iter().map(terms).sum(),
        Filter::Not(part) => terms(part),
        Filter::Attr(_) => 1,
        Filter::ValuePath(ValuePath { filter, .. }) => terms_inside(filter),
    }
}

fn terms_inside(filter: &ValFilter) -> usize {
    match filter {
        ValFilter::And(parts) | ValFilter::Or(parts) => parts.iter().map(terms_inside).sum(),
        ValFilter::Not(part) => terms_inside(part),
        ValFilter::Attr(_) => 1,
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
    match id.parse().ok().filter(|number: &i64| number.to_string() == id) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_behind_brackets_is_moved_inside() {
        for (text, expected) in [
            (r#"emails[type eq "work"].value eq "a] b""#, r#"emails[(type eq "work") and value eq "a] b"]"#),
            (
                r#"(emails[type eq "]."].value pr) and active eq true"#,
                r#"(emails[(type eq "].") and value pr]) and active eq true"#,
            ),
            (
                r#"emails[primary eq true].value  co  "x\" y" or id pr"#,
                r#"emails[(primary eq true) and value  co  "x\" y"] or id pr"#,
            ),
            (r#"emails[type eq "work"] and title pr"#, r#"emails[type eq "work"] and title pr"#),
            (r#"userName eq "a[b].value pr""#, r#"userName eq "a[b].value pr""#),
            ("emails[type pr].", "emails[type pr]."),
            ("a[b", "a[b"),
        ] {
            assert_eq!(with_parts_inside(text), expected);
        }
    }
}
