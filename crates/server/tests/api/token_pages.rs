//! The lists of tokens, the page of one, and what is done to tokens in the browser.

use serde_json::json;
use tokenhouse::auth::guard::Call;
use tokenhouse_core::audit::Action;
use tokenhouse_core::id::UserId;
use tokenhouse_core::people::{Name, Role};
use tokenhouse_core::token::TokenHash;
use tokenhouse_store::token_lists::COUNTED;
use tokenhouse_store::tokens::{self, NewToken};
use tokenhouse_testkit::client::{Answer, Client};
use tokenhouse_testkit::server::{Bearer, TestServer};

use super::token_forms::between;
use super::{generate, head, is_accepted, set_revoked};

on_both_databases!(
    a_token_is_revoked_restored_and_deleted,
    what_was_made_with_a_token_is_revoked_along,
    a_list_is_filtered_sorted_and_paged,
);

const LIST: &str = "/settings/tokens";

/// The page that an answer to a form leads to.
async fn follow(browser: &Client, answer: &Answer) -> Answer {
    let to = answer.expect(303).header("location").unwrap();
    let cookie = answer.header("set-cookie").and_then(|cookie| cookie.split(';').next());
    let browser = cookie.map_or_else(|| browser.clone(), |cookie| browser.with("cookie", cookie));
    let page = browser.get(to).await;
    page.expect(200);
    page
}

/// The names in a list, in order.
pub(crate) fn names(answer: &Answer) -> Vec<String> {
    let html = answer.expect(200).text();
    let rows = html.split(r#"<a class="name" href="/settings/tokens/"#).skip(1);
    rows.map(|row| between(row, "<bdi>", "</bdi>").to_owned()).collect()
}

/// The entries of the menu in the row of a token.
fn menu(answer: &Answer, name: &str) -> Vec<String> {
    let html = answer.text();
    let menu = between(&html, &format!(r#"aria-label="Actions for {name}">"#), "</td>");
    let entries = menu.split("</svg>").skip(2).map(|entry| entry.split('<').next().unwrap().to_owned());
    entries.collect()
}

async fn made(server: &TestServer, with: &Bearer, name: &str, days: Option<i64>) -> (i64, Bearer) {
    let answer = generate(server, with, name, days).await;
    (answer.expect(201).id(), answer.bearer())
}

async fn a_token_is_revoked_restored_and_deleted(server: TestServer) {
    let mia = server.person("Mia", Role::Member).await;
    let browser = server.browser(&mia).await;
    let (id, secret) = made(&server, &mia.token, "deploy", Some(30)).await;
    let path = format!("{LIST}/{id}");
    assert_eq!(menu(&browser.get(LIST).await, "deploy"), ["Details", "Rotate…", "Revoke…"]);
    let dialog = browser.get(&format!("{path}/revoke")).await;
    assert!(dialog.expect(200).text().contains("It has never been used"), "{dialog}");
    server.as_(&secret).with("x-forwarded-for", "10.9.8.7").get("/api/users/me").await.expect(200);
    server.clock.turn_to(server.clock.now().plus_seconds(7_200));
    let dialog = browser.get(&format!("{path}/revoke")).await.text();
    assert!(
        dialog.contains("Revoke “\u{2068}deploy\u{2069}”?")
            && dialog.contains("last <time")
            && dialog.contains("2 hours ago</time>)")
    );
    assert!(!dialog.contains(r#"name="descendants""#), "nothing was made with it");

    // An active one isn't deleted.
    let before = head(&server).await;
    browser.post_form(&format!("{path}/delete"), &[]).await.expect(400);
    assert_eq!(browser.get(&format!("{path}/delete")).await.expect(303).header("location"), Some(&*path));
    assert_eq!(head(&server).await, before);

    let back = "?back=%2Fsettings%2Ftokens%3Fq%3Ddep";
    let revoked = browser.post_form(&format!("{path}/revoke{back}"), &[]).await;
    assert_eq!(revoked.header("location"), Some("/settings/tokens?q=dep"));
    assert!(!is_accepted(&server, &secret).await);
    let page = follow(&browser, &revoked).await;
    assert!(page.text().contains("<span>The token has been successfully revoked</span>"), "{page}");
    assert!(page.text().contains(&format!(r#"action="{path}/restore""#)), "{page}");
    assert_eq!(menu(&page, "deploy"), ["Details", "Restore", "Delete…"]);
    browser.get(&format!("{path}/rotate")).await.expect(409);

    let restored = browser.post_form(&format!("{path}/restore"), &[]).await;
    assert_eq!(restored.header("location"), Some(LIST));
    assert!(follow(&browser, &restored).await.text().contains("The token has been successfully restored"));
    assert!(is_accepted(&server, &secret).await);

    // Expired ones can't be restored, only deleted.
    browser.post_form(&format!("{path}/revoke"), &[]).await.expect(303);
    server.pass_days(30);
    let browser = server.browser(&mia).await;
    assert_eq!(menu(&browser.get(LIST).await, "deploy"), ["Details", "Delete…"]);
    let dialog = browser.get(&format!("{path}/delete")).await.text();
    assert!(dialog.contains("Delete “\u{2068}deploy\u{2069}”?") && dialog.contains("The token has expired"));
    let deleted = browser.post_form(&format!("{path}/delete?back=%2Fsettings%2Ftokens%2F{id}"), &[]).await;
    assert_eq!(deleted.header("location"), Some(LIST), "its own page is gone");
    let page = follow(&browser, &deleted).await;
    assert!(page.text().contains("User token successfully deleted"), "{page}");
    assert!(!names(&page).contains(&"deploy".to_owned()));
    for gone in ["", "/revoke", "/rotate", "/delete"] {
        browser.get(&format!("{path}{gone}")).await.expect(404);
    }
}

#[tokio::test]
async fn a_way_back_never_leads_elsewhere() {
    let server = TestServer::start().await;
    let mia = server.person("Mia", Role::Member).await;
    let browser = server.browser(&mia).await;
    let path = format!("{LIST}/{}", mia.token_id);
    for back in ["https%3A%2F%2Fevil.example", "%2F%2Fevil.example", "%2F%5Cevil.example", "javascript%3Ax"] {
        let restored = browser.post_form(&format!("{path}/restore?back={back}"), &[]).await;
        assert_eq!(restored.expect(303).header("location"), Some("/"));
        let dialog = browser.get(&format!("{path}/revoke?back={back}")).await;
        assert!(dialog.expect(200).text().contains(r#"href="/" autofocus>Cancel"#), "{dialog}");
    }
}

async fn what_was_made_with_a_token_is_revoked_along(server: TestServer) {
    let people = server.people().await;
    let browser = server.browser(&people.admin).await;
    let (id, secret) = made(&server, &people.admin.token, "stolen", Some(9)).await;
    let (_, child) = made(&server, &secret, "child", Some(9)).await;
    let service = json!({ "name": "service", "user_id": people.service.id, "expires_in_days": 9 });
    let grandchild = server.as_(&child).post("/api/user-tokens", &service).await.bearer();
    let path = format!("{LIST}/{id}/revoke");
    let dialog = browser.get(&path).await;
    assert!(dialog.text().contains("Also revoke the 2 tokens that were made with it"), "{dialog}");
    // Without the box, only the token itself.
    browser.post_form(&path, &[]).await.expect(303);
    assert!(!is_accepted(&server, &secret).await && is_accepted(&server, &child).await);
    let page = browser.get(&format!("{LIST}/{id}")).await;
    assert!(page.text().contains("Revoke what it made…"), "{page}");
    let dialog = browser.get(&format!("{LIST}/{id}/delete")).await;
    assert!(dialog.text().contains("2 tokens made with it go on working"), "{dialog}");
    let revoked = browser.post_form(&path, &[("descendants", "yes")]).await;
    let page = follow(&browser, &revoked).await;
    assert!(page.text().contains("The token and those made with it have been successfully revoked"));
    assert!(!is_accepted(&server, &child).await && !is_accepted(&server, &grandchild).await);
    // Nothing is left to ask about.
    browser.get(&path).await.expect(303);
}

#[tokio::test]
async fn all_own_tokens_are_revoked_at_once() {
    let server = TestServer::start().await;
    let people = server.people().await;
    let browser = server.browser(&people.member).await;
    let (_, other) = made(&server, &people.member.token, "other", None).await;
    assert!(browser.get(LIST).await.text().contains("Revoke all…"));
    let dialog = browser.get("/settings/tokens/revoke-all").await;
    assert!(dialog.text().contains("<b>2 tokens</b> stop working at once"), "{dialog}");
    let page = follow(&browser, &browser.post_form("/settings/tokens/revoke-all", &[]).await).await;
    assert!(page.text().contains("All your tokens have been revoked"), "{page}");
    assert!(!page.text().contains("Revoke all…"), "{page}");
    for (token, accepted) in [(&people.member.token, false), (&other, false), (&people.manager.token, true)] {
        assert_eq!(is_accepted(&server, token).await, accepted);
    }
}

async fn a_list_is_filtered_sorted_and_paged(server: TestServer) {
    let mia = server.person("Mia", Role::Member).await;
    for number in 0..120 {
        made(&server, &mia.token, &format!("job {number:03}"), Some(200 - number)).await;
    }
    let (odd, _) = made(&server, &mia.token, "100% \"<b>Ünits</b>\"", None).await;
    set_revoked(&server, &mia.token, odd, true).await;
    server.write_uses().await;
    let browser = server.browser(&mia).await;
    let list = async |query: &str| browser.get(&format!("{LIST}{query}")).await;
    let all = list("").await;
    assert_eq!(names(&all).len(), 50);
    assert_eq!(names(&all)[1], "job 119");
    for chip in ["All 122", "Active 121", "Revoked 1", "Expired 0", "1–50 of 122"] {
        assert!(all.text().contains(chip), "{chip}");
    }
    assert_eq!(names(&list("?page=3").await).len(), 22);
    assert!(list("?page=4").await.text().contains("To its first page"));
    for (query, first) in [
        ("?sort=name&q=job", "job 000"),
        ("?sort=name&sort_dir=desc&q=JOB", "job 119"),
        ("?sort=expiration", "job 119"),
        ("?sort=last_used", "first"),
        ("?sort=created&sort_dir=asc", "first"),
        ("?state=revoked", "100% &#34;&#60;b&#62;Ünits&#60;/b&#62;&#34;"),
        ("?q=%25", "100% &#34;&#60;b&#62;Ünits&#60;/b&#62;&#34;"),
        ("?q=%22%3CB%3E%C3%BC", "100% &#34;&#60;b&#62;Ünits&#60;/b&#62;&#34;"),
    ] {
        assert_eq!(names(&list(query).await)[0], first, "{query}");
    }
    // Links keep what they don't change, and what makes no sense is as if it weren't there.
    let filtered = list("?q=job&sort=name&state=active").await.text();
    assert!(filtered.contains("?q=job&#38;sort=name&#38;state=active&#38;page=2"), "{filtered}");
    assert!(filtered.contains(r#"aria-sort="ascending""#) && filtered.contains("Active 120"));
    for odd in ["?state=x&sort=y&sort_dir=z&page=-1", "?page=99999999999999999999", "?state=&page=", "?x=y"] {
        assert_eq!(names(&list(odd).await).len(), 50, "{odd}");
    }
    let nothing = list("?q=nothing-is-called-that").await.text();
    assert!(nothing.contains("No token fits") && nothing.contains(r#"href="/settings/tokens">Show all"#));
    list("?q=%00").await.expect(422);
}

#[tokio::test]
async fn a_list_shows_what_there_is_and_what_was_not_written_yet() {
    let server = TestServer::start().await.without_background().await;
    let people = server.people().await;
    let browser = server.browser(&people.admin).await;
    let page = browser.get(LIST).await.text();
    assert!(page.contains("Not used") && page.contains("Never"), "{page}");
    server.as_(&people.admin.token).get("/api/users/me").await.expect(200);
    let (scim, _) = server.scim_token(&people.admin).await;
    made(&server, &people.admin.token, "soon", Some(3)).await;
    let page = browser.get(LIST).await.text();
    assert!(page.contains("just now</time>") && page.contains(r#"from <span class="mono">127.0.0.1<"#));
    assert!(page.contains(r#"<span class="soon">"#) && page.contains(">SCIM</span>"), "{page}");
    assert!(
        browser
            .get(&format!("{LIST}/{scim}"))
            .await
            .text()
            .contains("<code>/scim/v2</code> and nothing else")
    );
    let service = browser.get("/settings/tokens/service").await;
    assert_eq!(names(&service), ["first"]);
    assert!(service.text().contains(&format!(r#"href="/settings/people/users/{}""#, people.service.id)));
    assert!(service.text().contains("pipeline@service"));
    let only = browser.get(&format!("/settings/tokens/service?user_id={}", people.service.id)).await;
    assert_eq!(names(&only), ["first"]);
    assert!(only.text().contains("Show the tokens of all service users"));
    browser.get("/settings/tokens/service?user_id=9999").await.expect(404);
    // Whoever has none is told what to do.
    let mia = server.browser(&people.member).await;
    assert!(!mia.get(LIST).await.text().contains(r#"aria-label="View""#), "a Member has no tabs");
    mia.post_form(&format!("{LIST}/{}/revoke", people.member.token_id), &[]).await.expect(303);
    mia.post_form(&format!("{LIST}/{}/delete", people.member.token_id), &[]).await.expect(303);
    let empty = mia.get(LIST).await.text();
    assert!(empty.contains("No token yet") && empty.contains("/settings/tokens/generate"), "{empty}");
}

#[tokio::test]
async fn a_list_says_where_it_did_not_count_all_that_fit() {
    let server = TestServer::start().await;
    let people = server.people().await;
    let mut writer = server.app.begin_unchecked().await.unwrap();
    for number in 0..=COUNTED {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_be_bytes());
        let token = NewToken {
            owner: UserId(people.service.id),
            name: &Name::parse(&format!("job {number}")).unwrap(),
            hash: TokenHash::from_bytes(hash),
            scim_only: false,
            created_at: writer.now(),
            created_by: UserId(people.service.id),
            expires_at: None,
            parent_id: None,
            rotates: None,
        };
        tokens::insert(&mut writer, &token).await.unwrap();
    }
    let record = Call::command_line().draft(Action::TokenGenerated, 1, "many", serde_json::Map::new());
    writer.record(record).await.unwrap();
    server.app.commit(writer).await.unwrap();
    let browser = server.browser(&people.admin).await;
    let list = async |query: &str| browser.get(&format!("/settings/tokens/service{query}")).await.text();
    let all = list("").await;
    assert!(all.contains("1–50 of 1,002") && all.contains(">Active 1,002<"), "{all}");
    let cut = list("?q=job&sort=name").await;
    assert!(cut.contains("1–50 of more than 1,000") && cut.contains(">Active<"), "{cut}");
    assert!(cut.contains("job 0<") && cut.contains("page=2"), "{cut}");
    let few = list("?q=job+99").await;
    assert!(few.contains("1–11 of 11") && few.contains(">Active 11<"), "{few}");
}

#[tokio::test]
async fn a_rotation_tells_when_the_old_one_can_go() {
    let server = TestServer::start().await;
    let mia = server.person("Mia", Role::Member).await;
    let browser = server.browser(&mia).await;
    let (old, secret) = made(&server, &mia.token, "deploy", Some(30)).await;
    let rotated = server.as_(&mia.token).post(&format!("/api/user-tokens/{old}/rotate"), &json!({})).await;
    let (new, successor) = (rotated.expect(201).id(), rotated.bearer());
    let told = async |said: &str| {
        for id in [old, new] {
            let page = browser.get(&format!("{LIST}/{id}")).await;
            assert!(page.expect(200).text().contains(said), "{said}: {page}");
        }
    };
    told("The new token hasn’t been used yet").await;
    let list = browser.get(LIST).await;
    assert!(list.text().contains("The new token hasn’t been used yet"), "{list}");
    assert_eq!(menu(&list, "deploy"), ["Details", "Revoke…"], "it has a successor");
    server.as_(&successor).get("/api/users/me").await.expect(200);
    server.as_(&secret).get("/api/users/me").await.expect(200);
    server.clock.turn_to(server.clock.now().plus_seconds(7_200));
    told("Not yet safe to revoke").await;
    told("The old one was last used").await;
    let list = browser.get(LIST).await.text();
    assert!(list.contains("Old one still in use") && list.contains("Succeeds deploy"), "{list}");
    server.pass_days(1);
    told("Looks safe to revoke").await;
    assert!(browser.get(&format!("{LIST}/{old}/revoke")).await.text().contains("keeps working"));
    set_revoked(&server, &mia.token, new, true).await;
    told("New one is dead").await;
    set_revoked(&server, &mia.token, new, false).await;
    set_revoked(&server, &mia.token, old, true).await;
    told("The old one doesn’t work any more").await;
}

#[tokio::test]
async fn a_page_shows_of_the_lineage_what_the_viewer_may_see() {
    let server = TestServer::start().await;
    let people = server.people().await;
    let eve = server.person("Eve", Role::Admin).await;
    let (root, secret) = made(&server, &people.admin.token, "personal root", Some(9)).await;
    let wanted = |name: &str| json!({ "name": name, "user_id": people.service.id, "expires_in_days": 9 });
    let service = server.as_(&secret).post("/api/user-tokens", &wanted("service child")).await.id();
    let (gone, gones) = made(&server, &secret, "gone", Some(9)).await;
    made(&server, &gones, "grandchild", Some(9)).await;
    set_revoked(&server, &people.admin.token, gone, true).await;
    server.as_(&people.admin.token).delete(&format!("/api/user-tokens/{gone}")).await.expect(204);

    let own = server.browser(&people.admin).await.get(&format!("{LIST}/{root}")).await.text();
    let tree = between(&own, r#"aria-labelledby="lineage""#, "</section>");
    for seen in [
        "<bdi>first</bdi>",
        "made this one",
        "service child",
        "a deleted token",
        "grandchild",
        "Made 3 others",
    ] {
        assert!(tree.contains(seen), "{seen}: {tree}");
    }
    assert!(!own.contains("<bdi>gone</bdi>"));
    for (open, close) in [("<ul>", "</ul>"), ("<li>", "</li>")] {
        assert_eq!(tree.matches(open).count(), tree.matches(close).count(), "{tree}");
    }
    // Another Admin sees the service token, but not with whose personal token it was made.
    let others = server.browser(&eve).await;
    let page = others.get(&format!("{LIST}/{service}")).await;
    assert!(page.expect(200).text().contains("a token of somebody else"), "{page}");
    assert!(
        !page.text().contains("personal root") && page.text().contains("by <bdi>Ada Admin</bdi>"),
        "{page}"
    );
    for page in ["", "/revoke", "/rotate", "/delete"] {
        others.get(&format!("{LIST}/{root}{page}")).await.expect(404);
        let member = server.browser(&people.member).await;
        member.get(&format!("{LIST}/{service}{page}")).await.expect(404);
    }
    let before = head(&server).await;
    for change in ["revoke", "restore", "delete"] {
        others.post_form(&format!("{LIST}/{root}/{change}"), &[]).await.expect(404);
    }
    assert_eq!(head(&server).await, before);
}

#[tokio::test]
async fn hostile_names_are_shown_as_text() {
    let server = TestServer::start().await;
    let ada = server.person("Ada", Role::Admin).await;
    let browser = server.browser(&ada).await;
    let owner = server.service_user("<i>Ops</i> \u{202e}live", Role::Member).await;
    let emoji = "🚀".repeat(255);
    for name in ["<script>alert(1)</script>", "\" onfocus=alert(1) x=\"", "\u{202e}gnp.exe", "مفتاح", &emoji]
    {
        let wanted = json!({ "name": name, "user_id": owner.id, "expires_in_days": 9 });
        let id = server.as_(&ada.token).post("/api/user-tokens", &wanted).await.id();
        let escaped = name.replace('"', "&#34;").replace('<', "&#60;").replace('>', "&#62;");
        let pages = ["/settings/tokens/service".to_owned(), format!("{LIST}/{id}")];
        let dialogs = ["revoke", "rotate"].map(|dialog| format!("{LIST}/{id}/{dialog}"));
        for path in pages.iter().chain(&dialogs) {
            let html = browser.get(path).await.expect(200).text();
            assert!(html.contains(&format!("<bdi>{escaped}</bdi>")), "{path}: {html}");
            for raw in ["<script>alert", "<i>Ops", r#"" onfocus"#] {
                assert!(!html.contains(raw), "{path}: {html}");
            }
        }
    }
}

#[tokio::test]
async fn whoever_was_signed_out_meanwhile_is_led_back_and_told() {
    let server = TestServer::start().await;
    let nobody = server.client().on_our_page();
    for (path, back) in [
        ("/settings/tokens/generate", "%2Fsettings%2Ftokens&unsaved=yes"),
        ("/settings/tokens/7/revoke?back=%2Fsettings%2Ftokens", "%2Fsettings%2Ftokens%2F7&unsaved=yes"),
    ] {
        let answer = nobody.post_form(path, &[("name", "a")]).await;
        assert_eq!(answer.expect(303).header("location"), Some(&*format!("/login?next={back}")));
    }
}
