//! The audit trail: nothing in it can be changed unseen.

use serde_json::Map;
use tokenhouse_core::audit::{Action, Actor, Broken, Head, Record, Via};
use tokenhouse_core::clock::{Clock, Timestamp};
use tokenhouse_core::id::{TokenId, UserId};
use tokenhouse_core::people::UserType;
use tokenhouse_store::audit::{AuditFilter, Day, Draft, Insights, StoredRecord};
use tokenhouse_store::{Error, audit};

use crate::setting::{NOW, Setting, draft, on_both};

on_both!(
    a_record_is_read_as_it_was_written,
    an_untouched_trail_verifies,
    a_change_of_any_column_is_found,
    missing_records_are_found,
    a_head_that_was_set_back_is_found_and_never_sealed_again,
    nothing_is_written_after_a_head_that_is_gone,
    a_long_trail_verifies,
    a_filter_finds_what_it_asks_for,
    pages_follow_each_other_newest_first,
    insights_count_people_and_automation,
    insights_into_nothing_are_empty,
    whoever_did_something_can_be_chosen,
);

/// Writes these records in one transaction.
async fn write(s: &Setting, at: Timestamp, drafts: Vec<Draft>) -> Head {
    let mut w = s.store.begin(&Clock::turned(at)).await.unwrap();
    for draft in drafts {
        w.record(draft).await.unwrap();
    }
    w.commit().await.unwrap().head()
}

/// A record with nothing that can be left out.
fn bare(action: Action, id: i64) -> Draft {
    Draft {
        actor: None,
        via: Via::System,
        ip: None,
        request_id: None,
        changes: Map::new(),
        ..draft(action, id)
    }
}

async fn verify(s: &Setting, expected: Option<Head>) -> Result<Head, Broken> {
    audit::verify(&s.store, expected).await.unwrap()
}

async fn all(s: &Setting, filter: &AuditFilter) -> Vec<StoredRecord> {
    audit::page(&mut *s.read().await, filter, 100, 0).await.unwrap().items
}

async fn a_record_is_read_as_it_was_written(s: Setting) {
    let full = draft(Action::TokenGenerated, 10);
    let head = write(&s, NOW, vec![full.clone(), bare(Action::UserCreated, 2)]).await;
    let records = all(&s, &AuditFilter::default()).await;
    let first = Record {
        seq: 1,
        at: NOW,
        action: "token.generated".into(),
        entity: full.entity.clone(),
        actor: full.actor.clone(),
        via_kind: "token".into(),
        via_token: Some(TokenId(3)),
        ip: Some("10.0.0.7".into()),
        request_id: Some("r-1".into()),
        changes: r#"{"name":[null,"airflow-prod"]}"#.into(),
    };
    assert_eq!(records[1], StoredRecord { hash: Head::EMPTY.after(&first).hash, record: first.clone() });
    let second = Record {
        seq: 2,
        action: "user.created".into(),
        entity: bare(Action::UserCreated, 2).entity,
        actor: None,
        via_kind: "system".into(),
        via_token: None,
        ip: None,
        request_id: None,
        changes: "{}".into(),
        ..first
    };
    assert_eq!(records[0], StoredRecord { hash: head.hash, record: second });
}

async fn an_untouched_trail_verifies(s: Setting) {
    assert_eq!(verify(&s, None).await, Ok(Head::EMPTY));
    let first = write(&s, NOW, vec![draft(Action::TokenGenerated, 1)]).await;
    let last = write(&s, NOW, vec![bare(Action::TokenRevoked, 1), draft(Action::TokenDeleted, 1)]).await;
    for expected in [None, Some(first), Some(last)] {
        assert_eq!(verify(&s, expected).await, Ok(last));
    }
    let other = Head { hash: [9; 32], ..first };
    assert_eq!(verify(&s, Some(other)).await, Err(Broken::NotAsExpected(1)));
}

async fn a_change_of_any_column_is_found(s: Setting) {
    let drafts = vec![
        draft(Action::TokenGenerated, 1),
        draft(Action::TokenRevoked, 1),
        bare(Action::UserCreated, 1),
        draft(Action::TokenDeleted, 1),
    ];
    let head = write(&s, NOW, drafts).await;
    s.execute("CREATE TABLE kept AS SELECT * FROM changes").await;
    let hash = "(SELECT hash FROM kept WHERE seq = 1)";
    for (column, values) in [
        ("seq", ["seq + 100", "-seq"]),
        ("at", ["at + 1", "0"]),
        ("action", ["'token.restored'", "''"]),
        ("entity_kind", ["'team'", "''"]),
        ("entity_id", ["entity_id + 1", "-1"]),
        ("entity_name", ["'other'", "entity_name || ' '"]),
        ("actor_id", ["coalesce(actor_id, 0) + 1", "CASE WHEN actor_id IS NULL THEN 1 END"]),
        ("actor_user_id", ["'local|eve'", "CASE WHEN actor_user_id IS NULL THEN '' END"]),
        ("actor_name", ["'Eve'", "CASE WHEN actor_name IS NULL THEN '' END"]),
        ("actor_type", ["'Service'", "CASE WHEN actor_type IS NULL THEN 'Human' END"]),
        ("via_kind", ["'session'", "''"]),
        ("via_token", ["coalesce(via_token, 0) + 1", "CASE WHEN via_token IS NULL THEN 0 END"]),
        ("ip", ["'10.0.0.8'", "CASE WHEN ip IS NULL THEN '' END"]),
        ("request_id", ["'r-2'", "CASE WHEN request_id IS NULL THEN '' END"]),
        ("changes", ["changes || ' '", "'{\"name\":[null,\"x\"]}'"]),
        ("hash", [hash, "substr(hash, 1, 16)"]),
    ] {
        for value in values {
            for seq in [2, 3] {
                s.execute(&format!("UPDATE changes SET {column} = {value} WHERE seq = {seq}")).await;
                let found = verify(&s, None).await;
                let expected =
                    [Err(Broken::Missing(seq)), Err(Broken::Changed(seq)), Err(Broken::Changed(1))];
                assert!(expected.contains(&found), "{column} = {value} of {seq}: {found:?}");
                s.execute("DELETE FROM changes; INSERT INTO changes SELECT * FROM kept").await;
            }
        }
    }
    assert_eq!(verify(&s, None).await, Ok(head));
}

async fn missing_records_are_found(s: Setting) {
    write(&s, NOW, (0..5).map(|id| draft(Action::TokenGenerated, id)).collect()).await;
    s.execute("DELETE FROM changes WHERE seq = 5").await;
    assert_eq!(verify(&s, None).await, Err(Broken::HeadMoved { found: 4, sealed: 5, first: 5 }));
    s.execute("DELETE FROM changes WHERE seq = 2").await;
    assert_eq!(verify(&s, None).await, Err(Broken::Missing(2)));
    s.execute("DELETE FROM changes").await;
    assert_eq!(verify(&s, None).await, Err(Broken::HeadMoved { found: 0, sealed: 5, first: 1 }));
}

async fn a_head_that_was_set_back_is_found_and_never_sealed_again(s: Setting) {
    write(&s, NOW, vec![draft(Action::TokenGenerated, 1)]).await;
    write(&s, NOW, vec![draft(Action::TokenRevoked, 1)]).await;
    s.execute(
        "DELETE FROM changes WHERE seq = 2; \
         UPDATE audit_head SET seq = 1, hash = (SELECT hash FROM changes WHERE seq = 1)",
    )
    .await;
    assert_eq!(verify(&s, None).await, Err(Broken::SealBroken(1)));
    // A head that is known is compared when it is replaced, and read again after that.
    for _ in 0..2 {
        let written = async {
            let mut w = s.store.begin(&Clock::turned(NOW)).await?;
            w.record(draft(Action::TokenRestored, 1)).await?;
            w.commit().await
        };
        assert!(matches!(written.await, Err(Error::Corrupt(_))));
    }
    assert!(matches!(s.store.begin(&Clock::turned(NOW)).await, Err(Error::Corrupt(_))));
    assert_eq!(verify(&s, None).await, Err(Broken::SealBroken(1)));
}

async fn nothing_is_written_after_a_head_that_is_gone(s: Setting) {
    write(&s, NOW, vec![draft(Action::TokenGenerated, 1)]).await;
    s.execute("DELETE FROM audit_head").await;
    let written = async {
        let mut w = s.store.begin(&Clock::turned(NOW)).await?;
        w.record(draft(Action::TokenRevoked, 1)).await?;
        w.commit().await
    };
    assert!(matches!(written.await, Err(Error::Corrupt(_))));
    let count = "SELECT count(*) FROM changes";
    let changes: i64 = sqlx::query_scalar(count).fetch_one(&mut s.raw().await).await.unwrap();
    assert_eq!(changes, 1);
}

async fn a_long_trail_verifies(s: Setting) {
    let head = write(&s, NOW, (0..2_001).map(|id| draft(Action::TokenGenerated, id)).collect()).await;
    assert_eq!(verify(&s, None).await, Ok(head));
    s.execute("UPDATE changes SET ip = NULL WHERE seq = 1500").await;
    assert_eq!(verify(&s, None).await, Err(Broken::Changed(1_500)));
}

/// Six records: by Ada, the system, Bob, a service user, Ada through SCIM, Ada on the next day.
async fn story(s: &Setting) {
    let actor = |id, name: &str, user_type| {
        Some(Actor { id: UserId(id), user_id: format!("local|{name}"), name: name.into(), user_type })
    };
    let ci = actor(3, "ci", UserType::Service);
    let drafts = vec![
        draft(Action::TokenGenerated, 1),
        bare(Action::UserCreated, 2),
        Draft { actor: actor(2, "bob", UserType::Human), via: Via::Session, ..draft(Action::TeamCreated, 2) },
        Draft { actor: ci, ..draft(Action::TokenRevoked, 1) },
        Draft { via: Via::Scim(TokenId(3)), ..draft(Action::UserUpdated, 2) },
    ];
    write(s, NOW, drafts).await;
    let renamed = actor(1, "ada lovelace", UserType::Human);
    let last = Draft { actor: renamed, ..draft(Action::TokenGenerated, 2) };
    write(s, NOW.plus_days(1), vec![last]).await;
}

async fn a_filter_finds_what_it_asks_for(s: Setting) {
    story(&s).await;
    let any = AuditFilter::default();
    let tomorrow = Some(NOW.plus_days(1));
    for (filter, expected) in [
        (any.clone(), vec![6, 5, 4, 3, 2, 1]),
        (AuditFilter { from: tomorrow, ..any.clone() }, vec![6]),
        (AuditFilter { to: tomorrow, ..any.clone() }, vec![5, 4, 3, 2, 1]),
        (AuditFilter { from: Some(NOW), to: Some(NOW), ..any.clone() }, vec![]),
        (AuditFilter { user: Some(UserId(1)), ..any.clone() }, vec![6, 5, 1]),
        (AuditFilter { action: Some(Action::TokenGenerated), ..any.clone() }, vec![6, 1]),
        (AuditFilter { entity: Some("user".into()), ..any.clone() }, vec![5, 2]),
        (AuditFilter { entity: Some("token".into()), entity_id: Some(1), ..any.clone() }, vec![4, 1]),
        (AuditFilter { via_tokens: vec![TokenId(3), TokenId(99)], ..any.clone() }, vec![6, 5, 4, 1]),
        (AuditFilter { via_tokens: vec![TokenId(99)], ..any.clone() }, vec![]),
        (AuditFilter { hide_automated: true, ..any.clone() }, vec![6, 3, 1]),
        (
            AuditFilter {
                from: Some(NOW),
                to: tomorrow,
                user: Some(UserId(1)),
                action: Some(Action::TokenGenerated),
                entity: Some("token".into()),
                hide_automated: true,
                ..any.clone()
            },
            vec![1],
        ),
    ] {
        let found: Vec<i64> = all(&s, &filter).await.iter().map(|stored| stored.record.seq).collect();
        assert_eq!(found, expected, "{filter:?}");
    }
}

async fn pages_follow_each_other_newest_first(s: Setting) {
    story(&s).await;
    let filter = AuditFilter { hide_automated: true, ..AuditFilter::default() };
    let mut c = s.read().await;
    let seqs = |records: &[StoredRecord]| records.iter().map(|r| r.record.seq).collect::<Vec<_>>();
    for (offset, expected) in [(0, vec![6, 3]), (2, vec![1]), (4, vec![])] {
        let page = audit::page(&mut c, &filter, 2, offset).await.unwrap();
        assert_eq!((seqs(&page.items), page.total), (expected, 3));
    }
    for (before, expected) in [(i64::MAX, vec![6, 3]), (3, vec![1]), (1, vec![])] {
        assert_eq!(seqs(&audit::before(&mut c, &filter, before, 2).await.unwrap()), expected);
    }
}

async fn insights_count_people_and_automation(s: Setting) {
    story(&s).await;
    let mut c = s.read().await;
    let ada = Actor {
        id: UserId(1),
        user_id: "local|ada lovelace".into(),
        name: "ada lovelace".into(),
        user_type: UserType::Human,
    };
    let midnight = NOW.start_of_day();
    let expected = Insights {
        active_users: 3,
        total_actions: 6,
        most_active_user: Some((ada, 3)),
        top_category: Some(("token".into(), 3)),
        days: vec![
            Day { start: midnight, user: 2, automated: 3 },
            Day { start: midnight.plus_days(1), user: 1, automated: 0 },
        ],
    };
    assert_eq!(audit::insights(&mut c, &AuditFilter::default()).await.unwrap(), expected);
    assert_eq!(audit::active_users(&mut c, &AuditFilter::default()).await.unwrap(), 3);
    let people = AuditFilter { hide_automated: true, to: Some(NOW.plus_days(1)), ..AuditFilter::default() };
    let narrowed = audit::insights(&mut c, &people).await.unwrap();
    assert_eq!((narrowed.active_users, narrowed.total_actions), (2, 2));
    assert_eq!(audit::active_users(&mut c, &people).await.unwrap(), 2);
    assert_eq!(narrowed.most_active_user.map(|(actor, count)| (actor.name, count)), Some(("Ada".into(), 1)));
    assert_eq!(narrowed.top_category, Some(("team".into(), 1)));
    assert_eq!(narrowed.days, [Day { start: midnight, user: 2, automated: 0 }]);
}

async fn insights_into_nothing_are_empty(s: Setting) {
    let none = audit::insights(&mut *s.read().await, &AuditFilter::default()).await.unwrap();
    assert_eq!(none, Insights::default());
}

async fn whoever_did_something_can_be_chosen(s: Setting) {
    story(&s).await;
    let mut c = s.read().await;
    let names = async |c: &mut tokenhouse_store::Connection, filter: &AuditFilter, limit| {
        let found = audit::actors(c, filter, limit).await.unwrap();
        found.into_iter().map(|actor| actor.name).collect::<Vec<_>>()
    };
    let all = names(&mut c, &AuditFilter::default(), 10).await;
    // The name is the latest one.
    assert!(all.len() == 3 && all.contains(&"ada lovelace".to_owned()) && all.is_sorted(), "{all:?}");
    assert_eq!(names(&mut c, &AuditFilter::default(), 2).await, all[..2]);
    let people = AuditFilter { hide_automated: true, to: Some(NOW.plus_days(1)), ..AuditFilter::default() };
    assert_eq!(names(&mut c, &people, 10).await.len(), 2);
    let nothing = AuditFilter { to: Some(NOW.plus_days(-9)), ..AuditFilter::default() };
    assert!(names(&mut c, &nothing, 10).await.is_empty());
}
