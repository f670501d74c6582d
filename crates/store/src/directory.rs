//! What a directory (SCIM) knows of people beyond our own columns, and searching for people by it.

use sqlx::Row as _;
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::UserId;
use tokenhouse_core::people::fold;

use crate::sql::{BATCH, Statement};
use crate::{Connection, Error, Page, Writer};

/// One value of an attribute.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attribute {
    /// Its name in lower case, such as `name` or `emails`.
    pub attribute: String,
    /// Which of several, from 0.
    pub position: i64,
    /// The part of a complex value in lower case, such as `givenname`; empty of a simple one.
    pub part: String,
    /// The value as text.
    pub text: String,
}

/// What can be searched by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Field {
    /// Number, as text.
    Id,
    /// What they sign in with, case ignored.
    UserName,
    /// What the directory calls them, exactly.
    ExternalId,
    /// Display name, case ignored.
    DisplayName,
    /// Not deactivated.
    Active,
    /// When the account was made.
    Created,
    /// When it was changed last.
    Changed,
    /// Anything else.
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

/// Which people are searched for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Condition {
    /// All of these hold; of none: everybody.
    All(Vec<Self>),
    /// One of these holds; of none: nobody.
    Any(Vec<Self>),
    /// This doesn't hold. (`ne` is the opposite of `eq`, so it also holds where there is no value.)
    Not(Box<Self>),
    /// The field has a value.
    Present(Field),
    /// The field, or one of its values, compares so.
    Is(Field, Comparison, Value),
    /// One value of the attribute, at one position, is so.
    Element(String, Box<Inside>),
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

/// By what people are sorted. Ties are broken by id.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sort {
    /// The field; the number where there is none.
    pub by: Option<Field>,
    /// The other way round.
    pub descending: bool,
}

impl Field {
    /// The column it is in, if it has one of its own.
    const fn column(&self) -> Option<&'static str> {
        match self {
            Self::Id => Some("CAST(u.id AS TEXT)"),
            Self::UserName => Some("u.user_name_folded"),
            Self::ExternalId => Some("u.external_id"),
            Self::DisplayName => Some("u.name_folded"),
            Self::Active => Some("CASE WHEN u.deleted_at IS NULL THEN 1 ELSE 0 END"),
            Self::Created => Some("u.created_at"),
            Self::Changed => Some("u.changed_at"),
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
            // Taking the part out changes a text that has it. LIKE knows wildcards and limits.
            statement.text("replace(").text(column).text(", ").value(text);
            statement.text(", '') <> ").text(column);
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

impl Condition {
    /// Writes the condition on the user `u`.
    fn write(&self, statement: &mut Statement) {
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
                    .text("EXISTS (SELECT 1 FROM attributes e WHERE e.user_id = u.id AND e.attribute = ");
                statement.value(attribute.as_str()).text(" AND ");
                inside.write(statement);
                statement.text(")");
            }
        }
    }
}

impl Inside {
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

/// Begins an `EXISTS` about a value of an attribute of the user `u`.
fn having(statement: &mut Statement, attribute: &str) {
    statement.text("EXISTS (SELECT 1 FROM attributes a WHERE a.user_id = u.id AND a.attribute = ");
    statement.value(attribute);
}

fn is(statement: &mut Statement, field: &Field, comparison: Comparison, value: &Value) {
    match (field.column(), field, value) {
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
            let text = match value {
                Value::Text(text) => text.clone(),
                Value::Flag(flag) => flag.to_string(),
                Value::Time(time) => time.to_string(),
            };
            having(statement, attribute);
            statement.text(" AND a.part = ").value(part.as_str()).text(" AND ");
            compare_part(statement, comparison, &text, *exact);
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

/// The ids of a page of the people a directory may see: humans who are not removed.
pub async fn search(
    c: &mut Connection,
    condition: &Condition,
    sort: &Sort,
    limit: i64,
    offset: i64,
) -> Result<Page<UserId>, Error> {
    let mut counting = Statement::new("SELECT count(*) ");
    narrow(&mut counting, condition);
    let total = counting.query().fetch_one(&mut *c).await?.try_get(0)?;
    let mut statement = Statement::new("SELECT u.id ");
    narrow(&mut statement, condition);
    let direction = if sort.descending { "DESC" } else { "ASC" };
    statement.text(" ORDER BY ");
    if let Some(field) = &sort.by {
        sort_by(&mut statement, field, direction);
    }
    statement.text("u.id ").text(direction);
    statement.text(" LIMIT ").value(limit).text(" OFFSET ").value(offset);
    let rows = statement.query().fetch_all(c).await?;
    let items = rows.iter().map(|row| row.try_get(0).map(UserId)).collect::<Result<_, _>>()?;
    Ok(Page { items, total })
}

fn narrow(statement: &mut Statement, condition: &Condition) {
    statement.text("FROM users u WHERE u.removed_at IS NULL AND u.user_type = 'Human' AND ");
    condition.write(statement);
}

/// By the first value; whoever has none comes last when ascending, as RFC 7644, section 3.4.2.3, has it.
fn sort_by(statement: &mut Statement, field: &Field, direction: &str) {
    let absent_last = |statement: &mut Statement, value: &dyn Fn(&mut Statement)| {
        statement.text("CASE WHEN ");
        value(statement);
        statement.text(" IS NULL THEN 1 ELSE 0 END ").text(direction).text(", ");
        value(statement);
        statement.text(" ").text(direction).text(", ");
    };
    match (field.column(), field) {
        (Some(column), _) => absent_last(statement, &|statement| {
            statement.text(column);
        }),
        (None, Field::Other { attribute, part, .. }) => {
            absent_last(statement, &|statement| {
                statement.text(
                    "(SELECT min(a.folded) FROM attributes a WHERE a.user_id = u.id AND a.attribute = ",
                );
                statement.value(attribute.as_str()).text(" AND a.position = 0 AND a.part = ");
                statement.value(part.as_str()).text(")");
            });
        }
        (None, _) => {}
    }
}

/// Replaces everything that a directory said of a person beyond our own columns.
pub async fn replace(
    w: &mut Writer,
    user: UserId,
    external_id: Option<&str>,
    document: &str,
    attributes: &[Attribute],
) -> Result<(), Error> {
    let update =
        sqlx::query("UPDATE users SET external_id = $2, document = $3 WHERE id = $1 AND removed_at IS NULL");
    w.execute_one(update.bind(user.0).bind(external_id).bind(document)).await?;
    w.execute(sqlx::query("DELETE FROM attributes WHERE user_id = $1").bind(user.0)).await?;
    for batch in attributes.chunks(BATCH / 6) {
        let mut statement = Statement::new(
            "INSERT INTO attributes (user_id, attribute, position, part, text, folded) VALUES ",
        );
        for (number, Attribute { attribute, position, part, text }) in batch.iter().enumerate() {
            statement.text(if number == 0 { "(" } else { ", (" }).value(user.0).text(", ");
            statement.value(attribute.as_str()).text(", ").value(*position).text(", ");
            statement.value(part.as_str()).text(", ").value(text.as_str()).text(", ");
            statement.value(fold(text).as_str()).text(")");
        }
        w.execute(statement.query()).await?;
    }
    Ok(())
}
