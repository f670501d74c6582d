//! The least that a server can do: an empty 200, on bare hyper or on axum; and an API to stand in front
//! of. Like Tokenhouse they run on tokio with a thread for each core, and send small answers at once.

use std::convert::Infallible;
use std::future::ready;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::routing::get;
use axum::serve::ListenerExt as _;
use clap::{Parser, ValueEnum};
use http_body_util::Full;
use hyper::header::{HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokenhouse_benches::Failure;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Answer every request with 200
#[derive(Parser)]
struct Arguments {
    kind: Kind,
    listen: SocketAddr,
    /// PEM file of a certificate for TLS, which `any` alone speaks
    #[arg(long, requires = "key")]
    certificate: Option<PathBuf>,
    /// PEM file of its key
    #[arg(long)]
    key: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// Bare hyper, HTTP/1.1
    Hyper,
    /// Bare hyper, HTTP/1.1 or HTTP/2
    Any,
    /// axum
    Axum,
    /// Bare hyper with 1 KiB in the answer
    Upstream,
    /// Bare hyper with the fields of an answer of forward-auth, always the same
    Identity,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let Arguments { kind, listen, certificate, key } = Arguments::parse();
    let tls = certificate.zip(key).map(|(certificate, key)| tls(certificate, key)).transpose()?;
    let listener = TcpListener::bind(listen).await?;
    match kind {
        Kind::Hyper => serve_hyper(listener, Bytes::new()).await,
        Kind::Upstream => serve_hyper(listener, Bytes::from_static(&[b'x'; 1024])).await,
        Kind::Identity => serve_identity(listener).await,
        Kind::Any => serve_any(listener, tls).await,
        Kind::Axum => {
            let listener = listener.tap_io(|stream| {
                // The worst that can come of it is a slower yardstick.
                let _ = stream.set_nodelay(true);
            });
            Ok(axum::serve(listener, Router::new().route("/", get(|| async {}))).await?)
        }
    }
}

async fn serve_hyper(listener: TcpListener, body: Bytes) -> Result<(), Failure> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let body = body.clone();
        let service = service_fn(move |_: Request<Incoming>| answer(body.clone()));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// The fields that an answer of forward-auth has besides `date` and `content-length`.
const IDENTITY: [(HeaderName, HeaderValue); 8] = [
    (HeaderName::from_static("x-auth-user-id"), HeaderValue::from_static("100000")),
    (HeaderName::from_static("x-auth-user"), HeaderValue::from_static("local|0000000000000000000000")),
    (HeaderName::from_static("x-auth-email"), HeaderValue::from_static("person-00000000@example.com")),
    (HeaderName::from_static("x-auth-role"), HeaderValue::from_static("Member")),
    (HeaderName::from_static("x-auth-teams"), HeaderValue::from_static("Public,Research")),
    (HeaderName::from_static("x-auth-user-type"), HeaderValue::from_static("Human")),
    (HeaderName::from_static("x-auth-token-id"), HeaderValue::from_static("1000000")),
    (HeaderName::from_static("x-request-id"), HeaderValue::from_static("0123456789abcdef0123456789abcdef")),
];

async fn serve_identity(listener: TcpListener) -> Result<(), Failure> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let service = service_fn(move |request: Request<Incoming>| {
            // The memory of the request's fields is the answer's, as in the product.
            let (mut parts, _) = request.into_parts();
            parts.headers.clear();
            parts.headers.extend(IDENTITY);
            let mut response = Response::new(Full::new(Bytes::new()));
            *response.headers_mut() = parts.headers;
            ready(Ok::<_, Infallible>(response))
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn serve_any(listener: TcpListener, tls: Option<TlsAcceptor>) -> Result<(), Failure> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let tls = tls.clone();
        tokio::spawn(async move {
            let http = auto::Builder::new(TokioExecutor::new());
            let service = service_fn(|_: Request<Incoming>| answer(Bytes::new()));
            match tls {
                None => http.serve_connection(TokioIo::new(stream), service).await,
                Some(tls) => http.serve_connection(TokioIo::new(tls.accept(stream).await?), service).await,
            }
        });
    }
}

fn answer(body: Bytes) -> impl Future<Output = Result<Response<Full<Bytes>>, Infallible>> {
    ready(Ok(Response::new(Full::new(body))))
}

fn tls(certificate: PathBuf, key: PathBuf) -> Result<TlsAcceptor, Failure> {
    let chain = vec![CertificateDer::from_pem_file(certificate)?];
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    config.alpn_protocols = [&b"h2"[..], b"http/1.1"].map(<[u8]>::to_vec).into();
    Ok(TlsAcceptor::from(Arc::new(config)))
}
