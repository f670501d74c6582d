//! Makes one file of many.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use arrow_select::interleave::interleave_record_batch;
use tokenhouse_core::clock::Timestamp;

use super::{Files, new_writer};
use crate::error::Error;
use crate::layout::{FileName, Hour};
use crate::reader::{File, Tables};
use crate::table::Table;

/// A file with fewer rows is a small one. Merged files have no more.
const MOST_ROWS: usize = 500_000;

/// Files of more bytes together are not merged: what comes of them is held in memory.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// How many rows of all files that are merged are held in memory; and of one file, at least and at most.
const ROWS_IN_MEMORY: usize = 4_096;
const LEAST_OF_FILE: usize = 16;
const MOST_OF_FILE: usize = 1_024;

/// So many small files of an hour are merged while it goes on.
const MANY: usize = 32;

/// How many seconds an hour is left alone after it ended: late rows still come.
const LATE: i64 = 60;

/// How many seconds a file stays after its rows are in another one: somebody may be reading it.
const STAY: i64 = 60;

/// How many rows are written at a time.
const ROWS_AT_A_TIME: usize = 8_192;

impl Files {
    /// Merges small files of this node, where their hour is over or there are many of them; and deletes those
    /// that were merged a minute ago.
    pub(crate) async fn merge(&self, now: Timestamp) -> Result<(), Error> {
        let files = self.catalogue().merged_away(&self.node_in_names, now, STAY);
        for file in files {
            self.delete(file).await?;
        }
        for (hour, files) in &*self.snapshot() {
            let own: Vec<_> = files.iter().filter(|file| file.name.node == self.node_in_names).collect();
            let is_over = hour.end().plus_seconds(LATE) <= now;
            if own.len() >= MANY || is_over && own.len() > 1 {
                self.merge_hour(*hour, &own, is_over).await?;
            }
        }
        // From now on it is known that they are merged away.
        self.catalogue().merged_away(&self.node_in_names, now, STAY);
        Ok(())
    }

    async fn merge_hour(&self, hour: Hour, files: &[&Arc<File>], is_over: bool) -> Result<(), Error> {
        let mut runs: Vec<(Vec<&Arc<File>>, usize, u64)> = vec![(Vec::new(), 0, 0)];
        let mut small = 0;
        for file in files {
            let rows = self.reader.count(file).await?;
            small += usize::from(rows < MOST_ROWS);
            match runs.last_mut() {
                Some((run, total, bytes))
                    if *total + rows <= MOST_ROWS && *bytes + file.bytes <= MOST_BYTES =>
                {
                    run.push(file);
                    *total += rows;
                    *bytes += file.bytes;
                }
                _ => runs.push((vec![file], rows, file.bytes)),
            }
        }
        if !is_over && small < MANY {
            return Ok(());
        }
        for (run, ..) in runs.iter().filter(|(run, ..)| run.len() > 1) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            let node = self.node_in_names.clone();
            let name = FileName { hour, node, first: first.name.first, last: last.name.last };
            let bytes = self.merged(run).await?;
            let merged = self.put(name, bytes).await?;
            self.publish(vec![merged]);
        }
        Ok(())
    }

    /// The bytes of a file with the rows of all of them, in their order.
    async fn merged(&self, files: &[&Arc<File>]) -> Result<Vec<u8>, Error> {
        let mut writer = new_writer()?;
        let mut inputs = Vec::new();
        let rows_at_a_time = (ROWS_IN_MEMORY / files.len().max(1)).clamp(LEAST_OF_FILE, MOST_OF_FILE);
        for file in files {
            inputs.push(Input::open(self.reader.read_all(file, rows_at_a_time).await?).await?);
        }
        let mut next: BinaryHeap<Reverse<(Place, usize)>> = BinaryHeap::new();
        for (number, input) in inputs.iter().enumerate() {
            next.extend(input.place().map(|place| Reverse((place, number))));
        }
        let mut chosen: Vec<(usize, usize)> = Vec::new();
        while let Some(Reverse((_, number))) = next.pop() {
            let Some(input) = inputs.get_mut(number) else { continue };
            chosen.push((number, input.row));
            input.row += 1;
            let is_read = input.table.as_ref().is_none_or(|table| input.row == table.rows());
            if is_read || chosen.len() == ROWS_AT_A_TIME {
                write(&mut writer, &inputs, &mut chosen)?;
                tokio::task::yield_now().await;
            }
            if let Some(input) = inputs.get_mut(number) {
                if is_read {
                    input.advance().await?;
                }
                next.extend(input.place().map(|place| Reverse((place, number))));
            }
        }
        writer.into_inner().map_err(Error::storage)
    }
}

/// What rows are sorted by.
type Place = (Option<i64>, Option<i64>, Timestamp, String);

/// A file that is merged, as far as it is read.
struct Input {
    tables: Tables,
    table: Option<Table>,
    row: usize,
}

impl Input {
    async fn open(tables: Tables) -> Result<Self, Error> {
        let mut input = Self { tables, table: None, row: 0 };
        input.advance().await?;
        Ok(input)
    }

    async fn advance(&mut self) -> Result<(), Error> {
        (self.table, self.row) = (self.tables.next().await?, 0);
        Ok(())
    }

    fn place(&self) -> Option<Place> {
        let (owner, token, time, request) = self.table.as_ref()?.place_in_files(self.row);
        Some((owner, token, time, request.to_owned()))
    }
}

/// Writes the chosen rows: each is of an input's present table.
fn write(
    writer: &mut parquet::arrow::ArrowWriter<Vec<u8>>,
    inputs: &[Input],
    chosen: &mut Vec<(usize, usize)>,
) -> Result<(), Error> {
    // Inputs that are read to their end have no table, so places among tables are not those of inputs.
    let mut batches = Vec::new();
    let mut places = vec![0; inputs.len()];
    for (place, input) in places.iter_mut().zip(inputs) {
        if let Some(table) = &input.table {
            *place = batches.len();
            batches.push(table.batch());
        }
    }
    let rows: Vec<_> = chosen.drain(..).map(|(input, row)| (places[input], row)).collect();
    let batch = interleave_record_batch(&batches, &rows).map_err(Error::storage)?;
    writer.write(&batch).map_err(Error::storage)
}
