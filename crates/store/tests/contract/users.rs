//! Users: identity, pages, teams.

use tokenhouse_core::id::UserId;
use tokenhouse_core::people::{Name, Role, UserType};
use tokenhouse_store::users::{NewUser, User, UserFilter, UserSort, UserUpdate};
use tokenhouse_store::{Error, What, teams, users};

use crate::setting::{NOW, Setting, name, on_both, user};

on_both!(
    a_user_is_read_as_they_were_stored,
    a_user_is_found_by_user_name_without_case,
    user_names_and_ids_are_unique,
    what_can_be_changed_is_replaced,
    a_page_holds_what_the_filter_asks_for,
    nothing_in_a_name_part_is_a_wildcard,
    a_part_of_name_user_name_or_address_narrows,
    those_outside_of_a_team_are_found,
    pages_are_sorted_the_same_everywhere,
    pages_follow_each_other_without_overlap,
    a_removed_user_is_absent,
    the_last_admin_is_counted,
    ids_that_exist_are_told,
);

async fn find(s: &Setting, id: UserId) -> Option<User> {
    users::find(&mut *s.read().await, id).await.unwrap()
}

async fn names(s: &Setting, filter: UserFilter) -> Vec<String> {
    let page = users::page(&mut *s.read().await, &filter, 100, 0).await.unwrap();
    assert_eq!(page.total, i64::try_from(page.items.len()).unwrap());
    assert_eq!(users::count(&mut *s.read().await, &filter).await.unwrap(), page.total);
    page.items.into_iter().map(|user| user.name).collect()
}

async fn a_user_is_read_as_they_were_stored(s: Setting) {
    let ada = s.human("ada").await;
    let pipeline = name("Pipeline Automation");
    let new = NewUser {
        user_id: "pipeline_automation@service",
        user_name: "pipeline_automation",
        email: "pipeline_automation@service",
        name: &pipeline,
        role: Role::Admin,
        user_type: UserType::Service,
        purpose: Some("runs the pipelines"),
        owner: Some("Data team"),
        created_at: NOW.plus_days(1),
        created_by: Some(ada),
    };
    let id = s.write(async |w| users::insert(w, &new).await).await;
    let expected = User {
        id,
        user_id: "pipeline_automation@service".into(),
        user_name: "pipeline_automation".into(),
        email: "pipeline_automation@service".into(),
        name: "Pipeline Automation".into(),
        role: Role::Admin,
        user_type: UserType::Service,
        teams: vec!["Public".into()],
        purpose: Some("runs the pipelines".into()),
        owner: Some("Data team".into()),
        created_at: NOW.plus_days(1),
        created_by: Some(ada),
        deleted_at: None,
        last_login: None,
        plan: None,
    };
    assert_eq!(find(&s, id).await, Some(expected));
    let ada = find(&s, ada).await.unwrap();
    assert_eq!((ada.purpose, ada.owner, ada.created_by, ada.role), (None, None, None, Role::Member));
    assert_eq!(find(&s, UserId(99)).await, None);
}

async fn a_user_is_found_by_user_name_without_case(s: Setting) {
    let name = name("Émile");
    let new = NewUser { user_name: "Émile@Example.com", ..user("local|1", &name) };
    let id = s.write(async |w| users::insert(w, &new).await).await;
    let mut c = s.read().await;
    for spelling in
        ["Émile@Example.com", "émile@example.com", "ÉMILE@EXAMPLE.COM", "E\u{301}mile@example.com"]
    {
        let found = users::find_by_user_name(&mut c, spelling).await.unwrap();
        assert_eq!(found.map(|user| user.id), Some(id), "{spelling}");
    }
    assert_eq!(users::find_by_user_name(&mut c, "emile@example.com").await.unwrap(), None);
    assert_eq!(users::find_by_user_name(&mut c, "%").await.unwrap(), None);
}

async fn user_names_and_ids_are_unique(s: Setting) {
    s.human("ada").await;
    let ada = name("Ada");
    let same_id = NewUser { user_name: "other", ..user("local|ada", &ada) };
    let error = s.refused(async |w| users::insert(w, &same_id).await).await;
    assert!(matches!(error, Error::Conflict(What::UserId)), "{error}");
    let same_name = NewUser { user_name: "LOCAL|ADA", ..user("local|2", &ada) };
    let error = s.refused(async |w| users::insert(w, &same_name).await).await;
    assert!(matches!(error, Error::Conflict(What::UserName)), "{error}");
}

async fn what_can_be_changed_is_replaced(s: Setting) {
    let (id, other) = (s.service("ci").await, s.service("cd").await);
    let update = UserUpdate {
        user_name: "Build",
        email: "build@example.com",
        name: &name("Build"),
        role: Role::Manager,
        purpose: Some("builds"),
        owner: None,
    };
    s.write(async |w| users::update(w, id, &update).await).await;
    s.write(async |w| users::set_deactivated(w, id, Some(NOW)).await).await;
    let changed = find(&s, id).await.unwrap();
    assert_eq!((changed.name.as_str(), changed.role), ("Build", Role::Manager));
    assert_eq!(
        (changed.purpose.as_deref(), changed.owner, changed.deleted_at),
        (Some("builds"), None, Some(NOW))
    );
    assert_eq!((changed.user_id.as_str(), changed.user_name.as_str()), ("ci@service", "Build"));
    assert_eq!(changed.email, "build@example.com");
    let all = UserFilter { include_deleted: true, name_part: Some("BUILD".into()), ..UserFilter::default() };
    assert_eq!(names(&s, all).await, ["Build"]);
    let other = find(&s, other).await.unwrap();
    assert_eq!((other.name.as_str(), other.role, other.deleted_at), ("cd", Role::Member, None));
}

/// Ada (Admin, deactivated), Bob (Manager), Émile, zoe, and the service users CI and `robot`.
async fn people(s: &Setting) -> Vec<UserId> {
    let mut ids = Vec::new();
    for (number, (text, role, user_type)) in [
        ("zoe", Role::Member, UserType::Human),
        ("Émile", Role::Member, UserType::Human),
        ("robot", Role::Admin, UserType::Service),
        ("Ada", Role::Admin, UserType::Human),
        ("CI", Role::Member, UserType::Service),
        ("Bob", Role::Manager, UserType::Human),
    ]
    .into_iter()
    .enumerate()
    {
        let (user_id, name): (String, Name) = (format!("local|{number}"), name(text));
        let created_at = NOW.plus_days(-i64::try_from(number).unwrap());
        let new = NewUser { role, user_type, created_at, ..user(&user_id, &name) };
        ids.push(s.write(async |w| users::insert(w, &new).await).await);
    }
    s.write(async |w| users::set_deactivated(w, ids[3], Some(NOW)).await).await;
    ids
}

async fn a_page_holds_what_the_filter_asks_for(s: Setting) {
    let ids = people(&s).await;
    s.write(async |w| {
        let data = teams::insert(w, &name("Data"), None).await?;
        let analytics = teams::insert(w, &name("Analytics"), None).await?;
        teams::add_members(w, data, &[ids[0], ids[4]]).await?;
        teams::add_members(w, analytics, &[ids[0]]).await
    })
    .await;
    let all = UserFilter::default();
    let humans = UserFilter { user_type: Some(UserType::Human), ..all.clone() };
    for (filter, expected) in [
        (all.clone(), vec!["Bob", "CI", "robot", "zoe", "Émile"]),
        (UserFilter { include_deleted: true, ..humans.clone() }, vec!["Ada", "Bob", "zoe", "Émile"]),
        (humans, vec!["Bob", "zoe", "Émile"]),
        (UserFilter { role: Some(Role::Admin), ..all.clone() }, vec!["robot"]),
        (UserFilter { name_part: Some("B".into()), ..all.clone() }, vec!["Bob", "robot"]),
        (UserFilter { name_part: Some("éM".into()), ..all.clone() }, vec!["Émile"]),
        (
            UserFilter { name_part: Some(String::new()), ..all.clone() },
            vec!["Bob", "CI", "robot", "zoe", "Émile"],
        ),
        (UserFilter { team: Some("dATA".into()), ..all.clone() }, vec!["CI", "zoe"]),
        (
            UserFilter { team: Some("public".into()), ..all.clone() },
            vec!["Bob", "CI", "robot", "zoe", "Émile"],
        ),
        (UserFilter { team: Some("nobody".into()), ..all.clone() }, vec![]),
        (
            UserFilter {
                user_type: Some(UserType::Service),
                name_part: Some("c".into()),
                role: Some(Role::Member),
                team: Some("Data".into()),
                include_deleted: true,
                ..all
            },
            vec!["CI"],
        ),
    ] {
        assert_eq!(names(&s, filter.clone()).await, expected, "{filter:?}");
    }
    assert_eq!(find(&s, ids[0]).await.unwrap().teams, ["Public", "Analytics", "Data"]);
}

async fn nothing_in_a_name_part_is_a_wildcard(s: Setting) {
    for (number, text) in
        ["100%", "100 percent", "a_b", "axb", r"back\slash", "it's", "[a]*?"].iter().enumerate()
    {
        let (user_id, name) = (format!("local|{number}"), name(text));
        s.write(async |w| users::insert(w, &user(&user_id, &name)).await).await;
    }
    for (part, expected) in [
        ("%", vec!["100%"]),
        ("_", vec!["a_b"]),
        ("A_B", vec!["a_b"]),
        (r"\", vec![r"back\slash"]),
        ("'", vec!["it's"]),
        ("*", vec!["[a]*?"]),
        ("[A]", vec!["[a]*?"]),
        ("$1", vec![]),
    ] {
        let filter = UserFilter { name_part: Some(part.into()), ..UserFilter::default() };
        assert_eq!(names(&s, filter).await, expected, "{part}");
    }
    let long = UserFilter { name_part: Some("x".repeat(100_000)), ..UserFilter::default() };
    assert_eq!(names(&s, long).await, [""; 0]);
}

async fn a_part_of_name_user_name_or_address_narrows(s: Setting) {
    for (number, (display, user_name, email)) in [
        ("Zoë Ämter", "one", "first@example.com"),
        ("Second", "ZOË", "second@example.com"),
        ("Third", "three", "zoë@example.org"),
        ("Fourth", "four", "fourth@example.com"),
    ]
    .into_iter()
    .enumerate()
    {
        let (user_id, name) = (format!("local|{number}"), name(display));
        let new = NewUser { user_name, email, ..user(&user_id, &name) };
        s.write(async |w| users::insert(w, &new).await).await;
    }
    let part = |part: &str| UserFilter { part: Some(part.into()), ..UserFilter::default() };
    assert_eq!(names(&s, part("zoë")).await, ["Second", "Third", "Zoë Ämter"]);
    assert_eq!(names(&s, part("EXAMPLE.ORG")).await, ["Third"]);
    assert_eq!(names(&s, part("")).await.len(), 4);
    for wildcard in ["%", "_", "*", "'", "\\"] {
        assert_eq!(names(&s, part(wildcard)).await, [""; 0], "{wildcard}");
    }
}

async fn those_outside_of_a_team_are_found(s: Setting) {
    let (ada, bob) = (s.human("ada").await, s.human("bob").await);
    let team = s.write(async |w| teams::insert(w, &name("Data"), None).await).await;
    let other = s.write(async |w| teams::insert(w, &name("Other"), None).await).await;
    s.write(async |w| teams::add_members(w, team, &[ada]).await).await;
    s.write(async |w| teams::add_members(w, other, &[bob]).await).await;
    let outside = UserFilter { outside: Some(team), ..UserFilter::default() };
    assert_eq!(names(&s, outside).await, ["bob"]);
}

async fn pages_are_sorted_the_same_everywhere(s: Setting) {
    people(&s).await;
    s.execute(&format!("UPDATE users SET last_login = {} WHERE name IN ('Bob', 'CI')", NOW.micros())).await;
    for (sort, expected) in [
        (UserSort::Name, ["Ada", "Bob", "CI", "robot", "zoe", "Émile"]),
        (UserSort::Created, ["Bob", "CI", "Ada", "robot", "Émile", "zoe"]),
        (UserSort::Role, ["zoe", "Émile", "CI", "Bob", "robot", "Ada"]),
        (UserSort::LastLogin, ["zoe", "Émile", "robot", "Ada", "CI", "Bob"]),
    ] {
        let filter = UserFilter { sort, include_deleted: true, ..UserFilter::default() };
        assert_eq!(names(&s, filter.clone()).await, expected, "{sort:?}");
        let mut reversed = names(&s, UserFilter { descending: true, ..filter }).await;
        reversed.reverse();
        assert_eq!(reversed, expected, "{sort:?} descending");
    }
}

async fn pages_follow_each_other_without_overlap(s: Setting) {
    // All of the same name, so that only the id tells them apart.
    for number in 0..7 {
        let (user_id, name) = (format!("local|{number}"), name("Ada"));
        s.write(async |w| users::insert(w, &user(&user_id, &name)).await).await;
    }
    let mut seen = Vec::new();
    for offset in [0, 3, 6, 9] {
        let page = users::page(&mut *s.read().await, &UserFilter::default(), 3, offset).await.unwrap();
        assert_eq!(page.total, 7);
        seen.extend(page.items.into_iter().map(|user| user.user_id));
    }
    assert_eq!(seen, (0..7).map(|number| format!("local|{number}")).collect::<Vec<_>>());
}

async fn a_removed_user_is_absent(s: Setting) {
    let ada = s.human("ada").await;
    s.execute(&format!("UPDATE users SET removed_at = {} WHERE id = {ada}", NOW.micros())).await;
    let mut c = s.read().await;
    assert_eq!(users::find(&mut c, ada).await.unwrap(), None);
    assert_eq!(users::find_by_user_name(&mut c, "local|ada").await.unwrap(), None);
    assert_eq!(users::existing(&mut c, &[ada], None).await.unwrap(), []);
    assert_eq!(users::states(&mut c, &[ada]).await.unwrap().first().map(|state| state.active), Some(false));
    drop(c);
    let all = UserFilter { include_deleted: true, ..UserFilter::default() };
    assert_eq!(names(&s, all).await, [""; 0]);
    assert!(matches!(s.refused(async |w| users::set_deactivated(w, ada, None).await).await, Error::NotFound));
    // Their user name is free again, their user id is not.
    let name = name("Ada");
    let again = NewUser { user_name: "local|ada", ..user("local|2", &name) };
    s.write(async |w| users::insert(w, &again).await).await;
}

async fn the_last_admin_is_counted(s: Setting) {
    let count = async || users::active_human_admins(&mut *s.read().await).await.unwrap();
    assert_eq!(count().await, 0);
    let ids = people(&s).await;
    assert_eq!(count().await, 0);
    s.write(async |w| users::set_deactivated(w, ids[3], None).await).await;
    assert_eq!(count().await, 1);
}

async fn ids_that_exist_are_told(s: Setting) {
    let (ada, bob) = (s.human("ada").await, s.human("bob").await);
    let mut c = s.read().await;
    let asked: Vec<_> = (0..1_200).rev().map(UserId).chain([ada, bob]).collect();
    assert_eq!(users::existing(&mut c, &asked, None).await.unwrap(), [ada, bob]);
    assert_eq!(users::existing(&mut c, &[], None).await.unwrap(), []);
}
