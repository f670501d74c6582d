//! The pages of people and service users.

use regex::Regex;
use serde_json::json;
use tokenhouse::auth::guard::Call;
use tokenhouse::service::users::{self, Wanted};
use tokenhouse_core::people::{Role, UserType};
use tokenhouse_testkit::client::{Answer, Client};
use tokenhouse_testkit::server::{Account, PASSWORD, PUBLIC_URL, TestServer};

use super::{head, is_accepted};

pub(super) const USERS: &str = "/settings/people/users";
pub(super) const ADD_SERVICE: &str = "/settings/people/users/add-service-user";
pub(super) const ADD_PERSON: &str = "/settings/people/users/add-person";

/// Names that break pages which are built without care, as they stand in HTML.
pub(crate) const HOSTILE: [(&str, &str); 3] = [
    ("<script>alert(1)</script>", "&#60;script&#62;alert(1)&#60;/script&#62;"),
    ("\"><img src=x onerror='a'>", "&#34;&#62;&#60;img src=x onerror=&#39;a&#39;&#62;"),
    ("\u{202e}مفتاح\u{202c} 🚀", "<bdi>\u{202e}مفتاح\u{202c} 🚀</bdi>"),
];

/// The message at a control, which is marked as wrong unless it is a group of choices.
#[track_caller]
pub(crate) fn message_at(answer: &Answer, id: &str) -> String {
    let html = answer.text();
    let message = Regex::new(&format!(r#"id="{id}-error">.*?<span>(.*?)</span>"#)).unwrap();
    let is_control = Regex::new(&format!(r#"<(?:input|textarea)[^>]* id="{id}""#)).unwrap().is_match(&html);
    if is_control {
        assert!(html.contains(&format!(r#"aria-describedby="{id}-error"#)), "{answer}");
    }
    let found = message.captures(&html).unwrap_or_else(|| panic!("no message at {id}: {answer}"));
    found[1].to_owned()
}

#[track_caller]
pub(crate) fn shows(answer: &Answer, texts: &[&str]) {
    let html = answer.text();
    for text in texts {
        assert!(html.contains(text), "{text} is missing: {answer}");
    }
}

#[track_caller]
pub(crate) fn hides(answer: &Answer, texts: &[&str]) {
    let html = answer.text();
    for text in texts {
        assert!(!html.contains(text), "{text} is shown: {answer}");
    }
}

/// The names in a list, in order.
pub(crate) fn names(answer: &Answer) -> Vec<String> {
    let name = Regex::new(r#"<a class="name"[^>]*><bdi>(.*?)</bdi>"#).unwrap();
    name.captures_iter(&answer.expect(200).text()).map(|found| found[1].to_owned()).collect()
}

/// The secret that a page shows.
#[track_caller]
pub(super) fn secret(answer: &Answer) -> String {
    let html = answer.expect(200).text();
    let secret = Regex::new(r#"<code class="code secret"[^>]*>([^<]+)</code>"#).unwrap();
    let found: Vec<_> = secret.captures_iter(&html).map(|found| found[1].to_owned()).collect();
    assert_eq!(found.len(), 1, "{answer}");
    assert_eq!(html.matches(&*found[0]).count(), 1, "{answer}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    found[0].clone()
}

pub(super) async fn admin(server: &TestServer) -> (Account, Client) {
    let account = server.person("Ada Admin", Role::Admin).await;
    let browser = server.browser(&account).await;
    (account, browser)
}

/// Where a form leads, after what it did was told.
#[track_caller]
pub(crate) fn leads_to(answer: &Answer) -> &str {
    assert!(
        answer
            .headers
            .get_all("set-cookie")
            .iter()
            .any(|cookie| { cookie.to_str().unwrap().starts_with("tokenhouse-toast=") })
    );
    answer.expect(303).header("location").unwrap()
}

async fn person(server: &TestServer, name: &str, email: &str) -> i64 {
    let wanted = Wanted {
        user_type: UserType::Human,
        name,
        email: Some(email),
        role: Role::Member,
        teams: &[],
        purpose: None,
        owner: None,
    };
    users::create(&server.app, &Call::command_line(), wanted).await.unwrap().user.id.0
}

pub(super) const PIPELINE: [(&str, &str); 6] = [
    ("form", "f-1"),
    ("name", "Pipeline  Automation"),
    ("role", "Manager"),
    ("teams", "Data"),
    ("purpose", "Nightly <loads>"),
    ("owner", "Data Team"),
];

/// The form with another field, or another value of one.
pub(crate) fn with<'a>(
    fields: &[(&'a str, &'a str)],
    more: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    let kept = fields.iter().filter(|(name, _)| !more.iter().any(|(other, _)| other == name));
    kept.chain(more).copied().collect()
}

#[tokio::test]
async fn users_are_filtered_sorted_and_paged() {
    let server = TestServer::start().await;
    let people = server.people().await;
    let (admin, browser) = (server.as_(&people.admin.token), server.browser(&people.admin).await);
    admin.post("/api/teams", &json!({ "name": "R&D", "members": [people.member.id] })).await.expect(201);
    let gone = server.person("Gone Person", Role::Member).await.id;
    admin.delete(&format!("/api/users/{gone}")).await.expect(204);
    let list = async |query: &str| names(&browser.get(&format!("{USERS}{query}")).await);
    assert_eq!(list("").await, ["Ada Admin", "Max Manager", "Mia Member", "Pipeline"]);
    assert_eq!(list("?name=MANAGER@example").await, ["Max Manager"]);
    assert_eq!(list("?name=ad&type=&role=&team=").await, ["Ada Admin"]);
    assert_eq!(list("?type=Service").await, ["Pipeline"]);
    assert_eq!(list("?role=Manager").await, ["Max Manager"]);
    assert_eq!(list("?team=R%26D").await, ["Mia Member"]);
    assert_eq!(list("?include_deleted=on&name=gone").await, ["Gone Person"]);
    assert_eq!(
        list("?sort=name&sort_dir=desc").await,
        ["Pipeline", "Mia Member", "Max Manager", "Ada Admin"]
    );
    assert_eq!(list("?type=nonsense&role=x&sort=y&sort_dir=z").await.len(), 4);
    let all = browser.get(&format!("{USERS}?include_deleted=on&sort=role")).await;
    shows(&all, &["Service</span>", "Deactivated</span>", "pipeline@service", "1 active token", "R&#38;D"]);
    shows(&all, &["Add", "aria-sort=\"ascending\"", &format!("{USERS}/{gone}/reactivate")]);
    let nobody = browser.get(&format!("{USERS}?name=nobody+of+this+name")).await;
    shows(&nobody, &["Nobody found", "Deactivated ones are left out", "Show everybody"]);
    for number in 0..60 {
        person(&server, &format!("Person {number:02}"), &format!("p{number}@example.com")).await;
    }
    let first = browser.get(&format!("{USERS}?name=person")).await;
    assert_eq!(names(&first).len(), 50);
    shows(&first, &["1–50 of 60", "name=person&#38;page=2"]);
    assert_eq!(names(&browser.get(&format!("{USERS}?name=person&page=2")).await).len(), 10);
}

#[tokio::test]
async fn managers_look_and_do_nothing() {
    let server = TestServer::start().await;
    let people = server.people().await;
    let browser = server.browser(&people.manager).await;
    let list = browser.get(USERS).await;
    shows(&list, &["Ada Admin", "pipeline@service"]);
    hides(&list, &["add-service-user", "deactivate", "active token", "/settings/audit"]);
    let page = browser.get(&format!("{USERS}/{}", people.service.id)).await;
    shows(page.expect(200), &["pipeline@service", "Nobody yet"]);
    hides(&page, &["edit", "Activity", "first", "Revoke"]);
    browser.get(ADD_SERVICE).await.expect(403);
    let member = server.browser(&people.member).await;
    hides(member.get(USERS).await.expect(403), &["Ada Admin", "href=\"/settings/people/users\""]);
    member.get(&format!("{USERS}/{}", people.member.id)).await.expect(403);
}

#[tokio::test]
async fn hostile_names_are_text() {
    let server = TestServer::start().await;
    let (_, browser) = admin(&server).await;
    let longest = "🚀".repeat(255);
    for (number, (name, shown)) in HOSTILE.into_iter().chain([(&*longest, &*longest)]).enumerate() {
        let id = person(&server, name, &format!("p{number}@example.com")).await;
        let path = format!("{USERS}/{id}");
        for path in [USERS.to_owned(), path.clone(), format!("{path}/edit"), format!("{path}/deactivate")] {
            let page = browser.get(&path).await;
            shows(page.expect(200), &[shown]);
            hides(&page, &["<script>alert", "<img"]);
        }
        let wrong = with(&PIPELINE, &[("name", name), ("teams", name), ("then", "next")]);
        let back = browser.post_form(ADD_SERVICE, &wrong).await;
        shows(
            back.expect(422),
            &[&format!("value=\"{}\"", shown.replace("<bdi>", "").replace("</bdi>", ""))],
        );
        hides(&back, &["<script>alert", "<img"]);
    }
}

#[tokio::test]
async fn a_person_is_added_with_a_link_that_is_shown_once() {
    let server = TestServer::start().await;
    let (ada, browser) = admin(&server).await;
    let fields = [("name", "Ben"), ("email", "ben@example.com"), ("role", "Manager")];
    for (name, email, at) in [("", "x@example.com", "p-name"), ("Ben", "nobody", "p-email")] {
        let wrong = with(&fields, &[("name", name), ("email", email)]);
        let refused = browser.post_form(ADD_PERSON, &wrong).await;
        message_at(refused.expect(422), at);
        shows(&refused, &["value=\"Manager\" checked", &format!("value=\"{email}\"")]);
    }
    let link = secret(&browser.post_form(ADD_PERSON, &fields).await);
    let path = link.strip_prefix(PUBLIC_URL).unwrap().to_owned();
    let before = head(&server).await;
    let taken = browser.post_form(ADD_PERSON, &with(&fields, &[("email", "BEN@example.com")])).await;
    assert!(message_at(taken.expect(422), "p-email").contains("they may be deactivated"));
    assert_eq!(head(&server).await, before);

    let found = server.as_(&ada.token).get("/api/users?name=Ben").await.json();
    assert_eq!(found["items"][0]["role"], "Manager");
    let page = format!("{USERS}/{}", found["items"][0]["id"]);
    hides(browser.get(&page).await.expect(200), &[&path]);
    shows(browser.get(&format!("{page}/invite")).await.expect(200), &["Links made before stop working"]);
    let newer = secret(&browser.post_form(&format!("{page}/invite"), &[]).await);
    let stranger = server.client().on_our_page();
    stranger.get(&path).await.expect(404);
    let path = newer.strip_prefix(PUBLIC_URL).unwrap();
    stranger.post_form(path, &[("password", PASSWORD)]).await.expect(303);
    let robot = server.service_user("Robot", Role::Member).await.id;
    browser.get(&format!("{USERS}/{robot}/invite")).await.expect(409);
}

#[tokio::test]
async fn deactivation_says_what_stops_and_reactivation_what_comes_back() {
    let server = TestServer::start().await;
    let people = server.people().await;
    let browser = server.browser(&people.admin).await;
    let mia = server.browser(&people.member).await;
    let member = server.as_(&people.member.token);
    member.post("/api/user-tokens", &json!({ "name": "very private name" })).await.expect(201);
    let page = format!("{USERS}/{}", people.member.id);
    let (stop, again) = (format!("{page}/deactivate"), format!("{page}/reactivate"));
    let asked = browser.get(&stop).await;
    shows(asked.expect(200), &["<b>2 active tokens</b> stop", "<b>1 browser</b>"]);
    hides(&asked, &["very private name"]);
    let done = browser.post_form(&stop, &[]).await;
    assert_eq!(leads_to(&done), page);
    assert!(!is_accepted(&server, &people.member.token).await);
    mia.get("/settings/people/users").await.expect(303);
    let told = browser.with("cookie", "tokenhouse-toast=x").get(&page).await;
    shows(told.expect(200), &["Deactivated", "Reactivate…"]);
    hides(&told, &["Deactivate…", "very private name", "New invitation link"]);
    browser.get(&format!("{page}/invite")).await.expect(409);
    shows(browser.get(&again).await.expect(200), &["<b>2 tokens</b>", "work again at once"]);
    assert_eq!(leads_to(&browser.post_form(&again, &[]).await), page);
    assert!(is_accepted(&server, &people.member.token).await);
    // What they do with their tokens is theirs, too.
    hides(&browser.get(&page).await, &["very private name"]);
}

#[tokio::test]
async fn the_last_admin_stays_and_is_told_why() {
    let server = TestServer::start().await;
    let (ada, browser) = admin(&server).await;
    server.service_user("Robot", Role::Admin).await;
    let page = format!("{USERS}/{}", ada.id);
    let (stop, edit) = (format!("{page}/deactivate"), format!("{page}/edit"));
    let asked = browser.get(&stop).await;
    shows(asked.expect(200), &["make somebody else an Admin first", "Choose another Admin"]);
    hides(&asked, &[&format!("action=\"{stop}\"")]);
    let before = head(&server).await;
    shows(browser.post_form(&stop, &[]).await.expect(409), &["make somebody else an Admin first"]);
    let refused = browser.post_form(&edit, &[("name", "Ada"), ("role", "Member")]).await;
    assert!(message_at(refused.expect(422), "role").contains("last active Admin"));
    shows(&refused, &["value=\"Ada\"", "value=\"Member\" checked"]);
    assert_eq!(head(&server).await, before);
    server.person("Eve", Role::Admin).await;
    shows(browser.get(&stop).await.expect(200), &["This is your own account", &format!("action=\"{stop}\"")]);
    let demoted = browser.post_form(&edit, &[("name", "Ada"), ("role", "Member")]).await;
    assert_eq!(demoted.expect(303).header("location"), Some("/"));
}

#[tokio::test]
async fn an_account_is_changed() {
    let server = TestServer::start().await;
    let (ada, browser) = admin(&server).await;
    let api = server.as_(&ada.token);
    for team in ["Data", "Ops"] {
        api.post("/api/teams", &json!({ "name": team })).await.expect(201);
    }
    let robot = server.service_user("Robot", Role::Member).await;
    let page = format!("{USERS}/{}", robot.id);
    let edit = format!("{page}/edit");
    let fields = [
        ("name", "Build"),
        ("role", "Admin"),
        ("teams", "Ops"),
        ("teams", "Data"),
        ("purpose", "Builds"),
        ("owner", "Ops Team"),
    ];
    assert_eq!(leads_to(&browser.post_form(&edit, &fields).await), page);
    let after = api.get(&format!("/api/users/{}", robot.id)).await.json();
    assert_eq!(after["teams"], json!(["Public", "Data", "Ops"]));
    assert_eq!(
        (&after["name"], &after["role"], &after["purpose"], &after["owner"], &after["user_id"]),
        (&json!("Build"), &json!("Admin"), &json!("Builds"), &json!("Ops Team"), &json!("robot@service"))
    );
    let shown = browser.get(&edit).await;
    shows(shown.expect(200), &["value=\"Ops\" checked", "value=\"Admin\" checked", ">Builds</textarea>"]);
    let long = "x".repeat(256);
    let refused = browser.post_form(&edit, &with(&fields, &[("name", ""), ("owner", &long)])).await;
    message_at(refused.expect(422), "e-name");
    message_at(&refused, "u-owner");
    shows(&refused, &[&format!("value=\"{long}\"")]);
    let emptied = [("name", "Build"), ("role", "Member"), ("purpose", ""), ("owner", "")];
    leads_to(&browser.post_form(&edit, &emptied).await);
    let after = api.get(&format!("/api/users/{}", robot.id)).await.json();
    assert_eq!((&after["teams"], &after["purpose"]), (&json!(["Public"]), &json!(null)));
    // A person has neither purpose nor owner.
    let ben = format!("{USERS}/{}/edit", person(&server, "Ben", "ben@example.com").await);
    hides(browser.get(&ben).await.expect(200), &["name=\"purpose\"", "name=\"owner\""]);
}

/// What a dialog sends when nothing in it is touched.
pub(crate) fn untouched(html: &str) -> Vec<(String, String)> {
    let control = Regex::new(
        r#"<input[^>]*? name="(\w+)"[^>]*? value="([^"]*)"([^>]*)>|<textarea[^>]*? name="(\w+)"[^>]*>([^<]*)<"#,
    )
    .unwrap();
    let dialog = &html[html.find("<dialog").unwrap()..];
    control
        .captures_iter(dialog)
        .filter_map(|found| {
            let pair = |name: usize, value: usize| (found[name].to_owned(), found[value].to_owned());
            if found.get(4).is_some() {
                return Some(pair(4, 5));
            }
            let is_choice = found[0].contains("type=\"radio\"") || found[0].contains("type=\"checkbox\"");
            (!is_choice || found[3].contains("checked")).then(|| pair(1, 2))
        })
        .collect()
}

#[tokio::test]
async fn what_another_admin_changed_meanwhile_stays() {
    let server = TestServer::start().await;
    let (ada, browser) = admin(&server).await;
    let api = server.as_(&ada.token);
    api.post("/api/teams", &json!({ "name": "Data" })).await.expect(201);
    let robot = server.service_user("Robot", Role::Admin).await;
    let (edit, path) = (format!("{USERS}/{}/edit", robot.id), format!("/api/users/{}", robot.id));
    let sent = untouched(&browser.get(&edit).await.expect(200).text());
    let sent: Vec<_> = sent.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert!(sent.contains(&("role", "Admin")) && sent.contains(&("owner", "")), "{sent:?}");
    let meanwhile = json!({ "name": "Renamed", "role": "Member", "teams": ["Data"], "owner": "Ops" });
    api.put(&path, &meanwhile).await.expect(200);
    // A form that comes back wrong still knows what it began with.
    let long = "x".repeat(2001);
    let refused = browser.post_form(&edit, &with(&sent, &[("purpose", &long)])).await;
    let again = untouched(&refused.expect(422).text());
    let again: Vec<_> = again.iter().map(|(name, value)| (&**name, &**value)).collect();
    leads_to(&browser.post_form(&edit, &with(&again, &[("purpose", "Builds")])).await);
    let after = api.get(&path).await.json();
    assert_eq!((&after["name"], &after["role"]), (&json!("Renamed"), &json!("Member")));
    assert_eq!((&after["teams"], &after["owner"]), (&json!(["Public", "Data"]), &json!("Ops")));
    assert_eq!(after["purpose"], "Builds");
}

#[tokio::test]
async fn what_somebody_did_is_told_to_admins() {
    let server = TestServer::start().await;
    let people = server.people().await;
    let browser = server.browser(&people.admin).await;
    let path = format!("{USERS}/{}", people.service.id);
    leads_to(&browser.post_form(&format!("{path}/revoke-tokens"), &[]).await);
    let own = browser.get(&format!("{USERS}/{}", people.admin.id)).await;
    shows(own.expect(200), &["Revoked the token <b><bdi>first</bdi></b>", "Signed in", "· browser"]);
    shows(&own, &[&format!("/settings/audit?user={}", people.admin.id)]);
    shows(&browser.get(&path).await, &["It hasn’t changed anything yet"]);
    let other = server.person("Other", Role::Admin).await;
    let seen = server.browser(&other).await.get(&format!("{USERS}/{}", people.admin.id)).await;
    shows(&seen, &["Revoked a token"]);
    hides(&seen, &["<bdi>first</bdi>"]);
}

#[tokio::test]
async fn a_form_of_somebody_whose_session_is_over_leads_back_to_its_page() {
    let server = TestServer::start().await;
    let anybody = server.client().on_our_page();
    for (path, back) in [
        ("/settings/people/users/7/edit", "/settings/people/users/7"),
        (ADD_SERVICE, USERS),
        ("/settings/people/teams/7/add-member", "/settings/people/teams/7"),
    ] {
        let answer = anybody.post_form(path, &[]).await;
        let expected = format!("/login?next={}&unsaved=yes", back.replace('/', "%2F"));
        assert_eq!(answer.expect(303).header("location"), Some(&*expected));
    }
}
