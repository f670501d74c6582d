//! The first start: who makes the first Admin, and that nothing else learns the secrets of it.

use std::fs;

use reqwest::Method;
use tokenhouse_testkit::process::{Installation, files_of};

use crate::client::{Answer, Client, install, person};

const PASSWORD: &str = "correct horse battery staple";

/// The path of the link that run number `run` printed, if it printed one.
fn printed(installation: &Installation, run: usize) -> Option<String> {
    let out = fs::read_to_string(installation.file(&format!("server-{run}.out"))).unwrap();
    let link = out.split_whitespace().find(|word| word.contains("/setup/"))?;
    Some(link.strip_prefix("http://127.0.0.1:8080").unwrap().to_owned())
}

async fn set_up(client: &Client, path: &str) -> Answer {
    let form = [("name", "Ada"), ("email", "ada@example.com"), ("password", PASSWORD)];
    let request = client.without_token().request(Method::POST, path).form(&form);
    Client::send(request.header("sec-fetch-site", "same-origin")).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_link_is_on_standard_output_and_its_secrets_nowhere() {
    let installation = install();
    installation.configure("[log]\nlevel = \"trace\"");
    installation.serve().kill();
    let first = printed(&installation, 0).unwrap();
    let server = installation.serve();
    let link = printed(&installation, 1).unwrap();
    let client = Client::new(&server, "no token");
    set_up(&client, &first).await.expect(404);
    let signed_in = set_up(&client, &link).await.expect(303);
    let cookie = signed_in.headers["set-cookie"].to_str().unwrap();
    let secret = cookie.split(['=', ';']).nth(1).unwrap().to_owned();
    assert_eq!(secret.len(), 43);
    set_up(&client, &link).await.expect(404);
    let mut written = files_of(&installation.data());
    for run in 0..2 {
        let log = format!("server-{run}.log");
        written.push((log.clone(), fs::read(installation.file(&log)).unwrap()));
    }
    let codes = [&first, &link].map(|link| link.rsplit('/').next().unwrap().to_owned());
    for secret in [&codes[0], &codes[1], &secret, PASSWORD] {
        for (name, content) in &written {
            let found = content.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "a secret is in {name}");
        }
    }
    server.kill();
    installation.serve().kill();
    assert_eq!(printed(&installation, 2), None);
}

#[test]
fn nothing_is_offered_where_there_is_an_admin() {
    let installation = install();
    person(&installation, "max@example.com", "Manager");
    installation.serve().kill();
    assert!(printed(&installation, 0).is_some());
    person(&installation, "root@example.com", "Admin");
    installation.serve().kill();
    assert_eq!(printed(&installation, 1), None);
}
