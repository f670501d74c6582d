//! The log of every request that a token made: rows are recorded without waiting for a disk, kept in a segment that
//! survives a crash of the process, and moved from there into Parquet files, which answer the questions.

mod error;
mod files;
mod layout;
mod reader;
mod recent;
mod row;
mod table;

pub use error::Error;
pub use row::{LONGEST_TEXT, Request, Row};
