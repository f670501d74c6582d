//! What stops the start says what is wrong and leaves everything as it was.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};
use tokenhouse_testkit::process::{Installation, files_of, tool};

use crate::client::{Client, complaint, install, person, run};

/// Runs a command that must fail, and gives what it said.
fn refused(installation: &Installation, arguments: &[&str]) -> String {
    let output = installation.run(arguments);
    let said = complaint(&output);
    assert!(!output.status.success() && output.status.code().is_some(), "{arguments:?} succeeded: {said}");
    assert!(output.stdout.is_empty(), "{arguments:?} printed {:?}", String::from_utf8_lossy(&output.stdout));
    assert!(!said.contains("panicked"), "{arguments:?}: {said}");
    said
}

#[track_caller]
fn says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "no `{part}` in: {said}");
    }
}

/// The names in the folder.
fn names(installation: &Installation) -> BTreeSet<OsString> {
    let entries = fs::read_dir(installation.file("")).unwrap();
    entries.map(|entry| entry.unwrap().file_name()).collect()
}

const EVERY_COMMAND: [&[&str]; 3] =
    [&["serve"], &["admin", "create", "--email", "a@example.com", "--name", "A"], &["audit", "verify"]];

#[test]
fn a_wrong_configuration_is_told_with_its_line_and_nothing_is_made() {
    for (text, parts) in [
        ("[server]\nlissten = 1\n", &["line 2", "lissten", "listen", "public_url"][..]),
        ("[sever]\n", &["line 1", "sever", "server", "store"]),
        ("\n\n[server]\nlisten = \"here\"\n", &["line 4", "address"]),
        ("[server]\npublic_url = \"ftp://x\"\n", &["line 2", "https://tokens.example.com"]),
        ("[store]\nurl = \"mysql://u:hidden@h/d\"\n", &["line 2", "sqlite://", "postgres://"]),
        ("[store]\nurl = \"sqlite://\"\n", &["line 2", "sqlite://", "postgres://"]),
        ("[policy]\nmax_lifetime_days = 366\n", &["line 2", "between 1 and 365"]),
        ("[log]\nlevel = \"loud\"\n", &["line 2", "loud", "trace"]),
        ("[gateway]\ntimeout = \"soon\"\n", &["line 2", "60s"]),
        ("[[gateway.rules]]\npath = \"/a\"\nrole = \"Root\"\n", &["line 3", "Member", "Manager", "Admin"]),
        ("[store\n", &["line 1"]),
    ] {
        let installation = install();
        fs::write(installation.file("tokenhouse.toml"), text).unwrap();
        let before = names(&installation);
        for command in EVERY_COMMAND {
            let said = refused(&installation, command);
            says(&said, parts);
            says(&said, &["tokenhouse.toml"]);
            assert!(!said.contains("hidden"), "{said}");
        }
        assert_eq!(names(&installation), before);
    }
}

#[test]
fn a_configuration_that_cannot_be_read_is_told_and_nothing_is_made() {
    let installation = install();
    fs::write(installation.file("binary.toml"), [0xff, 0xfe]).unwrap();
    let before = names(&installation);
    for file in ["missing.toml", "binary.toml", "."] {
        for command in EVERY_COMMAND {
            says(&refused(&installation, &[command, &["--config", file]].concat()), &["cannot read", file]);
        }
    }
    assert_eq!(names(&installation), before);
}

#[test]
fn a_wrong_environment_variable_is_named_and_nothing_is_made() {
    for (variable, value, parts) in [
        ("TOKENHOUSE_SERVER__LISSTEN", "x", &["listen", "public_url"][..]),
        ("TOKENHOUSE_SERVER__LISTEN", "here", &["address"]),
        ("TOKENHOUSE_POLICY__MAX_LIFETIME_DAYS", "0", &["between 1 and 365"]),
        ("TOKENHOUSE_STORE__URL", "mysql://u:hidden@h/d", &["sqlite://", "postgres://"]),
        ("TOKENHOUSE_MASTER_KEY", "hidden", &["32 bytes", "base64"]),
    ] {
        let mut installation = install();
        installation.set(variable, value);
        let before = names(&installation);
        for command in &EVERY_COMMAND[..2] {
            let said = refused(&installation, command);
            says(&said, parts);
            says(&said, &[variable]);
            assert!(!said.contains("hidden"), "{said}");
        }
        assert_eq!(names(&installation), before);
    }
}

#[test]
fn environment_variables_that_are_not_text_are_refused_only_where_they_are_ours() {
    let not_text = || OsString::from_vec(vec![b'x', 0xff]);
    for variable in ["TOKENHOUSE_MASTER_KEY", "TOKENHOUSE_SERVER__LISTEN"] {
        let installation = install();
        let before = names(&installation);
        let output = installation.command(&["serve"]).env(variable, not_text()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", complaint(&output));
        says(&complaint(&output), &[variable]);
        assert_eq!(names(&installation), before);
    }
    let installation = install();
    let mut command = installation.command(&["serve"]);
    command.env("SOMETHING_ELSE", not_text());
    installation.start(command).ready().kill();
}

/// A store that was made and left by a crash.
fn crashed() -> (Installation, String) {
    let installation = install();
    let root = person(&installation, "root@example.com", "Admin");
    installation.serve().kill();
    (installation, root)
}

#[test]
fn a_wrong_or_missing_master_key_changes_no_byte() {
    const OTHER: &str = "/wECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let wrong = "not the one this store was made with";
    let (mut installation, root) = crashed();
    let key = installation.data().join("master.key");
    let right = fs::read(&key).unwrap();
    // What SQLite shares between connections (`-shm`) holds nothing: after a crash the first one makes it anew.
    let stored = |installation: &Installation| {
        let files = files_of(&installation.data()).into_iter();
        files.filter(|(name, _)| !name.ends_with("-shm")).collect::<Vec<_>>()
    };
    let unchanged = |installation: &Installation, parts: &[&str]| {
        let before = stored(installation);
        for command in EVERY_COMMAND {
            says(&refused(installation, command), parts);
        }
        assert!(stored(installation) == before, "{parts:?}");
    };
    fs::write(&key, OTHER).unwrap();
    unchanged(&installation, &[wrong]);
    fs::write(&key, "nonsense").unwrap();
    unchanged(&installation, &["master.key", "32 bytes"]);
    fs::remove_file(&key).unwrap();
    unchanged(&installation, &["master.key", "put the file back", "TOKENHOUSE_MASTER_KEY"]);
    fs::write(&key, right).unwrap();
    installation.serve().kill();
    installation.set("TOKENHOUSE_MASTER_KEY", OTHER);
    unchanged(&installation, &[wrong]);
    installation.set("TOKENHOUSE_MASTER_KEY", fs::read_to_string(&key).unwrap().trim());
    fs::remove_file(&key).unwrap();
    let server = installation.serve();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    assert_eq!(runtime.block_on(Client::new(&server, &root).check("GET", "/")).status, 200);
    assert!(!key.exists());
}

#[test]
fn a_held_store_and_a_port_in_use_are_told() {
    let installation = install();
    person(&installation, "root@example.com", "Admin");
    let server = installation.serve();
    for command in EVERY_COMMAND {
        says(&refused(&installation, command), &["a tokenhouse server holds this store; stop it first"]);
    }
    let address = server.address.to_string();
    let other = install();
    other.configure(&format!("[server]\nlisten = \"{address}\""));
    says(&refused(&other, &["serve"]), &["cannot listen on", &address]);
    other.configure("[server]\nlisten = \"192.0.2.1:80\"");
    says(&refused(&other, &["serve"]), &["cannot listen on", "192.0.2.1:80"]);
    drop(server);
    run(&installation, &["audit", "verify"]);
}

#[test]
fn an_audit_of_nothing_is_refused_and_makes_nothing() {
    let installation = install();
    says(&refused(&installation, &["audit", "verify"]), &["there is no store yet"]);
    assert!(!installation.data().exists());
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn files_are_for_nobody_else() {
    let (installation, _) = crashed();
    assert_eq!(mode(&installation.data()), 0o700);
    for (name, _) in files_of(&installation.data()) {
        assert_eq!(mode(&installation.data().join(&name)), 0o600, "{name}");
    }
}

#[test]
fn an_account_is_made_whole_or_not_at_all() {
    let installation = install();
    let create = ["admin", "create", "--email", "ada@example.com", "--name", "Ada"];
    let before = run(&installation, &create);
    let before: Value = serde_json::from_str(&before).unwrap();
    assert_eq!(before["bearer_token"], Value::Null);
    assert_eq!(before["user"]["role"], "Admin");
    assert!(before["invite_url"].as_str().unwrap().starts_with("http://127.0.0.1:8080/invite/"));
    let head = run(&installation, &["audit", "verify"]);
    let long = "x".repeat(256);
    for (changed, parts) in [
        (&["--email", "ADA@example.com"][..], &["a user with this user name exists already"][..]),
        (&["--email", "nobody"], &["--email"]),
        (&["--name", " "], &["--name"]),
        (&["--token", " "], &["--token"]),
        (&["--token", &long], &["--token"]),
        (&["--token", "t", "--expires-in-days", "0"], &["--expires-in-days", "365"]),
        (&["--token", "t", "--expires-in-days", "366"], &["--expires-in-days", "365"]),
        (&["--expires-in-days", "3"], &["--token"]),
        (&["--role", "Root"], &["Member", "Manager", "Admin"]),
    ] {
        let fixed = ["--email", "new@example.com", "--name", "New"];
        let kept = fixed.chunks(2).filter(|pair| !changed.contains(&pair[0])).flatten();
        let arguments: Vec<&str> = ["admin", "create"].iter().chain(kept).chain(changed).copied().collect();
        says(&refused(&installation, &arguments), parts);
        assert_eq!(run(&installation, &["audit", "verify"]), head, "{changed:?} left something behind");
    }
    person(&installation, "new@example.com", "Member");
}

/// The commands that a help text lists.
fn commands(help: &str) -> Vec<&str> {
    let listed = help.split("Commands:\n").nth(1).unwrap_or_default();
    listed
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .collect()
}

fn help_of(installation: &Installation, command: &[&str], seen: &mut Vec<String>) {
    let help = run(installation, &[command, &["--help"]].concat());
    says(&help, &["Usage: tokenhouse", "--config"]);
    for inner in commands(&help).into_iter().filter(|inner| *inner != "help") {
        let inner = [command, &[inner]].concat();
        seen.push(inner.join(" "));
        help_of(installation, &inner, seen);
    }
}

#[test]
fn every_command_explains_itself() {
    let installation = install();
    let mut seen = Vec::new();
    help_of(&installation, &[], &mut seen);
    for command in ["demo", "serve", "admin create", "audit verify", "scanner-rule"] {
        assert!(seen.iter().any(|known| known == command), "{command} is not among {seen:?}");
    }
    assert_eq!(run(&installation, &["--version"]).trim(), concat!("tokenhouse ", env!("CARGO_PKG_VERSION")));
    says(&refused(&installation, &["sreve"]), &["sreve"]);
    assert_eq!(names(&installation).len(), 1, "{:?}", names(&installation));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scanner_rule_finds_our_tokens_and_no_others() {
    let installation = install();
    let root = person(&installation, "root@example.com", "Admin");
    let rules: toml::Table = toml::from_str(&run(&installation, &["scanner-rule"])).unwrap();
    let rule = &rules["rules"][0];
    let pattern = regex::Regex::new(rule["regex"].as_str().unwrap()).unwrap();
    let keyword = rule["keywords"][0].as_str().unwrap();
    let server = installation.serve();
    let client = Client::new(&server, &root);
    let mut tokens = vec![root.clone()];
    // Every remainder that base64 can have, short and long, with and without an expiry.
    for length in [3, 4, 5, 6, 100, 255] {
        let name: String = length.to_string().chars().chain("ä🪙x".chars().cycle()).take(length).collect();
        let user = json!({ "name": name, "role": "Member" });
        let user = client.post("/api/users", &user).await.expect(201).json()["id"].clone();
        for days in [Value::Null, json!(1)] {
            let wanted = json!({ "name": format!("{days}"), "user_id": user, "expires_in_days": days });
            let minted = client.post("/api/user-tokens", &wanted).await.expect(201).json();
            tokens.push(minted["bearer_token"].as_str().unwrap().to_owned());
        }
    }
    for token in &tokens {
        let leaked = format!("TOKEN=\"{token}\"\n");
        let found = pattern.find(&leaked).expect("the pattern matches").as_str();
        assert!(found == token && leaked.contains(keyword));
    }
    let (mut others, claims) = (Vec::new(), json!({ "sub": "x".repeat(60) }));
    for kid in [None, Some("key-1"), Some("ah1"), Some("TH1")] {
        let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
        header.kid = kid.map(str::to_owned);
        let other =
            jsonwebtoken::encode(&header, &claims, &jsonwebtoken::EncodingKey::from_secret(b"x")).unwrap();
        assert!(!pattern.is_match(&other), "{other}");
        others.push(other);
    }
    // A scanner has an engine of its own, and more than our rule.
    let mut found = found_by_gitleaks(&installation, &tokens, &others);
    found.sort();
    tokens.sort();
    assert!(found == tokens, "it finds {} of {}, or others", found.len(), tokens.len());
}

/// What gitleaks finds with our rule in files like those in which tokens get lost.
fn found_by_gitleaks(installation: &Installation, tokens: &[String], others: &[String]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let (rule, told, files) =
        (folder.path().join("rule.toml"), folder.path().join("told.json"), folder.path().join("files"));
    fs::write(&rule, run(installation, &["scanner-rule"])).unwrap();
    fs::create_dir(&files).unwrap();
    let forms =
        ["TOKEN=\"{}\"\n", "curl -H 'Authorization: Bearer {}' x\n", "{\"token\":\"{}\"}", "a:\n  - {}\n"];
    for (number, text) in tokens.iter().chain(others).enumerate() {
        let form = forms[number % forms.len()].replacen("{}", text, 1);
        fs::write(files.join(format!("{number}.txt")), form).unwrap();
    }
    let mut gitleaks = tool("gitleaks");
    gitleaks.arg("dir").arg(&files).arg("--config").arg(&rule).arg("--report-path").arg(&told);
    gitleaks.args(["--report-format", "json", "--no-banner", "--exit-code", "0"]);
    let output = gitleaks.output().unwrap();
    assert!(output.status.success(), "{}", complaint(&output));
    let told: Value = serde_json::from_slice(&fs::read(told).unwrap()).unwrap();
    told.as_array().unwrap().iter().map(|found| found["Secret"].as_str().unwrap().to_owned()).collect()
}
