//! For tests only: real databases, started once for a test process and gone with it, and a whole
//! Tokenhouse to talk to over HTTP.
#![allow(clippy::expect_used, clippy::panic, reason = "a test without its database must fail")]

#[cfg(feature = "server")]
pub mod client;
pub mod postgres;
#[cfg(feature = "server")]
pub mod server;
