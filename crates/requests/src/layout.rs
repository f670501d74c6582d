//! How the log lies in files: which rows are in which file, what a file is called, which columns it has.
//!
//! ```text
//! date=2026-11-22/hour=17/00001795368000123456-00001795368012345678-gate-1.parquet
//! ```
//!
//! Date and hour are those of the rows, in UTC. The two numbers are the first and the last segment whose rows
//! are in the file, the rest is the node that wrote it. A file holds all rows of its node's segments from the
//! first to the last that fall into its hour; so where one file's range lies within another's of the same
//! node and hour, its rows are in the other one too, and it counts no more.
//!
//! Each file has one or more row groups, sorted by owner, token and time, with what has neither first.

use std::fmt;
use std::sync::{Arc, LazyLock};

use arrow_schema::{DataType, Field, Schema, TimeUnit};
use object_store::path::Path;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use tokenhouse_core::clock::Timestamp;

/// Microseconds of an hour.
const HOUR: i64 = 3_600_000_000;

/// How many rows are in a page of a column, at most. What is read to find a token's rows is at least a page.
const ROWS_OF_PAGE: usize = 8_192;

/// How many rows are written before it is looked whether a page has enough bytes: a text may have 8 KiB.
const ROWS_OF_WRITE: usize = 512;

const _: () = assert!(ROWS_OF_PAGE.is_multiple_of(ROWS_OF_WRITE));

/// How many rows are in a row group, at most.
pub(crate) const ROWS_OF_GROUP: usize = 1_000_000;

/// The columns, in their order.
pub(crate) mod column {
    pub(crate) const OWNER: usize = 0;
    pub(crate) const TOKEN: usize = 1;
    pub(crate) const KIND: usize = 2;
    pub(crate) const TIME: usize = 3;
    pub(crate) const VIA: usize = 4;
    pub(crate) const METHOD: usize = 5;
    pub(crate) const PATH: usize = 6;
    pub(crate) const REASON: usize = 7;
    pub(crate) const STATUS: usize = 8;
    pub(crate) const IP: usize = 9;
    pub(crate) const USER_AGENT: usize = 10;
    pub(crate) const NODE: usize = 11;
    pub(crate) const REQUEST_ID: usize = 12;
    /// How many there are.
    pub(crate) const COUNT: usize = 13;
    /// All of them.
    pub(crate) const ALL: [usize; COUNT] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
}

/// The names of the columns, in the order of [`column`].
const NAMES: [&str; column::COUNT] = [
    "owner_id",
    "token_id",
    "kind",
    "time",
    "via",
    "method",
    "path",
    "reason",
    "status",
    "ip",
    "user_agent",
    "node",
    "request_id",
];

/// The columns of every file. `reason` is `ok` or why the request was denied.
pub(crate) static SCHEMA: LazyLock<Arc<Schema>> = LazyLock::new(|| {
    let fields = NAMES.iter().enumerate().map(|(place, name)| {
        let (kind, may_be_absent) = match place {
            column::OWNER | column::TOKEN => (DataType::Int64, true),
            column::TIME => (DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
            column::STATUS => (DataType::UInt16, true),
            column::KIND => (DataType::Utf8, true),
            _ => (DataType::Utf8, false),
        };
        Field::new(*name, kind, may_be_absent)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
});

/// How files are written.
pub(crate) fn properties() -> WriterProperties {
    let column = |place: usize| ColumnPath::from(NAMES[place]);
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_data_page_row_count_limit(ROWS_OF_PAGE)
        .set_write_batch_size(ROWS_OF_WRITE)
        .set_max_row_group_row_count(Some(ROWS_OF_GROUP))
        .set_statistics_enabled(EnabledStatistics::Chunk);
    // Sorted or rising: small without a dictionary, which would have to be read whole for a few rows.
    for place in [column::OWNER, column::TOKEN, column::TIME] {
        properties = properties
            .set_column_dictionary_enabled(column(place), false)
            .set_column_encoding(column(place), Encoding::DELTA_BINARY_PACKED)
            .set_column_statistics_enabled(column(place), EnabledStatistics::Page);
    }
    for place in [column::TOKEN, column::IP] {
        properties = properties.set_column_bloom_filter_enabled(column(place), true);
    }
    // Of one token they rise, and begin alike.
    properties
        .set_column_dictionary_enabled(column(column::REQUEST_ID), false)
        .set_column_encoding(column(column::REQUEST_ID), Encoding::DELTA_BYTE_ARRAY)
        .build()
}

/// An hour, whose rows lie together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Hour(i64);

impl Hour {
    /// The hour of an instant.
    pub(crate) const fn of(at: Timestamp) -> Self {
        Self(at.micros().div_euclid(HOUR))
    }

    /// When it begins.
    pub(crate) const fn start(self) -> Timestamp {
        Timestamp::from_micros(self.0 * HOUR)
    }

    /// When the next one begins.
    pub(crate) const fn end(self) -> Timestamp {
        Timestamp::from_micros((self.0 + 1) * HOUR)
    }

    /// The folder of its files.
    pub(crate) fn folder(self) -> Path {
        let hour = self.0.rem_euclid(24);
        Path::from(format!("date={}/hour={hour:02}", self.start().day()))
    }
}

impl fmt::Debug for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.start().fmt(f)
    }
}

/// Which segments of which node a file has the rows of, as far as they fall into its hour.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct FileName {
    pub(crate) hour: Hour,
    pub(crate) node: String,
    /// Numbers of segments.
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl FileName {
    /// Where it is.
    pub(crate) fn path(&self) -> Path {
        let Self { hour, node, first, last } = self;
        hour.folder().join(format!("{first:020}-{last:020}-{node}.parquet"))
    }

    /// The file at a path; `None` if it is none of ours.
    pub(crate) fn parse(path: &Path) -> Option<Self> {
        let mut parts = path.parts();
        let (date, hour, name) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let day = Timestamp::parse_day(date.as_ref().strip_prefix("date=")?)?;
        let hour: u8 = hour.as_ref().strip_prefix("hour=")?.parse().ok().filter(|hour| *hour < 24)?;
        let hour = Hour::of(day.plus_seconds(i64::from(hour) * 3_600));
        let mut name = name.as_ref().strip_suffix(".parquet")?.splitn(3, '-');
        let (first, last) = (name.next()?.parse().ok()?, name.next()?.parse().ok()?);
        let found = Self { hour, node: name.next()?.to_owned(), first, last };
        (found.path() == *path && first <= last).then_some(found)
    }

    /// Whether all rows of another file are in this one too.
    pub(crate) fn contains(&self, other: &Self) -> bool {
        let is_within = (self.first..=self.last).contains(&other.first) && other.last <= self.last;
        is_within && self != other && self.hour == other.hour && self.node == other.node
    }
}

/// A node's name as part of a file's: what is no letter, digit, dot or `_` becomes `_`, and then a checksum of the
/// name keeps apart those that would be the same.
pub(crate) fn node_in_names(node: &str) -> String {
    let is_kept = |sign: char| sign.is_ascii_alphanumeric() || sign == '.' || sign == '_';
    if node.chars().all(is_kept) {
        return node.to_owned();
    }
    let kept: String = node.chars().map(|sign| if is_kept(sign) { sign } else { '_' }).collect();
    format!("{kept}.{:08x}", crc32fast::hash(node.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_says_what_is_in_it() {
        let hour = Hour::of(Timestamp::parse("2026-11-22T17:59:59.999999Z").unwrap());
        let name = FileName { hour, node: node_in_names("gate_1.8080"), first: 7, last: 12 };
        assert_eq!(
            name.path().as_ref(),
            "date=2026-11-22/hour=17/00000000000000000007-00000000000000000012-gate_1.8080.parquet"
        );
        assert!(node_in_names("gate-1").starts_with("gate_1."));
        assert_ne!(node_in_names("gate-1"), node_in_names("gate:1"));
        assert_eq!(FileName::parse(&name.path()), Some(name.clone()));
        let part = FileName { first: 8, last: 12, ..name.clone() };
        assert!(name.contains(&part) && !part.contains(&name) && !name.contains(&name.clone()));
        assert!(!name.contains(&FileName { last: 13, ..part.clone() }));
        assert!(!name.contains(&FileName { node: "other".into(), ..part }));
    }

    #[test]
    fn what_is_called_otherwise_is_not_ours() {
        for path in [
            "x.parquet",
            "date=2026-11-22/hour=17/x.parquet",
            "date=2026-11-22/hour=24/00000000000000000007-00000000000000000012-a.parquet",
            "date=2026-11-22/hour=17/7-12-a.parquet",
            "date=2026-11-22/hour=17/00000000000000000012-00000000000000000007-a.parquet",
            "date=2026-11-22/hour=17/00000000000000000007-00000000000000000012-a.parquet#1",
            "date=2026-13-22/hour=17/00000000000000000007-00000000000000000012-a.parquet",
        ] {
            assert_eq!(FileName::parse(&Path::from(path)), None, "{path}");
        }
    }
}
