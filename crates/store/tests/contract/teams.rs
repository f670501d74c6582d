//! Teams and memberships.

use tokenhouse_core::id::{TeamId, UserId};
use tokenhouse_core::people::PUBLIC_TEAM;
use tokenhouse_store::teams::{Member, PUBLIC, Team};
use tokenhouse_store::{Error, What, teams, users};

use crate::setting::{NOW, Setting, name, on_both};

on_both!(
    everybody_is_in_public,
    public_stays_as_it_is,
    a_team_is_made_changed_and_deleted,
    team_names_are_unique_without_case,
    teams_are_found_by_name,
    pages_begin_with_public,
    members_come_and_go,
    a_member_must_exist,
    a_team_has_room_for_10_000,
    a_user_is_put_into_exactly_these_teams,
);

async fn find(s: &Setting, id: TeamId) -> Option<Team> {
    teams::find(&mut *s.read().await, id).await.unwrap()
}

async fn member_ids(s: &Setting, id: TeamId) -> Vec<UserId> {
    teams::member_ids(&mut *s.read().await, id).await.unwrap()
}

async fn team(s: &Setting, text: &str) -> TeamId {
    s.write(async |w| teams::insert(w, &name(text), None).await).await
}

async fn everybody_is_in_public(s: Setting) {
    let (zoe, ada) = (s.human("zoe").await, s.human("Ada").await);
    let gone = s.human("gone").await;
    s.write(async |w| users::set_deactivated(w, ada, Some(NOW)).await).await;
    s.execute(&format!("UPDATE users SET removed_at = 1 WHERE id = {gone}")).await;
    let expected =
        Team { id: PUBLIC, name: PUBLIC_TEAM.into(), description: None, created_at: NOW, member_count: 2 };
    assert_eq!(find(&s, PUBLIC).await, Some(expected));
    assert_eq!(member_ids(&s, PUBLIC).await, [zoe, ada]);
    let members = teams::members(&mut *s.read().await, PUBLIC).await.unwrap();
    let member = |id, text: &str| Member { id, user_id: format!("local|{text}"), name: text.into() };
    assert_eq!(members, [member(ada, "Ada"), member(zoe, "zoe")]);
}

async fn public_stays_as_it_is(s: Setting) {
    let ada = s.human("ada").await;
    let error = s.refused(async |w| teams::delete(w, PUBLIC).await).await;
    assert!(matches!(error, Error::NotFound));
    let error = s.refused(async |w| teams::update(w, PUBLIC, &name("Secret"), None).await).await;
    assert!(matches!(error, Error::NotFound));
    let error = s.refused(async |w| teams::add_members(w, PUBLIC, &[ada]).await).await;
    assert!(matches!(error, Error::Refused(_)));
    let error = s.refused(async |w| teams::insert(w, &name("PUBLIC"), None).await).await;
    assert!(matches!(error, Error::Conflict(What::TeamName)));
}

async fn a_team_is_made_changed_and_deleted(s: Setting) {
    let ada = s.human("ada").await;
    let id = s.write(async |w| teams::insert(w, &name("Data"), Some("all of it")).await).await;
    assert!(id > PUBLIC);
    let made = Team {
        id,
        name: "Data".into(),
        description: Some("all of it".into()),
        created_at: NOW,
        member_count: 0,
    };
    assert_eq!(find(&s, id).await, Some(made.clone()));
    s.write(async |w| {
        teams::add_members(w, id, &[ada]).await?;
        teams::update(w, id, &name("Analytics"), None).await
    })
    .await;
    let changed = Team { name: "Analytics".into(), description: None, member_count: 1, ..made };
    assert_eq!(find(&s, id).await, Some(changed));
    s.write(async |w| teams::delete(w, id).await).await;
    assert_eq!(find(&s, id).await, None);
    assert_eq!(member_ids(&s, id).await, []);
    let ada = users::find(&mut *s.read().await, ada).await.unwrap().unwrap();
    assert_eq!(ada.teams, [PUBLIC_TEAM]);
    assert!(team(&s, "Analytics").await > id);
}

async fn team_names_are_unique_without_case(s: Setting) {
    let (data, other) = (team(&s, "Datä").await, team(&s, "Other").await);
    let error = s.refused(async |w| teams::insert(w, &name("DATÄ"), None).await).await;
    assert!(matches!(error, Error::Conflict(What::TeamName)), "{error}");
    let error = s.refused(async |w| teams::update(w, other, &name("datä"), None).await).await;
    assert!(matches!(error, Error::Conflict(What::TeamName)), "{error}");
    s.write(async |w| teams::update(w, data, &name("DATÄ"), None).await).await;
}

async fn teams_are_found_by_name(s: Setting) {
    let (data, ops) = (team(&s, "Data").await, team(&s, "Ops").await);
    let mut c = s.read().await;
    let found = teams::find_by_names(&mut c, &["OPS", "nobody", "data", "Data", "public"]).await.unwrap();
    assert_eq!(found, [(PUBLIC, "Public".into()), (data, "Data".into()), (ops, "Ops".into())]);
    assert_eq!(teams::find_by_names(&mut c, &[]).await.unwrap(), []);
}

async fn pages_begin_with_public(s: Setting) {
    for text in ["zeta", "Beta", "alpha", "Éta"] {
        team(&s, text).await;
    }
    let mut c = s.read().await;
    let mut names = Vec::new();
    for offset in [0, 2, 4, 6] {
        let page = teams::page(&mut c, 2, offset).await.unwrap();
        assert_eq!(page.total, 5);
        names.extend(page.items.into_iter().map(|team| team.name));
    }
    assert_eq!(names, ["Public", "alpha", "Beta", "zeta", "Éta"]);
    assert_eq!(teams::count(&mut c).await.unwrap(), 5);
    assert_eq!(teams::names(&mut c, 3).await.unwrap(), ["alpha", "Beta", "zeta"]);
}

async fn members_come_and_go(s: Setting) {
    let (ada, bob, eve) = (s.human("ada").await, s.human("bob").await, s.human("eve").await);
    let (data, ops) = (team(&s, "Data").await, team(&s, "Ops").await);
    s.write(async |w| teams::add_members(w, data, &[eve, ada]).await).await;
    s.write(async |w| teams::add_members(w, data, &[ada, bob, bob]).await).await;
    s.write(async |w| teams::add_members(w, ops, &[ada]).await).await;
    assert_eq!(member_ids(&s, data).await, [ada, bob, eve]);
    s.write(async |w| teams::remove_members(w, data, &[ada, eve]).await).await;
    s.write(async |w| teams::remove_members(w, data, &[ada]).await).await;
    s.write(async |w| teams::add_members(w, data, &[]).await).await;
    assert_eq!(member_ids(&s, data).await, [bob]);
    assert_eq!(member_ids(&s, ops).await, [ada]);
    assert_eq!(find(&s, data).await.unwrap().member_count, 1);
}

async fn a_member_must_exist(s: Setting) {
    let data = team(&s, "Data").await;
    let error = s.refused(async |w| teams::add_members(w, data, &[UserId(77)]).await).await;
    assert!(matches!(error, Error::Refused(_)), "{error}");
}

async fn a_team_has_room_for_10_000(s: Setting) {
    let rows: Vec<String> = (1..=10_000)
        .map(|id| format!("('u{id}', 'u{id}', 'u{id}', '', '', 'U', 'u', 'Member', 'Human', 0)"))
        .collect();
    s.execute(&format!(
        "INSERT INTO users (user_id, user_name, user_name_folded, email, email_folded, name, name_folded, \
         role, user_type, created_at) VALUES {}",
        rows.join(", ")
    ))
    .await;
    let everybody = member_ids(&s, PUBLIC).await;
    assert_eq!(everybody.len(), 10_000);
    let data = team(&s, "Data").await;
    s.write(async |w| teams::add_members(w, data, &everybody).await).await;
    assert_eq!(users::existing(&mut *s.read().await, &everybody, None).await.unwrap(), everybody);
    assert_eq!(member_ids(&s, data).await, everybody);
    assert_eq!(teams::members(&mut *s.read().await, data).await.unwrap().len(), 10_000);
    assert_eq!(find(&s, data).await.unwrap().member_count, 10_000);
    s.write(async |w| teams::remove_members(w, data, &everybody[1..]).await).await;
    assert_eq!(member_ids(&s, data).await, everybody[..1]);
}

async fn a_user_is_put_into_exactly_these_teams(s: Setting) {
    let (ada, bob) = (s.human("ada").await, s.human("bob").await);
    let (data, ops, web) = (team(&s, "Data").await, team(&s, "Ops").await, team(&s, "Web").await);
    s.write(async |w| {
        teams::set_teams_of(w, bob, &[data]).await?;
        teams::set_teams_of(w, ada, &[data, ops]).await?;
        teams::set_teams_of(w, ada, &[web, PUBLIC, ops]).await
    })
    .await;
    let mut c = s.read().await;
    assert_eq!(users::find(&mut c, ada).await.unwrap().unwrap().teams, ["Public", "Ops", "Web"]);
    assert_eq!(users::find(&mut c, bob).await.unwrap().unwrap().teams, ["Public", "Data"]);
    drop(c);
    s.write(async |w| teams::set_teams_of(w, ada, &[]).await).await;
    assert_eq!(users::find(&mut *s.read().await, ada).await.unwrap().unwrap().teams, ["Public"]);
}
