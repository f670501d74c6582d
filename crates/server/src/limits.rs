//! How many attempts an address has. Only failures count. A genuine token is never refused because of
//! failures; a password is, but only for who failed: by the same address, with the same account.
//! So nobody can lock somebody else out of their account.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::people::fold;

use crate::attempts::Attempts;
use crate::config;
use crate::error::Error;

/// Counters per address.
#[derive(Debug)]
pub struct Limits {
    failed_bearers: DefaultKeyedRateLimiter<IpAddr>,
    revocations: DefaultKeyedRateLimiter<IpAddr>,
    leak_reports: DefaultKeyedRateLimiter<IpAddr>,
    failed_sign_ins: Attempts<IpAddr>,
    failed_sign_ins_per_account: Attempts<(IpAddr, u64)>,
    /// Turns what was typed as a user name into a number: it may be a password in the wrong place.
    typed: RandomState,
}

/// A sign-in that is being looked at. Counts as failed unless it is said to have succeeded.
#[derive(Clone, Copy, Debug)]
pub struct SignIn {
    address: IpAddr,
    account: (IpAddr, u64),
}

impl Limits {
    /// Counters with the configured quotas.
    pub fn new(config: config::Limits) -> Self {
        Self {
            failed_bearers: RateLimiter::keyed(Quota::per_minute(config.failed_bearer_per_minute)),
            revocations: RateLimiter::keyed(Quota::per_minute(config.revocations_per_minute)),
            leak_reports: RateLimiter::keyed(Quota::per_minute(config.leaks_per_minute)),
            failed_sign_ins: Attempts::new(config.failed_sign_ins_per_minute),
            failed_sign_ins_per_account: Attempts::new(config.failed_sign_ins_per_account_per_minute),
            typed: RandomState::new(),
        }
    }

    /// Counts a failed bearer attempt; an error if the address has had too many.
    pub fn failed_bearer(&self, address: IpAddr) -> Result<(), Error> {
        count(&self.failed_bearers, address)
    }

    /// Counts a call of the revocation endpoint; an error if the address has had too many.
    pub fn revocation(&self, address: IpAddr) -> Result<(), Error> {
        count(&self.revocations, address)
    }

    /// Counts a report of leaked tokens; an error if the address has sent too many.
    pub fn leak_report(&self, address: IpAddr) -> Result<(), Error> {
        count(&self.leak_reports, address)
    }

    /// Counts a sign-in with this user name or address before its password is looked at; an error if
    /// too many have failed. Whether there is such an account makes no difference.
    pub fn sign_in(&self, address: IpAddr, name: &str, now: Timestamp) -> Result<SignIn, Error> {
        let address = subscriber(address);
        let account = (address, self.typed.hash_one(fold(name.trim())));
        let too_many = |wait| Error::TooMany { retry_after: wait };
        self.failed_sign_ins_per_account.count(account, now).map_err(too_many)?;
        if let Err(wait) = self.failed_sign_ins.count(address, now) {
            self.failed_sign_ins_per_account.take_back(&account);
            return Err(too_many(wait));
        }
        Ok(SignIn { address, account })
    }

    /// Takes a sign-in back that has succeeded.
    pub fn signed_in(&self, SignIn { address, account }: SignIn) {
        self.failed_sign_ins.take_back(&address);
        self.failed_sign_ins_per_account.take_back(&account);
    }

    /// Forgets addresses whose quota is whole again, so that memory stays bounded.
    pub fn forget_the_quiet(&self, now: Timestamp) {
        self.failed_sign_ins.forget_the_quiet(now);
        self.failed_sign_ins_per_account.forget_the_quiet(now);
        for limiter in [&self.failed_bearers, &self.revocations, &self.leak_reports] {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

fn count(limiter: &DefaultKeyedRateLimiter<IpAddr>, address: IpAddr) -> Result<(), Error> {
    limiter.check_key(&subscriber(address)).map_err(|refusal| {
        let wait = refusal.wait_time_from(DefaultClock::default().now());
        Error::TooMany { retry_after: whole_seconds(wait) }
    })
}

fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// What stands for one subscriber: an IPv4 address, or the first 64 bits of an IPv6 address, since
/// whoever has one of those has all of them.
pub fn subscriber(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_does_not_use_up_anothers_quota() {
        let limits = Limits::new(config::Limits {
            failed_bearer_per_minute: 2.try_into().unwrap(),
            ..config::Limits::default()
        });
        let (a, b) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        assert!(limits.failed_bearer(a).is_ok() && limits.failed_bearer(a).is_ok());
        assert!(matches!(limits.failed_bearer(a), Err(Error::TooMany { retry_after: 1.. })));
        assert!(limits.failed_bearer(b).is_ok());
    }

    #[test]
    fn an_ipv6_network_is_one_subscriber() {
        let a: IpAddr = "2001:db8::1".parse().unwrap();
        let b: IpAddr = "2001:db8::ffff:2".parse().unwrap();
        let c: IpAddr = "2001:db8:0:1::1".parse().unwrap();
        assert_eq!(subscriber(a), subscriber(b));
        assert_ne!(subscriber(a), subscriber(c));
    }
}
