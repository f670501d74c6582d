//! What is searched for, and how it is written as SQL. What is searched is called `r`: users or teams, whose
//! columns have the same names.

use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{UserId, number};
use tokenhouse_core::people::fold;

use crate::sql::Statement;

/// What can be searched by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Field {
    /// Number, as text.
    Id,
    /// What a person signs in with, case ignored.
    UserName,
    /// What the directory calls it, exactly.
    ExternalId,
    /// Display name, case ignored.
    DisplayName,
    /// Whether a person is not deactivated.
    Active,
    /// When it was made.
    Created,
    /// When it was changed last.
    Changed,
    /// Anything else that a directory says of a person.
    Other {
        /// Its name in lower case.
        attribute: String,
        /// The part in lower case; empty of a simple value.
        part: String,
        /// Whether case makes a difference.
        exact: bool,
    },
}

/// How a value is compared (RFC 7644, section 3.4.2.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Comparison {
    /// `eq`
    Equal,
    /// `co`
    Contains,
    /// `sw`
    StartsWith,
    /// `ew`
    EndsWith,
    /// `gt`
    Greater,
    /// `ge`
    GreaterOrEqual,
    /// `lt`
    Less,
    /// `le`
    LessOrEqual,
}

/// What is compared with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// Text.
    Text(String),
    /// An instant.
    Time(Timestamp),
    /// True or false.
    Flag(bool),
}

/// Which people or teams are searched for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Condition {
    /// All of these hold; of none: everything.
    All(Vec<Self>),
    /// One of these holds; of none: nothing.
    Any(Vec<Self>),
    /// This doesn't hold. (`ne` is the opposite of `eq`, so it also holds where there is no value.)
    Not(Box<Self>),
    /// The field has a value.
    Present(Field),
    /// The field, or one of its values, compares so.
    Is(Field, Comparison, Value),
    /// One value of the attribute of a person, at one position, is so.
    Element(String, Box<Inside>),
    /// The team has this person in it; without a number, anybody.
    Member(Option<UserId>),
}

/// What one value of a complex attribute is like. Parts are in lower case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Inside {
    /// All of these hold.
    All(Vec<Self>),
    /// One of these holds.
    Any(Vec<Self>),
    /// This doesn't hold.
    Not(Box<Self>),
    /// The part is there.
    Present(String),
    /// The part compares so; the flag is whether case makes a difference.
    Is(String, Comparison, String, bool),
}

impl Field {
    /// The column it is in, if it has one of its own.
    pub(super) const fn column(&self) -> Option<&'static str> {
        match self {
            Self::Id => Some("CAST(r.id AS TEXT)"),
            Self::UserName => Some("r.user_name_folded"),
            Self::ExternalId => Some("r.external_id"),
            Self::DisplayName => Some("r.name_folded"),
            Self::Active => Some("CASE WHEN r.deleted_at IS NULL THEN 1 ELSE 0 END"),
            Self::Created => Some("r.created_at"),
            Self::Changed => Some("r.changed_at"),
            Self::Other { .. } => None,
        }
    }

    const fn is_exact(&self) -> bool {
        match self {
            Self::Id | Self::ExternalId | Self::Active | Self::Created | Self::Changed => true,
            Self::UserName | Self::DisplayName => false,
            Self::Other { exact, .. } => *exact,
        }
    }
}

/// Writes `<column> <comparison> <value>` for text.
fn compare(statement: &mut Statement, column: &str, comparison: Comparison, text: &str) {
    match comparison {
        Comparison::Contains => {
            // LIKE knows wildcards and limits.
            statement.text("instr(").text(column).text(", ").value(text).text(") > 0");
        }
        Comparison::StartsWith => {
            statement.text("substr(").text(column).text(", 1, length(").value(text);
            statement.text(")) = ").value(text);
        }
        Comparison::EndsWith => {
            statement.text("length(").text(column).text(") >= length(").value(text).text(") AND substr(");
            statement.text(column).text(", length(").text(column).text(") - length(").value(text);
            statement.text(") + 1) = ").value(text);
        }
        ordered => {
            statement.text(column).text(operator(ordered)).value(text);
        }
    }
}

const fn operator(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Greater => " > ",
        Comparison::GreaterOrEqual => " >= ",
        Comparison::Less => " < ",
        Comparison::LessOrEqual => " <= ",
        Comparison::Equal | Comparison::Contains | Comparison::StartsWith | Comparison::EndsWith => " = ",
    }
}

/// What narrows a search down to very few people: they are looked up first, by an index.
pub(super) struct Driver<'a> {
    pub(super) attribute: &'a str,
    pub(super) part: &'a str,
    pub(super) folded: String,
}

impl Condition {
    /// An attribute that has to be equal to something, if the condition demands one.
    pub(super) fn driver(&self) -> Option<Driver<'_>> {
        match self {
            Self::All(parts) => parts.iter().find_map(Self::driver),
            Self::Is(Field::Other { attribute, part, .. }, Comparison::Equal, value) => {
                Some(Driver { attribute, part, folded: fold(&value.text()) })
            }
            Self::Element(attribute, inside) => {
                let (part, text) = inside.driver()?;
                Some(Driver { attribute, part, folded: fold(text) })
            }
            _ => None,
        }
    }

    /// Whether it demands something that an index finds.
    pub(super) fn looks_up(&self) -> bool {
        match self {
            Self::All(parts) => parts.iter().any(Self::looks_up),
            Self::Is(Field::Id | Field::UserName | Field::ExternalId, Comparison::Equal, _) => true,
            condition => condition.driver().is_some(),
        }
    }

    /// Writes the condition on `r`.
    pub(super) fn write(&self, statement: &mut Statement) {
        match self {
            Self::All(parts) => join(statement, parts, " AND ", "1 = 1", Self::write),
            Self::Any(parts) => join(statement, parts, " OR ", "1 = 0", Self::write),
            Self::Not(part) => {
                // What is unknown is not so: without this, nothing would be its own opposite.
                statement.text("NOT coalesce(");
                part.write(statement);
                statement.text(", FALSE)");
            }
            Self::Present(field) => present(statement, field),
            Self::Is(field, comparison, value) => is(statement, field, *comparison, value),
            Self::Element(attribute, inside) => {
                statement
                    .text("EXISTS (SELECT 1 FROM attributes e WHERE e.user_id = r.id AND e.attribute = ");
                statement.value(attribute.as_str()).text(" AND ");
                inside.write(statement);
                statement.text(")");
            }
            Self::Member(user) => {
                statement.text("r.id IN (SELECT m.team_id FROM team_members m CROSS JOIN users p");
                statement.text(" WHERE p.id = m.user_id AND p.user_type = 'Human' AND p.removed_at IS NULL");
                if let Some(user) = user {
                    statement.text(" AND m.user_id = ").value(user.0);
                }
                statement.text(")");
            }
        }
    }
}

impl Value {
    /// As it stands among the attributes.
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Flag(flag) => flag.to_string(),
            Self::Time(time) => time.to_string(),
        }
    }
}

impl Inside {
    /// A part that has to be equal to something, if one has to. What a value is, such as `x@example.com`,
    /// narrows more than what it is for, such as `work`.
    fn driver(&self) -> Option<(&str, &str)> {
        match self {
            Self::All(parts) => {
                let drivers = || parts.iter().filter_map(Self::driver);
                drivers().find(|(part, _)| *part == "value").or_else(|| drivers().next())
            }
            Self::Is(part, Comparison::Equal, text, _) => Some((part, text)),
            _ => None,
        }
    }

    /// Writes the condition on the value that the row `e` is a part of.
    fn write(&self, statement: &mut Statement) {
        match self {
            Self::All(parts) => join(statement, parts, " AND ", "1 = 1", Self::write),
            Self::Any(parts) => join(statement, parts, " OR ", "1 = 0", Self::write),
            Self::Not(part) => {
                statement.text("NOT ");
                part.write(statement);
            }
            Self::Present(part) => {
                statement.text(SAME_VALUE).value(part.as_str()).text(")");
            }
            Self::Is(part, comparison, text, exact) => {
                statement.text(SAME_VALUE).value(part.as_str()).text(" AND ");
                compare_part(statement, *comparison, text, *exact);
                statement.text(")");
            }
        }
    }
}

/// Begins an `EXISTS` about a part of the value that the row `e` is a part of.
const SAME_VALUE: &str = "EXISTS (SELECT 1 FROM attributes a WHERE a.user_id = e.user_id \
    AND a.attribute = e.attribute AND a.position = e.position AND a.part = ";

fn join<T>(
    statement: &mut Statement,
    parts: &[T],
    between: &str,
    empty: &str,
    write: impl Fn(&T, &mut Statement),
) {
    statement.text("(");
    for (position, part) in parts.iter().enumerate() {
        statement.text(if position == 0 { "" } else { between });
        write(part, statement);
    }
    statement.text(if parts.is_empty() { empty } else { "" }).text(")");
}

fn present(statement: &mut Statement, field: &Field) {
    match (field.column(), field) {
        (Some(column), _) => statement.text(column).text(" IS NOT NULL"),
        (None, Field::Other { attribute, part, .. }) => {
            having(statement, attribute);
            if !part.is_empty() {
                statement.text(" AND a.part = ").value(part.as_str());
            }
            statement.text(")")
        }
        (None, _) => statement.text("1 = 0"),
    };
}

/// Begins an `EXISTS` about a value of an attribute of the user `r`.
fn having(statement: &mut Statement, attribute: &str) {
    statement.text("EXISTS (SELECT 1 FROM attributes a WHERE a.user_id = r.id AND a.attribute = ");
    statement.value(attribute);
}

fn is(statement: &mut Statement, field: &Field, comparison: Comparison, value: &Value) {
    match (field.column(), field, value) {
        (_, Field::Id, Value::Text(text)) if comparison == Comparison::Equal => {
            // As a number, so that there is an index; in any other spelling it is nobody's.
            match number(text) {
                Some(id) => statement.text("r.id = ").value(id),
                None => statement.text("1 = 0"),
            };
        }
        (Some(column), _, Value::Text(text)) => {
            let text = if field.is_exact() { text.clone() } else { fold(text) };
            compare(statement, column, comparison, &text);
        }
        (Some(column), _, Value::Time(time)) => {
            statement.text(column).text(operator(comparison)).value(time.micros());
        }
        (Some(column), _, Value::Flag(flag)) => {
            statement.text(column).text(operator(comparison)).value(i64::from(*flag));
        }
        (None, Field::Other { attribute, part, exact }, value) => {
            having(statement, attribute);
            statement.text(" AND a.part = ").value(part.as_str()).text(" AND ");
            compare_part(statement, comparison, &value.text(), *exact);
            statement.text(")");
        }
        (None, _, _) => {
            statement.text("1 = 0");
        }
    }
}

fn compare_part(statement: &mut Statement, comparison: Comparison, text: &str, exact: bool) {
    if exact {
        compare(statement, "a.text", comparison, text);
    } else {
        compare(statement, "a.folded", comparison, &fold(text));
    }
}
