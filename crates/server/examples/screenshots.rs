//! Pictures of the pages, to be looked at: `cargo run -p tokenhouse --example screenshots -- FOLDER`.
//! Needs Debian's chromium-headless-shell. Each page at 1280 and 390 px, light and dark. Names of pages after the folder
//! choose among them; without any argument the pages are served until they are stopped.
#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

use std::path::PathBuf;
use std::process::{Command, Stdio};

use tokenhouse_testkit::server::TestServer;

#[path = "../tests/ui/showcase.rs"]
mod showcase;

const PAGES: [(&str, &str); 11] = [
    ("list", "/showcase/Admin/list"),
    ("toast", "/showcase/toast"),
    ("member", "/showcase/Member/list"),
    ("empty", "/showcase/Admin/empty"),
    ("details", "/showcase/Admin/details"),
    ("form", "/showcase/Admin/form"),
    ("secret", "/showcase/Admin/secret"),
    ("sign-in", "/showcase/bare"),
    ("error", "/showcase/Manager/error/403"),
    ("error-bare", "/showcase/error/500"),
    ("documentation", "/api/docs/"),
];

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let server = TestServer::start().await;
    let address = showcase::serve(&server).await;
    let Some(folder) = arguments.next().map(PathBuf::from) else {
        for (_, path) in PAGES {
            println!("http://{address}{path}");
        }
        return std::future::pending().await;
    };
    let wanted: Vec<String> = arguments.collect();
    std::fs::create_dir_all(&folder).expect("the folder can be made");
    for (name, path) in PAGES {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| wanted == name) {
            continue;
        }
        for (width, height) in [(1280, 900), (390, 1400)] {
            for dark in [false, true] {
                let scheme = if dark { "dark" } else { "light" };
                let picture = folder.join(format!("{name}-{width}-{scheme}.png"));
                let profile = tempfile::tempdir().expect("a folder for the profile");
                let mut browser = Command::new("chromium-headless-shell");
                browser
                    .args(["--headless", "--no-sandbox", "--hide-scrollbars", "--enable-logging=stderr"])
                    .arg("--virtual-time-budget=3000")
                    .arg(format!("--user-data-dir={}", profile.path().display()))
                    .arg(format!("--window-size={width},{height}"))
                    .arg(format!("--screenshot={}", picture.display()))
                    .arg(format!("http://{address}{path}"))
                    .stdin(Stdio::null());
                if dark {
                    browser.arg("--blink-settings=preferredColorScheme=0");
                }
                let output = browser.output().expect("chromium runs");
                let said = String::from_utf8_lossy(&output.stderr);
                said.lines()
                    .filter(|line| line.contains("CONSOLE"))
                    .for_each(|line| println!("{name}: {line}"));
            }
        }
    }
}
