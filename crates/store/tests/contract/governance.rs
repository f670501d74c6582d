//! Policies, plans, what closes by itself, and what reviews find.

use tokenhouse_core::id::TokenId;
use tokenhouse_core::people::{Role, UserType};
use tokenhouse_core::policies::Policies;
use tokenhouse_core::reviews::Rule;
use tokenhouse_store::reviews::{self, Found, Part};
use tokenhouse_store::successors::{self, Closing, RotationPlan};
use tokenhouse_store::users::NewUser;
use tokenhouse_store::{due, policies, tokens, users};

use crate::setting::{NOW, Setting, name, on_both, user};

on_both!(
    policies_are_kept_as_a_whole,
    plans_closings_and_announcements_are_kept,
    tokens_that_close_are_found_in_order,
    counts_and_parts_of_a_rule_agree,
);

async fn policies_are_kept_as_a_whole(s: Setting) {
    assert_eq!(policies::get(&mut *s.read().await).await.unwrap(), Policies::default());
    let settled =
        Policies { revoke_unused_after_days: Some(30), restore_leaked: true, ..Policies::default() };
    for policies in [settled, Policies::default()] {
        s.write(async |w| policies::set(w, &policies).await).await;
        assert_eq!(policies::get(&mut *s.read().await).await.unwrap(), policies);
    }
}

async fn plans_closings_and_announcements_are_kept(s: Setting) {
    let owner = s.human("ada").await;
    let id = s.token(owner, 1).await;
    let plan = RotationPlan { responsible: "team".into(), days_before: 14 };
    let closing = Closing { after_hours: 24, deadline: Some(NOW.plus_days(9)), since: NOW };
    s.write(async |w| {
        successors::set_plan(w, id, Some(&plan)).await?;
        successors::set_closing(w, id, Some(closing)).await?;
        tokens::set_leaked(w, id, NOW).await?;
        users::set_plan(w, owner, Some(&plan)).await?;
        due::set_idle_announced(w, id, Some(NOW.plus_days(1))).await
    })
    .await;
    let find = async || tokens::find(&mut *s.read().await, id).await.unwrap().unwrap();
    let token = find().await;
    assert_eq!((token.plan.as_ref(), token.closing), (Some(&plan), Some(closing)));
    assert_eq!((token.leaked_at, token.idle_announced_at), (Some(NOW), Some(NOW.plus_days(1))));
    let user = users::find(&mut *s.read().await, owner).await.unwrap().unwrap();
    assert_eq!(user.plan, Some(plan));
    s.write(async |w| {
        successors::set_plan(w, id, None).await?;
        users::set_plan(w, owner, None).await?;
        successors::set_closing(w, id, None).await
    })
    .await;
    let token = find().await;
    assert_eq!((token.plan, token.closing), (None, None));
}

async fn tokens_that_close_are_found_in_order(s: Setting) {
    let owner = s.human("ada").await;
    let mut ids = Vec::new();
    for number in 1..=4 {
        ids.push(s.token(owner, number).await);
    }
    let closing = Closing { after_hours: 1, deadline: None, since: NOW };
    s.write(async |w| {
        for id in &ids[..3] {
            successors::set_closing(w, *id, Some(closing)).await?;
        }
        tokens::set_revoked(w, ids[1], Some(NOW)).await
    })
    .await;
    let found = async |after, limit| -> Vec<TokenId> {
        let found = successors::closing_after(&mut *s.read().await, after, limit).await.unwrap();
        found.into_iter().map(|token| token.id).collect()
    };
    assert_eq!(found(TokenId(0), 9).await, [ids[0], ids[2]]);
    assert_eq!(found(TokenId(0), 1).await, [ids[0]]);
    assert_eq!(found(ids[0], 9).await, [ids[2]]);
}

async fn counts_and_parts_of_a_rule_agree(s: Setting) {
    let service = async |slug: &str, role| {
        let (slug, name) = (slug.to_owned(), name(slug));
        let id = format!("{slug}@service");
        let new = NewUser { user_type: UserType::Service, role, ..user(&id, &name) };
        s.write(async |w| users::insert(w, &new).await).await
    };
    let (admin, robot) = (service("robot", Role::Admin).await, service("other", Role::Member).await);
    for number in 1..=7 {
        s.token(if number % 2 == 0 { admin } else { robot }, number).await;
    }
    let now = NOW.plus_days(100);
    for (rule, expected) in [
        (Rule::Unused, 7),
        (Rule::NeverExpires, 7),
        (Rule::AdminRole, 1),
        (Rule::NobodyAnswers, 2),
        (Rule::Orphaned, 0),
        (Rule::Expiring, 0),
        (Rule::StillTried, 0),
        (Rule::RotationUnfinished, 0),
    ] {
        let mut reader = s.read().await;
        assert_eq!(reviews::count(&mut reader, rule, now).await.unwrap(), expected, "{rule:?}");
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let part = Part { after, offset: 0, limit: 2 };
            let places: Vec<(i64, i64)> = match reviews::page(&mut reader, rule, now, part).await.unwrap() {
                Found::Tokens(found) => found.iter().map(|(place, token)| (*place, token.id.0)).collect(),
                Found::Users(found) => found.iter().map(|(place, user)| (*place, user.id.0)).collect(),
            };
            let Some(last) = places.last() else { break };
            after = Some(*last);
            seen.extend(places);
        }
        let mut each_once = seen.clone();
        each_once.sort_unstable();
        each_once.dedup();
        assert_eq!(seen, each_once, "{rule:?}: in order, each once");
        assert_eq!(seen.len(), usize::try_from(expected).unwrap(), "{rule:?}");
    }
}
