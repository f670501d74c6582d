//! The files of the log, in a directory or in an object store that several nodes share: writes rows into
//! files, merges small ones, and deletes what is too old.

mod catalogue;
mod merge;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{StreamExt, TryStreamExt};
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use parquet::arrow::ArrowWriter;
use tokenhouse_core::clock::Timestamp;

use self::catalogue::Catalogue;
pub(crate) use self::catalogue::Hours;
use crate::error::Error;
use crate::layout::{FileName, Hour, SCHEMA, node_in_names, properties};
use crate::private;
use crate::query::View;
use crate::reader::{File, Reader};
use crate::row::Row;
use crate::table;

/// How many rows are encoded at a time.
const ROWS_AT_A_TIME: usize = 8_192;

/// After how many seconds the newest folders of a shared store are listed again, and after how many all.
const LIST_NEWEST_AFTER: i64 = 5;
const LIST_ALL_AFTER: i64 = 600;

/// In a directory a file has this name, and the node's, until all of it is on the disk.
const UNFINISHED: &str = "unfinished";

/// The files of the log.
pub(crate) struct Files {
    reader: Arc<Reader>,
    /// The directory, where it is one.
    root: Option<PathBuf>,
    node: String,
    node_in_names: String,
    catalogue: Mutex<Catalogue>,
    /// Held while a file of a directory is unfinished.
    writing: Arc<tokio::sync::Mutex<()>>,
    listed: Mutex<Listed>,
}

/// When a shared store was listed last.
#[derive(Clone, Copy)]
struct Listed {
    newest: Option<Timestamp>,
    all: Option<Timestamp>,
    /// Whether this node's own files are known: others learn of them again and again, it only once.
    own: bool,
}

impl Files {
    /// Lists what is there. `root` is the store's directory if it is one, `node` the name of
    /// this node. Files that are called otherwise are left alone.
    pub(crate) async fn open(
        store: Arc<dyn ObjectStore>,
        root: Option<PathBuf>,
        node: String,
    ) -> Result<Self, Error> {
        let mut catalogue = Catalogue::default();
        let own = match files_in(&*store, None).await {
            Ok(files) => {
                for file in files {
                    catalogue.insert(file);
                }
                true
            }
            // Tokens are checked and rows recorded also while a shared store is away.
            Err(error) if root.is_none() => {
                tracing::warn!(%error, "the files of the log of requests can't be listed; trying again");
                false
            }
            Err(error) => return Err(error),
        };
        Ok(Self {
            reader: Arc::new(Reader::new(store)),
            root,
            node_in_names: node_in_names(&node),
            node,
            catalogue: Mutex::new(catalogue),
            writing: Arc::default(),
            listed: Mutex::new(Listed { newest: None, all: None, own }),
        })
    }

    fn catalogue(&self) -> MutexGuard<'_, Catalogue> {
        self.catalogue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The highest number of a segment of this node whose rows are in files; 0 if there is none.
    pub(crate) fn newest(&self) -> u64 {
        self.catalogue().newest(&self.node_in_names)
    }

    /// Lets what is known of a shared store be looked up when it is wanted again.
    pub(crate) fn doubt(&self) {
        let mut listed = self.listed();
        *listed = Listed { newest: None, all: None, ..*listed };
    }

    fn listed(&self) -> MutexGuard<'_, Listed> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The files that count at this moment.
    pub(crate) fn snapshot(&self) -> Arc<Hours> {
        self.catalogue().counting()
    }

    /// The same, to be asked.
    pub(crate) fn view(&self) -> View {
        View::new(Arc::clone(&self.reader), self.snapshot())
    }

    /// Reads them.
    #[cfg(test)]
    pub(crate) fn reader(&self) -> &Arc<Reader> {
        &self.reader
    }

    /// Writes the rows of a segment of this node into one file for each hour, except those that have them
    /// already. When it returns they are on the disk or in the store, and count once they are
    /// [published](Self::publish). Sorts and encodes on the calling thread. Segments come here in the order of
    /// their numbers.
    pub(crate) async fn write(&self, number: u64, rows: &mut [Row<'_>]) -> Result<Vec<File>, Error> {
        rows.sort_unstable_by_key(|row| {
            let subject = row.subject.map(|subject| (subject.owner, subject.token));
            (Hour::of(row.time), subject, row.time, row.request_id)
        });
        let mut written = Vec::new();
        for rows in rows.chunk_by(|one, other| Hour::of(one.time) == Hour::of(other.time)) {
            let Some(hour) = rows.first().map(|row| Hour::of(row.time)) else { continue };
            let node = self.node_in_names.clone();
            let name = FileName { hour, node, first: number, last: number };
            let is_there = |file: &Arc<File>| file.name == name || file.name.contains(&name);
            if self.catalogue().of_hour(hour).any(is_there) {
                continue;
            }
            let mut writer = new_writer()?;
            for rows in rows.chunks(ROWS_AT_A_TIME) {
                writer.write(&table::of_rows(rows, &self.node)?).map_err(Error::storage)?;
                tokio::task::yield_now().await;
            }
            written.push(self.put(name, writer.into_inner().map_err(Error::storage)?).await?);
        }
        Ok(written)
    }

    /// Makes files known.
    pub(crate) fn publish(&self, files: Vec<File>) {
        let mut catalogue = self.catalogue();
        for file in files {
            catalogue.insert(file);
        }
    }

    /// Lets the files of a segment count no more, because it is going to be written again.
    pub(crate) fn forget(&self, number: u64) {
        let mut catalogue = self.catalogue();
        let hours: Vec<Hour> = catalogue.hours().collect();
        for hour in hours {
            let name = FileName { hour, node: self.node_in_names.clone(), first: number, last: number };
            catalogue.remove(&name);
        }
    }

    /// Writes a file, so that it outlives a crash of the machine.
    async fn put(&self, name: FileName, bytes: Vec<u8>) -> Result<File, Error> {
        let path = name.path();
        let file = File { name, path, bytes: bytes.len() as u64 };
        match &self.root {
            None => {
                self.reader.store().put(&file.path, PutPayload::from(bytes)).await?;
            }
            Some(root) => {
                // It writes on, also when nobody waits for it any more.
                let writing = Arc::clone(&self.writing).lock_owned().await;
                let (root, path) = (root.clone(), file.path.clone());
                // Several nodes may write into one directory.
                let unfinished = root.join(format!("{UNFINISHED}-{}", self.node_in_names));
                let written = tokio::task::spawn_blocking(move || {
                    let _writing = writing;
                    write_through(&unfinished, &root, &path, &bytes)
                });
                written.await.map_err(Error::storage)??;
            }
        }
        Ok(file)
    }

    /// Learns of other nodes' files: a store may be shared. And of this node's own, if they couldn't be listed at the
    /// start, except those of segments that are to be written again.
    pub(crate) async fn refresh(
        &self,
        now: Timestamp,
        in_segments: impl Fn(u64) -> bool,
    ) -> Result<(), Error> {
        let listed = *self.listed();
        let is_over = |at: Option<Timestamp>, seconds| at.is_none_or(|at| at.plus_seconds(seconds) <= now);
        if is_over(listed.all, LIST_ALL_AFTER) {
            let mut by_hour: BTreeMap<Hour, Vec<File>> =
                self.catalogue().hours().map(|hour| (hour, Vec::new())).collect();
            let all = files_in(&**self.reader.store(), None).await?;
            let is_own = |file: &File| file.name.node == self.node_in_names;
            let (own, others): (Vec<_>, Vec<_>) = all.into_iter().partition(is_own);
            if !listed.own {
                self.publish(own.into_iter().filter(|file| !in_segments(file.name.last)).collect());
            }
            for file in others {
                by_hour.entry(file.name.hour).or_default().push(file);
            }
            for (hour, files) in by_hour {
                self.catalogue().replace_others(hour, &self.node_in_names, files);
            }
            *self.listed() = Listed { newest: Some(now), all: Some(now), own: true };
        } else if is_over(listed.newest, LIST_NEWEST_AFTER) {
            for hours_ago in 0..3 {
                let hour = Hour::of(now.plus_seconds(-3_600 * hours_ago));
                let files = files_in(&**self.reader.store(), Some(hour)).await?;
                self.catalogue().replace_others(hour, &self.node_in_names, files);
            }
            self.listed().newest = Some(now);
        }
        Ok(())
    }

    /// Deletes the hours, of all nodes, that ended more than so many days ago.
    pub(crate) async fn expire(&self, now: Timestamp, days: u32) -> Result<(), Error> {
        let hours: Vec<Hour> = self.catalogue().hours().collect();
        for hour in hours.into_iter().filter(|hour| hour.end().plus_days(i64::from(days)) < now) {
            let files: Vec<Arc<File>> = self.catalogue().of_hour(hour).map(Arc::clone).collect();
            for file in files {
                self.delete(file).await?;
            }
            if let Some(root) = &self.root {
                let folder = root.join(hour.folder().as_ref());
                // They stay where something else is in them.
                _ = tokio::fs::remove_dir(&folder).await;
                if let Some(day) = folder.parent() {
                    _ = tokio::fs::remove_dir(day).await;
                }
            }
        }
        Ok(())
    }

    /// Deletes a file. It counts no more before it is gone, and again if it can't be deleted.
    async fn delete(&self, file: Arc<File>) -> Result<(), Error> {
        self.catalogue().remove(&file.name);
        match self.reader.store().delete(&file.path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => {
                let File { name, path, bytes } = &*file;
                self.catalogue().insert(File { name: name.clone(), path: path.clone(), bytes: *bytes });
                Err(error.into())
            }
        }
    }
}

fn new_writer() -> Result<ArrowWriter<Vec<u8>>, Error> {
    ArrowWriter::try_new(Vec::new(), Arc::clone(&SCHEMA), Some(properties())).map_err(Error::storage)
}

/// The files of the log in a store, or those of an hour.
async fn files_in(store: &dyn ObjectStore, hour: Option<Hour>) -> Result<Vec<File>, Error> {
    let folder = hour.map(Hour::folder);
    let found = store.list(folder.as_ref()).map_err(Error::from);
    found
        .try_filter_map(|object| async move {
            let name = FileName::parse(&object.location);
            Ok(name.map(|name| File { name, path: object.location, bytes: object.size }))
        })
        .boxed()
        .try_collect()
        .await
}

/// Writes a file of a directory. Its name is there only once all of it is on the disk.
fn write_through(
    unfinished: &std::path::Path,
    root: &std::path::Path,
    path: &object_store::path::Path,
    bytes: &[u8],
) -> std::io::Result<()> {
    let file = root.join(path.as_ref());
    if let Some(folder) = file.parent() {
        private::make_folder(folder)?;
    }
    let mut written = private::empty_file(unfinished)?;
    written.write_all(bytes)?;
    written.sync_all()?;
    std::fs::rename(unfinished, &file)?;
    // The names too: of the file, of its hour and of its day.
    for folder in file.ancestors().skip(1).take(3) {
        std::fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
