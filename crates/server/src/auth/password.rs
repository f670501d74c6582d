//! Hashes and verifies passwords: Argon2id with 19 MiB, two passes and one lane, as OWASP recommends.
//!
//! Each takes tens of milliseconds and 19 MiB, so it is done off the threads that answer requests, a
//! few at a time, on threads that give way to all others at once, and nobody waits long for their turn. Where the
//! machine is so busy that such a thread doesn't get on, another one does the same that only stands back.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use argon2::password_hash::phc;
use argon2::password_hash::{Error as HashError, PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use prometheus_client::metrics::counter::Counter;
use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy,
    thread_native_id,
};
use tokenhouse_core::password::{Password, PasswordHash, Typed};
use tokenhouse_core::random::Random;
use tokio::sync::{Semaphore, oneshot};

use crate::error::Error;

/// How long anybody waits for their turn, in seconds.
const PATIENCE: u64 = 5;

/// The most that are computed at a time, however many cores there are.
const AT_A_TIME: usize = 8;

/// How long a computation may take on a thread that gives way to all others, before another one is begun.
const LEISURE: Duration = Duration::from_millis(300);

/// How far the other threads stand back: about a tenth of the time of a busy processor is left to them.
const NICENESS: i32 = 10;

/// What is verified where there is no password, so that nobody can tell by the time it takes. Its
/// password is known to nobody: the hash was not computed, but written down.
const NOBODYS: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm8gc3VjaCBhY2NvdW50IQ$bm8gcGFzc3dvcmQgaGFzIHRoaXMgYXMgaXRzIGhhc2g";

/// Hashes and verifies passwords.
#[derive(Debug)]
pub struct Passwords {
    turns: Arc<Semaphore>,
    /// As many threads may give way to all others, also when nobody waits for them any more.
    leisurely: Arc<Semaphore>,
    computed: Counter,
}

impl Passwords {
    /// With room for half as many at a time as there are cores. Each is counted.
    pub fn new(computed: Counter) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let at_a_time = (cores / 2).clamp(1, AT_A_TIME);
        let permits = || Arc::new(Semaphore::new(at_a_time));
        Self { turns: permits(), leisurely: permits(), computed }
    }

    /// The hash to be stored of a new password, with a salt of its own.
    ///
    /// # Errors
    /// [`Error::TooMany`] if too many others are waiting.
    pub async fn hash(&self, random: &Random, password: Password) -> Result<PasswordHash, Error> {
        let salt: [u8; 16] = random.bytes()?;
        self.compute(move || {
            let hash: phc::PasswordHash =
                argon2()?.hash_password_with_salt(password.expose().as_bytes(), &salt)?;
            Ok(PasswordHash::new(hash.to_string()))
        })
        .await
    }

    /// Whether a typed password is the one that was stored. Takes as long where none was.
    ///
    /// # Errors
    /// [`Error::TooMany`] if too many others are waiting.
    pub async fn verify(&self, typed: Typed, stored: Option<PasswordHash>) -> Result<bool, Error> {
        self.compute(move || {
            let text = stored.as_ref().map_or(NOBODYS, PasswordHash::as_str);
            match argon2()?.verify_password(typed.expose().as_bytes(), &phc::PasswordHash::new(text)?) {
                Ok(()) => Ok(stored.is_some()),
                Err(HashError::PasswordInvalid) => Ok(false),
                Err(other) => Err(other.into()),
            }
        })
        .await
    }

    /// Waits for its turn, and keeps it to the end, also when the caller goes away.
    async fn compute<T: Send + 'static>(
        &self,
        work: impl Fn() -> Result<T, Failure> + Send + Sync + 'static,
    ) -> Result<T, Error> {
        let turn = Arc::clone(&self.turns).acquire_owned();
        let turn = tokio::time::timeout(Duration::from_secs(PATIENCE), turn).await;
        let turn = turn.map_err(|_| Error::TooMany { retry_after: PATIENCE })?.map_err(Error::internal)?;
        self.computed.inc();
        let leisurely = Arc::clone(&self.leisurely).try_acquire_owned().ok();
        let work = Arc::new(work);
        let computed = tokio::spawn(async move {
            let _turn = turn;
            if let Some(permit) = leisurely {
                let computed = on_a_thread(Manner::GivesWay, permit, Arc::clone(&work))?;
                if let Ok(computed) = tokio::time::timeout(LEISURE, computed).await {
                    return computed.map_err(Error::internal);
                }
            }
            on_a_thread(Manner::StandsBack, (), work)?.await.map_err(Error::internal)
        });
        computed.await.map_err(Error::internal)??.map_err(Error::internal)
    }
}

/// How a thread treats others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Gets next to no time while others want all of it, and gives way as soon as one does.
    GivesWay,
    /// Gets less time than others.
    StandsBack,
}

impl Manner {
    /// On Linux it is the thread that does so. Where that isn't allowed, it computes all the same.
    fn adopt(self) {
        let _ = rustix::process::setpriority_process(None, NICENESS);
        if self == Self::GivesWay {
            let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
            let _ = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle);
        }
    }
}

/// Works on a thread of its own, because none can go back to another manner, unless nobody waits for it by then. The
/// thread has `permit` until it has worked.
fn on_a_thread<T: Send + 'static>(
    manner: Manner,
    permit: impl Send + 'static,
    work: Arc<impl Fn() -> T + Send + Sync + 'static>,
) -> Result<oneshot::Receiver<T>, Error> {
    let (sender, computed) = oneshot::channel();
    let computing = move || {
        manner.adopt();
        answer(sender, permit, work);
    };
    thread::Builder::new().name("password".into()).spawn(computing).map_err(Error::internal)?;
    Ok(computed)
}

fn answer<T>(sender: oneshot::Sender<T>, permit: impl Send, work: Arc<impl Fn() -> T>) {
    if sender.is_closed() {
        return;
    }
    let done = work();
    // Whoever is woken by the answer finds the permit there.
    drop((permit, work));
    let _ = sender.send(done);
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn argon2() -> Result<Argon2<'static>, Failure> {
    let params = Params::new(19 * 1_024, 2, 1, None)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

#[cfg(test)]
mod tests {
    use thread_priority::thread_schedule_policy;

    use super::*;

    async fn hash(text: &str) -> PasswordHash {
        let password = Typed::new(text).choose().unwrap();
        Passwords::new(Counter::default()).hash(&Random::seeded(1), password).await.unwrap()
    }

    async fn verify(text: &str, stored: Option<PasswordHash>) -> Result<bool, Error> {
        Passwords::new(Counter::default()).verify(Typed::new(text), stored).await
    }

    #[tokio::test]
    async fn a_password_is_verified_by_its_hash_alone() {
        let stored = hash("correct horse battery").await;
        assert!(stored.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(verify("correct horse battery", Some(stored.clone())).await.unwrap());
        for wrong in ["correct horse batterz", "correct horse battery ", ""] {
            assert!(!verify(wrong, Some(stored.clone())).await.unwrap(), "{wrong:?}");
        }
    }

    #[tokio::test]
    async fn where_there_is_no_password_the_same_is_computed_and_nothing_is_right() {
        let stored = hash("correct horse battery").await;
        let costs = |phc: &str| phc.split('$').take(4).collect::<Vec<_>>().join("$");
        assert_eq!(costs(NOBODYS), costs(stored.as_str()));
        for (a, b) in NOBODYS.split('$').zip(stored.as_str().split('$')) {
            assert_eq!(a.len() > 20, b.len() > 20, "salt and hash are as long");
        }
        assert!(!verify("correct horse battery", None).await.unwrap());
        assert!(!verify("", None).await.unwrap());
    }

    #[tokio::test]
    async fn what_is_no_hash_is_a_fault_of_ours() {
        let refused = verify("x", Some(PasswordHash::new("plain".into()))).await;
        assert!(matches!(refused, Err(Error::Internal(_))));
    }

    /// Name, policy and niceness of this thread.
    fn manner() -> (Option<String>, ThreadSchedulePolicy, i32) {
        let name = thread::current().name().map(str::to_owned);
        (name, thread_schedule_policy().unwrap(), rustix::process::nice(0).unwrap())
    }

    #[tokio::test]
    async fn it_is_computed_on_a_thread_of_its_own_that_gives_way() {
        let before = manner();
        let computed = on_a_thread(Manner::GivesWay, (), Arc::new(manner)).unwrap().await.unwrap();
        let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        assert_eq!((computed.0.as_deref(), computed.1), (Some("password"), idle));
        assert_eq!(manner(), before, "nobody else gives way");
    }

    #[tokio::test]
    async fn where_that_thread_does_not_get_on_another_one_computes_that_stands_back() {
        let passwords = Passwords::new(Counter::default());
        let all = passwords.leisurely.available_permits();
        let other = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Other);
        let niceness = rustix::process::nice(0).unwrap().max(NICENESS);
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let ended = std::sync::Mutex::new(ended);
        let computed = passwords.compute(move || {
            let manner = manner();
            if manner.1 != other {
                let _ = ended.lock().unwrap().recv();
            }
            Ok(manner)
        });
        assert_eq!(computed.await.unwrap(), (Some("password".to_owned()), other, niceness));
        assert_eq!(passwords.leisurely.available_permits(), all - 1, "the thread is still there");
        assert_eq!(passwords.turns.available_permits(), all, "but has nobody's turn");
        drop(end);
        let _all = passwords.leisurely.acquire_many(u32::try_from(all).unwrap()).await.unwrap();
        // While none may give way, nobody waits for one.
        assert_eq!(passwords.compute(|| Ok(manner().1)).await.unwrap(), other);
    }

    #[test]
    fn what_nobody_waits_for_is_not_computed() {
        let (sender, computed) = oneshot::channel::<()>();
        drop(computed);
        answer(sender, (), Arc::new(|| panic!("nobody waits")));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let passwords = Passwords::new(Counter::default());
        let turns = Arc::clone(&passwords.turns);
        let all = u32::try_from(turns.available_permits()).unwrap();
        let _taken = turns.acquire_many(all).await.unwrap();
        let refused = passwords.verify(Typed::new("x"), None).await;
        assert!(matches!(refused, Err(Error::TooMany { retry_after: PATIENCE })));
    }
}
