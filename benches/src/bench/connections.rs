//! How much memory connections cost that stay open and are silent.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;

use serde_json::json;
use tokenhouse_benches::fill::Filled;
use tokenhouse_benches::request::Request;
use tokenhouse_benches::server::raise_file_limit;
use tokenhouse_benches::tokenhouse::{Options, Tokenhouse};
use tokenhouse_benches::{Failure, TOKENS_PER_OWNER, report};

/// How much memory connections cost that stay open and are silent
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many connections, each of which has had one answer from forward-auth
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// Folder for the figures as JSON
    #[arg(long, default_value = "bench-results")]
    results: PathBuf,
}

const TOKENS: usize = 1_000;

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { connections, results } = arguments;
    raise_file_limit()?;
    let folder = tempfile::tempdir()?;
    let filled = Filled::new(folder.path(), TOKENS, TOKENS / TOKENS_PER_OWNER).await?;
    let tokenhouse = Tokenhouse::start(&filled, Options::default())?;
    let token = filled.presented(1).next().ok_or("no token to present")?;
    let text = Request::forward_auth(&token).text(tokenhouse.address);

    // What is needed once is there after the first few.
    let mut open = (0..100).map(|_| connect(&tokenhouse, &text)).collect::<Result<Vec<_>, _>>()?;
    let (before, first) = (tokenhouse.resident_bytes()?, open.len());
    while open.len() < connections {
        open.push(connect(&tokenhouse, &text)?);
    }
    let bytes = tokenhouse.resident_bytes()?.saturating_sub(before);
    // A connection that the server had closed would cost nothing.
    open.iter_mut().try_for_each(|stream| ask(stream, &text))?;
    let each = bytes / (open.len() - first).max(1);
    println!("{} silent connections: {each} bytes for each", open.len());
    let figures = json!({ "connections": open.len(), "bytes_per_connection": each });
    report::write(&results, "connections", &figures)
}

fn connect(tokenhouse: &Tokenhouse, text: &str) -> Result<TcpStream, Failure> {
    let mut stream = TcpStream::connect(tokenhouse.address)?;
    ask(&mut stream, text)?;
    Ok(stream)
}

fn ask(stream: &mut TcpStream, text: &str) -> Result<(), Failure> {
    stream.write_all(text.as_bytes())?;
    let mut answer = [0; 4096];
    let length = stream.read(&mut answer)?;
    if answer.starts_with(b"HTTP/1.1 200 ") && answer[..length].ends_with(b"\r\n\r\n") {
        Ok(())
    } else {
        Err("a connection was not answered with 200".into())
    }
}
