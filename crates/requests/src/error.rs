//! What can go wrong with the log.

use object_store::path::Path;
use parquet::errors::ParquetError;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why the log could not be written or did not answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory or the object store failed.
    #[error("the storage of the request log fails: {0}; see to it that it is there, and may be written")]
    Storage(#[source] Source),
    /// A file is not as it was written.
    #[error("the file {file} of the request log can't be read: {source}; restore it, or take it away")]
    Corrupt {
        /// Its path in the log.
        file: String,
        /// What is wrong with it.
        source: Source,
    },
    /// A file was merged away or expired while it was wanted.
    #[error("the files of the request log have changed meanwhile; ask again")]
    Moved,
    /// The time for the answer is over.
    #[error("there are too many requests to look through; narrow the window")]
    TooLong,
    /// The answer has more different values than fit into memory.
    #[error("there are too many different values; narrow the window")]
    TooMuch,
    /// What was given as a place in a list is none.
    #[error("that is no place in a list of requests; begin at its start")]
    BadCursor,
}

impl Error {
    pub(crate) fn storage(source: impl Into<Source>) -> Self {
        Self::Storage(source.into())
    }

    pub(crate) fn corrupt(file: &Path, source: impl Into<Source>) -> Self {
        Self::Corrupt { file: file.to_string(), source: source.into() }
    }

    /// Of reading a file.
    pub(crate) fn read(file: &Path, error: ParquetError) -> Self {
        match error {
            ParquetError::External(source) => match source.downcast::<object_store::Error>() {
                Ok(source) => Self::from(*source),
                Err(source) => Self::corrupt(file, source),
            },
            error => Self::corrupt(file, error),
        }
    }
}

impl From<object_store::Error> for Error {
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self::Moved,
            error => Self::storage(error),
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::storage(error)
    }
}
