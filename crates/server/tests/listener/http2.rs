//! HTTP/2, byte for byte.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokenhouse::listener::Limits;
use tokio::io::AsyncReadExt as _;

use crate::support::{Clock, Raw, Server, just_after, serve};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;

const IDLE: Duration = Duration::from_secs(100);
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// A frame (RFC 9113, section 4.1).
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// `GET /` with `END_STREAM` and `END_HEADERS`; `:authority` is `a`.
fn request(stream: u32) -> Vec<u8> {
    frame(HEADERS, 0x5, stream, &[0x82, 0x84, 0x86, 0x41, 0x01, b'a'])
}

async fn start() -> Server {
    let limits = Limits { streams: 5, idle: IDLE, keep_alive: KEEP_ALIVE, ..Limits::default() };
    let routes = Router::new().route("/", get(async || "hello"));
    serve(routes, limits, None).await
}

/// A connection whose client has said hello.
async fn connect(server: &Server) -> Raw {
    let mut raw = Raw::connect(server.address).await;
    raw.send([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &frame(SETTINGS, 0, 0, &[])].concat()).await;
    raw
}

impl Raw {
    async fn frame(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).await.ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// Answers the next PING.
    async fn pong(&mut self) {
        let ping = self.next(PING).await.unwrap();
        self.send(frame(PING, 1, 0, &ping.payload)).await;
    }

    /// The next frame of a kind; PINGs on the way are answered.
    async fn next(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let got = self.frame().await?;
            if got.kind == kind {
                return Some(got);
            }
            if got.kind == PING && got.flags == 0 {
                self.send(frame(PING, 1, 0, &got.payload)).await;
            }
        }
    }
}

#[tokio::test]
async fn the_settings_bound_streams_and_headers() {
    let server = start().await;
    let settings = connect(&server).await.next(SETTINGS).await.unwrap();
    let value = |id: u16| {
        let mut entries = settings.payload.chunks_exact(6);
        let entry = entries.find(|entry| entry[..2] == id.to_be_bytes())?;
        Some(u32::from_be_bytes([entry[2], entry[3], entry[4], entry[5]]))
    };
    assert_eq!(value(3), Some(5), "SETTINGS_MAX_CONCURRENT_STREAMS");
    assert_eq!(value(6), Some(32 * 1024), "SETTINGS_MAX_HEADER_LIST_SIZE");
}

/// CVE-2023-44487.
#[tokio::test]
async fn streams_that_are_opened_and_reset_at_once_end_the_connection() {
    let server = start().await;
    let mut raw = connect(&server).await;
    let cancel = 8_u32.to_be_bytes();
    let attack: Vec<u8> = (0..1000)
        .map(|n| 2 * n + 1)
        .flat_map(|stream| [request(stream), frame(RST_STREAM, 0, stream, &cancel)].concat())
        .collect();
    let _reset = tokio::io::AsyncWriteExt::write_all(&mut raw.0, &attack).await;
    let goodbye = raw.next(GOAWAY).await.unwrap();
    let enhance_your_calm = 11_u32;
    assert_eq!(goodbye.payload[4..8], enhance_your_calm.to_be_bytes());
}

#[tokio::test]
async fn a_header_that_goes_on_forever_ends_the_connection() {
    let server = start().await;
    let mut raw = connect(&server).await;
    let mut attack = frame(HEADERS, 0, 1, &[0x82]);
    for _ in 0..1000 {
        // A literal field without indexing, "x: " and 1,000 times "x".
        let field = [&[0x00, 0x01, b'x', 0x7f, 0xe9, 0x06][..], &[b'x'; 1000]].concat();
        attack.extend(frame(9, 0, 1, &field));
    }
    let _reset = tokio::io::AsyncWriteExt::write_all(&mut raw.0, &attack).await;
    while raw.frame().await.is_some() {}
}

#[tokio::test]
async fn an_idle_connection_is_said_good_bye_to() {
    let (server, clock) = (start().await, Clock::stop());
    let mut raw = connect(&server).await;
    for stream in [1, 3] {
        raw.send(request(stream)).await;
        let answer = raw.next(DATA).await.unwrap();
        assert_eq!((answer.stream, answer.payload), (stream, b"hello".to_vec()));
        for _ in 0..3 {
            // A PING that is answered is no request, and no beginning of one.
            clock.turn(server.address, just_after(KEEP_ALIVE)).await;
            raw.pong().await;
        }
    }
    clock.turn(server.address, just_after(IDLE.saturating_sub(3 * just_after(KEEP_ALIVE)))).await;
    let open_end = raw.next(GOAWAY).await.unwrap();
    assert_eq!(open_end.payload[4..8], [0; 4], "no error");
    let end = raw.next(GOAWAY).await.unwrap();
    assert_eq!(end.payload[..8], [0, 0, 0, 3, 0, 0, 0, 0], "the last request was the second, no error");
    assert!(raw.frame().await.is_none());
}

#[tokio::test]
async fn a_connection_without_a_request_is_cut_off() {
    let (server, clock) = (start().await, Clock::stop());
    let mut raw = connect(&server).await;
    clock.turn(server.address, just_after(Limits::default().header)).await;
    assert!(raw.next(GOAWAY).await.is_none());
}

#[tokio::test]
async fn a_client_that_does_not_answer_a_ping_is_gone() {
    let (server, clock) = (start().await, Clock::stop());
    let mut raw = connect(&server).await;
    raw.send(request(1)).await;
    raw.next(DATA).await.unwrap();
    for _ in 0..2 {
        clock.turn(server.address, just_after(KEEP_ALIVE)).await;
    }
    while raw.frame().await.is_some() {}
}
