//! The public conformance tester of SCIM servers (scim2-tester, from `PyPI`) finds nothing wrong.

use serde_json::json;
use tokenhouse_testkit::process::tool;

use crate::client::{Client, install, person};

/// What the tester says of a check that it holds against the server.
const AGAINST: [&str; 3] = ["ERROR", "CRITICAL", "DEVIATION"];

/// Fewer would mean that it gave up somewhere.
const FEWEST: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn the_public_tester_finds_nothing_wrong() {
    let installation = install();
    let root = person(&installation, "root@example.com", "Admin");
    let server = installation.serve();
    let client = Client::new(&server, &root);
    let wanted = json!({ "name": "directory", "scim_endpoints_only": true });
    let minted = client.post("/api/user-tokens", &wanted).await.expect(201).json();
    let token = minted["bearer_token"].as_str().unwrap().to_owned();

    let mut tester = tool("scim");
    tester.args(["--url", &format!("http://{}/scim/v2", server.address), "test", "--verbose"]);
    tester.env("SCIM_CLI_HEADERS", format!("Authorization: Bearer {token}"));
    let output = tokio::task::spawn_blocking(move || tester.output()).await.unwrap();
    let output = output.expect("`scim` is installed by `cargo xtask install`");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(!said.contains(&token));

    let checks: Vec<_> = said.lines().filter(|line| line.starts_with(char::is_uppercase)).collect();
    let wrong = said.lines().any(|line| AGAINST.iter().any(|word| line.starts_with(word)));
    assert!(!wrong, "{said}{}", String::from_utf8_lossy(&output.stderr));
    let passed = checks.iter().filter(|line| line.starts_with("SUCCESS")).count();
    assert!(passed >= FEWEST, "only {passed} checks passed:\n{said}");
}
