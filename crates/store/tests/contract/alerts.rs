//! What people are told, and how it leaves.

use std::time::Duration;

use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{TokenId, UserId};
use tokenhouse_core::index::Use;
use tokenhouse_core::people::{Role, UserType};
use tokenhouse_store::alerts::{self, NewAlert, Outbox, Routes, page};
use tokenhouse_store::deliveries::{self, State, Whose};
use tokenhouse_store::tokens::NewToken;
use tokenhouse_store::users::NewUser;
use tokenhouse_store::{audit, networks, positions, tokens, usage, users};

use crate::setting::{NOW, Setting, name, on_both, token, user};

on_both!(
    an_alert_goes_to_one_person_or_to_all_admins,
    a_thing_is_told_again_only_after_its_pause,
    an_alert_and_a_position_are_one_transaction,
    of_two_who_tell_the_same_one_does,
    a_delivery_is_claimed_by_one_and_tried_until_it_is_dead,
    a_person_sees_the_alerts_to_them_and_admins_all_others,
    a_network_is_new_once_and_the_first_is_none,
    what_is_noted_is_told_by_one_and_once,
    old_alerts_go_and_those_on_their_way_stay,
    what_was_told_is_forgotten_but_not_that_a_directory_is_silent,
    networks_of_deleted_tokens_are_forgotten,
    one_at_a_time_follows_and_only_forwards,
    the_trail_is_followed_from_a_number,
);

fn alert(subject: &str, at: Timestamp) -> NewAlert {
    NewAlert {
        at,
        kind: "token.expiring",
        recipient: None,
        token: Some(TokenId(1)),
        user: None,
        title: "A token expires".into(),
        text: "Rotate it.".into(),
        path: "/settings/tokens/1".into(),
        subject: subject.into(),
        again_after: None,
    }
}

fn routes() -> Routes {
    Routes { shared: vec!["ops".into(), "chat".into()], personal: Some("email".into()) }
}

async fn admin(s: &Setting, text: &str, user_type: UserType) -> UserId {
    let (user_id, name) = (format!("local|{text}"), name(text));
    let new = NewUser { role: Role::Admin, user_type, ..user(&user_id, &name) };
    s.write(async |w| users::insert(w, &new).await).await
}

async fn told(s: &Setting, alerts: &[NewAlert]) -> Vec<bool> {
    let mut outbox = Outbox::begin(&s.store, &routes()).await.unwrap();
    let mut told = Vec::new();
    for alert in alerts {
        told.push(outbox.tell(alert).await.unwrap());
    }
    outbox.commit().await.unwrap();
    told
}

/// Channel and person of every delivery, in order.
async fn deliveries_of(s: &Setting) -> Vec<(String, Option<UserId>)> {
    let all = deliveries::page(&mut *s.read().await, Whose::All, None, 100, 0).await.unwrap();
    let mut all: Vec<_> = all.items.into_iter().map(|one| (one.channel, one.user)).collect();
    all.reverse();
    all
}

async fn an_alert_goes_to_one_person_or_to_all_admins(s: Setting) {
    let bob = s.human("bob").await;
    let (ada, eve) = (admin(&s, "ada", UserType::Human).await, admin(&s, "eve", UserType::Human).await);
    admin(&s, "robot", UserType::Service).await;
    s.write(async |w| users::set_deactivated(w, eve, Some(NOW)).await).await;
    told(&s, &[NewAlert { recipient: Some(bob), ..alert("a", NOW) }]).await;
    assert_eq!(deliveries_of(&s).await, [("email".into(), Some(bob))]);
    told(&s, &[alert("b", NOW)]).await;
    let admins = [("ops".into(), None), ("chat".into(), None), ("email".into(), Some(ada))];
    assert_eq!(deliveries_of(&s).await[1..], admins);
}

async fn a_thing_is_told_again_only_after_its_pause(s: Setting) {
    let pause = Some(Duration::from_secs(60));
    let again = |seconds| NewAlert { again_after: pause, ..alert("window", NOW.plus_seconds(seconds)) };
    let all = [again(0), again(0), again(59), again(-5), again(60), again(119), again(121)];
    assert_eq!(told(&s, &all).await, [true, false, false, false, true, false, true]);
    let once = [alert("once", NOW), alert("once", NOW.plus_days(1_000)), alert("other", NOW)];
    assert_eq!(told(&s, &once).await, [true, false, true]);
}

async fn an_alert_and_a_position_are_one_transaction(s: Setting) {
    assert_eq!(positions::find(&mut *s.read().await, "p").await.unwrap(), None);
    let mut outbox = Outbox::begin(&s.store, &routes()).await.unwrap();
    assert!(outbox.advance("p", None, 7).await.unwrap());
    assert!(outbox.tell(&alert("a", NOW)).await.unwrap());
    drop(outbox);
    assert_eq!(positions::find(&mut *s.read().await, "p").await.unwrap(), None);
    assert_eq!(deliveries_of(&s).await, []);
    let mut outbox = Outbox::begin(&s.store, &routes()).await.unwrap();
    assert!(outbox.advance("p", None, 7).await.unwrap());
    assert!(outbox.tell(&alert("a", NOW)).await.unwrap());
    outbox.commit().await.unwrap();
    for (from, moved) in [(None, false), (Some(6), false), (Some(7), true), (Some(7), false)] {
        let mut outbox = Outbox::begin(&s.store, &routes()).await.unwrap();
        assert_eq!(outbox.advance("p", from, 8).await.unwrap(), moved, "{from:?}");
        outbox.commit().await.unwrap();
    }
    assert_eq!(positions::find(&mut *s.read().await, "p").await.unwrap(), Some(8));
}

async fn of_two_who_tell_the_same_one_does(s: Setting) {
    let alerts = [alert("same", NOW)];
    let (one, other) = tokio::join!(told(&s, &alerts), told(&s, &alerts));
    assert!(one[0] != other[0]);
    assert_eq!(page(&mut *s.read().await, UserId(1), true, 10, 0).await.unwrap().total, 1);
}

async fn a_delivery_is_claimed_by_one_and_tried_until_it_is_dead(s: Setting) {
    told(&s, &[alert("a", NOW)]).await;
    let claim_of = async |channel: &str, seconds: i64| {
        let now = NOW.plus_seconds(seconds);
        let claim = (now, now.plus_seconds(90));
        let claimed = deliveries::claim(&s.store, channel, claim, 1).await.unwrap();
        assert!(claimed.iter().all(|one| one.claimed_until == claim.1));
        claimed.into_iter().map(|one| (one.id, one.channel, one.attempts)).collect::<Vec<_>>()
    };
    let claim = async |seconds| claim_of("ops", seconds).await;
    let find = async |id| deliveries::find(&mut *s.read().await, id).await.unwrap().unwrap();
    assert_eq!(deliveries::channels(&mut *s.read().await).await.unwrap(), ["chat", "ops"]);
    assert_eq!(claim(-1).await, [], "not before its time");
    let first = claim(0).await.remove(0);
    let second = claim_of("chat", 0).await.remove(0);
    assert_eq!((&*first.1, &*second.1), ("ops", "chat"));
    assert_eq!(claim(89).await, [], "somebody has it");
    let error = s.refused(async |w| deliveries::begin_anew(w, first.0).await).await;
    assert!(matches!(error, tokenhouse_store::Error::NotFound), "it is being sent");
    assert_eq!(claim(90).await.first(), Some(&first), "who claimed it may have ended");
    assert_eq!(claim(91).await, []);
    deliveries::release(&s.store).await.unwrap();
    assert_eq!(claim(91).await.first(), Some(&first));
    deliveries::failed(&s.store, first.0, "no answer", Some(NOW.plus_seconds(95))).await.unwrap();
    deliveries::sent(&s.store, second.0).await.unwrap();
    assert_eq!(deliveries::channels(&mut *s.read().await).await.unwrap(), ["ops"]);
    assert_eq!(claim(94).await, []);
    assert_eq!(claim(95).await, [(first.0, "ops".into(), 1)]);
    deliveries::failed(&s.store, first.0, "gone", None).await.unwrap();
    assert_eq!(claim(1_000_000).await, []);
    let dead = find(first.0).await;
    assert_eq!((dead.state, dead.attempts, dead.last_error.as_deref()), (State::Dead, 2, Some("gone")));
    assert_eq!((find(second.0).await.state, find(second.0).await.attempts), (State::Sent, 1));
    // One that has arrived is not sent again, by nobody.
    deliveries::failed(&s.store, second.0, "late", Some(NOW)).await.unwrap();
    assert_eq!(find(second.0).await.state, State::Sent);
    let error = s.refused(async |w| deliveries::begin_anew(w, second.0).await).await;
    assert!(matches!(error, tokenhouse_store::Error::NotFound));
    s.write(async |w| deliveries::begin_anew(w, first.0).await).await;
    assert_eq!(claim(0).await, [(first.0, "ops".into(), 0)]);
    assert!(deliveries::find(&mut *s.read().await, 99).await.unwrap().is_none());
}

async fn a_person_sees_the_alerts_to_them_and_admins_all_others(s: Setting) {
    let (ada, bob) = (admin(&s, "ada", UserType::Human).await, s.human("bob").await);
    let to = |person, subject| NewAlert { recipient: Some(person), ..alert(subject, NOW) };
    told(&s, &[to(bob, "1"), alert("2", NOW), to(ada, "3"), to(bob, "4")]).await;
    let seen = async |person, of_admins| {
        let page = page(&mut *s.read().await, person, of_admins, 10, 0).await.unwrap();
        assert_eq!(page.total, i64::try_from(page.items.len()).unwrap());
        page.items.into_iter().map(|alert| alert.id).collect::<Vec<_>>()
    };
    assert_eq!((seen(bob, false).await, seen(ada, true).await), (vec![4, 1], vec![3, 2]));
    assert_eq!(seen(ada, false).await, [3]);
    let second = page(&mut *s.read().await, bob, false, 1, 1).await.unwrap();
    assert_eq!((second.total, second.items[0].id, second.items[0].recipient), (2, 1, Some(bob)));
    let count =
        async |whose, state| deliveries::page(&mut *s.read().await, whose, state, 1, 0).await.unwrap().total;
    assert_eq!((count(Whose::All, None).await, count(Whose::Of(bob), None).await), (6, 2));
    assert_eq!(count(Whose::Of(bob), Some(State::Pending)).await, 2);
    assert_eq!(count(Whose::All, Some(State::Dead)).await, 0);
}

async fn a_network_is_new_once_and_the_first_is_none(s: Setting) {
    let owner = s.human("ada").await;
    let (one, other) = (s.token(owner, 1).await, s.token(owner, 2).await);
    let note = async |seen: &[(TokenId, &str)]| {
        let seen: Vec<_> = seen.iter().map(|(token, network)| (*token, (*network).to_owned())).collect();
        let mut outbox = Outbox::begin(&s.store, &routes()).await.unwrap();
        let new = networks::note(&mut outbox, &seen).await.unwrap();
        outbox.commit().await.unwrap();
        new
    };
    assert_eq!(note(&[(one, "a")]).await, []);
    assert_eq!(note(&[(one, "a"), (other, "a"), (one, "b")]).await, [(one, "b".to_owned())]);
    assert_eq!(note(&[(one, "a"), (one, "b"), (other, "b")]).await, [(other, "b".to_owned())]);
    assert_eq!(note(&[]).await, []);
    let third = s.token(owner, 3).await;
    assert_eq!(note(&[(third, "x"), (third, "y")]).await.len(), 1, "one of two is the first");
}

async fn what_is_noted_is_told_by_one_and_once(s: Setting) {
    let note = async |subjects: &[&str]| {
        let mut outbox = Outbox::begin(&s.store, &routes()).await.unwrap();
        let new = outbox.note(subjects, NOW).await.unwrap();
        outbox.commit().await.unwrap();
        new.into_iter().collect::<std::collections::BTreeSet<_>>()
    };
    let set = |subjects: &[&str]| subjects.iter().map(|one| (*one).to_owned()).collect();
    assert_eq!(note(&["a", "b", "a"]).await, set(&["a", "b"]));
    let (one, other) = tokio::join!(note(&["b", "c", "d"]), note(&["d", "c", "b"]));
    assert!(one == set(&["c", "d"]) && other.is_empty() || other == set(&["c", "d"]) && one.is_empty());
    assert_eq!(told(&s, &[alert("a", NOW), alert("e", NOW)]).await, [false, true]);
    assert_eq!(note(&["e"]).await, set(&[]));
    assert_eq!(note(&[]).await, set(&[]));
}

async fn old_alerts_go_and_those_on_their_way_stay(s: Setting) {
    let bob = s.human("bob").await;
    let to_bob =
        |subject, seconds| NewAlert { recipient: Some(bob), ..alert(subject, NOW.plus_seconds(seconds)) };
    told(&s, &[to_bob("1", 0), to_bob("2", 1), to_bob("3", 2), to_bob("4", 3), to_bob("5", 4)]).await;
    deliveries::sent(&s.store, 1).await.unwrap();
    deliveries::failed(&s.store, 2, "gone", None).await.unwrap();
    deliveries::sent(&s.store, 4).await.unwrap();
    deliveries::sent(&s.store, 5).await.unwrap();
    let remove = async |seconds| alerts::remove_old(&s.store, NOW.plus_seconds(seconds), 2).await.unwrap();
    let kept = async || {
        let alerts = page(&mut *s.read().await, bob, false, 10, 0).await.unwrap().items;
        let deliveries = deliveries::page(&mut *s.read().await, Whose::All, None, 10, 0).await.unwrap().items;
        assert!(alerts.iter().map(|one| one.id).eq(deliveries.iter().map(|one| one.alert.id)));
        alerts.into_iter().map(|one| one.id).collect::<Vec<_>>()
    };
    assert_eq!((remove(0).await, kept().await.len()), (0, 5));
    assert_eq!((remove(4).await, kept().await), (2, vec![5, 4, 3]));
    assert_eq!((remove(4).await, kept().await), (1, vec![5, 3]));
    assert_eq!((remove(4).await, kept().await), (0, vec![5, 3]));
}

async fn what_was_told_is_forgotten_but_not_that_a_directory_is_silent(s: Setting) {
    let owner = s.human("ada").await;
    let scim_token = async |number: u8| {
        let name = name(&number.to_string());
        let new = NewToken { scim_only: true, ..token(owner, &name, number) };
        s.write(async |w| tokens::insert(w, &new).await).await
    };
    let (asks, asked, revoked) = (scim_token(1).await, scim_token(2).await, scim_token(3).await);
    let used = Use { at: NOW, ip: [10, 0, 0, 7].into() };
    usage::record(&s.store, &[(asks, used), (asked, used), (revoked, used)]).await.unwrap();
    usage::fold(&s.store).await.unwrap();
    let silent = |token: TokenId| format!("scim.silent:{token}:{}", NOW.micros());
    let later = NOW.plus_seconds(60);
    let subjects = [silent(asks), silent(asked), silent(revoked), "token.leaked:1:7".into()];
    let all: Vec<_> = subjects.iter().map(|subject| alert(subject, later)).collect();
    assert_eq!(told(&s, &all).await, [true; 4]);
    assert_eq!(told(&s, &[alert("young", NOW.plus_seconds(61))]).await, [true]);
    // One asks again, one is revoked.
    let again = Use { at: NOW.plus_seconds(90), ..used };
    usage::record(&s.store, &[(asked, again)]).await.unwrap();
    usage::fold(&s.store).await.unwrap();
    s.write(async |w| tokens::set_revoked(w, revoked, Some(NOW)).await).await;
    let forget = async |at, limit| alerts::forget_told(&s.store, at, limit).await.unwrap();
    assert_eq!(forget(later, 10).await, 0);
    let (mut before, after) = (Vec::new(), later.plus_seconds(1));
    for _ in 0..3 {
        before.push(forget(after, 2).await);
    }
    assert_eq!(before, [2, 1, 0]);
    let young = alert("young", NOW.plus_seconds(62));
    let again: Vec<_> = all.into_iter().chain([young]).collect();
    assert_eq!(told(&s, &again).await, [false, true, true, true, false]);
}

async fn networks_of_deleted_tokens_are_forgotten(s: Setting) {
    let owner = s.human("ada").await;
    let mut ids = Vec::new();
    for number in 1..=5 {
        ids.push(s.token(owner, number).await);
    }
    let note = async |network: &str| {
        let seen: Vec<_> = ids.iter().map(|id| (*id, network.to_owned())).collect();
        let mut outbox = Outbox::begin(&s.store, &routes()).await.unwrap();
        let new = networks::note(&mut outbox, &seen).await.unwrap();
        outbox.commit().await.unwrap();
        new.into_iter().map(|(id, _)| id).collect::<Vec<_>>()
    };
    note("a").await;
    note("b").await;
    for id in [ids[1], ids[4]] {
        s.write(async |w| tokens::set_revoked(w, id, Some(NOW)).await).await;
        s.write(async |w| tokens::mark_deleted(w, id).await).await;
    }
    let mut after = Some(TokenId(0));
    let mut steps = Vec::new();
    while let Some(from) = after {
        after = networks::forget_deleted(&s.store, from, 2).await.unwrap();
        steps.push(after);
    }
    assert_eq!(steps, [Some(ids[1]), Some(ids[3]), None]);
    // What was forgotten has its first network again, which is no news.
    let mut new = note("c").await;
    new.sort();
    assert_eq!(new, [ids[0], ids[2], ids[3]]);
}

async fn one_at_a_time_follows_and_only_forwards(s: Setting) {
    let claim = async |by, seconds: i64| {
        let now = NOW.plus_seconds(seconds);
        positions::claim(&s.store, "siem", by, (now, now.plus_seconds(30)), 5).await.unwrap()
    };
    assert_eq!((claim("a", 0).await, claim("b", 1).await), (Some(5), None));
    let move_on = async |by, to, seconds: i64| {
        positions::move_on(&s.store, "siem", by, (to, NOW.plus_seconds(seconds))).await.unwrap()
    };
    assert!(move_on("a", 9, 40).await);
    assert!(!move_on("b", 10, 90).await);
    assert!(!move_on("a", 8, 90).await);
    assert_eq!(claim("b", 39).await, None, "who moves on keeps the turn");
    assert_eq!((claim("a", 20).await, claim("b", 49).await), (Some(9), None));
    assert_eq!((claim("b", 50).await, claim("a", 51).await), (Some(9), None));
    assert!(!move_on("a", 10, 90).await);
    // Only who has it gives it back.
    positions::release(&s.store, "siem", "a").await.unwrap();
    assert_eq!(claim("a", 52).await, None);
    positions::release(&s.store, "siem", "b").await.unwrap();
    assert_eq!(claim("a", 53).await, Some(9));
}

async fn the_trail_is_followed_from_a_number(s: Setting) {
    for text in ["a", "b", "c"] {
        s.human(text).await;
    }
    let mut reader = s.read().await;
    let seqs = async |reader: &mut _, after, limit| {
        let records = audit::after(reader, after, limit).await.unwrap();
        records.into_iter().map(|stored| stored.record.seq).collect::<Vec<_>>()
    };
    assert_eq!(seqs(&mut *reader, 0, 2).await, [1, 2]);
    assert_eq!(seqs(&mut *reader, 2, 2).await, [3]);
    assert!(seqs(&mut *reader, 3, 2).await.is_empty());
    let first = audit::first_actor(&mut reader, ("user", 1), "user.updated").await.unwrap();
    assert_eq!(first, Some(UserId(1)));
    assert_eq!(audit::first_actor(&mut reader, ("user", 1), "user.removed").await.unwrap(), None);
}
