//! Hashes and verifies passwords: Argon2id with 19 MiB, two passes and one lane, as OWASP recommends.
//!
//! Each takes tens of milliseconds and 19 MiB, so it is done off the threads that answer requests, a
//! few at a time, on threads that yield to all others, and nobody waits long for their turn.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use argon2::password_hash::phc;
use argon2::password_hash::{Error as HashError, PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use prometheus_client::metrics::counter::Counter;
use tokenhouse_core::password::{Password, PasswordHash, Typed};
use tokenhouse_core::random::Random;
use tokio::sync::{Semaphore, oneshot};

use crate::error::Error;

/// How long anybody waits for their turn, in seconds.
const PATIENCE: u64 = 5;

/// The most that are computed at a time, however many cores there are.
const AT_A_TIME: usize = 8;

/// How far the threads that compute stand back: about a tenth of the time of a busy processor is left to them.
const NICENESS: i32 = 10;

/// What is verified where there is no password, so that nobody can tell by the time it takes. Its
/// password is known to nobody: the hash was not computed, but written down.
const NOBODYS: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm8gc3VjaCBhY2NvdW50IQ$bm8gcGFzc3dvcmQgaGFzIHRoaXMgYXMgaXRzIGhhc2g";

/// Hashes and verifies passwords.
#[derive(Debug)]
pub struct Passwords {
    turns: Arc<Semaphore>,
    computed: Counter,
}

impl Passwords {
    /// With room for half as many at a time as there are cores. Each is counted.
    pub fn new(computed: Counter) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { turns: Arc::new(Semaphore::new((cores / 2).clamp(1, AT_A_TIME))), computed }
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
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Error> {
        let turn = Arc::clone(&self.turns).acquire_owned();
        let turn = tokio::time::timeout(Duration::from_secs(PATIENCE), turn).await;
        let turn = turn.map_err(|_| Error::TooMany { retry_after: PATIENCE })?.map_err(Error::internal)?;
        self.computed.inc();
        let (sender, computed) = oneshot::channel();
        // A thread of its own, because none can be made less nice again.
        let thread = thread::Builder::new().name("password".into()).spawn(move || {
            let _turn = turn;
            // On Linux it is the thread that becomes nicer. Where that isn't allowed, it computes all the same.
            let _ = rustix::process::setpriority_process(None, NICENESS);
            // Whoever asked may be gone.
            let _ = sender.send(work());
        });
        thread.map_err(Error::internal)?;
        computed.await.map_err(Error::internal)?.map_err(Error::internal)
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn argon2() -> Result<Argon2<'static>, Failure> {
    let params = Params::new(19 * 1_024, 2, 1, None)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

#[cfg(test)]
mod tests {
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

    #[tokio::test]
    async fn it_is_computed_on_a_thread_of_its_own_that_stands_back() {
        let before = rustix::process::nice(0).unwrap();
        let passwords = Passwords::new(Counter::default());
        let computed = passwords.compute(|| {
            let name = thread::current().name().map(str::to_owned);
            Ok((name, rustix::process::nice(0)?))
        });
        let stepped_back = before.max(NICENESS);
        assert_eq!(computed.await.unwrap(), (Some("password".to_owned()), stepped_back));
        assert_eq!(rustix::process::nice(0).unwrap(), before, "nobody else stands back");
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
