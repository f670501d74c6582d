//! The pages from outside: what every one of them has in common.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod assets;
mod errors;
mod pages;
mod showcase;
mod templates;
