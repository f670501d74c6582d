//! `tokenhouse demo`, as a stranger runs it.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use crate::client::{http, install};

#[test]
fn the_story_comes_out_as_told_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_tokenhouse"))
        .args(["demo", "--exit"])
        .current_dir(folder.path())
        .env("TMPDIR", folder.path())
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let steps: Vec<&str> = told.lines().filter(|line| line.starts_with("  ok  ")).collect();
    let statuses: Vec<&str> = steps.iter().filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert!(output.status.success(), "{steps:#?}");
    // Used, revoked, restored; demoted, deactivated; made, rotated, the old one revoked and deleted.
    let expected =
        "200 201 200 200 401 200 200 200 403 200 204 401 201 201 201 200 200 200 401 200 204 404 200";
    assert_eq!(statuses.join(" "), expected);
    assert!(told.contains("Every step was as told."));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_link_lets_its_person_in_by_way_of_a_password() {
    let installation = install();
    let folder = installation.file("").display().to_string();
    let mut demo = installation.command(&["demo"]);
    let mut demo = demo.env("TMPDIR", folder).stdout(Stdio::piped()).spawn().unwrap();
    let output = BufReader::new(demo.stdout.take().unwrap()).lines().map(Result::unwrap);
    let told: Vec<String> = output.take_while(|line| !line.starts_with("Still serving")).collect();
    let browser = http().build().unwrap();
    let mut seen = Vec::new();
    for line in told.iter().filter(|line| line.contains("/invite/")) {
        let link = line.split_whitespace().last().unwrap();
        let origin = link.split_once("/invite/").unwrap().0;
        let opened = browser.get(link).send().await.unwrap();
        assert_eq!(opened.status(), 200);
        let chosen =
            browser.post(link).header("origin", origin).form(&[("password", "correct horse battery")]);
        let chosen = chosen.send().await.unwrap();
        assert_eq!(chosen.status(), 303);
        let cookie = chosen.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap();
        let page = browser.get(format!("{origin}/settings/tokens")).header("cookie", cookie).send().await;
        let page = page.unwrap().text().await.unwrap();
        let person = line.split("  ").map(str::trim).filter(|part| !part.is_empty());
        seen.push(person.take(2).map(str::to_owned).collect::<Vec<_>>().join(", "));
        assert!(page.contains(&format!("Your account: {}", seen.last().unwrap())), "{seen:?}");
        assert_eq!(browser.get(link).send().await.unwrap().status(), 404, "it opens once");
    }
    assert_eq!(seen, ["Ada Admin, Admin", "Mona Manager, Manager", "Mia Member, Member"]);
    demo.kill().unwrap();
    demo.wait().unwrap();
}
