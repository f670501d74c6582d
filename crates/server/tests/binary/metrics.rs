//! `/metrics` is on its own address and counts.

use std::net::SocketAddr;

use crate::client::{Client, install, person};

/// The value of a metric with these labels; every line has to be one of the text format.
fn value(text: &str, metric: &str) -> u64 {
    let line = regex::Regex::new(
        r#"^(# (HELP|TYPE|UNIT) \S+ .+|# EOF|[a-zA-Z_:][a-zA-Z0-9_:]*(\{([a-z_]+="[^"]*",?)*\})? -?[0-9.]+(e-?[0-9]+)?)$"#,
    );
    let line = line.unwrap();
    assert!(text.ends_with("# EOF\n"));
    assert_eq!(text.lines().find(|text| !line.is_match(text)), None);
    let found = text.lines().find_map(|line| line.strip_prefix(metric)?.strip_prefix(' ')?.parse().ok());
    found.unwrap_or_else(|| panic!("no {metric} in {text}"))
}

async fn read(metrics: &Client) -> String {
    String::from_utf8(metrics.get("/metrics").await.expect(200).body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_on_their_own_address_and_count() {
    let installation = install();
    installation.configure("[server]\nmetrics_listen = \"127.0.0.1:0\"");
    let root = person(&installation, "root@example.com", "Admin");
    let server = installation.serve();
    let client = Client::new(&server, &root);
    let address: SocketAddr = server.logged("listening", "metrics").unwrap().parse().unwrap();
    let metrics = Client::at(address, &root).without_token();

    client.get("/metrics").await.expect(404);
    metrics.get("/api/status").await.expect(404);
    let ok = r#"tokenhouse_checks_total{at="forward_auth",outcome="ok"}"#;
    let malformed = r#"tokenhouse_checks_total{at="forward_auth",outcome="malformed"}"#;
    let answers = r#"tokenhouse_http_answers_total{status="401"}"#;
    let before = read(&metrics).await;
    assert_eq!(value(&before, "tokenhouse_tokens"), 1);
    for _ in 0..3 {
        client.check("GET", "/").await.expect(200);
    }
    client.with_token("nonsense").check("GET", "/").await.expect(401);
    client.mint("another").await;
    let after = read(&metrics).await;
    assert_eq!(value(&after, ok) - value(&before, ok), 3);
    assert_eq!(value(&after, malformed) - value(&before, malformed), 1);
    assert_eq!(value(&after, answers), 1);
    assert_eq!(value(&after, "tokenhouse_tokens"), 2);
    assert!(value(&after, "tokenhouse_applied_change") > value(&before, "tokenhouse_applied_change"));
}
