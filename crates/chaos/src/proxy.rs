//! Stands between a server and its database, and does to the connections what networks do.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

/// How many bytes are read at once.
const CHUNK: usize = 16 * 1024;

/// What happens to bytes that go one way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// They arrive.
    Open,
    /// They arrive so much later.
    Delayed(Duration),
    /// They arrive when the way is open again, as after an outage, in which TCP sends again and again.
    Closed,
}

/// What happens to all connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Link {
    /// To the database.
    pub(crate) up: Way,
    /// From the database.
    pub(crate) down: Way,
    /// Connections are reset, also new ones.
    pub(crate) is_cut: bool,
}

impl Link {
    /// Nothing happens.
    pub(crate) const OPEN: Self = Self { up: Way::Open, down: Way::Open, is_cut: false };
    /// Connections are reset.
    pub(crate) const CUT: Self = Self { is_cut: true, ..Self::OPEN };
}

/// A way to the database that can be disturbed.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    link: watch::Sender<Link>,
}

impl Proxy {
    /// Listens in front of `target`, until the runtime ends.
    pub(crate) async fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let link = watch::Sender::new(Link::OPEN);
        let followed = link.subscribe();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connect(client, target, followed.clone()));
            }
        });
        Ok(Self { address, link })
    }

    /// Disturbs all connections from now on.
    pub(crate) fn set(&self, link: Link) {
        self.link.send_replace(link);
    }
}

/// Carries one connection to its end. What it ends with, the client sees.
async fn connect(mut client: TcpStream, target: SocketAddr, mut link: watch::Receiver<Link>) {
    let Ok(mut server) = TcpStream::connect(target).await else { return reset(&client) };
    let up = link.clone();
    let down = link.clone();
    let carried = async {
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::try_join!(
            carry(from_client, to_server, up, |link| link.up),
            carry(from_server, to_client, down, |link| link.down),
        )
    };
    let ended = tokio::select! {
        ended = carried => ended.is_ok(),
        _ = link.wait_for(|link| link.is_cut) => false,
    };
    if !ended {
        reset(&client);
        reset(&server);
    }
}

/// Lets a connection end by a reset when it is dropped.
fn reset(connection: &TcpStream) {
    // It fails where the connection has been reset already.
    let _ = connection.set_zero_linger();
}

/// Carries what comes from one end to the other, and its end.
async fn carry(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut link: watch::Receiver<Link>,
    way: fn(&Link) -> Way,
) -> io::Result<()> {
    let (sender, mut under_way) = mpsc::unbounded_channel();
    let read = async {
        loop {
            let mut chunk = vec![0; CHUNK];
            let length = from.read(&mut chunk).await;
            let goes_on = length.as_ref().is_ok_and(|length| *length > 0);
            let chunk = length.map(|length| {
                chunk.truncate(length);
                chunk
            });
            if sender.send((Instant::now(), chunk)).is_err() || !goes_on {
                return Ok(());
            }
        }
    };
    let write = async {
        while let Some((read_at, chunk)) = under_way.recv().await {
            arrive(&mut link, way, read_at).await;
            match chunk? {
                end if end.is_empty() => return to.shutdown().await,
                chunk => to.write_all(&chunk).await?,
            }
        }
        Ok(())
    };
    tokio::try_join!(read, write).map(|((), ())| ())
}

/// Returns when something that was sent at that moment arrives.
async fn arrive(link: &mut watch::Receiver<Link>, way: fn(&Link) -> Way, sent: Instant) {
    loop {
        let delay = match way(&link.borrow_and_update()) {
            Way::Open => return,
            Way::Delayed(delay) => Some(delay),
            Way::Closed => None,
        };
        let due = async {
            match delay {
                Some(delay) => sleep_until(sent + delay).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => return,
            changed = link.changed() => if changed.is_err() { return },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers each byte with itself.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        address
    }

    async fn connected() -> (Proxy, TcpStream) {
        let proxy = Proxy::start(echo().await).await.unwrap();
        let stream = TcpStream::connect(proxy.address).await.unwrap();
        (proxy, stream)
    }

    #[tokio::test]
    async fn what_is_sent_arrives_and_so_does_the_end() {
        let (_proxy, mut stream) = connected().await;
        stream.write_all(b"hello").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "hello");
    }

    #[tokio::test]
    async fn a_delay_counts_once_for_all_that_is_under_way() {
        let (proxy, mut stream) = connected().await;
        let delay = Duration::from_millis(100);
        for link in
            [Link { up: Way::Delayed(delay), ..Link::OPEN }, Link { down: Way::Delayed(delay), ..Link::OPEN }]
        {
            proxy.set(link);
            let sent = Instant::now();
            stream.write_all(b"a").await.unwrap();
            assert_eq!(stream.read_u8().await.unwrap(), b'a');
            assert!(sent.elapsed() >= delay);
        }
    }

    #[tokio::test]
    async fn what_a_black_hole_took_arrives_when_it_is_gone() {
        let (proxy, mut stream) = connected().await;
        for link in [Link { up: Way::Closed, ..Link::OPEN }, Link { down: Way::Closed, ..Link::OPEN }] {
            proxy.set(link);
            stream.write_all(b"b").await.unwrap();
            let nothing = tokio::time::timeout(Duration::from_millis(50), stream.read_u8()).await;
            assert!(nothing.is_err(), "{nothing:?}");
            proxy.set(Link::OPEN);
            assert_eq!(stream.read_u8().await.unwrap(), b'b');
        }
    }

    #[tokio::test]
    async fn a_cut_resets_old_and_new_connections() {
        let (proxy, mut old) = connected().await;
        old.write_all(b"c").await.unwrap();
        assert_eq!(old.read_u8().await.unwrap(), b'c');
        proxy.set(Link::CUT);
        assert_eq!(old.read_u8().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        let mut new = TcpStream::connect(proxy.address).await.unwrap();
        assert!(new.read_u8().await.is_err());
        proxy.set(Link::OPEN);
        let mut newer = TcpStream::connect(proxy.address).await.unwrap();
        newer.write_all(b"d").await.unwrap();
        assert_eq!(newer.read_u8().await.unwrap(), b'd');
    }
}
