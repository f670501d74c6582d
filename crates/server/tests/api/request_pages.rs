//! What the pages show of the log of requests, and whom.

use serde_json::json;
use tokenhouse_core::people::Role;
use tokenhouse_testkit::client::{Answer, Client};
use tokenhouse_testkit::server::{Account, Bearer, TestServer};

use super::token_forms::between;
use super::{generate, set_revoked};

on_both_databases!(
    a_token_that_is_dead_and_still_tried_is_told,
    a_revoke_tells_who_used_the_token,
    requests_are_told_to_those_who_may_know,
);

/// A program at an address that calls itself something.
fn program(server: &TestServer, token: &Bearer, ip: &str, agent: &str) -> Client {
    server.as_(token).with("x-forwarded-for", ip).with("user-agent", agent)
}

/// Asks forward-auth for somebody who wants this path.
async fn wants(program: &Client, path: &str) -> Answer {
    program.with("x-forwarded-method", "GET").with("x-forwarded-uri", path).get("/forward-auth").await
}

fn of_token(id: i64) -> String {
    format!("/settings/tokens/{id}")
}

fn of_user(account: &Account) -> String {
    format!("/settings/people/users/{}", account.id)
}

/// How many requests a page lists.
fn rows(page: &Answer) -> usize {
    page.expect(200).text().matches(r#"<td data-label="Decision">"#).count()
}

async fn text(browser: &Client, path: &str) -> String {
    browser.get(path).await.expect(200).text()
}

#[tokio::test]
async fn the_page_of_a_token_sums_its_requests_up() {
    let server = TestServer::start().await;
    let mia = server.person("Mia", Role::Member).await;
    let path = of_token(mia.token_id);
    let browser = server.browser(&mia).await;
    let page = text(&browser, &path).await;
    assert!(page.contains("No request with this token in the last 7 days."), "{page}");
    assert!(text(&browser, &format!("{path}?requests=day")).await.contains("in the last 24 hours."));

    let curl = program(&server, &mia.token, "10.0.0.7", "curl/8.5");
    for _ in 0..3 {
        wants(&curl, "/orders").await.expect(200);
    }
    let other = program(&server, &mia.token, "10.0.0.8", "terraform/1.9");
    other.get("/api/users/me").await.expect(200);
    other.get("/api/users").await.expect(403);
    let page = browser.get(&path).await;
    assert_eq!(rows(&page), 5);
    let html = page.text();
    for shown in [
        "<b>4</b> allowed",
        "<b>1</b> refused",
        "Requests per day from 9 Jan 2026 to 15 Jan 2026: 4 allowed, 1 refused",
        r#"<th scope="row">15 Jan 2026</th><td class="num">4</td><td class="num">1</td>"#,
        "<bdi>GET</bdi> <bdi>/orders</bdi>",
        "<bdi>role too low</bdi>",
        r#"title="curl/8.5""#,
        &format!(r#"href="{path}/requests">All requests</a>"#),
    ] {
        assert!(html.contains(shown), "{shown}: {page}");
    }
    let addresses = between(&html, r#"id="ips""#, "</section>");
    let (first, second) = addresses.split_once("10.0.0.8").unwrap();
    assert!(first.contains("10.0.0.7") && second.contains("2 <small"), "{addresses}");
    assert!(!html.contains(r#"data-label="Token""#), "all are of this one");
    // As many bars as hours or days.
    for (window, bars) in [("day", 24), ("week", 7), ("month", 30), ("nonsense", 7)] {
        let html = text(&browser, &format!("{path}?requests={window}")).await;
        assert_eq!(html.matches(r#"class="hit""#).count(), bars, "{window}");
    }
    server.pass_days(7);
    let html = text(&server.browser(&mia).await, &path).await;
    assert!(html.contains("No request with this token in the last 7 days."), "{html}");
}

async fn requests_are_told_to_those_who_may_know(server: TestServer) {
    let people = server.people().await;
    for account in [&people.member, &people.service] {
        wants(&program(&server, &account.token, "10.0.0.7", "curl/8.5"), "/orders").await.expect(200);
    }
    let admin = server.browser(&people.admin).await;
    let manager = server.browser(&people.manager).await;
    let member = server.browser(&people.member).await;
    let link = |id: i64| format!(r#"href="{}""#, of_token(id));
    let all = |path: &str| format!("{path}/requests");

    // A personal token is its owner's alone, a service token is for Admins.
    let personal = all(&of_token(people.member.token_id));
    assert_eq!(rows(&member.get(&personal).await), 1);
    for other in [&admin, &manager] {
        other.get(&personal).await.expect(404);
    }
    let service = all(&of_token(people.service.token_id));
    assert_eq!(rows(&admin.get(&service).await), 1);
    for other in [&manager, &member] {
        other.get(&service).await.expect(404);
    }

    // Of a person's tokens nobody else is told which one it was.
    let person = of_user(&people.member);
    let own = member.get(&all(&person)).await;
    assert_eq!(rows(&own), 1);
    assert!(own.text().contains(&link(people.member.token_id)), "{own}");
    for path in [person.clone(), all(&person)] {
        let seen = admin.get(&path).await;
        assert_eq!(rows(&seen), 1, "{path}");
        let names_it = seen.text().contains(&of_token(people.member.token_id))
            || seen.text().contains("<bdi>first</bdi>");
        assert!(!names_it && !seen.text().contains(r#"data-label="Token""#), "{seen}");
    }
    manager.get(&all(&person)).await.expect(403);
    let seen = manager.get(&person).await;
    assert!(!seen.expect(200).text().contains("10.0.0.7"), "{seen}");
    let own = of_user(&people.manager);
    assert!(text(&manager, &own).await.contains("No request with any of these tokens"));

    // Those of service users, each with its token.
    let robot = of_user(&people.service);
    for path in [robot.clone(), all(&robot), "/settings/requests".to_owned()] {
        let seen = admin.get(&path).await;
        assert_eq!(rows(&seen), 1, "{path}");
        assert!(seen.text().contains(&link(people.service.token_id)), "{seen}");
    }
    manager.get(&all(&robot)).await.expect(403);
    member.get(&all(&robot)).await.expect(403);
    manager.get("/settings/requests").await.expect(403);
    for path in ["/settings/tokens/service", "/settings/audit"] {
        assert!(text(&admin, path).await.contains(r#"href="/settings/requests""#), "{path}");
    }
    let link = format!(r#"href="{}""#, all(&of_user(&people.member)));
    assert!(text(&member, "/settings/tokens").await.contains(&link));
}

#[tokio::test]
async fn the_list_is_filtered_and_read_part_by_part() {
    let server = TestServer::start().await;
    let people = server.people().await;
    let path = format!("{}/requests", of_token(people.service.token_id));
    let early = program(&server, &people.service.token, "10.0.0.7", "curl/8.5");
    for number in 0..60 {
        wants(&early, &format!("/early/{number}")).await.expect(200);
        server.clock.turn_to(server.clock.now().plus_seconds(1));
    }
    server.pass_days(2);
    let late = program(&server, &people.service.token, "2001:db8::7", "terraform/1.9");
    late.get("/api/users").await.expect(403);
    wants(&late, "/late?secret=1").await.expect(200);
    let admin = server.browser(&people.admin).await;
    for (query, count) in [
        ("from=&to=&decision=&ip=&path=", 50),
        ("from=2026-01-17", 2),
        ("to=2026-01-16", 50),
        ("from=2026-01-16&to=2026-01-16", 0),
        ("decision=denied", 1),
        ("decision=allowed&from=2026-01-16", 1),
        ("ip=2001:db8:0::7", 2),
        ("ip=10.0.0.9", 0),
        ("path=/early/5*", 11),
        ("path=/early/5", 1),
    ] {
        let page = admin.get(&format!("{path}?{query}")).await;
        assert_eq!(rows(&page), count, "{query}");
        assert_eq!(page.text().contains("No request fits"), count == 0, "{query}");
        assert!(!page.text().contains("secret=1"), "{page}");
    }
    for (query, control) in
        [("from=yesterday", "from"), ("to=2026-02-30", "to"), ("ip=x", "ip"), ("decision=x", "decision")]
    {
        let page = admin.get(&format!("{path}?{query}")).await;
        assert_eq!(page.expect(422).wrong_controls(), [control]);
    }

    // Older ones keep the filter, and lead back.
    let first = admin.get(&format!("{path}?path=%2Fearly%2F*")).await;
    assert!(first.text().contains("/early/59<") && !first.text().contains(">Newest</a>"), "{first}");
    let html = first.text();
    let (before, _) = html.split_once(r#"" rel="next">Older"#).unwrap();
    let older = before.rsplit_once(r#"href=""#).unwrap().1.replace("&#38;", "&");
    assert!(older.starts_with(&format!("{path}?path=%2Fearly%2F*&cursor=")), "{older}");
    let second = admin.get(&older).await;
    assert_eq!(rows(&second), 10);
    let html = second.text();
    assert!(html.contains("/early/0<") && !html.contains("/late") && !html.contains(">Older</a>"), "{html}");
    assert!(html.contains(&format!(r#"href="{path}?path=%2Fearly%2F*">Newest</a>"#)), "{html}");
    assert_eq!(rows(&admin.get(&format!("{path}?cursor=nonsense")).await), 50, "from the start");
}

#[tokio::test]
async fn what_hostile_clients_send_is_shown_as_text() {
    let server = TestServer::start().await;
    let mia = server.person("Mia", Role::Member).await;
    let browser = server.browser(&mia).await;
    let script = program(&server, &mia.token, "10.0.0.7", "<script>alert(1)</script>\"'>");
    wants(&script, "/<img src=x onerror=alert(1)>").await;
    wants(&script, "/a/<b>%0d%0a").await;
    let turning = program(&server, &mia.token, "10.0.0.7", "a\u{202e}b\u{2066}c");
    wants(&turning, "/turned").await.expect(200);
    for number in 0..60 {
        let long = program(&server, &mia.token, "10.0.0.7", &noise(number, 4_000));
        wants(&long, &format!("/{}", noise(number + 1_000, 8_000))).await;
    }
    let path = of_token(mia.token_id);
    for path in [format!("{path}?requests=day"), format!("{path}/requests"), format!("{path}/revoke")] {
        let page = browser.get(&path).await;
        let html = page.expect(200).text();
        assert!(!html.contains("<script>alert") && !html.contains("<img"), "{page}");
        assert!(!html.contains('\u{202e}') && !html.contains('\u{2066}'), "{page}");
        let compressed = browser.with("accept-encoding", "gzip").get(&path).await;
        assert!(compressed.body.len() <= 60 * 1024, "{path}: {} bytes", compressed.body.len());
    }
    let found = text(&browser, &format!("{path}/requests?path=/turned")).await;
    assert!(found.contains(r"a\u{202e}b\u{2066}c"), "{found}");
}

/// Letters that hardly can be compressed, each time the same.
fn noise(seed: u64, length: usize) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    let mut letter = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[(state >> 58) as usize],
        )
    };
    (0..length).map(|_| letter()).collect()
}

async fn a_token_that_is_dead_and_still_tried_is_told(server: TestServer) {
    let people = server.people().await;
    let admin = server.browser(&people.admin).await;
    let made = generate(&server, &people.admin.token, "laptop", Some(30)).await;
    let (id, secret) = (made.expect(201).id(), made.bearer());
    program(&server, &secret, "10.0.0.7", "cron").get("/api/users/me").await.expect(200);
    set_revoked(&server, &people.admin.token, id, true).await;
    for path in ["/settings/tokens".to_owned(), of_token(id)] {
        assert!(!text(&admin, &path).await.contains("still tried"), "{path}");
    }
    server.pass_days(3);
    let admin = server.browser(&people.admin).await;
    for _ in 0..2 {
        program(&server, &secret, "10.0.0.7", "cron").get("/api/users/me").await.expect(401);
    }
    server.clock.turn_to(server.clock.now().plus_seconds(12 * 60));
    for path in ["/settings/tokens".to_owned(), of_token(id)] {
        let html = text(&admin, &path).await;
        let told = between(&html, "Revoked <time", "(2 times)");
        assert!(told.contains(">3 days ago</time>, still tried <time"), "{told}");
        assert!(told.contains(r#">12 minutes ago</time> from <span class="mono">10.0.0.7</span>"#), "{told}");
    }
    set_revoked(&server, &people.admin.token, id, false).await;
    assert!(!text(&admin, &of_token(id)).await.contains("still tried"), "it works again");
    // What was tried before it was revoked again is over.
    server.clock.turn_to(server.clock.now().plus_seconds(60));
    set_revoked(&server, &people.admin.token, id, true).await;
    assert!(!text(&admin, &of_token(id)).await.contains("still tried"));

    // A service user that is deactivated.
    let robot = of_user(&people.service);
    admin.post_form(&format!("{robot}/deactivate"), &[]).await.expect(303);
    wants(&program(&server, &people.service.token, "10.0.0.8", "cron"), "/orders").await.expect(401);
    for path in ["/settings/tokens/service".to_owned(), of_token(people.service.token_id), robot] {
        let html = text(&admin, &path).await;
        assert!(
            html.contains("Owner deactivated, still tried <time") && html.contains("(once)"),
            "{path}: {html}"
        );
    }
}

async fn a_revoke_tells_who_used_the_token(server: TestServer) {
    let people = server.people().await;
    let admin = server.browser(&people.admin).await;
    let robot = &people.service;
    let dialogs =
        [format!("{}/revoke", of_token(robot.token_id)), format!("{}/revoke-tokens", of_user(robot))];
    let note = async |path: &str| text(&admin, path).await.split_once("<dialog").unwrap().1.to_owned();
    assert!(note(&dialogs[0]).await.contains("It has never been used"));
    assert!(note(&dialogs[1]).await.contains("Nobody used them in the last 24 hours"));
    for (host, count) in [(7, 4), (1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (6, 1)] {
        for _ in 0..count {
            let host = program(&server, &robot.token, &format!("10.0.0.{host}"), "curl/8.5");
            wants(&host, "/orders").await.expect(200);
        }
    }
    let refused = program(&server, &robot.token, "10.0.0.99", "curl/8.5");
    refused.get("/api/users").await.expect(403);
    server.clock.turn_to(server.clock.now().plus_seconds(120));
    for (path, object) in dialogs.iter().zip(["it", "them"]) {
        let html = note(path).await;
        let told = between(&html, "In the last 24 hours", "</ul>");
        assert!(
            told.starts_with(&format!(" <b>7 addresses</b> used {object}, and will be refused")),
            "{told}"
        );
        let first = told.split("<li>").nth(1).unwrap();
        assert!(first.contains(">10.0.0.7</span> (4 requests, last <time"), "{first}");
        assert!(
            first.contains(r#">2 minutes ago</time>)<div class="meta cut" title="curl/8.5">"#),
            "{first}"
        );
        assert_eq!(told.matches("<li>").count(), 6);
        assert!(told.contains("<li>and 2 more</li>") && !told.contains("10.0.0.99"), "{told}");
    }
    server.pass_days(1);
    let admin = server.browser(&people.admin).await;
    let html = text(&admin, &dialogs[0]).await;
    assert!(
        html.contains("Nobody used it in the last 24 hours.") && html.contains("used it <time"),
        "{html}"
    );

    // One's own, all at once.
    wants(&program(&server, &people.admin.token, "10.0.0.5", ""), "/orders").await.expect(200);
    let html = text(&admin, "/settings/tokens/revoke-all").await;
    assert!(html.contains("<b>1 address</b> used them") && html.contains("10.0.0.5"), "{html}");
}

#[tokio::test]
async fn without_a_log_nothing_is_said_of_requests() {
    let server = TestServer::builder().configured(|config| config.request_log.enabled = false).start().await;
    let ada = server.person("Ada", Role::Admin).await;
    let browser = server.browser(&ada).await;
    server.as_(&ada.token).get("/api/users/me").await.expect(200);
    let token = of_token(ada.token_id);
    let pages = ["/settings/tokens", "/settings/tokens/service", "/settings/audit", &token, &of_user(&ada)];
    for path in pages {
        let html = text(&browser, path).await;
        assert!(!html.contains("/requests") && !html.contains("equests</h2>"), "{path}: {html}");
    }
    for path in
        [format!("{token}/requests"), format!("{}/requests", of_user(&ada)), "/settings/requests".into()]
    {
        browser.get(&path).await.expect(404);
    }
    let dialog = text(&browser, &format!("{token}/revoke")).await;
    assert!(dialog.contains("and will be refused from now on") && !dialog.contains("24 hours"), "{dialog}");
    // Attempts with dead tokens are counted all the same.
    let revoked = json!({ "revoke": true });
    let made = generate(&server, &ada.token, "laptop", Some(30)).await;
    server.as_(&ada.token).put(&format!("/api/user-tokens/{}", made.id()), &revoked).await.expect(200);
    server.as_(&made.bearer()).get("/api/users/me").await.expect(401);
    assert!(text(&browser, &of_token(made.id())).await.contains("still tried"));
}
