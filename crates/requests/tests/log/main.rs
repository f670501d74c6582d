//! The log as the server uses it, alone and in a fleet, and as other programs read it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;
mod foreign;
mod keeping;
mod shared;
