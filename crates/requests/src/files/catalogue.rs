//! Which files there are, and which of them count.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokenhouse_core::clock::Timestamp;

use crate::layout::{FileName, Hour};
use crate::reader::File;

/// The files that count, of hours in their order.
pub(crate) type Hours = BTreeMap<Hour, Arc<[Arc<File>]>>;

/// All files that are known of.
#[derive(Default)]
pub(super) struct Catalogue {
    all: BTreeMap<Hour, BTreeMap<FileName, Arc<File>>>,
    counting: Arc<Hours>,
    /// Since when files are known whose rows are in another one too.
    merged_away: HashMap<FileName, Timestamp>,
}

impl Catalogue {
    pub(super) fn counting(&self) -> Arc<Hours> {
        Arc::clone(&self.counting)
    }

    /// All files of an hour.
    pub(super) fn of_hour(&self, hour: Hour) -> impl Iterator<Item = &Arc<File>> {
        self.all.get(&hour).into_iter().flat_map(BTreeMap::values)
    }

    pub(super) fn hours(&self) -> impl Iterator<Item = Hour> {
        self.all.keys().copied()
    }

    /// The highest number of a segment whose rows are in files of this node.
    pub(super) fn newest(&self, node: &str) -> u64 {
        let names = self.all.values().flat_map(BTreeMap::keys).filter(|name| name.node == node);
        names.map(|name| name.last).max().unwrap_or_default()
    }

    pub(super) fn insert(&mut self, file: File) {
        let hour = file.name.hour;
        self.all.entry(hour).or_default().insert(file.name.clone(), Arc::new(file));
        self.count(hour);
    }

    pub(super) fn remove(&mut self, name: &FileName) {
        if let Some(files) = self.all.get_mut(&name.hour) {
            files.remove(name);
        }
        self.merged_away.remove(name);
        self.count(name.hour);
    }

    /// Replaces what is known of an hour's files of other nodes.
    pub(super) fn replace_others(&mut self, hour: Hour, node: &str, files: Vec<File>) {
        let known = self.all.entry(hour).or_default();
        known.retain(|name, _| name.node == node);
        for file in files.into_iter().filter(|file| file.name.node != node) {
            known.insert(file.name.clone(), Arc::new(file));
        }
        self.count(hour);
    }

    /// The files of a node whose rows have been in another file for so many seconds. Those that it learns of
    /// only now are remembered.
    pub(super) fn merged_away(&mut self, node: &str, now: Timestamp, seconds: i64) -> Vec<Arc<File>> {
        let mut found = Vec::new();
        for files in self.all.values() {
            for (name, file) in files.iter().filter(|(name, _)| name.node == node) {
                if is_within_another(name, files) {
                    let since = *self.merged_away.entry(name.clone()).or_insert(now);
                    if since.plus_seconds(seconds) <= now {
                        found.push(Arc::clone(file));
                    }
                }
            }
        }
        found
    }

    fn count(&mut self, hour: Hour) {
        let counting = Arc::make_mut(&mut self.counting);
        match self.all.get(&hour) {
            Some(files) if !files.is_empty() => {
                let count = files.iter().filter(|(name, _)| !is_within_another(name, files));
                counting.insert(hour, count.map(|(_, file)| Arc::clone(file)).collect());
            }
            _ => {
                self.all.remove(&hour);
                counting.remove(&hour);
            }
        }
    }
}

fn is_within_another(name: &FileName, files: &BTreeMap<FileName, Arc<File>>) -> bool {
    files.keys().any(|other| other.contains(name))
}
