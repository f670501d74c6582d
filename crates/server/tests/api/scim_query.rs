//! Searching: filters, pages, order, and which attributes are shown.

use serde_json::{Value, json};
use tokenhouse_core::people::Role;
use tokenhouse_testkit::server::TestServer;

use super::scim::{ENTERPRISE, GROUP, Scim, USER, escaped, id, path, refused};

on_both_databases!(
    people_are_found_by_what_is_known_of_them,
    what_cannot_be_searched_by_is_refused,
    a_filter_is_never_a_statement,
    groups_are_found,
    pages_and_their_limits,
    people_are_sorted,
    attributes_are_chosen,
    a_search_by_post_is_the_same,
    a_long_list_of_names_is_refused,
);

/// Ada Admin (who was made by hand), Bob, Cy and Émile.
pub(crate) async fn start(server: &TestServer) -> (Scim, Vec<String>) {
    let scim = Scim::of(server, &server.person("Ada Admin", Role::Admin).await).await;
    let mut ids = Vec::new();
    for person in [
        json!({ "userName": "Bob@Example.com", "externalId": "E-1", "title": "Boss", "userType": "Employee",
            "name": { "givenName": "Bob", "familyName": "Baker" },
            "emails": [{ "value": "bob@work.example", "type": "work", "primary": true },
                { "value": "bob@home.example", "type": "home" }],
            ENTERPRISE: { "department": "R and D (new)", "manager": { "value": "7" } } }),
        json!({ "userName": "cy", "externalId": "e-1", "active": false, "title": "tour guide",
            "emails": [{ "value": "cy@home.example", "type": "work" }] }),
        json!({ "userName": "Émile", "displayName": "Émile \"the\" Great", "userType": "Intern", "locale": "fr" }),
    ] {
        server.pass_days(1);
        ids.push(id(&scim.person(person).await).to_owned());
    }
    (scim, ids)
}

async fn people_are_found_by_what_is_known_of_them(server: TestServer) {
    let (scim, ids) = start(&server).await;
    let urn = format!("{USER}:userName sw \"b\"");
    let (extended, in_extension) =
        (format!("{ENTERPRISE}:department co \"AND D\""), format!("{ENTERPRISE}:manager.value eq \"7\""));
    let by_id = format!("id eq \"{}\"", ids[1]);
    for (filter, expected) in [
        (r#"userName eq "bob@example.COM""#, "b"),
        (r#"USERNAME EQ "bob@example.com""#, "b"),
        (r#"userName Sw "É" or userName ew "Y""#, "ce"),
        (r#"userName ne "cy" and active eq true"#, "abe"),
        (r#"externalId eq "e-1""#, "c"),
        (r#"externalId ne "e-1""#, "abe"),
        ("externalId pr", "bc"),
        ("not (externalId pr)", "ae"),
        ("externalId eq null", "ae"),
        (&by_id, "c"),
        (r#"id eq "0""#, ""),
        (r#"id eq "x""#, ""),
        ("active eq false", "c"),
        (r#"active eq "False""#, "c"),
        (r#"displayName co "\"the\"""#, "e"),
        (r#"name.givenName eq "BOB""#, "b"),
        (r#"title pr and userType eq "Employee""#, "b"),
        (r#"title pr and (userType eq "Intern" or userType eq "employee")"#, "b"),
        (r#"title pr or userType eq "Intern" and locale eq "de""#, "bc"),
        (r#"title gt "b" and title lt "c""#, "b"),
        (r#"title ge "boss" and title le "tour guide""#, "bc"),
        (r#"emails eq "BOB@home.example""#, "b"),
        (r#"emails.value co "@home.example""#, "bc"),
        (r#"emails.type eq "work" and emails.value ew "home.example""#, "bc"),
        (r#"emails[type eq "work" and value ew "home.example"]"#, "c"),
        (r#"emails[type eq "work" and value co "@work"] or userName eq "cy""#, "bc"),
        (r#"emails[not (type eq "work")]"#, "ab"),
        ("emails[primary eq true]", "b"),
        (r#"emails[type eq "work"].value eq "cy@home.example""#, "c"),
        (r#"(emails[type eq "work"].value sw "b" and active eq true) or title eq "x""#, "b"),
        ("emails pr", "abc"),
        ("emails.display pr", ""),
        (r#"roles.value eq "ADMIN""#, "a"),
        (&urn, "b"),
        (&extended, "b"),
        (&in_extension, "b"),
        (r#"department eq "r AND d (NEW)""#, "b"),
        (r#"meta.created gt "2026-01-17T00:00:00Z""#, "ce"),
        (r#"meta.lastModified le "2026-01-16T10:30:00.25Z""#, "ab"),
        (r#"meta.created eq "2026-01-17T11:30:00.25+01:00""#, "c"),
        ("nickName pr", ""),
    ] {
        let found = scim.found("/Users", filter, "userName").await;
        let letters: String =
            found.iter().map(|name| name.to_lowercase().replace('é', "e").remove(0)).collect();
        assert_eq!(letters, expected, "{filter}");
    }
    let none = scim.get(&format!("/Users?filter={}", escaped(r#"userName eq "nobody""#))).await;
    assert_eq!(
        (&none.expect(200).json()["totalResults"], &none.json()["Resources"]),
        (&json!(0), &json!([]))
    );
}

async fn what_cannot_be_searched_by_is_refused(server: TestServer) {
    let (scim, _) = start(&server).await;
    for filter in [
        "",
        " ",
        "userName",
        "userName eq",
        "userName eq bob",
        "userName eq 'bob'",
        "userName xx \"b\"",
        "userName eq \"bob",
        "userName eq \"bob\" and",
        "(userName pr",
        "userName pr)",
        "not userName pr",
        "shoeSize eq \"42\"",
        "name.shoeSize pr",
        "emails.shoeSize pr",
        "emails[shoeSize pr]",
        "urn:x:y:userName pr",
        "password eq \"x\"",
        "password pr",
        "groups.value eq \"1\"",
        "meta.version eq \"x\"",
        "meta.location pr",
        "userName eq 7",
        "userName eq true",
        "active eq \"maybe\"",
        "active gt true",
        "active co \"t\"",
        "name eq \"Bob\"",
        "name[givenName eq \"Bob\"]",
        "userName[value eq \"x\"]",
        "emails[type eq \"work\"",
        "emails[type eq \"work\"].nonsense pr",
        "emails[value eq \"a\"][value eq \"b\"]",
        "emails[emails[type pr]]",
        "userName co \"\"",
        "userName gt null",
        "meta.created gt \"yesterday\"",
        "meta.created co \"2026\"",
        "title eq \"\\u0000\"",
        "title eq \"\\ud800\"",
        "a.b.c pr",
        "userName eq \"a\" userName eq \"b\"",
    ] {
        refused(&scim.get(&format!("/Users?filter={}", escaped(filter))).await, 400, Some("invalidFilter"));
        refused(&scim.post("/Users/.search", &json!({ "filter": filter })).await, 400, Some("invalidFilter"));
    }
    for query in ["count=many", "startIndex=1.5", "count=99999999999999999999"] {
        refused(&scim.get(&format!("/Users?{query}")).await, 400, Some("invalidValue"));
    }
    for sort_by in ["shoeSize", "password", "a%20b", "name", "manager", "addresses", "meta"] {
        let query = format!("sortBy={sort_by}");
        refused(&scim.get(&format!("/Users?{query}")).await, 400, Some("invalidPath"));
    }
    for body in [
        json!({ "filter": 7 }),
        json!({ "count": "x" }),
        json!({ "attributes": 7 }),
        json!({ "schemas": [USER] }),
    ] {
        refused(&scim.post("/Users/.search", &body).await, 400, Some("invalidValue"));
    }
}

async fn a_filter_is_never_a_statement(server: TestServer) {
    let (scim, _) = start(&server).await;
    for text in ["%", "_", "*", "' OR '1'='1", "'; DROP TABLE users; --", "\\\\", "$1"] {
        for operator in ["eq", "co", "sw", "ew"] {
            for attribute in ["userName", "title", "emails.value", "externalId"] {
                let filter = format!("{attribute} {operator} \"{text}\"");
                assert!(scim.found("/Users", &filter, "id").await.is_empty(), "{filter}");
            }
        }
    }
    assert_eq!(scim.found("/Users", "id pr", "id").await.len(), 4);
}

async fn groups_are_found(server: TestServer) {
    let (scim, ids) = start(&server).await;
    let data = scim.group("Data", &[&ids[0], &ids[1]]).await;
    server.pass_days(1);
    scim.post(
        "/Groups",
        &json!({ "displayName": "Ops", "externalId": "O-1", "members": [{ "value": ids[1] }] }),
    )
    .await
    .expect(201);
    scim.group("Empty", &[]).await;
    let by_id = format!("id eq \"{}\" and not (displayName co \"x\")", id(&data));
    let [first, second] = [&ids[0], &ids[1]];
    for (filter, expected) in [
        (r#"displayName eq "DATA""#.to_owned(), vec!["Data"]),
        (format!("{GROUP}:displayName sw \"o\""), vec!["Ops"]),
        (r#"externalId eq "O-1""#.to_owned(), vec!["Ops"]),
        (r#"externalId eq "o-1""#.to_owned(), vec![]),
        (by_id, vec!["Data"]),
        (format!("members.value eq \"{second}\""), vec!["Data", "Ops"]),
        (format!("members[value eq \"{first}\"]"), vec!["Data"]),
        (format!("members eq \"{first}\" and displayName eq \"Ops\""), vec![]),
        (format!("not (members.value eq \"{second}\")"), vec!["Empty"]),
        ("members pr".to_owned(), vec!["Data", "Ops"]),
        (r#"members eq "x""#.to_owned(), vec![]),
        (r#"meta.created gt "2026-01-19T00:00:00Z""#.to_owned(), vec!["Ops", "Empty"]),
    ] {
        assert_eq!(scim.found("/Groups", &filter, "displayName").await, expected, "{filter}");
    }
    for filter in [
        "userName pr",
        "members co \"1\"",
        "members.display eq \"Bob\"",
        "members.type eq \"User\"",
        "active eq true",
    ] {
        refused(&scim.get(&format!("/Groups?filter={}", escaped(filter))).await, 400, Some("invalidFilter"));
    }
    let listed = scim.get("/Groups?sortBy=displayName&sortOrder=descending").await.expect(200).json();
    let shown: Vec<_> =
        listed["Resources"].as_array().unwrap().iter().map(|group| &group["displayName"]).collect();
    assert_eq!(shown, ["Ops", "Empty", "Data"]);
    assert_eq!(listed["Resources"][2]["members"].as_array().unwrap().len(), 2);
    let without = scim.get("/Groups?excludedAttributes=members,meta").await.expect(200).json();
    for group in without["Resources"].as_array().unwrap() {
        assert_eq!((group.get("members"), group.get("meta")), (None, None));
    }
}

async fn pages_and_their_limits(server: TestServer) {
    let (scim, ids) = start(&server).await;
    for (query, start, shown) in [
        ("", 1, 4),
        ("startIndex=1&count=2", 1, 2),
        ("startIndex=3&count=2", 3, 2),
        ("startIndex=4&count=2", 4, 1),
        ("startIndex=5&count=2", 5, 0),
        ("startIndex=9223372036854775807", 9_223_372_036_854_775_807_i64, 0),
        ("startIndex=0", 1, 4),
        ("startIndex=-5&count=1", 1, 1),
        ("count=0", 1, 0),
        ("count=-1", 1, 0),
        ("count=1000000", 1, 4),
    ] {
        let listed = scim.get(&format!("/Users?{query}")).await.expect(200).json();
        assert_eq!((&listed["totalResults"], &listed["startIndex"]), (&json!(4), &json!(start)), "{query}");
        assert_eq!(listed["itemsPerPage"], shown, "{query}");
        assert_eq!(listed["Resources"].as_array().unwrap().len(), shown, "{query}");
        assert_eq!(listed["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:ListResponse"]));
    }
    let second = scim.get("/Users?startIndex=3&count=1").await.json();
    assert_eq!(second["Resources"][0]["id"], ids[1]);
}

async fn people_are_sorted(server: TestServer) {
    let (scim, _) = start(&server).await;
    for (query, expected) in [
        ("sortBy=userName", "abce"),
        ("sortBy=userName&sortOrder=descending", "ecba"),
        ("sortBy=meta.created&sortOrder=descending", "ecba"),
        ("sortBy=emails.value", "abce"),
        ("sortBy=title&sortOrder=Descending", "eacb"),
        ("sortBy=externalId&sortOrder=ascending", "bcae"),
        ("sortBy=id&sortOrder=descending", "ecba"),
        ("sortOrder=descending", "abce"),
    ] {
        let listed = scim.get(&format!("/Users?{query}")).await.expect(200).json();
        let names = listed["Resources"].as_array().unwrap().iter();
        let names = names
            .map(|person| person["userName"].as_str().unwrap().to_lowercase().replace('é', "e").remove(0));
        let letters: String = names.collect();
        // Who has no value comes last, and first the other way round; ties are in the order of ids.
        let expected = if query.contains("title") { "eacb" } else { expected };
        assert_eq!(letters, expected, "{query}");
    }
}

async fn attributes_are_chosen(server: TestServer) {
    let (scim, ids) = start(&server).await;
    let bob = format!("/Users/{}", ids[0]);
    let all = scim.get(&bob).await.json();
    let (always, schemas) = (json!(ids[0]), &all["schemas"]);
    for (query, expected) in [
        ("attributes=userName", json!({ "userName": "Bob@Example.com" })),
        ("attributes=USERNAME,%20externalid", json!({ "userName": "Bob@Example.com", "externalId": "E-1" })),
        ("attributes=name.givenName,name.familyName", json!({ "name": all["name"] })),
        ("attributes=emails.type", json!({ "emails": [{ "type": "work" }, { "type": "home" }] })),
        ("attributes=nonsense", json!({})),
        ("attributes=id", json!({})),
        ("attributes=password", json!({})),
        (
            &format!("attributes={ENTERPRISE}:department"),
            json!({ ENTERPRISE: { "department": "R and D (new)" } }),
        ),
        (&format!("attributes={ENTERPRISE}"), json!({ ENTERPRISE: all[ENTERPRISE] })),
        (&format!("attributes={USER}:title"), json!({ "title": "Boss" })),
        ("attributes=title&excludedAttributes=title", json!({ "title": "Boss" })),
    ] {
        let mut expected = expected;
        (expected["id"], expected["schemas"]) = (always.clone(), schemas.clone());
        assert_eq!(scim.get(&format!("{bob}?{query}")).await.expect(200).json(), expected, "{query}");
        let filter = escaped(&format!("id eq \"{}\"", ids[0]));
        let listed = scim.get(&format!("/Users?filter={filter}&{query}")).await.expect(200).json();
        assert_eq!(listed["Resources"][0], expected, "{query}");
    }
    let less = scim
        .get(&format!("{bob}?excludedAttributes=emails.value,Name,meta,id,schemas,{ENTERPRISE}:manager"))
        .await;
    let mut expected = all.clone();
    for gone in ["name", "meta"] {
        expected.as_object_mut().unwrap().remove(gone);
    }
    expected["emails"] = json!([{ "type": "work", "primary": true }, { "type": "home" }]);
    expected[ENTERPRISE].as_object_mut().unwrap().remove("manager");
    assert_eq!(less.expect(200).json(), expected);
    let change = json!([{ "op": "replace", "path": "title", "value": "B" }]);
    let patched = scim.patch(&format!("{bob}?attributes=title"), change).await;
    assert_eq!(patched.expect(200).json(), json!({ "id": always, "schemas": schemas, "title": "B" }));
    let made =
        scim.post("/Users?attributes=userName", &json!({ "userName": "dot" })).await.expect(201).json();
    assert_eq!(made.as_object().unwrap().len(), 3);
}

async fn a_search_by_post_is_the_same(server: TestServer) {
    let (scim, ids) = start(&server).await;
    let body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "filter": "title pr",
        "attributes": ["userName", "name.givenName"], "sortBy": "userName", "sortOrder": "descending", "startIndex": 2, "count": 5,
    });
    let found = scim.post("/Users/.search", &body).await.expect(200).json();
    assert_eq!(
        (&found["totalResults"], &found["startIndex"], &found["itemsPerPage"]),
        (&json!(2), &json!(2), &json!(1))
    );
    let schemas = json!([USER, ENTERPRISE]);
    let expected = json!([{ "id": ids[0], "schemas": schemas, "userName": "Bob@Example.com", "name": { "givenName": "Bob" } }]);
    assert_eq!(found["Resources"], expected);
    let group = scim.group("Data", &[&ids[0]]).await;
    let found =
        scim.post("/Groups/.search", &json!({ "excludedAttributes": ["members"] })).await.expect(200).json();
    assert_eq!(
        (&found["Resources"][0]["id"], found["Resources"][0].get("members")),
        (&group["id"], None::<&Value>)
    );
    assert_eq!(scim.get(&path(&group)).await.json()["members"].as_array().unwrap().len(), 1);
    let everybody =
        scim.post("/Users/.search", &json!({ "filter": null, "count": "1" })).await.expect(200).json();
    assert_eq!((&everybody["totalResults"], &everybody["itemsPerPage"]), (&json!(4), &json!(1)));
}

async fn a_long_list_of_names_is_refused(server: TestServer) {
    let (scim, ids) = start(&server).await;
    scim.group("Data", &[&ids[0]]).await;
    let doubles = ["members", "MEMBERS", "members.value", "members"].repeat(25);
    let long = "x".repeat(8_193);
    for name in ["attributes", "excludedAttributes"] {
        for accepted in [json!(doubles), json!(doubles.join(",")), json!(&long[1..])] {
            scim.post("/Groups/.search", &json!({ name: accepted })).await.expect(200);
        }
        let many = ["members"].repeat(101);
        for refused_list in
            [json!(many), json!(many.join(",")), json!([&long]), json!(long), json!(vec![""; 101])]
        {
            let found = scim.post("/Groups/.search", &json!({ name: refused_list })).await;
            refused(&found, 400, Some("invalidValue"));
        }
        refused(&scim.get(&format!("/Users?{name}={}", many.join(","))).await, 400, Some("invalidValue"));
    }
    let shown = scim.get(&format!("/Groups?attributes={}", doubles.join(","))).await.expect(200).json();
    let all = scim.get("/Groups").await.expect(200).json();
    assert_eq!(shown["Resources"][0]["members"], all["Resources"][0]["members"]);
}
