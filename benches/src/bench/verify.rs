//! What the accept path costs in process: reading a token, finding it, the whole check, alone and
//! with changes going in at the same time.
#![allow(clippy::expect_used, reason = "criterion takes no errors")]

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion};
use tokenhouse_benches::in_process::Sampling;
use tokenhouse_benches::{Failure, NOW, Population, USE, codec, mint, owner, put_token};
use tokenhouse_core::verdict::{self, Scope};

/// What a check costs in process
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many tokens there are; 10,000,000 need about 3 GiB and a minute before the first figure
    #[arg(long, value_delimiter = ',', default_value = "1000,1000000")]
    tokens: Vec<usize>,
    #[command(flatten)]
    sampling: Sampling,
}

const READERS: usize = 2;
const CHANGES_PER_SECOND: u32 = 1_000;

/// Uses after which the notes about their networks are taken. There is room for more.
const TAKEN_AT_A_TIME: usize = 100_000;

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut criterion = arguments.sampling.criterion();
    form(&mut criterion)?;
    for tokens in arguments.tokens {
        let population = Population::new(tokens)?;
        use_once(&population);
        verify_one_by_one(&mut criterion, &population, tokens);
        verify_under_changes(&mut criterion, &population, tokens);
    }
    Ok(())
}

fn form(criterion: &mut Criterion) -> Result<(), Failure> {
    let codec = codec()?;
    criterion.bench_function("mint", |bencher| bencher.iter(|| mint(&codec, black_box(7), NOW)));
    let (text, _) = mint(&codec, 7, NOW);
    criterion.bench_function("read", |bencher| {
        bencher.iter(|| codec.read(black_box(text.expose().as_bytes())).is_ok());
    });
    Ok(())
}

fn verify_one_by_one(criterion: &mut Criterion, population: &Population, tokens: usize) {
    let Population { codec, index, hashes, .. } = population;
    criterion.bench_with_input(BenchmarkId::new("find", tokens), &tokens, |bencher, _| {
        let mut next = hashes.iter().cycle();
        bencher.iter(|| next.next().map(|hash| index.find(hash, |found| (found.token, found.owner))));
    });
    criterion.bench_with_input(BenchmarkId::new("check", tokens), &tokens, |bencher, _| {
        let mut next = population.texts().cycle();
        bencher.iter(|| next.next().map(|text| verdict::check(codec, index, text, Scope::Api, USE)));
    });
}

/// Uses each token once: a first use costs more than those that come after, because its network is noted, too. A
/// server takes these notes every few seconds; where nobody does, each check would look for room again.
fn use_once(population: &Population) {
    let Population { codec, index, .. } = population;
    for (number, text) in population.texts().enumerate() {
        assert!(verdict::check(codec, index, text, Scope::Api, USE).is_ok(), "token {number}");
        if number % TAKEN_AT_A_TIME == 0 {
            index.take_elsewhere();
        }
    }
    index.take_elsewhere();
}

/// The time of one check as each of two readers sees it, while tokens and owners change.
fn verify_under_changes(criterion: &mut Criterion, population: &Population, tokens: usize) {
    let id = BenchmarkId::new("check, two readers, 1,000 changes/s", tokens);
    criterion.bench_with_input(id, &tokens, |bencher, _| {
        bencher.iter_custom(|iterations| {
            let over = AtomicBool::new(false);
            thread::scope(|scope| {
                let writer = scope.spawn(|| change(population, &over));
                let readers: Vec<_> = (0..READERS)
                    .map(|reader| scope.spawn(move || read(population, reader, iterations)))
                    .collect();
                let spent = readers.into_iter().map(|reader| reader.join().expect("a reader"));
                let total: Duration = spent.sum();
                over.store(true, Ordering::Relaxed);
                writer.join().expect("the writer");
                total / u32::try_from(READERS).expect("few readers")
            })
        });
    });
}

/// Readers start at different tokens, so that they don't warm the caches for each other.
fn read(population: &Population, reader: usize, iterations: u64) -> Duration {
    let start = population.hashes.len() / READERS * reader;
    let mut next = population.texts().cycle();
    next.by_ref().take(start).for_each(drop);
    let started = Instant::now();
    for _ in 0..iterations {
        let text = next.next().expect("an endless cycle");
        black_box(verdict::check(&population.codec, &population.index, text, Scope::Api, USE).is_ok());
    }
    started.elapsed()
}

/// Replaces a token and, every tenth time, an owner.
fn change(population: &Population, over: &AtomicBool) {
    let every = Duration::from_secs(1) / CHANGES_PER_SECOND;
    let started = Instant::now();
    let mut due = Duration::ZERO;
    for (number, hash) in population.hashes.iter().enumerate().cycle() {
        if over.load(Ordering::Relaxed) {
            return;
        }
        put_token(&population.index, hash, number, population.owners);
        if number % 10 == 0 {
            population.index.put_owner(owner(number % population.owners));
        }
        due += every;
        thread::sleep(due.saturating_sub(started.elapsed()));
    }
}
