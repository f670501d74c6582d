//! Which token was made with which.

use tokenhouse_core::id::{TokenId, UserId};
use tokenhouse_store::tokens::{NewToken, Token};
use tokenhouse_store::{lineage, tokens};

use crate::setting::{NOW, Setting, name, on_both, token};

on_both!(
    a_line_is_found_upwards_and_downwards,
    descendants_are_counted_with_those_that_still_work,
    a_form_is_found_again_by_who_sent_it,
    many_tokens_are_found_at_once,
);

fn ids(tokens: &[Token]) -> Vec<TokenId> {
    tokens.iter().map(|token| token.id).collect()
}

/// A token made with another one, for so many days.
async fn made_with(s: &Setting, owner: UserId, parent_id: Option<TokenId>, number: u8, days: i64) -> TokenId {
    let name = name(&number.to_string());
    let expires_at = Some(NOW.plus_days(days));
    let new = NewToken { parent_id, expires_at, ..token(owner, &name, number) };
    s.write(async |w| tokens::insert(w, &new).await).await
}

async fn a_line_is_found_upwards_and_downwards(s: Setting) {
    let ada = s.human("ada").await;
    let mut line = Vec::new();
    for number in 1..=4 {
        line.push(made_with(&s, ada, line.last().copied(), number, 1).await);
    }
    let aside = made_with(&s, ada, Some(line[0]), 9, 1).await;
    s.write(async |w| tokens::mark_deleted(w, line[1]).await).await;
    let mut c = s.read().await;
    assert_eq!(ids(&lineage::ancestors(&mut c, line[3], 9).await.unwrap()), line[..3]);
    assert_eq!(ids(&lineage::ancestors(&mut c, line[3], 2).await.unwrap()), line[1..3]);
    assert_eq!(ids(&lineage::ancestors(&mut c, line[0], 9).await.unwrap()), []);
    let below = lineage::descendants(&mut c, line[0], 9).await.unwrap();
    assert_eq!(ids(&below), [line[1], line[2], line[3], aside]);
    assert_eq!(below[0].deleted_at, Some(NOW));
    assert_eq!(ids(&lineage::descendants(&mut c, line[0], 2).await.unwrap()), line[1..3]);
    assert_eq!(ids(&lineage::descendants(&mut c, aside, 9).await.unwrap()), []);
}

async fn descendants_are_counted_with_those_that_still_work(s: Setting) {
    let ada = s.human("ada").await;
    let root = made_with(&s, ada, None, 1, 9).await;
    let revoked = made_with(&s, ada, Some(root), 2, 9).await;
    let deleted = made_with(&s, ada, Some(root), 3, 9).await;
    made_with(&s, ada, Some(root), 4, 0).await;
    made_with(&s, ada, Some(deleted), 5, 9).await;
    s.write(async |w| {
        tokens::set_revoked(w, revoked, Some(NOW)).await?;
        tokens::mark_deleted(w, deleted).await
    })
    .await;
    let mut c = s.read().await;
    assert_eq!(lineage::count_descendants(&mut c, root, NOW).await.unwrap(), (4, 1));
    assert_eq!(lineage::count_descendants(&mut c, root, NOW.plus_days(9)).await.unwrap(), (4, 0));
    assert_eq!(lineage::count_descendants(&mut c, revoked, NOW).await.unwrap(), (0, 0));
}

async fn a_form_is_found_again_by_who_sent_it(s: Setting) {
    let (ada, bob) = (s.human("ada").await, s.human("bob").await);
    let (first, other) = (s.token(ada, 1).await, s.token(ada, 2).await);
    let bobs = s.token(bob, 3).await;
    s.write(async |w| {
        tokens::set_form(w, first, "f-1").await?;
        tokens::set_form(w, bobs, "f-1").await?;
        tokens::mark_deleted(w, first).await
    })
    .await;
    let found = async |user, form: &str| {
        let found = tokens::find_by_form(&mut *s.read().await, user, form).await.unwrap();
        found.map(|token| token.id)
    };
    assert_eq!((found(ada, "f-1").await, found(bob, "f-1").await), (Some(first), Some(bobs)));
    assert_eq!(found(ada, "f-2").await, None);
    s.refused(async |w| tokens::set_form(w, other, "f-1").await).await;
}

async fn many_tokens_are_found_at_once(s: Setting) {
    let ada = s.human("ada").await;
    let made = [s.token(ada, 1).await, s.token(ada, 2).await, s.token(ada, 3).await];
    s.write(async |w| tokens::mark_deleted(w, made[1]).await).await;
    let mut c = s.read().await;
    let mut found = ids(&tokens::find_many(&mut c, &[made[2], TokenId(99), made[0], made[1]]).await.unwrap());
    found.sort_unstable();
    assert_eq!(found, [made[0], made[2]]);
    assert_eq!(ids(&tokens::find_many(&mut c, &[]).await.unwrap()), []);
}
