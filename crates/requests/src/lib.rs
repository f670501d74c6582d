//! The log of every request that a token made: rows are recorded without waiting for a disk, kept in a segment that
//! survives a crash of the process, and moved from there into Parquet files, which answer the questions.

mod error;
mod files;
mod layout;
mod query;
mod reader;
mod recent;
mod row;
mod table;

pub use error::Error;
pub use query::{Bucket, Cursor, Filter, Order, Page, Per, Ranked, Top, Used, Whose};
pub use row::{LONGEST_TEXT, Request, Row};
