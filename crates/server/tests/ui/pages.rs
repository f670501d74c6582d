//! Headers, escaping, colour scheme, toasts, the front door.

use http::Method;
use tokenhouse_testkit::client::{Answer, Client};
use tokenhouse_testkit::server::TestServer;

use super::showcase::{self, HOSTILE};

pub(super) const PAGES: [&str; 12] = [
    "/showcase/Admin/list",
    "/showcase/Manager/list",
    "/showcase/Member/list",
    "/showcase/Admin/empty",
    "/showcase/Admin/details",
    "/showcase/Admin/form",
    "/showcase/Admin/secret",
    "/showcase/Manager/error/403",
    "/showcase/error/500",
    "/showcase/bare",
    "/settings/nothing",
    "/nothing",
];

/// A browser on the product with the pages of the tests.
pub(super) async fn browser() -> (TestServer, Client) {
    let server = TestServer::start().await;
    let address = showcase::serve(&server).await;
    let accept = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8";
    (server, Client::new(address).with("accept", accept).on_our_page())
}

#[track_caller]
fn is_protected(answer: &Answer) {
    for (name, value) in [
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        (
            "content-security-policy",
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
             base-uri 'none'; frame-ancestors 'none'; form-action 'self'",
        ),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name} of {answer}");
        assert_eq!(answer.headers.get_all(name).iter().count(), 1, "{name} of {answer}");
    }
    assert!(answer.header("x-request-id").is_some(), "{answer}");
}

#[tokio::test]
async fn every_page_is_protected() {
    let (_server, browser) = browser().await;
    for path in PAGES {
        let answer = browser.get(path).await;
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"), "{answer}");
        is_protected(&answer);
    }
    is_protected(browser.get("/").await.expect(303));
    is_protected(browser.post_form("/settings/theme", &[("theme", "dark"), ("back", "/")]).await.expect(303));
    is_protected(browser.send(Method::DELETE, "/settings/theme", None, "").await.expect(405));
}

/// Over plain HTTP from elsewhere browsers need a referrer to say where a form of ours comes from.
#[tokio::test]
async fn what_a_page_tells_of_itself_depends_on_where_it_is_served() {
    for (public_url, policy) in [
        ("https://tokens.example.com", "no-referrer"),
        ("https://10.0.0.7:8443/below", "no-referrer"),
        ("http://127.0.0.1:8080", "no-referrer"),
        ("http://[::1]:8080", "no-referrer"),
        ("http://localhost:8080", "no-referrer"),
        ("http://tokens.example.com", "same-origin"),
        ("http://10.0.0.7:8080", "same-origin"),
        ("http://[fe80::1]:8080", "same-origin"),
    ] {
        let server = TestServer::builder().configured(|config| config.server.public_url = public_url.into());
        let server = server.start().await;
        let browser = server.client().with("accept", "text/html");
        for path in ["/login", "/settings/tokens", "/setup/none", "/nothing"] {
            let answer = browser.get(path).await;
            assert_eq!(answer.header("referrer-policy"), Some(policy), "{public_url}: {answer}");
        }
        // Everybody may know where the documentation is.
        let documentation = browser.get("/api/docs/").await;
        assert_eq!(documentation.header("referrer-policy"), Some("no-referrer"), "{public_url}");
    }
}

#[tokio::test]
async fn a_page_may_let_its_forms_lead_to_one_more_place() {
    let (_server, browser) = browser().await;
    let answer = browser.get("/showcase/hand-over").await;
    let policy = answer.expect(200).header("content-security-policy").unwrap();
    assert!(policy.ends_with("; form-action 'self' http://127.0.0.1:53682"), "{policy}");
}

#[tokio::test]
async fn an_answer_that_shows_a_secret_is_not_compressed() {
    let (_server, browser) = browser().await;
    let browser = browser.with("accept-encoding", "gzip");
    let path = "/showcase/Admin/secret";
    assert_eq!(browser.get(path).await.expect(200).header("content-encoding"), Some("gzip"));
    let shown = browser.send(Method::POST, path, None, "").await;
    assert_eq!(shown.expect(200).header("content-encoding"), None);
}

#[tokio::test]
async fn the_documentation_of_the_api_has_a_policy_of_its_own() {
    let (_server, browser) = browser().await;
    for path in ["/api/docs/", "/api/docs/swagger-ui.css"] {
        let answer = browser.get(path).await;
        let policy = answer.expect(200).header("content-security-policy").unwrap();
        assert!(
            policy.starts_with("default-src 'none';") && policy.contains("script-src 'self';"),
            "{policy}"
        );
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    }
}

#[tokio::test]
async fn names_are_shown_as_text() {
    let (_server, browser) = browser().await;
    for path in ["/showcase/Manager/list", "/showcase/Manager/form", "/showcase/Manager/error/404"] {
        let html = browser.get(path).await.text();
        assert!(
            html.contains("&#60;script&#62;alert(1)") || html.contains("&#34;&#62;&#60;img src=x"),
            "{html}"
        );
        assert!(!html.contains("<script>") && !html.contains("<img"), "{html}");
    }
    let html = browser.get("/showcase/Member/list").await.text();
    assert!(html.contains(&format!("<bdi>{}</bdi>", HOSTILE[2])), "{html}");
}

#[tokio::test]
async fn the_rail_offers_what_the_role_may_use() {
    let (_server, browser) = browser().await;
    let (tokens, people, audit) =
        ("href=\"/settings/tokens\"", "href=\"/settings/people/users\"", "href=\"/settings/audit\"");
    for (role, offered) in
        [("Member", [true, false, false]), ("Manager", [true, true, false]), ("Admin", [true, true, true])]
    {
        let html = browser.get(&format!("/showcase/{role}/list")).await.text();
        assert_eq!([tokens, people, audit].map(|link| html.contains(link)), offered, "{role}");
        assert!(
            html.contains("aria-current=\"page\"") && html.contains(&format!(">{role}</span>")),
            "{html}"
        );
    }
}

#[tokio::test]
async fn the_colour_scheme_is_kept_in_a_cookie() {
    let (_server, browser) = browser().await;
    let choose = async |theme: &str, back: &str| {
        browser.post_form("/settings/theme", &[("theme", theme), ("back", back)]).await
    };
    let chosen = choose("dark", "/showcase/Admin/list?q=a%26b").await;
    assert_eq!(chosen.expect(303).header("location"), Some("/showcase/Admin/list?q=a%26b"));
    let cookie = chosen.header("set-cookie").unwrap();
    for part in ["tokenhouse-theme=dark", "HttpOnly", "SameSite=Lax", "Secure", "Path=/", "Max-Age=31536000"]
    {
        assert!(cookie.split("; ").any(|found| found == part), "{part} in {cookie}");
    }
    let dark = browser.with("cookie", "other=1; tokenhouse-theme=dark").get("/showcase/Admin/list").await;
    assert!(dark.text().contains("<html lang=\"en\" data-theme=\"dark\">"), "{dark}");
    let unknown = browser.with("cookie", "tokenhouse-theme=\"><script>").get("/showcase/Admin/list").await;
    assert!(unknown.text().contains("<html lang=\"en\">"), "{unknown}");
    let system = choose("system", "/").await;
    assert!(system.header("set-cookie").unwrap().contains("Max-Age=0"), "{system:?}");
    assert_eq!(choose("dark", "//evil.example/").await.header("location"), Some("/"));
    choose("pink", "/").await.expect(400);
}

#[tokio::test]
async fn a_toast_is_told_once() {
    let (_server, browser) = browser().await;
    let done = browser.get("/showcase/toast").await;
    let cookie = done.expect(303).header("set-cookie").unwrap();
    let (pair, attributes) = cookie.split_once("; ").unwrap();
    assert_eq!(pair, "tokenhouse-toast=token-revoked.47");
    assert!(attributes.contains("HttpOnly") && attributes.contains("Max-Age=60"), "{cookie}");

    let shown = browser.with("cookie", pair).get("/showcase/Admin/list").await;
    let html = shown.text();
    assert!(html.contains("The token has been successfully revoked"), "{html}");
    assert!(html.contains("action=\"/settings/tokens/47/restore\""), "{html}");
    let gone = shown.header("set-cookie").unwrap();
    assert!(gone.starts_with("tokenhouse-toast=;") && gone.contains("Max-Age=0"), "{gone}");

    // Nobody can make a page say anything else, and without one nothing is set.
    let forged = browser.with("cookie", "tokenhouse-toast=<b>hi</b>").get("/showcase/Admin/list").await;
    assert!(!forged.text().contains("class=\"toast\""), "{forged}");
    let without = browser.get("/showcase/Admin/list").await;
    assert!(without.header("set-cookie").is_none() && !without.text().contains("class=\"toast\""));
}

#[tokio::test]
async fn the_front_door_leads_browsers_to_the_pages() {
    let (server, browser) = browser().await;
    assert_eq!(browser.get("/").await.expect(303).header("location"), Some("/settings/tokens"));
    let plain = server.client().get("/").await;
    assert!(plain.expect(200).text().contains("/api/docs/"));
}
