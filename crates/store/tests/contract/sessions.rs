//! Sessions, passwords, invitations and the setup code.

use tokenhouse_core::id::UserId;
use tokenhouse_core::password::PasswordHash;
use tokenhouse_core::people::{Role, UserType};
use tokenhouse_store::passwords::Account;
use tokenhouse_store::sessions::{self, NewSession, Session};
use tokenhouse_store::users::NewUser;
use tokenhouse_store::{Error, invitations, passwords, setup, users};

use crate::setting::{NOW, Setting, name, on_both, user};

on_both!(
    a_session_is_read_as_it_was_stored_until_it_ends,
    a_use_moves_the_end_and_never_backwards,
    sessions_of_one_person_are_listed_and_deleted,
    ended_sessions_are_cleared_away,
    a_secret_is_stored_once,
    somebody_is_found_by_what_they_sign_in_with,
    a_password_is_replaced,
    a_sign_in_is_noted,
    an_invitation_is_good_until_it_is_used_up_or_over,
    one_setup_code_is_kept,
    a_human_admin_is_known_to_have_been,
);

fn new(user: UserId, secret_hash: &[u8; 32]) -> NewSession<'_> {
    NewSession { user, secret_hash, expires_at: NOW.plus_days(7), ip: "10.0.0.7", user_agent: None }
}

async fn of_user(s: &Setting, user: UserId) -> Vec<i64> {
    let sessions = sessions::of_user(&mut *s.read().await, user, NOW).await.unwrap();
    sessions.into_iter().map(|session| session.id.0).collect()
}

async fn a_session_is_read_as_it_was_stored_until_it_ends(s: Setting) {
    let ada = s.human("ada").await;
    let with_agent = NewSession { user_agent: Some("Firefox ü"), ..new(ada, &[1; 32]) };
    let id = s.write(async |w| sessions::insert(w, &with_agent).await).await;
    let expected = Session {
        id,
        user: ada,
        created_at: NOW,
        seen_at: NOW,
        expires_at: NOW.plus_days(7),
        ip: "10.0.0.7".into(),
        user_agent: Some("Firefox ü".into()),
    };
    let mut c = s.read().await;
    assert_eq!(sessions::find(&mut c, &[1; 32], NOW).await.unwrap(), Some(expected));
    assert_eq!(sessions::find(&mut c, &[2; 32], NOW).await.unwrap(), None);
    let last = NOW.plus_days(7).plus_seconds(-1);
    assert!(sessions::find(&mut c, &[1; 32], last).await.unwrap().is_some());
    assert_eq!(sessions::find(&mut c, &[1; 32], NOW.plus_days(7)).await.unwrap(), None);
    assert_eq!(sessions::of_user(&mut c, ada, NOW.plus_days(7)).await.unwrap(), []);
    drop(c);
    s.write(async |w| sessions::delete_with_secret(w, &[2; 32]).await).await;
    assert!(sessions::find(&mut *s.read().await, &[1; 32], NOW).await.unwrap().is_some());
    s.write(async |w| sessions::delete_with_secret(w, &[1; 32]).await).await;
    assert_eq!(sessions::find(&mut *s.read().await, &[1; 32], NOW).await.unwrap(), None);
}

async fn a_use_moves_the_end_and_never_backwards(s: Setting) {
    let ada = s.human("ada").await;
    let id = s.write(async |w| sessions::insert(w, &new(ada, &[1; 32])).await).await;
    let (seen, end) = (NOW.plus_days(2), NOW.plus_days(9));
    sessions::note_use(&s.store, id, seen, end).await.unwrap();
    sessions::note_use(&s.store, id, NOW.plus_days(1), NOW.plus_days(8)).await.unwrap();
    let found = sessions::find(&mut *s.read().await, &[1; 32], seen).await.unwrap().unwrap();
    assert_eq!((found.created_at, found.seen_at, found.expires_at), (NOW, seen, end));
    // One that is gone meanwhile is nobody's fault.
    assert!(s.write(async |w| sessions::delete(w, ada, id).await).await);
    sessions::note_use(&s.store, id, seen, end).await.unwrap();
    assert_eq!(of_user(&s, ada).await, [0; 0]);
}

async fn sessions_of_one_person_are_listed_and_deleted(s: Setting) {
    let (ada, ben) = (s.human("ada").await, s.human("ben").await);
    let mut ids = Vec::new();
    for (number, user) in [(1, ada), (2, ada), (3, ben), (4, ada)] {
        ids.push(s.write(async |w| sessions::insert(w, &new(user, &[number; 32])).await).await);
    }
    sessions::note_use(&s.store, ids[0], NOW.plus_seconds(1), NOW.plus_days(7)).await.unwrap();
    assert_eq!(of_user(&s, ada).await, [ids[0].0, ids[3].0, ids[1].0]);
    assert!(!s.write(async |w| sessions::delete(w, ben, ids[0]).await).await, "another's");
    assert!(s.write(async |w| sessions::delete(w, ada, ids[0]).await).await);
    assert!(!s.write(async |w| sessions::delete(w, ada, ids[0]).await).await, "gone");
    assert_eq!(s.write(async |w| sessions::delete_of_user(w, ada).await).await, 2);
    assert_eq!((of_user(&s, ada).await, of_user(&s, ben).await), (vec![], vec![ids[2].0]));
}

async fn ended_sessions_are_cleared_away(s: Setting) {
    let (ada, ben) = (s.human("ada").await, s.human("ben").await);
    let over = NewSession { expires_at: NOW, ..new(ada, &[1; 32]) };
    s.write(async |w| sessions::insert(w, &over).await).await;
    s.write(async |w| sessions::insert(w, &NewSession { user: ben, secret_hash: &[2; 32], ..over }).await)
        .await;
    s.write(async |w| sessions::insert(w, &new(ada, &[3; 32])).await).await;
    assert_eq!(s.write(async |w| sessions::delete_of_user(w, ada).await).await, 1, "one hadn't ended");
    let before = NOW.plus_seconds(-1);
    assert_eq!(sessions::find(&mut *s.read().await, &[2; 32], before).await.unwrap(), None);
}

async fn a_secret_is_stored_once(s: Setting) {
    let ada = s.human("ada").await;
    s.write(async |w| sessions::insert(w, &new(ada, &[1; 32])).await).await;
    let error = s.refused(async |w| sessions::insert(w, &new(ada, &[1; 32])).await).await;
    assert!(matches!(error, Error::Refused(_)), "{error}");
}

async fn somebody_is_found_by_what_they_sign_in_with(s: Setting) {
    let add = async |user_id: &str, user_name: &str, email: &str, user_type| {
        let name = name(user_id);
        let new = NewUser { user_name, email, user_type, ..user(user_id, &name) };
        s.write(async |w| users::insert(w, &new).await).await
    };
    let human = UserType::Human;
    let ada = add("local|1", "Ada", "ada@example.com", human).await;
    let ben = add("local|2", "ben", "shared@example.com", human).await;
    add("local|3", "cleo", "shared@example.com", human).await;
    // Somebody's user name is somebody else's address: the name wins.
    let dan = add("local|4", "cleo@example.com", "dan@example.com", human).await;
    add("local|5", "eve", "cleo@example.com", human).await;
    add("robot@service", "robot", "robot@service", UserType::Service).await;
    let mut c = s.read().await;
    for (typed, expected) in [
        ("ada", Some(ada)),
        ("ADA@example.com", Some(ada)),
        ("ben", Some(ben)),
        ("shared@example.com", None),
        ("cleo@example.com", Some(dan)),
        ("robot", None),
        ("robot@service", None),
        ("nobody", None),
        ("%", None),
        ("", None),
    ] {
        let found = passwords::find(&mut c, typed).await.unwrap();
        assert_eq!(found.map(|account| account.user), expected, "{typed}");
    }
    drop(c);
    s.execute("UPDATE users SET removed_at = 1 WHERE user_id = 'local|1'").await;
    assert_eq!(passwords::find(&mut *s.read().await, "ada").await.unwrap(), None);
}

async fn a_password_is_replaced(s: Setting) {
    let (ada, ben) = (s.human("ada").await, s.human("ben").await);
    assert_eq!(passwords::of_user(&mut *s.read().await, ada).await.unwrap(), None);
    for text in ["$argon2id$one", "$argon2id$two"] {
        let hash = PasswordHash::new(text.into());
        s.write(async |w| passwords::set(w, ada, &hash).await).await;
        assert_eq!(passwords::of_user(&mut *s.read().await, ada).await.unwrap(), Some(hash.clone()));
        let expected = Account { user: ada, name: "ada".into(), hash: Some(hash), active: true };
        assert_eq!(passwords::find(&mut *s.read().await, "local|ada").await.unwrap(), Some(expected));
    }
    s.write(async |w| users::set_deactivated(w, ada, Some(NOW)).await).await;
    assert!(!passwords::find(&mut *s.read().await, "local|ada").await.unwrap().unwrap().active);
    assert_eq!(passwords::of_user(&mut *s.read().await, ben).await.unwrap(), None);
    let hash = PasswordHash::new("x".into());
    let error = s.refused(async |w| passwords::set(w, UserId(99), &hash).await).await;
    assert!(matches!(error, Error::NotFound), "{error}");
}

async fn a_sign_in_is_noted(s: Setting) {
    let (ada, ben) = (s.human("ada").await, s.human("ben").await);
    s.write(async |w| passwords::note_sign_in(w, ada).await).await;
    let mut c = s.read().await;
    let last = async |c: &mut _, id| users::find(c, id).await.unwrap().unwrap().last_login;
    assert_eq!((last(&mut c, ada).await, last(&mut c, ben).await), (Some(NOW), None));
}

async fn an_invitation_is_good_until_it_is_used_up_or_over(s: Setting) {
    let (ada, ben) = (s.human("ada").await, s.human("ben").await);
    let week = NOW.plus_days(7);
    for (user, code) in [(ada, [1; 32]), (ada, [2; 32]), (ben, [3; 32])] {
        s.write(async |w| invitations::insert(w, user, &code, week).await).await;
    }
    let find = async |code: [u8; 32], now| invitations::find(&mut *s.read().await, &code, now).await.unwrap();
    assert_eq!(find([1; 32], NOW).await, Some(ada));
    assert_eq!(find([2; 32], week.plus_seconds(-1)).await, Some(ada));
    assert_eq!(find([2; 32], week).await, None);
    assert_eq!(find([9; 32], NOW).await, None);
    s.write(async |w| invitations::use_up(w, ada).await).await;
    assert_eq!(find([1; 32], NOW).await, None);
    assert_eq!(find([2; 32], NOW).await, None);
    assert_eq!(find([3; 32], NOW).await, Some(ben));
}

async fn one_setup_code_is_kept(s: Setting) {
    let is_kept = async |code: [u8; 32]| setup::is_kept(&mut *s.read().await, &code).await.unwrap();
    assert!(!is_kept([1; 32]).await);
    s.write(async |w| setup::keep(w, &[1; 32]).await).await;
    assert!(is_kept([1; 32]).await && !is_kept([2; 32]).await);
    s.write(async |w| setup::keep(w, &[2; 32]).await).await;
    assert!(!is_kept([1; 32]).await && is_kept([2; 32]).await);
    s.write(async |w| setup::forget(w).await).await;
    assert!(!is_kept([2; 32]).await);
    s.write(async |w| setup::forget(w).await).await;
}

async fn a_human_admin_is_known_to_have_been(s: Setting) {
    let has_been = async || users::has_human_admin(&mut *s.read().await).await.unwrap();
    s.human("ada").await;
    let automation = name("robot");
    let service =
        NewUser { role: Role::Admin, user_type: UserType::Service, ..user("robot@service", &automation) };
    s.write(async |w| users::insert(w, &service).await).await;
    assert!(!has_been().await);
    let root = name("root");
    let admin = NewUser { role: Role::Admin, ..user("local|root", &root) };
    let id = s.write(async |w| users::insert(w, &admin).await).await;
    assert!(has_been().await);
    s.write(async |w| users::set_deactivated(w, id, Some(NOW)).await).await;
    assert!(has_been().await);
}
