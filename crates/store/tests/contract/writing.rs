//! Transactions: all or nothing, one at a time, never without a record.

use std::collections::BTreeSet;
use std::future::ready;

use tokenhouse_core::audit::{Action, Head};
use tokenhouse_core::clock::Clock;
use tokenhouse_core::id::{TokenId, UserId};
use tokenhouse_store::{Connection, Error, What, audit, changes, tokens, users};

use crate::setting::{NOW, Setting, draft, name, on_both, open, token, user};

on_both!(
    a_change_is_there_after_the_commit,
    a_dropped_writer_changes_nothing,
    a_commit_needs_a_record,
    nothing_goes_on_after_an_error,
    changing_what_is_not_there_fails,
    of_50_who_want_one_name_one_gets_it,
    parallel_writers_leave_no_gap,
    a_reader_cannot_write,
);

async fn a_change_is_there_after_the_commit(s: Setting) {
    let mut w = s.begin().await;
    assert_eq!(w.now(), NOW);
    let id = users::insert(&mut w, &user("local|ada", &name("Ada"))).await.unwrap();
    assert!(users::find(&mut w, id).await.unwrap().is_some());
    assert!(users::find(&mut *s.read().await, id).await.unwrap().is_none());
    assert_eq!(w.record(draft(Action::UserCreated, id.0)).await.unwrap(), 1);
    assert_eq!(w.record(draft(Action::UserUpdated, id.0)).await.unwrap(), 2);
    let head = w.commit().await.unwrap().head();
    let mut c = s.read().await;
    assert_eq!(users::find(&mut c, id).await.unwrap().unwrap().name, "Ada");
    assert_eq!(audit::head(&mut c).await.unwrap().0, head);
    assert_eq!(head.seq, 2);
}

async fn a_dropped_writer_changes_nothing(s: Setting) {
    let mut w = s.begin().await;
    let id = users::insert(&mut w, &user("local|ada", &name("Ada"))).await.unwrap();
    w.record(draft(Action::UserCreated, id.0)).await.unwrap();
    drop(w);
    assert!(users::find(&mut *s.begin().await, id).await.unwrap().is_none());
    assert_eq!(audit::head(&mut *s.read().await).await.unwrap().0.seq, 0);
}

async fn a_commit_needs_a_record(s: Setting) {
    let mut w = s.begin().await;
    let id = users::insert(&mut w, &user("local|ada", &name("Ada"))).await.unwrap();
    assert!(matches!(w.commit().await, Err(Error::Unrecorded)));
    assert!(users::find(&mut *s.read().await, id).await.unwrap().is_none());
}

async fn nothing_goes_on_after_an_error(s: Setting) {
    s.human("ada").await;
    let before = audit::head(&mut *s.read().await).await.unwrap();
    let mut w = s.begin().await;
    let bob = users::insert(&mut w, &user("local|bob", &name("Bob"))).await.unwrap();
    w.record(draft(Action::UserCreated, bob.0)).await.unwrap();
    let twice = users::insert(&mut w, &user("local|ada", &name("Ada"))).await;
    assert!(matches!(twice, Err(Error::Conflict(_))));
    let eve = users::insert(&mut w, &user("local|eve", &name("Eve"))).await;
    assert!(matches!(eve, Err(Error::Broken)));
    assert!(matches!(w.record(draft(Action::UserCreated, 9)).await, Err(Error::Broken)));
    assert!(matches!(w.commit().await, Err(Error::Broken)));
    let mut c = s.read().await;
    assert!(users::find(&mut c, bob).await.unwrap().is_none());
    assert_eq!(audit::head(&mut c).await.unwrap(), before);
}

async fn changing_what_is_not_there_fails(s: Setting) {
    let error = s.refused(async |w| tokens::set_revoked(w, TokenId(7), Some(NOW)).await).await;
    assert!(matches!(error, Error::NotFound));
    let error = s.refused(async |w| users::set_deactivated(w, UserId(7), None).await).await;
    assert!(matches!(error, Error::NotFound));
    let mut w = s.begin().await;
    w.record(draft(Action::TokenDeleted, 7)).await.unwrap();
    assert!(matches!(tokens::mark_deleted(&mut w, TokenId(7)).await, Err(Error::NotFound)));
    assert!(matches!(w.commit().await, Err(Error::Broken)));
}

async fn of_50_who_want_one_name_one_gets_it(s: Setting) {
    let ada = s.human("ada").await;
    let attempts: Vec<_> = (1..=50)
        .map(|number| {
            let store = s.store.clone();
            tokio::spawn(async move {
                let mut w = store.begin(&Clock::turned(NOW)).await?;
                let id = tokens::insert(&mut w, &token(ada, &name("ci"), number)).await?;
                w.record(draft(Action::TokenGenerated, id.0)).await?;
                w.commit().await.map(drop)
            })
        })
        .collect();
    let mut made = 0;
    for attempt in attempts {
        match attempt.await.unwrap() {
            Ok(()) => made += 1,
            Err(error) => assert!(matches!(error, Error::Conflict(What::TokenName)), "{error}"),
        }
    }
    assert_eq!(made, 1);
    assert_eq!(tokens::personal(&mut *s.read().await, ada).await.unwrap().len(), 1);
}

async fn parallel_writers_leave_no_gap(s: Setting) {
    // On PostgreSQL a second process may write.
    let other = if s.file().is_none() { open(&s.url).await.unwrap() } else { s.store.clone() };
    let writers: Vec<_> = (0..40)
        .map(|number| {
            let store = if number % 2 == 0 { s.store.clone() } else { other.clone() };
            tokio::spawn(async move {
                let mut w = store.begin(&Clock::turned(NOW)).await.unwrap();
                let seq = w.record(draft(Action::TokenRevoked, number)).await.unwrap();
                if number % 5 == 0 {
                    return None;
                }
                assert_eq!(w.commit().await.unwrap().head().seq, seq);
                Some(seq)
            })
        })
        .collect();
    let mut numbers = BTreeSet::new();
    for writer in writers {
        numbers.extend(writer.await.unwrap());
    }
    assert_eq!(numbers, (1..=32).collect());
    let (feed, _) = changes::after(&mut *s.read().await, Head::EMPTY, 100).await.unwrap();
    assert_eq!(feed.iter().map(|change| change.seq).collect::<Vec<_>>(), (1..=32).collect::<Vec<_>>());
    assert_eq!(audit::verify(&s.store, None).await.unwrap().unwrap().seq, 32);
}

async fn a_reader_cannot_write(s: Setting) {
    let mut reader = s.read().await;
    let c: &mut Connection = &mut reader;
    assert!(sqlx::query("DELETE FROM teams").execute(c).await.is_err());
}

#[tokio::test]
async fn a_locked_sqlite_file_is_unavailable() {
    let s = Setting::sqlite().await;
    let mut raw = s.raw().await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut raw).await.unwrap();
    let mut w = s.begin().await;
    w.record(draft(Action::UserCreated, 1)).await.unwrap();
    assert!(matches!(w.commit().await, Err(Error::Unavailable(_))));
    assert!(audit::head(&mut *s.read().await).await.is_ok());
    sqlx::query("ROLLBACK").execute(&mut raw).await.unwrap();
    s.human("ada").await;
}

#[tokio::test]
async fn a_nul_is_an_error_on_postgres() {
    let s = Setting::postgres().await;
    let error = s.refused(async |w| users::insert(w, &user("local|a\0b", &name("Ada"))).await).await;
    assert!(matches!(error, Error::Refused(_)));
    let found = users::find_by_user_name(&mut *s.read().await, "a\0b").await;
    assert!(matches!(found, Err(Error::Refused(_))));
    s.human("ada").await;
}

#[tokio::test]
async fn nothing_goes_on_after_a_statement_was_given_up() {
    let s = Setting::postgres().await;
    let mut raw = s.raw().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE users IN EXCLUSIVE MODE").execute(&mut raw).await.unwrap();
    let mut w = s.begin().await;
    w.record(draft(Action::UserCreated, 1)).await.unwrap();
    let ada = name("Ada");
    let ada = user("local|ada", &ada);
    tokio::select! {
        biased;
        _ = users::insert(&mut w, &ada) => panic!("done in spite of the lock"),
        () = ready(()) => {}
    }
    sqlx::query("ROLLBACK").execute(&mut raw).await.unwrap();
    assert!(matches!(w.commit().await, Err(Error::Broken)));
    // The connection is fit for the next one.
    s.human("bob").await;
    let found = users::find_by_user_name(&mut *s.read().await, "local|ada").await.unwrap();
    assert!(found.is_none());
}
