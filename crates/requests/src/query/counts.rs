//! How many requests there were, per hour or day.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::{StreamExt, pin_mut};
use tokenhouse_core::clock::Timestamp;
use tokio::time::Instant;

use super::scan::{Scan, before};
use super::{Filter, View};
use crate::error::Error;
use crate::layout::{Hour, column};

/// How long a bucket is. Both begin as in UTC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Per {
    /// An hour.
    Hour,
    /// A day.
    Day,
}

impl Per {
    const fn start(self, hour: Hour) -> Timestamp {
        match self {
            Self::Hour => hour.start(),
            Self::Day => hour.start().start_of_day(),
        }
    }
}

/// The requests of an hour or day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bucket {
    /// When it begins.
    pub start: Timestamp,
    /// How many were allowed.
    pub allowed: u64,
    /// How many were refused.
    pub denied: u64,
}

/// How many there were in each hour or day that has any, in the order of time.
pub(crate) async fn counts(
    view: &View,
    filter: &Filter,
    per: Per,
    deadline: Instant,
) -> Result<Vec<Bucket>, Error> {
    let filter = Arc::new(filter.normal());
    let mut buckets: BTreeMap<Timestamp, [u64; 2]> = BTreeMap::new();
    for row in view.segments.iter().flat_map(super::Segment::rows).filter(|row| filter.admits(row)) {
        let [allowed, denied] = buckets.entry(per.start(Hour::of(row.time))).or_default();
        *(if row.refused.is_none() { allowed } else { denied }) += 1;
    }
    let answers = view.scan(view.files(&filter), &filter, |scan| async move { count(&scan).await });
    pin_mut!(answers);
    while let Some(answer) = before(deadline, answers.next()).await.ok_or(Error::TooLong)? {
        let (hour, [allowed, denied]) = answer?;
        let bucket = buckets.entry(per.start(hour)).or_default();
        bucket[0] += allowed;
        bucket[1] += denied;
    }
    let buckets = buckets.into_iter().filter(|(_, counts)| *counts != [0, 0]);
    Ok(buckets.map(|(start, [allowed, denied])| Bucket { start, allowed, denied }).collect())
}

/// How many of a file's rows were allowed, and how many refused.
async fn count(scan: &Scan) -> Result<(Hour, [u64; 2]), Error> {
    let (mut rows_found, mut allowed) = (0, 0);
    for rows in scan.find().await? {
        let count = rows.selection.row_count();
        rows_found += count;
        // Where the filter says which, it needs not be read.
        match scan.filter.allowed {
            Some(true) => allowed += count,
            Some(false) => {}
            None => {
                let mut tables = scan.read(&rows, &[column::REASON]).await?;
                while let Some(table) = tables.next().await? {
                    allowed += (0..table.rows()).filter(|row| table.is_allowed(*row)).count();
                }
            }
        }
    }
    Ok((scan.file.name.hour, [allowed as u64, (rows_found - allowed) as u64]))
}
