//! The gateway's forwarding half, over real connections.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod bodies;
mod failures;
mod fields;
mod protocols;
mod smuggling;
#[path = "../support/mod.rs"]
mod support;
mod upgrades;
