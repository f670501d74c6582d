//! What requests have in common: addresses, paths, agents, tokens.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use futures_util::{StreamExt, pin_mut};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::verdict::Subject;
use tokio::time::Instant;

use super::scan::{Scan, before};
use super::{Filter, View};
use crate::error::Error;
use crate::layout::column;
use crate::table::ip_text;

/// The most different values that are counted.
const MOST_VALUES: usize = 20_000;

/// Longer values are taken for the same if they begin alike for so many bytes: strangers choose them.
const LONGEST_VALUE: usize = 256;

/// A value, and the requests that have it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ranked {
    /// The value.
    pub value: String,
    /// How many requests were allowed.
    pub allowed: u64,
    /// How many were refused.
    pub denied: u64,
    /// When the last one was.
    pub last: Timestamp,
}

/// The values that most requests have. Of those that equally many have, the lesser text comes first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Top {
    /// Clients' addresses.
    pub ips: Vec<Ranked>,
    /// Paths.
    pub paths: Vec<Ranked>,
    /// What clients call themselves.
    pub user_agents: Vec<Ranked>,
}

/// A token that was used from an address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Used {
    /// The token.
    pub subject: Subject,
    /// The address.
    pub ip: String,
    /// How many requests were allowed.
    pub allowed: u64,
    /// How many were refused.
    pub denied: u64,
    /// When the last one was.
    pub last: Timestamp,
}

/// The addresses, paths and agents that most requests have, so many of each.
pub(crate) async fn top(view: &View, filter: &Filter, most: usize, deadline: Instant) -> Result<Top, Error> {
    let filter = Arc::new(filter.normal());
    let mut all: [Counts<String>; 3] = Default::default();
    for row in view.segments.iter().flat_map(super::Segment::rows).filter(|row| filter.admits(row)) {
        let count = Count::one(row.refused.is_none(), row.time);
        for (counts, value) in all.iter_mut().zip([&ip_text(row.ip), row.path, row.user_agent]) {
            counts.add_text(value, count)?;
        }
    }
    let answers = view.scan(view.files(&filter), &filter, |scan| async move { top_of(&scan).await });
    pin_mut!(answers);
    while let Some(answer) = before(deadline, answers.next()).await.ok_or(Error::TooLong)? {
        for (counts, more) in all.iter_mut().zip(answer?) {
            counts.add_all(more)?;
        }
    }
    let [ips, paths, user_agents] = all.map(|counts| {
        let ranked = counts.most(most, String::clone).into_iter();
        ranked
            .map(|(value, Count { allowed, denied, last })| Ranked { value, allowed, denied, last })
            .collect()
    });
    Ok(Top { ips, paths, user_agents })
}

async fn top_of(scan: &Scan) -> Result<[Counts<String>; 3], Error> {
    let mut all: [Counts<String>; 3] = Default::default();
    let columns = [column::TIME, column::PATH, column::REASON, column::IP, column::USER_AGENT];
    for rows in scan.find().await? {
        let mut tables = scan.read(&rows, &columns).await?;
        while let Some(table) = tables.next().await? {
            for row in 0..table.rows() {
                let count = Count::one(table.is_allowed(row), table.time(row));
                let values = [column::IP, column::PATH, column::USER_AGENT];
                for (counts, column) in all.iter_mut().zip(values) {
                    counts.add_text(table.text(column, row), count)?;
                }
            }
        }
    }
    Ok(all)
}

/// Which tokens were used from which addresses, those with most requests first.
pub(crate) async fn tokens(
    view: &View,
    filter: &Filter,
    most: usize,
    deadline: Instant,
) -> Result<Vec<Used>, Error> {
    let filter = Arc::new(filter.normal());
    let mut all: Counts<(Subject, String)> = Counts::default();
    for row in view.segments.iter().flat_map(super::Segment::rows).filter(|row| filter.admits(row)) {
        if let Some(subject) = row.subject {
            all.add((subject, ip_text(row.ip)), Count::one(row.refused.is_none(), row.time))?;
        }
    }
    let answers = view.scan(view.files(&filter), &filter, |scan| async move { tokens_of(&scan).await });
    pin_mut!(answers);
    while let Some(answer) = before(deadline, answers.next()).await.ok_or(Error::TooLong)? {
        all.add_all(answer?)?;
    }
    let ranked = all.most(most, |(subject, ip)| (subject.token, subject.owner, ip.clone())).into_iter();
    let used = |((subject, ip), Count { allowed, denied, last })| Used { subject, ip, allowed, denied, last };
    Ok(ranked.map(used).collect())
}

async fn tokens_of(scan: &Scan) -> Result<Counts<(Subject, String)>, Error> {
    let mut all: Counts<(Subject, String)> = Counts::default();
    let columns = [column::OWNER, column::TOKEN, column::KIND, column::TIME, column::REASON, column::IP];
    for rows in scan.find().await? {
        let mut tables = scan.read(&rows, &columns).await?;
        while let Some(table) = tables.next().await? {
            for row in 0..table.rows() {
                if let Some(subject) = table.subject(row) {
                    let ip = table.text(column::IP, row).to_owned();
                    all.add((subject, ip), Count::one(table.is_allowed(row), table.time(row)))?;
                }
            }
        }
    }
    Ok(all)
}

/// The requests that have a value.
#[derive(Clone, Copy)]
struct Count {
    allowed: u64,
    denied: u64,
    last: Timestamp,
}

impl Count {
    fn one(is_allowed: bool, last: Timestamp) -> Self {
        Self { allowed: u64::from(is_allowed), denied: u64::from(!is_allowed), last }
    }

    fn add(&mut self, other: Self) {
        self.allowed += other.allowed;
        self.denied += other.denied;
        self.last = self.last.max(other.last);
    }
}

/// The values that there are.
struct Counts<V>(HashMap<V, Count>);

impl<V> Default for Counts<V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl Counts<String> {
    /// The same as `add`, but takes a text only where it is new.
    fn add_text(&mut self, value: &str, count: Count) -> Result<(), Error> {
        let value = &value[..value.floor_char_boundary(LONGEST_VALUE)];
        match self.0.get_mut(value) {
            Some(known) => {
                known.add(count);
                Ok(())
            }
            None => self.add(value.to_owned(), count),
        }
    }
}

impl<V: Hash + Eq> Counts<V> {
    fn add(&mut self, value: V, count: Count) -> Result<(), Error> {
        self.0.entry(value).and_modify(|known| known.add(count)).or_insert(count);
        if self.0.len() > MOST_VALUES { Err(Error::TooMuch) } else { Ok(()) }
    }

    fn add_all(&mut self, other: Self) -> Result<(), Error> {
        other.0.into_iter().try_for_each(|(value, count)| self.add(value, count))
    }

    /// The values with most requests; where there are equally many, by the rank of the value.
    fn most<R: Ord>(self, most: usize, rank: impl Fn(&V) -> R) -> Vec<(V, Count)> {
        let mut counts: Vec<_> = self.0.into_iter().collect();
        counts.sort_by(|(one, ones), (other, others)| {
            let by_count = (others.allowed + others.denied).cmp(&(ones.allowed + ones.denied));
            by_count.then_with(|| rank(one).cmp(&rank(other)))
        });
        counts.truncate(most);
        counts
    }
}
