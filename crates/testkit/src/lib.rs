//! For tests only: real databases, started once for a test process and gone with it; real proxies; and
//! the real binary as a process.
#![allow(clippy::expect_used, clippy::panic, reason = "a test without its database must fail")]

pub mod postgres;
pub mod process;
pub mod proxies;
