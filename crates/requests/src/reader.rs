//! Reads rows of files: the columns that are wanted, of the rows that are wanted.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, TryFutureExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, RowSelection};
use parquet::arrow::async_reader::{
    AsyncFileReader, ParquetRecordBatchStream, ParquetRecordBatchStreamBuilder,
};
use parquet::bloom_filter::Sbbf;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};

use crate::error::Error;
use crate::layout::{FileName, SCHEMA, column};
use crate::recent::Recent;
use crate::table::Table;

/// The most bytes of footers and page indexes that are kept.
const MOST_BYTES_OF_FOOTERS: usize = 48 * 1024 * 1024;

/// The most bytes of bloom filters that are kept.
const MOST_BYTES_OF_BLOOM_FILTERS: usize = 16 * 1024 * 1024;

/// How many bytes of a file's end are fetched at once: they have its footer and its page indexes.
const BYTES_OF_FOOTER: usize = 64 * 1024;

/// How many rows are decoded at a time.
const ROWS_OF_BATCH: usize = 8_192;

/// How many are decoded at a time with texts that clients choose. Decoded, such a row may have 16 KiB, however small
/// it is in the file.
const ROWS_OF_TEXTS: usize = 512;

/// A file of the log.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct File {
    pub(crate) name: FileName,
    pub(crate) path: Path,
    /// How many bytes it has.
    pub(crate) bytes: u64,
}

/// A row group of a file, and some of its rows.
pub(crate) struct Rows {
    pub(crate) group: usize,
    pub(crate) selection: RowSelection,
}

/// The files' store, and what is known of the files.
pub(crate) struct Reader {
    store: Arc<dyn ObjectStore>,
    footers: Recent<Path, ArrowReaderMetadata>,
    bloom_filters: Recent<(Path, usize, usize), Option<Arc<Sbbf>>>,
}

impl Reader {
    pub(crate) fn new(store: Arc<dyn ObjectStore>) -> Self {
        let footers = Recent::new(MOST_BYTES_OF_FOOTERS);
        Self { store, footers, bloom_filters: Recent::new(MOST_BYTES_OF_BLOOM_FILTERS) }
    }

    pub(crate) fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    fn source(&self, file: &File) -> Source {
        Source { store: Arc::clone(&self.store), path: file.path.clone(), bytes: file.bytes }
    }

    /// What a file's footer says.
    pub(crate) async fn footer(&self, file: &File) -> Result<ArrowReaderMetadata, Error> {
        if let Some(known) = self.footers.get(&file.path) {
            return Ok(known);
        }
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
        let footer = ArrowReaderMetadata::load_async(&mut self.source(file), options)
            .await
            .map_err(|error| Error::read(&file.path, error))?;
        if footer.schema().fields() != SCHEMA.fields() {
            return Err(Error::corrupt(&file.path, "its columns are not those of the log"));
        }
        let bytes = footer.metadata().memory_size();
        self.footers.put(file.path.clone(), footer.clone(), bytes);
        Ok(footer)
    }

    /// How many rows a file has.
    pub(crate) async fn count(&self, file: &File) -> Result<usize, Error> {
        let rows = self.footer(file).await?.metadata().file_metadata().num_rows();
        usize::try_from(rows).map_err(|error| Error::corrupt(&file.path, error))
    }

    /// The bloom filter of a row group's column.
    pub(crate) async fn bloom_filter(
        &self,
        file: &File,
        group: usize,
        column: usize,
    ) -> Result<Option<Arc<Sbbf>>, Error> {
        let key = (file.path.clone(), group, column);
        if let Some(known) = self.bloom_filters.get(&key) {
            return Ok(known);
        }
        let footer = self.footer(file).await?;
        let mut builder = ParquetRecordBatchStreamBuilder::new_with_metadata(self.source(file), footer);
        let read = builder.get_row_group_column_bloom_filter(group, column).await;
        let filter = read.map_err(|error| Error::read(&file.path, error))?.map(Arc::new);
        let bytes = filter.as_ref().map_or(0, |filter| filter.num_blocks() * 32);
        self.bloom_filters.put(key, filter.clone(), bytes + 256);
        Ok(filter)
    }

    /// Columns of rows.
    pub(crate) async fn read(&self, file: &File, rows: &Rows, columns: &[usize]) -> Result<Tables, Error> {
        let footer = self.footer(file).await?;
        let mask = ProjectionMask::leaves(footer.parquet_schema(), columns.iter().copied());
        let has_texts = columns.iter().any(|column| [column::PATH, column::USER_AGENT].contains(column));
        let stream = ParquetRecordBatchStreamBuilder::new_with_metadata(self.source(file), footer)
            .with_row_groups(vec![rows.group])
            .with_projection(mask)
            .with_row_selection(rows.selection.clone())
            .with_batch_size(if has_texts { ROWS_OF_TEXTS } else { ROWS_OF_BATCH })
            .build()
            .map_err(|error| Error::read(&file.path, error))?;
        Ok(Tables { stream, path: file.path.clone(), columns: columns.to_vec() })
    }

    /// All columns of all rows, in their order, so many rows at a time.
    pub(crate) async fn read_all(&self, file: &File, rows_at_a_time: usize) -> Result<Tables, Error> {
        let footer = self.footer(file).await?;
        let stream = ParquetRecordBatchStreamBuilder::new_with_metadata(self.source(file), footer)
            .with_batch_size(rows_at_a_time)
            .build()
            .map_err(|error| Error::read(&file.path, error))?;
        Ok(Tables { stream, path: file.path.clone(), columns: column::ALL.to_vec() })
    }
}

/// What is read of a file, piece by piece.
pub(crate) struct Tables {
    stream: ParquetRecordBatchStream<Source>,
    path: Path,
    columns: Vec<usize>,
}

impl Tables {
    /// The next rows; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Table>, Error> {
        match self.stream.next().await {
            None => Ok(None),
            Some(Ok(batch)) => Ok(Some(Table::new(batch, &self.columns))),
            Some(Err(error)) => Err(Error::read(&self.path, error)),
        }
    }
}

/// The bytes of a file.
struct Source {
    store: Arc<dyn ObjectStore>,
    path: Path,
    bytes: u64,
}

impl AsyncFileReader for Source {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        self.store.get_range(&self.path, range).map_err(ParquetError::from).boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        async move { Ok(self.store.get_ranges(&self.path, &ranges).await?) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        async move {
            let bytes = self.bytes;
            let metadata = ParquetMetaDataReader::new()
                .with_arrow_reader_options(options)
                .with_prefetch_hint(Some(BYTES_OF_FOOTER))
                .load_and_finish(self, bytes)
                .await?;
            Ok(Arc::new(metadata))
        }
        .boxed()
    }
}
