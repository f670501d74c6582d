//! The log of every request that a token made: rows are recorded without waiting for a disk, kept in a segment that
//! survives a crash of the process, and moved from there into Parquet files, which answer the questions.

mod layout;
mod log;
mod recorder;
mod row;
mod segment;
mod writer;

pub use log::{Log, Options, State};
pub use row::{LONGEST_TEXT, Request, Row};
pub use writer::WhenFull;
