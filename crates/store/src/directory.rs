//! What a directory (SCIM) knows of people and teams beyond our own columns, and searching by it.

mod condition;
mod groups;
mod people;

pub use condition::{Comparison, Condition, Field, Inside, Value};
pub use groups::{Group, groups, member_ids, search_groups, set_external_id};
pub(crate) use people::know;
pub use people::{Attribute, Person, insert, people, remove, replace, search_people};

use sqlx::Row as _;

use crate::sql::{self, Statement};
use crate::{Connection, Error, Page};

/// By what is sorted. Ties are broken by id.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sort {
    /// The field; the number where there is none.
    pub by: Option<Field>,
    /// The other way round.
    pub descending: bool,
}

/// What is searched: a table, which is called `r`, and which of its rows are visible.
#[derive(Clone, Copy)]
struct Source {
    table: &'static str,
    visible: &'static str,
    /// The same, where rows are taken in the order of their ids: SQLite is kept from an index that it would
    /// have to read and sort whole.
    walked: &'static str,
}

/// Writes from where rows are taken and which.
fn narrow(statement: &mut Statement, table: &str, visible: &str, condition: &Condition) {
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
}

/// The ids of a page of the rows of a table, called `r`, that are visible and fulfil the condition.
async fn search(
    c: &mut Connection,
    source: Source,
    condition: &Condition,
    sort: &Sort,
    (limit, offset): (i64, i64),
) -> Result<Page<i64>, Error> {
    let mut counting = Statement::new("SELECT count(*)");
    narrow(&mut counting, source.table, source.visible, condition);
    let total = counting.query().fetch_one(&mut *c).await?.try_get(0)?;
    let mut statement = Statement::new("SELECT r.id");
    let in_order = sort.by.is_none() && !condition.looks_up();
    let visible = if in_order { source.walked } else { source.visible };
    narrow(&mut statement, source.table, visible, condition);
    let direction = if sort.descending { "DESC" } else { "ASC" };
    statement.text(" ORDER BY ");
    if let Some(field) = &sort.by {
        sort_by(&mut statement, field, direction);
    }
    statement.text("r.id ").text(direction).text(" LIMIT ").value(limit).text(" OFFSET ").value(offset);
    let rows = statement.query().fetch_all(c).await?;
    let items = sql::first_column(&rows)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plans::{database, plan};

    fn other(attribute: &str, part: &str) -> Condition {
        let field = Field::Other { attribute: attribute.into(), part: part.into(), exact: true };
        Condition::Is(field, Comparison::Equal, Value::Text("x".into()))
    }

    fn is(field: Field) -> Condition {
        Condition::Is(field, Comparison::Equal, Value::Text("7".into()))
    }

    #[tokio::test]
    async fn sqlite_looks_up_one_value_and_does_not_go_through_everybody() {
        let mut c = database().await;
        let work = Inside::All(vec![
            Inside::Is("type".into(), Comparison::Equal, "work".into(), false),
            Inside::Is("value".into(), Comparison::Equal, "x".into(), false),
        ]);
        for condition in [
            is(Field::UserName),
            is(Field::ExternalId),
            is(Field::Id),
            other("emails", "value"),
            Condition::Element("emails".into(), Box::new(work)),
            Condition::All(vec![Condition::Present(Field::DisplayName), other("title", "")]),
        ] {
            let mut statement = Statement::new("SELECT count(*)");
            narrow(&mut statement, "users", people::SOURCE.visible, &condition);
            let plan = plan(&mut c, statement).await;
            let everybody = |step: &String| step.contains("users_state") || step.starts_with("SCAN r");
            assert!(!plan.iter().any(everybody), "{plan:#?}");
        }
    }

    #[tokio::test]
    async fn sqlite_takes_pages_in_order_and_sorts_nothing() {
        let mut c = database().await;
        for condition in [Condition::All(vec![]), Condition::Not(Box::new(is(Field::UserName)))] {
            assert!(!condition.looks_up());
            let mut statement = Statement::new("SELECT r.id");
            narrow(&mut statement, "users", people::SOURCE.walked, &condition);
            statement.text(" ORDER BY r.id ASC LIMIT 100 OFFSET 0");
            let plan = plan(&mut c, statement).await;
            assert!(
                !plan.iter().any(|step| step.contains("users_state") || step.contains("B-TREE")),
                "{plan:#?}"
            );
        }
        for condition in [is(Field::UserName), is(Field::ExternalId), is(Field::Id), other("emails", "value")]
        {
            assert!(Condition::All(vec![Condition::Member(None), condition]).looks_up());
        }
    }
}
