//! For tests only: real databases, started once for a test process and gone with it; real proxies; the
//! real binary as a process, and a whole Tokenhouse with a clock that is turned by hand.
#![allow(clippy::expect_used, clippy::panic, reason = "a test without its database must fail")]

#[cfg(feature = "server")]
pub mod client;
pub mod postgres;
pub mod process;
pub mod proxies;
pub mod s3;
#[cfg(feature = "server")]
pub mod server;
