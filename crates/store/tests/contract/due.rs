//! What the clock brings about.

use tokenhouse_core::audit::Action;
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{TokenId, UserId};
use tokenhouse_core::index::Use;
use tokenhouse_store::due::{expiring, later_than, silent, unused};
use tokenhouse_store::tokens::{self, NewToken, Token};
use tokenhouse_store::{audit, usage, users};

use crate::setting::{NOW, Setting, draft, name, on_both, token};

on_both!(
    tokens_expire_in_order_unless_something_succeeds_them,
    tokens_that_nobody_uses_are_found_by_their_last_use,
    a_directory_that_stopped_is_found,
    failed_sign_ins_of_a_window_are_found,
);

fn ids(tokens: &[Token]) -> Vec<i64> {
    tokens.iter().map(|token| token.id.0).collect()
}

async fn made(s: &Setting, owner: UserId, number: u8, change: impl Fn(&mut NewToken<'_>)) -> TokenId {
    let name = name(&number.to_string());
    s.write(async |w| {
        let mut new = token(owner, &name, number);
        change(&mut new);
        tokens::insert(w, &new).await
    })
    .await
}

async fn tokens_expire_in_order_unless_something_succeeds_them(s: Setting) {
    let (ada, bob) = (s.human("ada").await, s.human("bob").await);
    let at = |days: i64| NOW.plus_days(days);
    let until = |days: i64| move |new: &mut NewToken<'_>| new.expires_at = Some(at(days));
    let first = made(&s, ada, 1, until(40)).await;
    let second = made(&s, ada, 2, until(40)).await;
    let third = made(&s, bob, 3, until(41)).await;
    let revoked = made(&s, ada, 4, until(40)).await;
    s.write(async |w| tokens::set_revoked(w, revoked, Some(NOW)).await).await;
    made(&s, ada, 5, |_| ()).await;
    let found = async |after, days, limit| {
        let mut reader = s.read().await;
        ids(&expiring(&mut reader, after, at(days), (7, at(33)), limit).await.unwrap())
    };
    let before = later_than(at(39));
    assert_eq!(found(before, 41, 10).await, [first.0, second.0, third.0]);
    assert_eq!(found(before, 40, 10).await, [first.0, second.0]);
    assert_eq!(found(before, 40, 1).await, [first.0]);
    assert_eq!(found((at(40), first), 41, 10).await, [second.0, third.0]);
    assert!(found(later_than(at(41)), 50, 10).await.is_empty());
    // One that never had more than a week is not told that it has one left.
    let short = made(&s, ada, 6, |new| {
        (new.created_at, new.expires_at) = (at(33), Some(at(40)));
    });
    short.await;
    assert_eq!(found(before, 40, 10).await, [first.0, second.0]);
    // What succeeds a token counts as long as it works.
    let successor = made(&s, ada, 7, |new| new.rotates = Some(first)).await;
    assert_eq!(found(before, 40, 10).await, [second.0]);
    s.write(async |w| tokens::set_revoked(w, successor, Some(NOW)).await).await;
    assert_eq!(found(before, 40, 10).await, [first.0, second.0]);
    s.write(async |w| users::set_deactivated(w, ada, Some(NOW)).await).await;
    assert_eq!(found(before, 41, 10).await, [third.0]);
}

async fn tokens_that_nobody_uses_are_found_by_their_last_use(s: Setting) {
    let ada = s.human("ada").await;
    let (used, never) = (s.token(ada, 1).await, s.token(ada, 2).await);
    made(&s, ada, 3, |new| new.expires_at = Some(NOW.plus_days(1))).await;
    let at = |days: i64| NOW.plus_days(days);
    usage::record(&s.store, &[(used, Use { at: at(2), ip: [192, 0, 2, 1].into() })]).await.unwrap();
    let page = async |after, until: i64, limit| {
        let mut reader = s.read().await;
        ids(&unused(&mut reader, after, at(until), at(90), limit).await.unwrap())
    };
    let found = async |from: i64, until: i64| page(later_than(at(from)), until, 10).await;
    assert_eq!(found(-1, 2).await, [never.0], "what was used lately is not unused");
    usage::fold(&s.store).await.unwrap();
    assert_eq!(found(-1, 2).await, [never.0, used.0], "what has expired needs nobody");
    assert_eq!((found(-1, 1).await, found(0, 2).await), (vec![never.0], vec![used.0]));
    let second = s.token(ada, 4).await;
    usage::record(&s.store, &[(second, Use { at: at(2), ip: [192, 0, 2, 1].into() })]).await.unwrap();
    usage::fold(&s.store).await.unwrap();
    assert_eq!(page(later_than(at(-1)), 2, 2).await, [never.0, used.0]);
    assert_eq!(page((at(2), used), 2, 2).await, [second.0]);
    s.write(async |w| users::set_deactivated(w, ada, Some(NOW)).await).await;
    assert_eq!(found(0, 2).await, [used.0, second.0], "whoever asks looks at the owner");
    s.write(async |w| tokens::set_revoked(w, used, Some(NOW)).await).await;
    assert_eq!(found(0, 2).await, [second.0]);
}

async fn a_directory_that_stopped_is_found(s: Setting) {
    let ada = s.human("ada").await;
    let scim = made(&s, ada, 1, |new| new.scim_only = true).await;
    let other = s.token(ada, 2).await;
    let never = made(&s, ada, 3, |new| new.scim_only = true).await;
    let uses = [scim, other].map(|id| (id, Use { at: NOW, ip: [192, 0, 2, 1].into() }));
    usage::record(&s.store, &uses).await.unwrap();
    usage::fold(&s.store).await.unwrap();
    let found = async |until: Timestamp| {
        let mut reader = s.read().await;
        ids(&silent(&mut reader, until, NOW).await.unwrap())
    };
    assert_eq!(found(NOW).await, [scim.0], "{never} was never used");
    assert!(found(NOW.plus_seconds(-1)).await.is_empty());
    usage::record(&s.store, &[(scim, Use { at: NOW.plus_seconds(1), ..uses[0].1 })]).await.unwrap();
    assert!(found(NOW).await.is_empty(), "it asks again");
}

async fn failed_sign_ins_of_a_window_are_found(s: Setting) {
    let ada = s.human("ada").await;
    for id in [ada.0, 0] {
        let mut w = s.begin().await;
        w.record(draft(Action::UserSignInFailed, id)).await.unwrap();
        w.commit().await.unwrap();
    }
    let found = async |from, to| {
        let all = audit::failed_sign_ins(&mut *s.read().await, from, to).await.unwrap();
        all.into_iter().map(|one| (one.account, one.ip)).collect::<Vec<_>>()
    };
    let ip = Some("10.0.0.7".to_owned());
    assert_eq!(found(NOW.plus_seconds(-1), NOW).await, [(Some(ada), ip.clone()), (None, ip)]);
    assert!(found(NOW, NOW.plus_days(1)).await.is_empty());
}
