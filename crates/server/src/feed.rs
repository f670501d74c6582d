//! Fills the index, with what Admins have settled beside it, then follows the log of changes, or a change of this process as soon as it is committed. There is
//! no other way into the index, so what is checked is what was committed, in the order in which it was committed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::Value;
use tokenhouse_core::audit::{Action, Head};
use tokenhouse_core::clock::Uptime;
use tokenhouse_core::id::{TeamId, TokenId, UserId};
use tokenhouse_core::index::Index;
use tokenhouse_core::policies::Policies;
use tokenhouse_store::changes::{self, Change};
use tokenhouse_store::tokens::Entry;
use tokenhouse_store::{Committed, Error, Reader, Store, audit, policies, teams, tokens, users};
use tokio::sync::Mutex;
use tokio::time::timeout;

/// How many rows are read at once.
const PAGE: i64 = 10_000;

/// How long it may take to read a page of changes, so that a connection whose other end is silent is given up
/// before a lease has ended twice.
const PATIENCE: Duration = Duration::from_secs(3);

/// Keeps an index equal to a store.
#[derive(Debug)]
pub struct Feed {
    store: Store,
    index: Arc<Index>,
    /// The newest change that the index shows. The lock makes followers take turns.
    applied: Mutex<Head>,
    /// What Admins have settled, as of that change.
    policies: ArcSwap<Policies>,
    /// Its number, to be read without waiting.
    shown: AtomicI64,
    narrowed: Narrowing,
    following: AtomicBool,
}

/// The newest change that the index shows and that may have taken access away.
#[derive(Debug, Default)]
struct Narrowing {
    seq: AtomicI64,
    /// When it was found, in nanoseconds since the machine was started. Written first, so that nobody takes
    /// an earlier moment for it.
    found: AtomicU64,
}

impl Narrowing {
    fn note(&self, seq: i64) {
        self.found.store(Uptime::now().nanos(), Ordering::Release);
        self.seq.store(seq, Ordering::Release);
    }
}

impl Feed {
    /// Reads everything there is into a new index.
    pub async fn load(store: Store) -> Result<Self, Error> {
        let mut reader = store.read().await?;
        // Noted before the rows are read: what changes meanwhile is followed afterwards, twice at worst.
        let (head, _) = audit::head(&mut reader).await?;
        let count = tokens::count(&mut reader).await?;
        let index = Arc::new(Index::with_capacity(usize::try_from(count).unwrap_or_default()));
        let mut last = UserId(0);
        loop {
            let page = users::states_after(&mut reader, last, PAGE).await?;
            let Some(newest) = page.last() else { break };
            last = newest.id;
            for owner in page {
                index.put_owner(owner);
            }
        }
        let mut page = tokens::entries_after(&mut reader, TokenId(0), PAGE).await?;
        let mut filler = store.read().await?;
        while let Some(newest) = page.last() {
            // The database works on the next page while this one is filled in.
            let next = tokens::entries_after(&mut reader, newest.id, PAGE);
            (page, ()) = tokio::try_join!(next, fill(&mut filler, &index, &page))?;
        }
        let policies = ArcSwap::from_pointee(policies::get(&mut reader).await?);
        drop((reader, filler));
        Ok(Self {
            store,
            index,
            applied: Mutex::new(head),
            policies,
            shown: AtomicI64::new(head.seq),
            narrowed: {
                // Whatever is there may be from a server that did not live to see it in effect everywhere.
                let narrowed = Narrowing::default();
                narrowed.note(head.seq);
                narrowed
            },
            following: AtomicBool::new(true),
        })
    }

    /// The index that is kept.
    pub const fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// What Admins have settled, as of the newest change that the index shows.
    pub fn policies(&self) -> Policies {
        **self.policies.load()
    }

    /// Number of the newest change that the index shows.
    pub fn applied(&self) -> i64 {
        self.shown.load(Ordering::Acquire)
    }

    /// The newest change that the index shows.
    pub async fn applied_head(&self) -> Head {
        *self.applied.lock().await
    }

    /// Number of the newest change that the index shows and that may have taken access away, and a moment
    /// when it was committed already.
    pub fn narrowed(&self) -> (i64, Uptime) {
        // The number first: whatever is stored as the moment by then is this one's or a later one's.
        let seq = self.narrowed.seq.load(Ordering::Acquire);
        (seq, Uptime::from_nanos(self.narrowed.found.load(Ordering::Acquire)))
    }

    /// Returns when the index shows everything up to `seq`.
    pub async fn follow(&self, seq: i64) -> Result<(), Error> {
        self.advance(&mut *self.applied.lock().await, seq).await
    }

    /// Returns when the index shows everything up to the newest change, while nobody can commit another one.
    ///
    /// # Errors
    /// [`Error::HistoryLost`] if the newest change that it shows is another one: then it shows a history that the
    /// database has lost.
    pub async fn follow_to(&self, newest: Head) -> Result<(), Error> {
        let mut applied = self.applied.lock().await;
        self.advance(&mut applied, newest.seq).await?;
        if *applied == newest { Ok(()) } else { Err(Error::HistoryLost) }
    }

    async fn advance(&self, applied: &mut Head, seq: i64) -> Result<(), Error> {
        while applied.seq < seq {
            let caught_up =
                timeout(PATIENCE, self.catch_up(*applied)).await.map_err(|_| Error::too_slow())??;
            if caught_up == *applied {
                return Err(Error::Corrupt(format!("change {seq} is committed but not in the log")));
            }
            *applied = caught_up;
            self.shown.store(caught_up.seq, Ordering::Release);
        }
        Ok(())
    }

    /// Shows a change of this process, and lets the next one write. Tokens that were made, and nothing else,
    /// need not be read again.
    pub async fn show(&self, committed: Committed) -> Result<(), Error> {
        let head = committed.head();
        if let Some(made) = committed.only_made() {
            let mut applied = self.applied.lock().await;
            if *applied == committed.before() && made.iter().all(|token| self.add(token)) {
                *applied = head;
                self.shown.store(head.seq, Ordering::Release);
                return Ok(());
            }
        }
        self.follow(head.seq).await
    }

    fn add(&self, token: &Entry) -> bool {
        token.state.is_some_and(|state| self.index.put_token(&token.hash, state, token.owner))
    }

    /// Makes the index show these tokens as they are committed, whatever was done to the index by hand. Waits for
    /// whoever applies a change, so that nothing older is put over it.
    pub async fn show_as_stored(&self, ids: &[TokenId]) -> Result<(), Error> {
        let _applied = self.applied.lock().await;
        let mut reader = self.store.read_log().await?;
        let entries = tokens::entries(&mut reader, ids).await?;
        fill(&mut reader, &self.index, &entries).await
    }

    /// Follows to the end of the log, whoever wrote it.
    pub async fn follow_all(&self) -> Result<(), Error> {
        let followed = self.follow_head().await;
        self.following.store(followed.is_ok(), Ordering::Release);
        followed
    }

    async fn follow_head(&self) -> Result<(), Error> {
        let read = async { audit::head(&mut *self.store.read_log().await?).await };
        let (head, _) = timeout(PATIENCE, read).await.map_err(|_| Error::too_slow())??;
        self.follow(head.seq).await
    }

    /// Whether the log could be followed when that was last tried.
    pub fn is_following(&self) -> bool {
        self.following.load(Ordering::Acquire)
    }

    /// Applies one page of changes: reads the present state of whatever they touched. State that is
    /// newer than the change does no harm, since its own change follows.
    async fn catch_up(&self, applied: Head) -> Result<Head, Error> {
        let mut reader = self.store.read_log().await?;
        let (page, head) = changes::after(&mut reader, applied, PAGE).await?;
        let mut touched = Touched::default();
        for change in &page {
            touched.add(&mut reader, change).await?;
        }
        let owners: Vec<_> = touched.users.into_iter().collect();
        for owner in users::states(&mut reader, &owners).await? {
            self.index.put_owner(owner);
        }
        let tokens: Vec<_> = touched.tokens.into_iter().collect();
        let entries = tokens::entries(&mut reader, &tokens).await?;
        fill(&mut reader, &self.index, &entries).await?;
        if page.iter().any(|change| change.entity_kind == "policy") {
            self.policies.store(Arc::new(policies::get(&mut reader).await?));
        }
        // What a newer node calls by a name of its own may narrow as well.
        let narrows = |change: &&Change| change.action.parse().map_or(true, Action::may_narrow);
        if let Some(change) = page.iter().rfind(narrows) {
            self.narrowed.note(change.seq);
        }
        Ok(head)
    }
}

/// Makes the index show tokens as they are.
async fn fill(reader: &mut Reader, index: &Index, page: &[Entry]) -> Result<(), Error> {
    for entry in page {
        apply(reader, index, entry).await?;
    }
    Ok(())
}

/// Makes the index show a token as it is, with its owner if the index doesn't know the owner yet.
async fn apply(reader: &mut Reader, index: &Index, entry: &Entry) -> Result<(), Error> {
    let Entry { hash, owner, state, .. } = entry;
    let Some(token) = *state else {
        index.remove_token(hash);
        return Ok(());
    };
    if index.put_token(hash, token, *owner) {
        return Ok(());
    }
    for state in users::states(reader, &[*owner]).await? {
        index.put_owner(state);
    }
    if index.put_token(hash, token, *owner) {
        Ok(())
    } else {
        Err(Error::Corrupt(format!("token {} belongs to user {owner}, who does not exist", token.id)))
    }
}

/// Whose present state has to be read again.
#[derive(Default)]
struct Touched {
    users: BTreeSet<UserId>,
    tokens: BTreeSet<TokenId>,
}

impl Touched {
    async fn add(&mut self, reader: &mut Reader, change: &Change) -> Result<(), Error> {
        match change.entity_kind.as_str() {
            "token" => {
                self.tokens.insert(TokenId(change.entity_id));
            }
            "user" => {
                self.users.insert(UserId(change.entity_id));
            }
            // The record names who came and went. Who stayed is touched only by another name.
            "team" => {
                let changes: Value = serde_json::from_str(&change.changes).unwrap_or_default();
                self.users.extend(members_in(&changes));
                if changes.get("name").is_some() {
                    self.users.extend(teams::member_ids(reader, TeamId(change.entity_id)).await?);
                }
            }
            // The first Admin, and a service user that was asked for, has a record of their own; the others are asked
            // of the store.
            "setup" | "policy" | "review" | "alert" | "request" => {}
            other => return Err(Error::Corrupt(format!("a change of an unknown kind: {other}"))),
        }
        Ok(())
    }
}

/// The ids under `members` in the changes of a team: `[[who left], [who joined]]`.
fn members_in(changes: &Value) -> Vec<UserId> {
    let sides = changes.get("members").and_then(|members| members.as_array()).into_iter().flatten();
    sides.filter_map(|side| side.as_array()).flatten().filter_map(Value::as_i64).map(UserId).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_who_left_and_joined_are_read_from_the_record() {
        assert_eq!(members_in(&json!({"members": [[1, 2], [3]], "name": ["a", "b"]})), [1, 2, 3].map(UserId));
        assert_eq!(members_in(&json!({"members": [null, [3]]})), [UserId(3)]);
        assert!(members_in(&json!({"name": ["a", "b"]})).is_empty());
    }
}
