//! Every question, asked of files and segments, has the answer that a look at each row gives.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use object_store::memory::InMemory;
use proptest::prelude::*;
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{TokenId, UserId};
use tokenhouse_core::token::TokenKind;
use tokenhouse_core::verdict::{Reason, Subject};
use tokio::time::Instant;

use super::*;
use crate::error::Error;
use crate::files::Files;
use crate::files::tests::add;
use crate::layout::Hour;
use crate::row::Request;
use crate::row::tests::row;

const NODE: &str = "gate-1";

fn far() -> Instant {
    Instant::now() + Duration::from_secs(600)
}

fn subject(token: i64) -> Subject {
    let kind = if token % 2 == 0 { TokenKind::Personal } else { TokenKind::Service };
    Subject { token: TokenId(token), owner: UserId(token / 3), kind }
}

fn segment(rows: &[Row<'_>]) -> Segment {
    let mut bytes = Vec::new();
    for row in rows {
        row.encode(&mut bytes);
    }
    Segment { node: NODE.into(), bytes: bytes.into() }
}

/// A log with some parts in files, of which the first are merged where they can be, and the others in segments.
async fn view(parts: &[Vec<Row<'_>>], merged: usize, in_files: usize) -> View {
    let files = Files::open(Arc::new(InMemory::new()), None, NODE.into()).await.unwrap();
    for (number, part) in parts[..in_files].iter().enumerate() {
        if number == merged {
            files.merge(Timestamp::from_seconds(i64::from(u32::MAX))).await.unwrap();
        }
        add(&files, number as u64, &mut part.clone()).await;
    }
    files.view().with(parts[in_files..].iter().map(|part| segment(part)).collect())
}

/// The rows of a log that meet a filter, the oldest first.
fn naive<'a>(parts: &'a [Vec<Row<'a>>], filter: &Filter) -> Vec<&'a Row<'a>> {
    let mut rows: Vec<_> = parts
        .iter()
        .flatten()
        .filter(|row| match filter.whose {
            Whose::Token(subject) => row.subject == Some(subject),
            Whose::Owner(owner) => row.subject.is_some_and(|subject| subject.owner == owner),
            Whose::Service => row.subject.is_none_or(|subject| subject.kind == TokenKind::Service),
            Whose::Everyone => true,
        })
        .filter(|row| filter.from.is_none_or(|from| row.time >= from))
        .filter(|row| filter.to.is_none_or(|to| row.time < to))
        .filter(|row| filter.allowed.is_none_or(|allowed| row.refused.is_none() == allowed))
        .filter(|row| filter.writes.is_none_or(|writes| ["POST", "DELETE"].contains(&row.method) == writes))
        .filter(|row| filter.ips.is_empty() || filter.ips.contains(&row.ip))
        .filter(|row| match filter.path.as_deref() {
            None => true,
            Some("/a*") => row.path.starts_with("/a"),
            Some(path) => row.path == path,
        })
        .collect();
    rows.sort_by_key(|row| (row.time, row.request_id));
    rows
}

async fn check(view: &View, parts: &[Vec<Row<'_>>], filter: &Filter, limit: usize) {
    let rows = naive(parts, filter);
    for order in [Order::OldestFirst, Order::NewestFirst] {
        let mut expected: Vec<_> = rows.iter().map(|row| Request::of(row, NODE)).collect();
        if order == Order::NewestFirst {
            expected.reverse();
        }
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = page(view, filter, order, after, limit, far()).await.unwrap();
            assert!(page.items.len() == limit || page.next.is_none());
            found.extend(page.items);
            assert!(found.len() <= expected.len(), "{order:?} {filter:?} gives some twice");
            after = page.next.map(|next| next.to_string().parse().unwrap());
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, expected, "{order:?} {filter:?}");
    }
    check_counts(view, &rows, filter).await;
    check_tops(view, &rows, filter).await;
}

async fn check_counts(view: &View, rows: &[&Row<'_>], filter: &Filter) {
    for per in [Per::Hour, Per::Day] {
        let mut expected: BTreeMap<Timestamp, [u64; 2]> = BTreeMap::new();
        for row in rows {
            let start = match per {
                Per::Hour => Hour::of(row.time).start(),
                Per::Day => row.time.start_of_day(),
            };
            expected.entry(start).or_default()[usize::from(row.refused.is_some())] += 1;
        }
        let found = counts(view, filter, per, far()).await.unwrap();
        let found: BTreeMap<_, _> =
            found.into_iter().map(|bucket| (bucket.start, [bucket.allowed, bucket.denied])).collect();
        assert_eq!(found, expected, "{per:?} {filter:?}");
    }
}

/// Those with most first: number, value, how many were allowed, last time.
fn ranked<V: Ord + Clone>(
    values: impl Iterator<Item = (V, bool, Timestamp)>,
) -> Vec<(V, u64, u64, Timestamp)> {
    let values: Vec<_> = values.collect();
    let different: BTreeSet<&V> = values.iter().map(|(value, _, _)| value).collect();
    let count = |value: &V| {
        let of_value = || values.iter().filter(|(other, _, _)| other == value);
        let allowed = of_value().filter(|(_, allowed, _)| *allowed).count();
        let last = of_value().map(|(_, _, time)| *time).max().unwrap();
        (value.clone(), allowed as u64, (of_value().count() - allowed) as u64, last)
    };
    let mut ranked: Vec<_> = different.into_iter().map(count).collect();
    ranked.sort_by_key(|(_, allowed, denied, _)| std::cmp::Reverse(allowed + denied));
    ranked
}

async fn check_tops(view: &View, rows: &[&Row<'_>], filter: &Filter) {
    let tops = top(view, filter, 3, far()).await.unwrap();
    let of_rows = |value: fn(&Row<'_>) -> String| {
        let mut ranked = ranked(rows.iter().map(|row| (value(row), row.refused.is_none(), row.time)));
        ranked.truncate(3);
        ranked
    };
    let found = |list: Vec<Ranked>| {
        list.into_iter().map(|one| (one.value, one.allowed, one.denied, one.last)).collect::<Vec<_>>()
    };
    assert_eq!(found(tops.ips), of_rows(|row| row.ip.to_string()), "{filter:?}");
    assert_eq!(found(tops.paths), of_rows(|row| row.path.to_owned()), "{filter:?}");
    assert_eq!(found(tops.user_agents), of_rows(|row| row.user_agent.to_owned()), "{filter:?}");
    let with_token = rows.iter().filter_map(|row| {
        let subject = row.subject?;
        Some(((subject.token, row.ip.to_string()), row.refused.is_none(), row.time))
    });
    let used = tokens(view, filter, 1_000, far()).await.unwrap();
    let used: Vec<_> = used
        .into_iter()
        .map(|one| ((one.subject.token, one.ip), one.allowed, one.denied, one.last))
        .collect();
    assert_eq!(used, ranked(with_token), "{filter:?}");
}

fn ip(number: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, number])
}

prop_compose! {
    /// Some hours with few instants, so that there are many at the same time.
    fn time()(hour in 0..4_i64, second in 0..5_i64) -> i64 {
        (hour * 3_600 - second).max(-10)
    }
}

prop_compose! {
    fn any_row()(
        seconds in time(),
        token in proptest::option::of(0..9_i64),
        method in prop::sample::select(vec!["GET", "HEAD", "POST", "DELETE"]),
        path in prop::sample::select(vec!["/", "/a", "/a/b", "/c"]),
        refused in prop::sample::select(vec![None, None, Some(Reason::Revoked), Some(Reason::Unknown)]),
        agent in prop::sample::select(vec!["", "curl", "go"]),
        from in 0..3_u8,
    ) -> Row<'static> {
        let subject = token.map(subject);
        Row { subject, method, path, refused, user_agent: agent, ip: ip(from), ..row(seconds, 1) }
    }
}

prop_compose! {
    fn any_filter()(
        whose in prop_oneof![
            (0..10_i64).prop_map(|token| Whose::Token(subject(token))),
            (0..4_i64).prop_map(|owner| Whose::Owner(UserId(owner))),
            Just(Whose::Service),
            Just(Whose::Everyone),
        ],
        from in proptest::option::weighted(0.3, time()),
        to in proptest::option::weighted(0.3, time()),
        allowed in proptest::option::weighted(0.3, any::<bool>()),
        writes in proptest::option::weighted(0.3, any::<bool>()),
        ips in prop::sample::select(vec![vec![], vec![], vec![1], vec![1, 2], vec![7]]),
        path in prop::sample::select(vec![None, None, Some("/a"), Some("/a*")]),
    ) -> Filter {
        let at = |seconds: i64| row(seconds, 1).time;
        let (from, to, path) = (from.map(at), to.map(at), path.map(str::to_owned));
        Filter { whose, from, to, allowed, writes, ips: ips.into_iter().map(ip).collect(), path }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn answers_are_those_of_every_row(
        rows in proptest::collection::vec((any_row(), 0..6_usize), 0..150),
        filters in proptest::collection::vec(any_filter(), 4),
        merged in 0..6_usize,
        in_files in 0..=6_usize,
        limit in 1..20_usize,
    ) {
        // Of one time all have a number of their own: what is told apart by nothing has no order.
        let numbers: Vec<String> = (0..rows.len()).map(|number| format!("{:03}", number * 7 % 151)).collect();
        let mut parts = vec![Vec::new(); 6];
        for ((row, part), number) in rows.into_iter().zip(&numbers) {
            parts[part].push(Row { request_id: number, ..row });
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let view = view(&parts, merged, in_files).await;
            for filter in &filters {
                check(&view, &parts, filter, limit).await;
            }
        });
    }
}

/// So many rows that they fill several pages of a file, and a token's lie in two of them.
#[tokio::test]
async fn the_rows_of_a_token_are_found_among_many() {
    let numbers: Vec<String> = (0..30_000).map(|number| format!("{number:05}")).collect();
    let rows = numbers.iter().zip(0..).map(|(number, place)| Row {
        time: Timestamp::from_micros(row(0, 1).time.micros() + place * 1_000),
        subject: (place % 17 != 0).then(|| subject(place * 7 % 101)),
        refused: (place % 5 == 0).then_some(Reason::Expired),
        request_id: number,
        ..row(0, 1)
    });
    let parts = vec![rows.collect::<Vec<_>>()];
    let view = view(&parts, 9, 1).await;
    for token in [0, 1, 27, 28, 54, 55, 56, 57, 82, 83, 84, 100, 101] {
        check(&view, &parts, &Filter::of(Whose::Token(subject(token))), 200).await;
    }
    let at = |millis: i64| Some(Timestamp::from_micros(row(0, 1).time.micros() + millis * 1_000));
    let filter = Filter { from: at(9_000), to: at(15_000), ..Filter::of(Whose::Owner(UserId(18))) };
    check(&view, &parts, &filter, 200).await;
    check(&view, &parts, &Filter { from: at(29_000), ..Filter::of(Whose::Everyone) }, 200).await;
}

#[tokio::test]
async fn where_the_time_is_over_a_list_goes_on_and_the_others_say_so() {
    let parts = vec![vec![row(0, 1), row(3_600, 1)], vec![row(7_200, 1)]];
    let view = view(&parts, 9, 1).await;
    let filter = Filter::of(Whose::Everyone);
    let over = Instant::now();
    let first = page(&view, &filter, Order::NewestFirst, None, 10, over).await.unwrap();
    assert_eq!(first.items, [Request::of(&row(7_200, 1), NODE)]);
    assert!(first.next.is_some());
    let rest = page(&view, &filter, Order::NewestFirst, first.next, 10, far()).await.unwrap();
    assert_eq!(rest.items, [Request::of(&row(3_600, 1), NODE), Request::of(&row(0, 1), NODE)]);
    let none = page(&view, &filter, Order::OldestFirst, None, 10, over).await.unwrap();
    assert_eq!(none.items, []);
    let all = page(&view, &filter, Order::OldestFirst, none.next, 10, far()).await.unwrap();
    assert_eq!(all.items.len(), 3);
    assert!(matches!(counts(&view, &filter, Per::Day, over).await, Err(Error::TooLong)));
    assert!(matches!(top(&view, &filter, 3, over).await, Err(Error::TooLong)));
    assert!(matches!(tokens(&view, &filter, 3, over).await, Err(Error::TooLong)));
}

#[tokio::test]
async fn too_many_values_are_no_answer() {
    let paths: Vec<String> = (0..20_001).map(|number| format!("/{number}")).collect();
    let rows: Vec<_> = paths.iter().map(|path| Row { path, ..row(0, 1) }).collect();
    let filter = Filter::of(Whose::Everyone);
    for in_files in [0, 1] {
        let some = view(&[rows[..20_000].to_vec()], 9, in_files).await;
        assert_eq!(top(&some, &filter, 3, far()).await.unwrap().paths[1].value, "/1");
        let all = view(std::slice::from_ref(&rows), 9, in_files).await;
        assert!(matches!(top(&all, &filter, 3, far()).await, Err(Error::TooMuch)));
    }
}

#[tokio::test]
async fn a_file_that_is_gone_means_to_ask_again() {
    use object_store::{ObjectStore, ObjectStoreExt};
    let store = Arc::new(InMemory::new());
    let files = Files::open(Arc::clone(&store) as Arc<dyn ObjectStore>, None, NODE.into()).await.unwrap();
    add(&files, 1, &mut [row(0, 1)]).await;
    let view = files.view().with(Vec::new());
    store.delete(&view.files(&Filter::of(Whose::Everyone))[0].path).await.unwrap();
    let answer = counts(&view, &Filter::of(Whose::Everyone), Per::Hour, far()).await;
    assert!(matches!(answer, Err(Error::Moved)));
}

/// What a question holds in memory at most while it is answered on this thread.
fn held(answer: impl Future<Output = ()>) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    allocation_counter::measure(|| runtime.block_on(answer)).bytes_max
}

/// A text of 8 KiB is nothing in a file that has it a thousand times, but not where it was read.
#[test]
fn the_longest_texts_take_no_more_memory_than_a_question_may() {
    const MEGABYTE: u64 = 1024 * 1024;
    let texts: Vec<String> = (0..20).map(|number| format!("/{number:02}{}", "x".repeat(8_188))).collect();
    let long = |number: i64| {
        let text: &str = &texts[usize::try_from(number % 20).unwrap()];
        Row { path: text, user_agent: text, ..row(number / 4, 1) }
    };
    let parts: Vec<Vec<Row<'_>>> =
        (0..8).map(|part| (0..1_000).map(|number| long(part * 1_000 + number)).collect()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    // The eighth part stays by itself, the first seven become one file.
    let merged = runtime.block_on(view(&parts, 7, 8));
    assert_eq!(merged.files(&Filter::of(Whose::Everyone)).len(), 2);
    let newest = runtime.block_on(view(&parts, 9, 0));
    let everyone = || Filter::of(Whose::Everyone);
    // Of what is listed there are 8 MB, and of files a batch besides.
    for (view, most_listed) in [(&merged, 40 * MEGABYTE), (&newest, 16 * MEGABYTE)] {
        let ranked = held(async {
            assert_eq!(top(view, &everyone(), 30, far()).await.unwrap().paths.len(), 20);
        });
        assert!(ranked < 40 * MEGABYTE, "ranking takes {ranked} bytes");
        let counted = held(async {
            let filter = Filter { path: Some(texts[3].clone()), ..everyone() };
            assert_eq!(counts(view, &filter, Per::Day, far()).await.unwrap()[0].allowed, 400);
        });
        assert!(counted < 40 * MEGABYTE, "looking for a path takes {counted} bytes");
        let listed = held(async {
            let found = page(view, &everyone(), Order::NewestFirst, None, 500, far()).await.unwrap();
            assert_eq!(found.items.len(), 500);
        });
        assert!(listed < most_listed, "listing takes {listed} bytes");
    }
}
