//! What is forwarded of a request and of an answer.

use std::net::SocketAddr;

use tokenhouse::proxy::Options;

use crate::support::{exchange, gateway, options, recorder, values};

const DONE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// What the upstream gets when the client sends this line and these fields.
async fn forwarded(line: &str, fields: &str) -> String {
    forwarded_with(line, fields, |options| options).await.0
}

async fn forwarded_with(
    line: &str,
    fields: &str,
    change: impl FnOnce(Options) -> Options,
) -> (String, SocketAddr) {
    let (upstream, head) = recorder(DONE).await;
    let gateway = gateway(change(options(upstream))).await;
    let request = format!("{line} HTTP/1.1\r\nHost: public.example\r\n{fields}Connection: close\r\n\r\n");
    let answer = exchange(gateway.address, request).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    (head.await.unwrap(), upstream)
}

/// What the client gets when the upstream answers so.
async fn answered(answer: &'static str) -> String {
    let (upstream, _head) = recorder(answer).await;
    let gateway = gateway(options(upstream)).await;
    exchange(gateway.address, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await
}

#[tokio::test]
async fn the_target_is_forwarded_byte_for_byte() {
    for target in [
        "/",
        "/%41/a%2fb/%2e%2e/x",
        "/a;p=1,2;q/b:@!$&'()*+=~",
        "//double///slash/./dot/../dotdot",
        "/?",
        "/?a=1&&a=2&b&=c&d=%zz+%20&e[]=1&f={x|y}",
        "/path?x=http://other.example/?y#",
        "/%F0%9F%8C%B3/%00",
    ] {
        let head = forwarded(&format!("GET {target}"), "").await;
        let sent = target.trim_end_matches('#');
        assert!(head.starts_with(&format!("GET {sent} HTTP/1.1\r\n")), "{target} became {head}");
    }
}

#[tokio::test]
async fn the_method_is_forwarded_as_it_is() {
    for method in ["DELETE", "PROPFIND", "get", "X-ODD!"] {
        let head = forwarded(&format!("{method} /"), "").await;
        assert!(head.starts_with(&format!("{method} / HTTP/1.1\r\n")), "{head}");
    }
    assert!(forwarded("OPTIONS *", "").await.starts_with("OPTIONS * HTTP/1.1\r\n"));
}

#[tokio::test]
async fn an_absolute_target_loses_scheme_and_authority() {
    let (head, upstream) =
        forwarded_with("GET http://user:word@named.example:81/p;1?q", "", |options| options).await;
    assert!(head.starts_with("GET /p;1?q HTTP/1.1\r\n"), "{head}");
    assert_eq!(values(&head, "host"), [upstream.to_string()]);
    assert_eq!(values(&head, "x-forwarded-host"), ["named.example:81"]);
    assert!(!head.contains("word"), "{head}");
}

#[tokio::test]
async fn the_upstream_is_told_where_the_request_came_from() {
    let spoofed = "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 198.51.100.2, 192.0.2.1\r\n\
                   X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\n";
    let (head, upstream) = forwarded_with("GET /", spoofed, |options| options).await;
    assert_eq!(values(&head, "host"), [upstream.to_string()]);
    assert_eq!(values(&head, "x-forwarded-for"), ["203.0.113.9, 198.51.100.2, 192.0.2.1, 127.0.0.1"]);
    assert_eq!(values(&head, "x-forwarded-proto"), ["http"]);
    assert_eq!(values(&head, "x-forwarded-host"), ["public.example"]);
}

#[tokio::test]
async fn the_upstream_is_told_who_asks_and_clients_can_not_say_it() {
    let spoofed = "X-Auth-User: evil\r\nX-Auth-User: worse\r\nx-auth-role: Admin\r\nX-AUTH-Made-Up: 1\r\n\
                   X_Auth_User: evil\r\nx-auth_token-id: 1\r\nX_AUTH-EMAIL: e\r\nX.Auth.User: evil\r\n\
                   X_Forwarded_For: 1.1.1.1\r\nX-Forwarded_Proto: https\r\n\
                   X-Authentic: kept\r\nXX-Auth-User: kept\r\n";
    let head = forwarded("GET /", spoofed).await;
    assert_eq!(values(&head, "x-auth-user"), ["local|7"]);
    assert_eq!(values(&head, "x-auth-role"), ["Member"]);
    assert_eq!(values(&head, "x-authentic"), ["kept"]);
    assert_eq!(values(&head, "xx-auth-user"), ["kept"]);
    let lower = head.to_lowercase();
    assert_eq!(lower.matches("\r\nx-auth-").count(), 2, "{head}");
    for name in ["\r\nx_", "\r\nx.", "_token", "_proto", "made-up", "evil"] {
        assert!(!lower.contains(name), "{name} in {head}");
    }
}

#[tokio::test]
async fn what_would_replace_method_or_path_is_not_forwarded() {
    let overrides = "X-HTTP-Method-Override: DELETE\r\nX_HTTP_Method_Override: DELETE\r\nX-HTTP-Method: DELETE\r\n\
                     X-Method-Override: DELETE\r\nX-Original-URL: /admin\r\nX-Rewrite-URL: /admin\r\n\
                     X-Forwarded-Uri: /admin\r\nX-Original-Method: DELETE\r\n";
    let head = forwarded("POST /query", overrides).await;
    for value in ["DELETE", "/admin"] {
        assert!(!head.contains(value), "{head}");
    }
}

#[tokio::test]
async fn connection_can_not_remove_what_the_gateway_says() {
    let attack = "Connection: x-auth-user, X-Auth-Role, x-forwarded-for, x-forwarded-proto, host\r\n";
    let head = forwarded("GET /", attack).await;
    for name in ["x-auth-user", "x-auth-role", "x-forwarded-for", "x-forwarded-proto", "host"] {
        assert_eq!(values(&head, name).len(), 1, "{name} in {head}");
    }
}

#[tokio::test]
async fn fields_of_one_hop_are_not_forwarded() {
    let fields = "Connection: keep-alive, X-Hop\r\nConnection: x-hop-2\r\nX-Hop: 1\r\nX-Hop-2: 1\r\n\
                  Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic eA==\r\n\
                  Proxy-Anything: 1\r\nProxy: http://evil.example\r\nTE: gzip, deflate;q=0.5\r\n\
                  Upgrade: websocket\r\nX-End: 1\r\n";
    let head = forwarded("GET /", fields).await;
    for name in ["connection", "x-hop", "x-hop-2", "keep-alive", "te", "upgrade", "transfer-encoding"] {
        assert!(values(&head, name).is_empty(), "{name} in {head}");
    }
    assert!(!head.to_lowercase().contains("\r\nproxy"), "{head}");
    assert_eq!(values(&head, "x-end"), ["1"]);
}

#[tokio::test]
async fn the_wish_for_trailers_is_forwarded() {
    let head = forwarded("GET /", "Connection: te\r\nTE: gzip;q=0.1, Trailers\r\n").await;
    assert_eq!(values(&head, "te"), ["trailers"]);
}

#[tokio::test]
async fn authorization_is_forwarded_only_if_configured() {
    let fields = "Authorization: Bearer secret\r\n";
    assert!(values(&forwarded("GET /", fields).await, "authorization").is_empty());
    let keep = |options| Options { forward_authorization: true, ..options };
    let (head, _) = forwarded_with("GET /", fields, keep).await;
    assert_eq!(values(&head, "authorization"), ["Bearer secret"]);
}

#[tokio::test]
async fn the_session_of_our_own_pages_is_not_forwarded() {
    let ours = "Cookie: a=b; tokenhouse=S1; c=d\r\nCookie: __Host-tokenhouse=S2;e=tokenhouse=x\r\n";
    let head = forwarded("GET /", ours).await;
    assert_eq!(values(&head, "cookie"), ["a=b; c=d; e=tokenhouse=x"], "{head}");
    let head = forwarded("GET /", "Cookie: tokenhouse=S1\r\n").await;
    assert!(values(&head, "cookie").is_empty() && !head.contains("S1"), "{head}");
    let head = forwarded("GET /", "Cookie: a=b;c=d ; tokenhouse-theme=dark\r\n").await;
    assert_eq!(values(&head, "cookie"), ["a=b;c=d ; tokenhouse-theme=dark"], "{head}");
}

#[tokio::test]
async fn repeated_and_unusual_fields_are_kept() {
    let fields =
        "Cookie: a=1\r\nX-Many: one\r\nCookie: b=2\r\nX-Many: two\r\nX-Empty:\r\nX-Latin: \u{e9}\r\n";
    let head = forwarded("GET /", fields).await;
    assert_eq!(values(&head, "cookie"), ["a=1; b=2"], "the one field that HTTP/1.1 wants in one line");
    assert_eq!(values(&head, "x-many"), ["one", "two"]);
    assert_eq!(values(&head, "x-empty"), [""]);
    assert_eq!(values(&head, "x-latin"), ["\u{e9}"]);
}

#[tokio::test]
async fn answers_lose_the_fields_of_one_hop_and_nothing_else() {
    let answer = answered(
        "HTTP/1.1 299 Quite Fine\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Authenticate: Basic\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\nSet-Cookie: a=1\r\n\
         Set-Cookie: b=2\r\nX-Auth-User: upstream\r\nServer: s\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 299 Quite Fine\r\n"), "{answer}");
    assert_eq!(values(&answer, "set-cookie"), ["a=1", "b=2"]);
    assert_eq!(values(&answer, "x-auth-user"), ["upstream"]);
    assert_eq!(values(&answer, "server"), ["s"]);
    assert_eq!(values(&answer, "connection"), ["close"], "this hop's own");
    for name in ["x-hop", "keep-alive", "proxy-authenticate", "upgrade"] {
        assert!(values(&answer, name).is_empty(), "{name} in {answer}");
    }
    assert!(answer.ends_with("2\r\nhi\r\n0\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn early_hints_are_skipped() {
    let answer = answered(
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("\r\n\r\nhi"), "{answer}");
}
