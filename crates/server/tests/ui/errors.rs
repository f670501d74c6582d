//! Errors as pages, where a person sees them; problem documents everywhere else.

use http::Method;
use tokenhouse_testkit::server::TestServer;

use super::pages::browser;

#[tokio::test]
async fn an_error_is_a_page_with_the_number_of_the_request() {
    let (_server, browser) = browser().await;
    for status in [400, 403, 404, 409, 413, 422, 429, 500, 503] {
        for path in [format!("/showcase/error/{status}"), format!("/showcase/Admin/error/{status}")] {
            let answer = browser.get(&path).await;
            let html = answer.expect(status).text();
            assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"), "{answer}");
            let id = answer.header("x-request-id").unwrap();
            assert!(html.contains(&format!("<span class=\"mono\">{id}</span>")), "{html}");
            assert!(html.contains("<h1>") && html.contains("class=\"button primary\""), "{html}");
            assert!(!html.contains("hunter2"), "{html}");
            // Whoever is signed in stays in the frame.
            assert_eq!(html.contains("<nav class=\"rail\""), path.contains("Admin"), "{html}");
        }
    }
    let later = browser.get("/showcase/error/429").await;
    assert_eq!(later.header("retry-after"), Some("30"));
    let wrong = browser.get("/showcase/error/422").await.text();
    assert!(wrong.contains("<code>name</code>"), "{wrong}");
}

#[tokio::test]
async fn a_panic_in_a_page_is_a_page_without_its_words() {
    let (_server, browser) = browser().await;
    let answer = browser.get("/showcase/error/999").await;
    let html = answer.expect(500).text();
    assert!(html.contains("<h1>An error on our side</h1>") && !html.contains("hunter2"), "{html}");
}

#[tokio::test]
async fn an_unknown_path_is_a_page_for_browsers_and_a_problem_for_programs() {
    let (server, browser) = browser().await;
    for path in ["/nothing", "/settings/nothing", "/settings", "/login/nothing", "/%2e%2e/x"] {
        let html = browser.get(path).await.expect(404).text();
        assert!(html.contains("<h1>There is nothing here</h1>"), "{html}");
        server.client().get(path).await.problem(404);
        browser.send(Method::POST, path, None, "").await.problem(404);
    }
    for path in ["/api/nothing", "/api/users/1/x", "/scim/v1/Nothing", "/oauth/nothing", "/assets/nothing"] {
        browser.get(path).await.problem(404);
    }
    browser.get("/api/users").await.problem(401);
}

#[tokio::test]
async fn a_page_has_its_methods_and_no_others() {
    let (_server, browser) = browser().await;
    let answer = browser.get("/settings/theme").await;
    assert_eq!(answer.expect(405).header("allow"), Some("POST"));
    assert!(answer.text().contains("<h1>"), "{answer}");
}

#[tokio::test]
async fn the_gateway_answers_browsers_as_ever() {
    let server = TestServer::builder()
        .configured(|config| config.gateway.upstream = Some("http://127.0.0.1:9".parse().unwrap()))
        .start()
        .await;
    let browser = server.client().with("accept", "text/html");
    browser.get("/nothing").await.problem(401);
    let html = browser.get("/settings/nothing").await.expect(404).text();
    assert!(html.contains("<h1>There is nothing here</h1>"), "{html}");
}
