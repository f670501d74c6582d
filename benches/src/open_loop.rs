//! Load at a fixed rate, however long answers take. Each time counts from the moment when the request was
//! due, so a server that stalls is not spared the requests that it kept waiting.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, yield_now};

use crate::Failure;
use crate::report::nearest_rank;
use crate::request::Request;
use crate::wrk::CONNECTIONS;

/// The whole answer, which must have no body, has to fit.
const ANSWER: usize = 4096;

/// What one run gave.
#[derive(Clone, Debug)]
pub struct Delays(Vec<Duration>);

impl Delays {
    /// So much of all, 0.99 for 99 of 100, came within this many microseconds.
    pub fn percentile_micros(&self, share: f64) -> f64 {
        nearest_rank(&self.0, share).map_or(f64::NAN, |delay| delay.as_secs_f64() * 1e6)
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
    let mut delays = Vec::new();
    while let Some(sent) = senders.join_next().await {
        delays.append(&mut sent??);
    }
    delays.sort_unstable();
    Ok(Delays(delays))
}

async fn send(
    address: SocketAddr,
    text: &str,
    first: Instant,
    every: Duration,
    end: Instant,
) -> Result<Vec<Duration>, Failure> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut delays, mut due, mut answer) = (Vec::new(), first, [0; ANSWER]);
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
        delays.push(due.elapsed());
        due += every;
    }
    Ok(delays)
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
        let delays = Delays((1..=200).map(Duration::from_micros).collect());
        assert_eq!(
            [0.0, 0.5, 0.99, 1.0].map(|share| delays.percentile_micros(share)),
            [1.0, 100.0, 198.0, 200.0]
        );
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
        let delays = send(address, "GET", first, every, now).await.unwrap();
        assert_eq!(delays.len(), 10);
        let late = |(number, delay): (u32, &Duration)| *delay >= every * (10 - number);
        assert!((0..).zip(&delays).all(late), "{delays:?}");
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
