//! People and teams as a directory knows them.

use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{TeamId, UserId};
use tokenhouse_core::people::{Role, UserType};
use tokenhouse_store::directory::{
    self, Attribute, Comparison, Condition, Field, Group, Person, Sort, Value, member_ids,
};
use tokenhouse_store::users::{NewUser, UserUpdate};
use tokenhouse_store::{Error, What, passwords, teams, users};

use crate::setting::{NOW, Setting, name, on_both, user};

on_both!(
    people_are_read_with_all_that_is_known,
    a_person_of_a_directory_is_stored_as_told,
    a_new_person_is_found_by_address_and_role,
    every_change_makes_a_new_version,
    a_removed_person_is_gone,
    teams_are_read_without_service_users,
    every_change_of_a_team_makes_a_new_version,
    teams_are_searched,
);

async fn person(s: &Setting, id: UserId) -> Person {
    directory::people(&mut *s.read().await, &[id]).await.unwrap().pop().unwrap()
}

async fn group(s: &Setting, id: TeamId) -> Group {
    directory::groups(&mut *s.read().await, &[id], true).await.unwrap().pop().unwrap()
}

async fn team(s: &Setting, text: &str, members: &[UserId]) -> TeamId {
    s.write(async |w| {
        let id = teams::insert(w, &name(text), None).await?;
        teams::add_members(w, id, members).await?;
        Ok(id)
    })
    .await
}

async fn found(s: &Setting, condition: Condition) -> Vec<UserId> {
    let page = directory::search_people(&mut *s.read().await, &condition, &Sort::default(), (100, 0)).await;
    page.unwrap().items
}

fn equal(attribute: &str, part: &str, text: &str) -> Condition {
    let field = Field::Other { attribute: attribute.into(), part: part.into(), exact: false };
    Condition::Is(field, Comparison::Equal, Value::Text(text.into()))
}

async fn people_are_read_with_all_that_is_known(s: Setting) {
    let (ada, bob, robot) = (s.human("Ada").await, s.human("Bob").await, s.service("robot").await);
    let (ops, data) = (team(&s, "Ops", &[ada]).await, team(&s, "data", &[ada, robot]).await);
    s.write(async |w| directory::replace(w, ada, Some("A-1"), r#"{"title":"T"}"#, &[]).await).await;
    let read = directory::people(&mut *s.read().await, &[bob, UserId(999), robot, ada, bob]).await.unwrap();
    assert_eq!(read.iter().map(|person| person.user.id).collect::<Vec<_>>(), [bob, ada]);
    let Person { user, groups, external_id, document, version, changed_at } = read[1].clone();
    assert_eq!(groups, [(data, "data".to_owned()), (ops, "Ops".to_owned())]);
    assert_eq!(user.teams, ["Public", "data", "Ops"]);
    assert_eq!((external_id.as_deref(), document.as_deref()), (Some("A-1"), Some(r#"{"title":"T"}"#)));
    assert_eq!((version, changed_at), (2, NOW));
    assert_eq!((read[0].version, read[0].changed_at, &read[0].document), (1, NOW, &None));
    let asked = [bob, robot, UserId(999), ada, ada];
    let existing = users::existing(&mut *s.read().await, &asked, Some(UserType::Human)).await;
    assert_eq!(existing.unwrap(), [ada, bob]);
}

async fn a_person_of_a_directory_is_stored_as_told(s: Setting) {
    let name = name("Ada");
    let new = NewUser { role: Role::Manager, ..user("local|ada", &name) };
    let title = Attribute { position: 0, part: String::new(), ..Attribute::value_of("title", 0, "Countess") };
    let told = s
        .write(async |w| directory::insert(w, &new, Some("A-1"), r#"{"title":"Countess"}"#, &[title]).await)
        .await;
    assert_eq!(told, person(&s, told.user.id).await);
    assert_eq!((told.external_id.as_deref(), told.version), (Some("A-1"), 1));
    assert_eq!(found(&s, equal("title", "", "countess")).await, [told.user.id]);
    assert_eq!(found(&s, equal("roles", "value", "manager")).await, [], "nobody said so");
    let error = s.refused(async |w| directory::insert(w, &new, None, "{}", &[]).await).await;
    assert!(matches!(error, Error::Conflict(What::UserName | What::UserId)), "{error}");
}

async fn a_new_person_is_found_by_address_and_role(s: Setting) {
    let (ada, bob) = (s.human("Ada").await, s.human("Bob").await);
    s.service("robot").await;
    assert_eq!(found(&s, equal("emails", "value", "LOCAL|ada")).await, [ada]);
    assert_eq!(found(&s, equal("roles", "value", "member")).await, [ada, bob]);
    let said = |text: &str| Attribute {
        attribute: "roles".into(),
        position: 1,
        part: "value".into(),
        text: text.into(),
    };
    s.write(async |w| {
        directory::replace(w, bob, None, "{}", &[said("Pilot"), Attribute { position: 0, ..said("Member") }])
            .await
    })
    .await;
    let bobs = name("Bob");
    let update = UserUpdate {
        user_name: "bob",
        email: "bob@example.com",
        name: &bobs,
        role: Role::Admin,
        purpose: None,
        owner: None,
    };
    s.write(async |w| users::update(w, bob, &update).await).await;
    assert_eq!(found(&s, equal("roles", "value", "member")).await, [ada]);
    assert_eq!(found(&s, equal("roles", "value", "ADMIN")).await, [bob]);
    assert_eq!(found(&s, equal("roles", "value", "pilot")).await, [bob]);
    let taken = UserUpdate { user_name: "LOCAL|ADA", ..update };
    let error = s.refused(async |w| users::update(w, bob, &taken).await).await;
    assert!(matches!(error, Error::Conflict(What::UserName)), "{error}");
    assert_eq!(person(&s, bob).await.user.user_name, "bob");
}

async fn every_change_makes_a_new_version(s: Setting) {
    let ada = s.human("Ada").await;
    let adas = name("Ada");
    let update = UserUpdate {
        user_name: "ada",
        email: "ada",
        name: &adas,
        role: Role::Admin,
        purpose: None,
        owner: None,
    };
    let mut last = 0;
    for step in 0..4 {
        let version = person(&s, ada).await.version;
        assert!(version > last, "step {step}");
        last = version;
        s.write(async |w| match step {
            0 => users::update(w, ada, &update).await,
            1 => users::set_deactivated(w, ada, Some(NOW)).await,
            2 => users::set_deactivated(w, ada, None).await,
            _ => directory::replace(w, ada, Some("x"), "{}", &[]).await,
        })
        .await;
    }
    s.execute(&format!("UPDATE users SET changed_at = 1 WHERE id = {ada}")).await;
    assert_eq!(person(&s, ada).await.changed_at, Timestamp::from_micros(1));
    s.write(async |w| users::update(w, ada, &update).await).await;
    assert_eq!(person(&s, ada).await.changed_at, NOW);
    // Who signs in doesn't change.
    let version = person(&s, ada).await.version;
    s.write(async |w| passwords::note_sign_in(w, ada).await).await;
    assert_eq!(person(&s, ada).await.version, version);
}

async fn a_removed_person_is_gone(s: Setting) {
    let (ada, bob) = (s.human("Ada").await, s.human("Bob").await);
    let data = team(&s, "Data", &[ada, bob]).await;
    s.write(async |w| directory::replace(w, ada, Some("A-1"), "{}", &[]).await).await;
    s.write(async |w| {
        teams::set_teams_of(w, ada, &[]).await?;
        directory::remove(w, ada).await
    })
    .await;
    let error = s.refused(async |w| directory::remove(w, ada).await).await;
    assert!(matches!(error, Error::NotFound));
    assert!(directory::people(&mut *s.read().await, &[ada]).await.unwrap().is_empty());
    assert_eq!(found(&s, Condition::All(vec![])).await, [bob]);
    assert_eq!(found(&s, equal("emails", "value", "local|ada")).await, []);
    assert_eq!(users::find(&mut *s.read().await, ada).await.unwrap(), None);
    assert_eq!(member_ids(&mut *s.read().await, data, None).await.unwrap(), [bob]);
    // The index still has to know that they are gone.
    let states = users::states(&mut *s.read().await, &[ada]).await.unwrap();
    assert!(!states[0].active);
    // Somebody else may have the name.
    let again = user("local|again", &name("Ada")).user_id.to_owned();
    let adas = name("Ada");
    let new = tokenhouse_store::users::NewUser { user_name: "LOCAL|Ada", ..user(&again, &adas) };
    assert!(s.write(async |w| users::insert(w, &new).await).await > bob);
}

async fn teams_are_read_without_service_users(s: Setting) {
    let (ada, bob, robot) = (s.human("Ada").await, s.human("Bob").await, s.service("robot").await);
    let (data, ops) = (team(&s, "Data", &[bob, robot, ada]).await, team(&s, "Ops", &[robot]).await);
    s.write(async |w| directory::set_external_id(w, data, Some("d-1")).await).await;
    let mut c = s.read().await;
    let read = directory::groups(&mut c, &[ops, teams::PUBLIC, data, TeamId(999)], true).await.unwrap();
    let expected = Group {
        id: data,
        name: "Data".into(),
        external_id: Some("d-1".into()),
        created_at: NOW,
        changed_at: NOW,
        version: read[1].version,
        members: vec![ada, bob],
    };
    assert_eq!((read[0].id, &read[0].members, &read[1]), (ops, &vec![], &expected));
    let without = directory::groups(&mut c, &[data], false).await.unwrap();
    assert_eq!(without, [Group { members: vec![], ..expected }]);
    assert_eq!(member_ids(&mut c, data, None).await.unwrap(), [ada, bob]);
    assert_eq!(member_ids(&mut c, data, Some(&[bob, bob, robot, UserId(999)])).await.unwrap(), [bob]);
    assert_eq!(member_ids(&mut c, data, Some(&[])).await.unwrap(), []);
    let error = s.refused(async |w| directory::set_external_id(w, teams::PUBLIC, Some("x")).await).await;
    assert!(matches!(error, Error::NotFound));
}

async fn every_change_of_a_team_makes_a_new_version(s: Setting) {
    let (ada, bob) = (s.human("Ada").await, s.human("Bob").await);
    let data = team(&s, "Data", &[]).await;
    let mut last = 0;
    for step in 0..6 {
        let version = group(&s, data).await.version;
        assert!(version > last, "step {step}");
        last = version;
        s.write(async |w| match step {
            0 => teams::update(w, data, &name("Data"), Some("x")).await,
            1 => teams::add_members(w, data, &[ada]).await,
            2 => teams::set_teams_of(w, bob, &[data]).await,
            3 => teams::remove_members(w, data, &[ada]).await,
            4 => teams::set_teams_of(w, bob, &[]).await,
            _ => directory::set_external_id(w, data, Some("x")).await,
        })
        .await;
    }
    let version = group(&s, data).await.version;
    s.write(async |w| {
        teams::remove_members(w, data, &[ada]).await?;
        teams::add_members(w, data, &[]).await?;
        teams::set_teams_of(w, bob, &[]).await
    })
    .await;
    assert_eq!(group(&s, data).await.version, version);
}

async fn teams_are_searched(s: Setting) {
    let (ada, robot) = (s.human("Ada").await, s.service("robot").await);
    let (ops, data) = (team(&s, "Öps", &[ada]).await, team(&s, "Data", &[robot]).await);
    s.write(async |w| directory::set_external_id(w, ops, Some("O")).await).await;
    let is = |field, comparison, text: &str| Condition::Is(field, comparison, Value::Text(text.into()));
    for (condition, expected) in [
        (Condition::All(vec![]), vec![ops, data]),
        (is(Field::DisplayName, Comparison::StartsWith, "öP"), vec![ops]),
        (is(Field::ExternalId, Comparison::Equal, "O"), vec![ops]),
        (is(Field::Id, Comparison::Equal, &data.to_string()), vec![data]),
        (is(Field::Id, Comparison::Equal, "1"), vec![]),
        (is(Field::Id, Comparison::Equal, "x"), vec![]),
        (Condition::Member(Some(ada)), vec![ops]),
        (Condition::Member(Some(robot)), vec![]),
        (Condition::Member(None), vec![ops]),
        (Condition::Not(Box::new(Condition::Member(None))), vec![data]),
        (Condition::Is(Field::Created, Comparison::Equal, Value::Time(NOW)), vec![ops, data]),
    ] {
        let page =
            directory::search_groups(&mut *s.read().await, &condition, &Sort::default(), (100, 0)).await;
        assert_eq!(page.unwrap().items, expected, "{condition:?}");
    }
    let sort = Sort { by: Some(Field::DisplayName), descending: false };
    let all = Condition::All(vec![]);
    let page = directory::search_groups(&mut *s.read().await, &all, &sort, (1, 0)).await.unwrap();
    assert_eq!((page.items, page.total), (vec![data], 2));
}
