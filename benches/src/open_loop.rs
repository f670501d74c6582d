//! Load at a fixed rate, however long answers take. Each time counts from the moment when the request was
//! due, so a server that stalls is not spared the requests that it kept waiting. Where this side stalled, because the
//! kernel gave its core to somebody else, the delays say nothing about the server and are left out.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, yield_now};

use crate::Failure;
use crate::report::nearest_rank;
use crate::request::Request;
use crate::wrk::CONNECTIONS;

/// The whole answer, which must have no body, has to fit.
const ANSWER: usize = 4096;

/// For so long, somebody else has the core of the load before that counts as a stall.
const STALL: Duration = Duration::from_micros(500);

/// What one run gave.
#[derive(Clone, Debug)]
pub struct Delays {
    /// From when a request was due until it was answered, shortest first.
    sorted: Vec<Duration>,
    /// How many were left out, because the load had stalled.
    left_out: usize,
}

/// From when until when.
type Span = (Instant, Instant);

impl Delays {
    /// Of requests, from when each was due until it was answered. Those are left out that were due in one of these
    /// stalls of the load, or in the time after it in which it sends what is overdue: as long as the stall, because it
    /// is at most half of what the server can answer. Of those that waited for the server when a stall began, nobody
    /// knows when they were answered; they count until then.
    fn new(answered: &[Span], stalls: &[Span]) -> Self {
        let delay = |(due, done): &Span| {
            let disturbed = stalls.iter().any(|(from, to)| from <= due && *due < *to + (*to - *from));
            let waited = stalls.iter().map(|(from, _)| *from).filter(|from| due < from && from < done).min();
            (!disturbed).then(|| waited.unwrap_or(*done) - *due)
        };
        let mut sorted: Vec<_> = answered.iter().filter_map(delay).collect();
        sorted.sort_unstable();
        Self { left_out: answered.len() - sorted.len(), sorted }
    }

    /// Which share of all requests was left out, because the load had stalled.
    #[allow(clippy::cast_precision_loss)]
    pub fn left_out(&self) -> f64 {
        self.left_out as f64 / (self.left_out + self.sorted.len()) as f64
    }

    /// So much of all, 0.99 for 99 of 100, came within this many microseconds.
    pub fn percentile_micros(&self, share: f64) -> f64 {
        nearest_rank(&self.sorted, share).map_or(f64::NAN, |delay| delay.as_secs_f64() * 1e6)
    }
}

/// Sends a request `per_second` times each second, for some time, spread evenly over 32 connections. Uses
/// the core of the present thread up, since timers are too coarse; the runtime must have no other thread.
///
/// # Errors
/// Also where an answer isn't 200, or has a body.
pub async fn run(
    address: SocketAddr,
    request: &Request,
    per_second: f64,
    time: Duration,
) -> Result<Delays, Failure> {
    let every = Duration::from_secs_f64(1.0 / per_second);
    let connections = u32::try_from(CONNECTIONS)?;
    // Connections are made before.
    let start = Instant::now() + Duration::from_millis(100);
    let mut senders = JoinSet::new();
    for connection in 0..connections {
        let (first, end) = (start + every * connection, start + time);
        let text = request.text(address);
        senders.spawn(async move {
            let sent = send(address, &text, first, every * connections, end).await;
            sent.map_err(|error| error.to_string())
        });
    }
    let stalls = tokio::spawn(stalls(start + time));
    let mut answered = Vec::new();
    while let Some(sent) = senders.join_next().await {
        answered.append(&mut sent??);
    }
    Ok(Delays::new(&answered, &stalls.await?))
}

/// When somebody else had the core of this thread, until `end`. What the thread did itself is no stall.
async fn stalls(end: Instant) -> Vec<Span> {
    let (mut stalls, mut last, mut last_used) = (Vec::new(), Instant::now(), time_used());
    while last < end {
        yield_now().await;
        let (now, used) = (Instant::now(), time_used());
        if (now - last).saturating_sub(used.saturating_sub(last_used)) > STALL {
            stalls.push((last, now));
        }
        (last, last_used) = (now, used);
    }
    stalls
}

/// How long this thread has run.
fn time_used() -> Duration {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(used).unwrap_or_default()
}

async fn send(
    address: SocketAddr,
    text: &str,
    first: Instant,
    every: Duration,
    end: Instant,
) -> Result<Vec<Span>, Failure> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut answered, mut due, mut answer) = (Vec::new(), first, [0; ANSWER]);
    while due < end {
        while Instant::now() < due {
            yield_now().await;
        }
        stream.write_all(text.as_bytes()).await?;
        let mut length = 0;
        while !answer[..length].ends_with(b"\r\n\r\n") {
            let read = stream.read(&mut answer[length..]).await?;
            if read == 0 {
                return Err("the connection ended, or an answer had a body".into());
            }
            length += read;
        }
        if !answer.starts_with(b"HTTP/1.1 200 ") {
            return Err(String::from_utf8_lossy(&answer[..length]).into());
        }
        answered.push((due, Instant::now()));
        due += every;
    }
    Ok(answered)
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "exact in binary")]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        let due = Instant::now();
        let answered: Vec<_> = (1..=200).map(|micros| (due, due + Duration::from_micros(micros))).collect();
        let delays = Delays::new(&answered, &[]);
        assert_eq!(
            [0.0, 0.5, 0.99, 1.0].map(|share| delays.percentile_micros(share)),
            [1.0, 100.0, 198.0, 200.0]
        );
    }

    #[test]
    fn what_a_stall_of_the_load_has_touched_is_left_out() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        // Before; into and over the stall; in it; while what is overdue is sent; after that.
        let answered = [(0, 10), (6, 11), (5, 31), (12, 13), (25, 26), (30, 31)];
        let answered = answered.map(|(due, done)| (at(due), at(done)));
        let delays = Delays::new(&answered, &[(at(10), at(20))]);
        assert_eq!(delays.sorted, [1, 4, 5, 10].map(Duration::from_millis));
        assert_eq!(delays.left_out(), 2.0 / 6.0);
    }

    #[tokio::test]
    async fn a_thread_that_did_not_run_has_stalled() {
        let watched = tokio::spawn(stalls(Instant::now() + Duration::from_millis(20)));
        yield_now().await;
        let asleep = Instant::now();
        thread::sleep(Duration::from_millis(30));
        let woken = Instant::now();
        let stalls = watched.await.unwrap();
        assert!(stalls.iter().any(|(from, to)| *from <= asleep && *to >= woken), "{stalls:?}");
    }

    /// As after a stall of a second, in which ten requests should have been sent.
    #[tokio::test]
    async fn requests_that_were_kept_waiting_count_from_when_they_were_due() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, mut request) = (listener.accept().unwrap().0, [0; ANSWER]);
            while stream.read(&mut request).unwrap() > 0 {
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            }
        });
        let (now, every) = (Instant::now(), Duration::from_millis(100));
        let first = now.checked_sub(10 * every).unwrap();
        let answered = send(address, "GET", first, every, now).await.unwrap();
        assert_eq!(answered.len(), 10);
        let late = |(number, (due, done)): (u32, &Span)| *done - *due >= every * (10 - number);
        assert!((0..).zip(&answered).all(late), "{answered:?}");
        server.join().unwrap();
    }

    #[tokio::test]
    async fn an_answer_that_is_not_200_ends_the_run() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, mut request) = (listener.accept().unwrap().0, [0; 3]);
            stream.read_exact(&mut request).unwrap();
            stream.write_all(b"HTTP/1.1 401 Unauthorized\r\n\r\n").unwrap();
        });
        let now = Instant::now();
        let first = now.checked_sub(Duration::from_millis(1)).unwrap();
        assert!(send(address, "GET", first, Duration::from_millis(1), now).await.is_err());
        server.join().unwrap();
    }
}
