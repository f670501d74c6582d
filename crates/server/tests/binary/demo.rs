//! `tokenhouse demo --exit`, as a stranger runs it.

use std::process::Command;

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
