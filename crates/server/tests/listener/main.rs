//! The listener, its limits and its TLS, over real connections.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod http2;
mod limits;
mod shutdown;
#[path = "../support/mod.rs"]
mod support;
mod tls;
