//! The log of every request that a token made: rows are recorded without waiting for a disk, kept in a segment that
//! survives a crash of the process, and moved from there into Parquet files, which answer the questions.

mod bucket;
mod error;
mod files;
mod layout;
mod log;
mod private;
mod query;
mod reader;
mod recent;
mod recorder;
mod row;
mod segment;
mod table;
mod writer;

pub use error::Error;
pub use log::{Log, Options, State};
pub use query::{Bucket, Cursor, Filter, Order, Page, Per, Ranked, Top, Used, Whose};
pub use row::{LONGEST_TEXT, Request, Row};
pub use writer::WhenFull;
