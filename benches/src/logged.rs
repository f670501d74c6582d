//! A log of requests that is full, made through the log's own front door: recorded, moved into files, merged.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokenhouse_core::clock::{Clock, Timestamp};
use tokenhouse_core::id::{TokenId, UserId};
use tokenhouse_core::token::TokenKind;
use tokenhouse_core::verdict::{Checkpoint, Reason, Subject};
use tokenhouse_requests::{Log, Options, Row, WhenFull};

use crate::{Failure, signed};

/// Requests of an hour, as many in each.
const HOURS_OF_DAY: usize = 24;

/// What clients call themselves.
const AGENTS: [&str; 6] = [
    "curl/8.5.0",
    "python-requests/2.32.3",
    "Go-http-client/2.0",
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "datastores-cli/4.2.1 (linux; amd64)",
    "Terraform/1.9.8 terraform-provider-datastores/2.11.0",
];

/// What a log is filled with.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    /// How many requests, spread over the days.
    pub rows: usize,
    /// How many days, which end where the filling does.
    pub days: usize,
    /// How many tokens made them. A fifth of these made four fifths.
    pub tokens: usize,
    /// Whose they are, as in a filled store.
    pub owners: usize,
}

/// Fills a log up to `end`. Each token has three addresses and one agent, one request in fifty is refused, and
/// there are some hundreds of paths.
pub async fn fill(folder: &Path, mix: Mix, end: Timestamp) -> Result<(), Failure> {
    let hours = mix.days * HOURS_OF_DAY;
    let start = end.plus_seconds(-3_600 * signed(hours));
    let clock = Clock::turned(start);
    let options = Options {
        folder: folder.to_owned(),
        url: None,
        node: "bench".into(),
        retention_days: 36_500,
        when_full: WhenFull::Wait,
        keep_one_in: 1,
    };
    let log = Log::open(options, clock.clone()).await?;
    let paths: Vec<String> = (0..400).map(path).collect();
    let mut random = StdRng::seed_from_u64(1);
    let per_hour = mix.rows / hours;
    let mut count = 0_u64;
    for hour in 0..hours {
        let begin = start.plus_seconds(3_600 * signed(hour)).micros();
        for number in 0..per_hour {
            let time = Timestamp::from_micros(begin + 3_600_000_000 / signed(per_hour) * signed(number));
            clock.turn_to(time);
            count += 1;
            let request_id = request_id(count);
            log.room().await;
            log.record(&row(&mut random, mix, time, &paths, &request_id));
        }
        clock.turn_to(Timestamp::from_micros(begin + 3_600_000_000));
        log.maintain().await?;
    }
    clock.turn_to(end.plus_seconds(300));
    log.close().await;
    Ok(())
}

fn row<'a>(
    random: &mut StdRng,
    mix: Mix,
    time: Timestamp,
    paths: &'a [String],
    request_id: &'a str,
) -> Row<'a> {
    let busy = if random.random_ratio(4, 5) { mix.tokens.div_ceil(5) } else { mix.tokens };
    let token = random.random_range(0..busy);
    let refused = random.random_ratio(1, 50);
    let place = u8::try_from(random.random_range(0..3)).unwrap_or_default();
    let [.., high, low] = token.to_be_bytes();
    Row {
        time,
        subject: Some(Subject {
            token: TokenId(signed(token + 1)),
            owner: UserId(signed(token % mix.owners + 1)),
            kind: TokenKind::Service,
        }),
        at: Checkpoint::ForwardAuth,
        method: if random.random_ratio(4, 5) { "GET" } else { "POST" },
        path: &paths[(token * 7 + random.random_range(0..8)) % paths.len()],
        refused: refused.then_some(Reason::Forbidden),
        status: Some(if refused { 403 } else { 200 }),
        ip: IpAddr::V4(Ipv4Addr::new(10, place, high, low)),
        user_agent: AGENTS[token % AGENTS.len()],
        request_id,
    }
}

fn path(number: usize) -> String {
    match number % 4 {
        0 => format!("/api/datastores/{number}"),
        1 => format!("/api/datastores/{number}/objects"),
        2 => format!("/api/projects/{number}/jobs"),
        _ => format!("/api/models/{number}/versions/latest"),
    }
}

/// As a server numbers its requests: begins alike and rises.
fn request_id(mut count: u64) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = *b"q3VxT0aZ00000000";
    for digit in text[8..].iter_mut().rev() {
        *digit = DIGITS[usize::try_from(count % 64).unwrap_or_default()];
        count /= 64;
    }
    String::from_utf8_lossy(&text).into_owned()
}
