//! Service users that somebody asks for.

use tokenhouse_core::people::{Name, Role};
use tokenhouse_store::Error;
use tokenhouse_store::service_user_requests::{
    NewRequest, RequestFilter, State, count, decide, find, insert, page,
};

use crate::setting::{NOW, Setting, on_both};

on_both!(
    a_request_is_read_as_it_was_stored,
    requests_are_listed_by_asker_and_state,
    only_an_open_one_is_decided_on
);

async fn asked(
    s: &Setting,
    asker: tokenhouse_core::id::UserId,
    name: &str,
) -> tokenhouse_core::id::ServiceUserRequestId {
    let name = Name::parse(name).unwrap();
    let teams = ["Däta".to_owned(), "Ops".to_owned()];
    let (role, purpose) = (Role::Manager, "loads");
    let new = NewRequest { asker, name: &name, role, teams: &teams, purpose, owner: None };
    s.write(async |w| insert(w, &new).await).await
}

async fn a_request_is_read_as_it_was_stored(s: Setting) {
    let (ada, bob) = (s.human("ada").await, s.human("bob").await);
    let id = asked(&s, bob, "Nightly 🌙").await;
    let open = find(&mut *s.read().await, id).await.unwrap().unwrap();
    assert_eq!((open.asker.id, open.made_at, &*open.name), (bob, NOW, "Nightly 🌙"));
    assert_eq!(
        (open.role, open.teams.join("|"), &*open.purpose),
        (Role::Manager, "Däta|Ops".to_owned(), "loads")
    );
    assert_eq!((open.owner, open.state, open.decider, open.decided_at), (None, State::Open, None, None));
    s.write(async |w| decide(w, id, State::Approved, Some(ada), Some("fine"), Some(bob)).await).await;
    let done = find(&mut *s.read().await, id).await.unwrap().unwrap();
    assert_eq!(
        (done.state, done.comment.as_deref(), done.decided_at),
        (State::Approved, Some("fine"), Some(NOW))
    );
    assert_eq!((done.decider.map(|by| by.id), done.made.map(|made| made.id)), (Some(ada), Some(bob)));
}

async fn requests_are_listed_by_asker_and_state(s: Setting) {
    let (ada, bob) = (s.human("ada").await, s.human("bob").await);
    let (one, two, three) = (asked(&s, ada, "1").await, asked(&s, bob, "2").await, asked(&s, bob, "3").await);
    s.write(async |w| decide(w, two, State::Withdrawn, Some(bob), None, None).await).await;
    let mut c = s.read().await;
    for (asker, state, expected) in [
        (None, None, vec![three, two, one]),
        (Some(bob), None, vec![three, two]),
        (Some(bob), Some(State::Open), vec![three]),
        (None, Some(State::Open), vec![three, one]),
        (Some(ada), Some(State::Declined), vec![]),
    ] {
        let filter = RequestFilter { asker, state };
        let found = page(&mut c, filter, 10, 0).await.unwrap();
        assert_eq!(found.items.iter().map(|request| request.id).collect::<Vec<_>>(), expected);
        assert_eq!(found.total, i64::try_from(expected.len()).unwrap());
        assert_eq!(count(&mut c, filter).await.unwrap(), found.total);
    }
    let second = page(&mut c, RequestFilter::default(), 1, 1).await.unwrap();
    assert_eq!((second.items[0].id, second.total), (two, 3));
}

async fn only_an_open_one_is_decided_on(s: Setting) {
    let ada = s.human("ada").await;
    let id = asked(&s, ada, "1").await;
    s.write(async |w| decide(w, id, State::Declined, Some(ada), Some("no"), None).await).await;
    let error = s.refused(async |w| decide(w, id, State::Approved, Some(ada), None, None).await).await;
    assert!(matches!(error, Error::NotFound));
    assert_eq!(find(&mut *s.read().await, id).await.unwrap().unwrap().state, State::Declined);
}
