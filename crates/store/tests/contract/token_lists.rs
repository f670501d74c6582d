//! Tokens as people look at them.

use tokenhouse_core::id::{TokenId, UserId};
use tokenhouse_core::index::Use;
use tokenhouse_core::token::{Status, TokenHash};
use tokenhouse_store::token_lists::{COUNTED, Counts, TokenFilter, TokenSort, Whose, active, count, page};
use tokenhouse_store::tokens::NewToken;
use tokenhouse_store::{tokens, usage, users};

use crate::setting::{NOW, Setting, name, on_both, token};

on_both!(
    a_page_holds_the_tokens_of_whom_it_is_asked_for,
    states_are_counted_and_filtered_at_an_instant,
    tokens_are_sorted_by_what_is_asked_for,
    a_part_of_the_name_or_of_the_owners_narrows,
    of_very_many_with_a_part_of_a_name_not_all_are_counted,
    whoever_fits_twice_is_counted_once,
    pages_follow_one_another,
    active_tokens_are_counted_by_owner,
);

fn all(whose: Whose) -> TokenFilter {
    TokenFilter { whose, part: None, status: None, sort: TokenSort::Created, descending: true }
}

async fn ids(s: &Setting, filter: &TokenFilter) -> Vec<TokenId> {
    let (page, _) = page(&s.store, filter, NOW, 100, 0).await.unwrap();
    assert_eq!(page.total, i64::try_from(page.items.len()).unwrap());
    page.items.iter().map(|token| token.id).collect()
}

async fn named(s: &Setting, owner: UserId, text: &str, number: u8, days: Option<i64>) -> TokenId {
    let name = name(text);
    let new = NewToken { expires_at: days.map(|days| NOW.plus_days(days)), ..token(owner, &name, number) };
    s.write(async |w| tokens::insert(w, &new).await).await
}

async fn a_page_holds_the_tokens_of_whom_it_is_asked_for(s: Setting) {
    let (ada, bob) = (s.human("ada").await, s.human("bob").await);
    let (ci, cd) = (s.service("ci").await, s.service("cd").await);
    let mut made = Vec::new();
    for (number, owner) in (1..).zip([ada, ci, bob, cd, ada, ci]) {
        made.push(s.token(owner, number).await);
    }
    assert_eq!(ids(&s, &all(Whose::Personal(ada))).await, [made[4], made[0]]);
    assert_eq!(ids(&s, &all(Whose::Personal(ci))).await, []);
    assert_eq!(ids(&s, &all(Whose::Service(ci))).await, [made[5], made[1]]);
    assert_eq!(ids(&s, &all(Whose::Service(ada))).await, []);
    assert_eq!(ids(&s, &all(Whose::AllService)).await, [made[5], made[3], made[1]]);
    s.write(async |w| tokens::mark_deleted(w, made[5]).await).await;
    assert_eq!(ids(&s, &all(Whose::AllService)).await, [made[3], made[1]]);
    let mut c = s.read().await;
    for (whose, tokens) in [(Whose::Personal(ada), 2), (Whose::Service(ci), 1), (Whose::AllService, 2)] {
        assert_eq!(count(&mut c, whose).await.unwrap(), tokens);
    }
}

async fn states_are_counted_and_filtered_at_an_instant(s: Setting) {
    let ada = s.human("ada").await;
    let active = named(&s, ada, "a", 1, None).await;
    let ends_now = named(&s, ada, "b", 2, Some(0)).await;
    let both = named(&s, ada, "c", 3, Some(-1)).await;
    let revoked = named(&s, ada, "d", 4, Some(1)).await;
    let gone = named(&s, ada, "e", 5, None).await;
    for id in [both, revoked, gone] {
        s.write(async |w| tokens::set_revoked(w, id, Some(NOW)).await).await;
    }
    s.write(async |w| tokens::mark_deleted(w, gone).await).await;
    let whole = all(Whose::Personal(ada));
    let (_, counts) = page(&s.store, &whole, NOW, 1, 0).await.unwrap();
    assert_eq!(counts, Counts { active: 1, revoked: 1, expired: 2 });
    assert_eq!(counts.all(), 4);
    for (status, expected) in [
        (Status::Active, vec![active]),
        (Status::Revoked, vec![revoked]),
        (Status::Expired, vec![both, ends_now]),
    ] {
        let filter = TokenFilter { status: Some(status), ..whole.clone() };
        assert_eq!(ids(&s, &filter).await, expected, "{status:?}");
        let (_, again) = page(&s.store, &filter, NOW, 1, 0).await.unwrap();
        assert_eq!(again, counts);
    }
}

async fn tokens_are_sorted_by_what_is_asked_for(s: Setting) {
    let ada = s.human("ada").await;
    let b = named(&s, ada, "Z", 1, None).await;
    let a = named(&s, ada, "a", 2, Some(9)).await;
    let c = named(&s, ada, "É", 3, Some(2)).await;
    let used = |at| Use { at, ip: [10, 0, 0, 7].into() };
    usage::record(&s.store, &[(b, used(NOW)), (a, used(NOW.plus_days(1)))]).await.unwrap();
    usage::fold(&s.store).await.unwrap();
    for (sort, ascending) in [
        (TokenSort::Created, [b, a, c]),
        (TokenSort::Name, [a, b, c]),
        (TokenSort::Expiration, [c, a, b]),
        (TokenSort::LastUsed, [c, b, a]),
    ] {
        let mut filter = TokenFilter { sort, descending: false, ..all(Whose::Personal(ada)) };
        assert_eq!(ids(&s, &filter).await, ascending, "{sort:?}");
        filter.descending = true;
        assert_eq!(ids(&s, &filter).await, [ascending[2], ascending[1], ascending[0]], "{sort:?}");
    }
}

async fn a_part_of_the_name_or_of_the_owners_narrows(s: Setting) {
    let (ci, cd) = (s.service("Größe").await, s.service("cd").await);
    let nightly = named(&s, cd, "Nightly_100%", 1, None).await;
    let other = named(&s, ci, "other", 2, None).await;
    let with = |part: &str| TokenFilter { part: Some(part.into()), ..all(Whose::AllService) };
    assert_eq!(ids(&s, &with("LY_1")).await, [nightly]);
    assert_eq!(ids(&s, &with("RÖSS")).await, []);
    assert_eq!(ids(&s, &with("RÖß")).await, [other]);
    assert_eq!(ids(&s, &with("%")).await, [nightly]);
    assert_eq!(ids(&s, &with("")).await, [other, nightly]);
    assert_eq!(ids(&s, &with("' OR 1=1 --")).await, []);
    s.write(async |w| users::set_deactivated(w, ci, Some(NOW)).await).await;
    assert_eq!(ids(&s, &with("RÖß")).await, [other]);
}

async fn of_very_many_with_a_part_of_a_name_not_all_are_counted(s: Setting) {
    let ci = s.service("ci").await;
    let made = s
        .write(async |w| {
            let mut made = Vec::new();
            for number in 0..COUNTED + 50 {
                let kind = if number % 300 == 0 { "nightly" } else { "job" };
                let name = name(&format!("{kind} {number:04}"));
                let mut bytes = [0; 32];
                bytes[..8].copy_from_slice(&number.to_be_bytes());
                let new = NewToken { hash: TokenHash::from_bytes(bytes), ..token(ci, &name, 0) };
                made.push(tokens::insert(w, &new).await?);
            }
            // The oldest: what is found before counting stops has none of them.
            for id in [made[3], made[1]] {
                tokens::set_revoked(w, id, Some(NOW)).await?;
            }
            Ok(made)
        })
        .await;
    let by_name = TokenFilter { sort: TokenSort::Name, descending: false, ..all(Whose::AllService) };
    let page = async |part: &str, status, offset| {
        let filter = TokenFilter { part: Some(part.into()), status, ..by_name.clone() };
        let (page, counts) = page(&s.store, &filter, NOW, 2, offset).await.unwrap();
        (page.items.iter().map(|token| token.id).collect::<Vec<_>>(), page.total, counts.all())
    };
    let more = COUNTED + 1;
    assert_eq!(page("JOB", None, 0).await, (vec![made[1], made[2]], more, more));
    assert_eq!(page("job", None, 300).await, (vec![made[302], made[303]], more, more));
    assert_eq!(page("ci", None, 0).await, (vec![made[1], made[2]], more, more));
    assert_eq!(page("JOB", Some(Status::Revoked), 0).await, (vec![made[1], made[3]], 2, more));
    assert_eq!(page("JOB", Some(Status::Active), 0).await, (vec![made[2], made[4]], more, more));
    assert_eq!(page("JOB", Some(Status::Expired), 0).await, (vec![], 0, more));
    assert_eq!(page("NIGHT", None, 2).await, (vec![made[600], made[900]], 4, 4));
    assert_eq!(page("NIGHT", None, 4).await, (vec![], 4, 4));
    // Without a part, everything is.
    assert_eq!(page("", None, 0).await.1, COUNTED + 50);
}

async fn whoever_fits_twice_is_counted_once(s: Setting) {
    let (runner, cd) = (s.service("Job runner").await, s.service("cd").await);
    let both = named(&s, runner, "job", 1, None).await;
    let by_owner = named(&s, runner, "other", 2, None).await;
    let by_name = named(&s, cd, "job", 3, None).await;
    let filter = TokenFilter { part: Some("job".into()), ..all(Whose::AllService) };
    assert_eq!(ids(&s, &filter).await, [by_name, by_owner, both]);
    let filter = TokenFilter { whose: Whose::Service(runner), ..filter };
    assert_eq!(ids(&s, &filter).await, [by_owner, both]);
    let filter = TokenFilter { whose: Whose::Service(cd), ..filter };
    assert_eq!(ids(&s, &filter).await, [by_name]);
}

async fn pages_follow_one_another(s: Setting) {
    let ci = s.service("ci").await;
    let mut made = Vec::new();
    for number in 1..=5 {
        made.push(s.token(ci, number).await);
    }
    let filter = TokenFilter { descending: false, ..all(Whose::AllService) };
    let mut seen = Vec::new();
    for offset in [0, 2, 4, 6] {
        let (part, _) = page(&s.store, &filter, NOW, 2, offset).await.unwrap();
        assert_eq!(part.total, 5);
        seen.extend(part.items.iter().map(|token| token.id));
    }
    assert_eq!(seen, made);
}

async fn active_tokens_are_counted_by_owner(s: Setting) {
    let (ada, bob, ci) = (s.human("ada").await, s.human("bob").await, s.service("ci").await);
    named(&s, ada, "a", 1, None).await;
    named(&s, ada, "b", 2, Some(0)).await;
    let revoked = named(&s, ada, "c", 3, Some(1)).await;
    let gone = named(&s, ada, "d", 4, None).await;
    named(&s, ci, "e", 5, Some(1)).await;
    named(&s, ci, "f", 6, None).await;
    s.write(async |w| tokens::set_revoked(w, revoked, Some(NOW)).await).await;
    s.write(async |w| tokens::mark_deleted(w, gone).await).await;
    let counted = active(&mut *s.read().await, &[ada, bob, ci], NOW).await.unwrap();
    assert_eq!((counted.get(&ada), counted.get(&bob), counted.get(&ci)), (Some(&1), None, Some(&2)));
    assert_eq!(active(&mut *s.read().await, &[bob], NOW).await.unwrap().len(), 0);
}
