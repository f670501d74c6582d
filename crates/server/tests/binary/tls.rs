//! TLS: both versions of HTTP, and certificates that change while the server runs.

use std::fs;
use std::net::SocketAddr;

use http::Version;
use reqwest::Certificate;
use tokenhouse_testkit::process::{Installation, until};

use crate::client::{complaint, http, install};

/// Writes a new certificate and its key, and gives the certificate.
fn certify(installation: &Installation) -> Certificate {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    fs::write(installation.file("key.pem"), made.signing_key.serialize_pem()).unwrap();
    fs::write(installation.file("cert.pem"), made.cert.pem()).unwrap();
    Certificate::from_pem(made.cert.pem().as_bytes()).unwrap()
}

/// The version of HTTP that a new connection speaks; `None` if the server shows another certificate.
async fn version(address: SocketAddr, trusted: &Certificate, only_http1: bool) -> Option<Version> {
    let client = http().tls_certs_only([trusted.clone()]);
    let client = if only_http1 { client.http1_only() } else { client };
    let answer = client.build().unwrap().get(format!("https://{address}/api/status")).send().await.ok()?;
    assert_eq!(answer.status(), 200);
    Some(answer.version())
}

fn installation() -> Installation {
    let installation = install();
    installation.configure("[server]\ntls = { cert = \"cert.pem\", key = \"key.pem\" }");
    installation
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_followed_and_broken_ones_ignored() {
    let installation = installation();
    let first = certify(&installation);
    let server = installation.start(installation.command(&["serve"]));
    assert_eq!(version(server.address, &first, false).await, Some(Version::HTTP_2));
    assert_eq!(version(server.address, &first, true).await, Some(Version::HTTP_11));

    let second = certify(&installation);
    let shows = |trusted: &Certificate| {
        let shown = version(server.address, trusted, true);
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(shown))
    };
    until("the new certificate shows", || shows(&second));
    assert_eq!(shows(&first), None);

    fs::write(installation.file("cert.pem"), "-----BEGIN CERTIFICATE-----\nbroken\n").unwrap();
    until("the broken file is noticed", || {
        server.logged("the new certificate is not used, the old one stays", "error")
    });
    assert_eq!(version(server.address, &second, false).await, Some(Version::HTTP_2));
    let third = certify(&installation);
    until("a good certificate shows again", || shows(&third));
}

#[test]
fn a_certificate_that_cannot_be_used_stops_the_start() {
    let installation = installation();
    let refused = installation.run(&["serve"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(complaint(&refused).contains("server.tls: can't read cert.pem"), "{}", complaint(&refused));
    certify(&installation);
    let mismatched = fs::read(installation.file("key.pem")).unwrap();
    certify(&installation);
    fs::write(installation.file("key.pem"), mismatched).unwrap();
    let refused = installation.run(&["serve"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(complaint(&refused).contains("key.pem doesn't belong to"), "{}", complaint(&refused));
}
