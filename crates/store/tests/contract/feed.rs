//! What the index is filled from, the feed, last use, invitations.

use std::net::{IpAddr, Ipv6Addr};

use tokenhouse_core::audit::{Action, Head};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{TokenId, UserId};
use tokenhouse_core::index::{OwnerState, TokenState, Use};
use tokenhouse_core::people::{Role, UserType};
use tokenhouse_store::changes::Change;
use tokenhouse_store::tokens::{Entry, NewToken};
use tokenhouse_store::{Error, audit, changes, invitations, teams, tokens, usage, users};

use crate::setting::{NOW, Setting, draft, hash, name, on_both, open, token};

on_both!(
    the_index_gets_every_token,
    the_index_gets_every_owner,
    the_feed_tells_changes_in_order,
    a_commit_tells_the_tokens_it_made_if_it_did_nothing_else,
    last_use_never_moves_backwards,
    a_use_that_is_noted_while_others_fold_is_not_lost,
    many_uses_fit_into_one_call,
    an_invitation_is_stored,
);

const IP: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

async fn the_index_gets_every_token(s: Setting) {
    let (ada, ci) = (s.human("ada").await, s.service("ci").await);
    let scim = name("scim");
    let special = NewToken { scim_only: true, expires_at: Some(NOW.plus_days(1)), ..token(ada, &scim, 1) };
    let first = s.write(async |w| tokens::insert(w, &special).await).await;
    let (second, third, fourth) = (s.token(ci, 2).await, s.token(ada, 3).await, s.token(ci, 4).await);
    s.write(async |w| {
        tokens::set_revoked(w, second, Some(NOW)).await?;
        tokens::mark_deleted(w, third).await
    })
    .await;
    let entry = |id, number, owner, state: TokenState| Entry {
        id,
        hash: hash(number),
        owner,
        state: Some(TokenState { id, ..state }),
    };
    let plain = TokenState { id: first, expires_at: None, revoked: false, scim_only: false };
    let expected = [
        entry(first, 1, ada, TokenState { expires_at: Some(NOW.plus_days(1)), scim_only: true, ..plain }),
        entry(second, 2, ci, TokenState { revoked: true, ..plain }),
        entry(fourth, 4, ci, plain),
    ];
    let mut c = s.read().await;
    assert_eq!(tokens::entries_after(&mut c, TokenId(0), 10).await.unwrap(), expected);
    assert_eq!(tokens::entries_after(&mut c, first, 1).await.unwrap(), expected[1..2]);
    assert_eq!(tokens::entries_after(&mut c, fourth, 10).await.unwrap(), []);
    assert_eq!(tokens::count(&mut c).await.unwrap(), 3);
    let asked = tokens::entries(&mut c, &[third, TokenId(99), first]).await.unwrap();
    let deleted = Entry { id: third, hash: hash(3), owner: ada, state: None };
    assert_eq!(asked.len(), 2);
    assert!(asked.contains(&deleted) && asked.contains(&expected[0]));
    assert_eq!(tokens::entries(&mut c, &[]).await.unwrap(), []);
}

async fn the_index_gets_every_owner(s: Setting) {
    let (ada, ci) = (s.human("ada").await, s.service("ci").await);
    s.write(async |w| {
        let data = teams::insert(w, &name("Data"), None).await?;
        teams::add_members(w, data, &[ada, ci]).await?;
        users::set_deactivated(w, ci, Some(NOW)).await
    })
    .await;
    let teams = vec!["Public".to_owned(), "Data".to_owned()];
    let expected = [
        OwnerState {
            id: ada,
            user_id: "local|ada".into(),
            user_name: "local|ada".into(),
            email: "local|ada".into(),
            name: "ada".into(),
            role: Role::Member,
            user_type: UserType::Human,
            teams: teams.clone(),
            active: true,
        },
        OwnerState {
            id: ci,
            user_id: "ci@service".into(),
            user_name: "ci".into(),
            email: "ci@service".into(),
            name: "ci".into(),
            role: Role::Member,
            user_type: UserType::Service,
            teams,
            active: false,
        },
    ];
    let mut c = s.read().await;
    assert_eq!(users::states_after(&mut c, UserId(0), 10).await.unwrap(), expected);
    assert_eq!(users::states_after(&mut c, ada, 10).await.unwrap(), expected[1..]);
    assert_eq!(users::states_after(&mut c, ci, 10).await.unwrap(), []);
    assert_eq!(users::states(&mut c, &[ci, UserId(99)]).await.unwrap(), expected[1..]);
}

async fn the_feed_tells_changes_in_order(s: Setting) {
    let mut heads = vec![Head::EMPTY];
    for (action, id) in [(Action::UserCreated, 1), (Action::TokenGenerated, 10), (Action::TeamDeleted, 2)] {
        let mut w = s.begin().await;
        w.record(draft(action, id)).await.unwrap();
        heads.push(w.commit().await.unwrap().head());
    }
    let change = |seq, action: Action, entity_id| Change {
        seq,
        action: action.as_str().into(),
        entity_kind: action.entity().into(),
        entity_id,
        changes: r#"{"name":[null,"airflow-prod"]}"#.into(),
    };
    let all = [
        change(1, Action::UserCreated, 1),
        change(2, Action::TokenGenerated, 10),
        change(3, Action::TeamDeleted, 2),
    ];
    let mut c = s.read().await;
    for (from, limit, to) in [(0, 100, 3), (0, 2, 2), (1, 1, 2), (3, 100, 3)] {
        let read = changes::after(&mut c, heads[from], limit).await.unwrap();
        assert_eq!(read, (all[from..to].to_vec(), heads[to]));
    }
    let another = Head { hash: [7; 32], ..heads[2] };
    let beyond = Head { seq: 4, ..heads[3] };
    for lost in [another, beyond] {
        let read = changes::after(&mut c, lost, 100).await;
        assert!(matches!(read, Err(Error::HistoryLost)), "{read:?}");
    }
}

async fn a_commit_tells_the_tokens_it_made_if_it_did_nothing_else(s: Setting) {
    let ada = s.human("ada").await;
    let also = [None, Some(Action::TokenRevoked), Some(Action::UserUpdated), Some(Action::TokenGenerated)];
    for (number, also) in also.into_iter().enumerate() {
        let mut w = s.begin().await;
        let title = name(&format!("number {number}"));
        let id = tokens::insert(&mut w, &token(ada, &title, u8::try_from(number).unwrap())).await.unwrap();
        w.record(draft(Action::TokenGenerated, id.0)).await.unwrap();
        if let Some(action) = also {
            // About the same token, or an account or a token made earlier.
            let entity = if action == Action::TokenRevoked { id.0 } else { 1 };
            w.record(draft(action, entity)).await.unwrap();
        }
        let committed = w.commit().await.unwrap();
        let stored = tokens::entries(&mut *s.read().await, &[id]).await.unwrap();
        assert_eq!(committed.only_made(), also.is_none().then_some(&*stored), "{also:?}");
    }
}

async fn last_use_never_moves_backwards(s: Setting) {
    let ada = s.human("ada").await;
    let (id, other) = (s.token(ada, 1).await, s.token(ada, 2).await);
    let head = audit::head(&mut *s.read().await).await.unwrap();
    let used = async |id| {
        let token = tokens::find(&mut *s.read().await, id).await.unwrap().unwrap();
        (token.last_used_at, token.last_used_ip)
    };
    let v4 = IpAddr::from([10, 0, 0, 7]);
    let (early, late) = (NOW.plus_seconds(1), NOW.plus_seconds(2));
    let (from_v4, from_v6) = (Use { at: late, ip: v4 }, Use { at: early, ip: IP });
    for folds in [false, true] {
        usage::record(&s.store, &[(id, from_v4), (TokenId(99), from_v4)]).await.unwrap();
        assert_eq!(used(id).await, (Some(late), Some("10.0.0.7".into())), "{folds}");
        if folds {
            usage::fold(&s.store).await.unwrap();
        }
        usage::record(&s.store, &[(id, from_v6), (other, from_v6)]).await.unwrap();
        assert_eq!(used(id).await, (Some(late), Some("10.0.0.7".into())), "{folds}");
        assert_eq!(used(other).await, (Some(early), Some("::1".into())), "{folds}");
    }
    usage::fold(&s.store).await.unwrap();
    assert_eq!(used(id).await, (Some(late), Some("10.0.0.7".into())));
    assert_eq!((folded(&s, id).await, folded(&s, other).await), (Some(late), Some(early)));
    assert_eq!(unfolded(&s).await, Vec::<i64>::new());
    usage::record(&s.store, &[]).await.unwrap();
    assert_eq!(audit::head(&mut *s.read().await).await.unwrap(), head);
}

/// When a token was last used, as far as that is in its own row.
async fn folded(s: &Setting, id: TokenId) -> Option<Timestamp> {
    let last_use = sqlx::query_scalar("SELECT last_used_at FROM tokens WHERE id = $1").bind(id.0);
    last_use
        .fetch_one(&mut s.raw().await)
        .await
        .map(|at: Option<i64>| at.map(Timestamp::from_micros))
        .unwrap()
}

/// The tokens whose newest use is not in their own row.
async fn unfolded(s: &Setting) -> Vec<i64> {
    let ids = sqlx::query_scalar("SELECT token_id FROM recent_uses ORDER BY token_id");
    ids.fetch_all(&mut s.raw().await).await.unwrap()
}

#[tokio::test]
async fn uses_of_tokens_that_somebody_is_changing_are_folded_later_on_postgres() {
    const USE: Use = Use { at: NOW, ip: IP };
    let s = Setting::postgres().await;
    let ada = s.human("ada").await;
    let (busy, free) = (s.token(ada, 1).await, s.token(ada, 2).await);
    // Another node writes while this one is in the middle of a change.
    let other = open(&s.url).await.unwrap();
    let mut w = s.begin().await;
    tokens::set_revoked(&mut w, busy, Some(NOW)).await.unwrap();
    usage::record(&other, &[(busy, USE), (free, USE)]).await.unwrap();
    usage::fold(&other).await.unwrap();
    assert_eq!((folded(&s, busy).await, folded(&s, free).await), (None, Some(NOW)));
    assert_eq!(unfolded(&s).await, [busy.0]);
    drop(w);
    // Whoever comes next finds it rolled back.
    drop(s.begin().await);
    usage::fold(&other).await.unwrap();
    assert_eq!((folded(&s, busy).await, unfolded(&s).await), (Some(NOW), Vec::new()));
}

#[tokio::test]
async fn folding_waits_for_nobody_who_notes_a_use_on_postgres() {
    let s = Setting::postgres().await;
    let ada = s.human("ada").await;
    let (busy, free) = (s.token(ada, 1).await, s.token(ada, 2).await);
    let used = Use { at: NOW, ip: IP };
    usage::record(&s.store, &[(busy, used), (free, used)]).await.unwrap();
    let mut other = s.raw().await;
    sqlx::query("BEGIN").execute(&mut other).await.unwrap();
    let newer = sqlx::query("UPDATE recent_uses SET at = at + 1 WHERE token_id = $1").bind(busy.0);
    newer.execute(&mut other).await.unwrap();
    usage::fold(&s.store).await.unwrap();
    assert_eq!((folded(&s, busy).await, folded(&s, free).await), (None, Some(NOW)));
    sqlx::query("COMMIT").execute(&mut other).await.unwrap();
    assert_eq!(unfolded(&s).await, [busy.0]);
    usage::fold(&s.store).await.unwrap();
    assert_eq!(folded(&s, busy).await, Some(Timestamp::from_micros(NOW.micros() + 1)));
}

async fn a_use_that_is_noted_while_others_fold_is_not_lost(s: Setting) {
    let ada = s.human("ada").await;
    let ids = [s.token(ada, 1).await, s.token(ada, 2).await, s.token(ada, 3).await];
    let other = if s.url.starts_with("postgres") { open(&s.url).await.unwrap() } else { s.store.clone() };
    let folding = tokio::spawn(async move {
        loop {
            usage::fold(&other).await.unwrap();
        }
    });
    for second in 1..=200 {
        let at = NOW.plus_seconds(second);
        usage::record(&s.store, &ids.map(|id| (id, Use { at, ip: IP }))).await.unwrap();
        for token in tokens::find_many(&mut *s.read().await, &ids).await.unwrap() {
            assert_eq!(token.last_used_at, Some(at), "{}", token.id);
        }
    }
    assert!(!folding.is_finished(), "folding failed");
    folding.abort();
}

async fn many_uses_fit_into_one_call(s: Setting) {
    const USE: Use = Use { at: NOW, ip: IP };
    let ada = s.human("ada").await;
    let id = s.token(ada, 1).await;
    let mut uses: Vec<_> = (1_000..4_000).map(|id| (TokenId(id), USE)).collect();
    uses.push((id, USE));
    usage::record(&s.store, &uses).await.unwrap();
    let token = tokens::find(&mut *s.read().await, id).await.unwrap().unwrap();
    assert_eq!(token.last_used_at, Some(NOW));
    usage::fold(&s.store).await.unwrap();
    assert_eq!((folded(&s, id).await, unfolded(&s).await), (Some(NOW), Vec::new()));
}

async fn an_invitation_is_stored(s: Setting) {
    let ada = s.human("ada").await;
    s.write(async |w| invitations::insert(w, ada, &[7; 32], NOW.plus_days(7)).await).await;
    let (user, created, expires): (i64, i64, i64) = sqlx::query_as(
        "SELECT user_id, created_at, expires_at FROM invitations WHERE code_hash = $1 AND used_at IS NULL",
    )
    .bind(vec![7_u8; 32])
    .fetch_one(&mut s.raw().await)
    .await
    .unwrap();
    assert_eq!((user, created, expires), (ada.0, NOW.micros(), NOW.plus_days(7).micros()));
}
