//! What holds when many come at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use futures_util::future::join_all;
use serde_json::json;
use tokenhouse_core::people::Role;
use tokenhouse_testkit::client::{Answer, Client};
use tokenhouse_testkit::server::{Bearer, Database, TestServer};
use tokio::sync::mpsc::{self, UnboundedSender};

use super::{forward_auth, generate, head, is_accepted};

async fn one_name_is_given_once(server: TestServer) {
    let ada = server.person("Ada", Role::Admin).await;
    let client = server.as_(&ada.token);
    let before = head(&server).await;
    for (path, body) in [
        ("/api/user-tokens", json!({ "name": "the only one" })),
        ("/api/teams", json!({ "name": "The Only One" })),
        ("/api/users", json!({ "name": "The Only One", "role": "Member" })),
    ] {
        let answers = join_all((0..100).map(|_| client.post(path, &body))).await;
        let count = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
        assert_eq!((count(201), count(409)), (1, 99), "{path}");
    }
    assert_eq!(head(&server).await - before, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_name_is_given_once_on_sqlite() {
    one_name_is_given_once(TestServer::start().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_name_is_given_once_on_postgres() {
    one_name_is_given_once(TestServer::builder().on(Database::Postgres).start().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_token_has_one_successor() {
    let server = TestServer::start().await;
    let ada = server.person("Ada", Role::Member).await;
    let client = server.as_(&ada.token);
    let path = format!("/api/user-tokens/{}/rotate", ada.token_id);
    let body = json!({});
    let answers = join_all((0..20).map(|_| client.post(&path, &body))).await;
    let count = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(201), count(409)), (1, 19));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_admins_one_stays() {
    let server = TestServer::start().await;
    let ada = server.person("Ada", Role::Admin).await;
    let ben = server.person("Ben", Role::Admin).await;
    let (as_ada, as_ben) = (server.as_(&ada.token), server.as_(&ben.token));
    for _ in 0..10 {
        let demotion = json!({ "role": "Member" });
        let (path_of_ada, path_of_ben) = (format!("/api/users/{}", ada.id), format!("/api/users/{}", ben.id));
        let (one, other) =
            tokio::join!(as_ada.put(&path_of_ben, &demotion), as_ben.put(&path_of_ada, &demotion));
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        // The loser's right was gone before its turn came, or the last Admin would have been.
        assert!(matches!(statuses, [200, 403 | 409]), "{one} and {other}");
        let (winner, lost) =
            if one.status == 200 { (&as_ada, &path_of_ben) } else { (&as_ben, &path_of_ada) };
        winner.put(lost, &json!({ "role": "Admin" })).await.expect(200);
    }
}

/// Nobody has done anything to the token yet.
const UNTOUCHED: u8 = 0;
/// It is being taken away.
const TOUCHED: u8 = 1;
/// What takes it away has been answered.
const GONE: u8 = 2;

/// A token and how far taking it away has come.
struct Prey {
    token: Bearer,
    state: AtomicU8,
}

/// Checks all tokens again and again, and once more after the last of them has gone. A check that ends
/// before anything is done to its token must be accepted, and is reported; one that starts after the
/// answer must be refused.
async fn check_again_and_again(
    server: Arc<TestServer>,
    prey: Arc<Vec<Prey>>,
    method: &'static str,
    accepted: UnboundedSender<()>,
) {
    loop {
        let all_gone = prey.iter().all(|prey| prey.state.load(Ordering::SeqCst) == GONE);
        for Prey { token, state } in prey.iter() {
            let before = state.load(Ordering::SeqCst);
            let answer = forward_auth(&server, token, method).await;
            let after = state.load(Ordering::SeqCst);
            assert!(before != GONE || answer.status != 200, "accepted after the answer: {answer}");
            assert!(after != UNTOUCHED || answer.status == 200, "refused before the request: {answer}");
            if answer.status == 200 {
                // Nobody listens any more when the test has failed already.
                let _ = accepted.send(());
            }
        }
        if all_gone {
            return;
        }
    }
}

/// Checks tokens from several threads, while `take_away` ends them one by one.
async fn hammer<F: Future<Output = Answer>>(
    server: TestServer,
    tokens: Vec<Bearer>,
    method: &'static str,
    take_away: impl Fn(usize) -> F,
) {
    let prey = tokens.into_iter().map(|token| Prey { token, state: AtomicU8::new(UNTOUCHED) });
    let prey: Arc<Vec<Prey>> = Arc::new(prey.collect());
    let server = Arc::new(server);
    let (sender, mut accepted) = mpsc::unbounded_channel();
    let check = || check_again_and_again(Arc::clone(&server), Arc::clone(&prey), method, sender.clone());
    let hammers: Vec<_> = (0..4).map(|_| tokio::spawn(check())).collect();
    drop(sender);
    for (number, Prey { state, .. }) in prey.iter().enumerate() {
        // Only what is in use can be taken from under somebody.
        while accepted.try_recv().is_ok() {}
        accepted.recv().await.expect("the checks go on");
        state.store(TOUCHED, Ordering::SeqCst);
        let answer = take_away(number).await;
        assert_eq!(answer.status / 100, 2, "{answer}");
        state.store(GONE, Ordering::SeqCst);
    }
    for hammer in hammers {
        hammer.await.unwrap();
    }
}

async fn no_check_that_starts_after_a_revoke_accepts(server: TestServer) {
    let ada = server.person("Ada", Role::Member).await;
    let made = join_all((0..20).map(|number| {
        let (server, token) = (&server, &ada.token);
        async move { generate(server, token, &number.to_string(), None).await }
    }));
    let made = made.await;
    let tokens = made.iter().map(Answer::bearer).collect();
    let client = server.as_(&ada.token);
    hammer(server, tokens, "GET", |number| {
        let (client, made) = (client.clone(), made[number].clone());
        async move {
            let path = format!("/api/user-tokens/{}", made.id());
            match number % 3 {
                0 => client.put(&path, &json!({ "revoke": true })).await,
                1 => client.post_form("/oauth/revoke", &[("token", made.bearer().expose())]).await,
                _ => client.as_(&made.bearer()).delete("/api/user-tokens/current").await,
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_check_that_starts_after_a_revoke_accepts_on_sqlite() {
    no_check_that_starts_after_a_revoke_accepts(TestServer::start().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_check_that_starts_after_a_revoke_accepts_on_postgres() {
    let server = TestServer::builder().on(Database::Postgres).start().await;
    no_check_that_starts_after_a_revoke_accepts(server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_check_that_starts_after_a_demotion_or_deactivation_accepts() {
    let server = TestServer::start().await;
    let admin = server.person("Ada", Role::Admin).await;
    let mut managers = Vec::new();
    for number in 0..12 {
        managers.push(server.person(&format!("M{number}"), Role::Manager).await);
    }
    let tokens = managers.iter().map(|manager| manager.token.clone()).collect();
    let client = server.as_(&admin.token);
    // What only a Manager may do.
    hammer(server, tokens, "POST", |number| {
        let (client, path) = (client.clone(), format!("/api/users/{}", managers[number].id));
        async move {
            if number % 2 == 0 {
                client.put(&path, &json!({ "role": "Member" })).await
            } else {
                client.delete(&path).await
            }
        }
    })
    .await;
}

/// Makes tokens with a token, and with those, until none of them is good any more: after the answer to
/// the revoke at the latest.
async fn thieve(
    client: Client,
    stolen: Bearer,
    name: usize,
    answered: Arc<AtomicBool>,
    made: UnboundedSender<()>,
) -> Vec<Bearer> {
    let mut loot = vec![stolen];
    for number in 0.. {
        let too_late = answered.load(Ordering::SeqCst);
        let wanted = json!({ "name": format!("{name}-{number}") });
        let answer = client.as_(&loot[loot.len() - 1]).post("/api/user-tokens", &wanted).await;
        match answer.status {
            201 if !too_late => {
                loot.push(answer.bearer());
                made.send(()).expect("the test counts");
            }
            401 => break,
            _ => panic!("{answer}"),
        }
    }
    loot
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thief_cannot_outlive_a_revoke_with_descendants() {
    let server = TestServer::start().await;
    let ada = server.person("Ada", Role::Member).await;
    let stolen = generate(&server, &ada.token, "stolen", None).await;
    let answered = Arc::new(AtomicBool::new(false));
    let (sender, mut made) = mpsc::unbounded_channel();
    let thief = |name| thieve(server.client(), stolen.bearer(), name, Arc::clone(&answered), sender.clone());
    let thieves: Vec<_> = (0..8).map(|name| tokio::spawn(thief(name))).collect();
    drop(sender);
    for _ in 0..40 {
        made.recv().await.expect("the thieves are at it");
    }
    let change = json!({ "revoke": true, "descendants": true });
    let path = format!("/api/user-tokens/{}", stolen.id());
    server.as_(&ada.token).put(&path, &change).await.expect(200);
    answered.store(true, Ordering::SeqCst);
    for thief in thieves {
        for token in thief.await.unwrap() {
            assert!(!is_accepted(&server, &token).await);
        }
    }
    let listed = server.as_(&ada.token).get("/api/user-tokens").await.json();
    let active = listed.as_array().unwrap().iter().filter(|token| token["status"] == "active").count();
    assert_eq!(active, 1, "only the one that revoked");
}
