//! What was used last, up to so many bytes.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

/// Values by key. Where there are too many bytes of them, those go that were not used for longest.
pub(crate) struct Recent<K, V>(Mutex<Values<K, V>>);

struct Values<K, V> {
    by_key: HashMap<K, Value<V>>,
    by_use: BTreeMap<u64, K>,
    uses: u64,
    bytes: usize,
    most_bytes: usize,
}

struct Value<V> {
    value: V,
    bytes: usize,
    used: u64,
}

impl<K: Hash + Eq + Clone, V: Clone> Recent<K, V> {
    pub(crate) fn new(most_bytes: usize) -> Self {
        let (by_key, by_use) = (HashMap::new(), BTreeMap::new());
        Self(Mutex::new(Values { by_key, by_use, uses: 0, bytes: 0, most_bytes }))
    }

    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let values = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = values.by_key.get_mut(key)?;
        values.by_use.remove(&found.used);
        values.uses += 1;
        found.used = values.uses;
        values.by_use.insert(found.used, key.clone());
        Some(found.value.clone())
    }

    pub(crate) fn put(&self, key: K, value: V, bytes: usize) {
        let values = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        values.uses += 1;
        let used = values.uses;
        values.by_use.insert(used, key.clone());
        values.bytes += bytes;
        if let Some(old) = values.by_key.insert(key, Value { value, bytes, used }) {
            values.by_use.remove(&old.used);
            values.bytes -= old.bytes;
        }
        while values.bytes > values.most_bytes
            && let Some((_, oldest)) = values.by_use.pop_first()
        {
            values.bytes -= values.by_key.remove(&oldest).map_or(0, |old| old.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let recent = Recent::new(30);
        for key in 1..=3 {
            recent.put(key, key, 10);
        }
        assert_eq!(recent.get(&1), Some(1));
        recent.put(3, 33, 10);
        recent.put(4, 4, 10);
        assert_eq!([1, 2, 3, 4].map(|key| recent.get(&key)), [Some(1), None, Some(33), Some(4)]);
        recent.put(5, 5, 31);
        assert_eq!([1, 3, 4, 5].map(|key| recent.get(&key)), [None; 4]);
    }
}
