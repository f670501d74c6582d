//! The requests themselves, page by page.

use std::cmp::Ordering;
use std::sync::Arc;

use futures_util::{StreamExt, pin_mut};
use parquet::arrow::arrow_reader::RowSelection;
use tokenhouse_core::clock::Timestamp;
use tokio::time::Instant;

use super::scan::{Scan, before};
use super::{Cursor, Filter, View};
use crate::error::Error;
use crate::layout::{Hour, column};
use crate::reader::Rows;
use crate::row::Request;

/// How many rows more than wanted are held before the worst of them are let go, and how many bytes of them.
const HELD: usize = 500;
const HELD_BYTES: usize = 2 * 1024 * 1024;

/// Which requests come first. Those of the same time have an order too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// The newest.
    NewestFirst,
    /// The oldest.
    OldestFirst,
}

impl Order {
    fn of<T: Ord>(self, one: &T, other: &T) -> Ordering {
        match self {
            Self::NewestFirst => other.cmp(one),
            Self::OldestFirst => one.cmp(other),
        }
    }

    /// The first instant of an hour: nothing of the hour comes before it.
    fn start(self, hour: Hour) -> Timestamp {
        match self {
            Self::NewestFirst => Timestamp::from_micros(hour.end().micros() - 1),
            Self::OldestFirst => hour.start(),
        }
    }
}

/// Some requests of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page {
    /// Can be fewer than asked for, also where others follow.
    pub items: Vec<Request>,
    /// Where the list goes on; `None` at its end.
    pub next: Option<Cursor>,
}

/// The next requests of a list. Where the time is over before all are found, the page has those that are sure
/// to be next, if any, and goes on there.
pub(crate) async fn page(
    view: &View,
    filter: &Filter,
    order: Order,
    after: Option<Cursor>,
    limit: usize,
    deadline: Instant,
) -> Result<Page, Error> {
    let filter = Arc::new(rest(filter, order, after));
    let given = after.map_or(0, |after| after.given as usize);
    let limit = limit.max(1);
    let wanted = limit + 1 + given;
    let mut found = Best::new(order, wanted);
    for segment in &view.segments {
        for row in segment.rows().filter(|row| filter.admits(row)) {
            found.add(Request::of(&row, &segment.node));
        }
    }
    let mut files = view.files(&filter);
    files.sort_by(|one, other| order.of(&one.name.hour, &other.name.hour));
    let hours: Vec<Hour> = files.iter().map(|file| file.name.hour).collect();
    let answers = view.scan(files, &filter, move |scan| async move { best(&scan, order, wanted).await });
    pin_mut!(answers);
    let mut unfinished = None;
    for (place, hour) in hours.iter().enumerate() {
        let is_new = place == 0 || hours.get(place - 1) != Some(hour);
        if is_new && found.are_before(order.start(*hour)) {
            break;
        }
        let Some(answer) = before(deadline, answers.next()).await else {
            unfinished = Some(order.start(*hour));
            break;
        };
        let Some(requests) = answer.transpose()? else { break };
        for request in requests {
            found.add(request);
        }
    }
    let mut items = found.sorted();
    if let Some(start) = unfinished {
        items.retain(|request| order.of(&request.time, &start) == Ordering::Less);
    }
    let skipped = after
        .map_or(0, |after| items.iter().take_while(|request| request.time == after.time).take(given).count());
    items.drain(..skipped);
    let has_more = items.len() > limit;
    items.truncate(limit);
    let next = match (has_more, unfinished) {
        (true, _) => items.last().map(|last| after_items(&items, last.time, after)),
        (false, Some(start)) => {
            let start = Cursor { time: start, given: 0 };
            let is_further = |after: &Cursor| order.of(&after.time, &start.time) != Ordering::Less;
            Some(after.filter(is_further).unwrap_or(start))
        }
        (false, None) => None,
    };
    // Nobody shall ask for the same again and again.
    if items.is_empty() && next.is_some() && next == after {
        return Err(Error::TooLong);
    }
    Ok(Page { items, next })
}

/// What of a filter lies after a place, with all of the place's time.
fn rest(filter: &Filter, order: Order, after: Option<Cursor>) -> Filter {
    let mut filter = filter.normal();
    if let Some(Cursor { time, .. }) = after {
        match order {
            Order::NewestFirst => {
                let end = Timestamp::from_micros(time.micros().saturating_add(1));
                filter.to = Some(filter.to.map_or(end, |to| to.min(end)));
            }
            Order::OldestFirst => filter.from = Some(filter.from.map_or(time, |from| from.max(time))),
        }
    }
    filter
}

fn after_items(items: &[Request], time: Timestamp, after: Option<Cursor>) -> Cursor {
    let given = items.iter().filter(|request| request.time == time).count();
    let given = u32::try_from(given).unwrap_or(u32::MAX);
    let before = after.filter(|after| after.time == time).map_or(0, |after| after.given);
    Cursor { time, given: given.saturating_add(before) }
}

/// The first requests of those that were added.
struct Best {
    order: Order,
    wanted: usize,
    requests: Vec<Request>,
    /// Those of the requests that came since the worst were let go.
    new_bytes: usize,
}

impl Best {
    const fn new(order: Order, wanted: usize) -> Self {
        Self { order, wanted, requests: Vec::new(), new_bytes: 0 }
    }

    fn add(&mut self, request: Request) {
        self.new_bytes += request.path.len() + request.user_agent.len();
        self.requests.push(request);
        if self.requests.len() >= self.wanted * 2 + HELD || self.new_bytes >= HELD_BYTES {
            self.keep();
        }
    }

    fn keep(&mut self) {
        let order = self.order;
        self.requests.sort_unstable_by(|one, other| order.of(&place(one), &place(other)));
        self.requests.truncate(self.wanted);
        self.new_bytes = 0;
    }

    /// Whether there are enough before an instant.
    fn are_before(&self, start: Timestamp) -> bool {
        let before =
            self.requests.iter().filter(|request| self.order.of(&request.time, &start) == Ordering::Less);
        before.count() >= self.wanted
    }

    fn sorted(mut self) -> Vec<Request> {
        self.keep();
        self.requests
    }
}

/// What requests are sorted by. All of it, so that nothing depends on where they are found.
fn place(request: &Request) -> impl Ord {
    let Request { time, subject, via, method, path, refused, status, ip, user_agent, node, request_id } =
        request;
    let token = subject.map(|subject| (subject.token, subject.owner));
    (*time, (request_id, node), (token, via, method, path), (refused, status, ip, user_agent))
}

/// The first requests of a file.
async fn best(scan: &Scan, order: Order, wanted: usize) -> Result<Vec<Request>, Error> {
    let mut found = Best::new(order, wanted);
    for rows in scan.find().await? {
        let rows = first(scan, rows, order, wanted).await?;
        let mut tables = scan.read(&rows, &column::ALL).await?;
        while let Some(table) = tables.next().await? {
            for row in 0..table.rows() {
                found.add(table.request(row));
            }
        }
    }
    Ok(found.sorted())
}

/// The first of a row group's rows, and all others of the last one's time.
async fn first(scan: &Scan, rows: Rows, order: Order, wanted: usize) -> Result<Rows, Error> {
    let count = rows.selection.row_count();
    if count <= wanted {
        return Ok(rows);
    }
    let mut tables = scan.read(&rows, &[column::TIME]).await?;
    let (mut chosen, mut read) = (Vec::new(), 0);
    while let Some(table) = tables.next().await? {
        chosen.extend((0..table.rows()).map(|row| (table.time(row), read + row)));
        read += table.rows();
        if chosen.len() > wanted {
            let (_, (last, _), _) =
                chosen.select_nth_unstable_by(wanted - 1, |(one, _), (other, _)| order.of(one, other));
            let last = *last;
            chosen.retain(|(time, _)| order.of(time, &last) != Ordering::Greater);
        }
    }
    let mut places: Vec<usize> = chosen.into_iter().map(|(_, place)| place).collect();
    places.sort_unstable();
    let ranges = places.into_iter().map(|place| place..place + 1);
    let selection = rows.selection.and_then(&RowSelection::from_consecutive_ranges(ranges, count));
    Ok(Rows { selection, ..rows })
}
