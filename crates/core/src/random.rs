//! Randomness, passed in everywhere so that tests can expect literal tokens.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rand::rngs::{StdRng, SysRng};
use rand::{Rng as _, SeedableRng as _, TryRng as _};

/// The system gave no randomness. Nothing secret can be made without it.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub struct NoRandomness;

/// Where random bytes come from: the operating system, or a seed in tests.
#[derive(Clone)]
pub struct Random(Source);

#[derive(Clone)]
enum Source {
    System,
    Seeded(Arc<Mutex<StdRng>>),
}

impl Random {
    /// The operating system's generator.
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// The same bytes on every run. For tests only: whoever knows the seed knows every secret.
    pub fn seeded(seed: u64) -> Self {
        Self(Source::Seeded(Arc::new(Mutex::new(StdRng::seed_from_u64(seed)))))
    }

    /// A generator of its own, seeded once from this one. Asks the operating system never again, so it
    /// is the cheaper one for what only has to be unique.
    pub fn fork(&self) -> Result<Self, NoRandomness> {
        Ok(Self(Source::Seeded(Arc::new(Mutex::new(StdRng::from_seed(self.bytes()?))))))
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> Result<[u8; N], NoRandomness> {
        let mut bytes = [0; N];
        match &self.0 {
            Source::System => SysRng.try_fill_bytes(&mut bytes).map_err(|_| NoRandomness)?,
            Source::Seeded(generator) => {
                generator.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut bytes);
            }
        }
        Ok(bytes)
    }

    /// `N` random bytes as unpadded base64url, for identifiers that must not be guessed.
    pub fn text<const N: usize>(&self) -> Result<String, NoRandomness> {
        Ok(BASE64_URL_SAFE_NO_PAD.encode(self.bytes::<N>()?))
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Random")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_the_system_does_not() {
        let (a, b) = (Random::seeded(7), Random::seeded(7));
        assert_eq!(a.text::<16>().unwrap(), b.text::<16>().unwrap());
        let system = Random::system();
        assert_ne!(system.text::<16>().unwrap(), system.text::<16>().unwrap());
    }

    #[test]
    fn forks_go_their_own_ways() {
        let (a, b) = (Random::seeded(7), Random::seeded(7));
        let (first, second) = (a.fork().unwrap(), a.fork().unwrap());
        let drawn = first.text::<16>().unwrap();
        assert_eq!(drawn, b.fork().unwrap().text::<16>().unwrap());
        assert_ne!(drawn, second.text::<16>().unwrap());
        assert_ne!(drawn, first.text::<16>().unwrap());
    }
}
