//! What pages load, and how much that is.

use std::collections::BTreeSet;

use regex::Regex;
use tokenhouse::ui::assets;

use super::pages::{PAGES, browser};

/// The most that the first load of a page may transfer, in bytes.
const BUDGET: usize = 60 * 1024;

/// What of it the frame may take, so that enough is left for a list of 25 tokens.
const FRAME_BUDGET: usize = 16 * 1024;

fn links(html: &str) -> BTreeSet<String> {
    let assets = Regex::new(r#"(?:href|src)="(/assets/[^"]+)""#).unwrap();
    assets.captures_iter(html).map(|link| link[1].to_owned()).collect()
}

#[tokio::test]
async fn assets_are_kept_for_ever_and_served_compressed_to_whoever_takes_it() {
    let (_server, browser) = browser().await;
    let compressing = browser.with("accept-encoding", "br, gzip");
    for asset in assets::ALL {
        let path = asset.path();
        let plain = browser.get(path).await;
        let packed = compressing.get(path).await;
        for answer in [&plain, &packed] {
            answer.expect(200);
            assert_eq!(answer.header("cache-control"), Some("public, max-age=31536000, immutable"), "{path}");
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
            assert_eq!(answer.header("vary"), Some("accept-encoding"), "{path}");
            assert!(answer.header("content-security-policy").is_some(), "{path}");
        }
        assert_eq!(
            (plain.header("content-encoding"), packed.header("content-encoding")),
            (None, Some("gzip"))
        );
        assert!(packed.body.len() < plain.body.len(), "{path}");
        assert_eq!(plain.header("content-type"), packed.header("content-type"));
    }
    browser.get("/assets/style.0000000000000000.css").await.problem(404);
}

#[tokio::test]
async fn every_page_is_within_the_budget() {
    let (_server, browser) = browser().await;
    let compressing = browser.with("accept-encoding", "gzip");
    for path in PAGES {
        let html = browser.get(path).await.text();
        let page = compressing.get(path).await;
        let mut sum = page.body.len();
        for link in links(&html) {
            sum += compressing.get(&link).await.expect(200).body.len();
        }
        assert!(sum <= BUDGET, "{path} loads {sum} bytes");
        if path.ends_with("/empty") {
            assert!(sum <= FRAME_BUDGET, "{path} loads {sum} bytes");
        }
        assert!(html.contains(assets::STYLE.path()), "{path}");
    }
}

#[tokio::test]
async fn a_module_is_loaded_only_where_it_is_needed() {
    let (_server, browser) = browser().await;
    for (path, asset, needed) in [
        ("/showcase/Admin/secret", &assets::SECRET, true),
        ("/showcase/Admin/list", &assets::SECRET, false),
        ("/showcase/Admin/list", &assets::FILTER, true),
        ("/showcase/Admin/form", &assets::PREVIEW, true),
        ("/showcase/bare", &assets::THEME, false),
    ] {
        let links = links(&browser.get(path).await.text());
        assert_eq!(links.contains(asset.path()), needed, "{path}");
    }
}
