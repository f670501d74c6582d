//! The server: what stands between the network and the rules.

pub mod listener;
pub mod proxy;
pub mod tls;
