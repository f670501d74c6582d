//! TLS, and certificates that change.

use std::time::Duration;

use axum::Router;
use axum::extract::Extension;
use axum::routing::get;
use http_body_util::BodyExt as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ProtocolVersion, RootCertStore};
use tokenhouse::listener::{Connection, Limits};
use tokenhouse::tls::{Reloading, TlsError};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use crate::support::{Certificate, Clock, Raw, Server, exchange, just_after, serve};

async fn start(tls: Reloading) -> Server {
    let routes = Router::new().route(
        "/",
        get(async |Extension(connection): Extension<Connection>| format!("secure: {}", connection.secure)),
    );
    serve(routes, Limits::default(), Some(tls)).await
}

/// The certificate and the protocols a client meets that trusts `certificate`.
async fn meet(
    server: &Server,
    certificate: &CertificateDer<'static>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> std::io::Result<(Option<ProtocolVersion>, Option<Vec<u8>>)> {
    let mut authorities = RootCertStore::empty();
    authorities.add(certificate.clone()).unwrap();
    let mut config =
        rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(authorities)
            .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
    let stream = TcpStream::connect(server.address).await?;
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let stream = TlsConnector::from(std::sync::Arc::new(config)).connect(name, stream).await?;
    let connection = stream.get_ref().1;
    Ok((connection.protocol_version(), connection.alpn_protocol().map(<[u8]>::to_vec)))
}

#[tokio::test]
async fn both_versions_of_tls_are_spoken_and_http_2_is_preferred() {
    let certificate = Certificate::make();
    let trusted = certificate.renew();
    let server = start(certificate.open()).await;
    for (offered, spoken) in [
        (&rustls::version::TLS12, ProtocolVersion::TLSv1_2),
        (&rustls::version::TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let met = meet(&server, &trusted, &[offered]).await.unwrap();
        assert_eq!(met, (Some(spoken), Some(b"h2".to_vec())));
    }
}

#[tokio::test]
async fn a_request_knows_that_it_came_over_tls() {
    let certificate = Certificate::make();
    let server = start(certificate.open()).await;
    for version in [http::Version::HTTP_11, http::Version::HTTP_2] {
        let uri = format!("https://{}/", server.address).try_into().unwrap();
        let answer = certificate.client(version).get(uri).await.unwrap();
        assert_eq!(answer.version(), version);
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "secure: true");
    }
}

#[tokio::test]
async fn what_is_not_tls_gets_no_answer() {
    let server = start(Certificate::make().open()).await;
    let answer = exchange(server.address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(!answer.contains("HTTP"), "{answer}");
}

#[tokio::test]
async fn a_handshake_that_takes_too_long_is_cut_off() {
    let (server, clock) = (start(Certificate::make().open()).await, Clock::stop());
    let mut raw = Raw::connect(server.address).await;
    clock.turn(server.address, just_after(Limits::default().handshake)).await;
    assert_eq!(raw.read_rest().await, "");
}

#[tokio::test]
async fn a_handshake_is_not_waited_for_at_shutdown() {
    let server = start(Certificate::make().open()).await;
    let mut raw = Raw::connect(server.address).await;
    // Served only once the first connection was accepted.
    exchange(server.address, "nonsense").await;
    server.stop.cancel();
    assert_eq!(raw.read_to_end().await, "");
    server.done.await.unwrap();
}

#[tokio::test]
async fn a_new_certificate_is_taken_in() {
    let certificate = Certificate::make();
    let old = certificate.renew();
    let tls = certificate.open();
    let server = start(tls.clone()).await;
    assert!(!tls.reload_if_changed().unwrap());
    assert!(meet(&server, &old, rustls::ALL_VERSIONS).await.is_ok());

    let new = certificate.renew();
    assert!(tls.reload_if_changed().unwrap());
    assert!(!tls.reload_if_changed().unwrap());
    assert!(meet(&server, &new, rustls::ALL_VERSIONS).await.is_ok());
    assert!(meet(&server, &old, rustls::ALL_VERSIONS).await.is_err());
}

#[tokio::test]
async fn a_broken_file_keeps_the_old_certificate_and_is_told_once() {
    let certificate = Certificate::make();
    let old = certificate.renew();
    let tls = certificate.open();
    let server = start(tls.clone()).await;
    let (path, pem) = (certificate.certificate(), std::fs::read(certificate.certificate()).unwrap());
    for broken in [&b""[..], b"nonsense", &pem[..pem.len() / 2]] {
        std::fs::write(&path, broken).unwrap();
        assert!(tls.reload_if_changed().is_err());
        assert!(!tls.reload_if_changed().unwrap());
        assert!(meet(&server, &old, rustls::ALL_VERSIONS).await.is_ok());
    }
    std::fs::remove_file(&path).unwrap();
    assert!(tls.reload_if_changed().is_err());
    assert!(!tls.reload_if_changed().unwrap());
    std::fs::write(&path, &pem).unwrap();
    assert!(tls.reload_if_changed().unwrap());
    assert!(meet(&server, &old, rustls::ALL_VERSIONS).await.is_ok());
}

/// As when a tool writes the two files one after the other.
#[tokio::test]
async fn a_certificate_waits_for_its_key() {
    let (certificate, next) = (Certificate::make(), Certificate::make());
    let new = next.renew();
    let tls = certificate.open();
    let server = start(tls.clone()).await;
    std::fs::copy(next.certificate(), certificate.certificate()).unwrap();
    assert!(matches!(tls.reload_if_changed(), Err(TlsError::Mismatch { .. })));
    std::fs::copy(next.key(), certificate.key()).unwrap();
    assert!(tls.reload_if_changed().unwrap());
    assert!(meet(&server, &new, rustls::ALL_VERSIONS).await.is_ok());
}

#[tokio::test]
async fn the_files_are_followed() {
    let certificate = Certificate::make();
    let tls = certificate.open();
    let (server, clock) = (start(tls.clone()).await, Clock::stop());
    let stop = CancellationToken::new();
    let following = tokio::spawn(tls.follow(Duration::from_secs(5), stop.clone()));
    let new = certificate.renew();
    clock.turn(server.address, Duration::from_secs(4)).await;
    assert!(meet(&server, &new, rustls::ALL_VERSIONS).await.is_err());
    clock.turn(server.address, Duration::from_secs(2)).await;
    while meet(&server, &new, rustls::ALL_VERSIONS).await.is_err() {}
    stop.cancel();
    following.await.unwrap();
}

#[test]
fn errors_name_the_file_and_what_is_wrong() {
    let certificate = Certificate::make();
    let (good, key) = (certificate.certificate(), certificate.key());
    let secret = std::fs::read_to_string(&key).unwrap();
    let file = |name: &str, content: &str| {
        let path = good.with_file_name(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let missing = good.with_file_name("missing.pem");
    let empty = file("empty.pem", "");
    let cut = file("cut.pem", &secret[..secret.len() / 2]);
    let odd = file("odd.pem", &secret.replace("-----BEGIN", "-----BEGAN"));
    let garbage = file("garbage.pem", "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n");
    let no_certificate = file("no.pem", "-----BEGIN CERTIFICATE-----\nc2VjcmV0\n-----END CERTIFICATE-----\n");
    let other = Certificate::make().key();
    let other = file("other.pem", &std::fs::read_to_string(other).unwrap_or_default());
    for (certificate, key, file, what) in [
        (&missing, &key, "missing.pem", "can't read"),
        (&good, &missing, "missing.pem", "can't read"),
        (&empty, &key, "empty.pem", "no certificate"),
        (&key, &key, "key.pem", "no certificate"),
        (&no_certificate, &key, "no.pem", "a certificate that can't be used"),
        (&good, &empty, "empty.pem", "no private key"),
        (&good, &good, "certificate.pem", "no private key"),
        (&good, &cut, "cut.pem", "not well-formed PEM"),
        (&good, &odd, "odd.pem", "no private key"),
        (&good, &garbage, "garbage.pem", "a private key that can't be used"),
        (&good, &other, "other.pem", "no private key"),
    ] {
        let error = Reloading::open(certificate.clone(), key.clone()).unwrap_err();
        let (shown, debugged) = (error.to_string(), format!("{error:?}"));
        assert!(shown.contains(file) && shown.contains(what), "{shown}");
        for line in secret.lines().chain(["secret", "c2VjcmV0"]) {
            let leaks = line.len() > 5 && (shown.contains(line) || debugged.contains(line));
            assert!(!leaks, "{debugged}");
        }
    }
}
