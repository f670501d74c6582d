//! Requests: what is sent by whom, and asking once, apart from any load.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use crate::Failure;
use crate::wrk::NUMBER;

/// The request that a proxy in front asks about, besides the token.
const ASKED_ABOUT: [(&str, &str); 3] = [
    ("X-Forwarded-Method", "GET"),
    ("X-Forwarded-Uri", "/api/orders/4711?page=2"),
    ("X-Forwarded-For", "203.0.113.7"),
];

/// What forward-auth tells about the caller.
const IDENTITY: [&str; 7] = ["user-id", "user", "email", "role", "teams", "user-type", "token-id"];

/// A request. May hold a token, so it has no `Debug`.
#[derive(Clone)]
pub struct Request {
    method: &'static str,
    /// Path and query.
    pub path: String,
    /// Names and values, besides `Host` and what belongs to the body.
    pub headers: Vec<(&'static str, String)>,
    body: String,
}

/// The answer to one.
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// All of it, header and body.
    pub bytes: Vec<u8>,
}

impl Answer {
    /// All of it as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

impl Request {
    /// GET of a path, without headers.
    pub fn get(path: impl Into<String>) -> Self {
        Self { method: "GET", path: path.into(), headers: Vec::new(), body: String::new() }
    }

    /// POST of a form or, if that is what the body begins like, of JSON.
    pub fn post(path: impl Into<String>, body: impl Into<String>) -> Self {
        let body = body.into();
        let json = body.starts_with('{');
        let kind = if json { "application/json" } else { "application/x-www-form-urlencoded" };
        let request = Self { method: "POST", path: path.into(), headers: Vec::new(), body };
        request.with("Content-Type", kind)
    }

    /// `/forward-auth` as a proxy asks.
    pub fn forward_auth(token: &str) -> Self {
        let request = Self::get("/forward-auth").bearer(token);
        ASKED_ABOUT.iter().fold(request, |request, (name, value)| request.with(name, *value))
    }

    /// `/api/user-tokens`, with another name each time. `run` is another one in each run: names are unique
    /// among the owner's tokens.
    pub fn minting(run: usize, owner: &str) -> Self {
        let body = format!(r#"{{"name":"minted-{run:06}-{NUMBER}","expires_in_days":90}}"#);
        Self::post("/api/user-tokens", body).bearer(owner)
    }

    /// One more header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// With a token.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.with("Authorization", format!("Bearer {token}"))
    }

    /// After which the connection is closed.
    #[must_use]
    pub fn closing(self) -> Self {
        self.with("Connection", "close")
    }

    /// The same to the path `/`, for servers that look at none.
    #[must_use]
    pub fn to_yardstick(self) -> Self {
        Self { path: "/".into(), ..self }
    }

    /// As it is sent over HTTP/1.1.
    pub fn text(&self, address: SocketAddr) -> String {
        let Self { method, path, headers, body } = self;
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n");
        for (name, value) in headers {
            // Writing to a string can't fail.
            let _ = write!(text, "{name}: {value}\r\n");
        }
        if !body.is_empty() {
            let _ = write!(text, "Content-Length: {}\r\n", body.len());
        }
        text + "\r\n" + body
    }

    /// Sends it on a connection of its own.
    pub fn send(&self, address: SocketAddr) -> std::io::Result<Answer> {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(self.clone().closing().text(address).as_bytes())?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        let status = bytes.get(9..12).and_then(|status| std::str::from_utf8(status).ok()?.parse().ok());
        Ok(Answer { status: status.unwrap_or_default(), bytes })
    }

    /// Sends it once and looks at the answer: a figure means nothing unless it is the right one. What
    /// forward-auth answers must have every identity header.
    pub fn expect(&self, address: SocketAddr, status: u16) -> Result<Answer, Failure> {
        let answer = self.send(address)?;
        let text = answer.text();
        let identity = |name: &&str| text.contains(&format!("\r\nx-auth-{name}: "));
        if answer.status == status && (self.path != "/forward-auth" || IDENTITY.iter().all(identity)) {
            Ok(answer)
        } else {
            Err(format!("{} {} was not answered as it should:\n{text}", self.method, self.path).into())
        }
    }
}
