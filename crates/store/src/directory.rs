//! What a directory (SCIM) knows of people and teams beyond our own columns, and searching by it.

mod condition;
mod groups;
mod people;

pub use condition::{Comparison, Condition, Field, Inside, Value};
pub use groups::{Group, groups, member_ids, search_groups, set_external_id};
pub(crate) use people::know;
pub use people::{Attribute, Person, existing, people, remove, replace, search_people};

use sqlx::Row as _;

use crate::sql::Statement;
use crate::{Connection, Error, Page};

/// By what is sorted. Ties are broken by id.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sort {
    /// The field; the number where there is none.
    pub by: Option<Field>,
    /// The other way round.
    pub descending: bool,
}

/// The ids of a page of the rows of a table, called `r`, that are visible and fulfil the condition.
async fn search(
    c: &mut Connection,
    (table, visible): (&str, &str),
    condition: &Condition,
    sort: &Sort,
    (limit, offset): (i64, i64),
) -> Result<Page<i64>, Error> {
    let narrow = |statement: &mut Statement| {
        statement.text(" FROM ");
        match condition.driver() {
            Some(driver) => {
                // CROSS JOIN: SQLite keeps to this order, and doesn't go through everybody.
                statement.text("(SELECT DISTINCT a.user_id FROM attributes a WHERE a.attribute = ");
                statement.value(driver.attribute).text(" AND a.part = ").value(driver.part);
                statement.text(" AND a.folded = ").value(driver.folded.as_str());
                statement.text(&format!(") d CROSS JOIN {table} r WHERE r.id = d.user_id AND "));
            }
            None => {
                statement.text(&format!("{table} r WHERE "));
            }
        }
        statement.text(visible).text(" AND ");
        condition.write(statement);
    };
    let mut counting = Statement::new("SELECT count(*)");
    narrow(&mut counting);
    let total = counting.query().fetch_one(&mut *c).await?.try_get(0)?;
    let mut statement = Statement::new("SELECT r.id");
    narrow(&mut statement);
    let direction = if sort.descending { "DESC" } else { "ASC" };
    statement.text(" ORDER BY ");
    if let Some(field) = &sort.by {
        sort_by(&mut statement, field, direction);
    }
    statement.text("r.id ").text(direction).text(" LIMIT ").value(limit).text(" OFFSET ").value(offset);
    let rows = statement.query().fetch_all(c).await?;
    let items = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    Ok(Page { items, total })
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
        // By number, which comes last anyway.
        (_, Field::Id) => {}
        (Some(column), _) => absent_last(statement, &|statement| {
            statement.text(column);
        }),
        (None, Field::Other { attribute, part, .. }) => {
            absent_last(statement, &|statement| {
                statement.text(
                    "(SELECT min(a.folded) FROM attributes a WHERE a.user_id = r.id AND a.attribute = ",
                );
                statement.value(attribute.as_str()).text(" AND a.position = 0 AND a.part = ");
                statement.value(part.as_str()).text(")");
            });
        }
        (None, _) => {}
    }
}
