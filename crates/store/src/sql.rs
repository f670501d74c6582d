//! Statements whose text depends on what is asked for, and columns that hold more than a number or
//! a text. (sqlx's own builder writes placeholders that PostgreSQL doesn't take through `Any`.)

use std::str::FromStr;

use serde::de::DeserializeOwned;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::{Any, AssertSqlSafe, Decode, Execute as _, Row as _, Type};
use tokenhouse_core::audit::Head;
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::people::fold;

use crate::dialect::Dialect;
use crate::{Connection, Error};

/// A statement with its values, ready to run.
pub(crate) type Query = sqlx::query::Query<'static, Any, AnyArguments>;

/// A statement and one before it, which has no values, in one.
pub(crate) fn after(first: &str, mut second: Query) -> Result<Query, Error> {
    let values = second.take_arguments().map_err(sqlx::Error::Encode)?.unwrap_or_default();
    Ok(sqlx::query_with(AssertSqlSafe(format!("{first}; {}", second.sql().as_str())), values))
}

/// How many rows or ids go into one statement. Well below what both databases allow.
pub(crate) const BATCH: usize = 500;

enum Value {
    Integer(i64),
    Text(String),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

/// A statement that is put together piece by piece.
pub(crate) struct Statement {
    text: String,
    values: Vec<Value>,
}

impl Statement {
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), values: Vec::new() }
    }

    /// Adds text.
    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Adds a placeholder for a value.
    #[allow(private_bounds, reason = "only numbers and texts are values")]
    pub(crate) fn value(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        let number = self.values.len();
        self.text(&format!("${number}"))
    }

    /// Adds `(first, second, …)`.
    #[allow(private_bounds, reason = "only numbers and texts are values")]
    pub(crate) fn list(&mut self, values: impl IntoIterator<Item = impl Into<Value>>) -> &mut Self {
        let mut separator = "(";
        for value in values {
            self.text(separator).value(value);
            separator = ", ";
        }
        self.text(")")
    }

    /// Adds a list of any number of numbers, as one value: SQLite looks for the name of each placeholder among
    /// all others.
    pub(crate) fn numbers(&mut self, dialect: Dialect, numbers: &[i64]) -> &mut Self {
        self.values.push(Value::Text(serde_json::Value::from(numbers).to_string()));
        let elements = dialect.json_elements(&format!("${}", self.values.len()));
        self.text(&format!("(SELECT CAST(CAST(value AS TEXT) AS BIGINT) FROM {elements})"))
    }

    /// Adds a condition: one of these columns, whose case is folded, has this text in it, without
    /// regard to case. Every column has the empty text.
    pub(crate) fn containing(&mut self, part: &str, columns: &[&str]) -> &mut Self {
        if part.is_empty() {
            return self.text("TRUE");
        }
        let part = fold(part);
        let mut separator = "(";
        for column in columns {
            // LIKE knows wildcards and limits.
            self.text(separator).text(&format!("instr({column}, ")).value(part.as_str()).text(") > 0");
            separator = " OR ";
        }
        self.text(")")
    }

    /// The statement that tells how SQLite goes about this one.
    #[cfg(test)]
    pub(crate) fn explained(self) -> Self {
        Self { text: format!("EXPLAIN QUERY PLAN {}", self.text), ..self }
    }

    /// The statement with its values.
    pub(crate) fn query(self) -> Query {
        let query = sqlx::query(AssertSqlSafe(self.text));
        self.values.into_iter().fold(query, |query, value| match value {
            Value::Integer(value) => query.bind(value),
            Value::Text(value) => query.bind(value),
        })
    }
}

/// Reads very many rows: `SELECT <columns> FROM (<rows>)` as one JSON document, which takes a third
/// of the time that `Any` takes for row after row.
pub(crate) async fn read_many<T: DeserializeOwned>(
    c: &mut Connection,
    columns: &str,
    rows: Statement,
) -> Result<Vec<T>, Error> {
    let all = Dialect::of(c).json_rows(columns);
    let text = format!("SELECT {all} FROM ({}) AS many", rows.text);
    let row = Statement { text, ..rows }.query().fetch_one(c).await?;
    let document: &str = row.try_get(0)?;
    serde_json::from_str(document).map_err(|_| Error::Corrupt("a row that is read at start-up".into()))
}

/// The first column of each row.
pub(crate) fn first_column<'r, T, C>(rows: &'r [AnyRow]) -> Result<C, Error>
where
    T: Decode<'r, Any> + Type<Any>,
    C: FromIterator<T>,
{
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<C, _>>()?)
}

/// What a column that can't be read is reported as.
fn unreadable(name: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: name.to_owned(), source: source.into() }
}

/// A column that holds one of a few words.
pub(crate) fn word<T>(row: &AnyRow, name: &str) -> Result<T, sqlx::Error>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    row.try_get::<&str, _>(name)?.parse().map_err(|error: T::Err| unreadable(name, error))
}

/// A column that holds an instant.
pub(crate) fn time(row: &AnyRow, name: &str) -> Result<Timestamp, sqlx::Error> {
    row.try_get(name).map(Timestamp::from_micros)
}

/// A column that may hold an instant.
pub(crate) fn optional_time(row: &AnyRow, name: &str) -> Result<Option<Timestamp>, sqlx::Error> {
    Ok(row.try_get::<Option<i64>, _>(name)?.map(Timestamp::from_micros))
}

/// A column that holds a hash.
pub(crate) fn hash(row: &AnyRow, name: &str) -> Result<[u8; 32], sqlx::Error> {
    row.try_get::<&[u8], _>(name)?.try_into().map_err(|error| unreadable(name, error))
}

/// Number and hash of a change, in the columns `seq` and `hash`.
pub(crate) fn head(row: &AnyRow) -> Result<Head, sqlx::Error> {
    Ok(Head { seq: row.try_get("seq")?, hash: hash(row, "hash")? })
}

/// A hash out of its hexadecimal form.
pub(crate) fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    let (digits, rest) = text.as_bytes().as_chunks::<2>();
    if digits.len() != hash.len() || !rest.is_empty() {
        return None;
    }
    for (byte, digits) in hash.iter_mut().zip(digits) {
        *byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(hash)
}
