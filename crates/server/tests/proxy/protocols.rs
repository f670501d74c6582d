//! HTTP/1.1 and HTTP/2, plain and over TLS, on both sides.

use axum::extract::Request;
use axum::{Router, routing::post};
use http::Version;
use http_body_util::BodyExt as _;
use tokenhouse::listener::Limits;
use tokenhouse::proxy::Proxy;

use crate::support::{
    Certificate, client, gateway, gateway_routes, http2_client, options, serve, tls_options, upstream, uri,
};

/// Tells what it gets: version, scheme as the gateway tells it, host and body.
fn tell() -> Router {
    Router::new().route(
        "/tell",
        post(async |request: Request| {
            let (parts, body) = request.into_parts();
            let field = |name: &str| parts.headers[name].to_str().unwrap().to_owned();
            let told =
                format!("{:?} {} {}", parts.version, field("x-forwarded-proto"), field("x-forwarded-host"));
            let body = body.collect().await.unwrap().to_bytes();
            format!("{told} {}", String::from_utf8_lossy(&body))
        }),
    )
}

fn request(uri: http::Uri) -> http::Request<axum::body::Body> {
    http::Request::post(uri).body("hello".into()).unwrap()
}

#[tokio::test]
async fn either_version_comes_in_without_tls() {
    let gateway = gateway(options(upstream(tell()).await.0)).await;
    for (client, version) in [(client(), Version::HTTP_11), (http2_client(), Version::HTTP_2)] {
        let answer = client.request(request(uri(gateway.address, "/tell"))).await.unwrap();
        assert_eq!(answer.version(), version);
        let told = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(told, format!("HTTP/1.1 http {} hello", gateway.address));
    }
}

#[tokio::test]
async fn either_version_comes_in_over_tls() {
    let certificate = Certificate::make();
    let proxy = Proxy::new(options(upstream(tell()).await.0)).unwrap();
    let gateway = serve(gateway_routes(proxy), Limits::default(), Some(certificate.open())).await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let uri = format!("https://{}/tell", gateway.address).try_into().unwrap();
        let answer = certificate.client(version).request(request(uri)).await.unwrap();
        assert_eq!(answer.version(), version);
        let told = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(told, format!("HTTP/1.1 https {} hello", gateway.address));
    }
}

#[tokio::test]
async fn http_2_goes_out_where_tls_negotiates_it() {
    let certificate = Certificate::make();
    let upstream = serve(tell(), Limits::default(), Some(certificate.open())).await;
    let proxy = Proxy::trusting(certificate.authorities(), tls_options(upstream.address)).unwrap();
    let gateway = serve(gateway_routes(proxy), Limits::default(), None).await;
    for client in [client(), http2_client()] {
        let answer = client.request(request(uri(gateway.address, "/tell"))).await.unwrap();
        let told = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(told, format!("HTTP/2.0 http {} hello", gateway.address));
    }
}

#[tokio::test]
async fn an_upstream_of_an_unknown_authority_is_unreachable() {
    let upstream = serve(tell(), Limits::default(), Some(Certificate::make().open())).await;
    let gateway = gateway(tls_options(upstream.address)).await;
    let answer = client().request(request(uri(gateway.address, "/tell"))).await.unwrap();
    assert_eq!(answer.status(), 502);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_requests_at_once_each_get_their_own_answer() {
    let gateway = gateway(options(upstream(tell()).await.0)).await;
    for client in [client(), http2_client()] {
        let mut answers = tokio::task::JoinSet::new();
        for round in 0..100 {
            let (client, uri) = (client.clone(), uri(gateway.address, "/tell"));
            answers.spawn(async move {
                let body = format!("number {round}");
                let request = http::Request::post(uri).body(body.clone().into()).unwrap();
                let told = client.request(request).await.unwrap().into_body().collect().await.unwrap();
                assert!(told.to_bytes().ends_with(body.as_bytes()));
            });
        }
        answers.join_all().await;
    }
}
