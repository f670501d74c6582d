//! The real binary, as a process: what it promises about crashes, secrets, tampering, starting,
//! storage that fails, and the proxies in front of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod alerts;
mod audit_export;
mod client;
mod database_trouble;
mod demo;
mod durability;
mod first_start;
mod fleet;
mod governance;
mod metrics;
mod postgres;
mod power_loss;
mod proxies;
mod request_log;
mod scim_tester;
mod secrets;
mod starting;
mod storage_trouble;
mod tampering;
mod tls;
mod trace;
