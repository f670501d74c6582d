//! Finds rows in files while reading as little as possible: hours by the window, row groups by bloom filters,
//! pages by what is in them at least and at most, and then only the columns that decide.

use std::sync::Arc;

use arrow_array::BooleanArray;
use futures_util::{Stream, StreamExt, stream};
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use tokenhouse_core::clock::Timestamp;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::{Filter, View, Whose};
use crate::error::Error;
use crate::layout::column;
use crate::reader::{File, Reader, Rows, Tables};

/// How many files are read at a time.
const FILES_AT_A_TIME: usize = 4;

/// A file that is looked through for what meets a filter.
pub(super) struct Scan {
    reader: Arc<Reader>,
    pub(super) file: Arc<File>,
    pub(super) filter: Arc<Filter>,
}

impl View {
    /// The files that may have rows of the filter, in the order of time.
    pub(super) fn files(&self, filter: &Filter) -> Vec<Arc<File>> {
        let hours = self.hours.iter().filter(|(hour, _)| filter.admits_hour(**hour));
        hours.flat_map(|(_, files)| files.iter().map(Arc::clone)).collect()
    }

    /// Looks through files, several at a time. What comes of them comes in their order.
    pub(super) fn scan<T: Send + 'static, F: Future<Output = Result<T, Error>> + Send + 'static>(
        &self,
        files: Vec<Arc<File>>,
        filter: &Arc<Filter>,
        look: impl Fn(Scan) -> F,
    ) -> impl Stream<Item = Result<T, Error>> {
        let (reader, filter) = (Arc::clone(&self.reader), Arc::clone(filter));
        let tasks = stream::iter(files).map(move |file| {
            let scan = Scan { reader: Arc::clone(&reader), file, filter: Arc::clone(&filter) };
            AbortOnDropHandle::new(tokio::spawn(look(scan)))
        });
        let answers = tasks.buffered(FILES_AT_A_TIME);
        answers.map(|answer| answer.unwrap_or_else(|panicked| Err(Error::storage(panicked))))
    }
}

/// What is there before a deadline; nothing after it, even if it is there.
pub(super) async fn before<T>(deadline: Instant, answer: impl Future<Output = T>) -> Option<T> {
    if Instant::now() >= deadline {
        return None;
    }
    timeout_at(deadline, answer).await.ok()
}

impl Scan {
    /// Columns of rows.
    pub(super) async fn read(&self, rows: &Rows, columns: &[usize]) -> Result<Tables, Error> {
        self.reader.read(&self.file, rows, columns).await
    }

    /// The rows that meet the filter.
    pub(super) async fn find(&self) -> Result<Vec<Rows>, Error> {
        let footer = self.reader.footer(&self.file).await?;
        let mut found = Vec::new();
        for group in 0..footer.metadata().num_row_groups() {
            let selection = self.pages(footer.metadata(), group);
            if !selection.selects_any() || !self.may_be_in(group).await? {
                continue;
            }
            let rows = Rows { group, selection };
            let rows = self.narrow_to_subject(rows).await?;
            let rows = self.narrow(rows, &self.filter.columns(self.file.name.hour)).await?;
            if rows.selection.selects_any() {
                found.push(rows);
            }
        }
        Ok(found)
    }

    /// The rows of the pages that can have any.
    fn pages(&self, footer: &ParquetMetaData, group: usize) -> RowSelection {
        let filter = &self.filter;
        let (owner, token) = match filter.whose {
            Whose::Token(subject) => (Some(subject.owner.0), Some(subject.token.0)),
            Whose::Owner(owner) => (Some(owner.0), None),
            Whose::Service | Whose::Everyone => (None, None),
        };
        let from = filter.from.map_or(i64::MIN, Timestamp::micros);
        let last = filter.to.map_or(i64::MAX, |to| to.micros().saturating_sub(1));
        let is_cut = filter.columns(self.file.name.hour).contains(&column::TIME);
        let wanted = [
            (column::OWNER, owner.map(|owner| (owner, owner))),
            (column::TOKEN, token.map(|token| (token, token))),
            (column::TIME, is_cut.then_some((from, last))),
        ];
        let rows = usize::try_from(footer.row_group(group).num_rows()).unwrap_or_default();
        let all = RowSelection::from(vec![RowSelector::select(rows)]);
        wanted.into_iter().fold(all, |selection, (column, range)| {
            let pages = range.and_then(|range| pages_with(footer, group, column, range, rows));
            pages.map_or(selection.clone(), |pages| selection.intersection(&pages))
        })
    }

    /// Whether the bloom filters leave it open.
    async fn may_be_in(&self, group: usize) -> Result<bool, Error> {
        if let Whose::Token(subject) = self.filter.whose
            && let Some(tokens) = self.reader.bloom_filter(&self.file, group, column::TOKEN).await?
            && !tokens.check(&subject.token.0)
        {
            return Ok(false);
        }
        let ips = self.filter.ip_texts();
        if !ips.is_empty()
            && let Some(known) = self.reader.bloom_filter(&self.file, group, column::IP).await?
        {
            return Ok(ips.iter().any(|ip| known.check(ip.as_str())));
        }
        Ok(true)
    }

    /// Those of the rows that are of whom the filter says. As files are sorted by that, they lie together.
    async fn narrow_to_subject(&self, rows: Rows) -> Result<Rows, Error> {
        let (columns, wanted): (&[usize], _) = match self.filter.whose {
            Whose::Token(subject) => {
                (&[column::OWNER, column::TOKEN], (Some(subject.owner.0), Some(subject.token.0)))
            }
            // Without its column every token is `None`.
            Whose::Owner(owner) => (&[column::OWNER], (Some(owner.0), None)),
            Whose::Service | Whose::Everyone => return Ok(rows),
        };
        let mut tables = self.read(&rows, columns).await?;
        let (mut read, mut ranges) = (0, Vec::new());
        while let Some(table) = tables.next().await? {
            let of_row = |row| (table.number(column::OWNER, row), table.number(column::TOKEN, row));
            let first = first_row(table.rows(), |row| of_row(row) >= wanted);
            let end = first_row(table.rows(), |row| of_row(row) > wanted);
            ranges.push(read + first..read + end);
            read += table.rows();
        }
        let selection =
            rows.selection.and_then(&RowSelection::from_consecutive_ranges(ranges.into_iter(), read));
        Ok(Rows { selection, ..rows })
    }

    /// Those of the rows that meet the filter as far as these columns say.
    async fn narrow(&self, rows: Rows, columns: &[usize]) -> Result<Rows, Error> {
        if columns.is_empty() || !rows.selection.selects_any() {
            return Ok(rows);
        }
        let ips = self.filter.ip_texts();
        let mut tables = self.read(&rows, columns).await?;
        let mut masks = Vec::new();
        while let Some(table) = tables.next().await? {
            let admitted = (0..table.rows()).map(|row| self.filter.admits_row(&table, row, columns, &ips));
            masks.push(BooleanArray::from(admitted.collect::<Vec<_>>()));
        }
        let selection = rows.selection.and_then(&RowSelection::from_filters(&masks));
        Ok(Rows { selection, ..rows })
    }
}

/// The first of so many rows for which it is true, as it is for all after it; their number if there is none.
fn first_row(rows: usize, is_true: impl Fn(usize) -> bool) -> usize {
    let (mut first, mut end) = (0, rows);
    while first < end {
        let middle = usize::midpoint(first, end);
        if is_true(middle) {
            end = middle;
        } else {
            first = middle + 1;
        }
    }
    first
}

/// The rows of a column's pages that have values in a range; `None` if it isn't known.
fn pages_with(
    footer: &ParquetMetaData,
    group: usize,
    column: usize,
    (least, most): (i64, i64),
    rows: usize,
) -> Option<RowSelection> {
    let index = footer.page_index_for_row_group(group);
    let (Some(ColumnIndexMetaData::INT64(values)), Some(pages)) =
        (index.column_index(column), index.page_locations(column))
    else {
        return None;
    };
    let starts = pages.iter().map(|page| usize::try_from(page.first_row_index).unwrap_or_default());
    let ends = starts.clone().skip(1).chain([rows]);
    let ranges = starts.zip(ends).enumerate().filter_map(|(page, (start, end))| {
        let can_have = values.min_value(page).is_some_and(|min| *min <= most)
            && values.max_value(page).is_some_and(|max| least <= *max);
        can_have.then_some(start..end)
    });
    Some(RowSelection::from_consecutive_ranges(ranges, rows))
}
