//! The pages of teams.

use serde_json::json;
use tokenhouse_core::people::Role;
use tokenhouse_testkit::client::Answer;
use tokenhouse_testkit::server::TestServer;

use super::people_pages::{HOSTILE, hides, leads_to, message_at, names, shows, untouched, with};
use super::{forward_auth, head};

const TEAMS: &str = "/settings/people/teams";

#[tokio::test]
async fn a_team_is_made_changed_and_deleted() {
    let server = TestServer::start().await;
    let people = server.people().await;
    let browser = server.browser(&people.admin).await;
    shows(browser.get(TEAMS).await.expect(200), &["Everybody is in it", "No team of your own yet"]);
    let add = format!("{TEAMS}/add");
    shows(browser.get(&add).await.expect(200), &["Add team", " inert"]);
    for name in ["", " ", "PUBLIC"] {
        let refused = browser.post_form(&add, &[("name", name), ("description", "kept <text>")]).await;
        message_at(refused.expect(422), "t-name");
        shows(&refused, &["kept &#60;text&#62;"]);
    }
    let made = browser.post_form(&add, &[("name", "Data"), ("description", "Reads\nmuch")]).await;
    let path = leads_to(&made).to_owned();
    shows(browser.get(&path).await.expect(200), &["Data", "Reads\nmuch", "No member yet"]);
    assert_eq!(names(&browser.get(TEAMS).await), ["Public", "Data"]);
    let edit = format!("{path}/edit");
    shows(browser.get(&edit).await.expect(200), &["value=\"Data\"", ">Reads\nmuch</textarea>"]);
    let refused = browser.post_form(&edit, &[("name", "public"), ("description", "")]).await;
    message_at(refused.expect(422), "t-name");
    assert_eq!(leads_to(&browser.post_form(&edit, &[("name", "Facts"), ("description", "")]).await), path);
    let user = people.member.id.to_string();
    browser.post_form(&format!("{path}/add-member"), &[("user", &user)]).await.expect(303);
    let delete = format!("{path}/delete");
    shows(browser.get(&delete).await.expect(200), &["<b>1 member</b>", "loses", "Facts"]);
    assert_eq!(leads_to(&browser.post_form(&delete, &[]).await), TEAMS);
    browser.get(&path).await.expect(404);
    assert_eq!(names(&browser.get(TEAMS).await), ["Public"]);
}

#[tokio::test]
async fn what_another_admin_changed_meanwhile_stays() {
    let server = TestServer::start().await;
    let people = server.people().await;
    let (browser, api) = (server.browser(&people.admin).await, server.as_(&people.admin.token));
    let team = json!({ "name": "Data", "description": "Reads\nmuch" });
    let id = api.post("/api/teams", &team).await.expect(201).id();
    let (edit, path) = (format!("{TEAMS}/{id}/edit"), format!("/api/teams/{id}"));
    let fields = |page: &Answer| untouched(&page.text());
    let sent = fields(browser.get(&edit).await.expect(200));
    let sent: Vec<_> = sent.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert!(sent.contains(&("name", "Data")) && sent.contains(&("description", "Reads\nmuch")), "{sent:?}");
    api.put(&path, &json!({ "name": "Facts" })).await.expect(200);
    // A form that comes back wrong still knows what it began with.
    let long = "x".repeat(2_001);
    let again = fields(browser.post_form(&edit, &with(&sent, &[("description", &long)])).await.expect(422));
    let again: Vec<_> = again.iter().map(|(name, value)| (&**name, &**value)).collect();
    leads_to(&browser.post_form(&edit, &with(&again, &[("description", "Writes")])).await);
    let after = api.get(&path).await.json();
    assert_eq!((&after["name"], &after["description"]), (&json!("Facts"), &json!("Writes")));
    leads_to(&browser.post_form(&edit, &with(&sent, &[("name", "Numbers")])).await);
    let after = api.get(&path).await.json();
    assert_eq!((&after["name"], &after["description"]), (&json!("Numbers"), &json!("Writes")));
    // What was there may be taken away.
    leads_to(&browser.post_form(&edit, &with(&sent, &[("description", "")])).await);
    assert_eq!(api.get(&path).await.json()["description"], json!(null));
}

#[tokio::test]
async fn members_are_found_and_taken_in_and_out_one_at_a_time() {
    let server = TestServer::start().await;
    let people = server.people().await;
    let browser = server.browser(&people.admin).await;
    let made = browser.post_form(&format!("{TEAMS}/add"), &[("name", "R&D"), ("description", "")]).await;
    let path = leads_to(&made).to_owned();
    for number in 0..25 {
        server.person(&format!("Person {number:02}"), Role::Member).await;
    }
    let add = format!("{path}/add-member");
    shows(
        browser.get(&format!("{add}?name=person")).await.expect(200),
        &["25 found, the first 20 are shown"],
    );
    let found = browser.get(&format!("{add}?name=mia.member%40")).await;
    shows(found.expect(200), &["Mia Member"]);
    hides(&found, &["Max Manager", "found, the first"]);

    let before = head(&server).await;
    let user = people.member.id.to_string();
    let added = browser.post_form(&add, &[("user", &user), ("name", "mia&x=y")]).await;
    assert_eq!(leads_to(&added), format!("{add}?name=mia%26x%3Dy"));
    let teams = forward_auth(&server, &people.member.token, "GET").await;
    assert_eq!(teams.header("x-auth-teams"), Some("Public,R%26D"));
    browser.post_form(&add, &[("user", &user)]).await.expect(303);
    assert_eq!(head(&server).await - before, 1, "taken in twice, recorded once");
    shows(&browser.get(&format!("{add}?name=mia")).await, &["Nobody who isn’t in the team yet"]);
    assert_eq!(names(&browser.get(&path).await), ["Mia Member"]);
    shows(&browser.get(&format!("{path}?name=max")).await, &["No member’s name or address"]);
    browser.post_form(&add, &[("user", "999")]).await.expect(404);

    let remove = format!("{path}/remove-member");
    assert_eq!(leads_to(&browser.post_form(&remove, &[("user", &user)]).await), path);
    let teams = forward_auth(&server, &people.member.token, "GET").await;
    assert_eq!(teams.header("x-auth-teams"), Some("Public"));
    browser.post_form(&remove, &[("user", &user)]).await.expect(303);
    assert_eq!(head(&server).await - before, 2);
    let record = server.as_(&people.admin.token).get("/api/activity?action=team.updated").await.json();
    let changes = |number: usize| record["items"][number]["changes"]["members"].clone();
    assert_eq!((changes(0), changes(1)), (json!([[people.member.id], []]), json!([[], [people.member.id]])));
}

#[tokio::test]
async fn public_is_explained_and_stays() {
    let server = TestServer::start().await;
    let people = server.people().await;
    let browser = server.browser(&people.admin).await;
    let page = browser.get(&format!("{TEAMS}/1")).await;
    shows(page.expect(200), &["Everybody is in Public", "Mia Member"]);
    hides(&page, &["Add member", "remove-member", "Delete team"]);
    let before = head(&server).await;
    let user = people.member.id.to_string();
    browser.get(&format!("{TEAMS}/1/edit")).await.expect(409);
    browser.get(&format!("{TEAMS}/1/delete")).await.expect(409);
    browser.get(&format!("{TEAMS}/1/add-member")).await.expect(409);
    browser.post_form(&format!("{TEAMS}/1/edit"), &[("name", "x"), ("description", "")]).await.expect(409);
    browser.post_form(&format!("{TEAMS}/1/delete"), &[]).await.expect(409);
    browser.post_form(&format!("{TEAMS}/1/add-member"), &[("user", &user)]).await.expect(409);
    browser.post_form(&format!("{TEAMS}/1/remove-member"), &[("user", &user)]).await.expect(409);
    assert_eq!(head(&server).await, before);
}

#[tokio::test]
async fn managers_see_teams_and_hostile_names_are_text() {
    let server = TestServer::start().await;
    let people = server.people().await;
    let (admin, browser) = (server.browser(&people.admin).await, server.browser(&people.manager).await);
    for (name, shown) in HOSTILE {
        let fields = [("name", name), ("description", name)];
        let made = admin.post_form(&format!("{TEAMS}/add"), &fields).await;
        let path = leads_to(&made).to_owned();
        let user = people.member.id.to_string();
        admin.post_form(&format!("{path}/add-member"), &[("user", &user)]).await.expect(303);
        for path in [TEAMS, &path, "/settings/people/users"] {
            let page = browser.get(path).await;
            shows(page.expect(200), &[shown]);
            hides(&page, &["<script>alert", "<img", "Add team", "Add member", "Remove"]);
        }
        let filtered = reqwest::Url::parse_with_params("http://x/settings/people/users", [("team", name)]);
        let query = filtered.unwrap().query().unwrap().to_owned();
        assert_eq!(names(&browser.get(&format!("/settings/people/users?{query}")).await), ["Mia Member"]);
    }
}
