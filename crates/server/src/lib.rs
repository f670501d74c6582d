//! The server: from a request to its answer.
//!
//! [`router`] lists every route. Managing goes through [`api`] and [`service`] to the store; checking
//! goes through [`verify`] and never touches the store. [`ui`] is the same as [`api`], for people. [`app`] is what both share.

// Templates name what they use by the name of this crate, so that those of tests can extend them.
extern crate self as tokenhouse;

pub mod alerts;
pub mod api;
pub mod app;
pub mod attempts;
pub mod auth;
pub mod command;
pub mod config;
pub mod error;
pub mod export;
pub mod feed;
pub mod fleet;
pub mod front;
pub mod github_keys;
pub mod header_text;
pub mod knocks;
pub mod limits;
pub mod listener;
pub mod logging;
pub mod master_key;
pub mod metrics;
pub mod observe;
pub mod outbound;
pub mod places;
pub mod proxy;
pub mod request_log;
pub mod router;
pub mod run;
pub mod scim;
pub mod service;
pub mod tls;
pub mod ui;
pub mod usage;
pub mod verify;
