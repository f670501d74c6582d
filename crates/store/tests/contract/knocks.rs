//! Dead tokens that are still tried.

use tokenhouse_core::id::TokenId;
use tokenhouse_core::index::Use;
use tokenhouse_store::knocks::{Knocks, of, record};

use crate::setting::{NOW, Setting, on_both};

on_both!(attempts_add_up_and_the_latest_counts, nothing_is_known_of_a_token_that_was_never_tried);

fn knocks(count: i64, seconds: i64, ip: &str) -> Knocks {
    Knocks { count, at: NOW.plus_seconds(seconds), ip: ip.to_owned() }
}

async fn attempts_add_up_and_the_latest_counts(s: Setting) {
    let owner = s.human("ada").await;
    let (one, other) = (s.token(owner, 1).await, s.token(owner, 2).await);
    record(&s.store, &[(other, knocks(1, 0, "::1")), (one, knocks(2, 5, "192.0.2.1"))]).await.unwrap();
    record(&s.store, &[(one, knocks(3, 4, "192.0.2.2"))]).await.unwrap();
    let found = of(&mut *s.read().await, &[one, other]).await.unwrap();
    assert_eq!((&found[&one], &found[&other]), (&knocks(5, 5, "192.0.2.1"), &knocks(1, 0, "::1")));
    record(&s.store, &[(one, knocks(1, 6, "192.0.2.2"))]).await.unwrap();
    assert_eq!(of(&mut *s.read().await, &[one]).await.unwrap()[&one], knocks(6, 6, "192.0.2.2"));
    let mut sum = Knocks::once(Use { at: NOW, ip: [192, 0, 2, 9].into() });
    sum.add(&knocks(5, 5, "192.0.2.1"));
    sum.add(&knocks(1, 3, "192.0.2.3"));
    assert_eq!(sum, knocks(7, 5, "192.0.2.1"));
}

async fn nothing_is_known_of_a_token_that_was_never_tried(s: Setting) {
    let owner = s.human("ada").await;
    let token = s.token(owner, 1).await;
    record(&s.store, &[]).await.unwrap();
    assert!(of(&mut *s.read().await, &[token, TokenId(99)]).await.unwrap().is_empty());
}
