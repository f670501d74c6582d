//! For tests: how SQLite goes about a statement.

use sqlx::{AnyConnection, Connection as _, Row as _};

use crate::dialect::Dialect;
use crate::sql::Statement;

/// An empty store in memory.
pub(crate) async fn database() -> AnyConnection {
    sqlx::any::install_default_drivers();
    let mut c = AnyConnection::connect("sqlite::memory:").await.unwrap();
    Dialect::Sqlite.migrator().run(&mut c).await.unwrap();
    c
}

/// The steps of a statement, as `EXPLAIN QUERY PLAN` tells them.
pub(crate) async fn plan(c: &mut AnyConnection, statement: Statement) -> Vec<String> {
    let rows = statement.explained().query().fetch_all(c).await.unwrap();
    rows.iter().map(|row| row.try_get("detail").unwrap()).collect()
}
