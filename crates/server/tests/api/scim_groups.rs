//! Groups: teams with the people in them.

use futures_util::stream::{self, StreamExt as _};
use serde_json::{Value, json};
use tokenhouse_core::people::Role;
use tokenhouse_testkit::server::{PUBLIC_URL, People, TestServer};

use super::scim::{GROUP, Scim, id, path, refused};
use super::{forward_auth, head};

on_both_databases!(
    a_group_is_made_read_replaced_and_deleted,
    public_is_not_there,
    names_are_unique_without_regard_to_case,
    service_users_are_neither_seen_nor_touched,
    unknown_members_are_refused,
    memberships_change_by_patch,
    several_steps_are_one_change,
    parallel_changes_lose_nobody,
    memberships_act_at_once,
    many_members_are_no_matter,
);

async fn start(server: &TestServer) -> (People, Scim) {
    let people = server.people().await;
    let scim = Scim::of(server, &people.admin).await;
    (people, scim)
}

async fn a_group_is_made_read_replaced_and_deleted(server: TestServer) {
    let (people, scim) = start(&server).await;
    let (mia, max) = (people.member.id.to_string(), people.manager.id.to_string());
    let body = json!({
        "schemas": [GROUP], "displayName": " Data ", "externalId": "d-1",
        "members": [{ "value": mia, "display": "whoever", "$ref": null, "type": "User" }, { "value": mia }],
    });
    let made = scim.post("/Groups", &body).await;
    let shown = made.expect(201).json();
    let location = format!("{PUBLIC_URL}/scim/v2/Groups/{}", id(&shown));
    let member = |id: &str| json!({ "value": id, "$ref": format!("{PUBLIC_URL}/scim/v2/Users/{id}") });
    let version = &shown["meta"]["version"];
    let expected = json!({
        "schemas": [GROUP], "id": id(&shown), "displayName": "Data", "externalId": "d-1",
        "members": [member(&mia)],
        "meta": { "resourceType": "Group", "created": "2026-01-15T10:30:00.25Z",
            "lastModified": "2026-01-15T10:30:00.25Z", "location": location, "version": version },
    });
    assert_eq!(shown, expected);
    assert_eq!((made.header("location"), made.header("etag")), (Some(&*location), version.as_str()));
    assert_eq!(scim.get(&path(&shown)).await.expect(200).json(), shown);
    // A person shows the groups they are in.
    let person = scim.get(&format!("/Users/{mia}")).await.json();
    assert_eq!(
        person["groups"],
        json!([{ "value": id(&shown), "display": "Data", "type": "direct", "$ref": location }])
    );
    // What changes nothing writes nothing.
    let before = head(&server).await;
    assert_eq!(scim.put(&path(&shown), &body).await.expect(200).json(), shown);
    assert_eq!(head(&server).await, before);
    server.pass_days(1);
    let replaced =
        scim.put(&path(&shown), &json!({ "displayName": "Ops", "members": [{ "value": max }] })).await;
    let replaced = replaced.expect(200).json();
    assert_eq!((&replaced["displayName"], replaced.get("externalId")), (&json!("Ops"), None));
    assert_eq!(replaced["members"], json!([member(&max)]));
    assert_eq!(replaced["meta"]["lastModified"], "2026-01-16T10:30:00.25Z");
    assert_ne!(replaced["meta"]["version"], *version);
    let stale = scim.header("if-match", version.as_str().unwrap());
    refused(&stale.delete(&path(&shown)).await, 412, None);
    scim.delete(&path(&shown)).await.expect(204);
    refused(&scim.get(&path(&shown)).await, 404, None);
    refused(&scim.delete(&path(&shown)).await, 404, None);
    assert_eq!(scim.get(&format!("/Users/{max}")).await.json().get("groups"), None);
}

async fn public_is_not_there(server: TestServer) {
    let (_, scim) = start(&server).await;
    let before = head(&server).await;
    let change = json!([{ "op": "replace", "path": "displayName", "value": "Private" }]);
    for answer in [
        scim.get("/Groups/1").await,
        scim.delete("/Groups/1").await,
        scim.put("/Groups/1", &json!({ "displayName": "Private" })).await,
        scim.patch("/Groups/1", change).await,
    ] {
        refused(&answer, 404, None);
    }
    for name in ["Public", "public", " PUBLIC "] {
        refused(&scim.post("/Groups", &json!({ "displayName": name })).await, 409, Some("uniqueness"));
    }
    assert_eq!(scim.found("/Groups", "id pr", "id").await, [""; 0]);
    assert_eq!(head(&server).await, before);
}

async fn names_are_unique_without_regard_to_case(server: TestServer) {
    let (_, scim) = start(&server).await;
    scim.group("Größe", &[]).await;
    let other = scim.group("Other", &[]).await;
    let taken = json!({ "displayName": "GRÖßE" });
    refused(&scim.post("/Groups", &taken).await, 409, Some("uniqueness"));
    refused(&scim.put(&path(&other), &taken).await, 409, Some("uniqueness"));
    let change = json!([{ "op": "replace", "value": taken }]);
    refused(&scim.patch(&path(&other), change).await, 409, Some("uniqueness"));
    for body in [
        json!({}),
        json!({ "displayName": null }),
        json!({ "displayName": "\u{0}" }),
        json!({ "displayName": 7 }),
    ] {
        refused(&scim.post("/Groups", &body).await, 400, Some("invalidValue"));
        refused(&scim.put(&path(&other), &body).await, 400, Some("invalidValue"));
    }
}

async fn service_users_are_neither_seen_nor_touched(server: TestServer) {
    let (people, scim) = start(&server).await;
    let admin = server.as_(&people.admin.token);
    let (mia, robot) = (people.member.id, people.service.id);
    let wanted = json!({ "name": "Data", "members": [mia, robot] });
    let team = admin.post("/api/teams", &wanted).await.expect(201).id();
    let group = format!("/Groups/{team}");
    let in_team = async || {
        let shown = admin.get(&format!("/api/teams/{team}")).await.json();
        let members = shown["members"].as_array().unwrap().iter();
        members.map(|member| member["id"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(scim.members(&team.to_string()).await, [mia.to_string()]);
    for filter in [format!("members.value eq \"{robot}\""), format!("members[value eq \"{robot}\"]")] {
        assert!(scim.found("/Groups", &filter, "id").await.is_empty(), "{filter}");
    }
    scim.put(&group, &json!({ "displayName": "Data", "members": [] })).await.expect(200);
    assert_eq!(in_team().await, [robot]);
    let removed = json!([{ "op": "remove", "path": format!("members[value eq \"{robot}\"]") },
        { "op": "remove", "path": "members", "value": [{ "value": robot.to_string() }] }]);
    scim.patch(&group, removed).await.expect(200);
    scim.patch(&group, json!([{ "op": "remove", "path": "members" }])).await.expect(200);
    assert_eq!(in_team().await, [robot]);
    let before = head(&server).await;
    let added = json!([{ "op": "add", "path": "members", "value": [{ "value": robot.to_string() }] }]);
    refused(&scim.patch(&group, added).await, 400, Some("invalidValue"));
    assert_eq!(head(&server).await, before);
}

async fn unknown_members_are_refused(server: TestServer) {
    let (people, scim) = start(&server).await;
    let group = scim.group("Data", &[&people.member.id.to_string()]).await;
    let gone = scim.person(json!({ "userName": "gone" })).await;
    scim.delete(&path(&gone)).await.expect(204);
    let before = head(&server).await;
    for unknown in ["999999", "x", "", "01", "-1", "+1", id(&gone)] {
        let members = json!([{ "value": people.manager.id.to_string() }, { "value": unknown }]);
        let body = json!({ "displayName": "Other", "members": members });
        for answer in [
            scim.post("/Groups", &body).await,
            scim.put(&path(&group), &body).await,
            scim.patch(&path(&group), json!([{ "op": "add", "path": "members", "value": members }])).await,
            scim.patch(&path(&group), json!([{ "op": "replace", "value": { "members": members } }])).await,
        ] {
            refused(&answer, 400, Some("invalidValue"));
        }
    }
    for wrong in [
        json!([7]),
        json!([{}]),
        json!(7),
        json!([{ "value": 7 }]),
        json!([{ "value": id(&group), "type": "Group" }]),
    ] {
        let body = json!({ "displayName": "Other", "members": wrong });
        refused(&scim.post("/Groups", &body).await, 400, Some("invalidValue"));
    }
    // Removing somebody who isn't there is no error.
    let removed =
        json!([{ "op": "remove", "path": "members", "value": [{ "value": "x" }, { "value": "999999" }] }]);
    scim.patch(&path(&group), removed).await.expect(200);
    assert_eq!(head(&server).await, before);
    assert_eq!(scim.members(id(&group)).await, [people.member.id.to_string()]);
}

async fn memberships_change_by_patch(server: TestServer) {
    let (people, scim) = start(&server).await;
    let [ada, max, mia] = [people.admin.id, people.manager.id, people.member.id].map(|id| id.to_string());
    let group = scim.group("Data", &[]).await;
    let value = |ids: &[&String]| ids.iter().map(|id| json!({ "value": id })).collect::<Value>();
    for (operation, expected) in [
        (json!({ "op": "Add", "path": "members", "value": value(&[&mia, &max]) }), vec![&max, &mia]),
        // Again, in other forms.
        (
            json!({ "op": "add", "path": "members", "value": { "value": mia, "display": "x", "$ref": null } }),
            vec![&max, &mia],
        ),
        (
            json!({ "op": "add", "value": { "members": value(&[&ada]), "nonsense": 1 } }),
            vec![&ada, &max, &mia],
        ),
        (json!({ "op": "REMOVE", "path": format!("members[value eq \"{max}\"]") }), vec![&ada, &mia]),
        (json!({ "op": "remove", "path": "members", "value": value(&[&ada, &max]) }), vec![&mia]),
        (json!({ "op": "replace", "path": "members", "value": value(&[&ada, &max]) }), vec![&ada, &max]),
        (json!({ "op": "add", "path": "members", "value": [] }), vec![&ada, &max]),
        (
            json!({ "op": "remove", "path": format!("members[value eq \"{ada}\" or value eq \"{mia}\"]") }),
            vec![&max],
        ),
        (json!({ "op": "add", "path": format!("{GROUP}:members"), "value": [mia] }), vec![&max, &mia]),
        (json!({ "op": "remove", "path": "members" }), vec![]),
        (
            json!({ "op": "replace", "value": { "displayName": "Data", "members": value(&[&mia]) } }),
            vec![&mia],
        ),
        (json!({ "op": "replace", "path": "members", "value": [] }), vec![]),
    ] {
        let patched = scim.patch(&path(&group), json!([operation])).await;
        patched.expect(200);
        assert_eq!(
            scim.members(id(&group)).await,
            expected.into_iter().cloned().collect::<Vec<_>>(),
            "{operation}"
        );
    }
    let record = &server.as_(&people.admin.token).get("/api/activity").await.expect(200).json()["items"][0];
    assert_eq!((&record["action"], &record["via"]["kind"]), (&json!("team.updated"), &json!("scim")));
    assert_eq!(record["changes"], json!({ "members": [[people.member.id], []] }));
}

async fn several_steps_are_one_change(server: TestServer) {
    let (people, scim) = start(&server).await;
    let [max, mia] = [people.manager.id, people.member.id].map(|id| id.to_string());
    let group = scim.group("Data", &[&mia]).await;
    let before = head(&server).await;
    let failing = json!([
        { "op": "replace", "path": "displayName", "value": "Other" },
        { "op": "add", "path": "members", "value": [{ "value": max }] },
        { "op": "add", "path": "members", "value": [{ "value": "999999" }] },
    ]);
    refused(&scim.patch(&path(&group), failing).await, 400, Some("invalidValue"));
    let there_and_back = json!([
        { "op": "add", "path": "members", "value": [{ "value": max }] },
        { "op": "remove", "path": "members", "value": [{ "value": max }] },
    ]);
    assert_eq!(scim.patch(&path(&group), there_and_back).await.expect(200).json(), group);
    assert_eq!(head(&server).await, before);
    let swap = json!([
        { "op": "remove", "path": format!("members[value eq \"{mia}\"]") },
        { "op": "add", "path": "members", "value": [{ "value": max }] },
        { "op": "replace", "path": "externalId", "value": "x" },
    ]);
    let swapped = scim.patch(&path(&group), swap).await.expect(200).json();
    assert_eq!((&swapped["externalId"], &swapped["members"][0]["value"]), (&json!("x"), &json!(max)));
    assert_eq!(head(&server).await, before + 1);
}

async fn parallel_changes_lose_nobody(server: TestServer) {
    let (_, scim) = start(&server).await;
    let mut ids = Vec::new();
    for number in 0..1_000 {
        ids.push(id(&scim.person(json!({ "userName": format!("user{number}") })).await).to_owned());
    }
    let group = scim.group("Data", &[]).await;
    let change = async |(op, person): (&'static str, &String)| {
        let operation = json!([{ "op": op, "path": "members", "value": [{ "value": person }] }]);
        scim.patch(&format!("{}?excludedAttributes=members", path(&group)), operation).await.expect(200);
    };
    // Not all at once: a change waits at most ten seconds for its turn.
    let all = async |changes: Vec<(&'static str, &String)>| {
        stream::iter(changes).for_each_concurrent(100, &change).await;
    };
    all(ids.iter().map(|id| ("add", id)).collect()).await;
    assert_eq!(scim.members(id(&group)).await, ids);
    // Some go while others come.
    let (even, odd): (Vec<_>, Vec<_>) = ids.iter().enumerate().partition(|(number, _)| number % 2 == 0);
    all(even.iter().map(|(_, id)| ("remove", *id)).collect()).await;
    let leaving = odd.iter().map(|(_, id)| ("remove", *id));
    all(leaving.zip(even.iter().map(|(_, id)| ("add", *id))).flat_map(<[_; 2]>::from).collect()).await;
    let stay: Vec<_> = even.iter().map(|(_, id)| (*id).clone()).collect();
    assert_eq!(scim.members(id(&group)).await, stay);
}

async fn memberships_act_at_once(server: TestServer) {
    let (people, scim) = start(&server).await;
    let told = async || {
        let asked = forward_auth(&server, &people.member.token, "GET").await;
        asked.expect(200).header("x-auth-teams").unwrap().to_owned()
    };
    let mia = people.member.id.to_string();
    let group = scim.group("Data", &[&mia]).await;
    assert_eq!(told().await, "Public,Data");
    scim.patch(&path(&group), json!([{ "op": "replace", "value": { "displayName": "Ops" } }]))
        .await
        .expect(200);
    assert_eq!(told().await, "Public,Ops");
    let only = json!([{ "op": "remove", "path": "members", "value": [{ "value": mia }] }]);
    scim.patch(&path(&group), only).await.expect(200);
    assert_eq!(told().await, "Public");
    scim.put(&path(&group), &json!({ "displayName": "Ops", "members": [{ "value": mia }] }))
        .await
        .expect(200);
    assert_eq!(told().await, "Public,Ops");
    scim.delete(&path(&group)).await.expect(204);
    assert_eq!(told().await, "Public");
    assert_eq!(server.person("Late", Role::Member).await.user_id.split('|').next(), Some("local"));
}

async fn many_members_are_no_matter(server: TestServer) {
    let (people, scim) = start(&server).await;
    let mut writer = server.app.begin_unchecked().await.unwrap();
    let call = tokenhouse::auth::guard::Call::command_line();
    let mut ids = Vec::new();
    for number in 0..10_000 {
        let name = tokenhouse_core::people::Name::parse(&format!("Person {number}")).unwrap();
        let user_name = format!("person{number}");
        let new = tokenhouse_store::users::NewUser {
            user_id: &user_name,
            user_name: &user_name,
            email: &user_name,
            name: &name,
            role: Role::Member,
            user_type: tokenhouse_core::people::UserType::Human,
            purpose: None,
            owner: None,
            created_at: writer.now(),
            created_by: None,
        };
        ids.push(tokenhouse_store::users::insert(&mut writer, &new).await.unwrap().to_string());
    }
    let action = tokenhouse_core::audit::Action::UserCreated;
    writer.record(call.draft(action, 1, "many", serde_json::Map::new())).await.unwrap();
    server.app.commit(writer).await.unwrap();
    let members: Vec<Value> = ids.iter().map(|id| json!({ "value": id })).collect();
    let made =
        scim.post("/Groups", &json!({ "displayName": "All", "members": members })).await.expect(201).json();
    assert_eq!(made["members"].as_array().unwrap().len(), 10_000);
    let without = scim.get(&format!("{}?excludedAttributes=members", path(&made))).await.expect(200).json();
    assert_eq!(without.get("members"), None);
    assert_eq!(without["displayName"], "All");
    let mia = people.member.id.to_string();
    let add = json!([{ "op": "add", "path": "members", "value": [{ "value": mia }] }]);
    let added = scim.patch(&format!("{}?excludedAttributes=members", path(&made)), add).await;
    assert_eq!(added.expect(200).json().get("members"), None);
    assert_eq!(scim.found("/Groups", &format!("members eq \"{mia}\""), "displayName").await, ["All"]);
    let all = scim.members(id(&made)).await;
    assert_eq!(all.len(), 10_001);
    // All but one go.
    let rest = json!({ "displayName": "All", "members": [{ "value": mia }] });
    let rest = scim.put(&path(&made), &rest).await.expect(200).json();
    assert_eq!(rest["members"].as_array().unwrap().len(), 1);
}
