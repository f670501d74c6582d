//! Tokens: names, lineage, succession.

use tokenhouse_core::id::{TokenId, UserId};
use tokenhouse_core::people::{Role, UserType};
use tokenhouse_store::tokens::{NewToken, Token};
use tokenhouse_store::{Error, What, successors, tokens, users};

use crate::setting::{NOW, Setting, hash, name, on_both, token};

on_both!(
    a_token_is_read_as_it_was_stored,
    a_token_shows_its_owner_as_of_now,
    a_name_is_unique_among_the_owners_tokens,
    a_hash_is_unique,
    a_token_needs_an_owner,
    lists_are_apart_and_newest_first,
    a_token_is_revoked_and_restored,
    a_deleted_token_is_absent_and_its_number_never_comes_back,
    a_token_knows_its_successor,
    descendants_are_found_through_deleted_tokens,
    a_cycle_of_parents_ends,
);

fn ids(tokens: &[Token]) -> Vec<TokenId> {
    tokens.iter().map(|token| token.id).collect()
}

async fn find(s: &Setting, id: TokenId) -> Option<Token> {
    tokens::find(&mut *s.read().await, id).await.unwrap()
}

async fn a_token_is_read_as_it_was_stored(s: Setting) {
    let ada = s.human("ada").await;
    let bob = s.human("bob").await;
    let parent = s.token(ada, 1).await;
    let ci = name("CI — nightly 🌙");
    let new = NewToken {
        scim_only: true,
        created_by: bob,
        expires_at: Some(NOW.plus_days(30)),
        parent_id: Some(parent),
        rotates: Some(parent),
        ..token(ada, &ci, 2)
    };
    let id = s.write(async |w| tokens::insert(w, &new).await).await;
    let stored = find(&s, id).await.unwrap();
    let expected = Token {
        id,
        name: ci.to_string(),
        hash: hash(2),
        scim_only: true,
        created_at: NOW,
        created_by: bob,
        expires_at: Some(NOW.plus_days(30)),
        revoked_at: None,
        deleted_at: None,
        parent_id: Some(parent),
        rotates: Some(parent),
        rotated_by: None,
        last_used_at: None,
        last_used_ip: None,
        leaked_at: None,
        idle_announced_at: None,
        closing: None,
        plan: None,
        owner: stored.owner.clone(),
    };
    assert_eq!(stored, expected);
    let mut c = s.read().await;
    assert_eq!(tokens::find_by_hash(&mut c, &hash(2)).await.unwrap(), Some(expected));
    assert_eq!(tokens::find_by_hash(&mut c, &hash(9)).await.unwrap(), None);
    assert_eq!(tokens::find(&mut c, TokenId(99)).await.unwrap(), None);
    let plain = find(&s, parent).await.unwrap();
    assert_eq!(
        (plain.expires_at, plain.parent_id, plain.rotates, plain.scim_only),
        (None, None, None, false)
    );
}

async fn a_token_shows_its_owner_as_of_now(s: Setting) {
    let ci = s.service("ci").await;
    let id = s.token(ci, 1).await;
    let owner = find(&s, id).await.unwrap().owner;
    assert_eq!(
        (owner.id, owner.role, owner.user_type, owner.active),
        (ci, Role::Member, UserType::Service, true)
    );
    assert_eq!(
        [&*owner.user_id, &*owner.user_name, &*owner.email, &*owner.name],
        ["ci@service", "ci", "ci@service", "ci"]
    );
    s.write(async |w| users::set_deactivated(w, ci, Some(NOW)).await).await;
    assert!(!find(&s, id).await.unwrap().owner.active);
    s.write(async |w| users::set_deactivated(w, ci, None).await).await;
    assert!(find(&s, id).await.unwrap().owner.active);
}

async fn a_name_is_unique_among_the_owners_tokens(s: Setting) {
    let (ada, bob) = (s.human("ada").await, s.human("bob").await);
    let ci = name("ci");
    let id = s.write(async |w| tokens::insert(w, &token(ada, &ci, 1)).await).await;
    let error = s.refused(async |w| tokens::insert(w, &token(ada, &ci, 2)).await).await;
    assert!(matches!(error, Error::Conflict(What::TokenName)), "{error}");
    s.write(async |w| tokens::insert(w, &token(bob, &ci, 3)).await).await;
    s.write(async |w| tokens::insert(w, &token(ada, &name("CI"), 4)).await).await;
    assert!(tokens::name_taken(&mut *s.read().await, ada, &ci).await.unwrap());
    assert!(!tokens::name_taken(&mut *s.read().await, ada, &name("Ci")).await.unwrap());
    // A revoked one keeps its name, a deleted one frees it.
    s.write(async |w| tokens::set_revoked(w, id, Some(NOW)).await).await;
    assert!(tokens::name_taken(&mut *s.read().await, ada, &ci).await.unwrap());
    s.write(async |w| tokens::mark_deleted(w, id).await).await;
    assert!(!tokens::name_taken(&mut *s.read().await, ada, &ci).await.unwrap());
    s.write(async |w| tokens::insert(w, &token(ada, &ci, 5)).await).await;
}

async fn a_hash_is_unique(s: Setting) {
    let ada = s.human("ada").await;
    let id = s.token(ada, 1).await;
    s.write(async |w| tokens::mark_deleted(w, id).await).await;
    let error = s.refused(async |w| tokens::insert(w, &token(ada, &name("other"), 1)).await).await;
    assert!(matches!(error, Error::Conflict(What::TokenHash)), "{error}");
    assert!(!format!("{error} {error:?}").contains("01"), "{error:?}");
}

async fn a_token_needs_an_owner(s: Setting) {
    let error = s.refused(async |w| tokens::insert(w, &token(UserId(77), &name("ci"), 1)).await).await;
    assert!(matches!(error, Error::Refused(_)), "{error}");
}

async fn lists_are_apart_and_newest_first(s: Setting) {
    let (ada, bob) = (s.human("ada").await, s.human("bob").await);
    let (ci, cd) = (s.service("ci").await, s.service("cd").await);
    let mut made = Vec::new();
    for (number, owner) in (1..).zip([ada, ci, bob, cd, ada, ci]) {
        made.push(s.token(owner, number).await);
    }
    s.write(async |w| tokens::set_revoked(w, made[0], Some(NOW)).await).await;
    let mut c = s.read().await;
    assert_eq!(ids(&tokens::personal(&mut c, ada).await.unwrap()), [made[4], made[0]]);
    assert_eq!(ids(&tokens::personal(&mut c, ci).await.unwrap()), []);
    assert_eq!(ids(&tokens::service(&mut c, None).await.unwrap()), [made[5], made[3], made[1]]);
    assert_eq!(ids(&tokens::service(&mut c, Some(ci)).await.unwrap()), [made[5], made[1]]);
    assert_eq!(ids(&tokens::service(&mut c, Some(ada)).await.unwrap()), []);
    assert_eq!(ids(&tokens::unrevoked_of(&mut c, ada).await.unwrap()), [made[4]]);
    assert_eq!(ids(&tokens::unrevoked_of(&mut c, ci).await.unwrap()), [made[1], made[5]]);
}

async fn a_token_is_revoked_and_restored(s: Setting) {
    let ada = s.human("ada").await;
    let (id, other) = (s.token(ada, 1).await, s.token(ada, 2).await);
    s.write(async |w| tokens::set_revoked(w, id, Some(NOW)).await).await;
    assert_eq!(find(&s, id).await.unwrap().revoked_at, Some(NOW));
    assert_eq!(find(&s, other).await.unwrap().revoked_at, None);
    s.write(async |w| tokens::set_revoked(w, id, None).await).await;
    assert_eq!(find(&s, id).await.unwrap().revoked_at, None);
}

async fn a_deleted_token_is_absent_and_its_number_never_comes_back(s: Setting) {
    let ada = s.human("ada").await;
    let id = s.token(ada, 1).await;
    s.write(async |w| tokens::mark_deleted(w, id).await).await;
    let mut c = s.read().await;
    assert_eq!(tokens::find(&mut c, id).await.unwrap(), None);
    assert_eq!(tokens::find_by_hash(&mut c, &hash(1)).await.unwrap(), None);
    let even_deleted = tokens::find_by_hash_even_deleted(&mut c, &hash(1)).await.unwrap();
    assert_eq!(even_deleted.map(|token| (token.id, token.leaked_at)), Some((id, None)));
    assert_eq!(tokens::find_by_hash_even_deleted(&mut c, &hash(9)).await.unwrap(), None);
    assert_eq!(tokens::personal(&mut c, ada).await.unwrap(), []);
    assert_eq!(tokens::unrevoked_of(&mut c, ada).await.unwrap(), []);
    assert_eq!(tokens::count(&mut c).await.unwrap(), 0);
    drop(c);
    s.write(async |w| tokens::set_leaked(w, id, NOW).await).await;
    let leaked = tokens::find_even_deleted(&mut *s.read().await, id).await.unwrap().unwrap();
    assert_eq!(leaked.leaked_at, Some(NOW));
    let error = s.refused(async |w| tokens::set_revoked(w, id, None).await).await;
    assert!(matches!(error, Error::NotFound));
    assert!(s.token(ada, 2).await > id);
    assert_eq!(tokens::count(&mut *s.read().await).await.unwrap(), 1);
}

async fn a_token_knows_its_successor(s: Setting) {
    let ada = s.human("ada").await;
    let old = s.token(ada, 1).await;
    let succeed = async |number, end| {
        let name = name(&format!("successor {number}"));
        let new = NewToken { rotates: Some(old), expires_at: end, ..token(ada, &name, number) };
        s.write(async |w| tokens::insert(w, &new).await).await
    };
    let live = async |now| successors::has_live_successor(&mut *s.read().await, old, now).await.unwrap();
    assert!(!live(NOW).await);
    let first = succeed(2, Some(NOW.plus_days(1))).await;
    assert!(live(NOW).await);
    assert!(!live(NOW.plus_days(1)).await);
    assert_eq!(find(&s, old).await.unwrap().rotated_by, Some(first));
    s.write(async |w| tokens::set_revoked(w, first, Some(NOW)).await).await;
    assert!(!live(NOW).await);
    let second = succeed(3, None).await;
    assert!(live(NOW.plus_days(1_000)).await);
    assert_eq!(find(&s, old).await.unwrap().rotated_by, Some(second));
    s.write(async |w| tokens::mark_deleted(w, second).await).await;
    assert!(!live(NOW).await);
    assert_eq!(find(&s, old).await.unwrap().rotated_by, Some(first));
}

/// The tokens of a line, each made with the one before.
async fn line(s: &Setting, owner: UserId, length: u8) -> Vec<TokenId> {
    let mut line = Vec::new();
    for number in 1..=length {
        let name = name(&number.to_string());
        let new = NewToken { parent_id: line.last().copied(), ..token(owner, &name, number) };
        line.push(s.write(async |w| tokens::insert(w, &new).await).await);
    }
    line
}

async fn descendants_are_found_through_deleted_tokens(s: Setting) {
    let ada = s.human("ada").await;
    let line = line(&s, ada, 5).await;
    let aside = s.token(ada, 9).await;
    s.write(async |w| {
        tokens::mark_deleted(w, line[0]).await?;
        tokens::mark_deleted(w, line[2]).await
    })
    .await;
    let mut c = s.read().await;
    assert_eq!(ids(&tokens::descendants(&mut c, line[0]).await.unwrap()), [line[1], line[3], line[4]]);
    assert_eq!(ids(&tokens::descendants(&mut c, line[1]).await.unwrap()), line[3..]);
    assert_eq!(ids(&tokens::descendants(&mut c, line[4]).await.unwrap()), []);
    assert_eq!(ids(&tokens::descendants(&mut c, aside).await.unwrap()), []);
}

async fn a_cycle_of_parents_ends(s: Setting) {
    let ada = s.human("ada").await;
    let line = line(&s, ada, 3).await;
    s.execute(&format!("UPDATE tokens SET parent_id = {} WHERE id = {}", line[2], line[0])).await;
    let mut c = s.read().await;
    assert_eq!(ids(&tokens::descendants(&mut c, line[1]).await.unwrap()), [line[0], line[2]]);
}
