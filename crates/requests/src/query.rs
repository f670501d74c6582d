//! The questions that the log answers, over its files and the newest rows, which are not in files yet.

mod counts;
mod cursor;
mod filter;
mod page;
mod scan;
mod top;

use std::sync::Arc;

use bytes::Bytes;

pub(crate) use self::counts::counts;
pub use self::counts::{Bucket, Per};
pub use self::cursor::Cursor;
pub use self::filter::{Filter, Whose};
pub(crate) use self::page::page;
pub use self::page::{Order, Page};
pub use self::top::{Ranked, Top, Used};
pub(crate) use self::top::{tokens, top};
use crate::files::Hours;
use crate::reader::Reader;
use crate::row::Row;
use crate::segment::decoded;

/// The log at a moment: each row is either in a file or in a segment.
#[derive(Clone)]
pub(crate) struct View {
    reader: Arc<Reader>,
    hours: Arc<Hours>,
    segments: Vec<Segment>,
}

impl View {
    /// The files that count at a moment.
    pub(crate) const fn new(reader: Arc<Reader>, hours: Arc<Hours>) -> Self {
        Self { reader, hours, segments: Vec::new() }
    }

    /// With the rows that are in none of them.
    pub(crate) fn with(self, segments: Vec<Segment>) -> Self {
        Self { segments, ..self }
    }
}

/// Rows that are not in files yet.
#[derive(Clone)]
pub(crate) struct Segment {
    /// The node that wrote them.
    pub(crate) node: Arc<str>,
    /// They themselves, one after the other.
    pub(crate) bytes: Bytes,
}

impl Segment {
    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        decoded(&self.bytes)
    }
}

#[cfg(test)]
mod tests;
