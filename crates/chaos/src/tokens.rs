//! The tokens of a run: which there are, and which to present or to revoke next.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderValue;
use rand::RngExt as _;
use rand::rngs::StdRng;
use tokio::sync::Notify;

use crate::history::Number;

/// So many are never revoked.
const KEPT: usize = 30;

/// So many that are good there are to be at any time.
const WANTED: usize = 100;

/// So many of those that were revoked last are presented most.
const NEWEST: usize = 16;

/// A token. Without `Debug`, since it has the secret.
pub(crate) struct Token {
    pub(crate) number: Number,
    /// What the API calls it.
    pub(crate) id: i64,
    /// The whole value of the header.
    pub(crate) bearer: HeaderValue,
}

/// What has become of a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Good,
    /// Somebody is about to.
    BeingRevoked,
    /// And that was acknowledged.
    Revoked,
}

#[derive(Default)]
struct Lists {
    all: Vec<(Arc<Token>, State)>,
    good: Vec<Number>,
    being_revoked: Vec<Number>,
    /// In the order of the acknowledgements.
    revoked: Vec<Number>,
}

/// All tokens.
#[derive(Default)]
pub(crate) struct Tokens {
    lists: Mutex<Lists>,
    changed: Notify,
}

impl Tokens {
    /// Adds one that was made.
    pub(crate) fn add(&self, id: i64, secret: &str) {
        let mut bearer = HeaderValue::try_from(format!("Bearer {secret}")).expect("a token fits in a header");
        bearer.set_sensitive(true);
        let mut lists = self.lists();
        let number = lists.all.len();
        lists.all.push((Arc::new(Token { number, id, bearer }), State::Good));
        lists.good.push(number);
        self.changed.notify_waiters();
    }

    /// Returns when another one is wanted.
    pub(crate) async fn wanted(&self) {
        self.when(|good| good < WANTED).await;
    }

    /// Returns when no more are wanted.
    pub(crate) async fn enough(&self) {
        self.when(|good| good >= WANTED).await;
    }

    /// Returns when the number of good ones is as it should be.
    async fn when(&self, is_so: impl Fn(usize) -> bool) {
        loop {
            let changed = self.changed.notified();
            if is_so(self.lists().good.len()) {
                return;
            }
            changed.await;
        }
    }

    /// Takes one to be revoked, if there are enough.
    pub(crate) fn take(&self, random: &mut StdRng) -> Option<Arc<Token>> {
        let mut lists = self.lists();
        if lists.good.len() <= KEPT {
            return None;
        }
        let position = random.random_range(0..lists.good.len());
        let number = lists.good.swap_remove(position);
        lists.being_revoked.push(number);
        lists.all[number].1 = State::BeingRevoked;
        self.changed.notify_waiters();
        Some(Arc::clone(&lists.all[number].0))
    }

    /// Notes that the revoke of one was acknowledged.
    pub(crate) fn acknowledge(&self, number: Number) {
        let mut lists = self.lists();
        lists.being_revoked.retain(|other| *other != number);
        lists.revoked.push(number);
        lists.all[number].1 = State::Revoked;
    }

    /// One to be checked, if there is any: mostly one that was just revoked.
    pub(crate) fn choose(&self, random: &mut StdRng) -> Option<Arc<Token>> {
        let lists = self.lists();
        let newest = &lists.revoked[lists.revoked.len().saturating_sub(NEWEST)..];
        let list = match random.random_range(0..100) {
            0..50 => newest,
            50..60 => &lists.revoked,
            60..75 => &lists.being_revoked,
            _ => &lists.good,
        };
        let list = if list.is_empty() { &lists.good } else { list };
        let position = (!list.is_empty()).then(|| random.random_range(0..list.len()))?;
        Some(Arc::clone(&lists.all[list[position]].0))
    }

    /// All, as they are now.
    pub(crate) fn all(&self) -> Vec<(Arc<Token>, State)> {
        self.lists().all.clone()
    }

    fn lists(&self) -> MutexGuard<'_, Lists> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
