//! The same binary on PostgreSQL.

use serde_json::Value;
use tokenhouse_testkit::postgres;
use tokenhouse_testkit::process::files_of;

use crate::client::{Client, complaint, install, person, run};

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OTHER_KEY: &str = "/wECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_life_on_postgresql() {
    let mut installation = install();
    installation.configure(&format!("[store]\nurl = \"{}\"", postgres::database().await));
    let refused = installation.run(&["serve"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(complaint(&refused).contains("TOKENHOUSE_MASTER_KEY"), "{}", complaint(&refused));

    installation.set("TOKENHOUSE_MASTER_KEY", KEY);
    let root = person(&installation, "root@example.com", "Admin");
    let server = installation.serve();
    let client = Client::new(&server, &root);
    assert_eq!(client.get("/api/status").await.expect(200).json()["store"], "postgres");
    let (kept, kept_secret) = client.mint("kept").await;
    let (gone, gone_secret) = client.mint("gone").await;
    client.with_token(&gone_secret).check("GET", "/").await.expect(200);
    client.revoke(gone).await.expect(200);
    client.with_token(&gone_secret).check("GET", "/").await.expect(401);
    server.kill();

    let server = installation.serve();
    let client = Client::new(&server, &root);
    client.with_token(&kept_secret).check("GET", "/").await.expect(200);
    client.with_token(&gone_secret).check("GET", "/").await.expect(401);
    client.delete(&format!("/api/user-tokens/{gone}")).await.expect(204);
    client.get(&format!("/api/user-tokens/{gone}")).await.expect(404);
    client.get(&format!("/api/user-tokens/{kept}")).await.expect(200);
    // On PostgreSQL the command line works beside a server.
    let head = run(&installation, &["audit", "verify"]);
    assert!(head.starts_with("6:"), "{head}");
    let newest: Value = client.get("/api/activity?size=1").await.expect(200).json();
    assert_eq!(head.trim(), format!("6:{}", newest["items"][0]["hash"].as_str().unwrap()));
    person(&installation, "second@example.com", "Member");

    installation.set("TOKENHOUSE_MASTER_KEY", OTHER_KEY);
    let refused = installation.run(&["audit", "verify"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(complaint(&refused).contains("not the one this store was made with"), "{}", complaint(&refused));
    let beside: Vec<_> = files_of(&installation.data()).into_iter().map(|(name, _)| name).collect();
    assert!(
        beside.iter().all(|name| name.starts_with("requests/")),
        "only requests are recorded: {beside:?}"
    );
}
