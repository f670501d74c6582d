//! How many requests are managed at a time, in all and for one client: whoever fills their places leaves
//! those of others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::limits::subscriber;

/// Places in all.
pub const ALL: usize = 8192;

/// Places of one client.
pub const EACH: usize = 2048;

/// Who has how many places.
#[derive(Clone, Debug, Default)]
pub struct Places(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    each: HashMap<IpAddr, usize>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub struct Place {
    places: Places,
    client: IpAddr,
}

impl Places {
    /// A place for this client, if there is one.
    pub fn take(&self, client: IpAddr) -> Option<Place> {
        let client = subscriber(client);
        let mut taken = self.lock();
        let own = taken.each.get(&client).copied().unwrap_or_default();
        if taken.all >= ALL || own >= EACH {
            return None;
        }
        taken.all += 1;
        taken.each.insert(client, own + 1);
        Some(Place { places: self.clone(), client })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.all -= 1;
        if let Some(own) = taken.each.get_mut(&self.client) {
            *own -= 1;
            if *own == 0 {
                taken.each.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(places: &Places, client: [u8; 4]) -> Vec<Place> {
        std::iter::from_fn(|| places.take(client.into())).collect()
    }

    #[test]
    fn a_client_cannot_take_the_places_of_others() {
        let places = Places::default();
        let first = fill(&places, [192, 0, 2, 1]);
        assert_eq!(first.len(), EACH);
        let others: Vec<_> = (2..=4).map(|client| fill(&places, [192, 0, 2, client])).collect();
        assert_eq!(others.iter().map(Vec::len).sum::<usize>(), ALL - EACH);
        assert!(places.take([192, 0, 2, 5].into()).is_none());
        drop(first);
        assert!(places.take([192, 0, 2, 5].into()).is_some());
        drop(others);
        assert!(places.lock().each.is_empty() && places.lock().all == 0);
    }
}
