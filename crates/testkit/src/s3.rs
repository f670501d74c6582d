//! A server that speaks S3 (moto, from `PyPI`), with one bucket. It forgets everything when it ends.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Stdio};

use tempfile::TempDir;

use crate::process::{PATIENCE, tool, until};

/// What a line of its output with its address begins with.
const RUNNING: &str = " * Running on ";

/// The bucket.
pub const BUCKET: &str = "requests";

/// A running server. Killed when dropped.
#[derive(Debug)]
pub struct S3 {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// `http` or `https`, with a certificate that nobody has signed.
    scheme: &'static str,
    _folder: TempDir,
}

impl S3 {
    /// Starts one that speaks plain HTTP, with an empty bucket. It ends with the calling thread.
    ///
    /// # Panics
    /// If `cargo xtask install` hasn't installed it, or it doesn't start.
    pub fn start() -> Self {
        let s3 = Self::run("http", &[]);
        s3.request("PUT", "");
        s3
    }

    /// Starts one that speaks HTTPS, without a bucket.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn with_tls() -> Self {
        Self::run("https", &["--ssl"])
    }

    fn run(scheme: &'static str, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the S3 server");
        let output = folder.path().join("output");
        let file = fs::File::create(&output).expect("a file for its output");
        let mut command = tool("moto_server");
        command.args(["--host", "127.0.0.1", "--port", "0"]).args(more);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        let child = command.spawn().expect("`setpriv` runs");
        let address = until("the S3 server listens (`cargo xtask install` installs it)", || {
            let said = fs::read_to_string(&output).expect("its output");
            let url = said.lines().find_map(|line| line.strip_prefix(RUNNING))?;
            url.strip_prefix(scheme)?.strip_prefix("://")?.trim().parse().ok()
        });
        Self { child, address, scheme, _folder: folder }
    }

    /// The variables with which clients find it at this address, which may be that of something in between.
    pub fn variables(&self, address: SocketAddr) -> Vec<(String, String)> {
        let endpoint = format!("{}://{address}", self.scheme);
        let variables = [
            ("AWS_ENDPOINT_URL", &*endpoint),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "tests"),
            ("AWS_SECRET_ACCESS_KEY", "tests"),
            ("AWS_ALLOW_HTTP", "true"),
        ];
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    /// The names of all objects in the bucket.
    ///
    /// # Panics
    /// If it doesn't answer.
    pub fn names(&self) -> Vec<String> {
        let listed = self.request("GET", "?list-type=2");
        let names = listed.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next());
        names.map(str::to_owned).collect()
    }

    fn request(&self, method: &str, query: &str) -> String {
        let mut stream = TcpStream::connect(self.address).expect("the S3 server accepts connections");
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        let address = self.address;
        write!(stream, "{method} /{BUCKET}{query} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .expect("it takes a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        // An error only says that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
