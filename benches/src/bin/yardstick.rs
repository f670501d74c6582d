//! The least that a server can do: an empty 200, on bare hyper or on axum. Like Tokenhouse it runs on
//! tokio with a thread for each core, and sends small answers at once.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::Router;
use axum::body::Bytes;
use axum::routing::get;
use axum::serve::ListenerExt as _;
use clap::{Parser, ValueEnum};
use http_body_util::Empty;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use tokenhouse_benches::Failure;
use tokio::net::TcpListener;

/// Answer every request with an empty 200
#[derive(Parser)]
struct Arguments {
    kind: Kind,
    listen: SocketAddr,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Hyper,
    Axum,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let Arguments { kind, listen } = Arguments::parse();
    let listener = TcpListener::bind(listen).await?;
    match kind {
        Kind::Hyper => serve_hyper(listener).await,
        Kind::Axum => {
            let listener = listener.tap_io(|stream| {
                // The worst that can come of it is a slower yardstick.
                let _ = stream.set_nodelay(true);
            });
            Ok(axum::serve(listener, Router::new().route("/", get(|| async {}))).await?)
        }
    }
}

async fn serve_hyper(listener: TcpListener) -> Result<(), Failure> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)));
    }
}

async fn answer(_: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    Ok(Response::new(Empty::new()))
}
